internal import Glibc

/// Who is at the other end of a Unix socket, as the kernel says.
struct PeerCredentials: Sendable, Equatable {
    var user: UInt32
    var group: UInt32
    /// The other groups of the process that connected.
    var otherGroups: [UInt32] = []

    init(user: UInt32, group: UInt32, otherGroups: [UInt32] = []) {
        self.user = user
        self.group = group
        self.otherGroups = otherGroups
    }

    /// As `struct ucred` of socket.h, which is shown only to those who ask for GNU extensions.
    private struct KernelCredentials {
        var process: Int32 = 0
        var user = UInt32.max
        var group = UInt32.max
    }

    /// The same for `SO_PEERGROUPS`, on all machines but a few that nobody has.
    private static let peerGroups: Int32 = 59
    private static let peerCredentials: Int32 = 17

    /// Nil if the kernel does not say: then nobody is let in.
    init?(ofSocket descriptor: Int32) {
        var credentials = KernelCredentials()
        var length = socklen_t(MemoryLayout<KernelCredentials>.size)
        guard getsockopt(descriptor, SOL_SOCKET, Self.peerCredentials, &credentials, &length) == 0,
            length == MemoryLayout<KernelCredentials>.size, credentials.user != UInt32.max
        else { return nil }
        user = credentials.user
        group = credentials.group
        var groups = [UInt32](repeating: 0, count: 1024)
        var bytes = socklen_t(groups.count * MemoryLayout<UInt32>.size)
        if getsockopt(descriptor, SOL_SOCKET, Self.peerGroups, &groups, &bytes) == 0 {
            otherGroups = Array(groups.prefix(Int(bytes) / MemoryLayout<UInt32>.size))
        }
    }

    /// Whether one of the lists names this user, or there is none.
    func isAllowed(users: Set<UInt32>, groups: Set<UInt32>) -> Bool {
        if users.isEmpty && groups.isEmpty { return true }
        return users.contains(user) || groups.contains(group) || otherGroups.contains { groups.contains($0) }
    }
}
