/// Why the service manager's environment cannot be used, or it cannot be told something.
public struct ServiceManagerError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable, Equatable {
        /// A variable that the service manager sets holds what it never sets.
        case environment
        /// The system refused a call.
        case system
    }

    public let code: Code
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
