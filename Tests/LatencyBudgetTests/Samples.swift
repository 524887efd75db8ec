import LatencyBudget
import Testing

/// The paper's ladder and the nominal device, as most tests use them.
enum Samples {
    /// Whether the optimizer ran: without it only shorter traces are replayed, and no time is held against the code.
    static let isOptimized: Bool = {
        var isChecked = false
        assert(
            {
                isChecked = true
                return true
            }())
        return !isChecked
    }()

    static func ladder(_ resolutions: [Int] = [256, 512, 768, 1024]) throws -> Ladder {
        try Ladder.published(resolutions: resolutions)
    }

    /// What a general question is worth at a rung of that ladder.
    static func ladderUtility(_ pixels: Int) throws -> Double {
        try #require(ladder([pixels]).steps.first).utility.general
    }

    static let model = CostModel.nominal

    static func planner(
        _ resolutions: [Int] = [256, 512, 768, 1024], model: CostModel? = Samples.model,
        configuration: PlannerConfiguration = .init()
    ) throws -> Planner {
        Planner(ladder: try ladder(resolutions), model: model, configuration: configuration)
    }

    /// A model so small that a frame is shorter than a time slice, on a device that answers at its rungs in about 1.6, 2.2,
    /// 3.0 and 4.1 ms.
    static let smallModel = CostModel(
        decode: CostCurve(constant: 0.25), preprocess: CostCurve(constant: 0.1, linear: 5e-6),
        encode: CostCurve(constant: 0.4, linear: 2.8e-5), prefill: CostCurve(constant: 0.16, linear: 0.0025),
        perToken: CostCurve(constant: 0.027))

    static func smallLadder() throws -> Ladder {
        try Ladder(
            zip([128, 192, 256, 320], [60.0, 80, 90, 95]).map {
                Ladder.Step(Rung(pixels: $0), utility: Utility(general: $1))
            })
    }

    /// Idle time of the shortest useful answer with a request's usual values, ms.
    static func time(_ pixels: Int, tokens: Int = 8, model: CostModel = Samples.model) -> Double {
        model.phases(
            Rung(pixels: pixels), sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: tokens
        ).total
    }

    /// What a frame takes when computing and memory are slower by factors.
    static func measured(
        _ plan: Plan, tokens: Int = 20, computing: Double = 1, memory: Double = 1, model: CostModel = Samples.model
    ) -> PhaseTimes {
        var times = model.phases(
            plan.rung, sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: tokens)
        times.decode *= computing
        times.preprocess *= computing
        times.vision *= computing
        times.prefill *= computing
        times.generate *= memory
        return times
    }
}

extension PlanDecision {
    var plan: Plan? {
        if case .run(let plan) = self { plan } else { nil }
    }

    var expiry: ExpiryReason? {
        if case .expired(let reason) = self { reason } else { nil }
    }
}

extension SeededGenerator {
    /// Evenly from 0 up to 1.
    mutating func share() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// A factor that is off by up to `part` either way.
    mutating func noise(_ part: Double) -> Double { 1 + part * (2 * share() - 1) }
}
