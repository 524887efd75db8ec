internal import Dispatch
internal import Kernels
public import Logging
internal import Synchronization

/// The models that may be asked for, of which at most one is in memory.
///
/// A model comes into memory when a frame asks for it: the one that was there goes first, once nobody uses it. One that nobody
/// has used for its `keep_alive` goes too, and comes again with the next frame. One that cannot be loaded is tried again after a
/// pause of 1 to 60 s; nothing is known against the frames that asked for it.
public final class ModelShelf: Sendable {
    /// Makes the planner of one model, which stays for as long as the model is configured.
    public typealias PlannerMaker = @Sendable (ModelCard, DaemonConfiguration.Model) -> FramePlanner

    let state: Mutex<State>
    private let source: any ModelSource
    private let makePlanner: PlannerMaker?
    private let logger: Logger

    /// A shelf without models; ``replace(with:)-(Stock)`` puts some on it.
    ///
    /// - Parameter planner: The default, nil, keeps no budgets.
    public init(source: any ModelSource, planner: PlannerMaker? = nil, logger: Logger) {
        self.source = source
        makePlanner = planner
        self.logger = logger
        state = Mutex(State())
    }

    /// With one engine, which is in memory already, behind every name.
    public convenience init(
        _ engine: any PictureEngine, planner: FramePlanner? = nil,
        models: [DaemonConfiguration.Model] = [.init(path: "")]
    ) {
        var maker: PlannerMaker?
        if let planner { maker = { _, _ in planner } }
        self.init(source: LoadedModelSource(engine: engine), planner: maker, logger: Logger(label: "models"))
        var stock = Stock()
        for model in models { add(model, ModelCard(engine), to: &stock) }
        replace(with: stock)
        state.withLock { state in
            state.loaded = state.keys.first.flatMap { state.slots[$0] }.map { ($0.model.key, $0.generation, engine) }
        }
    }

    /// Whether budgets are kept.
    var keepsBudgets: Bool { makePlanner != nil }

    // MARK: What stands on it

    /// Looks at `models` and says what would stand on the shelf with them; nothing changes yet.
    ///
    /// - Throws: Where one of them cannot be used.
    func look(at models: [DaemonConfiguration.Model]) async throws(DaemonError) -> Stock {
        var stock = Stock()
        for model in models { add(model, try await source.card(of: model), to: &stock) }
        return stock
    }

    private func add(_ model: DaemonConfiguration.Model, _ card: ModelCard, to stock: inout Stock) {
        stock.keys.append(model.key)
        if let old = state.withLock({ $0.slots[model.key] }), old.model == model, old.card == card {
            stock.slots[model.key] = old
        } else {
            stock.slots[model.key] = Slot(
                model: model, card: card, planner: makePlanner?(card, model),
                generation: state.withLock { $0.nextNumber() })
        }
    }

    /// What stands there.
    var stock: Stock { state.withLock { Stock(keys: $0.keys, slots: $0.slots) } }

    /// Puts `stock` in the place of what stands there. A model that is gone, or another one now, leaves memory when nobody
    /// uses it any more.
    func replace(with stock: Stock) {
        state.withLock { state in
            let before = state.slots
            state.keys = stock.keys
            // What was learned of a model while the others were looked at is kept.
            state.slots = stock.slots.mapValues { new in
                before[new.model.key].flatMap { $0.generation == new.generation ? $0 : nil } ?? new
            }
        }
        settle()
    }

    /// Puts `models` in the place of what stands there.
    ///
    /// - Throws: Where one of them cannot be used; then nothing changes.
    public func replace(with models: [DaemonConfiguration.Model]) async throws(DaemonError) {
        replace(with: try await look(at: models))
    }

    // MARK: Using one

    /// The engine of the model `key`, which stays in memory until ``giveBack()``; loads it if it is not there.
    ///
    /// - Throws: `model` or `resources` where it cannot be loaded, `cancelled`.
    package func take(_ key: String) async throws(EngineError) -> any PictureEngine {
        while true {
            guard !Task.isCancelled else { throw EngineError(.cancelled, "The caller gave up.") }
            let (step, version) = state.withLock { ($0.step(toward: key, uses: true), $0.version) }
            switch step {
            case .use(let engine): return engine
            case .fail(let error): throw error
            case .load(let slot): load(slot)
            case .wait: break
            }
            await change(since: version)
        }
    }

