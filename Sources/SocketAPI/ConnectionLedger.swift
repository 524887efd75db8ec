internal import NIOCore
internal import Synchronization

/// Which connections there are, and whose.
final class ConnectionLedger: Sendable {
    private let limits: SocketAPI.Limits
    private let state = Mutex(State())

    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var users: [UInt32: Int] = [:]
        var refused = 0
        var isClosing = false
    }

    init(_ limits: SocketAPI.Limits) { self.limits = limits }

    var count: Int { state.withLock { $0.channels.count } }
    /// Those that were turned away so far.
    var refused: Int { state.withLock { $0.refused } }

    /// Lets a connection in, or says why not.
    func admit(_ channel: any Channel, user: UInt32) -> Problem? {
        state.withLock { state in
            let problem: Problem? =
                if state.isClosing {
                    Problem(.notReady, "The daemon is ending.")
                } else if state.channels.count >= limits.connections {
                    Problem(.tooManyConnections, "At most \(limits.connections) may be open.")
                } else if state.users[user, default: 0] >= limits.connectionsOfOneUser {
                    Problem(.tooManyConnections, "At most \(limits.connectionsOfOneUser) of one user may be open.")
                } else {
                    nil
                }
            guard problem == nil else {
                state.refused += 1
                return problem
            }
            state.channels[ObjectIdentifier(channel)] = channel
            state.users[user, default: 0] += 1
            return nil
        }
    }

    func leave(_ channel: any Channel, user: UInt32) {
        state.withLock { state in
            guard state.channels.removeValue(forKey: ObjectIdentifier(channel)) != nil else { return }
            state.users[user, default: 0] -= 1
            if state.users[user] == 0 { state.users[user] = nil }
        }
    }

    func countRefusal() { state.withLock { $0.refused += 1 } }

    /// Lets nobody in any more.
    ///
    /// - Returns: Those that are open.
    func close() -> [any Channel] {
        state.withLock { state in
            state.isClosing = true
            return Array(state.channels.values)
        }
    }
}
