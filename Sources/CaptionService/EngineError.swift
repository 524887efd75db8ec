/// Why a picture got no answer.
public struct EngineError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable, Equatable {
        /// The picture itself cannot be read; ``EngineError/pictureCode`` says why.
        case picture
        /// The model cannot be loaded or run.
        case model
        /// The question or the resolution does not fit the model.
        case request
        /// Threads, memory or a library are missing.
        case resources
        /// The caller gave up.
        case cancelled
        /// The deadline can no longer be met; ``EngineError/spent`` says what was done until then.
        case late
    }

    /// Work that came to nothing.
    public struct Spent: Sendable, Equatable {
        /// Phases that did not run are 0.
        public var timings: PictureReport.Timings
        /// The share of decoding, preprocessing and encoding that was done, 0...1.
        public var seen: Double

        public init(timings: PictureReport.Timings, seen: Double) {
            self.timings = timings
            self.seen = seen
        }
    }

    public let code: Code
    /// For ``Code/picture``: the stable code that the sidecar carries, for example `jpeg_truncated`.
    public let pictureCode: String?
    /// For ``Code/late``.
    public let spent: Spent?
    public let message: String

    public init(_ code: Code, _ message: String, pictureCode: String? = nil, spent: Spent? = nil) {
        self.code = code
        self.spent = spent
        self.message = message
        self.pictureCode = pictureCode
    }

    public var description: String { message }
}
