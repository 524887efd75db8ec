internal import Synchronization

extension ModelShelf {
    /// How one model stands.
    public struct Standing: Sendable, Equatable {
        /// Whether it is in memory.
        public enum Phase: String, Sendable, CaseIterable {
            case loaded, loading, unloaded
            /// It could not be loaded, and is tried again after a pause.
            case unavailable
        }

        /// What it is called in requests: its name in the configuration, else its own, if no other has that.
        public var id: String
        public var card: ModelCard
        public var phase: Phase
        /// Times that it was loaded, and that it could not be.
        public var loads: Int
        public var failures: Int
        /// What loading it took last; nil before the first time.
        public var loadTime: Duration?
    }

    /// All models in the configuration's order: the first is the default.
    public var standings: [Standing] {
        state.withLock { state in
            state.keys.compactMap { key in
                state.slots[key].map { slot in
                    Standing(
                        id: state.id(of: slot), card: slot.card, phase: state.phase(of: key), loads: slot.loads,
                        failures: slot.failures, loadTime: slot.loadTime)
                }
            }
        }
    }

    /// What requests mean by `name`: a name of the configuration, a model's own, or its digest; nil, nothing and `default`
    /// are the first. Nil where there is no such model.
    public func find(_ name: String?) -> (id: String, card: ModelCard)? {
        state.withLock { state in
            state.key(of: name).flatMap { state.slots[$0] }.map { (state.id(of: $0), $0.card) }
        }
    }

    /// The key of the model that ``find(_:)`` finds.
    func key(of name: String?) -> String? { state.withLock { $0.key(of: name) } }

    func card(of key: String) -> ModelCard? { state.withLock { $0.slots[key]?.card } }

    func planner(of key: String) -> FramePlanner? { state.withLock { $0.slots[key]?.planner } }

    var planners: [FramePlanner] { state.withLock { $0.slots.values.compactMap(\.planner) } }

    /// Whether the model `key` is in memory.
    func isLoaded(_ key: String) -> Bool { state.withLock { $0.phase(of: key) == .loaded } }

    /// How long somebody who asks for the model `key` now is expected to wait until it is there; zero for one that was never
    /// loaded, of which nothing is known.
    package func expectedLoad(of key: String) -> Duration {
        state.withLock { state in
            guard let slot = state.slots[key], state.loaded?.key != key || state.loaded?.generation != slot.generation
            else { return .zero }
            let own = slot.loadTime ?? .zero
            guard let loading = state.loading else { return own }
            let left = max(.zero, (state.slots[loading.key]?.loadTime ?? .zero) - (.now - loading.since))
            return loading.key == key ? left : left + own
        }
    }

    /// What loading the model `key` took last; zero before the first time.
    func loadTime(of key: String) -> Duration { state.withLock { $0.slots[key]?.loadTime } ?? .zero }

    /// For how long loading the model `key` is not tried again; nil where nothing is wrong with it.
    package func pause(of key: String) -> Duration? {
        state.withLock { $0.slots[key]?.trouble }.map { max(.zero, $0.until - .now) }
    }

    /// What does not work as it should, as the daemon's `degraded` has it.
    package var degraded: Set<String> {
        state.withLock { $0.slots.values.contains { $0.trouble != nil } } ? ["model_unavailable"] : []
    }
}

extension ModelShelf.State {
    func key(of name: String?) -> String? {
        guard let name, !name.isEmpty, name != DaemonConfiguration.Model.standardName else { return keys.first }
        if slots[name] != nil { return name }
        return keys.first { slots[$0].map { [$0.card.facts.name, $0.card.facts.digest].contains(name) } ?? false }
    }

    fileprivate func id(of slot: ModelShelf.Slot) -> String {
        let own = slot.card.facts.name
        return slot.model.name ?? (slots.values.count { $0.card.facts.name == own } == 1 ? own : slot.model.key)
    }

    fileprivate func phase(of key: String) -> ModelShelf.Standing.Phase {
        if loading?.key == key { return .loading }
        if loaded?.key == key, loaded?.generation == slots[key]?.generation { return .loaded }
        return slots[key]?.trouble == nil ? .unloaded : .unavailable
    }
}
