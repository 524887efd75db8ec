/// How the resolution of a frame is chosen.
public enum ResolutionChoice: Sendable, Equatable {
    /// By what is left of the budget.
    case budget
    /// This rung, whatever it takes; the budget still limits the answer's length.
    case fixed(Rung)
    /// The rung of the highest utility without any limit of time.
    case off
}

/// What happens to a frame that no rung can answer in time.
public enum LatePolicy: String, Sendable, Codable, CaseIterable {
    /// It is not started.
    case expired
    /// The cheapest rung answers late, with the fewest useful tokens.
    case bestEffort = "best_effort"
}

/// A frame that is about to be answered, as the planner sees it. Times are ms on one monotonic clock.
public struct PlanRequest: Sendable, Equatable {
    /// When the picture arrived.
    public var arrival: Double
    /// From arrival to answer, ms. `nil` and infinity are no limit; NaN and what is below zero are no time at all.
    public var budget: Double?
    public var question: QuestionType
    /// A number for each prompt or set of questions, with no two alike: answers to the same ones are about equally long.
    /// The default is 0.
    public var kind = 0
    /// The answers that are asked for, at least 1: a caption, and one to each question. The default is 1.
    public var replies = 1
    public var choice: ResolutionChoice
    public var whenLate: LatePolicy
    /// Pixels of the picture before it is resized.
    public var sourcePixels: Double
    /// The longer side of the picture before it is resized, in pixels; nil where it is not known. Rungs with tiles are only
    /// for pictures at least as large as they are.
    public var sourceSide: Int?
    /// What the picture's file says of itself; nil where that is not known: then `sourcePixels` alone tell what decoding
    /// takes.
    public var picture: EncodedPicture?
    /// Whether the black bars that make `picture` square are left out: it is seen at the rung without them.
    public var isTrimmed = false
    /// Prompt tokens besides the picture's that still have to be read.
    public var textTokens: Int
    /// An answer shorter than this is of no use, unless the model ended it.
    public var minimumTokens: Int
    /// The most tokens of an answer.
    public var maximumTokens: Int
    /// A small number for each source of frames; frames of one source change their rung reluctantly.
    public var source: Int
    /// The rung at which this picture is in the cache already: a further question costs no seeing.
    public var encoded: Rung?
    /// The deadlines of the frames that wait behind this one.
    public var waiting = WaitingDeadlines()

    /// - Parameters:
    ///   - budget: The default is no limit.
    ///   - minimumTokens: The default is 8.
    ///   - maximumTokens: The default is 240.
    public init(
        arrival: Double, budget: Double? = nil, question: QuestionType = .general, choice: ResolutionChoice = .budget,
        whenLate: LatePolicy = .expired, sourcePixels: Double = CostModel.usualSourcePixels, textTokens: Int = 32,
        minimumTokens: Int = 8, maximumTokens: Int = 240, source: Int = 0, encoded: Rung? = nil
    ) {
        self.arrival = arrival
        self.budget = budget
        self.question = question
        self.choice = choice
        self.whenLate = whenLate
        self.sourcePixels = sourcePixels
        self.textTokens = textTokens
        self.minimumTokens = minimumTokens
        self.maximumTokens = maximumTokens
        self.source = source
        self.encoded = encoded
    }

    /// What tells how long its answers will be.
    var prompt: AnswerLengths.Prompt {
        AnswerLengths.Prompt(type: question, kind: kind, replies: replies.bounded(to: 1...1_000_000))
    }

    /// The budget that is left at `now`, ms, infinite without a limit.
    ///
    /// A clock that stands before the arrival has not used any of it, and one that is not a number neither.
    func left(at now: Double) -> Double {
        guard let budget, choice != .off else { return .infinity }
        let elapsed = (now - arrival).asDuration
        return (budget.asDuration - elapsed).asDuration
    }
}
