public import Sidecars
internal import Synchronization

/// Hands results, as they come, to everyone who listens; each listener has a buffer of its own, of set size.
///
/// A listener that is too slow loses the oldest results and is told how many. Nobody else waits for it.
public final class ResultFeed: Sendable {
    /// Results that wait for one listener at most.
    public let capacity: Int

    private let listeners = Mutex(Listeners())

    private struct Listeners {
        var list: [ObjectIdentifier: ResultListener] = [:]
        var isClosed = false
    }

    private let onPublish: @Sendable (SidecarDocument) -> Void

    /// - Parameters:
    ///   - capacity: The default is 256.
    ///   - onPublish: Told of every result before the listeners are.
    public init(capacity: Int = 256, onPublish: @escaping @Sendable (SidecarDocument) -> Void = { _ in }) {
        self.capacity = max(1, capacity)
        self.onPublish = onPublish
    }

    /// Those who listen.
    public var listenerCount: Int { listeners.withLock { $0.list.count } }

    /// Hands out one result.
    public func publish(_ document: SidecarDocument) {
        onPublish(document)
        let interested = listeners.withLock { Array($0.list.values) }.filter { $0.wants(document.source.origin) }
        guard !interested.isEmpty, let line = try? document.compactJSON() else { return }
        for listener in interested { listener.add(line) }
    }

    /// Listens from now on until the listener is gone or ``ResultListener/stop()``ped.
    ///
    /// - Parameter source: Only results of this source, as in their `origin` or its part after the colon. The default, nil,
    ///   is all.
    public func listen(source: String? = nil) -> ResultListener {
        let listener = ResultListener(source: source, capacity: capacity) { [weak self] listener in
            self?.listeners.withLock { $0.list[ObjectIdentifier(listener)] = nil }
        }
        let isClosed = listeners.withLock { listeners in
            if !listeners.isClosed { listeners.list[ObjectIdentifier(listener)] = listener }
            return listeners.isClosed
        }
        if isClosed { listener.stop() }
        return listener
    }

    /// Ends every listener, those to come too, when each has had what waited for it.
    public func close() {
        let all = listeners.withLock { listeners in
            listeners.isClosed = true
            return Array(listeners.list.values)
        }
        for listener in all { listener.stop() }
    }
}

/// One who listens to a ``ResultFeed``.
public final class ResultListener: Sendable {
    public enum Event: Sendable, Equatable {
        /// A result as JSON on one line, without the line feed.
        case result([UInt8])
        /// So many older results were lost since the last event because they were not fetched in time.
        case lost(Int)
    }

    private struct State {
        /// Oldest first, in a ring.
        var lines: [[UInt8]] = []
        var first = 0
        var lost = 0
        var isStopped = false
        var continuation: CheckedContinuation<Event?, Never>?

        mutating func take() -> Event? {
            if lost > 0 {
                defer { lost = 0 }
                return .lost(lost)
            }
            guard first < lines.count else { return nil }
            let line = lines[first]
            lines[first] = []
            first += 1
            if first == lines.count { (lines, first) = ([], 0) }
            return .result(line)
        }

        mutating func add(_ line: [UInt8], capacity: Int) {
            lines.append(line)
            if lines.count - first > capacity {
                lines[first] = []
                first += 1
                lost += 1
            }
            if first > capacity {
                lines.removeFirst(first)
                first = 0
            }
        }
    }

    private let source: String?
    private let capacity: Int
    private let state = Mutex(State())
    private let onStop: @Sendable (ResultListener) -> Void

    fileprivate init(source: String?, capacity: Int, onStop: @escaping @Sendable (ResultListener) -> Void) {
        self.source = source
        self.capacity = capacity
        self.onStop = onStop
    }

    fileprivate func wants(_ origin: String?) -> Bool {
        guard let source else { return true }
        guard let origin else { return false }
        return origin == source
            || origin.split(separator: ":", maxSplits: 1).last.map { $0 == source } ?? false
    }

    fileprivate func add(_ line: [UInt8]) {
        let waiting = state.withLock { state -> CheckedContinuation<Event?, Never>? in
            guard !state.isStopped else { return nil }
            if let continuation = state.continuation {
                state.continuation = nil
                return continuation
            }
            state.add(line, capacity: capacity)
            return nil
        }
        waiting?.resume(returning: .result(line))
    }

    /// The next event; waits for one. Nil once it is stopped, or at once when the task is cancelled. For one task at a time.
    public func next() async -> Event? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (isThere, event) = state.withLock { state -> (Bool, Event?) in
                    guard !Task.isCancelled, state.continuation == nil else { return (true, nil) }
                    if let event = state.take() { return (true, event) }
                    guard !state.isStopped else { return (true, nil) }
                    state.continuation = continuation
                    return (false, nil)
                }
                if isThere { continuation.resume(returning: event) }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                defer { state.continuation = nil }
                return state.continuation
            }
            waiting?.resume(returning: nil)
        }
    }

    /// Listens no longer; what waits can still be fetched.
    public func stop() {
        let waiting = state.withLock { state in
            state.isStopped = true
            defer { state.continuation = nil }
            return state.continuation
        }
        waiting?.resume(returning: nil)
        onStop(self)
    }
}
