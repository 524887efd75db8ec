internal import CaptionService
internal import Plots

extension BudgetedAccuracy {
    /// One way of choosing resolutions, held against one budget.
    struct Row: Encodable, Equatable {
        var work = "budget"
        var model: String
        var precision: String
        var budgetMs: Double
        /// `planner`, or the side of the fixed resolution in pixels.
        var way: String
        /// Over the frames that were run.
        var meanMs: Double
        var p95Ms: Double
        /// Share of the frames that were answered within the budget.
        var inTime: Double
        /// Share of the frames that were answered right and within the budget, with its 95 % interval.
        var accuracy: Double
        var low: Double
        var high: Double
        /// The planner's lead over a fixed resolution in right answers within the budget, question by question, with its 95 %
        /// interval; nil for the planner.
        var lead: Double?
        var leadLow: Double?
        var leadHigh: Double?
        /// Share that was right, in time or not.
        var accuracyAtAnyTime: Double
        var count: Int
        /// Frames at each side in pixels; 0 is those that were not run to their end.
        var resolutions: [String: Int]
        /// Frames by why they ran there.
        var reasons: [String: Int]

        enum CodingKeys: String, CodingKey {
            case work, model, precision, way, accuracy, low, high, count, resolutions, reasons
            case budgetMs = "budget_ms"
            case meanMs = "mean_ms"
            case p95Ms = "p95_ms"
            case inTime = "in_time"
            case lead
            case leadLow = "lead_low"
            case leadHigh = "lead_high"
            case accuracyAtAnyTime = "accuracy_at_any_time"
        }

        /// `+0.4 (-0.3 to 1.1)`: points and the ends of the interval; nothing where there is no lead to speak of.
        var leadText: String {
            guard let lead, let leadLow, let leadHigh else { return "" }
            return "\(lead < 0 ? "" : "+")\(number(100 * lead)) (\(number(100 * leadLow)) to \(number(100 * leadHigh)))"
        }
    }

    /// For each budget the planner, then each fixed resolution held against the same budget.
    var rows: [Row] {
        budgets.flatMap { budget in
            [row(.budget(budget), against: budget)]
                + ways.compactMap { way in
                    if case .fixed = way { row(way, against: budget) } else { nil }
                }
        }
    }

    private func row(_ way: Way, against budget: Double) -> Row {
        let all = frames[way] ?? []
        var score = AccuracyScore()
        for frame in all { score.add(frame.isRight && frame.time <= budget) }
        let times = all.map(\.time).sorted()
        let interval = score.interval
        let name = if case .fixed(let pixels) = way { "\(pixels)" } else { "planner" }
        func share(_ condition: (Frame) -> Bool) -> Double {
            all.isEmpty ? 0 : (Double(all.count(where: condition)) / Double(all.count)).rounded(to: 4)
        }
        let lead = way == .budget(budget) ? nil : lead(over: way, budget)
        return Row(
            model: facts.digest, precision: facts.precision, budgetMs: budget, way: name,
            meanMs: (times.reduce(0, +) / Double(max(1, times.count))).rounded(to: 3),
            p95Ms: (times.isEmpty ? 0 : times[min(times.count - 1, times.count * 95 / 100)]).rounded(to: 3),
            inTime: share { $0.resolution != nil && $0.time <= budget }, accuracy: score.share.rounded(to: 4),
            low: interval.lowerBound.rounded(to: 4), high: interval.upperBound.rounded(to: 4),
            lead: lead?.share.rounded(to: 4), leadLow: lead?.interval.lowerBound.rounded(to: 4),
            leadHigh: lead?.interval.upperBound.rounded(to: 4),
            accuracyAtAnyTime: share(\.isRight), count: all.count,
            resolutions: Dictionary(grouping: all) { "\($0.resolution ?? 0)" }.mapValues(\.count),
            reasons: Dictionary(grouping: all, by: \.reason).mapValues(\.count))
    }

    /// How much oftener the planner is right within `budget` than `way`; nil where they were not asked the same, as after
    /// a run that was broken off.
    private func lead(over way: Way, _ budget: Double) -> PairedDifference? {
        let (planned, others) = (frames[.budget(budget)] ?? [], frames[way] ?? [])
        guard zip(planned, others).allSatisfy({ $0.type == $1.type }), planned.count == others.count else { return nil }
        var difference = PairedDifference()
        for (planned, other) in zip(planned, others) {
            difference.add(planned.isRight && planned.time <= budget, other.isRight && other.time <= budget)
        }
        return difference
    }

    /// The table for people, and what came of the comparison.
    var lines: [String] {
        let rows = rows
        var cells = [
            [
                "budget", "resolution", "mean ms", "p95 ms", "in time", "right in time", "planner's lead",
                "right at any time", "ran at",
            ]
        ]
        for row in rows {
            let isPlanner = row.way == "planner"
            let mix = row.resolutions.map { (Int($0.key) ?? 0, $0.value) }.sorted { $0.0 < $1.0 }
                .map { "\($0.0 == 0 ? "none" : "\($0.0)") \($0.1)" }.joined(separator: ", ")
            cells.append([
                isPlanner ? "\(number(row.budgetMs)) ms" : "", row.way, number(row.meanMs), number(row.p95Ms),
                "\(number(100 * row.inTime)) %",
                "\(number(100 * row.accuracy)) (\(number(100 * row.low))-\(number(100 * row.high))) %",
                row.leadText, "\(number(100 * row.accuracyAtAnyTime)) %", isPlanner ? mix : "",
            ])
        }
        return AccuracyReport.columns(cells) + [""] + budgets.map { verdict($0, rows) }
    }

