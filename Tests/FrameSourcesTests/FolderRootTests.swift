import Foundation
import FrameSources
import Testing

/// Every test runs with the kernel's `openat2` and with the way part by part.
@Suite struct FolderRootTests {
    let folder = TemporaryFolder()

    func root(_ usesOpenBeneath: Bool) throws -> FolderRoot {
        try FolderRoot(path: folder.path, usesOpenBeneath: usesOpenBeneath)
    }

    func kind(_ path: String, _ root: FolderRoot, limit: Int = 1000) throws -> FrameSourceError.Kind? {
        let path = try RelativePath(path)
        do {
            _ = try root.claim(path, limit: limit)
            return nil
        } catch {
            return error.kind
        }
    }

    @Test(arguments: [true, false]) func aFileIsReadAndHashed(beneath: Bool) throws {
        folder.makeFolders("a/b")
        folder.write("abc", "a/b/x.jpg")
        let root = try root(beneath)
        let path = try RelativePath("a/b/x.jpg")
        let frame = try root.claim(path, limit: 3)
        #expect(frame.bytes == Array("abc".utf8))
        #expect(frame.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(frame.identity.size == 3)
        #expect(root.isUnchanged(path, frame.identity))
        folder.append("d", "a/b/x.jpg")
        #expect(!root.isUnchanged(path, frame.identity))
        unlink(folder.path("a/b/x.jpg"))
        #expect(!root.isUnchanged(path, frame.identity))
        folder.write("", "empty.jpg")
        #expect(try root.claim(RelativePath("empty.jpg"), limit: 0).bytes == [])
    }

    @Test(arguments: [true, false]) func whatIsNoRegularFileIsRefusedWithoutHanging(beneath: Bool) throws {
        mkfifo(folder.path("fifo.jpg"), 0o644)
        mkdir(folder.path("folder.jpg"), 0o755)
        let socket = UnixSocket(folder.path("socket.jpg"))
        let root = try root(beneath)
        #expect(try kind("fifo.jpg", root) == .notARegularFile)
        #expect(try kind("folder.jpg", root) == .notARegularFile)
        #expect(try kind("socket.jpg", root) == .notARegularFile)
        #expect(try root.identity(of: RelativePath("fifo.jpg")) == nil)
        withExtendedLifetime(socket) {}
    }

    @Test(arguments: [true, false]) func noLinkIsFollowed(beneath: Bool) throws {
        let outside = TemporaryFolder()
        outside.write("secret", "x.jpg")
        folder.makeFolders("in")
        folder.write("mine", "in/x.jpg")
        symlink(outside.path("x.jpg"), folder.path("file.jpg"))
        symlink(outside.path, folder.path("folder"))
        symlink("in/x.jpg", folder.path("inside.jpg"))
        symlink("loop.jpg", folder.path("loop.jpg"))
        let root = try root(beneath)
        for path in ["file.jpg", "folder/x.jpg", "inside.jpg", "loop.jpg"] {
            let kind = try kind(path, root)
            #expect(kind == .vanished || kind == .notARegularFile, "\(path)")
            #expect(try root.identity(of: RelativePath(path)) == nil)
        }
        #expect(try kind("in/x.jpg", root) == nil)
    }

    @Test(arguments: [true, false]) func aFolderSwappedForALinkLeadsNowhere(beneath: Bool) async throws {
        let outside = TemporaryFolder()
        outside.write("secret", "x.jpg")
        folder.makeFolders("a")
        folder.write("mine", "a/x.jpg")
        symlink(outside.path, folder.path("link"))
        let root = try root(beneath)
        let path = try RelativePath("a/x.jpg")
        let swapper = Task.detached { [folder] in
            while !Task.isCancelled {
                rename(folder.path("a"), folder.path("b"))
                rename(folder.path("link"), folder.path("a"))
                rename(folder.path("a"), folder.path("link"))
                rename(folder.path("b"), folder.path("a"))
                // Long enough for a claim to succeed now and then, also where the swaps are quick.
                usleep(UInt32.random(in: 0...100))
            }
        }
        var read = 0
        var attempts = 0
        while attempts < 4000 || (read == 0 && attempts < 400_000) {
            attempts += 1
            guard let frame = try? root.claim(path, limit: 100) else { continue }
            read += 1
            guard frame.bytes == Array("mine".utf8) else {
                Issue.record("read outside the root")
                break
            }
        }
        swapper.cancel()
        await swapper.value
        #expect(read > 0)
    }

    @Test(arguments: [true, false]) func aFileOverTheLimitIsNotRead(beneath: Bool) throws {
        folder.write("abcd", "x.jpg")
        let root = try root(beneath)
        #expect(try kind("x.jpg", root, limit: 3) == .tooLarge)
        #expect(try kind("x.jpg", root, limit: 4) == nil)
        #expect(try kind("y.jpg", root) == .vanished)
        #expect(try kind("y/x.jpg", root) == .vanished)
        #expect(try kind("x.jpg/y.jpg", root) == .vanished)
    }

    @Test(arguments: [true, false]) func aRootStaysTheFolderThatWasOpened(beneath: Bool) throws {
        folder.write("old", "x.jpg")
        let root = try root(beneath)
        let other = TemporaryFolder()
        rename(folder.path, other.path("moved"))
        mkdir(folder.path, 0o755)
        folder.write("new", "x.jpg")
        #expect(try root.claim(RelativePath("x.jpg"), limit: 10).bytes == Array("old".utf8))
    }

    @Test func aRootThatIsNotThereIsAnError() {
        #expect { try FolderRoot(path: "/nowhere/at/all") } throws: { ($0 as? FrameSourceError)?.kind == .vanished }
    }
}

/// A socket in the file system; gone with its owner.
final class UnixSocket: Sendable {
    private let descriptor: Int32

    init(_ path: String) {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        _ = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    deinit { close(descriptor) }
}
