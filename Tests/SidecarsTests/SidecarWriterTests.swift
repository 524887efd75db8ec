import Foundation
import Sidecars
import Testing

@Suite struct SidecarWriterTests {
    let folder = TemporaryFolder()
    let picture = Array("gate 1.jpg".utf8)
    let sidecar = "gate 1.jpg.fastvlm.json"

    func commit(
        _ document: SidecarDocument = Samples.full, for picture: [UInt8]? = nil, to store: SidecarStore? = nil,
        isCurrent: () -> Bool = { true }
    ) throws(SidecarError) {
        var place = store
        if place == nil { place = try SidecarStore(path: folder.path) }
        guard let place else { return }
        try SidecarWriter(store: place).commit(document, for: picture ?? self.picture, isCurrent: isCurrent)
    }

    func kind(_ work: () throws(SidecarError) -> Void) -> SidecarError.Kind? {
        do {
            try work()
            return nil
        } catch {
            return error.kind
        }
    }

    @Test func aCommitLeavesTheDocumentAndNothingElse() throws {
        try commit()
        #expect(folder.names() == [sidecar])
        #expect(folder.read(sidecar) == (try Samples.full.json()))
    }

    @Test func anOlderSidecarIsReplaced() throws {
        try commit(Samples.expired)
        try commit(Samples.full)
        #expect(folder.names() == [sidecar])
        #expect(folder.read(sidecar) == (try Samples.full.json()))
    }

    @Test(arguments: ["", "{}", "{\"schema\":\"other\"}", "not JSON", "{\"schema\":\"fastvlm.sidecar/1\""])
    func aForeignFileIsNeverOverwritten(content: String) throws {
        folder.write(content, sidecar)
        #expect(kind { () throws(SidecarError) in try commit() } == .conflict)
        #expect(folder.read(sidecar) == Array(content.utf8))
        #expect(folder.names() == [sidecar])
    }

    @Test func whatIsNoRegularFileIsNeverReplaced() throws {
        symlink("elsewhere", folder.path(sidecar))
        #expect(kind { () throws(SidecarError) in try commit() } == .conflict)
        #expect(folder.names() == [sidecar])
        unlink(folder.path(sidecar))
        mkfifo(folder.path(sidecar), 0o644)
        #expect(kind { () throws(SidecarError) in try commit() } == .conflict)
        unlink(folder.path(sidecar))
        mkdir(folder.path(sidecar), 0o755)
        #expect(kind { () throws(SidecarError) in try commit() } == .conflict)
        #expect(folder.names() == [sidecar])
    }

    @Test func aPictureThatChangedGetsNoSidecar() throws {
        var temporaries = 0
        let result = kind { () throws(SidecarError) in
            try commit(isCurrent: {
                temporaries = folder.names().count { SidecarName.isTemporary(Array($0.utf8)) }
                return false
            })
        }
        #expect(result == .superseded)
        #expect(temporaries == 1, "the check comes when the temporary is written")
        #expect(folder.names() == [])
    }

    @Test func aSidecarLiesBesideThePictureInItsFolder() throws {
        mkdir(folder.path("a"), 0o755)
        mkdir(folder.path("a/b"), 0o755)
        try commit(for: Array("a/b/x.png".utf8))
        #expect(folder.names("a/b") == ["x.png.fastvlm.json"])
        #expect(kind { () throws(SidecarError) in try commit(for: Array("gone/x.png".utf8)) } == .placeGone)
    }

    @Test func aMirrorGetsTheSameFolders() throws {
        let mirror = TemporaryFolder()
        let store = try SidecarStore(path: mirror.path, mirrors: true)
        try commit(for: Array("a/b/x.png".utf8), to: store)
        try commit(for: Array("a/y.png".utf8), to: store)
        #expect(mirror.names("a") == ["b", "y.png.fastvlm.json"])
        #expect(mirror.names("a/b") == ["x.png.fastvlm.json"])
        #expect(folder.names() == [])
    }

    @Test func aLinkOnTheWayIsNotFollowed() throws {
        let outside = TemporaryFolder()
        symlink(outside.path, folder.path("a"))
        let mirror = try SidecarStore(path: folder.path, mirrors: true)
        #expect(kind { () throws(SidecarError) in try commit(for: Array("a/x.png".utf8), to: mirror) } == .placeGone)
        #expect(kind { () throws(SidecarError) in try commit(for: Array("a/b/x.png".utf8), to: mirror) } == .placeGone)
        #expect(outside.names() == [])
    }

    @Test(arguments: ["", "/x.jpg", "a//x.jpg", "../x.jpg", "a/../x.jpg", "./x.jpg", "a/", "x\0.jpg"])
    func aPathThatLeavesTheRootIsRefused(path: String) throws {
        let mirror = try SidecarStore(path: folder.path, mirrors: true)
        #expect(kind { () throws(SidecarError) in try commit(for: Array(path.utf8), to: mirror) } == .invalid)
        #expect(folder.names() == [])
    }

