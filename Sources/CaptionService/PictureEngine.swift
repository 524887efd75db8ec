public import FastVLM
public import LatencyBudget

/// Answers what is asked about pictures: FastVLM, or in tests a stub of set latency and outcome.
public protocol PictureEngine: Sendable {
    /// What answers, for the sidecar.
    var model: ModelFacts { get }

    /// The sizes that a budget may choose from, with what an answer at each is worth.
    var ladder: Ladder { get }

    /// Side of the square that is seen where nothing else is asked for, in pixels.
    var defaultResolution: Int { get }

    /// Tokens of the prompts of `tasks` that have to be read for each picture, besides the picture's own.
    func textTokens(of tasks: PictureTasks) -> Int

    /// Reads `picture`, a JPEG or PNG file's bytes, and does `tasks`; within `plan`, if there is one.
    ///
    /// Throws ``EngineError/Code/cancelled`` soon after the task is cancelled, ``EngineError/Code/late`` where the plan's
    /// deadline can no longer be met.
    func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?
    ) async throws(EngineError) -> PictureReport

    /// The same, and `onText` receives each reply's text as it is said; `reply` is 0 for the caption, if one is wanted, and
    /// counts on through the answers. May be called on any thread.
    ///
    /// The default says each reply at once when all are there.
    func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?,
        onText: (@Sendable (_ reply: Int, _ text: String) -> Void)?
    ) async throws(EngineError) -> PictureReport
}

extension PictureEngine {
    public func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?,
        onText: (@Sendable (_ reply: Int, _ text: String) -> Void)?
    ) async throws(EngineError) -> PictureReport {
        let report = try await run(tasks, on: picture, plan: plan)
        if let onText {
            for (index, reply) in ((report.caption.map { [$0] } ?? []) + report.answers).enumerated() {
                onText(index, reply.text)
            }
        }
        return report
    }

    /// Reads `picture` and does `tasks` without a budget.
    public func run(_ tasks: PictureTasks, on picture: [UInt8]) async throws(EngineError) -> PictureReport {
        try await run(tasks, on: picture, plan: nil)
    }
}

/// Which model answered.
public struct ModelFacts: Sendable, Equatable {
    public var name: String
    /// `sha256:…`, or `headers-sha256:…` for an unpacked folder.
    public var digest: String
    public var precision: String

    public init(name: String, digest: String, precision: String) {
        self.name = name
        self.digest = digest
        self.precision = precision
    }
}

/// What came of a picture, and how long each step took.
public struct PictureReport: Sendable, Equatable {
    /// Size of the picture as a person sees it, in pixels.
    public var width: Int
    public var height: Int
    /// Nil if none was asked for.
    public var caption: Reply?
    /// One for each question, in their order.
    public var answers: [Reply]
    /// Side of the square that was seen, in pixels.
    public var resolution: Int
    /// Tiles that the square was cut into and that were seen after an overview; 0 if it was seen in one piece.
    public var tiles = 0
    public var visualTokens: Int
    public var timings: Timings

    /// One generated text.
    public struct Reply: Sendable, Equatable {
        public var text: String
        /// `stop`, `length`, or where a budget ended it `sentence` (at the end of one) or `deadline` (cut back to the end
        /// of one, if there was any).
        public var finishReason: String
        public var promptTokens: Int
        public var generatedTokens: Int
        /// The answer as its type has it; nil for a caption.
        public var value: AnswerValue?
        /// 0...1, as ``TypedAnswer/confidence`` says; nil for text.
        public var confidence: Double?

        public init(
            text: String, finishReason: String, promptTokens: Int, generatedTokens: Int, value: AnswerValue? = nil,
            confidence: Double? = nil
        ) {
            self.value = value
            self.confidence = confidence
            self.text = text
            self.finishReason = finishReason
            self.promptTokens = promptTokens
            self.generatedTokens = generatedTokens
        }
    }

    /// Milliseconds of each step, over all replies.
    public struct Timings: Sendable, Equatable {
        /// JPEG or PNG to pixels.
        public var decode = 0.0
        /// Pixels to the model's input.
        public var preprocess = 0.0
        /// Encoder and projector.
        public var vision = 0.0
        /// Prompts, up to the first token of each reply.
        public var prefill = 0.0
        /// From the start to the first token of the first reply.
        public var firstToken = 0.0
        /// Every token after the first of each reply.
        public var generate = 0.0

        public init() {}
    }

    public init(
        width: Int, height: Int, caption: Reply?, answers: [Reply], resolution: Int, visualTokens: Int, timings: Timings
    ) {
        self.width = width
        self.height = height
        self.caption = caption
        self.answers = answers
        self.resolution = resolution
        self.visualTokens = visualTokens
        self.timings = timings
    }
}
