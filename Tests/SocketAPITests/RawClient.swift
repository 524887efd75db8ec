import Foundation
import Glibc
import Testing

/// One answer as it came.
struct Answer: Sendable {
    var status = 0
    /// Names in small letters.
    var headers: [String: String] = [:]
    var body: [UInt8] = []
    /// Whether the server ended the connection after it.
    var isClosed = false
    /// How long it took.
    var time = Duration.zero

    var text: String { String(decoding: body, as: UTF8.self) }

    var json: [String: any Sendable] {
        get throws {
            try #require(
                try JSONSerialization.jsonObject(with: Data(body)) as? [String: any Sendable], "\(text)")
        }
    }

    var code: String? { (try? json)?["code"] as? String }
}

/// A client that does what it is told, on a thread of its own: what a test waits for must not keep the server's threads.
final class RawClient: Sendable {
    private let descriptor: Int32
    private static let queue = DispatchQueue(label: "clients", attributes: .concurrent)

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        try #require(path.utf8.count < MemoryLayout.size(ofValue: address.sun_path))
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let number = descriptor
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0, "cannot connect: \(errno)")
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    private func onOwnThread<Value: Sendable>(_ work: @escaping @Sendable (Int32) -> Value) async -> Value {
        let descriptor = descriptor
        return await withCheckedContinuation { continuation in
            Self.queue.async { continuation.resume(returning: work(descriptor)) }
        }
    }

    /// - Returns: Whether all of it went out.
    @discardableResult
    func send(_ bytes: [UInt8]) async -> Bool {
        await onOwnThread { descriptor in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    @discardableResult
    func send(_ text: String) async -> Bool { await send(Array(text.replacing("\n", with: "\r\n").utf8)) }

    /// Says that nothing more comes.
    func finish() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// What comes next; empty at the end.
    func read() async -> [UInt8] {
        await onOwnThread { descriptor in
            var bytes = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            return Array(bytes.prefix(max(0, count)))
        }
    }

    /// Reads until what came satisfies `isEnough`, or the server ends it.
    func read(until isEnough: @Sendable ([UInt8]) -> Bool) async -> [UInt8] {
        var all: [UInt8] = []
        while !isEnough(all) {
            let piece = await read()
            if piece.isEmpty { break }
            all += piece
        }
        return all
    }

    /// Sends `pieces` one after another and reads one answer.
    func exchange(_ pieces: [[UInt8]], halfClose: Bool = false) async throws -> Answer {
        let start = ContinuousClock.now
        for piece in pieces { guard await send(piece) else { break } }
        if halfClose { finish() }
        var answer = try await answer()
        answer.time = ContinuousClock.now - start
        return answer
    }

    /// Reads one answer: by its length, or to the end of the connection.
    func answer() async throws -> Answer {
        var all = await read { $0.headEnd != nil }
        let end = try #require(all.headEnd, "no answer but \(all.count) bytes")
        var answer = Answer()
        let lines = String(decoding: all[..<end], as: UTF8.self).split(separator: "\r\n")
        answer.status = try #require(lines.first.flatMap { Int($0.split(separator: " ")[1]) })
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            answer.headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        if answer.status == 100 {
            let rest = Array(all[end...])
            return try await self.answer(after: rest)
        }
        all = Array(all[end...])
        if let length = answer.headers["content-length"].flatMap({ Int($0) }) {
            let begun = all
            all += await read { begun.count + $0.count >= length }
        } else if answer.headers["transfer-encoding"] == "chunked" {
            let begun = all
            all += await read { (begun + $0).suffix(5).elementsEqual("0\r\n\r\n".utf8) }
            all = all.dechunked
        }
        answer.body = all
        if answer.headers["connection"] == "close" { answer.isClosed = await read().isEmpty }
        return answer
    }

    private func answer(after rest: [UInt8]) async throws -> Answer {
        // The whole answer follows in pieces of its own.
        precondition(rest.isEmpty)
        return try await answer()
    }
}

extension [UInt8] {
    /// What is in the chunks.
    fileprivate var dechunked: [UInt8] {
        var content: [UInt8] = []
        var rest = self[...]
        while let end = rest.firstIndex(of: 13),
            let size = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16), size > 0
        {
            content += rest.dropFirst(end + 2 - rest.startIndex).prefix(size)
            rest = rest.dropFirst(end + 2 - rest.startIndex + size + 2)
        }
        return content
    }

    /// Where the head of an answer ends.
    fileprivate var headEnd: Int? {
        guard count >= 4 else { return nil }
        return (0...(count - 4)).first { self[$0..<($0 + 4)].elementsEqual([13, 10, 13, 10]) }.map { $0 + 4 }
    }
}

/// Runs a program and hands back what it said.
func runProgram(_ arguments: [String]) async throws -> (status: Int32, output: String) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    return await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            let output = pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            continuation.resume(returning: (process.terminationStatus, String(decoding: output, as: UTF8.self)))
        }
    }
}
