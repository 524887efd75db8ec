internal import Kernels
internal import LatencyBudget
public import Logging
internal import ServiceManager

extension Daemon {
    /// Prepares the process for a long life in little memory; to be called first of all.
    public static func prepareProcess() { UnusedMemory.limit() }

    /// Looks at all models, loads the first and opens the folders; meanwhile the service manager is told that it takes longer.
    ///
    /// - Parameter requiresFolders: Whether a watched folder that is missing is an error.
    public static func load(
        _ configuration: DaemonConfiguration, requiresFolders: Bool = false, place: Place = Place(), logger: Logger,
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) async throws(DaemonError) -> Daemon {
        let heartbeat = Heartbeat()
        let models = ModelShelf(
            source: FastVLMModelSource(heartbeat: heartbeat, logger: logger),
            planner: configuration.hasBudget || place.socket != nil ? planners(configuration.budget, logger) : nil,
            logger: logger)
        try await load(configuration.models, onto: models, place)
        var degraded: Set<String> = []
        if let warning = (try? BLAS.shared())?.diagnosis.warning {
            logger.warning("\(warning)")
            degraded.insert("blas_core")
        }
        return try Daemon(
            configuration, models: models,
            journal: InFlightJournal(directory: ProfileStore.usualDirectory, logger: logger), heartbeat: heartbeat,
            requiresFolders: requiresFolders, degraded: degraded, place: place, logger: logger, onCommit: onCommit)
    }

    private static let loadingStep = Duration.seconds(10)

    /// Puts `configured` on the shelf and brings the first into memory, so that whoever can use the daemon learns at once what
    /// is wrong with it.
    private static func load(
        _ configured: [DaemonConfiguration.Model], onto models: ModelShelf, _ place: Place
    ) async throws(DaemonError) {
        let extending = place.notifier.map { notifier in
            Task {
                let end = ContinuousClock.now + FastVLMModelSource.patience
                while !Task.isCancelled, ContinuousClock.now < end {
                    notifier.tell(.extendTimeout(loadingStep * 3), .status("Loading the model"))
                    try? await Task.sleep(for: loadingStep)
                }
            }
        }
        defer { extending?.cancel() }
        try await models.replace(with: configured)
        do {
            try await models.takeDefault()
        } catch {
            throw DaemonError(error.code == .resources ? .resources : .model, error.message)
        }
    }

    /// Each starts from the profile of this device for its model, if there is one.
    private static func planners(
        _ budget: DaemonConfiguration.Budget, _ logger: Logger
    ) -> ModelShelf.PlannerMaker {
        { card, model in
            FramePlanner(
                ladder: card.ladder, missTarget: budget.missTarget,
                store: ProfileStore(
                    directory: budget.profileDirectory ?? ProfileStore.usualDirectory,
                    identity: .init(card.facts, threads: model.threads)),
                device: .system, logger: logger)
        }
    }
}
