internal import Plots

/// Results of several policies on one trace, for people: a table and a picture.
public struct SimulationReport: Sendable {
    public let trace: Trace
    public let ladder: Ladder
    public let missTarget: Double
    /// The oracle's first.
    public let results: [SimulationResult]
    /// The adaptive run with all its frames.
    public let adaptive: SimulationResult

    /// Replays `trace` under every policy: oracle, adaptive, table, each fixed rung.
    public init(_ simulation: Simulation, _ trace: Trace) {
        self.trace = trace
        ladder = simulation.ladder
        missTarget = simulation.configuration.missTarget
        var adaptive = simulation.run(trace, .adaptive, keepsFrames: true)
        self.adaptive = adaptive
        adaptive.log = []
        let fixed = ladder.steps.indices.map { Simulation.Policy.fixed($0) }
        results =
            [simulation.run(trace, .oracle), adaptive]
            + ([.table] + fixed).map { simulation.run(trace, $0) }
    }

    /// One line a policy: misses of what was started, utility over all frames, part of the oracle's, rung changes a
    /// minute, regret, and frames that were not started.
    public var text: String {
        let best = results.first?.meanUtility ?? 0
        var table = TextTable(
            headings: [
                "policy", "missed %", "settled %", "utility", "of oracle %", "switches/min", "regret", "not started",
                "in vain",
            ])
        for result in results {
            table.add([
                result.policy, number(100 * result.missRate, digits: 2),
                number(100 * result.settledMissRate, digits: 2),
                number(result.meanUtility, digits: 2),
                best > 0 ? number(100 * result.meanUtility / best, digits: 1) : "-",
                number(result.switchesPerMinute, digits: 2), number(result.meanRegret, digits: 2), "\(result.refused)",
                "\(result.refusedInVain)",
            ])
        }
        return "\(trace.name): \(trace.frames.count) frames, miss target \(number(100 * missTarget, digits: 1)) %\n"
            + table.text
    }

    /// The adaptive run as SVG: time taken beside time that was left, the rung beside the oracle's, and the slowdown as
    /// it was beside the estimate.
    ///
    /// - Parameter frames: Places in the trace that are shown. The default is all of them; beyond 1,500, dots are thinned
    ///   out except for misses.
    public func svg(frames: ClosedRange<Int>? = nil) -> String {
        let most = max(1, trace.frames.count - 1)
        let shown = (frames?.lowerBound ?? 0).bounded(to: 0...most)...(frames?.upperBound ?? most).bounded(to: 0...most)
        let log = adaptive.log.filter { shown.contains($0.index) }.sorted { $0.index < $1.index }
        let every = max(1, log.count / 1500)
        let kept = log.enumerated().filter { $0.offset % every == 0 || ($0.element.rung != nil && !$0.element.met) }
            .map(\.element)
        let x = { (frame: SimulatedFrame) in Double(frame.index) }
        let started = kept.filter { $0.rung != nil }
        let missed = started.filter { !$0.met }
        let summary =
            "miss target \(number(100 * missTarget, digits: 1)) %, missed "
            + "\(number(100 * adaptive.missRate, digits: 2)) %, mean utility \(number(adaptive.meanUtility, digits: 1)) "
            + "of the oracle's \(number(results.first?.meanUtility ?? 0, digits: 1)), \(adaptive.frames) frames"
            + (every > 1 ? " (shown: every miss, of the rest one in \(every))" : "")
        // Steps come in pairs: what is between an odd and an even one is the changed stretch.
        let steps = trace.frames.indices.filter { trace.frames[$0].isStep }
        var stretches: [ClosedRange<Double>] = []
        for index in stride(from: 0, to: steps.count, by: 2) {
            let low = max(Double(steps[index]), Double(shown.lowerBound))
            let high = min(Double(index + 1 < steps.count ? steps[index + 1] : most + 1), Double(shown.upperBound))
            if low < high { stretches.append(low...high) }
        }
        return Chart(
            title: "Latency budget: \(trace.name)", subtitle: summary, horizontal: "frame",
            range: Double(shown.lowerBound)...Double(max(shown.upperBound, shown.lowerBound + 1)), shaded: stretches,
            shadedName: "changed conditions",
            panels: [
                Chart.Panel(
                    title: "Time to answer", unit: "seconds", height: 220,
                    series: [
                        dots("left of the budget", "#b6bec7", started.map { (x($0), $0.left / 1000) }, 1.6),
                        dots("in time", "#1a7f5a", started.filter(\.met).map { (x($0), $0.actual / 1000) }, 1.8),
                        dots("late or given up", "#d1242f", missed.map { (x($0), $0.actual / 1000) }, 3.2),
                    ], range: timeRange(started)),
                Chart.Panel(
                    title: "Resolution", unit: "pixels", height: 150,
                    series: [
                        dots(
                            "oracle", "#c9d1d9",
                            kept.map { (x($0), $0.bestRung.map { Double($0) + 1.18 } ?? 0.18) }, 1.6),
                        dots(
                            "chosen", "#0969da", kept.map { (x($0), $0.rung.map { Double($0) + 0.95 } ?? -0.05) }, 1.8),
                    ], rows: ["not started"] + ladder.steps.map(\.rung.description)),
                Chart.Panel(
                    title: "Slowdown over the profile", unit: "factor", height: 170,
                    series: [
                        dots("vision, realized", "#a6c8f0", kept.map { (x($0), $0.slowdown) }, 1.4),
                        dots("tokens, realized", "#f3c9a2", kept.map { (x($0), $0.tokenSlowdown) }, 1.4),
                        Chart.Series(
                            name: "vision, estimated", colour: "#0969da", mark: .line,
                            points: kept.map { (x($0), $0.estimated) }),
                        Chart.Series(
                            name: "tokens, estimated", colour: "#bc4c00", mark: .line,
                            points: kept.map { (x($0), $0.tokenEstimated) }),
                    ]),
            ]
        ).svg()
    }

    private func dots(_ name: String, _ colour: String, _ points: [(x: Double, y: Double)], _ radius: Double)
        -> Chart.Series
    {
        Chart.Series(name: name, colour: colour, mark: .dots(radius: radius), points: points)
    }

    /// Up to what most frames had left, so that a few endless ones do not flatten the rest.
    private func timeRange(_ frames: [SimulatedFrame]) -> ClosedRange<Double> {
        let lefts = frames.map { max($0.left == .infinity ? 0 : $0.left, $0.actual) / 1000 }.filter(\.isFinite).sorted()
        guard let high = lefts.last, high > 0 else { return 0...1 }
        return 0...(1.05 * min(high, 3 * lefts[lefts.count * 9 / 10]))
    }
}
