/// Why a model cannot be loaded or an inference cannot be finished.
public struct FastVLMError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable, Equatable {
        /// The model file lacks something or holds something that cannot be run.
        case model
        /// Threads, memory or a library are missing.
        case resources
        /// The prompt does not fit the model's context.
        case contextTooLong = "context_too_long"
        /// The resolution cannot be used.
        case resolution
        /// The type of an answer, or the schema that types stand in, cannot be used.
        case answerType = "answer_type"
        /// The caller asked to stop.
        case cancelled
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
