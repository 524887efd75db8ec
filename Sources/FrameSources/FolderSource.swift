internal import Synchronization

/// A folder to watch.
public struct WatchedFolder: Sendable, Equatable {
    /// Its name in the configuration; unique.
    public var id: String
    public var path: String
    /// Whether folders in it are watched too, at any depth. The default is true.
    public var isRecursive: Bool
    public var filter: NameFilter
    /// Nil (the default): every frame is wanted. Else only the newest, of which at most this many wait; older ones are
    /// dropped for good.
    public var newest: Int?

    public init(
        id: String, path: String, isRecursive: Bool = true, filter: NameFilter = NameFilter(), newest: Int? = nil
    ) {
        self.id = id
        self.path = path
        self.isRecursive = isRecursive
        self.filter = filter
        self.newest = newest
    }
}

/// How folders are watched.
public struct FolderSourceOptions: Sendable, Equatable {
    public var rules: Settler.Rules
    /// The default is oldest first.
    public var order: FrameOrder
    /// The most candidates that wait; the others stay on the disk. The default is 1024.
    public var queueCapacity: Int
    /// Between two scans of everything, which find what events did not tell. The default is 300 s.
    public var scanInterval: Duration
    /// Between two scans of what cannot be watched. The default is 5 s; it is stretched to ten times as long as a
    /// scan takes.
    public var pollInterval: Duration
    /// How many bytes at the end of a file are given to the question for its end marker. The default is 64 KiB.
    public var tailLength: Int

    public init(
        rules: Settler.Rules = .init(), order: FrameOrder = .oldestFirst, queueCapacity: Int = 1024,
        scanInterval: Duration = .seconds(300), pollInterval: Duration = .seconds(5), tailLength: Int = 65_536
    ) {
        self.rules = rules
        self.order = order
        self.queueCapacity = queueCapacity
        self.scanInterval = scanInterval
        self.pollInterval = pollInterval
        self.tailLength = tailLength
    }
}

/// What a folder source needs to know of pictures and sidecars. Called on the folders' own threads, which wait for the
/// answer: quick looks at a file, no more.
public struct FrameQuestions: Sendable {
    /// True if these last bytes of a file hold the end of the picture.
    public var hasEnd: @Sendable (_ tail: [UInt8], _ path: RelativePath) -> Bool
    /// True if this generation of the file has a valid sidecar: it is left alone.
    public var isDone: @Sendable (FrameCandidate) -> Bool

    public init(
        hasEnd: @escaping @Sendable (_ tail: [UInt8], _ path: RelativePath) -> Bool,
        isDone: @escaping @Sendable (FrameCandidate) -> Bool
    ) {
        self.hasEnd = hasEnd
        self.isDone = isDone
    }
}

/// Why a folder is not watched as it should be; the raw values are stable.
public enum FolderDegradation: String, Sendable, Codable, CaseIterable, Comparable {
    /// No folder can be opened at the path; it is tried again every second.
    case rootMissing = "root_missing"
    /// No inotify in this system or sandbox: everything is polled.
    case inotifyUnavailable = "inotify_unavailable"
    /// `fs.inotify.max_user_instances` is reached: everything is polled.
    case instanceLimit = "instance_limit"
    /// No descriptor below 1024 is left for libinotifytools, or none at all: everything is polled.
    case descriptorLimit = "descriptor_limit"
    /// `fs.inotify.max_user_watches` is reached: what is not watched is polled.
    case watchLimit = "watch_limit"
    /// The file system tells nothing, or not all, of what others change in it: it is polled.
    case fileSystem = "file_system"
    /// A folder is watched a second time, by another root or under a second path: here it is polled.
    case watchedTwice = "watched_twice"
    /// A folder or a file cannot be read: permissions, or an error of the disk.
    case unreadable

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What happened so far. At every instant
/// `received = done + superseded + vanished + putBack + spilled + dropped + waiting + inWork`.
public struct FolderCounters: Sendable, Equatable {
    /// Generations of files that settled and were taken into the queue.
    public var received = 0
    public var done = 0
    /// What came of those that are done, by the name that `note` was given.
    public var results: [String: Int] = [:]
    /// Replaced by a later generation before they were done.
    public var superseded = 0
    /// Gone before they were done.
    public var vanished = 0
    public var putBack = 0
    /// Left on the disk again for want of room.
    public var spilled = 0
    /// Of a live folder: newer frames took their places.
    public var dropped = 0
    public var waiting = 0
    public var inWork = 0
    /// Files that are watched until they are complete.
    public var settling = 0
    public var overflows = 0
    public var scans = 0
    public var polls = 0
    /// Folders with a watch.
    public var watches = 0
    /// When the oldest of those that wait or are in work came to notice.
    public var oldestArrival: ContinuousClock.Instant?
}

/// Watches folders and gives out the frames that appear in them, each generation once for as long as it is not done.
///
/// Events are hints and scans are the truth: everything is scanned at the start, when events were lost, when room
/// comes free after frames were left on the disk, on request, and every five minutes. Each root has a thread of its
/// own that does everything that can block.
///
/// A candidate that was given out and never finished (the process died) is found again by the next start's scan: no
/// state is kept but the sidecars. A journal of frames in flight, for counting crashes, belongs between `next()` and
/// `finish(_:_:)` and is keyed by root, path and identity.
public final class FolderSource: Sendable {
    let queue: CandidateQueue
    let options: FolderSourceOptions
    let questions: FrameQuestions
    let watcher: any FolderWatching
    let clock: any FrameClock
    /// Those of the folders that are watched, and what those counted that no longer are.
    let roots: Mutexed<Roots>
    private let isStarted = Atomic(false)

