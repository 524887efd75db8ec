public import FastVLM
public import LatencyBudget
internal import ModelFiles

/// A model on a thread of its own, for callers that must not wait.
public actor FastVLMEngine: PictureEngine {
    public nonisolated let model: ModelFacts
    public nonisolated let ladder: Ladder
    public nonisolated var defaultResolution: Int { source.prepared.defaultResolution }
    private nonisolated let source: FastVLMModel
    /// What a profile of this device has to be measured with to hold here.
    public nonisolated let profileIdentity: DeviceProfile.Identity
    private nonisolated let executor: InferenceExecutor
    private let reader: PictureReader
    /// Beats between the encoder's blocks and between tokens.
    private let heartbeat: Heartbeat

    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - threads: 0 for one a core that the process may use.
    ///   - heartbeat: Beats while a picture is read. The default is one of its own.
    public init(_ model: FastVLMModel, threads: Int = 0, heartbeat: Heartbeat = Heartbeat()) throws(EngineError) {
        executor = InferenceExecutor(label: "inference")
        let reader = try PictureReader(model, threads: threads)
        self.reader = reader
        self.heartbeat = heartbeat
        profileIdentity = reader.profileIdentity
        self.model = ModelFacts(model)
        source = model
        do {
            ladder = try Ladder(model.prepared.identity)
        } catch {
            throw EngineError(.model, error.message)
        }
    }

    public nonisolated func textTokens(of tasks: PictureTasks) -> Int { source.textTokens(of: tasks) }

    public func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?
    ) async throws(EngineError) -> PictureReport {
        try await run(tasks, on: picture, plan: plan, onText: nil)
    }

    public func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?,
        onText: (@Sendable (_ reply: Int, _ text: String) -> Void)?
    ) async throws(EngineError) -> PictureReport {
        heartbeat.begin()
        defer { heartbeat.end() }
        return try reader.run(
            tasks, on: picture, plan: plan,
            isCancelled: {
                heartbeat.beat()
                return Task.isCancelled
            }, onText: { onText?($0, $1) })
    }
}

extension ModelFacts {
    public init(_ model: FastVLMModel) { self.init(model.prepared) }

    init(_ prepared: PreparedModel) {
        self.init(name: prepared.name, digest: prepared.digest, precision: prepared.precision.rawValue)
    }
}
