import Foundation
import Sidecars
import Synchronization
import Testing

/// A power cut at any moment of a commit: what was not synchronized may be on the disk or not, each operation for itself.
///
/// The commit's calls are recorded, and played back on a disk that is a value: names that lead to files, and files' bytes.
/// A file's `fsync` keeps what was written into it, a folder's `fsync` its names; everything else is left out in every
/// combination. A write that is left out leaves a shorter file, or one of zeros, as file systems do.
@Suite struct SidecarReplayTests {
    static let picture = Array("x.jpg".utf8)
    static let name = "x.jpg.fastvlm.json"

    static func record(replacing: Bool, piece: Int) throws -> [DiskOperation] {
        let folder = TemporaryFolder()
        let calls = RecordingCalls(piece: piece)
        let writer = SidecarWriter(store: try SidecarStore(path: folder.path, calls: calls))
        if replacing { try writer.commit(Samples.expired, for: picture) { true } }
        calls.start()
        try writer.commit(Samples.full, for: picture) { true }
        return calls.operations
    }

    static func disk(replacing: Bool) throws -> Disk {
        var disk = Disk()
        if replacing {
            disk.names[name] = 0
            disk.files[0] = try Samples.expired.json()
        }
        return disk
    }

    /// How many states there can be after `operations`, and those of them that are not right.
    static func states(of operations: [DiskOperation], replacing: Bool) throws -> (
        count: Int, wrong: [Disk], all: Set<Disk>
    ) {
        let whole = [try Samples.full.json(), try Samples.expired.json()]
        var all: Set<Disk> = []
        var wrong: [Disk] = []
        var count = 0
        for end in 0...operations.count {
            for state in Disk.states(after: operations[..<end], from: try disk(replacing: replacing)) {
                count += 1
                all.insert(state)
                let content = state.names[name].map { state.files[$0] ?? [] }
                let isRight = content.map { whole.contains($0) } ?? !replacing
                // After the last call the commit has said that it is done.
                let isDone = end < operations.count || content == whole[0]
                if !isRight || !isDone { wrong.append(state) }
            }
        }
        return (count, wrong, all)
    }

    @Test(arguments: [false, true], [Int.max, 400])
    func everyStateAfterAPowerCutIsWholeAndRecovers(replacing: Bool, piece: Int) throws {
        let operations = try Self.record(replacing: replacing, piece: piece)
        let (count, wrong, all) = try Self.states(of: operations, replacing: replacing)
        #expect(count >= operations.count && all.count >= 4)
        #expect(wrong.isEmpty, "\(wrong.count) of \(count) states: \(wrong.first.map { "\($0)" } ?? "")")
        let whole = try Samples.full.json()
        for state in all {
            let folder = TemporaryFolder()
            for (name, file) in state.names { folder.write(state.files[file] ?? [], name) }
            // The next start.
            let store = try SidecarStore(path: folder.path)
            try store.removeOwnTemporaries()
            #expect(folder.names().allSatisfy { $0 == Self.name })
            #expect(try store.existing(for: Self.picture) != .foreign)
            try SidecarWriter(store: store).commit(Samples.full, for: Self.picture) { true }
            #expect(folder.read(Self.name) == whole)
        }
    }

    @Test(arguments: [false, true]) func withoutEitherSynchronizationTheReplayFindsTheHole(replacing: Bool) throws {
        let operations = try Self.record(replacing: replacing, piece: .max)
        let synchronizations = operations.indices.filter { operations[$0].isSynchronization }
        #expect(synchronizations.count == 2)
        for index in synchronizations {
            var without = operations
            without.remove(at: index)
            #expect(try !Self.states(of: without, replacing: replacing).wrong.isEmpty)
        }
    }
}

enum DiskOperation: Equatable {
    case create(String, file: Int)
    case write([UInt8], file: Int)
    case rename(String, to: String)
    case remove(String)
    case synchronizeFile(Int)
    case synchronizeFolder

    var isSynchronization: Bool {
        switch self {
        case .synchronizeFile, .synchronizeFolder: true
        default: false
        }
    }
}

/// A folder on a disk: names lead to files, files have bytes.
struct Disk: Hashable {
    var names: [String: Int] = [:]
    var files: [Int: [UInt8]] = [:]

    private enum Fate: CaseIterable {
        case kept, leftOut, zeros
    }

