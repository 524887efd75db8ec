internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals

/// Does something at each SIGHUP. Those that come meanwhile count as one more.
struct HangUpService: Service {
    /// Called when signals are heard: one that comes before is lost.
    let onListening: @Sendable () -> Void
    let body: @Sendable () async -> Void

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        onListening()
        for await _ in signals.cancelOnGracefulShutdown() { await body() }
    }
}

/// Does something when the shutdown begins. Last in its group, it is the first to hear of it.
struct StoppingService: Service {
    let body: @Sendable () -> Void

    func run() async throws {
        try? await gracefulShutdown()
        body()
    }
}

/// Waits for several parts, then does something once.
final class Readiness: Sendable {
    private struct State {
        var missing: Int
        var body: (@Sendable () -> Void)?
    }

    private let state: Mutex<State>

    /// - Parameter parts: How many there are.
    init(parts: Int) { state = Mutex(State(missing: parts)) }

    /// What is done; to be set before the last part is there.
    func set(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.body = body } }

    /// One part is there.
    func arrive() {
        let body = state.withLock { state -> (@Sendable () -> Void)? in
            state.missing -= 1
            guard state.missing == 0 else { return nil }
            // It holds on to what holds on to this.
            defer { state.body = nil }
            return state.body
        }
        body?()
    }
}
