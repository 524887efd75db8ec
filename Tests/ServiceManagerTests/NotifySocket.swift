import Foundation
import Glibc
import Testing

/// The service manager's end of the notification socket.
final class NotifySocket: Sendable {
    /// As `NOTIFY_SOCKET` has it.
    let name: String
    private let descriptor: Int32

    /// - Parameter isAbstract: Whether it lies outside the file system.
    init(isAbstract: Bool = false) throws {
        let unique = "fastvlmd-test-\(UUID().uuidString)"
        name = isAbstract ? "@\(unique)" : "/tmp/\(unique)"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if isAbstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(2 + bytes.count + (isAbstract ? 0 : 1))
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        try #require(bound == 0)
    }

    deinit {
        close(descriptor)
        if name.hasPrefix("/") { unlink(name) }
    }

    /// The next message, or nil where none comes within `limit`.
    func next(within limit: Duration = .seconds(60)) -> String? {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let milliseconds = limit.components.seconds * 1000 + limit.components.attoseconds / 1_000_000_000_000_000
        guard poll(&entry, 1, Int32(milliseconds)) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Messages up to the first that `isLast` says of, that one included; a minute at most.
    func messages(until isLast: (String) -> Bool) throws -> [String] {
        var all: [String] = []
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            guard let message = next() else { break }
            all.append(message)
            if isLast(message) { return all }
        }
        Issue.record("the message did not come; these did: \(all)")
        return all
    }
}
