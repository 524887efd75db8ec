/// What went wrong below the model: a library that is missing, memory or threads that the system refused.
public struct KernelError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable, Equatable {
        case unsupportedInstructionSet = "unsupported_instruction_set"
        case noThreads = "no_threads"
        case blasUnavailable = "blas_unavailable"
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
