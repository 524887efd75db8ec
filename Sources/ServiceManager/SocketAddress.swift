internal import Glibc

/// Where a local socket is: a path, or with '@' in front a name outside the file system.
struct SocketAddress: Sendable {
    private let bytes: [UInt8]

    /// One byte of the address ends a path, or begins an abstract name.
    static let nameLimit = 107

    /// Nil for a name of another form.
    init?(_ name: String) {
        var bytes = Array(name.utf8)
        guard (2...Self.nameLimit).contains(bytes.count), !bytes.contains(0) else { return nil }
        switch bytes[0] {
        case UInt8(ascii: "/"): bytes.append(0)
        case UInt8(ascii: "@"): bytes[0] = 0
        default: return nil
        }
        self.bytes = bytes
    }

    /// Gives `body` the address and its length, for the time of the call.
    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // Unsafe: at most 108 bytes, checked where the name was read: as many as sun_path has.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
