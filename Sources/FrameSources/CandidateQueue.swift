internal import Synchronization

/// The candidates that wait and those that are being worked on. Bounded: the disk is the real queue, and what does not
/// fit comes again with the next scan.
final class CandidateQueue: Sendable {
    struct Key: Hashable {
        let root: String
        let path: RelativePath
    }

    /// Numbers that only grow, but for the last two.
    struct Counters {
        var received = 0
        var done = 0
        var superseded = 0
        var vanished = 0
        var putBack = 0
        var spilled = 0
        /// Of a live folder: newer frames took their places.
        var dropped = 0
        /// What came of those that are done, by name.
        var results: [String: Int] = [:]
        var waiting = 0
        var inWork = 0
        /// When the oldest of those that wait or are in work came to notice.
        var oldestArrival: ContinuousClock.Instant?
    }

    /// How many frames of a live folder wait, and which ones were too old to.
    private struct Ring {
        let size: Int
        /// The newest frame that was dropped: what is older is stale. Files of one moment go by their names.
        var dropped: (modified: Int64, path: RelativePath)?

        func isStale(_ modified: Int64, _ path: RelativePath) -> Bool {
            dropped.map { (modified, path) <= $0 } ?? false
        }
    }

    private struct State {
        var waiting: [Key: FrameCandidate] = [:]
        var inWork: [Key: [FrameCandidate]] = [:]
        /// What came of those in work, as far as it is known.
        var results: [Key: String] = [:]
        /// Of the live folders.
        var rings: [String: Ring] = [:]
        /// Live and other folders take turns.
        var lastWasLive = false
        var consumers: [(id: Int, continuation: CheckedContinuation<FrameCandidate?, Never>)] = []
        var cancelled: Set<Int> = []
        var nextConsumer = 0
        var isClosed = false
        /// Something was left on the disk for want of room.
        var hasSpilled = false
        /// By root.
        var counters: [String: Counters] = [:]
    }

    private let state = Mutex(State())
    private let capacity: Int
    private let order: FrameOrder
    /// Called, with no lock held, when there is room again for what was left on the disk.
    private let onRoom: @Sendable () -> Void

    init(capacity: Int, order: FrameOrder, onRoom: @escaping @Sendable () -> Void) {
        self.capacity = max(1, capacity)
        self.order = order
        self.onRoom = onRoom
    }

    /// By root, all of the same instant.
    var counters: [String: Counters] {
        state.withLock { state in
            var counters = state.counters
            func note(_ candidate: FrameCandidate) {
                let oldest = counters[candidate.root]?.oldestArrival
                counters[candidate.root, default: Counters()].oldestArrival = min(
                    oldest ?? candidate.arrival, candidate.arrival)
            }
            for candidate in state.waiting.values {
                counters[candidate.root, default: Counters()].waiting += 1
                note(candidate)
            }
            for candidate in state.inWork.values.joined() {
                counters[candidate.root, default: Counters()].inWork += 1
                note(candidate)
            }
            return counters
        }
    }

    /// Those that wait, in no order.
    var waiting: [FrameCandidate] { state.withLock { Array($0.waiting.values) } }

    /// True if exactly this generation waits or is being worked on.
    func knows(_ root: String, _ path: RelativePath, _ identity: FileIdentity) -> Bool {
        let key = Key(root: root, path: path)
        return state.withLock {
            $0.waiting[key]?.identity == identity || $0.inWork[key]?.contains { $0.identity == identity } ?? false
        }
    }

    enum Room {
        case free
        /// None, until some of those that wait are given out; `onRoom` tells.
        case none
        /// None, but for the others that are still to be taken in.
        case noneForOthers
    }

    /// Whether a file modified at `modified` would find room once `ahead` others have been taken in.
    func room(_ root: String, modified: Int64, path: RelativePath, ahead: Int) -> Room {
        state.withLock {
            // A live folder's frames need no room: the newest take it from the oldest.
            if $0.rings[root] != nil { return .free }
            if $0.waiting.count + ahead < capacity { return .free }
            if let last = last(of: $0), isBefore(modified, path, last.identity.modified, last.path) { return .free }
            if $0.waiting.count < capacity { return .noneForOthers }
            $0.hasSpilled = true
            return .none
        }
    }

