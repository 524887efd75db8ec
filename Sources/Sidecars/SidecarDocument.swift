/// The result for one picture: the contract `fastvlm.sidecar/1`.
///
/// Parts that are not known are left out of the JSON, never null. Readers ignore keys they do not know.
public struct SidecarDocument: Sendable, Equatable {
    /// The value of `schema`. What changes or removes a key gets a new number; what adds one does not.
    public static let schema = "fastvlm.sidecar/1"

    /// How the frame ended.
    public enum Status: Sendable, Equatable {
        case ok
        /// The picture cannot be captioned: a stable `code` such as `jpeg_truncated`, and a sentence for the reader.
        case refused(code: String, reason: String)
        /// Its deadline passed before it could start.
        case expired
    }

    public var status: Status
    public var source: Source

    /// At most `captionLimit` bytes of UTF-8; longer text is cut on a character boundary when it is set.
    public var caption: String? {
        didSet { caption = caption.map { $0.cut(toBytes: Self.captionLimit) } }
    }

    public var answers: [Answer]
    public var model: Model?
    public var resolution: Resolution?
    public var budget: Budget?
    public var timings: Timings?
    public var health: Health?

    /// Why the text ended: `stop`, `length`, `deadline`, …
    public var finishReason: String?
    public var created: Timestamp

    /// The program and its version, such as `fastvlmd 0.1.0`.
    public var generator: String

    /// The most bytes of a caption, and of an answer in words.
    public static let captionLimit = 8192

    public init(
        status: Status, source: Source, caption: String? = nil, answers: [Answer] = [], model: Model? = nil,
        resolution: Resolution? = nil, budget: Budget? = nil, timings: Timings? = nil, health: Health? = nil,
        finishReason: String? = nil, created: Timestamp, generator: String
    ) {
        self.status = status
        self.source = source
        self.caption = caption.map { $0.cut(toBytes: Self.captionLimit) }
        self.answers = answers
        self.model = model
        self.resolution = resolution
        self.budget = budget
        self.timings = timings
        self.health = health
        self.finishReason = finishReason
        self.created = created
        self.generator = generator
    }
}

extension String {
    /// The longest beginning of at most `limit` bytes of UTF-8 that ends between two characters; where the first
    /// character alone is longer, between two Unicode scalars.
    func cut(toBytes limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var end = startIndex
        var count = 0
        while end < endIndex {
            let next = index(after: end)
            count += utf8.distance(from: end, to: next)
            if count > limit { break }
            end = next
        }
        if end > startIndex { return String(self[..<end]) }
        count = 0
        while end < endIndex {
            count += UTF8.width(unicodeScalars[end])
            if count > limit { break }
            end = unicodeScalars.index(after: end)
        }
        return String(self[..<end])
    }
}
