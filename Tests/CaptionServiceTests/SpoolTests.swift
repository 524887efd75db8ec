import CaptionService
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