    /// Takes a candidate in. A waiting older generation of the same file is replaced.
    func offer(_ candidate: FrameCandidate) {
        let key = Key(root: candidate.root, path: candidate.path)
        let handOver: CheckedContinuation<FrameCandidate?, Never>? = state.withLock {
            guard !$0.isClosed else { return nil }
            $0.counters[key.root, default: Counters()].received += 1
            if $0.rings[key.root]?.isStale(candidate.identity.modified, key.path) ?? false {
                $0.counters[key.root]?.dropped += 1
                return nil
            }
            if $0.waiting.updateValue(candidate, forKey: key) != nil {
                $0.counters[key.root]?.superseded += 1
            } else if let ring = $0.rings[key.root] {
                drop(beyond: ring, of: key.root, &$0)
            } else if $0.waiting.count > capacity, let last = last(of: $0) {
                $0.waiting[Key(root: last.root, path: last.path)] = nil
                $0.counters[last.root, default: Counters()].spilled += 1
                $0.hasSpilled = true
            }
            guard !$0.consumers.isEmpty, $0.waiting[key] != nil else { return nil }
            $0.waiting[key] = nil
            $0.inWork[key, default: []].append(candidate)
            return $0.consumers.removeFirst().continuation
        }
        handOver?.resume(returning: candidate)
    }

