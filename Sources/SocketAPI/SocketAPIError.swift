/// Why the socket cannot be served.
public struct SocketAPIError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable, Equatable {
        /// Another program serves the socket already.
        case inUse = "in_use"
        /// Something that is no socket stands at its path.
        case notASocket = "not_a_socket"
        /// The path cannot be used, or the descriptor is no listening socket.
        case place
        /// A user or a group is not known here.
        case unknownName = "unknown_name"
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
