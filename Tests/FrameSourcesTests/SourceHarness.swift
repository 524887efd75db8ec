import Foundation
import FrameSources
import Synchronization
import Testing

/// A started folder source on a real folder. A picture is complete when its last bytes are "END"; it is done once it
/// was taken and finished, or when a sidecar lies beside it.
final class SourceHarness: Sendable {
    let folder: TemporaryFolder
    let source: FolderSource
    private let done: Shared<Set<FileIdentity>>

    static let fast = Settler.Rules(
        quiet: .milliseconds(50), recheck: .milliseconds(150), giveUp: .milliseconds(1500), capacity: 1024)

    init(
        folder: TemporaryFolder = TemporaryFolder(), rules: Settler.Rules = fast, order: FrameOrder = .oldestFirst,
        capacity: Int = 1024, isRecursive: Bool = true, filter: NameFilter = NameFilter(),
        watcher: any FolderWatching = InotifyWatcher.shared, pollInterval: Duration = .seconds(3600),
        scanInterval: Duration = .seconds(3600), starts: Bool = true
    ) throws {
        let done = Shared<Set<FileIdentity>>([])
        self.folder = folder
        self.done = done
        source = try FolderSource(
            folders: [WatchedFolder(id: "gate", path: folder.path, isRecursive: isRecursive, filter: filter)],
            options: FolderSourceOptions(
                rules: rules, order: order, queueCapacity: capacity, scanInterval: scanInterval,
                pollInterval: pollInterval, tailLength: 16),
            questions: FrameQuestions(
                hasEnd: { tail, _ in tail.suffix(3).elementsEqual("END".utf8) },
                isDone: { done.value.contains($0.identity) }),
            watcher: watcher, clock: SystemFrameClock())
        if starts { try source.start() }
    }

    /// The next candidate, finished as done; fails after a generous time.
    func next(_ outcome: FrameOutcome? = .done, location: SourceLocation = #_sourceLocation) async throws
        -> FrameCandidate
    {
        let candidate = await withTaskGroup(of: FrameCandidate?.self) { group in
            group.addTask { await self.source.next() }
            group.addTask {
                try? await Task.sleep(for: .seconds(30))
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        let found = try #require(
            candidate, "no frame came; \(source.counters) \(source.degraded)", sourceLocation: location)
        if outcome == .done { done.change { $0.insert(found.identity) } }
        if let outcome { source.finish(found, outcome) }
        return found
    }

    /// The paths of the next `count` candidates.
    func paths(_ count: Int, location: SourceLocation = #_sourceLocation) async throws -> Set<String> {
        var paths: Set<String> = []
        for _ in 0..<count { paths.insert(try await next(location: location).path.description) }
        return paths
    }

    /// Waits until the first scan is over and the watches are set: a file that was there before has come.
    func ready() async throws {
        folder.write("first END", "first.jpg")
        if source.counters.scans > 0 { source.requestScan() }
        #expect(try await paths(1) == ["first.jpg"])
    }

    /// Checks that nothing but what came is on its way: a file moved in now is the next one.
    func nothingElse(location: SourceLocation = #_sourceLocation) async throws {
        try await scanned()
        let name = "last-\(UInt32.random(in: 0...UInt32.max)).jpg"
        let other = TemporaryFolder()
        other.write("last END", "x")
        rename(other.path("x"), folder.path(name))
        #expect(try await next(location: location).path.description == name, sourceLocation: location)
    }

    /// Asks for a scan and waits until it is over and everything it found has settled.
    func scanned() async throws {
        let before = source.counters.scans
        source.requestScan()
        try await until { self.source.counters.scans > before && self.source.counters.settling == 0 }
    }

    /// Waits for what no event tells of; fails after a generous time.
    func until(_ condition: @Sendable () -> Bool, location: SourceLocation = #_sourceLocation) async throws {
        let limit = ContinuousClock.now + .seconds(30)
        while !condition() {
            try #require(
                ContinuousClock.now < limit, "\(source.counters) \(source.degraded)", sourceLocation: location)
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// The candidate that `work` leads to, while no test starts the process's watcher anew: then a scan may be first.
    func undisturbed(_ work: (_ round: Int) async throws -> FrameCandidate) async throws -> FrameCandidate {
        for round in 0..<100 {
            let before = InotifyWatcher.shared.statistics.restarts
            let scans = source.counters.scans
            let candidate = try await work(round)
            if InotifyWatcher.shared.statistics.restarts == before, source.counters.scans == scans { return candidate }
        }
        throw Disturbed()
    }

    struct Disturbed: Error {}

    var isBalanced: Bool {
        let c = source.counters
        return c.received == c.done + c.superseded + c.vanished + c.putBack + c.spilled + c.waiting + c.inWork
    }

    deinit {
        let source = source
        Task.detached { await source.stop() }
    }
}

/// A watcher that refuses some folders and says what it is told to say.
final class StubWatcher: FolderWatching {
    private let mailbox = Shared<Mailbox?>(nil)
    private let count = Shared(0)
    let code: Int32
    let allowed: Int

    /// Refuses every watch after the first `allowed` with `code`.
    init(refusing code: Int32, after allowed: Int = 0) {
        self.code = code
        self.allowed = allowed
    }

    func subscribe(_ mailbox: Mailbox) -> Int {
        self.mailbox.value = mailbox
        return 1
    }

    func unsubscribe(_ subscriber: Int) {}

    func watch(_ descriptor: Int32, for subscriber: Int) throws(WatchFailure) -> WatchID {
        count.value += 1
        if count.value > allowed { throw WatchFailure(code: code) }
        return WatchID(generation: 0, number: Int32(count.value))
    }

    func unwatch(_ watches: [WatchID]) {}

    func post(_ notice: WatchNotice) { mailbox.value?.post(notice) }
}

/// A value that several threads see.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) { mutex = Mutex(value) }

    var value: Value {
        get { mutex.withLock { $0 } }
        set { mutex.withLock { $0 = newValue } }
    }

    func change(_ body: (inout sending Value) -> Void) { mutex.withLock { body(&$0) } }
}
