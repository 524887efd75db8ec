internal import Glibc
internal import NIOCore
internal import NIOPosix

/// The place of the socket in the file system: who may stand there, and what is left when it is over.
struct ListeningSocket {
    let path: String
    /// Held for as long as this daemon serves the path, so that two that start at once do not both think it is free.
    private let lock: Lock
    private var device: UInt64 = 0
    private var inode: UInt64 = 0

    static let mode: mode_t = 0o660

    /// Takes the place: refuses where another program serves the socket or something else stands there.
    init(path: String) async throws {
        self.path = path
        lock = try Lock(path + ".lock", of: path)
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else {
                throw SocketAPIError(
                    .place,
                    "Cannot listen at '\(path)': its folder cannot be looked into. Check the folder's permissions.")
            }
            return
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw SocketAPIError(
                .notASocket,
                "Cannot listen at '\(path)': there is something that is no socket. Move it away, or set another "
                    + "socket.path.")
        }
        if await Self.isServed(path) {
            throw SocketAPIError(
                .inUse, "Cannot listen at '\(path)': another program serves it. End it, or set another socket.path.")
        }
    }

    /// Whether somebody takes connections there.
    private static func isServed(_ path: String) async -> Bool {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(2))
        guard let channel = try? await bootstrap.connect(unixDomainSocketPath: path).get() else { return false }
        try? await channel.close().get()
        return true
    }

    /// Makes the socket under another name, gives it its mode, and puts it in place at once: nobody sees it otherwise, and
    /// one that was left behind is replaced.
    mutating func bind<Accepted: Sendable>(
        _ bootstrap: ServerBootstrap, _ accept: @escaping @Sendable (any Channel) -> EventLoopFuture<Accepted>
    ) async throws -> NIOAsyncChannel<Accepted, Never> {
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let early = "\(folder)/.s\(UInt32.random(in: 0...0xFFFFFF))"
        let problem = SocketAPIError(
            .place,
            "Cannot listen at '\(path)': a socket cannot be made there. Check that its folder is there and that this user "
                + "may write to it.")
        guard let server = try? await bootstrap.bind(unixDomainSocketPath: early, childChannelInitializer: accept)
        else {
            unlink(early)
            throw problem
        }
        var status = stat()
        guard chmod(early, Self.mode) == 0, lstat(early, &status) == 0, rename(early, path) == 0 else {
            unlink(early)
            try? await server.channel.close().get()
            throw problem
        }
        (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
        return server
    }

    /// Removes the socket if it is still this one.
    func remove() {
        var status = stat()
        guard lstat(path, &status) == 0, UInt64(status.st_dev) == device, UInt64(status.st_ino) == inode else { return }
        unlink(path)
    }

    /// A file that is locked; the lock goes with the process at the latest.
    private final class Lock: Sendable {
        private let descriptor: Int32

        init(_ path: String, of socket: String) throws(SocketAPIError) {
            descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else {
                throw SocketAPIError(
                    .place,
                    "Cannot listen at '\(socket)': a lock cannot be made beside it. Check that its folder is there and "
                        + "that this user may write to it.")
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                throw SocketAPIError(
                    .inUse,
                    "Cannot listen at '\(socket)': another fastvlmd serves it. End it, or set another socket.path.")
            }
        }

        deinit { close(descriptor) }
    }

    /// Checks that `descriptor` is a Unix socket that listens.
    static func checkListening(_ descriptor: Int32) throws(SocketAPIError) {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0, value == 1,
            getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &value, &length) == 0, value == AF_UNIX
        else {
            throw SocketAPIError(
                .place, "Cannot use descriptor \(descriptor): it is no Unix socket that listens. Check the socket unit."
            )
        }
    }
}
