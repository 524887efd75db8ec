internal import Dispatch
internal import FastVLM
internal import Kernels
internal import ModelFiles
public import Logging
internal import ServiceManager

extension Daemon {
    /// Loads the model and opens the folders; meanwhile the service manager is told that it takes longer.
    ///
    /// - Parameter requiresFolders: Whether a watched folder that is missing is an error.
    public static func load(
        _ configuration: DaemonConfiguration, requiresFolders: Bool = false, place: Place = Place(), logger: Logger,
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) async throws(DaemonError) -> Daemon {
        let heartbeat = Heartbeat()
        let engine = try await engine(configuration.model, heartbeat, place, logger)
        var degraded: Set<String> = []
        if let warning = (try? BLAS.shared())?.diagnosis.warning {
            logger.warning("\(warning)")
            degraded.insert("blas_core")
        }
        return try Daemon(
            configuration, engine: engine,
            planner: configuration.hasBudget || place.socket != nil ? planner(configuration, engine, logger) : nil,
            journal: InFlightJournal(directory: ProfileStore.usualDirectory, logger: logger), heartbeat: heartbeat,
            requiresFolders: requiresFolders, degraded: degraded, place: place, logger: logger, onCommit: onCommit)
    }

    /// Starting takes no longer than this, however slow the disk: then something is wrong.
    private static let loadingLimit = Duration.seconds(1800)
    private static let loadingStep = Duration.seconds(10)

    /// Loads on a thread of its own: reading a model blocks.
    private static func engine(
        _ model: DaemonConfiguration.Model, _ heartbeat: Heartbeat, _ place: Place, _ logger: Logger
    ) async throws(DaemonError) -> FastVLMEngine {
        let extending = place.notifier.map { notifier in
            Task {
                let end = ContinuousClock.now + loadingLimit
                while !Task.isCancelled, ContinuousClock.now < end {
                    notifier.tell(.extendTimeout(loadingStep * 3), .status("Loading the model"))
                    try? await Task.sleep(for: loadingStep)
                }
            }
        }
        defer { extending?.cancel() }
        let loaded = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<FastVLMEngine, DaemonError>, Never>) in
            DispatchQueue(label: "loading").async {
                continuation.resume(
                    returning: Result { () throws(DaemonError) in try load(model, heartbeat, logger) })
            }
        }
        return try loaded.get()
    }

    private static func load(
        _ configuration: DaemonConfiguration.Model, _ heartbeat: Heartbeat, _ logger: Logger
    ) throws(DaemonError) -> FastVLMEngine {
        do {
            let model = try FastVLMModel(path: configuration.path)
            let engine = try FastVLMEngine(model, threads: configuration.threads, heartbeat: heartbeat)
            logger.info(
                "Model loaded",
                metadata: [
                    "name": "\(model.prepared.name)", "precision": "\(model.prepared.precision.rawValue)",
                    "digest": "\(model.prepared.digest)", "kernels": "\(InstructionSet.best.rawValue)",
                ])
            return engine
        } catch let error as ModelFileError {
            throw DaemonError(.model, error.message)
        } catch let error as EngineError {
            throw DaemonError(.resources, error.message)
        } catch {
            throw DaemonError(.model, "Cannot load the model '\(configuration.path)': \(error).")
        }
    }

    /// Starts from the profile of this device, if there is one.
    private static func planner(
        _ configuration: DaemonConfiguration, _ engine: FastVLMEngine, _ logger: Logger
    ) -> FramePlanner {
        FramePlanner(
            ladder: engine.ladder, missTarget: configuration.budget.missTarget,
            store: ProfileStore(
                directory: configuration.budget.profileDirectory ?? ProfileStore.usualDirectory,
                identity: engine.profileIdentity),
            signals: { .sample() }, logger: logger)
    }
}
