import CaptionService
import FastVLM
import FoundationEssentials
import Glibc
import Sidecars
import Synchronization
import Testing

@Suite struct SpoolTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    @Test(.timeLimit(.minutes(1))) func aKeptFrameIsAnsweredLikeAPictureInAFolder() async throws {
        let spool = try Spool(path: folder.path + "/spool")
        let name = try spool.keep(Array("first".utf8) + [0xff, 0xd9], fileExtension: "jpg", source: "gate")
        let asked = Collected<PictureTasks>()
        let engine = StubEngine(ladder: try PretendedDevice.ladder) { tasks, bytes, _ in
            asked.add(tasks)
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        var late = ""
        try await withService(
            on: folder, engine: engine,
            configure: {
                $0.watches = []
                $0.socket = .init()
                $0.socket?.spool = spool.path
                $0.socket?.tasks.prompt = "What is there?"
            }
        ) { service in
            _ = try await service.next(1)
            late = try spool.keep(
                Array("second".utf8) + [0xff, 0xd9], fileExtension: "png", source: "yard",
                request: .init(prompt: "Is it open?", budget: 60_000))
            _ = try await service.next(1)
        }
        let first = try folder.document(name, under: spool.path)
        #expect(first.caption == "first" && first.source.origin == "spool:gate" && first.budget == nil)
        let second = try folder.document(late, under: spool.path)
        #expect(second.caption == "second" && second.source.origin == "spool:yard")
        #expect(second.budget?.milliseconds == 60_000)
        #expect(asked.all.map(\.prompt) == ["What is there?", "Is it open?"])
        #expect(!folder.names.contains { $0.hasSuffix(".tmp") })
    }

