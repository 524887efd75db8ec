public import Logging
public import ServiceLifecycle
public import ServiceManager
public import FrameSources
internal import Kernels
internal import LatencyBudget
internal import Sidecars
internal import UnixSignals

/// The whole daemon: its models, the folders that it watches, the signals that it obeys, and what it tells of itself.
public struct Daemon: Sendable {
    public let metrics: ServiceMetrics
    private let folders: FolderCaptionService
    /// Answers frames, of the folders and of whoever else has some.
    public var answerer: FrameAnswerer { folders.answerer }
    /// Where every result goes, once its sidecar is on the disk if it has one.
    public let results: ResultFeed
    private let heartbeat: Heartbeat
    private let state: DaemonState
    private let reload: ConfigurationReload
    private let started = Timestamp.now
    private let place: Place
    private let readiness: Readiness
    private let logger: Logger

    /// Where the daemon's configuration and its orders come from.
    public struct Place: Sendable {
        /// The configuration's file, read anew at SIGHUP. The default, nil, is none.
        public var file: String?
        /// The default, nil, is nobody who wants to be told.
        public var notifier: ServiceNotifier?
        /// How often the service manager wants to hear that the daemon moves; nil if it does not.
        public var watchdog: Duration?
        /// Where the status file is if the configuration names none: `$RUNTIME_DIRECTORY`.
        public var runtimeDirectory: String?
        /// A listening socket that the service manager opened: requests come over it whatever the configuration says.
        public var socket: Int32?

        public init(
            file: String? = nil, notifier: ServiceNotifier? = nil, watchdog: Duration? = nil,
            runtimeDirectory: String? = nil, socket: Int32? = nil
        ) {
            self.file = file
            self.notifier = notifier
            self.watchdog = watchdog
            self.runtimeDirectory = runtimeDirectory
            self.socket = socket
        }
    }

    /// How long a picture that is in work at SIGTERM may take before it is put back: with the rest of the way out,
    /// the daemon is gone within 30 seconds.
    static let shutdownPatience = Duration.seconds(20)
    /// The longest that one block of the encoder or one token takes anywhere.
    static let workPatience = Duration.seconds(180)
    /// The longest that a look at one folder, however full, takes.
    static let watchPatience = Duration.seconds(60)

    /// Opens the folders.
    ///
    /// - Parameters:
    ///   - heartbeat: Beats while the engine works.
    ///   - requiresFolders: Whether a watched folder that is missing is an error. The default is false: the
    ///     daemon says so and waits for it, because a camera's share may be mounted later.
    ///   - degraded: What is known not to work as it should.
    ///   - options: How folders are watched.
    ///   - onCommit: Told of each result when its sidecar is on the disk.
    public init(
        _ configuration: DaemonConfiguration, models: ModelShelf,
        journal: InFlightJournal? = nil, heartbeat: Heartbeat = Heartbeat(), requiresFolders: Bool = false,
        degraded: Set<String> = [],
        options: FolderSourceOptions = .init(), place: Place = Place(), logger: Logger,
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) throws(DaemonError) {
        let answerer = FrameAnswerer(models: models, degraded: degraded)
        let state = DaemonState(DaemonState.Content(configuration: configuration, degraded: degraded))
        let metrics = ServiceMetrics()
        let results = ResultFeed(onPublish: { metrics.record($0) })
        // The folders are watched, and SIGHUP is heard.
        let readiness = Readiness(parts: 2)
        let folders = try FolderCaptionService(
            configuration, answerer: answerer, journal: journal, options: options,
            requiresFolders: requiresFolders, heartbeat: heartbeat, logger: logger,
            onWatching: { readiness.arrive() },
            onCommit: {
                results.publish($0.document)
                onCommit($0)
            })
        self.metrics = metrics
        self.results = results
        self.folders = folders
        self.heartbeat = heartbeat
        self.state = state
        self.place = place
        self.logger = logger
        reload = ConfigurationReload(
            file: place.file, folders: folders, state: state, metrics: metrics, logger: logger)
        self.readiness = readiness
        let daemon = self
        readiness.set {
            state.change { $0.phase = ServiceStatus.watching }
            daemon.place.notifier?.tell(.ready, .status(daemon.status.summary))
        }
    }

    /// With one model that stays in memory.
    ///
    /// - Parameter planner: The default, nil, is none where nothing has a budget, else one that learns the device from the
    ///   first pictures.
    public init(
        _ configuration: DaemonConfiguration, engine: any PictureEngine, planner: FramePlanner? = nil,
        journal: InFlightJournal? = nil, heartbeat: Heartbeat = Heartbeat(), requiresFolders: Bool = false,
        degraded: Set<String> = [],
        options: FolderSourceOptions = .init(), place: Place = Place(), logger: Logger,
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) throws(DaemonError) {
        try self.init(
            configuration,
            models: ModelShelf(
                engine, planner: planner ?? configuration.usualPlanner(engine, logger), models: configuration.models),
            journal: journal, heartbeat: heartbeat, requiresFolders: requiresFolders, degraded: degraded,
            options: options, place: place, logger: logger, onCommit: onCommit)
    }

