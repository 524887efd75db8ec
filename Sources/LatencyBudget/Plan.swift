/// Why a rung was chosen; the raw values stand in results.
public enum PlanReason: String, Sendable, Codable, CaseIterable {
    /// No rung of the ladder is known to be better.
    case best
    /// The rung of which most is to be expected within the budget.
    case budget
    /// A better rung seems to fit, but not yet for long enough.
    case proving
    /// A better rung fits this frame's budget, but would cost other frames more than it gains.
    case sharing
    /// The ladder has one rung.
    case onlyRung = "only_rung"
    /// The resolution is configured.
    case fixed
    /// There is no budget.
    case noBudget = "no_budget"
    /// Nothing fits; the cheapest rung answers late.
    case bestEffort = "best_effort"
    /// Nothing is known of the device yet: the cheapest rung measures it.
    case learning
    /// Nothing seemed to fit for a while; the cheapest rung finds out whether that still holds.
    case probe
    /// The picture is in the cache at this rung.
    case encoded

    /// Whether the rung was chosen because it was worth the risk: whether the frame was late says what a miss has to cost.
    var followsRisk: Bool {
        switch self {
        case .best, .budget, .proving, .sharing, .onlyRung: true
        case .fixed, .noBudget, .bestEffort, .learning, .probe, .encoded: false
        }
    }
}

/// Why a frame is not started.
public enum ExpiryReason: String, Sendable, Codable, CaseIterable {
    /// The budget was used up before the frame could start.
    case deadlinePassed = "deadline_passed"
    /// Not even the cheapest rung fits what is left.
    case belowLowestRung = "below_lowest_rung"
    /// The ladder is empty.
    case noRungs = "no_rungs"
}

/// What to do with a frame.
public enum PlanDecision: Sendable, Equatable {
    case run(Plan)
    case expired(ExpiryReason)
}

/// A frame's rung, the length of its answer, and what was expected when they were chosen. Times are ms.
public struct Plan: Sendable, Equatable {
    public let rung: Rung
    /// What the encoder sees: the rung, or less of it where black bars are left out.
    public let shape: Rung
    public let reason: PlanReason
    /// When the answer is due, on the clock that the plan was made with; infinite without a limit.
    public let deadline: Double
    /// The most tokens; ``TokenGovernor`` may end the answer earlier.
    public let tokenLimit: Int
    /// Fewer are of no use.
    public let minimumTokens: Int
    /// What the frame is expected to take with an answer of usual length.
    public let predicted: PhaseTimes
    /// What the shortest useful answer takes at most, with the configured probability.
    public let bound: Double

    /// What was asked.
    let prompt: AnswerLengths.Prompt
    /// Where the rung stands in the ladder.
    let index: Int?
    /// What an idle device would take for the shortest useful answer.
    let idle: PhaseTimes
    /// What the decoder is given; nil where it is not known.
    let decoding: DecodingCost.Work?
    let outline: EncodedPicture.Outline
    /// Slowdowns that the plan was made with, by phase.
    let slowdown: Slowdown
    /// The most likely slowdown of generating.
    let tokenFactor: Double
    /// Standard deviation of the prediction's logarithm.
    let deviation: Double
    let circumstance: Circumstance
    /// What it keeps for a stall by other programs, ms.
    let allowance: Double
    /// Tokens read before the answer.
    let context: Double
    let whenLate: LatePolicy

    /// Whether it was made beside other programs.
    var isInCompany: Bool { circumstance == .company }

    /// Expected time of the shortest useful answer.
    var likely: Double { slowdown.applied(to: idle).total }

    /// Whether the frame can still become useful in time: asked between the stages of the encoder and after it.
    ///
    /// It says no only where even a run a tenth faster than expected would be late.
    ///
    /// - Parameters:
    ///   - seen: The share of decoding, preprocessing and encoding that is done, 0...1.
    public func canStillFinish(at now: Double, seen: Double) -> Bool {
        guard whenLate == .expired, deadline < .infinity else { return true }
        let expected = slowdown.applied(to: idle)
        let rest = expected.seeing * (1 - seen.bounded(to: 0...1)) + expected.prefill + expected.generate
        return !(now + 0.9 * rest > deadline)
    }
}

/// Factors on the phases of the cost model.
struct Slowdown: Sendable, Equatable {
    var opening = 1.0
    var vision = 1.0
    var prefill = 1.0
    var generate = 1.0

    func applied(to idle: PhaseTimes) -> PhaseTimes {
        PhaseTimes(
            decode: idle.decode * opening, preprocess: idle.preprocess * opening, vision: idle.vision * vision,
            prefill: idle.prefill * prefill, generate: idle.generate * generate)
    }
}