    /// Whether some fixed resolution is measurably better than the planner without taking more time, with answers that are
    /// late counted as wrong for both.
    private func verdict(_ budget: Double, _ rows: [Row]) -> String {
        let rows = rows.filter { $0.budgetMs == budget }
        guard let planner = rows.first(where: { $0.way == "planner" }) else { return "" }
        let fixed = rows.filter { $0.way != "planner" }
        let right = "the planner is right in time in \(number(100 * planner.accuracy)) %"
        let within = fixed.max { $0.accuracy < $1.accuracy }.map {
            "; the best fixed resolution within this budget, \($0.way) px, in \(number(100 * $0.accuracy)) %"
        }
        return "\(number(budget)) ms: \(right), \(Self.comparison(planner, fixed))\(within ?? "")"
    }

    private static func comparison(_ planner: Row, _ fixed: [Row]) -> String {
        let asFast = fixed.filter { $0.meanMs <= planner.meanMs }
        guard let best = asFast.max(by: { $0.accuracy < $1.accuracy }) else {
            return "and no fixed resolution is as fast"
        }
        guard asFast.allSatisfy({ $0.lead != nil }) else {
            return
                "but not every resolution was asked the same, as in a log of a run that was broken off: begin a new log"
        }
        let better = asFast.filter { ($0.leadHigh ?? 0) < 0 }.max { $0.accuracy < $1.accuracy }
        if let better {
            return "but \(better.way) px measurably oftener in as little time: the planner's lead is "
                + "\(better.leadText) points"
        }
        return "and no fixed resolution is measurably better in as little time: its lead over the best of them, "
            + "\(best.way) px, is \(best.leadText) points"
    }

    /// Right answers against mean time: each fixed resolution without any budget, and the planner with each.
    var svg: String {
        let rows = rows
        let planner = rows.filter { $0.way == "planner" }
        let fixed = rows.filter { $0.way != "planner" && $0.budgetMs == budgets.first }.sorted { $0.meanMs < $1.meanMs }
        let times = (planner + fixed).map { max($0.meanMs, 1e-3) }
        let (low, high) = (times.min() ?? 1, max(times.max() ?? 10, budgets.max() ?? 10))
        let late = ways.enumerated().compactMap { index, way -> Chart.Series? in
            guard case .fixed(let pixels) = way else { return nil }
            return Chart.Series(
                name: "\(pixels) px", colour: AccuracyReport.colours[(index + 1) % AccuracyReport.colours.count],
                mark: .line,
                points: rows.filter { $0.way == "\(pixels)" }.sorted { $0.budgetMs < $1.budgetMs }
                    .map { ($0.budgetMs, 100 * $0.accuracy) }, opacity: 0.7)
        }
        let chosen = planner.sorted { $0.budgetMs < $1.budgetMs }
        return Chart(
            title: "Accuracy against budget on this device",
            subtitle:
                "\(planner.first?.count ?? 0) questions, each a frame of its own; an answer that is late is not right",
            horizontal: "ms", range: (low / 1.4)...(high * 1.4), isLogarithmic: true,
            panels: [
                Chart.Panel(
                    title: "Right in time, over the budget", unit: "%", height: 260,
                    series: late + [
                        Chart.Series(
                            name: "planner", colour: AccuracyReport.colours[0], mark: .line,
                            points: chosen.map { ($0.budgetMs, 100 * $0.accuracy) }, isNamed: false),
                        Chart.Series(
                            name: "planner", colour: AccuracyReport.colours[0], mark: .dots(radius: 4.5),
                            points: chosen.map { ($0.budgetMs, 100 * $0.accuracy) }),
                    ]),
                Chart.Panel(
                    title: "Right, over the mean time", unit: "%", height: 260,
                    series: [
                        Chart.Series(
                            name: "fixed, no budget", colour: "#57606a", mark: .line,
                            points: fixed.map { ($0.meanMs, 100 * $0.accuracyAtAnyTime) }, isNamed: false, opacity: 0.5),
                        Chart.Series(
                            name: "fixed, no budget", colour: "#57606a", mark: .dots(radius: 4),
                            points: fixed.map { ($0.meanMs, 100 * $0.accuracyAtAnyTime) }, labels: fixed.map(\.way)),
                        Chart.Series(
                            name: "planner", colour: AccuracyReport.colours[0], mark: .dots(radius: 4.5),
                            points: planner.map { ($0.meanMs, 100 * $0.accuracyAtAnyTime) },
                            labels: planner.map { "\(number($0.budgetMs)) ms" }),
                    ]),
            ]
        ).svg()
    }
}
