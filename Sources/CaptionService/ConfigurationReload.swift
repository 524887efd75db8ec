internal import Logging
internal import ServiceManager

/// Reads the configuration's file anew and has it take effect, one time after the other.
actor ConfigurationReload {
    /// What became of one attempt.
    enum Outcome: Sendable, Equatable {
        /// There is no file: the folders are looked through, no more.
        case scanned
        case applied(FolderCaptionService.Changes)
        /// The file as it is cannot be used; everything stays as it was.
        case refused(String)
    }

    private let file: String?
    private let folders: FolderCaptionService
    private let state: DaemonState
    private let metrics: ServiceMetrics
    private let logger: Logger

    /// A part of the new configuration waits for the next start.
    static let restartNeeded = "restart_needed"

    init(file: String?, folders: FolderCaptionService, state: DaemonState, metrics: ServiceMetrics, logger: Logger) {
        self.file = file
        self.folders = folders
        self.state = state
        self.metrics = metrics
        self.logger = logger
    }

    /// Reads the file. All folders are looked through whatever comes of it.
    func reload() async -> Outcome {
        guard let file else {
            folders.requestScan()
            return .scanned
        }
        let outcome = await read(file)
        metrics.recordReload(succeeded: { if case .refused = outcome { false } else { true } }())
        folders.requestScan()
        return outcome
    }

    private func read(_ file: String) async -> Outcome {
        do {
            let new = try DaemonConfiguration(file: file)
            let old = state.now.configuration
            let changes = try await apply(new)
            var kept = new
            let waiting = Self.takeBackWhatWaits(in: &kept, old, canPlan: folders.answerer.models.keepsBudgets)
            state.change {
                $0.configuration = kept
                $0.problem = nil
                if waiting.isEmpty {
                    $0.degraded.remove(Self.restartNeeded)
                } else {
                    $0.degraded.insert(Self.restartNeeded)
                }
            }
            if !waiting.isEmpty {
                logger.warning(
                    "A part of the new configuration takes effect at the next start only.",
                    metadata: ["keys": "\(waiting.joined(separator: ", "))"])
            }
            logger.info(
                "Configuration read anew",
                metadata: [
                    "added": "\(changes.added)", "removed": "\(changes.removed)", "changed": "\(changes.changed)",
                ])
            return .applied(changes)
        } catch {
            let message = (error as? ConfigurationError)?.message ?? (error as? DaemonError)?.message ?? "\(error)"
            logger.error("\(message) The configuration stays as it was.")
            state.change { $0.problem = message }
            return .refused(message)
        }
    }

    /// First the new models beside the old ones, then the folders that ask them, then the new ones alone: no frame asks for a model
    /// that is not there.
    private func apply(_ new: DaemonConfiguration) async throws(DaemonError) -> FolderCaptionService.Changes {
        let models = folders.answerer.models
        let (old, stock) = (models.stock, try await models.look(at: new.models))
        models.replace(with: stock.merging(old))
        do {
            let changes = try await folders.apply(new)
            models.replace(with: stock)
            return changes
        } catch {
            models.replace(with: old)
            throw error
        }
    }

    /// The socket and how time is planned are made once: what the file says of them now waits for the next start.
    ///
    /// - Parameter canPlan: Whether budgets that come now can be followed.
    private static func takeBackWhatWaits(
        in new: inout DaemonConfiguration, _ old: DaemonConfiguration, canPlan: Bool
    ) -> [String] {
        var waiting: [String] = []
        if new.budget != old.budget { waiting.append("budget") }
        if new.socket != old.socket { waiting.append("socket") }
        new.socket = old.socket
        new.budget = old.budget
        if new.hasBudget, !canPlan { waiting.append("budget_ms") }
        return waiting
    }
}

extension ConfigurationReload {
    /// As ``reload()``, and the service manager and the status say so meanwhile.
    ///
    /// - Parameter summary: How the daemon is, in a few words.
    func reload(telling notifier: ServiceNotifier?, summary: @Sendable () -> String) async {
        state.change { $0.phase = "reloading" }
        notifier?.tell(.reloadingNow, .status("Reading the configuration anew"))
        _ = await reload()
        state.change { $0.phase = ServiceStatus.watching }
        notifier?.tell(.ready, .status(summary()))
    }
}
