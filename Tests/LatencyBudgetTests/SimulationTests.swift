import FoundationEssentials
import LatencyBudget
import Testing

/// What a budget is worth: 10,000 frames of each trace (3,000 without optimization), with a profile that is as wrong as a calibration is.
@Suite struct SimulationTests {
    /// A profile whose points are each off by up to 4 %.
    private static func calibrated() throws -> CostModel {
        var random = SeededGenerator(seed: 77)
        var profile = CostModelTests.profile(of: Samples.model, [256, 512, 768, 1024])
        for index in profile.points.indices {
            profile.points[index].vision *= random.noise(0.04)
            profile.points[index].prefill *= random.noise(0.04)
        }
        for index in profile.tokenPoints.indices { profile.tokenPoints[index].milliseconds *= random.noise(0.04) }
        return try profile.costModel()
    }

    private static func simulation(missTarget: Double, profile: CostModel? = nil) throws -> Simulation {
        Simulation(
            ladder: try Samples.ladder(), truth: Samples.model, profile: try profile ?? calibrated(),
            configuration: PlannerConfiguration(missTarget: missTarget))
    }

    private static func trace(
        _ scenario: Trace.Scenario, frames: Int = Samples.isOptimized ? 10_000 : 3000, seed: UInt64 = 1,
        load: Double = 0.25
    ) throws -> Trace {
        try Trace.generated(
            scenario, frames: frames, seed: seed, cheapest: Samples.time(256), dearest: Samples.time(1024), load: load)
    }

    @Test(arguments: Trace.Scenario.allCases, [0.01, 0.05])
    func keepsItsPromiseAndIsWorthIt(scenario: Trace.Scenario, missTarget: Double) throws {
        let simulation = try Self.simulation(missTarget: missTarget)
        let trace = try Self.trace(scenario)
        let adaptive = simulation.run(trace, .adaptive)
        let oracle = simulation.run(trace, .oracle)

        #expect(adaptive.settledMissRate <= missTarget + 0.01)
        #expect(adaptive.meanUtility >= (scenario.isSteady ? 0.95 : 0.90) * oracle.meanUtility)
        // Being careful must not mean answering nothing.
        #expect(adaptive.refusedInVain < trace.frames.count / 50)
        for other in [Simulation.Policy.table, .fixed(0), .fixed(1), .fixed(2), .fixed(3)] {
            let result = simulation.run(trace, other)
            #expect(adaptive.meanUtility > result.meanUtility, "\(result.policy)")
        }
        for result in [adaptive, oracle] {
            #expect(result.started + result.refused + result.superseded == trace.frames.count)
        }
    }

