/// Ends an answer in time: asked after every token whether there is time for one more.
///
/// A value of fixed size; every question is a few arithmetic operations.
public struct TokenGovernor: Sendable, Equatable {
    /// Why an answer is ended.
    public enum Stop: String, Sendable, Codable, CaseIterable {
        /// The most tokens are there.
        case limit
        /// One more would be late.
        case deadline
        /// A sentence has ended and another would not fit.
        case sentence
    }

    public enum Verdict: Sendable, Equatable {
        case proceed
        case stop(Stop)
    }

    /// Tokens that are there.
    public private(set) var tokens = 0
    /// Tokens up to the end of the last whole sentence, 0 before the first: where a cut answer may be cut back to.
    public private(set) var wholeSentences = 0

    /// Time that is left, ms. Counted down rather than compared with a clock, so that a clock that jumps back gives
    /// the answer no more time than it had.
    private var left: Double
    private var last: Double
    /// The next token's step and what each further one adds, ms.
    private var step: Double
    private let growth: Double
    /// Mean distance of a step from the expected one, relative.
    private var spread: Double
    private let minimum: Int
    private let limit: Int
    private let finishesMinimum: Bool

    /// - Parameters:
    ///   - deadline: On the clock of `now`; infinite without one.
    ///   - now: When the first token is there.
    ///   - step: Expected time of a token, ms.
    ///   - growth: What each further token adds to it, ms.
    ///   - deviation: Of a step, relative.
    ///   - minimum: Tokens below which an answer is of no use.
    ///   - limit: The most tokens.
    ///   - finishesMinimum: Whether the shortest useful answer is finished even after the deadline.
    public init(
        deadline: Double, now: Double, step: Double, growth: Double = 0, deviation: Double = 0.1, minimum: Int = 1,
        limit: Int, finishesMinimum: Bool = false
    ) {
        last = now.isFinite ? now : 0
        left = deadline == .infinity ? .infinity : (deadline - last).asDuration
        self.step = step.isFinite ? step.asDuration : 0
        self.growth = growth.isFinite ? growth : 0
        spread = deviation.isFinite ? deviation.bounded(to: 0.02...0.5) : 0.1
        self.limit = max(1, limit)
        self.minimum = minimum.bounded(to: 1...self.limit)
        self.finishesMinimum = finishesMinimum
    }

    /// Whether one more token is to be generated, after one was said at `now`.
    ///
    /// - Parameter endsSentence: Whether a sentence ends with this token.
    public mutating func advance(now: Double, endsSentence: Bool = false) -> Verdict {
        let elapsed = now.isFinite ? (now - last).asDuration : 0
        if now.isFinite { last = now }
        if tokens > 0, elapsed > 0 { learn(elapsed) }
        left = (left - elapsed).asDuration
        if tokens < Int.max { tokens += 1 }
        let length = tokens - wholeSentences
        if endsSentence { wholeSentences = tokens }
        if tokens >= limit { return .stop(.limit) }
        guard left < .infinity else { return .proceed }

        let next = step * (1 + 2 * spread)
        if next > left {
            return finishesMinimum && tokens < minimum ? .proceed : .stop(.deadline)
        }
        // Another sentence is taken to be as long as this one.
        if endsSentence, tokens >= minimum, next * Double(length.bounded(to: 4...32)) > left {
            return .stop(.sentence)
        }
        return .proceed
    }

    /// Follows the steps as they come.
    private mutating func learn(_ elapsed: Double) {
        guard step > 0 else {
            step = elapsed
            return
        }
        // A stall of one token is no new speed.
        let ratio = (elapsed / step).bounded(to: 0.25...4)
        step *= 1 + 0.2 * (ratio - 1)
        step = max(step + growth, 0)
        spread += 0.1 * (min(abs(ratio - 1), 0.5) - spread)
    }
}
