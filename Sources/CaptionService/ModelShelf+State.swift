extension ModelShelf {
    /// The place of one model.
    struct Slot: Sendable {
        let model: DaemonConfiguration.Model
        var card: ModelCard
        var planner: FramePlanner?
        /// Another one for each thing that stands under the same name.
        var generation: Int
        /// What loading took last; nil before the first time.
        var loadTime: Duration?
        var loads = 0
        var failures = 0
        /// Nil where the last attempt went well.
        var trouble: Trouble?

        /// Why it cannot be loaded at present.
        struct Trouble: Sendable {
            var error: EngineError
            /// Attempts that failed one after the other.
            var count: Int
            /// When it may be tried again.
            var until: ContinuousClock.Instant
        }

        /// Takes in an attempt to load it: how long it took, or why it failed.
        mutating func note(_ result: Result<Duration, EngineError>) {
            switch result {
            case .success(let took):
                loadTime = took
                loads += 1
                trouble = nil
            case .failure(let error):
                failures += 1
                let count = (trouble?.count ?? 0) + 1
                // 1 s, then twice as long each time, at most 60 s.
                let pause = Duration.seconds(min(60, 1 << min(count - 1, 6)))
                trouble = Trouble(error: error, count: count, until: .now + pause)
            }
        }
    }

    /// The models of one configuration, in its order.
    struct Stock: Sendable {
        var keys: [String] = []
        var slots: [String: Slot] = [:]

        /// With what `other` has besides.
        func merging(_ other: Stock) -> Stock {
            Stock(
                keys: keys + other.keys.filter { slots[$0] == nil }, slots: slots.merging(other.slots) { own, _ in own }
            )
        }
    }

    /// What is to be done for who wants a model.
    enum Step {
        case use(any PictureEngine)
        /// Loading it is up to who asked.
        case load(Slot)
        /// Another is loaded or in use.
        case wait
        case fail(EngineError)
    }

    struct State: Sendable {
        /// The first is the default.
        var keys: [String] = []
        var slots: [String: Slot] = [:]
        var loaded: (key: String, generation: Int, engine: any PictureEngine)?
        var loading: (key: String, since: ContinuousClock.Instant)?
        /// Frames that use what is loaded.
        var users = 0
        /// Counts what those who wait may want to see.
        var version = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        /// Unloads what is idle; ``hour`` is the number of the one that counts.
        var timer: Task<Void, Never>?
        var hour = 0
        private var lastNumber = 0

        mutating func nextNumber() -> Int {
            lastNumber += 1
            return lastNumber
        }

        /// Whether what is loaded and used by nobody is no longer what stands under its name.
        var isStale: Bool {
            users == 0 && loaded.map { slots[$0.key]?.generation != $0.generation } ?? false
        }

        /// Lets go of what is loaded; its name, if there was any.
        mutating func unload() -> String? {
            defer {
                loaded = nil
                version += 1
            }
            return loaded?.key
        }

        /// What is to be done next for who wants the model `key`, and does it where it is only noting.
        ///
        /// - Parameter uses: Whether it is used from now on if it is there.
        mutating func step(toward key: String, uses: Bool) -> Step {
            guard let slot = slots[key] else {
                return .fail(EngineError(.model, "There is no model '\(key)' any more."))
            }
            if let loaded, loaded.key == key, loaded.generation == slot.generation {
                guard uses else { return .wait }
                users += 1
                timer?.cancel()
                timer = nil
                hour = 0
                return .use(loaded.engine)
            }
            guard loading == nil, users == 0 else { return .wait }
            if let trouble = slot.trouble, .now < trouble.until { return .fail(trouble.error) }
            timer?.cancel()
            timer = nil
            // One at a time: the old one's memory goes before the new one's comes.
            loaded = nil
            loading = (key, .now)
            return .load(slot)
        }
    }
}
