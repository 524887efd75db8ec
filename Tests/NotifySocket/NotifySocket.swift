internal import Foundation
internal import Glibc

/// The service manager's end of the notification socket, for tests that play its part.
public final class NotifySocket: Sendable {
    /// As `NOTIFY_SOCKET` has it.
    public let name: String
    private let descriptor: Int32

    /// - Parameter isAbstract: Whether it lies outside the file system.
    public init(isAbstract: Bool = false) throws {
        let unique = "fastvlmd-test-\(UUID().uuidString)"
        name = isAbstract ? "@\(unique)" : "/tmp/\(unique)"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "no socket can be made: error \(errno)") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if isAbstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(2 + bytes.count + (isAbstract ? 0 : 1))
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0 else { throw Failure(description: "'\(name)' cannot be bound: error \(errno)") }
    }

    deinit {
        close(descriptor)
        if name.hasPrefix("/") { unlink(name) }
    }

    /// The next message, or nil where none comes within `limit`.
    public func next(within limit: Duration = .seconds(60)) -> String? {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let milliseconds = limit.components.seconds * 1000 + limit.components.attoseconds / 1_000_000_000_000_000
        guard poll(&entry, 1, Int32(milliseconds)) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Messages up to the first that `isLast` says of, that one included.
    ///
    /// - Throws: Where it does not come within a minute; the error says what came.
    public func messages(until isLast: (String) -> Bool) throws -> [String] {
        var all: [String] = []
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end {
            guard let message = next() else { break }
            all.append(message)
            if isLast(message) { return all }
        }
        throw Failure(description: "the message did not come; these did: \(all)")
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }
}
