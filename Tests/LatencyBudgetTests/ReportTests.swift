import LatencyBudget
import Testing

@Suite struct ReportTests {
    /// Whether every element that is opened is closed, in order.
    private func isWellFormed(_ svg: String) -> Bool {
        var open: [Substring] = []
        for piece in svg.split(separator: "<").filter({ $0.contains(">") }) {
            guard let tag = piece.split(separator: ">", maxSplits: 1).first else { return false }
            let name = tag.prefix { $0 != " " }
            if name.hasPrefix("/") {
                guard open.popLast() == name.dropFirst() else { return false }
            } else if !tag.hasSuffix("/") {
                open.append(name)
            }
        }
        return open.isEmpty && !svg.contains("nan") && !svg.contains("inf")
    }

    private func report(_ scenario: Trace.Scenario, name: String? = nil) throws -> SimulationReport {
        let simulation = Simulation(ladder: try Samples.ladder(), truth: Samples.model, profile: Samples.model)
        var trace = try Trace.generated(
            scenario, frames: 1200, seed: 1, cheapest: Samples.time(256), dearest: Samples.time(1024))
        if let name { trace.name = name }
        return SimulationReport(simulation, trace)
    }

    @Test func aRunIsDrawn() throws {
        let report = try report(.cpuHog)
        let svg = report.svg()
        #expect(isWellFormed(svg))
        for text in [
            "Latency budget: cpu_hog", "seconds", "pixels", "factor", "frame", "chosen", "1024", "not started",
        ] {
            #expect(svg.contains(">\(text)<"), "\(text)")
        }
        // One dot a frame and series: time left, time taken, two rungs, two slowdowns.
        let dots = svg.split(separator: "<circle").count - 1
        #expect(dots > 5 * 1000)
        // The stretch with the hog and nothing outside the picture.
        #expect(svg.contains("#fff3d6"))
        let part = report.svg(frames: 100...200)
        #expect(isWellFormed(part))
        #expect(part.count < svg.count / 5)
        #expect(isWellFormed(report.svg(frames: -5...Int.max)))
    }

    @Test func namesAreNoMarkup() throws {
        let svg = try report(.steady, name: "</text><script>&\"\u{1}").svg()
        #expect(isWellFormed(svg))
        #expect(!svg.contains("<script>"))
        #expect(svg.contains("&lt;/text&gt;&lt;script&gt;&amp;&quot; "))
    }

    @Test func theTableNamesEveryPolicy() throws {
        let text = try report(.memoryHog).text
        let lines = text.split(separator: "\n")
        #expect(lines.count == 1 + 1 + 7)
        for policy in ["oracle", "adaptive", "table", "fixed 256", "fixed 1024"] {
            #expect(lines.contains { $0.hasPrefix(policy) }, "\(policy)")
        }
        #expect(Set(lines.dropFirst().map(\.count)).count == 1)
    }

    @Test func theParetoTableMarksWhatNothingBeats() throws {
        let ladder = try Ladder([
            Ladder.Step(Rung(pixels: 256), utility: Utility(general: 48, text: 17)),
            Ladder.Step(Rung(pixels: 512), utility: Utility(general: 52, text: 26)),
            // Dearer and no better.
            Ladder.Step(Rung(pixels: 768), utility: Utility(general: 52, text: 31)),
            Ladder.Step(Rung(pixels: 1024), utility: Utility(general: 56, text: 35)),
        ])
        let report = ParetoReport(ladder, Samples.model)
        #expect(report.rows.map(\.isBest) == [true, true, false, true])
        #expect(report.text.split(separator: "\n").count == 5)
        let svg = report.svg(device: "A & B")
        #expect(isWellFormed(svg))
        #expect(svg.contains(">768<") && svg.contains("A &amp; B"))
        #expect(isWellFormed(ParetoReport(try Ladder([]), Samples.model).svg(device: "none")))
    }
}
