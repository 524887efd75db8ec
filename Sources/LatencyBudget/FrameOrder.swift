/// Which waiting frame is answered next.
///
/// Earliest deadline first across sources; newest first within a live source, of which only the newest few wait at all;
/// backlog only when nothing else waits. Frames whose deadline has passed come after those that can still be in time.
///
/// A pure structure: it holds what it is given and knows no clock.
public struct FrameOrder<Frame: Sendable>: Sendable {
    /// How a frame competes with others.
    public enum Kind: Sendable, Equatable {
        /// Of a camera: a newer frame of the same source is worth more.
        case live(source: Int)
        /// Somebody waits for this very frame.
        case request
        /// Of a folder that has piled up.
        case backlog
    }

    /// Frames of a live source that wait at most.
    public let liveFrames: Int

    private var live: [LiveSource] = []
    private var requests = Heap<Frame>()
    private var backlog = Heap<Frame>()
    /// Requests whose deadline passed before their turn, oldest deadline first.
    private var late = Heap<Frame>()
    private var sequence: UInt64 = 0

    private struct LiveSource: Sendable {
        var source: Int
        /// Oldest first.
        var frames: [(frame: Frame, deadline: Double)] = []
    }

    /// - Parameter liveFrames: Newest frames of a live source that wait; older ones are handed back as superseded. The
    ///   default is 1.
    public init(liveFrames: Int = 1) {
        self.liveFrames = max(1, liveFrames)
    }

    /// Frames that wait.
    public var count: Int {
        live.reduce(0) { $0 + $1.frames.count } + requests.count + backlog.count + late.count
    }

    public var isEmpty: Bool { count == 0 }

    /// Adds a frame.
    ///
    /// - Parameter deadline: ms on the clock of ``next(now:)``; infinity is none, and NaN counts as none.
    /// - Returns: The frame of the same live source that is superseded by it, if it was one too many.
    @discardableResult
    public mutating func add(_ frame: Frame, _ kind: Kind, deadline: Double) -> Frame? {
        let deadline = deadline.isNaN ? .infinity : deadline
        sequence &+= 1
        switch kind {
        case .request:
            requests.push(.init(frame: frame, deadline: deadline, sequence: sequence))
        case .backlog:
            backlog.push(.init(frame: frame, deadline: deadline, sequence: sequence))
        case .live(let source):
            let index =
                live.firstIndex { $0.source == source }
                ?? {
                    live.append(LiveSource(source: source))
                    return live.count - 1
                }()
            live[index].frames.append((frame, deadline))
            if live[index].frames.count > liveFrames { return live[index].frames.removeFirst().frame }
        }
        return nil
    }

    /// Takes the next frame out.
    public mutating func next(now: Double) -> Frame? {
        while let first = requests.first, first.deadline < now {
            if let passed = requests.pop() { late.push(passed) }
        }
        // Of each live source the newest frame competes.
        var newest: (index: Int, deadline: Double)?
        var passed: (index: Int, deadline: Double)?
        for (index, source) in live.enumerated() {
            guard let deadline = source.frames.last?.deadline else { continue }
            if deadline < now {
                if deadline < passed?.deadline ?? .infinity || passed == nil { passed = (index, deadline) }
            } else if newest == nil || deadline < newest?.deadline ?? .infinity {
                newest = (index, deadline)
            }
        }
        if let newest, newest.deadline < requests.first?.deadline ?? .infinity || requests.first == nil {
            return live[newest.index].frames.popLast()?.frame
        }
        if let request = requests.pop() { return request.frame }
        if let passed, passed.deadline < late.first?.deadline ?? .infinity || late.first == nil {
            return live[passed.index].frames.popLast()?.frame
        }
        if let request = late.pop() { return request.frame }
        return backlog.pop()?.frame
    }

    /// The deadlines of what waits, backlog left out: of each live source the newest frame's.
    public var waiting: WaitingDeadlines {
        var waiting = WaitingDeadlines()
        for source in live {
            if let newest = source.frames.last { waiting.add(newest.deadline) }
        }
        requests.forEach { waiting.add($0.deadline) }
        return waiting
    }

    /// Forgets a live source and hands back what waited, oldest first.
    public mutating func remove(source: Int) -> [Frame] {
        guard let index = live.firstIndex(where: { $0.source == source }) else { return [] }
        return live.remove(at: index).frames.map(\.frame)
    }
}

/// A binary heap: earliest deadline first, first come first among equals.
private struct Heap<Frame: Sendable>: Sendable {
    struct Entry: Sendable {
        var frame: Frame
        var deadline: Double
        var sequence: UInt64
    }

    private var entries: [Entry] = []

    var count: Int { entries.count }
    var first: Entry? { entries.first }

    func forEach(_ body: (Entry) -> Void) { entries.forEach(body) }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        let (a, b) = (entries[left], entries[right])
        return a.deadline == b.deadline ? a.sequence < b.sequence : a.deadline < b.deadline
    }

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            entries.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> Entry? {
        guard !entries.isEmpty else { return nil }
        entries.swapAt(0, entries.count - 1)
        let entry = entries.removeLast()
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count && precedes(child, smallest) {
                smallest = child
            }
            guard smallest != parent else { return entry }
            entries.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
