import Foundation
import Synchronization
import Testing

/// The daemon's end of its socket, with answers that a test decides.
final class StubDaemonSocket: Sendable {
    let path: String
    private let listener: Int32
    private let asked = Mutex<[String]>([])
    private let folder: TemporaryFolder

    /// The requests so far, head and all.
    var requests: [String] { asked.withLock { $0 } }

    /// - Parameter answers: What is written for each target, piece by piece; then the connection is closed.
    init(_ answers: [String: [String]]) throws {
        folder = try TemporaryFolder()
        path = folder["api.sock"]
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try #require(listener >= 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        try #require(path.utf8.count < 108)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(listener, 8) == 0)
        let accepting = listener
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(accepting, nil, nil)
                guard connection >= 0 else { return }
                defer { close(connection) }
                let head = Self.head(connection)
                guard let self else { return }
                asked.withLock { $0.append(head) }
                let target = head.split(separator: " ").dropFirst().first.map(String.init) ?? ""
                for piece in answers[target] ?? ["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"] {
                    let bytes = Array(piece.utf8)
                    _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                    usleep(20_000)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func head(_ connection: Int32) -> String {
        var head: [UInt8] = []
        var byte: UInt8 = 0
        while !head.suffix(4).elementsEqual(Array("\r\n\r\n".utf8)), recv(connection, &byte, 1, 0) == 1 {
            head.append(byte)
        }
        return String(decoding: head, as: UTF8.self)
    }

    /// A whole answer.
    static func answer(_ body: String, _ type: String = "application/json") -> [String] {
        ["HTTP/1.1 200 OK\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n", body]
    }

    /// An answer in chunks, each of these pieces one.
    static func chunks(_ pieces: [String]) -> [String] {
        ["HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"]
            + pieces.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" } + ["0\r\n\r\n"]
    }
}
