import CaptionService
import Foundation
import Glibc
import Logging
import ServiceLifecycleTestKit
import SocketAPI
import Testing

/// The socket itself: who stands at its place, and who may come.
@Suite(.serialized) struct SocketTests {
    private func service(_ configuration: SocketAPI.Configuration) throws -> SocketAPI {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return SocketAPI(
            configuration, answerer: FrameAnswerer(engine: try StubEngine()), results: ResultFeed(), logger: logger)
    }

    private func mode(of path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    /// A socket that nobody serves any more, as a crash leaves it.
    private func leaveStaleSocket(at path: String) throws {
        let descriptor = try listeningSocket(at: path)
        close(descriptor)
        #expect(mode(of: path) != nil)
    }

    private func listeningSocket(at path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0 && listen(descriptor, 8) == 0)
        return descriptor
    }

    @Test(.timeLimit(.minutes(1)), arguments: [0o000, 0o022, 0o077, 0o777] as [mode_t])
    func theModeIsExactUnderAnyUmask(mask: mode_t) async throws {
        let before = umask(0o022)
        defer { umask(before) }
        // Once the socket's folder is there: under the last of these nobody but root could use it.
        try await withAPI(configure: { _ in umask(mask) }) { api in
            umask(before)
            let status = try await api.get("/healthz").status
            #expect(mode(of: api.path) == 0o660 && status == 200)
        }
    }

    @Test(.timeLimit(.minutes(1))) func itIsRemovedAtTheEndAndNothingElseIsLeft() async throws {
        let folder = try await withAPI { api in
            #expect(api.folder.names.contains("api.sock"))
            return api.folder
        }
        #expect(folder.names == ["api.sock.lock"])
    }

    @Test(.timeLimit(.minutes(1))) func aStaleSocketIsReplaced() async throws {
        let folder = try ScratchFolder()
        let path = folder.path + "/x.sock"
        try leaveStaleSocket(at: path)
        try await withAPI(configure: { $0.place = .path(path) }) { _ in
            let answer = try await RawClient(path).exchange([Array("GET /healthz HTTP/1.1\r\n\r\n".utf8)])
            #expect(answer.status == 200 && mode(of: path) == 0o660)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aLiveSecondInstanceIsRefusedAndTheFirstGoesOn() async throws {
        try await withAPI { api in
            let second = try service(.init(path: api.path))
            let error = await #expect(throws: SocketAPIError.self) { try await second.run() }
            #expect(error?.code == .inUse)
            #expect(try await api.get("/healthz").status == 200)
        }
        // Another program's, which knows no lock.
        let folder = try ScratchFolder()
        let path = folder.path + "/other.sock"
        let other = try listeningSocket(at: path)
        defer { close(other) }
        let error = await #expect(throws: SocketAPIError.self) { try await service(.init(path: path)).run() }
        #expect(error?.code == .inUse && mode(of: path) != nil)
    }

    @Test(.timeLimit(.minutes(1))) func whatIsNoSocketIsLeftAlone() async throws {
        let folder = try ScratchFolder()
        let path = folder.path + "/file"
        try Data("mine".utf8).write(to: URL(filePath: path))
        let error = await #expect(throws: SocketAPIError.self) { try await service(.init(path: path)).run() }
        #expect(error?.code == .notASocket)
        #expect(try Data(contentsOf: URL(filePath: path)) == Data("mine".utf8))
        let place = await #expect(throws: SocketAPIError.self) {
            try await service(.init(path: folder.path + "/none/x.sock")).run()
        }
        #expect(place?.code == .place)
    }

    @Test(.timeLimit(.minutes(1))) func aListeningSocketCanBeHandedOver() async throws {
        let folder = try ScratchFolder()
        let path = folder.path + "/handed.sock"
        let descriptor = try listeningSocket(at: path)
        try await withAPI(configure: { $0.place = .descriptor(descriptor) }) { _ in
            let answer = try await RawClient(path).exchange([Array("GET /healthz HTTP/1.1\r\n\r\n".utf8)])
            #expect(answer.status == 200)
        }
        // It is the service manager's.
        #expect(mode(of: path) != nil)
        let error = await #expect(throws: SocketAPIError.self) { try await service(.init(descriptor: 0)).run() }
        #expect(error?.code == .place)
    }

    @Test(.timeLimit(.minutes(1))) func onlyThoseWhoAreNamedMayConnect() async throws {
        for (users, groups, status) in [
            ([getuid()], [], 200), ([getuid() + 1], [], 403), ([], [getgid()], 200), ([], [getgid() + 1], 403),
            ([getuid() + 1], [getgid()], 200),
        ] as [(Set<UInt32>, Set<UInt32>, Int)] {
            try await withAPI(configure: { ($0.allowedUsers, $0.allowedGroups) = (users, groups) }) { api in
                let answer = try await api.get("/healthz")
                #expect(answer.status == status, "\(users) \(groups)")
            }
        }
        #expect(try SocketAPI.userNumber("root") == 0 && SocketAPI.groupNumber("17") == 17)
        let error = #expect(throws: SocketAPIError.self) { try SocketAPI.userNumber("nobody-of-that-name") }
        #expect(error?.code == .unknownName)
    }

    @Test(.timeLimit(.minutes(1))) func connectionsAreLimitedAndComeBack() async throws {
        try await withAPI(configure: { $0.limits.connectionsOfOneUser = 3 }) { api in
            var clients = try (0..<3).map { _ in try RawClient(api.path) }
            for client in clients { _ = try await client.exchange([Array("GET /healthz HTTP/1.1\r\n\r\n".utf8)]) }
            let refused = try await api.get("/healthz")
            #expect(refused.status == 503 && refused.code == "too_many_connections" && refused.time < .seconds(1))
            clients.removeLast()
            var answer = Answer()
            for _ in 0..<200 where answer.status != 200 { answer = try await api.get("/healthz") }
            #expect(answer.status == 200)
        }
    }

    @Test(.timeLimit(.minutes(1))) func whoSaysNothingIsLetGo() async throws {
        try await withAPI(configure: {
            $0.limits.header = .milliseconds(200)
            $0.limits.idle = .milliseconds(200)
        }) { api in
            let silent = try RawClient(api.path)
            #expect(await silent.read().isEmpty)
            let idle = try RawClient(api.path)
            _ = try await idle.exchange([Array("GET /healthz HTTP/1.1\r\n\r\n".utf8)])
            #expect(await idle.read().isEmpty)
        }
    }
}
