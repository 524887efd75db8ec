import CaptionService
import LatencyBudget
import Synchronization

/// Models that a test makes up: each is called as its file, and answers with that and what the picture holds.
final class StubModels: ModelSource {
    /// Something that lives for as long as an engine does.
    private final class Life: Sendable {}

    private struct Weak {
        weak var life: Life?
    }

    private struct State {
        /// Names in the order of their loading.
        var loads: [String] = []
        /// How many of the next attempts fail, by name.
        var failures: [String: Int] = [:]
        /// What a name's file is now.
        var digests: [String: String] = [:]
        var lives: [Weak] = []
        /// The most that were alive when another was loaded.
        var mostAlive = 0
    }

    private let state = Mutex(State())
    private let ladder: Ladder
    /// Called while a model is loaded.
    private let onLoad: @Sendable (String) async -> Void
    private let onRun: @Sendable (String, String) async -> Void

    init(
        ladder: Ladder = .nothing, onLoad: @escaping @Sendable (String) async -> Void = { _ in },
        onRun: @escaping @Sendable (_ model: String, _ picture: String) async -> Void = { _, _ in }
    ) {
        self.ladder = ladder
        self.onLoad = onLoad
        self.onRun = onRun
    }

    var loads: [String] { state.withLock { $0.loads } }
    var alive: Int { state.withLock { $0.lives.count { $0.life != nil } } }
    var mostAlive: Int { state.withLock { $0.mostAlive } }

    /// The next `count` attempts to load `name` fail.
    func fail(_ name: String, _ count: Int) { state.withLock { $0.failures[name] = count } }

    /// Puts another file in the place of `name`.
    func exchange(_ name: String, digest: String) { state.withLock { $0.digests[name] = digest } }

    func card(of model: DaemonConfiguration.Model) throws(DaemonError) -> ModelCard {
        guard !model.path.contains("broken") else { throw DaemonError(.model, "'\(model.path)' is no model.") }
        return ModelCard(facts: facts(model), ladder: ladder, defaultResolution: 256)
    }

    private func facts(_ model: DaemonConfiguration.Model) -> ModelFacts {
        let name = String(model.path.split(separator: "/").last ?? "")
        return ModelFacts(
            name: name, digest: state.withLock { $0.digests[name] } ?? "sha256:\(name)", precision: "int8")
    }

    func load(_ model: DaemonConfiguration.Model) async throws(EngineError) -> any PictureEngine {
        let facts = facts(model)
        let name = facts.name
        await onLoad(name)
        let fails = state.withLock { state in
            state.loads.append(name)
            state.mostAlive = max(state.mostAlive, state.lives.count { $0.life != nil } + 1)
            guard let left = state.failures[name], left > 0 else { return false }
            state.failures[name] = left - 1
            return true
        }
        if fails { throw EngineError(.resources, "Cannot map '\(model.path)': no memory.") }
        let life = Life()
        state.withLock { $0.lives.append(Weak(life: life)) }
        var engine = StubEngine(ladder: ladder) { [onRun] tasks, bytes, _ in
            await onRun(name, StubEngine.text(bytes))
            withExtendedLifetime(life) {}
            return StubEngine.report(tasks, caption: "\(name): \(StubEngine.text(bytes))")
        }
        engine.model = facts
        return engine
    }
}

/// Waits until `condition` holds.
func eventually(_ condition: () -> Bool) async throws {
    while !condition() { try await Task.sleep(for: .milliseconds(2)) }
}
