internal import ArgumentParser
internal import FoundationEssentials
internal import Sidecars
internal import Synchronization

struct FollowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "follow", abstract: "Show results as a running daemon commits them, until it ends.")

    @OptionGroup var socket: SocketArguments

    @Option(
        help: ArgumentHelp("Only results of this source, for example watch:gate.", valueName: "name"),
        completion: .source)
    var source: String?

    @Option(help: "End after this many results.")
    var count: Int?

    @Flag(help: "Print one JSON document a line for each result.")
    var json = false

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count is \(count), expected 1 or more.") }
    }

    func run() throws {
        var target = "/v1/results"
        if let source { target += "?source=" + Self.encoded(source) }
        let lines = Mutex(LineBuffer())
        let left = Mutex(count)
        let json = json
        try socket.client.get(target) { piece in
            for line in lines.withLock({ $0.add(piece) }) {
                Self.show(line, json: json)
                let isLast = left.withLock { left in
                    left = left.map { $0 - 1 }
                    return left == 0
                }
                if isLast { return false }
            }
            return lines.withLock { $0.count <= LineBuffer.limit }
        }
    }

    private static func show(_ line: [UInt8], json: Bool) {
        if json { return Console.line(String(decoding: line, as: UTF8.self)) }
        // Another kind of line, such as one that says how many were lost, is shown as it is.
        guard let document = try? SidecarDocument(json: line) else {
            return Console.line(Console.printable(String(decoding: line, as: UTF8.self)))
        }
        Console.line(Console.printable(ResultLine(document).text))
    }

    /// As a query takes it.
    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
            let digits = String(byte, radix: 16, uppercase: true)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }
}

/// One result in one line.
struct ResultLine {
    let document: SidecarDocument

    init(_ document: SidecarDocument) { self.document = document }

    var text: String {
        let name = document.source.file.map { String(decoding: $0, as: UTF8.self) } ?? "-"
        var parts = [document.created.description, document.source.origin ?? "-", name]
        if let total = document.timings?.total { parts.append("\(Int(total.value.rounded())) ms") }
        if let pixels = document.resolution?.pixels { parts.append("\(pixels) px") }
        switch document.status {
        case .ok: parts.append(document.caption ?? "")
        case .refused(let code, let reason): parts.append("REFUSED \(code): \(reason)")
        case .expired: parts.append("EXPIRED \(document.finishReason ?? "")")
        }
        for answer in document.answers { parts.append("[\(answer.id): \(answer.text)]") }
        // One line whatever a caption holds.
        return parts.filter { !$0.isEmpty }.joined(separator: "  ").split(whereSeparator: \.isNewline).joined(
            separator: " ")
    }
}

extension SidecarDocument.Answer {
    /// The answer for people.
    var text: String {
        guard let answer else { return "-" }
        switch answer {
        case .string(let text): return text
        case .boolean(let value): return value ? "yes" : "no"
        case .number(let value):
            return Int64(exactly: value).map { "\($0)" } ?? "\(value)"
        }
    }
}

/// Puts pieces of a stream together to lines.
struct LineBuffer {
    private var rest: [UInt8] = []

    /// The longest line that is waited for: 1 MiB.
    static let limit = 1 << 20

    /// Bytes that wait for the end of their line.
    var count: Int { rest.count }

    /// The lines that `piece` completes; empty ones, which keep a connection alive, are left out.
    mutating func add(_ piece: [UInt8]) -> [[UInt8]] {
        rest += piece
        guard let end = rest.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        let lines = rest[..<end].split(separator: UInt8(ascii: "\n")).map(Array.init)
        rest.removeSubrange(...end)
        return lines
    }
}