    @Test func everyNameThatAFileCanHaveGetsASidecar() throws {
        let store = try SidecarStore(path: folder.path)
        var names: [[UInt8]] = [
            [0xFF, 0xFE, 0x2E, 0x6A, 0x70, 0x67], Array("new\nline.jpg".utf8), Array("\u{1b}[31m\"'\\.jpg".utf8),
        ]
        names += [241, 242, 243, 250, 255].map {
            Array(repeating: UInt8(ascii: "n"), count: $0 - 4) + Array(".jpg".utf8)
        }
        names.append(Array((String(repeating: "é", count: 125) + "x.jpg").utf8))
        names.append(Array(repeating: 0x80, count: 255))
        for name in names {
            let document = SidecarDocument(
                status: .ok, source: .init(file: name), created: Samples.created, generator: "g")
            try commit(document, for: name, to: store)
            guard case .own(let found) = try store.existing(for: name) else {
                Issue.record("no sidecar for \(name)")
                continue
            }
            #expect(found.source.file == name)
        }
        #expect(folder.names().count == names.count)
    }

    @Test func aDescriptorStaysWithItsFolderWhateverItsPathBecomes() throws {
        let descriptor = open(folder.path, O_RDONLY | O_DIRECTORY)
        let store = try SidecarStore(duplicating: descriptor, name: "gate")
        close(descriptor)
        let moved = TemporaryFolder()
        rename(folder.path, moved.path("moved"))
        mkdir(folder.path, 0o755)
        try commit(to: store)
        #expect(moved.names("moved") == [sidecar])
        #expect(folder.names() == [])
    }

    @Test func onlyOwnTemporariesAreRemoved() throws {
        let kept = [
            ".fastvlm-0123456789abcdeg.tmp", ".fastvlm-0123456789abcdef.tmp2", ".fastvlm-.tmp", "a.tmp",
            "fastvlm-0123456789abcdef.tmp", ".fastvlm-0123456789ABCDEF.tmp", sidecar,
        ]
        for name in kept { folder.write("x", name) }
        mkdir(folder.path("a"), 0o755)
        folder.write("x", ".fastvlm-0123456789abcdef.tmp")
        folder.write("x", "a/.fastvlm-00000000000000ff.tmp")
        let outside = TemporaryFolder()
        outside.write("x", ".fastvlm-0123456789abcdef.tmp")
        symlink(outside.path, folder.path("link"))
        let store = try SidecarStore(path: folder.path)
        #expect(try store.removeOwnTemporaries(recursive: false) == 1)
        #expect(folder.names("a").count == 1)
        #expect(try store.removeOwnTemporaries() == 1)
        #expect(folder.names() == (kept + ["a", "link"]).sorted())
        #expect(folder.names("a") == [])
        #expect(outside.names().count == 1)
    }

    @Test func aFullDiskLeavesNothingBehind() throws {
        guard let disk = SmallDisk(options: "size=64k") else { return }
        let store = try SidecarStore(path: disk.path)
        disk.fill()
        var document = Samples.full
        document.caption = String(repeating: "long ", count: 1500)
        let result = kind { () throws(SidecarError) in try commit(document, to: store) }
        #expect(result == .resource)
        #expect(disk.names() == ["ballast"])
        disk.empty()
        try commit(document, to: store)
        #expect(disk.names() == [sidecar])
    }

    @Test func aReadOnlyDiskIsTheMachinesFault() throws {
        guard let disk = SmallDisk(options: "size=64k,ro") else { return }
        let store = try SidecarStore(path: disk.path)
        do throws(SidecarError) {
            try commit(to: store)
            Issue.record("written to a read-only disk")
        } catch {
            #expect(error.kind == .resource)
            #expect(error.systemCode == EROFS)
        }
    }

    @Test func aDiskWithoutFreeInodesIsTheMachinesFault() throws {
        guard let disk = SmallDisk(options: "size=64k,nr_inodes=3") else { return }
        disk.fill(bytes: 1)
        disk.fill(bytes: 1, "more")
        #expect(kind { () throws(SidecarError) in try commit(to: SidecarStore(path: disk.path)) } == .resource)
    }
}

@Suite struct SidecarStoreTests {
    let folder = TemporaryFolder()
    let picture = Array("x.jpg".utf8)

