import Foundation
import Sidecars
import Synchronization
import Testing

/// Every system call of a commit fails once in every way, and the process dies at every one.
@Suite struct SidecarFaultTests {
    static let picture = Array("x.jpg".utf8)
    static let name = "x.jpg.fastvlm.json"

    /// The calls of a commit that replaces (`true`) or makes a sidecar.
    static func calls(replacing: Bool) throws -> [String] {
        let folder = TemporaryFolder()
        let faulty = FaultyCalls()
        let store = try SidecarStore(path: folder.path, calls: faulty)
        if replacing { try SidecarWriter(store: store).commit(Samples.expired, for: picture) { true } }
        faulty.start()
        try SidecarWriter(store: store).commit(Samples.full, for: picture) { true }
        return faulty.log
    }

    @Test func theStepsOfACommitAreInOrder() throws {
        #expect(
            try Self.calls(replacing: false) == [
                "open", "open", "write", "synchronize", "renameExclusively", "synchronize",
            ])
        #expect(
            try Self.calls(replacing: true) == [
                "open", "open", "write", "synchronize", "renameExclusively", "open", "rename", "synchronize",
            ])
    }

    @Test(arguments: [false, true], [EIO, ENOSPC, EDQUOT, EROFS, EACCES, EMFILE, ENFILE, ENOMEM])
    func aFaultIsNeverTakenForSuccessAndNeverBlamesThePicture(replacing: Bool, code: Int32) throws {
        let steps = try Self.calls(replacing: replacing)
        for step in steps.indices {
            let folder = TemporaryFolder()
            let faulty = FaultyCalls()
            let store = try SidecarStore(path: folder.path, calls: faulty)
            let writer = SidecarWriter(store: store)
            if replacing { try writer.commit(Samples.expired, for: Self.picture) { true } }
            faulty.start(failing: step, with: code)
            do throws(SidecarError) {
                try writer.commit(Samples.full, for: Self.picture) { true }
                Issue.record("success although \(steps[step]) failed")
            } catch {
                #expect(error.kind == .resource, "\(steps[step]): \(error)")
                #expect(error.systemCode == code)
            }
            let content = folder.read(Self.name)
            let whole = [try Samples.full.json(), try Samples.expired.json()]
            #expect(content == nil ? !replacing : whole.contains(content ?? []), "a half sidecar after call \(step)")
            faulty.start()
            try writer.commit(Samples.full, for: Self.picture) { true }
            #expect(folder.read(Self.name) == whole[0])
            #expect(folder.names() == [Self.name])
        }
    }

    @Test(arguments: [false, true])
    func afterADeathAtAnyCallThereIsAWholeSidecarOrNone(replacing: Bool) throws {
        let steps = try Self.calls(replacing: replacing)
        for step in steps.indices {
            let folder = TemporaryFolder()
            let faulty = FaultyCalls()
            let store = try SidecarStore(path: folder.path, calls: faulty)
            let writer = SidecarWriter(store: store)
            if replacing { try writer.commit(Samples.expired, for: Self.picture) { true } }
            faulty.start(dyingAt: step)
            try? writer.commit(Samples.full, for: Self.picture) { true }
            let whole = [try Samples.full.json(), try Samples.expired.json()]
            let content = folder.read(Self.name)
            #expect(content == nil ? !replacing : whole.contains(content ?? []))
            // The next start.
            let next = try SidecarStore(path: folder.path)
            try next.removeOwnTemporaries()
            #expect(folder.names().allSatisfy { $0 == Self.name })
            try SidecarWriter(store: next).commit(Samples.full, for: Self.picture) { true }
            #expect(folder.read(Self.name) == whole[0])
        }
    }

    @Test func aFileWhoseSynchronizationFailedIsNeverTriedAgain() throws {
        let folder = TemporaryFolder()
        let faulty = FaultyCalls()
        let writer = SidecarWriter(store: try SidecarStore(path: folder.path, calls: faulty))
        faulty.start(failing: 3, with: EIO)
        #expect(throws: SidecarError.self) { try writer.commit(Samples.full, for: Self.picture) { true } }
        #expect(faulty.log.count { $0 == "synchronize" } == 1)
        #expect(folder.names() == [])
        faulty.start()
        try writer.commit(Samples.full, for: Self.picture) { true }
        let temporaries = faulty.temporaries
        #expect(temporaries.count == 2 && temporaries[0] != temporaries[1])
    }

    @Test func aWriteInSmallPiecesIsWholeInTheEnd() throws {
        let folder = TemporaryFolder()
        let writer = SidecarWriter(store: try SidecarStore(path: folder.path, calls: FaultyCalls(piece: 7)))
        try writer.commit(Samples.full, for: Self.picture) { true }
        #expect(folder.read(Self.name) == (try Samples.full.json()))
    }

    @Test(arguments: [EPERM, EOPNOTSUPP, ENOSYS, EINVAL])
    func aFileSystemWithoutExclusiveRenamesGetsSidecarsToo(code: Int32) throws {
        let folder = TemporaryFolder()
        let faulty = FaultyCalls()
        let writer = SidecarWriter(store: try SidecarStore(path: folder.path, calls: faulty))
        faulty.start(failing: 4, with: code)
        try writer.commit(Samples.full, for: Self.picture) { true }
        #expect(folder.names() == [Self.name])
        // And still nothing foreign is overwritten.
        folder.write("mine", Self.name)
        faulty.start(failing: 4, with: code)
        #expect(throws: SidecarError.self) { try writer.commit(Samples.full, for: Self.picture) { true } }
        #expect(folder.read(Self.name) == Array("mine".utf8))
    }

    @Test(arguments: [EINVAL, EOPNOTSUPP])
    func aFolderThatCannotBeSynchronizedIsNoFault(code: Int32) throws {
        let folder = TemporaryFolder()
        let faulty = FaultyCalls()
        let writer = SidecarWriter(store: try SidecarStore(path: folder.path, calls: faulty))
        faulty.start(failing: 5, with: code)
        try writer.commit(Samples.full, for: Self.picture) { true }
        #expect(faulty.log.count == 6)
    }
}

