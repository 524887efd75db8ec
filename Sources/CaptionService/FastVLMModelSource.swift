internal import Dispatch
internal import FastVLM
internal import Kernels
internal import LatencyBudget
public import Logging
internal import ModelFiles

/// Brings models from files into memory, on a thread of its own: reading one blocks.
public struct FastVLMModelSource: ModelSource {
    private let heartbeat: Heartbeat
    private let logger: Logger

    /// Loading takes no longer than this, however slow the disk: then something is wrong.
    static let patience = Duration.seconds(1800)
    private static let beat = Duration.seconds(10)

    /// - Parameter heartbeat: Beats while a model is loaded and while a picture is read.
    public init(heartbeat: Heartbeat, logger: Logger) {
        self.heartbeat = heartbeat
        self.logger = logger
    }

    public func card(of model: DaemonConfiguration.Model) async throws(DaemonError) -> ModelCard {
        let card = await Self.onItsOwnThread { () throws(DaemonError) in
            defer { UnusedMemory.giveBack() }
            do {
                let prepared = try PreparedModel.open(path: model.path)
                return ModelCard(
                    facts: ModelFacts(prepared), ladder: try Ladder(prepared.identity),
                    defaultResolution: prepared.defaultResolution)
            } catch let error as ModelFileError {
                throw DaemonError(.model, error.message)
            } catch {
                throw DaemonError(.model, "Cannot use the model '\(model.path)': \(error).")
            }
        }
        return try card.get()
    }

    public func load(_ model: DaemonConfiguration.Model) async throws(EngineError) -> any PictureEngine {
        let beating = Task {
            let end = ContinuousClock.now + Self.patience
            while !Task.isCancelled, ContinuousClock.now < end {
                heartbeat.beat()
                try? await Task.sleep(for: Self.beat)
            }
        }
        defer { beating.cancel() }
        let engine = await Self.onItsOwnThread { () throws(EngineError) in
            // Of the one that was there before, and then of what was needed while this one was read.
            UnusedMemory.giveBack()
            defer { UnusedMemory.giveBack() }
            return try open(model)
        }
        return try engine.get()
    }

    private func open(_ configuration: DaemonConfiguration.Model) throws(EngineError) -> FastVLMEngine {
        let model: FastVLMModel
        do {
            model = try FastVLMModel(path: configuration.path)
        } catch {
            throw EngineError(.model, error.message)
        }
        let engine = try FastVLMEngine(model, threads: configuration.threads, heartbeat: heartbeat)
        logger.info(
            "Model loaded",
            metadata: [
                "name": "\(model.prepared.name)", "precision": "\(model.prepared.precision.rawValue)",
                "digest": "\(model.prepared.digest)", "kernels": "\(InstructionSet.best.rawValue)",
            ])
        return engine
    }

    private static func onItsOwnThread<Value: Sendable, Failure: Error>(
        _ work: @escaping @Sendable () throws(Failure) -> Value
    ) async -> Result<Value, Failure> {
        await withCheckedContinuation { continuation in
            DispatchQueue(label: "loading").async {
                continuation.resume(returning: Result { () throws(Failure) in try work() })
            }
        }
    }
}
