/// Writes the text format of Prometheus, version 0.0.4.
struct MetricsText {
    enum Kind: String {
        case counter, gauge, histogram
    }

    private(set) var text = ""

    /// The version of the format, as a response's content type.
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// Begins the family `name`; its samples follow.
    mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
    }

    mutating func sample(_ name: String, _ labels: KeyValuePairs<String, String> = [:], _ value: Double) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0)=\"\(Self.escaped($1, quotes: true))\"" }.joined(separator: ",") + "}"
        }
        text += " \(Self.number(value))\n"
    }

    mutating func sample(_ name: String, _ labels: KeyValuePairs<String, String> = [:], _ value: Int) {
        sample(name, labels, Double(value))
    }

    /// A family of one sample.
    mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
        family(name, kind, help)
        sample(name, [:], value)
    }

    /// The samples of one histogram of a family.
    ///
    /// - Parameter label: What tells it from the family's others, for example `phase="vision"`.
    mutating func histogram(_ name: String, label: (String, String)? = nil, _ histogram: Histogram) {
        var below = 0
        func write(_ suffix: String, _ bound: String?, _ value: Double) {
            var labels: [String] = []
            if let label { labels.append("\(label.0)=\"\(Self.escaped(label.1, quotes: true))\"") }
            if let bound { labels.append("le=\"\(bound)\"") }
            text +=
                name + suffix + (labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}")
                + " \(Self.number(value))\n"
        }
        for (bound, count) in zip(histogram.bounds, histogram.counts) {
            below += count
            write("_bucket", Self.number(bound), Double(below))
        }
        write("_bucket", "+Inf", Double(histogram.count))
        write("_sum", nil, histogram.sum)
        write("_count", nil, Double(histogram.count))
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value), abs(whole) < 1 << 53 { return "\(whole)" }
        return "\(value)"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}

/// How often values fell into ranges.
struct Histogram: Sendable {
    /// Upper ends of the ranges, rising; what is larger is only in the total.
    let bounds: [Double]
    private(set) var counts: [Int]
    private(set) var count = 0
    private(set) var sum = 0.0

    init(_ bounds: [Double]) {
        self.bounds = bounds
        counts = [Int](repeating: 0, count: bounds.count)
    }

    mutating func observe(_ value: Double) {
        guard value.isFinite, value >= 0 else { return }
        count += 1
        sum += value
        if let index = bounds.firstIndex(where: { value <= $0 }) { counts[index] += 1 }
    }
}
