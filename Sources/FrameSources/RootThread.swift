internal import Synchronization

/// The thread of one watched root, and what others may see of it.
final class RootThread: Sendable {
    struct Status: Sendable {
        var settling = 0
        var overflows = 0
        var scans = 0
        var polls = 0
        var watches = 0
        var degraded: Set<FolderDegradation> = []
        /// On the frame clock.
        var lastTurn: Duration = .zero
    }

    private struct State {
        var status = Status()
        var hasEnded = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    let folder: WatchedFolder
    let options: FolderSourceOptions
    let questions: FrameQuestions
    let queue: CandidateQueue
    let watcher: any FolderWatching
    let clock: any FrameClock
    let mailbox: Mailbox
    private let state = Mutex(State())

    init(
        folder: WatchedFolder, options: FolderSourceOptions, questions: FrameQuestions, queue: CandidateQueue,
        watcher: any FolderWatching, clock: any FrameClock
    ) throws(FrameSourceError) {
        self.folder = folder
        self.options = options
        self.questions = questions
        self.queue = queue
        self.watcher = watcher
        self.clock = clock
        mailbox = try Mailbox()
    }

    var status: Status { state.withLock { $0.status } }

    var sinceLastTurn: Duration {
        let (last, hasEnded) = state.withLock { ($0.status.lastTurn, $0.hasEnded) }
        return hasEnded || last == .zero ? .zero : clock.now() - last
    }

    func start() throws(FrameSourceError) {
        do {
            try OwnedThread.start { [self] in
                RootLoop(self).run()
                end()
            }
        } catch {
            end()
            throw error
        }
    }

    /// Notes that the thread moves, in the middle of a long round.
    func turn() { state.withLock { $0.status.lastTurn = clock.now() } }

    func publish(_ status: Status) { state.withLock { $0.status = status } }

    /// Returns when the thread has ended.
    func ended() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock {
                if !$0.hasEnded { $0.waiting.append(continuation) }
                return $0.hasEnded
            }
            if isOver { continuation.resume() }
        }
    }

    private func end() {
        let waiting = state.withLock {
            $0.hasEnded = true
            let waiting = $0.waiting
            $0.waiting = []
            return waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}
