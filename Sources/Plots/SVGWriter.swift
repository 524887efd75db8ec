/// Writes the few shapes that charts are made of.
struct SVGWriter {
    private var body = ""
    private let width: Double
    private let height: Double

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    func finish() -> String {
        let size = "\(number(width, digits: 0)) \(number(height, digits: 0))"
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(size)" width="\(number(width, digits: 0))" \
            height="\(number(height, digits: 0))" font-family="Inter, Helvetica, Arial, sans-serif">
            <rect width="100%" height="100%" fill="#ffffff"/>
            \(body)</svg>

            """
    }

    mutating func line(x1: Double, y1: Double, x2: Double, y2: Double, colour: String, width: Double = 1) {
        body += "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" "
        body += "stroke=\"\(colour)\" stroke-width=\"\(number(width))\"/>\n"
    }

    mutating func rectangle(x: Double, y: Double, width: Double, height: Double, fill: String) {
        body += "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(max(0, width)))\" "
        body += "height=\"\(number(max(0, height)))\" fill=\"\(fill)\"/>\n"
    }

    mutating func path(_ points: [(Double, Double)], colour: String, isStepped: Bool, opacity: Double) {
        guard let first = points.first else { return }
        var path = "M\(number(first.0)) \(number(first.1))"
        for point in points.dropFirst() {
            if isStepped {
                path += "H\(number(point.0))V\(number(point.1))"
            } else {
                path += "L\(number(point.0)) \(number(point.1))"
            }
        }
        body += "<path d=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"2\" "
        body += "stroke-linejoin=\"round\" stroke-opacity=\"\(number(opacity, digits: 2))\"/>\n"
    }

    mutating func dots(_ points: [(Double, Double)], radius: Double, colour: String, opacity: Double) {
        guard !points.isEmpty else { return }
        body += "<g fill=\"\(colour)\" fill-opacity=\"\(number(opacity, digits: 2))\">\n"
        for point in points {
            body += "<circle cx=\"\(number(point.0))\" cy=\"\(number(point.1))\" r=\"\(number(radius))\"/>\n"
        }
        body += "</g>\n"
    }

    mutating func text(
        _ text: String, x: Double, y: Double, size: Double, colour: String = "#24292f", anchor: String = "start",
        weight: String = "400", turned: Bool = false
    ) {
        let turn = turned ? " transform=\"rotate(-90 \(number(x)) \(number(y)))\"" : ""
        body += "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(number(size))\" fill=\"\(colour)\" "
        body += "text-anchor=\"\(anchor)\" font-weight=\"\(weight)\"\(turn)>\(Self.escaped(text))</text>\n"
    }

    /// Names come from files: nothing in them is markup, and control characters have no place in XML.
    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case _ where scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF: escaped += " "
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

/// A number with at most `digits` decimals, without an exponent; `-` where it is not finite or beyond 10^15.
public func number(_ value: Double, digits: Int = 1) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "-" }
    let places = digits.bounded(to: 0...3)
    let scale = [1, 10, 100, 1000][places]
    let scaled = Int((abs(value) * Double(scale)).rounded())
    var text = "\(scaled / scale)"
    if places > 0 {
        let fraction = "\(scaled % scale)"
        text += "." + String(repeating: "0", count: places - fraction.count) + fraction
    }
    return value < 0 && scaled > 0 ? "-" + text : text
}

extension Comparable {
    /// The nearest value inside `range`.
    func bounded(to range: ClosedRange<Self>) -> Self {
        min(max(self, range.lowerBound), range.upperBound)
    }
}