    struct Roots: Sendable {
        var threads: [RootThread] = []
        var retired: [String: FolderCounters] = [:]
    }

    /// - Throws: `invalid` for two folders of the same name or an option that is out of range, `resource`.
    public convenience init(
        folders: [WatchedFolder], options: FolderSourceOptions = .init(), questions: FrameQuestions
    ) throws(FrameSourceError) {
        try self.init(
            folders: folders, options: options, questions: questions, watcher: InotifyWatcher.shared,
            clock: SystemFrameClock())
    }

    /// For tests: with another watcher and another clock.
    package init(
        folders: [WatchedFolder], options: FolderSourceOptions, questions: FrameQuestions,
        watcher: any FolderWatching, clock: any FrameClock
    ) throws(FrameSourceError) {
        try Self.check(folders, options)
        let roots = Mutexed(Roots())
        self.roots = roots
        self.options = options
        self.questions = questions
        self.watcher = watcher
        self.clock = clock
        queue = CandidateQueue(capacity: options.queueCapacity, order: options.order) { [weak roots] in
            // Weak: the threads hold the queue.
            for thread in roots?.value.threads ?? [] { thread.mailbox.request(.rescan) }
        }
        var threads: [RootThread] = []
        for folder in folders { threads.append(try thread(for: folder)) }
        roots.change { $0.threads = threads }
        for thread in threads { admit(thread) }
    }

    func thread(for folder: WatchedFolder) throws(FrameSourceError) -> RootThread {
        try RootThread(
            folder: folder, options: options, questions: questions, queue: queue, watcher: watcher, clock: clock)
    }

    /// Tells the queue what kind of folder comes.
    func admit(_ thread: RootThread) {
        if let newest = thread.folder.newest { queue.makeLive(thread.folder.id, size: newest) }
    }

    /// Starts the threads; without effect the second time.
    ///
    /// - Throws: `resource`.
    public func start() throws(FrameSourceError) {
        guard !isStarted.exchange(true, ordering: .relaxed) else { return }
        for thread in threads { try thread.start() }
    }

    var hasStarted: Bool { isStarted.load(ordering: .relaxed) }

    var threads: [RootThread] { roots.value.threads }

    /// The next frame; waits for one. Nil once the source is stopped or the task is cancelled. May be called by
    /// several tasks. Whoever takes a candidate calls `finish`.
    ///
    /// - Parameter rank: Of a root, by its name: frames of the lowest rank that waits come first. Called with the queue
    ///   locked. The default ranks all alike.
    public func next(rank: @Sendable (_ root: String) -> Int = { _ in 0 }) async -> FrameCandidate? {
        await queue.next(rank: rank)
    }

    /// The frames that wait for `next()`, in no order.
    public var waiting: [FrameCandidate] { queue.waiting }

    /// Says what came of a candidate that will be done, for the counters; the default is `ok`.
    public func note(_ candidate: FrameCandidate, result: String) { queue.note(candidate, result: result) }

    /// Ends the work on a candidate that `next()` gave out.
    public func finish(_ candidate: FrameCandidate, _ outcome: FrameOutcome) {
        queue.finish(candidate, outcome)
        let mailbox = threads.first { $0.folder.id == candidate.root }?.mailbox
        switch outcome {
        case .done: break
        case .superseded, .vanished: mailbox?.request(.look(candidate.path))
        case .putBack: mailbox?.request(.rescan)
        }
    }

    /// Asks for a scan of everything, as SIGHUP does.
    public func requestScan() {
        for thread in threads { thread.mailbox.request(.rescan) }
    }

    /// Stops the threads and waits until they have ended; `next()` returns nil from now on.
    public func stop() async {
        queue.close()
        guard isStarted.exchange(true, ordering: .relaxed) else { return }
        for thread in threads { thread.mailbox.request(.stop) }
        for thread in threads { await thread.ended() }
    }

    /// What does not work as it should, by root; roots without trouble are missing.
    public var degraded: [String: Set<FolderDegradation>] {
        var result: [String: Set<FolderDegradation>] = [:]
        for thread in threads where !thread.status.degraded.isEmpty {
            result[thread.folder.id] = thread.status.degraded
        }
        return result
    }

    /// How long ago the slowest of the roots' threads last went round: more than a minute means that it hangs, in a
    /// disk or a network that does not answer.
    public var slowestTurn: Duration { threads.map { $0.sinceLastTurn }.max() ?? .zero }

    static func check(_ folders: [WatchedFolder], _ options: FolderSourceOptions) throws(FrameSourceError) {
        let ids = folders.map(\.id)
        if let twice = ids.first(where: { id in ids.count { $0 == id } > 1 }) {
            throw FrameSourceError(.invalid, "Cannot watch two folders under the name '\(twice)': give each its own.")
        }
        let durations = [
            ("quiet", options.rules.quiet), ("recheck", options.rules.recheck), ("give up", options.rules.giveUp),
            ("scan", options.scanInterval), ("poll", options.pollInterval),
        ]
        if let wrong = durations.first(where: { $0.1 <= .zero }) {
            throw FrameSourceError(.invalid, "Cannot use a \(wrong.0) time of \(wrong.1): expected more than zero.")
        }
        if options.queueCapacity < 1 || options.rules.capacity < 1 || options.tailLength < 1 {
            throw FrameSourceError(.invalid, "Cannot use a capacity or a tail length below 1.")
        }
    }
}

/// A value that several threads see.
package final class Mutexed<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    package init(_ value: Value) { mutex = Mutex(value) }

    package var value: Value {
        get { mutex.withLock { $0 } }
        set { mutex.withLock { $0 = newValue } }
    }

    package func change(_ body: (inout Value) -> Void) { mutex.withLock { body(&$0) } }
}
