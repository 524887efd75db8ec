internal import CaptionService
internal import LatencyBudget

/// What came of a ``BudgetRun``: how budgets were kept, how the resolution followed the device, how well times were
/// foretold.
struct BudgetRunReport {
    let frames: [BudgetRun.Frame]
    let facts: ModelFacts

    /// One budget in one phase of the device; one JSON object a line.
    struct Row: Encodable, Equatable {
        var work = "budget_kept"
        var model: String
        var precision: String
        var budgetMs: Double
        /// `quiet`, `before`, `hog`, `after`, or `hog run`: those three together.
        var phase: String
        var frames: Int
        /// Frames that were run; the others were told at once that there is no time for them.
        var started: Int
        /// Of the started ones, those that were late or had too few tokens.
        var missed: Int
        var missShare: Double
        var p95Ms: Double
        var resolutions: [String: Int]
        var reasons: [String: Int]

        enum CodingKeys: String, CodingKey {
            case work, model, precision, phase, frames, started, missed, resolutions, reasons
            case budgetMs = "budget_ms"
            case missShare = "miss_share"
            case p95Ms = "p95_ms"
        }
    }

    /// How fast the resolution followed the hog; one for each part.
    struct Following: Encodable, Equatable {
        var work = "budget_followed"
        var budgetMs: Double
        var part: Int
        /// The usual side before, beside and after the hog, in pixels; 0 is no start at all.
        var before: Int
        var beside: Int
        var after: Int
        /// Frames until the side was a usual one beside the hog for the first time, and until it was again what it was
        /// before or is afterwards, whichever is smaller; nil where it did not differ.
        var framesDown: Int?
        var framesUp: Int?
        /// How many of the frames until then were started and missed: a side that still fits need not be left.
        var missedDown: Int?
        /// How many of them took more than a tenth longer than predicted, or were given up: a hog that takes no time from a
        /// frame cannot be followed.
        var slowedDown: Int?

        enum CodingKeys: String, CodingKey {
            case work, part, before, beside, after
            case budgetMs = "budget_ms"
            case framesDown = "frames_down"
            case framesUp = "frames_up"
            case missedDown = "missed_down"
            case slowedDown = "slowed_down"
        }
    }

    /// How far predictions were from what a phase took; only frames without company.
    struct PhaseError: Encodable, Equatable {
        var work = "prediction_error"
        var model: String
        var precision: String
        var phase: String
        var frames: Int
        var median: Double
        var p95: Double
    }

    private var budgets: [Double] { Set(frames.map(\.budget)).sorted() }

    var rows: [Row] {
        budgets.flatMap { budget in
            let all = frames.filter { $0.budget == budget }
            let phases =
                [("quiet", ["quiet"])] + ["before", "hog", "after"].map { ($0, [$0]) }
                + [("hog run", ["before", "hog", "after"])]
            return phases.compactMap { name, members in row(name, budget, all.filter { members.contains($0.phase) }) }
        }
    }

    private func row(_ phase: String, _ budget: Double, _ frames: [BudgetRun.Frame]) -> Row? {
        guard !frames.isEmpty else { return nil }
        let started = frames.filter { $0.resolution != nil }
        let missed = started.count { !$0.isMet }
        return Row(
            model: facts.digest, precision: facts.precision, budgetMs: budget.rounded(to: 3), phase: phase,
            frames: frames.count, started: started.count, missed: missed,
            missShare: started.isEmpty ? 0 : (Double(missed) / Double(started.count)).rounded(to: 4),
            p95Ms: (Self.quantile(started.map(\.time), 0.95) ?? 0).rounded(to: 3),
            resolutions: Dictionary(grouping: frames) { "\($0.resolution ?? 0)" }.mapValues(\.count),
            reasons: Dictionary(grouping: frames, by: \.reason).mapValues(\.count))
    }

    var following: [Following] {
        budgets.flatMap { budget in
            let all = frames.filter { $0.budget == budget && $0.phase != "quiet" }
            return Set(all.map(\.part)).sorted().compactMap { part -> Following? in
                let frames = all.filter { $0.part == part }.sorted { $0.index < $1.index }
                func sides(_ phase: String) -> [Int] {
                    frames.filter { $0.phase == phase }.map { $0.resolution ?? 0 }
                }
                guard
                    var following = Self.following(
                        budget.rounded(to: 3), part, before: sides("before"), hog: sides("hog"), after: sides("after"))
                else { return nil }
                let before = following.framesDown.map { frames.filter { $0.phase == "hog" }.prefix($0) }
                following.missedDown = before?.count { $0.resolution != nil && !$0.isMet }
                following.slowedDown = before?.count(where: \.isSlowed)
                return following
            }
        }
    }

