/// What went wrong with a hub: what was being done, to what, expected and got, what to do.
public struct HubError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of a failure; the raw values are stable.
    public enum Code: String, Sendable, CaseIterable {
        // What was asked for
        case addressInvalid = "address_invalid"
        case repositoryInvalid = "repository_invalid"
        case tokenInvalid = "token_invalid"

        // The hub and the way to it
        case unreachable
        case untrusted
        case busy
        case loginNeeded = "login_needed"
        case notFound = "not_found"
        case redirectRefused = "redirect_refused"
        case replyInvalid = "reply_invalid"

        // What the hub has
        case nameRefused = "name_refused"
        case tooLarge = "too_large"
        case incomplete
        case sizeMismatch = "size_mismatch"
        case digestMismatch = "digest_mismatch"

        // This machine
        case cacheUnusable = "cache_unusable"
        case cacheInUse = "cache_in_use"
        case noSpace = "no_space"
    }

    public let code: Code

    /// One sentence or two for the reader.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

/// Why one attempt failed, and whether another may do better.
struct AttemptFailure: Error {
    let error: HubError
    /// False if trying again changes nothing.
    let mayPass: Bool
    /// How long the hub asked to be left alone.
    var pause: Duration?
    /// True if the attempt brought something that the next one goes on from.
    var hasProgressed = false

    static func final(_ code: HubError.Code, _ message: String) -> AttemptFailure {
        AttemptFailure(error: HubError(code, message), mayPass: false)
    }

    static func passing(_ code: HubError.Code, _ message: String, pause: Duration? = nil) -> AttemptFailure {
        AttemptFailure(error: HubError(code, message), mayPass: true, pause: pause)
    }
}
