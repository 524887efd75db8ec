internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals

/// Does something at each SIGHUP. Those that come meanwhile count as one more.
struct HangUpService: Service {
    let body: @Sendable () async -> Void

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() { await body() }
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

/// What is to be done when the folders are watched; set after they are made, called once.
final class OnWatching: Sendable {
    private let body = Mutex<(@Sendable () -> Void)?>(nil)

    func set(_ body: @escaping @Sendable () -> Void) { self.body.withLock { $0 = body } }

    func call() {
        let body = self.body.withLock { body in
            defer { body = nil }
            return body
        }
        body?()
    }
}