    /// The settled side is the one that is met most often in the later half. Where time is just enough for a resolution,
    /// one picture gets it and the next one does not: every side that is met in at least a fifth of the later half is a
    /// usual one, and the first frame with one of those, on the settled side's side of what was before, has followed.
    static func following(_ budget: Double, _ part: Int, before: [Int], hog: [Int], after: [Int]) -> Following? {
        func later(_ sides: [Int]) -> [Int: Int] {
            Dictionary(grouping: sides.suffix((sides.count + 1) / 2)) { $0 }.mapValues(\.count)
        }
        func settled(_ sides: [Int]) -> Int? {
            later(sides).max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
        }
        func usual(_ sides: [Int]) -> [Int] {
            let counts = later(sides)
            let all = counts.values.reduce(0, +)
            return counts.filter { $0.value * 5 >= all }.map(\.key)
        }
        guard let high = settled(before), let low = settled(hog), let end = settled(after) else { return nil }
        let down = usual(hog).filter { $0 < high }.max() ?? low
        let up = min(high, usual(after).filter { $0 > low }.min() ?? end)
        return Following(
            budgetMs: budget, part: part, before: high, beside: low, after: end,
            framesDown: low < high ? hog.firstIndex { $0 <= down } : nil,
            framesUp: min(high, end) > low ? after.firstIndex { $0 >= up } : nil)
    }

    var errors: [PhaseError] {
        let phases: [(String, (PhaseTimes) -> Double)] = [
            ("decode", { $0.decode }), ("preprocess", { $0.preprocess }), ("vision", { $0.vision }),
            ("prefill", { $0.prefill }), ("generate", { $0.generate }), ("total", { $0.total }),
        ]
        let alone = frames.filter { $0.phase == "quiet" }
        return phases.compactMap { name, value in
            let errors = alone.compactMap { frame -> Double? in
                guard let predicted = frame.predicted, let measured = frame.measured, value(measured) > 0 else {
                    return nil
                }
                return abs(value(predicted) / value(measured) - 1)
            }
            guard let median = Self.quantile(errors, 0.5), let p95 = Self.quantile(errors, 0.95) else { return nil }
            return PhaseError(
                model: facts.digest, precision: facts.precision, phase: name, frames: errors.count,
                median: median.rounded(to: 4), p95: p95.rounded(to: 4))
        }
    }

    private static func quantile(_ values: [Double], _ share: Double) -> Double? {
        let sorted = values.sorted()
        return sorted.isEmpty ? nil : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }

    /// For people.
    var lines: [String] {
        var cells = [["budget", "phase", "frames", "not started", "missed", "p95 ms", "resolutions"]]
        for row in rows {
            let mix = row.resolutions.map { (Int($0.key) ?? 0, $0.value) }.sorted { $0.0 < $1.0 }
                .map { "\($0.0 == 0 ? "none" : "\($0.0)") \($0.1)" }.joined(separator: ", ")
            cells.append([
                "\(row.budgetMs.rounded(to: 1)) ms", row.phase, "\(row.frames)", "\(row.frames - row.started)",
                "\(row.missed) (\((100 * row.missShare).rounded(to: 1)) %)", "\(row.p95Ms.rounded(to: 1))", mix,
            ])
        }
        var lines = AccuracyReport.columns(cells)
        for step in following {
            lines.append(
                "\(step.budgetMs.rounded(to: 1)) ms, part \(step.part): \(step.before) px before the hog, \(step.beside) "
                    + "beside it, \(step.after) after it; down after \(step.framesDown.map { "\($0)" } ?? "-") frames"
                    + (step.slowedDown.map { ", \($0) of them slower than predicted" } ?? "")
                    + (step.missedDown.map { " and \($0) missed" } ?? "")
                    + ", up after \(step.framesUp.map { "\($0)" } ?? "-")")
        }
        let errors = errors
        if !errors.isEmpty {
            lines += ["", "error of predictions, median and 95 %:"]
            lines += AccuracyReport.columns(
                errors.map {
                    [$0.phase, "\((100 * $0.median).rounded(to: 1)) %", "\((100 * $0.p95).rounded(to: 1)) %"]
                })
        }
        return lines
    }
}
