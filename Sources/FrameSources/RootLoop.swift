/// What one root's thread does: notices and scans lead files to the settler, the settler leads them to the queue.
/// Made, used and dropped on that thread.
final class RootLoop {
    let thread: RootThread
    let subscriber: Int
    var root: FolderRoot?
    var table = WatchTable()
    var settler: Settler
    var status = RootThread.Status()

    /// Folders that are scanned every few seconds, with all that is in them.
    var polled: Set<RelativePath> = []
    var mustScan = true
    /// A file was not held for want of room among those that settle: scan when there is some.
    var leftBehind = false
    /// The root's own folder was moved, deleted or unmounted.
    var mustCheckRoot = false

    private var nextScan: Duration
    private var earliestScan: Duration
    private var nextPoll: Duration
    private var nextRootCheck: Duration

    /// Between two looks whether the root's path still leads to the same folder; also the longest sleep.
    private static let rootCheckInterval = Duration.seconds(5)
    private static let missingRootInterval = Duration.seconds(1)
    private static let shortestScanInterval = Duration.milliseconds(250)

    init(_ thread: RootThread) {
        self.thread = thread
        settler = Settler(rules: thread.options.rules)
        let now = thread.clock.now()
        nextScan = now
        earliestScan = now
        nextPoll = now
        nextRootCheck = now
        subscriber = thread.watcher.subscribe(thread.mailbox)
    }

    var id: String { thread.folder.id }
    var filter: NameFilter { thread.folder.filter }
    var queue: CandidateQueue { thread.queue }
    var now: Duration { thread.clock.now() }

    func run() {
        while true {
            checkRoot()
            let (notices, requests) = thread.mailbox.take(waiting: timeToNextWork())
            if requests.contains(.stop) { break }
            for request in requests { perform(request) }
            for notice in notices { handle(notice) }
            scanOrPoll()
            settle()
            publish()
        }
        thread.watcher.unsubscribe(subscriber)
    }

    private func perform(_ request: Mailbox.Request) {
        switch request {
        case .rescan: mustScan = true
        case .look(let path): lookAgain(at: path)
        case .stop: break
        }
    }

    private func timeToNextWork() -> Duration {
        let now = now
        var next = nextRootCheck
        if root != nil {
            next = min(next, mustScan ? earliestScan : nextScan)
            if !polled.isEmpty { next = min(next, nextPoll) }
            if let due = settler.nextDue { next = min(next, due) }
        }
        return max(.zero, next - now)
    }

    private func scanOrPoll() {
        let started = now
        if started >= nextScan { mustScan = true }
        if leftBehind, settler.count <= min(settler.rules.capacity, thread.options.queueCapacity) / 2 {
            mustScan = true
        }
        if mustScan, started >= earliestScan, root != nil {
            mustScan = false
            leftBehind = false
            status.scans += 1
            scanEverything()
            let ended = now
            nextScan = ended + thread.options.scanInterval
            earliestScan = ended + max(Self.shortestScanInterval, ended - started)
            nextPoll = ended + max(thread.options.pollInterval, (ended - started) * 10)
        } else if !polled.isEmpty, started >= nextPoll, root != nil {
            status.polls += 1
            for path in polled { scan(path, watching: false) }
            let ended = now
            nextPoll = ended + max(thread.options.pollInterval, (ended - started) * 10)
        }
    }

    /// Opens the root, or finds out that its path leads elsewhere now.
    private func checkRoot() {
        let now = now
        guard mustCheckRoot || now >= nextRootCheck else { return }
        mustCheckRoot = false
        if let root, !root.isStillAtItsPath() {
            dropEverything()
            self.root = nil
        }
        if root == nil {
            root = try? FolderRoot(path: thread.folder.path)
            if root == nil {
                status.degraded = [.rootMissing]
            } else {
                status.degraded.remove(.rootMissing)
                mustScan = true
                earliestScan = now
            }
            publish()
        }
        nextRootCheck = now + (root == nil ? Self.missingRootInterval : Self.rootCheckInterval)
    }

    private func dropEverything() {
        thread.watcher.unwatch(table.remove(within: .root))
        table.removeAll()
        polled = []
        settler.forget(within: .root)
        queue.withdraw(id, within: .root)
    }

    private func publish() {
        status.settling = settler.count
        status.watches = table.count
        status.lastTurn = now
        thread.publish(status)
    }

    // MARK: - Files

    /// Looks at every file whose time has come.
    private func settle() {
        guard let root, settler.count > 0 else { return }
        let now = now
        for path in settler.due(at: now) {
            let identity: FileIdentity?
            switch root.look(at: path) {
            case .file(let found): identity = found
            case .absent: identity = nil
            case .fault:
                status.degraded.insert(.unreadable)
                settler.postpone(path, at: now)
                continue
            }
            var isUnreadable = false
            let verdict = settler.look(at: path, identity, at: now) {
                guard let identity, let tail = root.tail(of: path, identity, limit: thread.options.tailLength) else {
                    isUnreadable = true
                    return false
                }
                return thread.questions.hasEnd(tail, path)
            }
            guard let identity else { continue }
            switch verdict {
            case .settled(let seen): giveOut(candidate(path, identity, .settled, seen))
            // Nobody knows whether its end is there: not the file's fault. The next scan finds it again.
            case .truncated where isUnreadable: status.degraded.insert(.unreadable)
            case .truncated(let seen): giveOut(candidate(path, identity, .truncated, seen))
            case .waiting, .vanished: break
            }
        }
    }

    private func giveOut(_ candidate: FrameCandidate?) {
        guard let candidate, !queue.knows(id, candidate.path, candidate.identity),
            !thread.questions.isDone(candidate)
        else { return }
        queue.offer(candidate)
    }

    /// Notes a sign of the file at `path`.
    func note(_ sign: Settler.Sign, _ path: RelativePath) {
        switch root?.look(at: path) {
        case .file(let identity):
            if queue.knows(id, path, identity) { return }
            if !settler.note(sign, path, identity, at: now) { leftBehind = true }
        // The scan will tell.
        case .fault: mustScan = true
        case .absent, nil: break
        }
    }

    private func lookAgain(at path: RelativePath) {
        if filter.accepts(path) { note(.appeared, path) }
    }

    func candidate(
        _ path: RelativePath, _ identity: FileIdentity, _ condition: FrameCandidate.Condition, _ seen: Settler.Seen
    ) -> FrameCandidate? {
        guard let root else { return nil }
        return FrameCandidate(
            root: id, folder: root, path: path, identity: identity, condition: condition, sign: seen.sign,
            arrival: ContinuousClock.now - (now - seen.first))
    }
}
