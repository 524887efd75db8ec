internal import Synchronization

/// Shows that work goes on: whoever works beats, and while somebody works and nobody beats there is silence.
///
/// Waiting for a picture, for room on the disk or for another's turn is no work, and no silence.
public final class Heartbeat: Sendable {
    private struct State {
        var workers = 0
        var last = SuspendingClock.now
    }

    private let state = Mutex(State())

    public init() {}

    /// Something moved.
    public func beat() { state.withLock { $0.last = .now } }

    /// Work begins; ``end()`` ends it.
    public func begin() {
        state.withLock {
            $0.workers += 1
            $0.last = .now
        }
    }

    public func end() {
        state.withLock {
            $0.workers -= 1
            $0.last = .now
        }
    }

    /// For how long somebody has worked without a beat; zero while nobody works. A suspended machine's time does not count.
    public var silence: Duration {
        state.withLock { $0.workers > 0 ? SuspendingClock.now - $0.last : .zero }
    }
}