    /// Runs until SIGTERM or SIGINT; SIGHUP has the configuration read anew and all folders looked through.
    ///
    /// - Parameter services: What else runs, for example a socket; they end before the folders do.
    public func run(services: [any Service] = []) async throws {
        var all: [ServiceGroupConfiguration.ServiceConfiguration] = []
        if let interval = place.watchdog, let notifier = place.notifier {
            all.append(.init(service: watchdog(interval, notifier)))
        }
        let (place, state) = (place, state)
        all.append(
            .init(
                service: StatusService(
                    notifier: place.notifier, logger: logger,
                    file: { Self.statusFile(state.now.configuration, place) }, status: { status })))
        all.append(.init(service: folders))
        all += services.map { .init(service: $0) }
        all.append(
            .init(
                service: HangUpService(onListening: { readiness.arrive() }) {
                    await reload.reload(telling: place.notifier) { status.summary }
                }))
        all.append(
            .init(
                service: StoppingService {
                    state.change { $0.phase = ServiceStatus.stopping }
                    place.notifier?.tell(.stopping, .status("Finishing the picture at hand"))
                }))
        var configuration = ServiceGroupConfiguration(
            services: all, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = Self.shutdownPatience
        try await ServiceGroup(configuration: configuration).run()
        logger.info("Stopped", metadata: ["done": "\(folders.counters.done)"])
    }

    /// How the daemon is, but for what the device shows.
    public var status: ServiceStatus {
        let (now, totals, statuses) = (state.now, metrics.totals, folders.statuses)
        let sources = answerer.desk.frames
        let models = answerer.models.standings
        let oldest = (folders.frames + sources).compactMap(\.oldestPending).max()
        return ServiceStatus(
            state: now.phase, started: started, models: models.map { ServiceStatus.Model($0) },
            kernels: InstructionSet.best.rawValue, folders: statuses, sources: sources.map { .init($0) },
            queue: statuses.reduce(0) { $0 + $1.waiting } + sources.reduce(0) { $0 + ($1.pending["waiting"] ?? 0) },
            oldestPending: oldest.map { ($0.milliseconds / 100).rounded() / 10 },
            budget: ServiceStatus.Budget(met: totals.budgetsMet, missed: totals.budgetsMissed),
            lastResult: totals.last,
            configuration: ServiceStatus.Configuration(file: place.file, reloads: totals.reloads, problem: now.problem),
            degraded: now.degraded.union(answerer.models.degraded).sorted())
    }

    /// The status with what the device shows now, as JSON.
    ///
    /// - Parameter socket: Who uses the socket, if there is one.
    public func statusText(socket: ServiceStatus.Socket? = nil) -> String {
        var status = status.withDevice
        status.socket = socket
        return status.json
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// - Parameter socket: Who uses the socket, if there is one.
    public func metricsText(socket: ServiceStatus.Socket? = nil) -> String {
        var status = status
        status.socket = socket
        return metrics.text(status, frames: frames, device: (.sample(), .sample()))
    }

    /// The frames of each folder and each source of the socket, each counted at one instant.
    public var frames: [SourceFrames] { folders.frames + answerer.desk.frames }

    /// Whether frames are taken: the folders are watched and it is not ending. Also while no model is in memory, because the
    /// next frame brings its own.
    public var isReady: Bool { ![ServiceStatus.starting, ServiceStatus.stopping].contains(state.now.phase) }

    /// For tests: as SIGHUP.
    package func hangUp() async { await reload.reload(telling: place.notifier) { status.summary } }

    private func watchdog(_ interval: Duration, _ notifier: ServiceNotifier) -> WatchdogService {
        let (folders, heartbeat) = (folders, heartbeat)
        return WatchdogService(
            interval: interval, notifier: notifier,
            parts: [
                .init("the folders' watcher", patience: Self.watchPatience) { folders.slowestTurn },
                .init("the engine", patience: Self.workPatience) { heartbeat.silence },
            ], logger: logger)
    }

    private static func statusFile(_ configuration: DaemonConfiguration, _ place: Place) -> StatusFile? {
        if let file = configuration.status.file { return file.isEmpty ? nil : StatusFile(path: file) }
        // systemd lists several folders with colons between them.
        return place.runtimeDirectory?.split(separator: ":").first.map { StatusFile(path: "\($0)/status.json") }
    }
}
