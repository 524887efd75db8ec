internal import NIOCore
internal import Synchronization

/// One connection: who is at its other end, and how far its requests are.
final class Connection: Sendable {
    let peer: PeerCredentials

    private struct State {
        /// Heads that were let through, without those that are answered.
        var unanswered = 0
        var isBodyUnread = false
        var hasExpectation = false
        var works: [Int: Task<Void, Never>] = [:]
        var lastWork = 0
        var isClosed = false
    }

    private let state = Mutex(State())

    init(peer: PeerCredentials) { self.peer = peer }

    var isAnswering: Bool { state.withLock { $0.unanswered > 0 } }

    /// Whether some of the present request's body has still to come.
    var isBodyUnread: Bool {
        get { state.withLock { $0.isBodyUnread } }
        set { state.withLock { $0.isBodyUnread = newValue } }
    }

    func began() { state.withLock { $0.unanswered += 1 } }
    func answered() { state.withLock { $0.unanswered -= 1 } }

    /// Cancels `cancel`'s task when the client is gone.
    func onClose(_ cancel: @escaping @Sendable () -> Void) -> Int {
        let (id, isClosed) = state.withLock { state in
            state.lastWork += 1
            if !state.isClosed { closers.withLock { $0[state.lastWork] = cancel } }
            return (state.lastWork, state.isClosed)
        }
        if isClosed { cancel() }
        return id
    }

    func forget(_ id: Int) { closers.withLock { $0[id] = nil } }

    func closed() {
        state.withLock { $0.isClosed = true }
        let all = closers.withLock { closers in
            defer { closers = [:] }
            return Array(closers.values)
        }
        for close in all { close() }
    }

    private let closers = Mutex<[Int: @Sendable () -> Void]>([:])
}

/// Tells the guard of a connection to end it: what was written goes out, what comes is thrown away.
struct EndConnection: Sendable {}
