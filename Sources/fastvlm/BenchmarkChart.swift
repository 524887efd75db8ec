internal import ModelFiles
internal import Plots

/// How cost grows: measured rows as dots, the model's arithmetic as lines.
///
/// A line is the number of multiply-adds, which follows from the model's widths and depths alone, at the one speed that
/// fits its dots best: dots that leave it show work whose cost is no arithmetic, or sizes that run less well.
struct BenchmarkChart {
    let rows: [BenchmarkRow]
    let configuration: ModelConfiguration
    let name: String

    /// What has a colour of its own, in all charts.
    private struct Key: Hashable {
        let precision: String
        let threads: Int?

        init(_ row: BenchmarkRow) {
            precision = row.precision
            threads = row.threads
        }
    }

    private var keys: [Key] {
        rows.map { Key($0) }.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    private static let colours = ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#57606a"]

    /// The document, or nil where no row can be drawn.
    var svg: String? {
        let charts = [
            chart("Encoder and projector", "picture's side in pixels", "vision", at: \.resolution, step: 64) {
                configuration.visionArithmetic(width: $0, height: $0).total
            },
            chart("Prompt", "positions", "prefill", at: \.tokens, step: 2) {
                configuration.textArithmetic(tokens: $0).total
            },
            chart("Generation", "tokens generated", "generate", at: \.tokens, step: 4) { tokens in
                (0..<tokens).reduce(0) {
                    $0 + configuration.textArithmetic(tokens: 1, context: Benchmark.decodeContext + $1).total
                }
            },
        ].compactMap { $0 }
        return charts.isEmpty ? nil : Chart.svg(charts)
    }

    /// - Parameter step: Between the points of a line: where the arithmetic goes up in steps, a whole one.
    private func chart(
        _ title: String, _ horizontal: String, _ work: String, at place: (BenchmarkRow) -> Int?, step: Int,
        arithmetic: (Int) -> Int
    ) -> Chart? {
        var points: [Key: [(x: Double, y: Double)]] = [:]
        for row in rows where row.work == work && row.runtime == BenchmarkRow.ours {
            guard let x = place(row), (1...8192).contains(x), let y = row.medianMs, y > 0, y.isFinite else {
                continue
            }
            points[Key(row), default: []].append((Double(x), y))
        }
        guard let most = points.values.joined().map(\.x).max() else { return nil }
        var series: [Chart.Series] = []
        for (index, key) in keys.enumerated() {
            guard let measured = points[key] else { continue }
            // Rows that were measured several times are one dot.
            let dots = Dictionary(grouping: measured, by: \.x).values.map { same in
                (x: same[0].x, y: same.map(\.y).sorted()[same.count / 2])
            }.sorted { $0.x < $1.x }
            let colour = Self.colours[index % Self.colours.count]
            // Milliseconds for each 10^9 multiply-adds: the median over the dots.
            let rates = dots.map { $0.y / (Double(arithmetic(Int($0.x))) / 1e9) }.sorted()
            let rate = rates[rates.count / 2]
            let line = stride(from: 0, through: Int(most), by: step).map { x in
                (x: Double(x), y: x == 0 ? 0 : Double(arithmetic(x)) / 1e9 * rate)
            }
            let threads = key.threads.map { " on \($0)" } ?? ""
            series.append(
                Chart.Series(name: "", colour: colour, mark: .line, points: line, isNamed: false, opacity: 0.5))
            series.append(
                Chart.Series(
                    name: "\(key.precision)\(threads), \(number(2000 / rate, digits: 0)) GOP/s", colour: colour,
                    mark: .dots(radius: 4), points: dots))
        }
        let total = Double(arithmetic(Int(most))) / 1e9
        return Chart(
            title: title,
            subtitle: "\(name). Dots: measured medians. Lines: the model's arithmetic, "
                + "\(number(total, digits: total < 10 ? 2 : 0)) GMAC at \(number(most, digits: 0)). "
                + "Names: precision, threads, the line's speed.",
            horizontal: horizontal, range: 0...most * 1.03,
            panels: [Chart.Panel(title: "", unit: "milliseconds", height: 240, series: series)])
    }
}
