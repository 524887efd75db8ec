import NIOCore
import SocketAPI
import Testing

/// What is a request and what is none, however its bytes are cut.
@Suite struct RequestScannerTests {
    fileprivate struct Outcome: Equatable {
        var output: [UInt8] = []
        var heads: [RequestScanner.Head] = []
        var bodyBytes = 0
        var ends = 0
        var problem: ProblemCode?
    }

    private func outcome(_ text: [UInt8], pieces: [Int]) -> Outcome {
        var scanner = RequestScanner(SocketAPI.Limits())
        var outcome = Outcome()
        var start = 0
        for end in pieces + [text.count] where end > start {
            var input = ByteBuffer(bytes: text[start..<end])
            var output = ByteBuffer()
            do throws(Problem) {
                defer { outcome.output += output.readableBytesView }
                try scanner.scan(&input, into: &output) { event in
                    switch event {
                    case .head(let head): outcome.heads.append(head)
                    case .body(let bytes): outcome.bodyBytes += bytes
                    case .end: outcome.ends += 1
                    }
                }
            } catch {
                outcome.problem = error.code
                return outcome
            }
            start = end
        }
        return outcome
    }

    static let good = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET /a?b=c HTTP/1.1\r\nHost:x\r\nX-Empty:\r\n\r\n",
        "POST /f HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "POST /f HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
        "POST /f HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nT: x\r\n\r\n"
            + "GET / HTTP/1.1\r\n\r\n",
        "PUT /f HTTP/1.1\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx",
    ]

    static let bad: [(String, ProblemCode)] = [
        ("GET / HTTP/1.1\n\n", .bareLineFeed), ("GET / HTTP/1.1\r\nA: b\n\r\n", .bareLineFeed),
        ("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", .foldedHeader), ("GET / HTTP/1.1\r\n A: b\r\n\r\n", .foldedHeader),
        ("GET / HTTP/1.1\rX\n", .malformedRequest), ("GET / HTTP/1.0\r\n\r\n", .malformedRequest),
        ("GET / HTTP/2.0\r\n\r\n", .malformedRequest), ("GET x HTTP/1.1\r\n\r\n", .malformedRequest),
        ("CONNECT x:1 HTTP/1.1\r\n\r\n", .malformedRequest), ("GET /\u{1} HTTP/1.1\r\n\r\n", .malformedRequest),
        ("G(T / HTTP/1.1\r\n\r\n", .malformedRequest), ("GET / HTTP/1.1\r\nA b\r\n\r\n", .malformedRequest),
        ("GET / HTTP/1.1\r\nA : b\r\n\r\n", .malformedRequest), ("GET / HTTP/1.1\r\n: b\r\n\r\n", .malformedRequest),
        ("GET / HTTP/1.1\r\nA: b\u{0}c\r\n\r\n", .malformedRequest),
        ("P / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", .ambiguousLength),
        ("P / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", .unsupportedTransferCoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", .unsupportedTransferCoding),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", .malformedRequest),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", .malformedRequest),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n123456789\r\n", .malformedRequest),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", .malformedRequest),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\nx", .bareLineFeed),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n", .foldedHeader),
        ("GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 65) + "\r\n", .headersTooLarge),
        ("GET / HTTP/1.1\r\nA: " + String(repeating: "b", count: 8190) + "\r\n\r\n", .headersTooLarge),
        ("GET /" + String(repeating: "x", count: 2035) + " HTTP/1.1\r\n", .requestLineTooLong),
    ]

    @Test(arguments: good) func goodRequestsGoThroughHoweverTheyAreCut(text: String) {
        let bytes = Array(text.utf8)
        let whole = outcome(bytes, pieces: [])
        #expect(whole.problem == nil && whole.ends == whole.heads.count && whole.ends >= 1)
        for cut in 1..<bytes.count { #expect(outcome(bytes, pieces: [cut]) == whole, "cut at \(cut)") }
        #expect(outcome(bytes, pieces: Array(1..<bytes.count)) == whole)
    }

    @Test(arguments: bad) func badOnesAreRefusedHoweverTheyAreCut(text: String, code: ProblemCode) {
        let bytes = Array(text.utf8)
        let whole = outcome(bytes, pieces: [])
        #expect(whole.problem == code)
        for cut in stride(from: 1, to: bytes.count, by: max(1, bytes.count / 400)) {
            #expect(outcome(bytes, pieces: [cut]).problem == code, "cut at \(cut)")
        }
        #expect(outcome(bytes, pieces: Array(1..<bytes.count)).problem == code)
        // A head that is refused never reaches the decoder.
        if whole.heads.isEmpty { #expect(whole.output.isEmpty) }
    }

    @Test func theLimitsAreExact() {
        let line = "GET /" + String(repeating: "x", count: 2034) + " HTTP/1.1\r\n\r\n"
        #expect(line.utf8.count == 2048 + 4)
        #expect(outcome(Array(line.utf8), pieces: []).problem == nil)
        let fields = "GET / HTTP/1.1\r\n" + String(repeating: "A: b\r\n", count: 64) + "\r\n"
        #expect(outcome(Array(fields.utf8), pieces: []).problem == nil)
        let bytes = "GET / HTTP/1.1\r\nA: " + String(repeating: "b", count: 8187) + "\r\n\r\n"
        #expect(outcome(Array(bytes.utf8), pieces: []).problem == nil)
    }

    @Test func theDecoderSeesNoUpgradeAndNoTrailers() {
        let upgraded = outcome(Array(Self.good[5].utf8), pieces: [])
        #expect(!String(decoding: upgraded.output, as: UTF8.self).contains("Upgrade"))
        let chunked = outcome(Array(Self.good[4].utf8), pieces: [])
        #expect(!String(decoding: chunked.output, as: UTF8.self).contains("T: x"))
        #expect(chunked.bodyBytes == 19 && chunked.heads.map(\.target) == ["/f", "/"])
    }
}
