public import LatencyBudget

/// What was decided for one picture, together with the clock and the knowledge of the device that it was decided with.
public struct FramePlan: Sendable {
    public let plan: Plan
    /// As it was when the plan was made: what other pictures teach meanwhile does not change this one's answer.
    package let planner: Planner
    package let clock: BudgetClock
    /// Replies that share the time: a caption and answers.
    let replies: Int
    /// The most tokens of one reply, as asked for.
    let maximumTokens: Int
    /// Whether a reply's fewest useful tokens are said even after the deadline.
    let finishesMinimum: Bool

    /// Side of the square that the encoder is to see, in pixels.
    public var resolution: Int { plan.rung.width }

    /// What was expected of the picture, for `tokens` tokens in all its replies: to be held against what it took.
    package func prediction(tokens: Int) -> PhaseTimes { planner.prediction(of: plan, tokens: tokens) }

    /// The share of the encoding that is done, decoding and preprocessing included, once the encoder is at `encoder`, 0...1.
    func seen(encoder: Double) -> Double {
        let expected = plan.predicted
        return expected.seeing > 0
            ? (expected.decode + expected.preprocess + encoder * expected.vision) / expected.seeing : encoder
    }

    /// Whether the picture can still be answered in time.
    func mayGoOn(seen: Double) -> Bool { plan.canStillFinish(at: clock.now, seen: seen) }

    /// What ends the reply with number `reply` in time; made when its first token is there.
    ///
    /// The time that is left is shared evenly among this reply and those that follow.
    func governor(reply: Int) -> TokenGovernor {
        let now = clock.now
        guard replies > 1 else { return planner.governor(for: plan, now: now) }
        let step = planner.generate.factor * planner.model.perToken(Double(plan.rung.visualTokens) + 1)
        let left = plan.deadline - planner.configuration.reserve - now
        return TokenGovernor(
            deadline: left < .infinity ? now + left / Double(max(1, replies - reply)) : .infinity, now: now, step: step,
            deviation: planner.generate.deviation, minimum: max(1, plan.minimumTokens / replies), limit: maximumTokens,
            finishesMinimum: finishesMinimum)
    }
}

/// Milliseconds on a clock that nobody sets.
public struct BudgetClock: Sendable {
    private let origin = ContinuousClock.now

    public init() {}

    public var now: Double { milliseconds(at: .now) }

    public func milliseconds(at instant: ContinuousClock.Instant) -> Double { (instant - origin).milliseconds }
}