    @Test func everyByteAndEveryNameIsOnTheDiskBeforeItIsSaid() throws {
        let calls = RecordedCalls()
        let spool = try Spool(path: folder.path, calls: calls)
        _ = try spool.keep([1, 2, 3], fileExtension: "jpg", source: "gate", request: .init(prompt: "x"))
        // Folder made and its name kept; the question; the picture; their names.
        #expect(
            calls.all.filter { $0 != "open" } == [
                "makeFolder", "synchronize", "write", "synchronize", "rename", "write", "synchronize", "rename",
                "synchronize",
            ])
    }

    @Test(arguments: [ENOSPC, EDQUOT, EROFS, EIO, EMFILE, EACCES], ["open", "write", "synchronize", "rename"])
    func aFaultOfTheDiskIsSaidAndLeavesNothing(code: Int32, call: String) throws {
        let spool = try Spool(path: folder.path, calls: RecordedCalls(failing: call, code: code))
        let error = #expect(throws: SidecarError.self) {
            try spool.keep([1, 2, 3], fileExtension: "jpg", source: "gate")
        }
        #expect(error?.kind == .resource && error?.systemCode == code)
        #expect(folder.names.filter { $0 != "gate" } == [])
    }

    @Test(arguments: ["", "..", ".x", "a/b", "a b", "ü", String(repeating: "x", count: 65)])
    func aNameThatIsNoFoldersIsRefused(name: String) throws {
        #expect(!Spool.isSourceName(name))
        let spool = try Spool(path: folder.path)
        let error = #expect(throws: SidecarError.self) { try spool.keep([1], fileExtension: "jpg", source: name) }
        #expect(error?.kind == .invalid && folder.names.isEmpty)
    }

    @Test func noMoreIsKeptThanItMayHold() throws {
        var limits = Spool.Limits()
        limits.frames = 2
        limits.bytes = 1000
        let spool = try Spool(path: folder.path, limits: limits)
        func keep(_ count: Int) throws {
            _ = try spool.keep([UInt8](repeating: 1, count: count), fileExtension: "jpg", source: "a")
        }
        #expect(throws: SidecarError.self) { try keep(1001) }
        try keep(600)
        let tooLarge = #expect(throws: SidecarError.self) { try keep(401) }
        #expect(tooLarge?.systemCode == EDQUOT)
        try keep(400)
        #expect(throws: SidecarError.self) { try keep(0) }
        // One that starts anew counts what lies there.
        let again = try Spool(path: folder.path, limits: limits)
        #expect(throws: SidecarError.self) {
            try again.keep([], fileExtension: "jpg", source: "b")
        }
        #expect(folder.names.count { $0.hasSuffix(".jpg") } == 2)
    }

    @Test func finishedFramesGoWithAllThatBelongsToThemOnceTheyAreOld() throws {
        let spool = try Spool(path: folder.path)
        let done = try spool.keep([1], fileExtension: "jpg", source: "a", request: .init(prompt: "x"))
        let open = try spool.keep([2], fileExtension: "png", source: "a", request: .init(prompt: "y"))
        for name in [done, "a/collected.jpg"] {
            try Data([1]).write(to: URL(filePath: folder.path + "/" + name + ".fastvlm.json"))
        }
        func names() -> Set<String> { Set(folder.names.filter { $0.hasPrefix("a/") }) }
        let all = names()
        spool.sweep()
        #expect(names() == all && all.count == 6)
        spool.sweep(now: time(nil) + 7200)
        #expect(all.subtracting(names()) == ["a/collected.jpg.fastvlm.json"])
        spool.sweep(now: time(nil) + 86_500)
        let note = "a/." + open.dropFirst(2) + ".request.json"
        #expect(names() == [open, note])
        // What somebody else took away takes its question and its folder with it.
        unlink(folder.path + "/" + open)
        spool.sweep(now: time(nil) + 86_500)
        spool.sweep(now: time(nil) + 86_500)
        #expect(folder.names.isEmpty)
    }

    @Test func roomIsMadeByTakingFinishedOnesAway() async throws {
        var limits = Spool.Limits()
        limits.frames = 1
        let spool = try Spool(path: folder.path, limits: limits)
        let name = try spool.keep([1], fileExtension: "jpg", source: "a")
        #expect(throws: SidecarError.self) { try spool.keep([1], fileExtension: "jpg", source: "a") }
        unlink(folder.path + "/" + name)
        // It looks again, but not at once.
        let deadline = ContinuousClock.now + .seconds(30)
        while (try? spool.keep([1], fileExtension: "jpg", source: "a")) == nil {
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    @Test(.timeLimit(.minutes(1))) func questionsOfAKeptFrameAreAskedInPlaceOfTheOthers() async throws {
        let spool = try Spool(path: folder.path + "/spool")
        let questions: [PictureTasks.Question] = [
            .init(id: "lamp", text: "On?", type: .boolean),
            .init(id: "word", text: "{source}?", type: .choice(["a", "b"])),
        ]
        _ = try spool.keep([1, 0xff, 0xd9], fileExtension: "jpg", source: "gate", request: .init(questions: questions))
        let asked = Collected<PictureTasks>()
        let engine = StubEngine(ladder: try PretendedDevice.ladder) { tasks, bytes, _ in
            asked.add(tasks)
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        try await withService(
            on: folder, engine: engine,
            configure: {
                $0.watches = []
                $0.socket = .init()
                $0.socket?.spool = spool.path
            }
        ) { _ = try await $0.next(1) }
        #expect(asked.all.map(\.prompt) == [""] && asked.all.first?.questions == questions)
    }
}

/// The system's calls, with one kind of them failing.
private final class RecordedCalls: FileCalls {
    private let made = Mutex<[String]>([])
    private let system = SystemFileCalls()
    private let failing: String?
    private let code: Int32

    init(failing: String? = nil, code: Int32 = 0) {
        self.failing = failing
        self.code = code
    }

    var all: [String] { made.withLock { $0 } }

    private func note(_ call: String) throws(SystemFault) {
        made.withLock { $0.append(call) }
        if call == failing { throw SystemFault(code) }
    }

    func open(_ name: [UInt8], in folder: Int32, flags: Int32, mode: mode_t) throws(SystemFault) -> Int32 {
        try note("open")
        return try system.open(name, in: folder, flags: flags, mode: mode)
    }
    func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) throws(SystemFault) -> Int {
        try note("write")
        return try system.write(bytes, to: descriptor)
    }
    func synchronize(_ descriptor: Int32) throws(SystemFault) {
        try note("synchronize")
        try system.synchronize(descriptor)
    }
    func renameExclusively(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        try note("renameExclusively")
        try system.renameExclusively(name, to: new, in: folder)
    }
    func rename(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        try note("rename")
        try system.rename(name, to: new, in: folder)
    }
    func remove(_ name: [UInt8], in folder: Int32) throws(SystemFault) { try system.remove(name, in: folder) }
    func makeFolder(_ name: [UInt8], in folder: Int32, mode: mode_t) throws(SystemFault) {
        try note("makeFolder")
        try system.makeFolder(name, in: folder, mode: mode)
    }
}