    @Test func whatIsThereIsTold() throws {
        let store = try SidecarStore(path: folder.path)
        #expect(try store.existing(for: picture) == .absent)
        #expect(try store.existing(for: Array("no/x.jpg".utf8)) == .absent)
        folder.write("{}", "x.jpg.fastvlm.json")
        #expect(try store.existing(for: picture) == .foreign)
        folder.write(#"{"schema":"fastvlm.sidecar/7","status":"better","source":{},"more":1}"#, "x.jpg.fastvlm.json")
        guard case .own(let later) = try store.existing(for: picture) else {
            Issue.record("a later version is ours too")
            return
        }
        #expect(later.schema == "fastvlm.sidecar/7")
        #expect(!later.matches(bytes: 0, modifiedNanoseconds: 0))
    }

    @Test func aSidecarMatchesThePictureItWasMadeFor() throws {
        let store = try SidecarStore(path: folder.path)
        try SidecarWriter(store: store).commit(Samples.full, for: picture, isCurrent: { true })
        guard case .own(let found) = try store.existing(for: picture) else {
            Issue.record("no sidecar")
            return
        }
        let modified: Int64 = 1_795_428_000_123_456_789
        #expect(found.status == "ok")
        #expect(found.matches(bytes: 183_204, modifiedNanoseconds: modified))
        #expect(!found.matches(bytes: 183_205, modifiedNanoseconds: modified))
        #expect(!found.matches(bytes: 183_204, modifiedNanoseconds: modified + 1_000_000))
        #expect(found.matches(sha256: String(repeating: "ab", count: 32)))
        #expect(!found.matches(sha256: String(repeating: "ac", count: 32)))
        #expect(found.writtenNanoseconds > 1_700_000_000_000_000_000)
    }

    @Test func aFileTooLargeForASidecarIsForeign() throws {
        folder.write(Array(try Samples.full.json()) + [UInt8](repeating: 32, count: 1 << 20), "x.jpg.fastvlm.json")
        #expect(try SidecarStore(path: folder.path).existing(for: picture) == .foreign)
    }

    /// Foundation's decoder would end the process at this one.
    @Test func aFileOfBracketsIsForeign() throws {
        folder.write(String(repeating: "[", count: 513), "x.jpg.fastvlm.json")
        #expect(try SidecarStore(path: folder.path).existing(for: picture) == .foreign)
    }

    @Test func aFolderThatIsNotThereIsAnError() {
        #expect {
            try SidecarStore(path: folder.path("no"))
        } throws: {
            ($0 as? SidecarError)?.kind == .placeGone
        }
    }
}

@Suite struct SidecarNameTests {
    @Test func shortNamesGetTheSuffix() {
        #expect(SidecarName.sidecar(forPicture: Array("a.jpg".utf8)) == Array("a.jpg.fastvlm.json".utf8))
        let longest = [UInt8](repeating: 97, count: 242)
        #expect(SidecarName.sidecar(forPicture: longest) == longest + Array(".fastvlm.json".utf8))
    }

    @Test func longNamesAreShortenedTheSameWayEachTime() {
        let name = [UInt8](repeating: 97, count: 251) + Array(".jpg".utf8)
        let sidecar = SidecarName.sidecar(forPicture: name)
        let expected = String(repeating: "a", count: 225) + "~f5a6042cf4b7508d.fastvlm.json"
        #expect(sidecar.count == 255)
        #expect(String(decoding: sidecar, as: UTF8.self) == expected)
        let other = [UInt8](repeating: 97, count: 251) + Array(".png".utf8)
        #expect(sidecar != SidecarName.sidecar(forPicture: other))
        #expect(SidecarName.isSidecar(sidecar))
    }

    @Test func aShortenedNameEndsBetweenTwoCharacters() {
        let name = Array((String(repeating: "日", count: 83) + ".jpg").utf8)
        let sidecar = SidecarName.sidecar(forPicture: name)
        #expect(String(validating: sidecar, as: UTF8.self) != nil)
        let shifted = Array(("x" + String(repeating: "日", count: 83) + ".jpg").utf8)
        #expect(String(validating: SidecarName.sidecar(forPicture: shifted), as: UTF8.self) != nil)
        #expect(SidecarName.sidecar(forPicture: [UInt8](repeating: 0x80, count: 255)).count == 255)
    }

    @Test func sidecarsAreToldFromPictures() {
        #expect(SidecarName.isSidecar(Array("a.fastvlm.json".utf8)))
        #expect(!SidecarName.isSidecar(Array(".fastvlm.json".utf8)))
        #expect(!SidecarName.isSidecar(Array("a.json".utf8)))
    }
}

/// A file system of a few pages that is mounted for one test; nil, with words, where that is not permitted.
final class SmallDisk {
    private let folder = TemporaryFolder()
    var path: String { folder.path }

    init?(options: String) {
        guard Self.run("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder.path]) else {
            print("skipped: mounting a small file system is not permitted here")
            return nil
        }
    }

    deinit { _ = Self.run("umount", [folder.path]) }

    func fill(bytes: Int = 1 << 20, _ name: String = "ballast") {
        let descriptor = open(folder.path(name), O_WRONLY | O_CREAT, 0o644)
        let block = [UInt8](repeating: 0, count: min(bytes, 4096))
        var left = bytes
        while left > 0, write(descriptor, block, block.count) > 0 { left -= block.count }
        close(descriptor)
    }

    func empty() { unlink(folder.path("ballast")) }
    func names() -> [String] { folder.names() }

    private static func run(_ program: String, _ arguments: [String]) -> Bool {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
