public import Logging
internal import FastVLM
internal import FrameSources
internal import Kernels
internal import LatencyBudget
internal import ModelFiles
public import ServiceLifecycle
internal import UnixSignals

/// The whole daemon: a model, the folders that it watches, and the signals that it obeys.
public struct Daemon: Sendable {
    private let folders: FolderCaptionService
    /// Answers frames, of the folders and of whoever else has some.
    public let answerer: FrameAnswerer
    /// Where every result goes, once its sidecar is on the disk if it has one.
    public let results = ResultFeed()
    private let logger: Logger

    /// How long a picture that is in work at SIGTERM may take before it is put back: with the rest of the way out,
    /// the daemon is gone within 30 seconds.
    static let shutdownPatience = Duration.seconds(20)

    /// Loads the model and opens the folders.
    ///
    /// - Parameter requiresFolders: Whether a watched folder that is missing is an error. The default is false: the
    ///   daemon says so and waits for it, because a camera's share may be mounted later.
    public init(
        _ configuration: DaemonConfiguration, requiresFolders: Bool = false, logger: Logger
    ) throws(DaemonError) {
        let engine: FastVLMEngine
        do {
            let model = try FastVLMModel(path: configuration.model.path)
            engine = try FastVLMEngine(model, threads: configuration.model.threads)
            logger.info(
                "Model loaded",
                metadata: [
                    "name": "\(model.prepared.name)", "precision": "\(model.prepared.precision.rawValue)",
                    "digest": "\(model.prepared.digest)", "kernels": "\(InstructionSet.best.rawValue)",
                ])
        } catch let error as ModelFileError {
            throw DaemonError(.model, error.message)
        } catch let error as EngineError {
            throw DaemonError(.resources, error.message)
        } catch {
            throw DaemonError(.model, "Cannot load the model '\(configuration.model.path)': \(error).")
        }
        var degraded: Set<String> = []
        if let warning = (try? BLAS.shared())?.diagnosis.warning {
            logger.warning("\(warning)")
            degraded.insert("blas_core")
        }
        answerer = FrameAnswerer(
            engine: engine, planner: configuration.hasBudget ? Self.planner(configuration, engine, logger) : nil,
            degraded: degraded)
        let results = results
        folders = try FolderCaptionService(
            configuration, answerer: answerer, requiresFolders: requiresFolders, logger: logger,
            onCommit: { results.publish($0.document) })
        self.logger = logger
    }

    /// Starts from the profile of this device, if there is one.
    private static func planner(_ configuration: DaemonConfiguration, _ engine: FastVLMEngine, _ logger: Logger)
        -> FramePlanner
    {
        FramePlanner(
            ladder: engine.ladder, missTarget: configuration.budget.missTarget,
            store: ProfileStore(
                directory: configuration.budget.profileDirectory ?? ProfileStore.usualDirectory,
                identity: engine.profileIdentity),
            signals: { .sample() }, logger: logger)
    }

    /// Runs until SIGTERM or SIGINT; SIGHUP asks for a scan of all folders.
    ///
    /// - Parameter services: What runs besides, and ends first.
    public func run(with services: [any Service] = []) async throws {
        var configuration = ServiceGroupConfiguration(
            services: ([folders, RescanOnHangUp(folders: folders)] + services).map { .init(service: $0) },
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = Self.shutdownPatience
        try await ServiceGroup(configuration: configuration).run()
        logger.info("Stopped", metadata: ["done": "\(folders.counters.done)"])
    }
}

/// Scans all folders at SIGHUP.
private struct RescanOnHangUp: Service {
    let folders: FolderCaptionService

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            folders.requestScan()
        }
    }
}
