import CaptionService
import LatencyBudget
import NIOCore
import SocketAPI

/// What comes over the socket. The first byte says how the rest is cut: that must make no difference.
enum SocketInput {
    /// What the scanner made of some bytes.
    private struct Scanned: Equatable {
        var output: [UInt8] = []
        var heads: [RequestScanner.Head] = []
        var bodyBytes = 0
        var ends = 0
        var problem: ProblemCode?
    }

    static func requests(_ bytes: [UInt8]) {
        let (rest, pieces) = cut(bytes)
        let (whole, split) = (scan([rest]), scan(pieces))
        precondition(whole == split)
        // Nothing is made up: what goes on to the decoder is no longer than what came.
        precondition(whole.output.count <= rest.count)
    }

    /// Small, so that short inputs reach them.
    private static let limits = {
        var limits = SocketAPI.Limits()
        (limits.requestLine, limits.headers, limits.headerFields) = (100, 400, 12)
        return limits
    }()

    private static func scan(_ pieces: [ArraySlice<UInt8>]) -> Scanned {
        var scanner = RequestScanner(limits)
        var scanned = Scanned()
        for piece in pieces {
            var input = ByteBuffer(bytes: piece)
            var output = ByteBuffer()
            do throws(Problem) {
                defer { scanned.output += output.readableBytesView }
                try scanner.scan(&input, into: &output) { event in
                    switch event {
                    case .head(let head): scanned.heads.append(head)
                    case .body(let bytes): scanned.bodyBytes += bytes
                    case .end: scanned.ends += 1
                    }
                }
            } catch {
                scanned.problem = error.code
                break
            }
        }
        return scanned
    }

    static func stream(_ bytes: [UInt8]) {
        let (rest, pieces) = cut(bytes)
        let (whole, split) = (pictures([rest]), pictures(pieces))
        precondition(whole == split)
        for case .picture(let picture) in whole {
            precondition(picture.count <= 1000 && picture.starts(with: [0xFF, 0xD8, 0xFF]))
            precondition(picture.suffix(2) == [0xFF, 0xD9])
        }
    }

    private static func pictures(_ pieces: [ArraySlice<UInt8>]) -> [JPEGSplitter.Event] {
        var splitter = JPEGSplitter(limit: 1000)
        var events: [JPEGSplitter.Event] = []
        for piece in pieces { splitter.read(piece) { events.append($0) } }
        return events
    }

    private static let card = (try? Ladder.published(resolutions: [256, 512, 1024])).map {
        ModelCard(
            facts: ModelFacts(name: "stub", digest: "sha256:0", precision: "f32"), ladder: $0, defaultResolution: 512)
    }

    static func chat(_ bytes: [UInt8]) {
        guard let card else { return }
        let request = try? ChatRequest(bytes, limits: .init(), tasks: .init()) { name in
            [nil, "", "default", "stub"].contains(name) ? ("stub", card) : nil
        }
        guard let request else { return }
        precondition(request.picture.count <= bytes.count)
        precondition((try? request.tasks.validate(subject: "a request", place: "chat")) != nil)
    }

    /// The bytes after the first, whole and in pieces of lengths that the first decides.
    private static func cut(_ bytes: [UInt8]) -> (whole: ArraySlice<UInt8>, pieces: [ArraySlice<UInt8>]) {
        let whole = bytes.dropFirst()
        var state = UInt32(bytes.first ?? 0)
        var pieces: [ArraySlice<UInt8>] = []
        var rest = whole
        while !rest.isEmpty {
            state = state &* 1_664_525 &+ 1_013_904_223
            let count = 1 + Int(state >> 24) % (bytes[0] < 64 ? 2 : 40)
            pieces.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return (whole, pieces)
    }
}
