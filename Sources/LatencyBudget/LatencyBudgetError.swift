/// Why a ladder, a profile or a trace cannot be used.
///
/// Deciding never fails: whatever a request holds, ``Planner/plan(_:now:)`` answers.
public struct LatencyBudgetError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of a failure; the raw values are stable.
    public enum Code: String, Sendable, Codable, CaseIterable {
        /// A rung has an impossible size or utility, or stands twice.
        case ladderInvalid = "ladder_invalid"
        /// A measured point is not a positive, finite time.
        case profileInvalid = "profile_invalid"
        /// Too little was measured to predict from.
        case profileIncomplete = "profile_incomplete"
        /// A frame of a trace holds a value that no run can have.
        case traceInvalid = "trace_invalid"
    }

    public let code: Code

    /// What was being done, to what, expected and got, what to do.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