    @Test(arguments: [0.05, 1.0])
    func holdsForOtherLoadsAndSeeds(load: Double) throws {
        for scenario in [Trace.Scenario.steady, .cpuHog, .thermalRamp] {
            let simulation = try Self.simulation(missTarget: 0.01)
            let trace = try Self.trace(scenario, frames: Samples.isOptimized ? 4000 : 2000, seed: 1234, load: load)
            let adaptive = simulation.run(trace, .adaptive)
            #expect(adaptive.settledMissRate <= 0.02)
            #expect(adaptive.meanUtility >= 0.95 * simulation.run(trace, .oracle).meanUtility)
            #expect(adaptive.meanUtility > simulation.run(trace, .table).meanUtility)
            for rung in 0..<4 { #expect(adaptive.meanUtility > simulation.run(trace, .fixed(rung)).meanUtility) }
        }
    }

    @Test func withoutAProfileTheDeviceIsLearnedFromItsFrames() throws {
        // Three times faster than nominal.
        func faster(_ curve: CostCurve) -> CostCurve {
            CostCurve(constant: curve.constant / 3, linear: curve.linear / 3, quadratic: curve.quadratic / 3)
        }
        let nominal = CostModel.nominal
        let truth = CostModel(
            decode: faster(nominal.decode), preprocess: faster(nominal.preprocess), encode: faster(nominal.encode),
            prefill: faster(nominal.prefill), perToken: faster(nominal.perToken))
        let simulation = Simulation(ladder: try Samples.ladder(), truth: truth, profile: nil)
        let trace = try Trace.generated(
            .steady, frames: 3000, seed: 6, cheapest: Samples.time(256, model: truth),
            dearest: Samples.time(1024, model: truth))
        let adaptive = simulation.run(trace, .adaptive, keepsFrames: true)
        #expect(adaptive.log.first?.reason == "learning")
        #expect(adaptive.missRate <= 0.02)
        #expect(adaptive.meanUtility >= 0.95 * simulation.run(trace, .oracle).meanUtility)
    }

    @Test func aTraceIsTheSameForTheSameSeed() throws {
        #expect(try Self.trace(.cpuHog, frames: 500) == Self.trace(.cpuHog, frames: 500))
        #expect(try Self.trace(.cpuHog, frames: 500) != Self.trace(.cpuHog, frames: 500, seed: 2))
    }

    @Test(arguments: Trace.Scenario.allCases)
    func tracesAreWhatTheySay(scenario: Trace.Scenario) throws {
        let frames = try Self.trace(scenario).frames
        #expect(frames.count >= 3000)
        func mean(_ frames: some Collection<TraceFrame>, _ value: (TraceFrame) -> Double) -> Double {
            frames.reduce(0) { $0 + value($1) } / Double(max(1, frames.count))
        }
        let calm = frames[0..<400]
        let (changed, factor): (ArraySlice<TraceFrame>, (Double, Double)) =
            switch scenario {
            case .steady, .bursts, .budgetStep: (frames[600..<1000], (1, 1))
            case .cpuHog: (frames[500..<1000], (1.8, 1.4))
            case .memoryHog: (frames[500..<1000], (1.2, 1.8))
            case .frequencyStep: (frames[1000..<2000], (1.5, 1.1))
            case .thermalRamp: (frames[700..<1300], (1.6, 1.15))
            case .timeSlices: (frames[400..<467] + frames[533..<600], (1.2, 1.1))
            }
        #expect(abs(mean(calm, \.seeing) - 1) < 0.02)
        #expect(abs(mean(changed, \.seeing) / factor.0 - 1) < 0.02)
        #expect(abs(mean(changed, \.generate) / factor.1 - 1) < 0.02)
        let accidents = frames[0..<400].filter { $0.seeing > 1.25 && $0.prefill > 1.2 }.count
        #expect((0...12).contains(accidents))
        let budgets = mean(frames[1000..<2000]) { $0.budget ?? 0 } / mean(frames[0..<1000]) { $0.budget ?? 0 }
        #expect(abs(budgets - (scenario == .budgetStep ? 0.5 : 1)) < 0.05)
    }

    @Test func recordedTracesAreReplayed() throws {
        let lines = [
            #"{"arrival_ms":0,"budget_ms":9000,"unknown":1}"#,
            #"{"arrival_ms":20000,"budget_ms":9000,"vision_slowdown":1.5,"tokens":12,"live":true,"source":3}"#,
            #"{"arrival_ms":40000,"budget_ms":10,"question":"text","signals":{"temperature_c":71.5}}"#,
        ]
        let frames = try lines.map { try JSONDecoder().decode(TraceFrame.self, from: Data($0.utf8)) }
        #expect(frames[1].seeing == 1.5)
        #expect(frames[2].signals?.temperature == 71.5)
        for frame in frames {
            #expect(try JSONDecoder().decode(TraceFrame.self, from: JSONEncoder().encode(frame)) == frame)
        }
        let simulation = try Self.simulation(missTarget: 0.01, profile: Samples.model)
        let result = simulation.run(try Trace(name: "recorded", frames: frames), .adaptive, keepsFrames: true)
        #expect(result.started == 2)
        #expect(result.refused == 1)
        #expect(result.log.map(\.met) == [true, true, false])
        // The second frame took half as long again as the first to see.
        let plain = Samples.model.phases(
            Rung(pixels: 1024), sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: 1
        ).seeing
        #expect(result.log[0].rung == result.log[1].rung)
        #expect(result.log[1].actual - result.log[0].actual < plain)
    }

    @Test func framesThatCannotBeInTimeAnyMoreAreGivenUp() throws {
        let frame = TraceFrame(arrival: 0, budget: 9000, seeing: 40)
        let trace = try Trace(name: "stalled", frames: [frame])
        let simulation = try Self.simulation(missTarget: 0.01, profile: Samples.model)
        let result = simulation.run(trace, .adaptive, keepsFrames: true)
        let whole =
            40
            * Samples.model.phases(
                Rung(pixels: 1024), sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: 1
            ).seeing
        #expect(result.missed == 1)
        #expect(result.log.first?.tokens == 0)
        #expect(result.duration < 0.3 * whole)
    }

    @Test func measuredFramesBecomeTraces() {
        let idle = PhaseTimes(decode: 5, preprocess: 5, vision: 90, prefill: 50, generate: 100)
        let measured = PhaseTimes(decode: 10, preprocess: 10, vision: 180, prefill: 60, generate: 0)
        let frame = Trace.frame(
            arrival: 7, budget: 800, source: 1, isLive: true, question: .text, measured: measured, idle: idle,
            tokens: 0, signals: nil)
        #expect(frame.seeing == 2)
        #expect(frame.prefill == 1.2)
        #expect(frame.generate == 1)
        #expect(frame.tokens == 1)
    }

    @Test func impossibleTracesAreRefused() {
        func code(_ frames: [TraceFrame]) -> LatencyBudgetError.Code? {
            do throws(LatencyBudgetError) {
                _ = try Trace(name: "bad", frames: frames)
                return nil
            } catch { return error.code }
        }
        #expect(code([]) == nil)
        #expect(code([TraceFrame(arrival: 5, budget: nil), TraceFrame(arrival: 5, budget: 0)]) == nil)
        #expect(code([TraceFrame(arrival: 5, budget: nil), TraceFrame(arrival: 4, budget: nil)]) == .traceInvalid)
        for value in [Double.nan, .infinity, -1] {
            #expect(code([TraceFrame(arrival: value, budget: nil)]) == .traceInvalid)
            #expect(code([TraceFrame(arrival: 0, budget: nil, seeing: value)]) == .traceInvalid)
            #expect(code([TraceFrame(arrival: 0, budget: nil, prefill: value)]) == .traceInvalid)
            #expect(code([TraceFrame(arrival: 0, budget: nil, generate: value)]) == .traceInvalid)
        }
        #expect(code([TraceFrame(arrival: 0, budget: .nan)]) == .traceInvalid)
        #expect(code([TraceFrame(arrival: 0, budget: 1, tokens: .max)]) == .traceInvalid)
        #expect(throws: LatencyBudgetError.self) {
            try Trace.generated(.steady, frames: 1, seed: 1, cheapest: 0, dearest: 1)
        }
        #expect(throws: LatencyBudgetError.self) {
            try Trace.generated(.steady, frames: 1, seed: 1, cheapest: 2, dearest: 3, load: .nan)
        }
    }

    @Test func laddersOfNoneAndOneRungAreReplayed() throws {
        let trace = try Self.trace(.steady, frames: 200)
        let policies: [Simulation.Policy] = [.adaptive, .table, .oracle, .fixed(0), .fixed(-1), .fixed(.max)]
        let empty = Simulation(ladder: try Ladder([]), truth: Samples.model, profile: nil)
        for policy in policies {
            let result = empty.run(trace, policy)
            #expect(result.started == 0)
            #expect(result.utility == 0)
        }
        let single = Simulation(ladder: try Samples.ladder([256]), truth: Samples.model, profile: Samples.model)
        #expect(single.run(trace, .adaptive).started > 150)
        for policy in policies { _ = single.run(trace, policy) }
        #expect(SimulationReport(empty, try Trace(name: "nothing", frames: [])).svg().contains("</svg>"))
    }
}
