public import Logging
public import ServiceLifecycle
public import ServiceManager

/// Tells the service manager that the daemon moves, for as long as it does. When it hears nothing for its whole interval
/// it ends the daemon and starts it anew.
public struct WatchdogService: Service {
    /// A part of the daemon that has to move.
    public struct Part: Sendable {
        public var name: String
        /// For how long it has not moved though it should have.
        public var silence: @Sendable () -> Duration
        /// The longest silence that is no fault.
        public var patience: Duration

        public init(_ name: String, patience: Duration, silence: @escaping @Sendable () -> Duration) {
            self.name = name
            self.patience = patience
            self.silence = silence
        }
    }

    private let interval: Duration
    private let notifier: ServiceNotifier
    private let parts: [Part]
    private let logger: Logger

    /// - Parameter interval: The manager's; it is told twice in each.
    public init(interval: Duration, notifier: ServiceNotifier, parts: [Part], logger: Logger) {
        self.interval = interval
        self.notifier = notifier
        self.parts = parts
        self.logger = logger
    }

    /// Runs until it is cancelled or shut down, which comes last, so that a long way out is watched over too.
    public func run() async throws {
        var stuck: [String] = []
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            let now = parts.filter { $0.silence() > $0.patience }.map(\.name)
            if now.isEmpty {
                notifier.tell(.watchdog)
            } else if now != stuck {
                let names = now.joined(separator: ", ")
                logger.critical(
                    "The daemon hangs: the service manager is not told any more that it moves.",
                    metadata: ["part": "\(names)"])
                notifier.tell(.status("Hangs: \(names)"))
            }
            stuck = now
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: interval / 2) }
        }
    }
}
