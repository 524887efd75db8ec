internal import CInotifyTools
internal import Glibc
internal import Synchronization

/// Watches folders with inotify through libinotifytools, for the whole process.
///
/// The library's state is global and it is not made for threads: one thread, started with the first subscriber, makes
/// every call to it and copies what it returns at once. Others hand their wishes to that thread and wake it by writing
/// into a pipe that is itself watched, since the library can wait for nothing but inotify.
///
/// The library finds a watch by the path it was set on and never forgets a path whose folder is gone; so every watch
/// is set on a path of its own: the folder's descriptor in `/proc/self/fd`, followed by a pattern of slashes and dots
/// that is never used twice. That also means that no link can be swapped in between opening and watching.
package final class InotifyWatcher: FolderWatching {
    /// The process's watcher.
    package static let shared = InotifyWatcher()

    private enum Command: Sendable {
        case add(descriptor: Int32, subscriber: Int, answer: Answer)
        case remove([WatchID])
        case removeAll(subscriber: Int)
        case restart
    }

    /// Where the watch thread puts the result of `add`.
    private final class Answer: Sendable {
        let result = Mutex<Result<WatchID, WatchFailure>?>(nil)
        let wakeUp: WakeUp

        init() throws(FrameSourceError) { wakeUp = try WakeUp() }
    }

    private struct State {
        var subscribers: [Int: Mailbox] = [:]
        var nextSubscriber = 0
        var commands: [Command] = []
        var isRunning = false
        /// One more with every start of the library.
        var generation = 0
        var wakeWrite: Int32 = -1
        var statistics = Statistics()
    }

    /// What the watcher did so far.
    package struct Statistics: Sendable, Equatable {
        package var watches = 0
        package var overflows = 0
        package var restarts = 0
        /// Those of them for many dead watches.
        package var dueRestarts = 0
        package var errors = 0
        /// When the watch thread last went round, on `CLOCK_MONOTONIC`.
        package var lastTurn: Duration = .zero
    }

    private let state = Mutex(State())
    private let clock = SystemFrameClock()

    /// The library is started anew after this many watches whose folder went: it leaks a little for each.
    private let deadWatchLimit = Mutex(10_000)

    /// The bits that tell of frames and folders; `IN_MASK_CREATE` refuses a second watch on one folder, which would
    /// silently be the first one.
    private static let mask: UInt32 =
        UInt32(IN_CREATE) | UInt32(IN_CLOSE_WRITE) | UInt32(IN_MOVED_TO) | UInt32(IN_MOVED_FROM) | UInt32(IN_DELETE)
        | UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF) | UInt32(IN_ONLYDIR) | 0x1000_0000

    private init() {}

    package var statistics: Statistics { state.withLock { $0.statistics } }

    package func subscribe(_ mailbox: Mailbox) -> Int {
        state.withLock {
            $0.nextSubscriber += 1
            $0.subscribers[$0.nextSubscriber] = mailbox
            return $0.nextSubscriber
        }
    }

    package func unsubscribe(_ subscriber: Int) {
        state.withLock { _ = $0.subscribers.removeValue(forKey: subscriber) }
        send(.removeAll(subscriber: subscriber))
    }

    package func watch(_ descriptor: Int32, for subscriber: Int) throws(WatchFailure) -> WatchID {
        guard let answer = try? Answer() else { throw .descriptors }
        let mustStart = state.withLock {
            let wasRunning = $0.isRunning
            $0.isRunning = true
            $0.commands.append(.add(descriptor: descriptor, subscriber: subscriber, answer: answer))
            Self.poke($0.wakeWrite)
            return !wasRunning
        }
        if mustStart {
            do {
                try OwnedThread.start { [self] in run() }
            } catch {
                fail(WatchFailure(code: error.systemCode))
            }
        }
        // While the thread runs it answers every command, and when it ends it answers those that are left.
        while true {
            answer.wakeUp.wait(for: nil)
            if let result = answer.result.withLock({ $0 }) { return try result.get() }
        }
    }

    package func unwatch(_ watches: [WatchID]) {
        if !watches.isEmpty { send(.remove(watches)) }
    }

    /// For tests: starts the library anew, as after many dead watches.
    package func restart() { send(.restart) }

    /// For tests: how many are many.
    package func limitDeadWatches(to limit: Int) { deadWatchLimit.withLock { $0 = limit } }

    private func send(_ command: Command) {
        state.withLock {
            $0.commands.append(command)
            Self.poke($0.wakeWrite)
        }
    }

    /// Wakes the watch thread. Others call it with the lock held, so that the pipe is not closed meanwhile.
    private static func poke(_ pipe: Int32) {
        guard pipe >= 0 else { return }
        var byte: UInt8 = 1
        // A full pipe is a pipe that wakes.
        _ = write(pipe, &byte, 1)
    }

    // MARK: - On the watch thread

    /// What only the watch thread touches.
    private struct Library {
        var generation = 0
        var owners: [Int32: Int] = [:]
        var deadWatches = 0
        var mustRestart = false
        /// How many watches were ever set: the next one's pattern.
        var patterns: UInt64 = 0
        var wakeRead: Int32 = -1
        var wakeWrite: Int32 = -1
        var wakeWatch: Int32 = -1
    }

    /// The library waits with select(), which cannot take descriptors from here on.
    private static let descriptorLimit: Int32 = 1024

    private func run() {
        var library = Library()
        library.generation = state.withLock {
            $0.generation += 1
            return $0.generation
        }
        if let failure = open(&library) {
            close(&library)
            fail(failure)
            return
        }
        state.withLock { $0.wakeWrite = library.wakeWrite }
        while true {
            let commands = state.withLock {
                let taken = $0.commands
                $0.commands = []
                $0.statistics.lastTurn = clock.now()
                $0.statistics.watches = library.owners.count
                return taken
            }
            for command in commands { perform(command, &library) }
            if library.deadWatches >= deadWatchLimit.withLock({ $0 }) {
                library.mustRestart = true
                state.withLock { $0.statistics.dueRestarts += 1 }
            }
            if library.mustRestart {
                if let failure = restart(&library) {
                    close(&library)
                    fail(failure)
                    return
                }
                // What was asked for meanwhile woke nobody.
                continue
            }
            // One event at a time and never a time limit of zero: that would wait for ever.
            if let event = inotifytools_next_events(10, 1) {
                handle(event.pointee, name: Self.name(event), &library)
            } else {
                let code = inotifytools_error()
                if code != 0 && code != EINTR {
                    state.withLock { $0.statistics.errors += 1 }
                    usleep(100_000)
                }
            }
        }
    }

    private func perform(_ command: Command, _ library: inout Library) {
        switch command {
        case .add(let descriptor, let subscriber, let answer):
            let result = add(descriptor, subscriber, &library)
            answer.result.withLock { $0 = result }
            answer.wakeUp.raise()
        case .remove(let watches):
            for watch in watches where watch.generation == library.generation { remove(watch.number, &library) }
        case .removeAll(let subscriber):
            for (number, owner) in library.owners where owner == subscriber { remove(number, &library) }
        case .restart:
            library.mustRestart = true
        }
    }

    private func add(
        _ descriptor: Int32, _ subscriber: Int, _ library: inout Library
    ) -> Result<WatchID, WatchFailure> {
        let path = Self.path(descriptor, pattern: library.patterns)
        library.patterns += 1
        guard inotifytools_watch_file(path, Int32(bitPattern: Self.mask)) != 0 else {
            let code = inotifytools_error()
            return .failure(WatchFailure(code: code == 0 ? EIO : code))
        }
        let number = inotifytools_wd_from_filename(path)
        guard number > 0 else { return .failure(WatchFailure(code: EIO)) }
        library.owners[number] = subscriber
        return .success(WatchID(generation: library.generation, number: number))
    }

    private func remove(_ number: Int32, _ library: inout Library) {
        guard library.owners.removeValue(forKey: number) != nil else { return }
        // Fails if the folder went a moment ago; then the library keeps the watch, as it does for all that went.
        if inotifytools_remove_watch_by_wd(number) == 0 { library.deadWatches += 1 }
    }

    private func handle(_ event: inotify_event, name: [UInt8], _ library: inout Library) {
        let events = WatchEvents(rawValue: event.mask)
        if event.wd == library.wakeWatch {
            drainPipe(library)
            return
        }
        if event.wd < 0 || events.contains(.overflowed) {
            tellAll(.overflow) { $0.overflows += 1 }
            return
        }
        guard let owner = library.owners[event.wd] else { return }
        if events.contains(.ignored) {
            library.owners[event.wd] = nil
            library.deadWatches += 1
        }
        let mailbox = state.withLock { $0.subscribers[owner] }
        mailbox?.post(.event(WatchID(generation: library.generation, number: event.wd), events, name: name))
    }

    private func tellAll(_ notice: WatchNotice, _ count: (inout Statistics) -> Void) {
        let mailboxes = state.withLock {
            count(&$0.statistics)
            return Array($0.subscribers.values)
        }
        for mailbox in mailboxes { mailbox.post(notice) }
    }

    /// Starts the library and the pipe that wakes it.
    private func open(_ library: inout Library) -> WatchFailure? {
        guard inotifytools_initialize() != 0 else { return Self.startFailure(inotifytools_error()) }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return WatchFailure(code: errno) }
        library.wakeRead = ends[0]
        library.wakeWrite = ends[1]
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        let path = "/proc/self/fd/\(ends[0])"
        guard inotifytools_watch_file(path, IN_MODIFY) != 0 else { return WatchFailure(code: inotifytools_error()) }
        library.wakeWatch = inotifytools_wd_from_filename(path)
        guard let descriptor = InotifyDescriptor.find(watching: ends[0]) else { return WatchFailure(code: ENOSYS) }
        guard descriptor < Self.descriptorLimit else { return .descriptors }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        Self.poke(ends[1])
        guard let event = inotifytools_next_events(1, 1), event.pointee.wd == library.wakeWatch else {
            return WatchFailure(code: ENOSYS)
        }
        drainPipe(library)
        return nil
    }

    /// Why the library did not start: `EMFILE` means instances as well as descriptors.
    private static func startFailure(_ code: Int32) -> WatchFailure {
        guard code == EMFILE else { return WatchFailure(code: code == 0 ? ENOSYS : code) }
        let probe = eventfd(0, Int32(EFD_CLOEXEC))
        guard probe >= 0 else { return .descriptors }
        Glibc.close(probe)
        return .instances
    }

    /// Ends the library and starts it again, without what it leaked. Nothing is lost: everyone scans again.
    private func restart(_ library: inout Library) -> WatchFailure? {
        state.withLock { $0.wakeWrite = -1 }
        for number in library.owners.keys { _ = inotifytools_remove_watch_by_wd(number) }
        // The library keeps events it has read in a buffer that outlives it, so it has to be emptied. With no other
        // watch left, the end of the wake-up's own watch is the last event there can be.
        _ = inotifytools_remove_watch_by_wd(library.wakeWatch)
        while let event = inotifytools_next_events(1, 1) {
            if event.pointee.wd == library.wakeWatch, event.pointee.mask & UInt32(IN_IGNORED) != 0 { break }
        }
        close(&library)
        library.generation = state.withLock {
            $0.generation += 1
            return $0.generation
        }
        library.owners = [:]
        library.deadWatches = 0
        library.mustRestart = false
        library.patterns = 0
        let failure = open(&library)
        state.withLock { $0.wakeWrite = library.wakeWrite }
        tellAll(.reset) { $0.restarts += 1 }
        return failure
    }

    private func close(_ library: inout Library) {
        state.withLock { $0.wakeWrite = -1 }
        inotifytools_cleanup()
        Glibc.close(library.wakeRead)
        Glibc.close(library.wakeWrite)
        library.wakeRead = -1
        library.wakeWrite = -1
    }

    /// The last thing on the watch thread: there is no inotify for now. The next watch tries again.
    private func fail(_ failure: WatchFailure) {
        let commands = state.withLock {
            $0.isRunning = false
            $0.statistics.watches = 0
            let taken = $0.commands
            $0.commands = []
            return taken
        }
        for case .add(_, _, let answer) in commands {
            answer.result.withLock { $0 = .failure(failure) }
            answer.wakeUp.raise()
        }
    }

    private func drainPipe(_ library: Library) {
        var buffer = [UInt8](repeating: 0, count: 1024)
        while read(library.wakeRead, &buffer, buffer.count) == buffer.count {}
    }

    // Unsafe: the library's event, valid until its next call: the name is copied, at most 256 bytes of it.
    private static func name(_ event: UnsafePointer<inotify_event>) -> [UInt8] {
        guard event.pointee.len > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: 256) { buffer, count in
            count = fastvlm_event_name(event, buffer.baseAddress, 256)
        }
    }

    /// A path to the folder behind `descriptor` that no other watch was set on: the digits of `pattern` in base two
    /// follow the descriptor, `/.` for 0 and `//.` for 1.
    private static func path(_ descriptor: Int32, pattern: UInt64) -> String {
        var path = "/proc/self/fd/\(descriptor)"
        var rest = pattern
        repeat {
            path += rest & 1 == 0 ? "/." : "//."
            rest >>= 1
        } while rest > 0
        return path + "/"
    }
}

/// The descriptor that the library keeps to itself: needed to keep it from child processes and below select()'s limit.
private enum InotifyDescriptor {
    /// The inotify descriptor of this process that watches what is behind `watched`; nil if none does.
    static func find(watching watched: Int32) -> Int32? {
        var status = stat()
        guard fstat(watched, &status) == 0, let listing = opendir("/proc/self/fd") else { return nil }
        defer { closedir(listing) }
        let mark = " ino:\(String(status.st_ino, radix: 16)) "
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let number = Int32(name) else { continue }
            let file = Glibc.open("/proc/self/fdinfo/\(number)", O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { continue }
            let info = Descriptor(file)
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = read(info.number, &buffer, buffer.count)
            guard count > 0 else { continue }
            let text = String(decoding: buffer[0..<count], as: UTF8.self)
            if text.contains("inotify wd:"), text.contains(mark) { return number }
        }
        return nil
    }
}
