public import FastVLM
internal import ModelFiles

/// A model on a thread of its own, for callers that must not wait.
public actor FastVLMEngine: PictureEngine {
    public nonisolated let model: ModelFacts
    private nonisolated let executor: InferenceExecutor
    private let reader: PictureReader

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameter threads: 0 for one a core that the process may use.
    public init(_ model: FastVLMModel, threads: Int = 0) throws(EngineError) {
        executor = InferenceExecutor(label: "inference")
        reader = try PictureReader(model, threads: threads)
        self.model = ModelFacts(model)
    }

    public func run(_ tasks: PictureTasks, on picture: [UInt8]) async throws(EngineError) -> PictureReport {
        try reader.run(tasks, on: picture, isCancelled: { Task.isCancelled })
    }
}

extension ModelFacts {
    public init(_ model: FastVLMModel) {
        let prepared = model.prepared
        self.init(name: prepared.name, digest: prepared.digest, precision: prepared.precision.rawValue)
    }
}
