import CaptionService
import FoundationEssentials
import FrameSources
import Glibc
import Logging
import Sidecars
import Synchronization
import Testing

@Suite struct InFlightJournalTests {
    let state: ScratchFolder
    let folder: ScratchFolder
    let path: String

    init() throws {
        state = try ScratchFolder()
        folder = try ScratchFolder()
        path = "\(state.path)/in-flight.journal"
    }

    func journal() -> InFlightJournal {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return InFlightJournal(directory: state.path, logger: logger)
    }

    /// The key of a real file.
    func key(_ name: String, _ text: String) throws -> InFlightKey {
        try folder.drop(text, name)
        let root = try FolderRoot(path: folder.path)
        let path = try RelativePath(name)
        let identity = try #require(root.identity(of: path))
        return InFlightKey(root: "gate", path: path, identity: identity)
    }

    var lines: [String] {
        let text = (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return text.split(separator: "\n").map { String($0) }
    }

    @Test func whatWasInFlightAtAnEndIsCountedOnceForEachEnd() throws {
        let (bad, good) = (try key("bad.jpg", "1"), try key("good.jpg", "1"))
        for crashes in 0..<4 {
            let journal = journal()
            #expect(journal.isKept)
            #expect(journal.note(good) == 0)
            journal.clear(good, isSettled: true)
            #expect(journal.note(bad) == crashes)
        }
    }

    @Test func whatIsDoneStartsAnewAndWhatIsPutBackDoesNot() throws {
        let bad = try key("bad.jpg", "1")
        _ = journal().note(bad)
        do {
            let journal = journal()
            #expect(journal.note(bad) == 1)
            journal.clear(bad, isSettled: false)
        }
        do {
            let journal = journal()
            #expect(journal.note(bad) == 1)
            journal.clear(bad, isSettled: true)
        }
        #expect(journal().note(bad) == 0)
    }

    @Test func aChangedFileStartsAnew() throws {
        let before = try key("bad.jpg", "1")
        _ = journal().note(before)
        let after = try key("bad.jpg", "22")
        #expect(before != after)
        let journal = journal()
        #expect(journal.note(after) == 0)
        #expect(journal.note(before) == 1)
    }

    @Test func anEndThatWasAskedForIsNoCrash() throws {
        let picture = try key("x.jpg", "1")
        do {
            let journal = journal()
            _ = journal.note(picture)
            journal.pause()
        }
        do {
            let journal = journal()
            #expect(journal.note(picture) == 0)
            journal.pause()
            journal.resume()
        }
        #expect(journal().note(picture) == 1)
    }

    @Test(arguments: [
        "no journal\n", "fastvlm.in-flight/1\n+ xyz\n", "fastvlm.in-flight/2\n", "fastvlm.in-flight/1\ncrashed \n",
        "fastvlm.in-flight/1\n+ \u{0}\n", "no line feed",
    ])
    func aFileThatIsNoJournalIsSetAside(text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path))
        let picture = try key("x.jpg", "1")
        _ = journal().note(picture)
        #expect(try Data(contentsOf: URL(filePath: path + ".bad")) == Data(text.utf8))
        #expect(journal().note(picture) == 1)
    }

    @Test func whatIsNoFileIsSetAsideWithoutWaiting() throws {
        let picture = try key("x.jpg", "1")
        for round in 0..<4 {
            unlink(path)
            rmdir(path + ".bad")
            unlink(path + ".bad")
            switch round {
            case 0: mkfifo(path, 0o600)
            case 1: symlink("/etc/passwd", path)
            case 2: mkdir(path, 0o700)
            default:
                let file = open(path, O_WRONLY | O_CREAT, 0o600)
                ftruncate(file, 1 << 40)
                close(file)
            }
            let journal = journal()
            #expect(journal.isKept)
            _ = journal.note(picture)
            #expect(lines.first == "fastvlm.in-flight/1" && lines.count == 2, "round \(round)")
        }
    }

    @Test func aLineThatWasNotWrittenToItsEndSaysNothing() throws {
        let picture = try key("x.jpg", "1")
        _ = journal().note(picture)
        let whole = try Data(contentsOf: URL(filePath: path))
        for count in 0..<whole.count {
            try whole.prefix(count).write(to: URL(filePath: path))
            let journal = journal()
            #expect(journal.isKept && journal.note(picture) == 0, "cut at \(count)")
        }
        try whole.write(to: URL(filePath: path))
        #expect(journal().note(picture) == 1)
    }

    @Test func aSecondProcessCountsNothingAndDisturbsNothing() throws {
        let picture = try key("x.jpg", "1")
        let first = journal()
        _ = first.note(picture)
        let second = journal()
        #expect(!second.isKept)
        #expect(second.note(picture) == 0)
        second.clear(picture, isSettled: true)
        #expect(lines.last == "+ \(picture)")
        withExtendedLifetime(first) {}
    }

    @Test func aDirectoryThatCannotBeMadeIsNoReasonToStop() throws {
        try Data("x".utf8).write(to: URL(filePath: path))
        let journal = InFlightJournal(
            directory: path + "/none", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let picture = try key("x.jpg", "1")
        #expect(!journal.isKept)
        #expect(journal.note(picture) == 0)
        journal.pause()
        journal.clear(picture, isSettled: true)
    }

    @Test func theFileDoesNotGrowWithoutEnd() throws {
        let journal = journal()
        let stays = try key("stays.jpg", "1")
        let picture = try key("x.jpg", "1")
        _ = journal.note(stays)
        for _ in 0..<5_000 {
            _ = journal.note(picture)
            journal.clear(picture, isSettled: true)
        }
        let size = try Data(contentsOf: URL(filePath: path)).count
        #expect(size < 70_000)
        #expect(lines.contains("+ \(stays)"))
    }

    @Test(.timeLimit(.minutes(1))) func aPictureThatWasInFlightAtThreeCrashesIsRefusedAndTheOthersAreDone() async throws
    {
        let bad = try key("bad.jpg", "bad")
        for _ in 0..<3 { _ = journal().note(bad) }
        try folder.drop("good", "good.jpg")
        let asked = Mutex<[String]>([])
        let engine = StubEngine { tasks, bytes in
            asked.withLock { $0.append(StubEngine.text(bytes)) }
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        try await withService(on: folder, engine: engine, journal: journal()) { service in
            _ = try await service.next(2)
        }
        guard case .refused("poison", let reason) = try folder.document("bad.jpg").status else {
            Issue.record("it was not refused")
            return
        }
        #expect(reason.contains("crashed 3 times"))
        #expect(try folder.document("bad.jpg").source.sha256 != nil)
        #expect(try folder.document("good.jpg").caption == "good")
        #expect(asked.withLock { $0 } == ["good"])
        // It has its sidecar: nothing is remembered against it.
        #expect(lines == ["fastvlm.in-flight/1"] || !lines.contains { $0.hasPrefix("crashed") })
        #expect(journal().note(bad) == 0)
    }

    @Test(.timeLimit(.minutes(1))) func aPictureIsNotedWhileItIsReadAndClearedWhenItsSidecarIsThere() async throws {
        let during = Mutex<[String]>([])
        let path = path
        let engine = StubEngine { tasks, bytes in
            let text = (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
            during.withLock { $0.append(text) }
            return StubEngine.report(tasks, caption: "x")
        }
        let picture = try key("x.jpg", "x")
        try await withService(on: folder, engine: engine, journal: journal()) { service in
            _ = try await service.next(1)
        }
        #expect(during.withLock { $0 } == ["fastvlm.in-flight/1\n+ \(picture)\n"])
        #expect(lines.contains("- \(picture)"))
        #expect(journal().note(picture) == 0)
    }
}