    /// Brings the default into memory, if it is not there.
    func takeDefault() async throws(EngineError) {
        guard let key = key(of: nil) else { return }
        _ = try await take(key)
        giveBack()
    }

    /// Ends the use of what ``take(_:)`` gave.
    package func giveBack() {
        state.withLock { state in
            state.users -= 1
            state.version += 1
        }
        settle()
    }

    /// Begins to load the model `key` unless another is in use: the frames that come next find it.
    package func begin(_ key: String) {
        if case .load(let slot) = state.withLock({ $0.step(toward: key, uses: false) }) { load(slot) }
    }

    /// Loads what the state says is being loaded.
    private func load(_ slot: Slot) {
        Task.detached { [self] in
            let start = ContinuousClock.now
            let result: Result<any PictureEngine, EngineError>
            do throws(EngineError) {
                result = .success(try await source.load(slot.model))
            } catch {
                result = .failure(error)
            }
            let took = ContinuousClock.now - start
            if case .failure(let error) = result {
                logger.error("\(error.message)", metadata: ["model": "\(slot.model.key)"])
            }
            // The file may be another one by now.
            let card = (try? result.get()).map { ModelCard($0) } ?? slot.card
            let planner = card == slot.card ? slot.planner : makePlanner?(card, slot.model)
            state.withLock { state in
                state.loading = nil
                if case .success(let engine) = result { state.loaded = (slot.model.key, slot.generation, engine) }
                if var present = state.slots[slot.model.key], present.generation == slot.generation {
                    present.note(result.map { _ in took })
                    (present.card, present.planner) = (card, planner)
                    state.slots[slot.model.key] = present
                }
                state.version += 1
            }
            settle()
        }
    }

    /// After a change: unloads what nobody may use any more, sets the hour for what is idle, and wakes those who wait.
    private func settle() {
        let (waiters, gone) = state.withLock { state in
            let gone = state.isStale ? state.unload() : nil
            defer { state.waiters = [:] }
            setTheHour(&state)
            return (state.waiters.values, gone)
        }
        told(gone)
        for waiter in waiters { waiter.resume() }
    }

    private func setTheHour(_ state: inout State) {
        state.timer?.cancel()
        state.timer = nil
        guard state.users == 0, let key = state.loaded?.key, let slot = state.slots[key] else { return }
        let number = state.nextNumber()
        state.hour = number
        state.timer = Task { [self] in
            do {
                let end = slot.model.keepAlive
                if end.isLonger(than: Self.breath) {
                    try await Task.sleep(for: Self.breath)
                    Self.tidying.async { UnusedMemory.giveBack() }
                }
                guard case .after(let time) = end else { return }
                try await Task.sleep(for: end.isLonger(than: Self.breath) ? time - Self.breath : time)
            } catch {
                return
            }
            let gone = self.state.withLock { state in
                state.users == 0 && state.hour == number ? state.unload() : nil
            }
            told(gone)
        }
    }

    /// After so long without work, what the last frames needed besides goes back to the system.
    private static let breath = Duration.seconds(2)

    private func told(_ gone: String?) {
        guard let gone else { return }
        Self.tidying.async { UnusedMemory.giveBack() }
        logger.info("Model unloaded", metadata: ["model": "\(gone)"])
    }

    /// Takes its time: not on a thread that others wait for.
    private static let tidying = DispatchQueue(label: "tidying")

    /// Waits until something is not as it was at `version`, or the task is cancelled.
    private func change(since version: Int) async {
        let number = state.withLock { $0.nextNumber() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let mustWait = state.withLock { state in
                    guard state.version == version, !Task.isCancelled else { return false }
                    state.waiters[number] = continuation
                    return true
                }
                if !mustWait { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }
}

extension DaemonConfiguration.Model.KeepAlive {
    fileprivate func isLonger(than time: Duration) -> Bool {
        switch self {
        case .always: true
        case .after(let own): own > time
        }
    }
}

/// One engine that never leaves memory.
private struct LoadedModelSource: ModelSource {
    let engine: any PictureEngine

    func card(of model: DaemonConfiguration.Model) -> ModelCard { ModelCard(engine) }
    func load(_ model: DaemonConfiguration.Model) -> any PictureEngine { engine }
}
