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
    }

    public let code: Code
    /// For ``Code/picture``: the stable code that the sidecar carries, for example `jpeg_truncated`.
    public let pictureCode: String?
    public let message: String

    public init(_ code: Code, _ message: String, pictureCode: String? = nil) {
        self.code = code
        self.message = message
        self.pictureCode = pictureCode
    }

    public var description: String { message }
}
