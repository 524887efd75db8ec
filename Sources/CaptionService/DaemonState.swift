internal import Synchronization

/// What of the daemon changes while it runs.
final class DaemonState: Sendable {
    struct Content: Sendable {
        var configuration: DaemonConfiguration
        /// As ``ServiceStatus/state``.
        var phase = ServiceStatus.starting
        /// Why the file as it is now is not used.
        var problem: String?
        /// What does not work as it should, one stable word each.
        var degraded: Set<String> = []
    }

    private let content: Mutex<Content>

    init(_ content: Content) { self.content = Mutex(content) }

    var now: Content { content.withLock { $0 } }

    func change(_ body: (inout Content) -> Void) { content.withLock { body(&$0) } }
}
