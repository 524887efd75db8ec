internal import ModelFiles
internal import Plots

/// Accuracy by type of question, model and resolution: a table, a chart, and a ladder for a package.
struct AccuracyReport {
    let runs: [AccuracyRun]

    private var kinds: [String] {
        runs.flatMap(\.table.kinds).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }

    /// Names of the models as they differ: the precision where that is enough.
    private func label(_ run: AccuracyRun) -> String {
        let isClear = !runs.contains { $0.precision == run.precision && $0.digest != run.digest }
        return isClear ? run.precision : "\(run.name) \(run.precision)"
    }

    /// One row a type of question, one column a model and resolution; then the time of an answer.
    var lines: [String] {
        let heads = runs.map { "\(Console.printable(label($0))) \($0.resolution) px" }
        var rows = [["question", "n"] + heads]
        for kind in kinds {
            rows.append(
                [Console.printable(kind), "\(runs.first?.table[kind].count ?? 0)"]
                    + runs.map { Self.percent($0.table[kind]) })
        }
        rows.append(["all", "\(runs.first?.table.all.count ?? 0)"] + runs.map { Self.percent($0.table.all) })
        rows.append(["time of an answer", ""] + runs.map { "\(number($0.medianMs)) ms" })
        return Self.columns(rows)
    }

    /// `92.1 (90.5-93.5)`: per cent and the ends of the interval.
    private static func percent(_ score: AccuracyScore) -> String {
        guard score.count > 0 else { return "-" }
        let interval = score.interval
        return
            "\(number(100 * score.share)) (\(number(100 * interval.lowerBound))-\(number(100 * interval.upperBound)))"
    }

    /// `rows` as lines, the first column to the left, the others to the right.
    static func columns(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() where column < widths.count {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += column == 0 ? cell + space : "  " + space + cell
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    /// The measured utilities of a model's resolutions, as `fastvlm model pack --ladder` takes them.
    func ladder() throws -> String {
        let steps = try runs.sorted { $0.resolution < $1.resolution }.compactMap(\.utility).map { try $0.line() }
        return "[\n  " + steps.joined(separator: ",\n  ") + "\n]\n"
    }

    /// Accuracy against the measured time of an answer; one panel a type of question.
    var svg: String {
        let times = runs.map { max($0.medianMs, 1e-3) }
        let (low, high) = (times.min() ?? 1, times.max() ?? 10)
        let models = runs.map(\.digest).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        let panels = (kinds.filter { !$0.contains(" ") } + ["all"]).map { kind in
            Chart.Panel(
                title: kind, unit: "% right", height: 170,
                series: zip(models, Self.colours + Self.colours).flatMap { model, colour in
                    series(of: runs.filter { $0.digest == model }, kind, colour)
                })
        }
        let count = runs.first?.table.all.count ?? 0
        return Chart(
            title: "Accuracy against time on this device",
            subtitle: "\(count) questions; bars: 95 % intervals; lines: what nothing beats in less time",
            horizontal: "time of an answer, ms: the file to its last token, median", range: (low / 1.4)...(high * 1.4),
            isLogarithmic: true, panels: panels
        ).svg()
    }

    static let colours = ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#cf222e", "#57606a"]

    /// Dots with their intervals, and the line through those that no faster one beats.
    private func series(of runs: [AccuracyRun], _ kind: String, _ colour: String) -> [Chart.Series] {
        let points = runs.map { run in
            (run: run, time: max(run.medianMs, 1e-3), score: kind == "all" ? run.table.all : run.table[kind])
        }.filter { $0.score.count > 0 }.sorted { $0.time < $1.time }
        guard let first = points.first else { return [] }
        var best: [(x: Double, y: Double)] = []
        for point in points where point.score.share * 100 > best.last?.y ?? -1 {
            best.append((point.time, point.score.share * 100))
        }
        return [
            Chart.Series(name: "", colour: colour, mark: .line, points: best, isNamed: false, opacity: 0.45)
        ]
            + points.map { point in
                let interval = point.score.interval
                return Chart.Series(
                    name: "", colour: colour, mark: .line,
                    points: [(point.time, 100 * interval.lowerBound), (point.time, 100 * interval.upperBound)],
                    isNamed: false, opacity: 0.35)
            }
            + [
                Chart.Series(
                    name: label(first.run), colour: colour, mark: .dots(radius: 4),
                    points: points.map { ($0.time, 100 * $0.score.share) },
                    labels: points.map { "\($0.run.resolution)" })
            ]
    }
}
