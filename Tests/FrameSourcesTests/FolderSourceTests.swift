import Foundation
import FrameSources
import Testing

@Suite(.timeLimit(.minutes(2))) struct FolderSourceTests {
    // MARK: - Ways to arrive

    @Test func whatWasThereBeforeTheStartIsFound() async throws {
        let folder = TemporaryFolder()
        folder.makeFolders("a/b/c")
        folder.write("x END", "x.jpg")
        folder.write("y END", "a/b/c/y.PNG")
        let harness = try SourceHarness(folder: folder)
        let first = try await harness.next()
        #expect(first.sign == .found && first.condition == .settled)
        _ = try await harness.next()
        try await harness.nothingElse()
    }

    @Test func aFileMovedInIsGivenOutAtOnce() async throws {
        let folder = TemporaryFolder()
        folder.write("first END", "first.jpg")
        let harness = try SourceHarness(
            folder: folder, rules: .init(quiet: .seconds(3600), recheck: .milliseconds(150)))
        #expect(try await harness.paths(1) == ["first.jpg"])
        let outside = TemporaryFolder()
        let candidate = try await harness.undisturbed { round in
            outside.write("x END", "x")
            rename(outside.path("x"), harness.folder.path("x\(round).jpg"))
            return try await harness.next()
        }
        #expect(candidate.sign == .movedIn)
        #expect(try candidate.claim(limit: 100).bytes == Array("x END".utf8))
    }

    @Test func aFileWrittenInPlaceIsGivenOutWhenItIsQuiet() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let candidate = try await harness.undisturbed { round in
            harness.folder.write("x END", "x\(round).jpg")
            return try await harness.next()
        }
        #expect(candidate.sign == .appeared)
        try await harness.nothingElse()
    }

    @Test func aLinkedFileAndAnUnnamedOneThatGetsANameAreFound() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let outside = TemporaryFolder()
        outside.write("x END", "x")
        link(outside.path("x"), harness.folder.path("linked.jpg"))
        #expect(try await harness.paths(1) == ["linked.jpg"])
        // O_TMPFILE: a file without a name.
        let unnamed = open(harness.folder.path, 0o20_200_000 | O_WRONLY, 0o644)
        try #require(unnamed >= 0)
        let bytes = Array("y END".utf8)
        #expect(write(unnamed, bytes, bytes.count) == bytes.count)
        let result = linkat(AT_FDCWD, "/proc/self/fd/\(unnamed)", AT_FDCWD, harness.folder.path("named.jpg"), 0x400)
        #expect(result == 0)
        close(unnamed)
        #expect(try await harness.paths(1) == ["named.jpg"])
        try await harness.nothingElse()
    }

    @Test func aFileInFoldersMadeAMomentAgoIsFoundEveryTime() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let rounds = 200
        let writer = Task.detached {
            for round in 0..<rounds {
                harness.folder.makeFolders("r\(round)/b/c/d")
                harness.folder.write("END", "r\(round)/b/c/d/x.jpg")
            }
        }
        let paths = try await harness.paths(rounds)
        await writer.value
        #expect(paths == Set((0..<rounds).map { "r\($0)/b/c/d/x.jpg" }))
        try await harness.nothingElse()
    }

    @Test func aTreeMovedInIsFoundAndWatched() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let outside = TemporaryFolder()
        outside.makeFolders("t/u")
        outside.write("END", "t/x.jpg")
        outside.write("END", "t/u/y.jpg")
        rename(outside.path("t"), harness.folder.path("t"))
        #expect(try await harness.paths(2) == ["t/x.jpg", "t/u/y.jpg"])
        let later = try await harness.undisturbed { round in
            harness.folder.write("END", "t/u/z\(round).jpg")
            return try await harness.next()
        }
        #expect(later.path.description.hasPrefix("t/u/z") && later.sign == .appeared)
    }

    @Test func aTreeMovedOutIsNoLongerWatched() async throws {
        let harness = try SourceHarness()
        harness.folder.makeFolders("t/u")
        try await harness.ready()
        try await harness.until { harness.source.counters.watches == 3 }
        let outside = TemporaryFolder()
        rename(harness.folder.path("t"), outside.path("t"))
        outside.write("END", "t/u/x.jpg")
        try await harness.until { harness.source.counters.watches == 1 }
        try await harness.nothingElse()
    }

    @Test func aRenamedFolderIsWatchedUnderItsNewName() async throws {
        let harness = try SourceHarness()
        harness.folder.makeFolders("a/b")
        harness.folder.makeFolders("c")
        try await harness.ready()
        rename(harness.folder.path("a"), harness.folder.path("c/d"))
        harness.folder.write("END", "c/d/b/x.jpg")
        #expect(try await harness.paths(1) == ["c/d/b/x.jpg"])
        let later = try await harness.undisturbed { round in
            harness.folder.write("END", "c/d/b/y\(round).jpg")
            return try await harness.next()
        }
        #expect(later.path.description.hasPrefix("c/d/b/y") && later.sign == .appeared)
        try await harness.until { harness.source.counters.watches == 4 }
        try await harness.nothingElse()
    }

    @Test func aFolderDeletedAndMadeAgainIsWatchedAgain() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        for round in 0..<20 {
            harness.folder.makeFolders("a")
            harness.folder.write("END", "a/x\(round).jpg")
            #expect(try await harness.paths(1) == ["a/x\(round).jpg"])
            unlink(harness.folder.path("a/x\(round).jpg"))
            rmdir(harness.folder.path("a"))
        }
        try await harness.nothingElse()
        try await harness.until { harness.source.counters.watches == 1 }
    }

    // MARK: - Completeness

    @Test func aSlowWriterIsWaitedFor() async throws {
        let harness = try SourceHarness(rules: .init(quiet: .milliseconds(20), recheck: .milliseconds(50)))
        try await harness.ready()
        let descriptor = open(harness.folder.path("x.jpg"), O_WRONLY | O_CREAT, 0o644)
        for byte in Array("a slow picture END".utf8) {
            var byte = byte
            #expect(write(descriptor, &byte, 1) == 1)
            try await Task.sleep(for: .milliseconds(15))
        }
        let candidate = try await harness.next()
        #expect(try candidate.claim(limit: 100).bytes == Array("a slow picture END".utf8))
        close(descriptor)
        try await harness.nothingElse()
    }

    @Test func aFileWithoutItsEndIsGivenOutAsTruncated() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        harness.folder.write("no e", "x.jpg")
        harness.folder.write("", "empty.jpg")
        for _ in 0..<2 { #expect(try await harness.next().condition == .truncated) }
        // The rest of it comes after all: a new generation.
        harness.folder.append("nd END", "x.jpg")
        let candidate = try await harness.next()
        #expect(candidate.condition == .settled && candidate.identity.size == 10)
        try await harness.nothingElse()
    }

    @Test func aLaterChangeIsANewGeneration() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        harness.folder.write("one END", "x.jpg")
        let first = try await harness.next()
        harness.folder.write("second END", "x.jpg")
        let second = try await harness.next()
        #expect(first.identity != second.identity && second.identity.size == 10)
        #expect(!first.isCurrent && second.isCurrent)
        #expect { try first.claim(limit: 100) } throws: { ($0 as? FrameSourceError)?.kind == .changed }
    }

    @Test func aWaitingFileThatIsReplacedIsGivenOutOnce() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        harness.folder.write("one END", "x.jpg")
        try await harness.until { harness.source.counters.waiting == 1 }
        harness.folder.write("second END", "x.jpg")
        try await harness.until { harness.source.counters.superseded == 1 }
        #expect(try await harness.next().identity.size == 10)
        try await harness.nothingElse()
        #expect(harness.isBalanced)
    }

    @Test func aWaitingFileThatIsDeletedOrMovedAwayIsNotGivenOut() async throws {
        let harness = try SourceHarness()
        harness.folder.makeFolders("d")
        try await harness.ready()
        for name in ["x.jpg", "y.jpg", "d/z.jpg"] { harness.folder.write("END", name) }
        try await harness.until { harness.source.counters.waiting == 3 }
        unlink(harness.folder.path("x.jpg"))
        rename(harness.folder.path("y.jpg"), harness.folder.path("y"))
        rename(harness.folder.path("d"), harness.folder.path(".d"))
        try await harness.until { harness.source.counters.vanished == 3 }
        try await harness.nothingElse()
        #expect(harness.isBalanced)
    }

    @Test func aFileThatIsDoneIsLeftAlone() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let before = harness.source.counters.received
        // Opened for writing and closed, but not changed.
        close(open(harness.folder.path("first.jpg"), O_RDWR))
        try await harness.scanned()
        try await harness.scanned()
        #expect(harness.source.counters.received == before)
    }

    @Test func aFileInWorkIsNotGivenOutTwiceAndAPutBackOneIs() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        harness.folder.write("END", "x.jpg")
        let candidate = try await harness.next(nil)
        try await harness.nothingElse()
        harness.source.finish(candidate, .putBack)
        #expect(try await harness.next().identity == candidate.identity)
        #expect(harness.source.counters.putBack == 1 && harness.isBalanced)
    }

    @Test func aSupersededFileIsLookedAtAgain() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        harness.folder.write("END", "x.jpg")
        let candidate = try await harness.next(nil)
        harness.source.finish(candidate, .superseded)
        #expect(try await harness.next().identity == candidate.identity)
    }

    // MARK: - Names and kinds

    @Test func everyNameIsCarriedByteForByte() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let names: [[UInt8]] = [
            [0xFF, 0xFE] + Array(".jpg".utf8), Array("new\nline.jpg".utf8), Array("\u{1b}[31m'\"\\.jpg".utf8),
            [UInt8](repeating: 97, count: 251) + Array(".jpg".utf8), Array(" .jpg".utf8), Array("é%s.jpg".utf8),
        ]
        for name in names { harness.folder.write("END", named: name) }
        var found: Set<[UInt8]> = []
        for _ in names {
            let candidate = try await harness.next()
            #expect(try candidate.claim(limit: 10).bytes == Array("END".utf8))
            found.insert(candidate.path.bytes)
        }
        #expect(found == Set(names))
    }

    @Test func whatIsNoFileIsIgnored() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let outside = TemporaryFolder()
        outside.write("END", "x.jpg")
        symlink(outside.path("x.jpg"), harness.folder.path("link.jpg"))
        symlink(outside.path, harness.folder.path("linked"))
        symlink(".", harness.folder.path("loop"))
        symlink("self.jpg", harness.folder.path("self.jpg"))
        mkfifo(harness.folder.path("fifo.jpg"), 0o644)
        mkdir(harness.folder.path("folder.jpg"), 0o755)
        let socket = UnixSocket(harness.folder.path("socket.jpg"))
        for name in ["x.gif", ".x.jpg", "x.jpg.part", "x.jpg~", "x.jpg.tmp", "x.jpg.fastvlm.json"] {
            harness.folder.write("END", name)
        }
        harness.folder.makeFolders("@eaDir")
        harness.folder.write("END", "@eaDir/x.jpg")
        harness.folder.makeFolders(".hidden")
        harness.folder.write("END", ".hidden/x.jpg")
        try await harness.nothingElse()
        #expect(harness.source.counters.settling == 0)
        withExtendedLifetime(socket) {}
    }

    @Test func foldersAreLeftAloneWhenNotAskedFor() async throws {
        let folder = TemporaryFolder()
        folder.makeFolders("a")
        folder.write("END", "a/x.jpg")
        let harness = try SourceHarness(folder: folder, isRecursive: false)
        try await harness.ready()
        folder.write("END", "a/y.jpg")
        folder.makeFolders("b")
        folder.write("END", "b/y.jpg")
        try await harness.nothingElse()
        try await harness.until { harness.source.counters.watches == 1 }
    }

    @Test func patternsChooseFilesAndFolders() async throws {
        let folder = TemporaryFolder()
        folder.makeFolders("old")
        folder.makeFolders("new")
        let harness = try SourceHarness(folder: folder, filter: NameFilter(exclude: ["old", "*-thumb.jpg"]))
        try await harness.ready()
        for name in ["old/x.jpg", "new/x-thumb.jpg", "new/x.jpg"] { folder.write("END", name) }
        #expect(try await harness.paths(1) == ["new/x.jpg"])
        try await harness.nothingElse()
    }

    // MARK: - Much at once

    @Test(arguments: FrameOrder.allCases) func aBacklogLargerThanTheQueueComesInOrderAndWhole(order: FrameOrder)
        async throws
    {
        let folder = TemporaryFolder()
        let count = 160
        for index in 0..<count {
            folder.write("END", "\(index).jpg")
            var times = [timeval(tv_sec: 1_000_000 + (index * 7919) % count, tv_usec: 0), timeval()]
            times[1] = times[0]
            utimes(folder.path("\(index).jpg"), times)
        }
        let harness = try SourceHarness(folder: folder, order: order, capacity: 40)
        try await harness.until { harness.source.counters.waiting == 40 }
        // Now nothing but the room that comes free can lead to the next scan.
        try await harness.scanned()
        var modified: [Int64] = []
        for _ in 0..<count { modified.append(try await harness.next().identity.modified) }
        #expect(Set(modified).count == count)
        let sorted = modified.sorted(by: order == .oldestFirst ? (<) : (>))
        #expect(Array(modified.prefix(40)) == Array(sorted.prefix(40)))
        try await harness.nothingElse()
        #expect(harness.isBalanced)
    }

    @Test func aFloodOfEventsLosesNothing() async throws {
        let harness = try SourceHarness(
            rules: .init(quiet: .milliseconds(50), recheck: .milliseconds(150), capacity: 100), capacity: 100)
        try await harness.ready()
        let count = 800
        let writer = Task.detached {
            for index in 0..<count { harness.folder.write("END", "f\(index).jpg") }
        }
        let paths = try await harness.paths(count)
        await writer.value
        #expect(paths.count == count)
        try await harness.nothingElse()
        #expect(harness.isBalanced)
    }

    @Test func severalConsumersGetEachFrameOnce() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        for index in 0..<100 { harness.folder.write("END", "f\(index).jpg") }
        let paths = try await withThrowingTaskGroup(of: Set<String>.self) { group in
            for _ in 0..<4 { group.addTask { try await harness.paths(25) } }
            return try await group.reduce(into: Set()) { $0.formUnion($1) }
        }
        #expect(paths.count == 100)
    }

    // MARK: - Trouble

    @Test func lostEventsLeadToAScan() async throws {
        let watcher = StubWatcher(refusing: ENOSPC, after: .max)
        let harness = try SourceHarness(watcher: watcher)
        try await harness.ready()
        harness.folder.write("END", "x.jpg")
        watcher.post(.overflow)
        #expect(try await harness.paths(1) == ["x.jpg"])
        #expect(harness.source.counters.overflows == 1)
    }

    @Test(arguments: [
        (ENOSPC, FolderDegradation.watchLimit), (EMFILE, .instanceLimit), (ENFILE, .descriptorLimit),
        (ENOSYS, .inotifyUnavailable), (EEXIST, .watchedTwice),
    ])
    func whatCannotBeWatchedIsPolled(code: Int32, reason: FolderDegradation) async throws {
        let folder = TemporaryFolder()
        for index in 0..<20 { folder.makeFolders("d\(index)/e") }
        let harness = try SourceHarness(
            folder: folder, watcher: StubWatcher(refusing: code, after: 5), pollInterval: .milliseconds(50))
        try await harness.until { harness.source.counters.scans == 1 }
        #expect(harness.source.degraded["gate"] == [reason])
        #expect(harness.source.counters.watches == 5)
        // The stub tells of nothing: what comes was polled. The watched five are not.
        for index in 0..<20 { folder.write("END", "d\(index)/e/x.jpg") }
        let expected = [ENOSPC, EEXIST].contains(code) ? 17 : 20
        let paths = try await harness.paths(expected)
        #expect(paths.count == expected)
        #expect(harness.source.counters.polls > 0)
    }

    @Test func aWatcherStartedAnewLosesNothing() async throws {
        let harness = try SourceHarness()
        harness.folder.makeFolders("a/b")
        try await harness.ready()
        for round in 0..<10 {
            InotifyWatcher.shared.restart()
            harness.folder.write("END", "a/b/x\(round).jpg")
            #expect(try await harness.paths(1) == ["a/b/x\(round).jpg"])
        }
        try await harness.until { harness.source.counters.watches == 3 }
        #expect(InotifyWatcher.shared.statistics.restarts >= 10)
        try await harness.nothingElse()
    }

    @Test func manyFoldersThatWentStartTheWatcherAnew() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        InotifyWatcher.shared.limitDeadWatches(to: 30)
        defer { InotifyWatcher.shared.limitDeadWatches(to: 10_000) }
        let before = InotifyWatcher.shared.statistics.dueRestarts
        for round in 0..<60 {
            harness.folder.makeFolders("d\(round)")
            harness.folder.write("END", "d\(round)/x.jpg")
            #expect(try await harness.paths(1) == ["d\(round)/x.jpg"])
            unlink(harness.folder.path("d\(round)/x.jpg"))
            rmdir(harness.folder.path("d\(round)"))
        }
        try await harness.until { InotifyWatcher.shared.statistics.dueRestarts > before }
        #expect(InotifyWatcher.shared.statistics.errors == 0)
        try await harness.nothingElse()
    }

    @Test func aRootThatComesLaterAndComesAnewIsWatched() async throws {
        let folder = TemporaryFolder()
        rmdir(folder.path)
        let harness = try SourceHarness(folder: folder)
        try await harness.until { harness.source.degraded["gate"] == [.rootMissing] }
        mkdir(folder.path, 0o755)
        folder.write("END", "x.jpg")
        #expect(try await harness.paths(1) == ["x.jpg"])
        #expect(harness.source.degraded == [:])
        let other = TemporaryFolder()
        rename(folder.path, other.path("moved"))
        mkdir(folder.path, 0o755)
        folder.write("END", "y.jpg")
        let candidate = try await harness.next()
        #expect(candidate.path.description == "y.jpg")
        #expect(try candidate.claim(limit: 10).bytes == Array("END".utf8))
        try await harness.nothingElse()
    }

    @Test func twoRootsOfOneSourceAreToldApart() async throws {
        let (one, two) = (TemporaryFolder(), TemporaryFolder())
        one.write("END", "x.jpg")
        two.write("END", "x.jpg")
        let source = try FolderSource(
            folders: [WatchedFolder(id: "one", path: one.path), WatchedFolder(id: "two", path: two.path)],
            options: .init(rules: SourceHarness.fast),
            questions: .init(hasEnd: { _, _ in true }, isDone: { _ in false }))
        try source.start()
        let roots = [await source.next()?.root, await source.next()?.root]
        #expect(Set(roots) == ["one", "two"])
        await source.stop()
    }

    @Test func theSameFolderTwiceIsWatchedOnceAndPolledOnce() async throws {
        let folder = TemporaryFolder()
        let source = try FolderSource(
            folders: [WatchedFolder(id: "one", path: folder.path), WatchedFolder(id: "two", path: folder.path)],
            options: .init(rules: SourceHarness.fast, pollInterval: .milliseconds(50)),
            questions: .init(hasEnd: { _, _ in true }, isDone: { _ in false }))
        try source.start()
        folder.write("END", "x.jpg")
        let roots = [await source.next()?.root, await source.next()?.root]
        #expect(Set(roots) == ["one", "two"])
        #expect(source.degraded.values.contains([.watchedTwice]))
        await source.stop()
    }

    // MARK: - Start and stop

    @Test func aStoppedSourceGivesNothingOut() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        async let waiting = harness.source.next()
        await harness.source.stop()
        #expect(await waiting == nil)
        #expect(await harness.source.next() == nil)
        harness.folder.write("END", "x.jpg")
        #expect(await harness.source.next() == nil)
        await harness.source.stop()
    }

    @Test func aCancelledTaskStopsWaiting() async throws {
        let harness = try SourceHarness()
        try await harness.ready()
        let waiting = Task { await harness.source.next() }
        waiting.cancel()
        #expect(await waiting.value == nil)
        harness.folder.write("END", "x.jpg")
        #expect(try await harness.paths(1) == ["x.jpg"])
    }

    @Test func optionsOutOfRangeAreRefused() throws {
        let folder = WatchedFolder(id: "a", path: "/tmp")
        let questions = FrameQuestions(hasEnd: { _, _ in true }, isDone: { _ in false })
        #expect(throws: FrameSourceError.self) { try FolderSource(folders: [folder, folder], questions: questions) }
        #expect(throws: FrameSourceError.self) {
            try FolderSource(folders: [folder], options: .init(queueCapacity: 0), questions: questions)
        }
        #expect(throws: FrameSourceError.self) {
            try FolderSource(folders: [folder], options: .init(scanInterval: .zero), questions: questions)
        }
    }
}