/// The system's calls, of which one fails, or after one of which nothing reaches the system any more.
final class FaultyCalls: FileCalls {
    private struct State {
        var log: [String] = []
        var failing: Int?
        var code: Int32 = 0
        var dying: Int?
        var temporaries: [[UInt8]] = []
    }

    private let state = Mutex(State())
    private let system = SystemFileCalls()
    private let piece: Int

    init(piece: Int = .max) { self.piece = piece }

    var log: [String] { state.withLock { $0.log } }
    var temporaries: [[UInt8]] { state.withLock { $0.temporaries } }

    func start(failing: Int? = nil, with code: Int32 = 0, dyingAt: Int? = nil) {
        state.withLock {
            $0.log = []
            $0.failing = failing
            $0.code = code
            $0.dying = dyingAt
        }
    }

    private func step(_ name: String) throws(SystemFault) {
        let fault: Int32? = state.withLock {
            let index = $0.log.count
            $0.log.append(name)
            if let dying = $0.dying, index >= dying { return EIO }
            return index == $0.failing ? $0.code : nil
        }
        if let fault { throw SystemFault(fault) }
    }

    func open(_ name: [UInt8], in folder: Int32, flags: Int32, mode: mode_t) throws(SystemFault) -> Int32 {
        try step("open")
        if flags & O_EXCL != 0 { state.withLock { $0.temporaries.append(name) } }
        return try system.open(name, in: folder, flags: flags, mode: mode)
    }

    func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) throws(SystemFault) -> Int {
        try step("write")
        return try system.write(bytes.prefix(piece), to: descriptor)
    }

    func synchronize(_ descriptor: Int32) throws(SystemFault) {
        try step("synchronize")
        try system.synchronize(descriptor)
    }

    func renameExclusively(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        try step("renameExclusively")
        try system.renameExclusively(name, to: new, in: folder)
    }

    func rename(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        try step("rename")
        try system.rename(name, to: new, in: folder)
    }

    func remove(_ name: [UInt8], in folder: Int32) throws(SystemFault) {
        try step("remove")
        try system.remove(name, in: folder)
    }

    func makeFolder(_ name: [UInt8], in folder: Int32, mode: mode_t) throws(SystemFault) {
        try step("makeFolder")
        try system.makeFolder(name, in: folder, mode: mode)
    }
}
