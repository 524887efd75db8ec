public import LatencyBudget

/// What is known of a model without its being in memory.
public struct ModelCard: Sendable, Equatable {
    public var facts: ModelFacts
    /// As ``PictureEngine/ladder``.
    public var ladder: Ladder
    /// As ``PictureEngine/defaultResolution``.
    public var defaultResolution: Int

    public init(facts: ModelFacts, ladder: Ladder, defaultResolution: Int) {
        self.facts = facts
        self.ladder = ladder
        self.defaultResolution = defaultResolution
    }

    /// Of a model that is in memory.
    public init(_ engine: any PictureEngine) {
        self.init(facts: engine.model, ladder: engine.ladder, defaultResolution: engine.defaultResolution)
    }
}

/// Where models come from: files, or in tests whatever a test makes up.
public protocol ModelSource: Sendable {
    /// Looks at `model` without bringing it into memory.
    ///
    /// - Throws: Where it cannot be used.
    func card(of model: DaemonConfiguration.Model) async throws(DaemonError) -> ModelCard

    /// Brings `model` into memory; what it returns is all that keeps it there.
    func load(_ model: DaemonConfiguration.Model) async throws(EngineError) -> any PictureEngine
}