    /// The next candidate; waits for one. Nil once the queue is closed or the task is cancelled.
    ///
    /// - Parameter rank: Of a root: candidates of the lowest rank that waits come first.
    func next(rank: @Sendable (String) -> Int = { _ in 0 }) async -> FrameCandidate? {
        let id = state.withLock {
            $0.nextConsumer += 1
            return $0.nextConsumer
        }
        let candidate = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: FrameCandidate?? = state.withLock {
                    if $0.isClosed || $0.cancelled.remove(id) != nil { return .some(nil) }
                    if let first = first(of: $0, rank) {
                        let key = Key(root: first.root, path: first.path)
                        $0.waiting[key] = nil
                        $0.inWork[key, default: []].append(first)
                        $0.lastWasLive = $0.rings[first.root] != nil
                        return .some(first)
                    }
                    $0.consumers.append((id, continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiting: CheckedContinuation<FrameCandidate?, Never>? = state.withLock {
                guard let index = $0.consumers.firstIndex(where: { $0.id == id }) else {
                    $0.cancelled.insert(id)
                    return nil
                }
                return $0.consumers.remove(at: index).continuation
            }
            waiting?.resume(returning: nil)
        }
        state.withLock { _ = $0.cancelled.remove(id) }
        tellOfRoom()
        return candidate
    }

    private func tellOfRoom() {
        let hasRoomAgain = state.withLock {
            guard $0.hasSpilled, $0.waiting.count <= capacity / 2 else { return false }
            $0.hasSpilled = false
            return true
        }
        if hasRoomAgain { onRoom() }
    }

    /// Drops the file at `path`, if it waits: it is gone.
    func withdraw(_ root: String, _ path: RelativePath) {
        state.withLock {
            guard $0.waiting.removeValue(forKey: Key(root: root, path: path)) != nil else { return }
            $0.counters[root]?.vanished += 1
        }
        tellOfRoom()
    }

    /// Drops everything that waits within the folder `path`: it is gone.
    func withdraw(_ root: String, within path: RelativePath) {
        state.withLock {
            let kept = $0.waiting.filter { $0.key.root != root || !$0.key.path.isWithin(path) }
            $0.counters[root]?.vanished += $0.waiting.count - kept.count
            $0.waiting = kept
        }
        tellOfRoom()
    }

    /// What waits for one root, in no order.
    func waiting(_ root: String) -> [FrameCandidate] {
        state.withLock { $0.waiting.values.filter { $0.root == root } }
    }

    /// Gives up a root that is no longer watched: what waits stays on the disk as it is.
    func release(_ root: String) {
        state.withLock {
            let kept = $0.waiting.filter { $0.key.root != root }
            $0.counters[root]?.putBack += $0.waiting.count - kept.count
            $0.waiting = kept
            $0.rings[root] = nil
        }
        tellOfRoom()
    }

    /// From now on at most `size` frames of `root` wait, the newest.
    func makeLive(_ root: String, size: Int) {
        state.withLock { $0.rings[root] = Ring(size: max(1, size)) }
    }

    /// True if frames of a live folder that are as old were dropped.
    func isStale(_ root: String, modified: Int64, path: RelativePath) -> Bool {
        state.withLock { $0.rings[root]?.isStale(modified, path) ?? false }
    }

    /// Drops the oldest frame of `root` where more than its ring holds wait.
    private func drop(beyond ring: Ring, of root: String, _ state: inout State) {
        let own = state.waiting.values.filter { $0.root == root }
        guard own.count > ring.size,
            let oldest = own.min(by: { ($0.identity.modified, $0.path) < ($1.identity.modified, $1.path) })
        else { return }
        state.waiting[Key(root: root, path: oldest.path)] = nil
        state.counters[root]?.dropped += 1
        state.rings[root]?.dropped = (oldest.identity.modified, oldest.path)
    }

    /// Notes what came of a candidate that is still in work.
    func note(_ candidate: FrameCandidate, result: String) {
        state.withLock { $0.results[Key(root: candidate.root, path: candidate.path)] = result }
    }

    /// Notes how the work on a candidate ended.
    func finish(_ candidate: FrameCandidate, _ outcome: FrameOutcome) {
        let key = Key(root: candidate.root, path: candidate.path)
        state.withLock {
            guard var working = $0.inWork[key],
                let index = working.firstIndex(where: { $0.identity == candidate.identity })
            else { return }
            working.remove(at: index)
            $0.inWork[key] = working.isEmpty ? nil : working
            let result = $0.results.removeValue(forKey: key) ?? "ok"
            switch outcome {
            case .done:
                $0.counters[key.root]?.done += 1
                $0.counters[key.root]?.results[result, default: 0] += 1
            case .vanished: $0.counters[key.root]?.vanished += 1
            case .superseded: $0.counters[key.root]?.superseded += 1
            case .putBack: $0.counters[key.root]?.putBack += 1
            }
        }
    }

    /// From now on nothing is taken in or given out.
    func close() {
        let consumers = state.withLock {
            $0.isClosed = true
            let consumers = $0.consumers
            $0.consumers = []
            return consumers
        }
        for consumer in consumers { consumer.continuation.resume(returning: nil) }
    }

    /// Of a live folder the newest, of the others the first; where both wait they take turns, so that neither a busy camera
    /// nor a full disk keeps the other waiting.
    private func first(of state: State, _ rank: (String) -> Int) -> FrameCandidate? {
        var ranks: [String: Int] = [:]
        for candidate in state.waiting.values where ranks[candidate.root] == nil {
            ranks[candidate.root] = rank(candidate.root)
        }
        let best = ranks.values.min()
        let waiting = state.waiting.values.lazy.filter { ranks[$0.root] == best }
        let others = waiting.filter { state.rings[$0.root] == nil }
        let first = others.min { isBefore($0.identity.modified, $0.path, $1.identity.modified, $1.path) }
        guard !state.rings.isEmpty else { return first }
        let live = waiting.filter { state.rings[$0.root] != nil }
        let newest = live.max { ($0.identity.modified, $0.path) < ($1.identity.modified, $1.path) }
        return state.lastWasLive ? first ?? newest : newest ?? first
    }

    /// The one that is left on the disk if there is no room; live frames never are.
    private func last(of state: State) -> FrameCandidate? {
        state.waiting.values.lazy.filter { state.rings[$0.root] == nil }
            .max { isBefore($0.identity.modified, $0.path, $1.identity.modified, $1.path) }
    }

    private func isBefore(_ time: Int64, _ path: RelativePath, _ otherTime: Int64, _ otherPath: RelativePath) -> Bool {
        if time == otherTime { return path < otherPath }
        return order == .oldestFirst ? time < otherTime : time > otherTime
    }
}
