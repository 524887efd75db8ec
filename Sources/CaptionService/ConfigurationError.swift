/// Why a configuration cannot be used: names the file, the key, the value and what is allowed.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable, Equatable {
        case unreadable
        /// The file is not TOML.
        case syntax
        case unknownKey = "unknown_key"
        case missingKey = "missing_key"
        /// A value of the wrong type, or out of range.
        case invalidValue = "invalid_value"
        /// Two values that cannot both hold.
        case conflict
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