    /// All states that a power cut after `operations` can leave.
    static func states(after operations: ArraySlice<DiskOperation>, from start: Disk) -> Set<Disk> {
        let all = Array(operations)
        let isSafe = all.indices.map { index in
            all[(index + 1)...].contains { later in
                switch (all[index], later) {
                case (.write(_, let file), .synchronizeFile(let other)): file == other
                case (.create, .synchronizeFolder), (.rename, .synchronizeFolder), (.remove, .synchronizeFolder): true
                default: false
                }
            }
        }
        let open = all.indices.filter { !isSafe[$0] && !all[$0].isSynchronization }
        var fates: [[Int: Fate]] = [[:]]
        for index in open {
            let isWrite = if case .write = all[index] { true } else { false }
            let choices: [Fate] = isWrite ? Fate.allCases : [.kept, .leftOut]
            fates = fates.flatMap { known in choices.map { known.merging([index: $0]) { $1 } } }
        }
        return Set(
            fates.map { fates in
                var disk = start
                // What a name led to when the calls were made, whatever of it was kept.
                var led = start.names
                for index in all.indices { disk.apply(all[index], fates[index] ?? .kept, &led) }
                return disk
            })
    }

    private mutating func apply(_ operation: DiskOperation, _ fate: Fate, _ led: inout [String: Int]) {
        switch operation {
        case .create(let name, let file):
            led[name] = file
            if fate == .kept { names[name] = file }
        case .write(let bytes, let file):
            if fate == .kept { files[file, default: []] += bytes }
            if fate == .zeros { files[file, default: []] += [UInt8](repeating: 0, count: bytes.count) }
        case .rename(let name, let new):
            let file = led.removeValue(forKey: name)
            led[new] = file
            guard fate == .kept else { return }
            names[name] = nil
            names[new] = file
        case .remove(let name):
            led[name] = nil
            if fate == .kept { names[name] = nil }
        case .synchronizeFile, .synchronizeFolder: break
        }
    }
}

/// The system's calls, with a record of those that change a disk.
private final class RecordingCalls: FileCalls {
    private struct State {
        var operations: [DiskOperation] = []
        /// Files that are open for writing, by descriptor.
        var files: [Int32: Int] = [:]
        var nextFile = 1
    }

    private let state = Mutex(State())
    private let system = SystemFileCalls()
    private let piece: Int

    init(piece: Int) { self.piece = piece }

    var operations: [DiskOperation] { state.withLock { $0.operations } }

    func start() { state.withLock { $0.operations = [] } }

    private func text(_ name: [UInt8]) -> String { String(decoding: name, as: UTF8.self) }

    func open(_ name: [UInt8], in folder: Int32, flags: Int32, mode: mode_t) throws(SystemFault) -> Int32 {
        let descriptor = try system.open(name, in: folder, flags: flags, mode: mode)
        state.withLock {
            $0.files[descriptor] = nil
            guard flags & O_CREAT != 0 else { return }
            $0.files[descriptor] = $0.nextFile
            $0.operations.append(.create(text(name), file: $0.nextFile))
            $0.nextFile += 1
        }
        return descriptor
    }

    func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) throws(SystemFault) -> Int {
        let count = try system.write(bytes.prefix(piece), to: descriptor)
        state.withLock {
            guard let file = $0.files[descriptor] else { return }
            $0.operations.append(.write(Array(bytes.prefix(count)), file: file))
        }
        return count
    }

    func synchronize(_ descriptor: Int32) throws(SystemFault) {
        try system.synchronize(descriptor)
        state.withLock {
            $0.operations.append($0.files[descriptor].map { .synchronizeFile($0) } ?? .synchronizeFolder)
        }
    }

    func renameExclusively(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        try system.renameExclusively(name, to: new, in: folder)
        state.withLock { $0.operations.append(.rename(text(name), to: text(new))) }
    }

    func rename(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        try system.rename(name, to: new, in: folder)
        state.withLock { $0.operations.append(.rename(text(name), to: text(new))) }
    }

    func remove(_ name: [UInt8], in folder: Int32) throws(SystemFault) {
        try system.remove(name, in: folder)
        state.withLock { $0.operations.append(.remove(text(name))) }
    }

    func makeFolder(_ name: [UInt8], in folder: Int32, mode: mode_t) throws(SystemFault) {
        try system.makeFolder(name, in: folder, mode: mode)
    }
}
