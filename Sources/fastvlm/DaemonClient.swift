internal import ArgumentParser
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Where the daemon listens.
struct SocketArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's socket. The default is $FASTVLM_SOCKET, and without it \(SocketArguments.usual).",
            valueName: "path"), completion: .file())
    var socket: String?

    static let usual = "/run/fastvlmd/api.sock"

    var client: DaemonClient {
        let stated = getenv("FASTVLM_SOCKET").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
        return DaemonClient(path: socket ?? stated ?? Self.usual)
    }
}

/// Asks a running daemon over its socket, one question a connection.
struct DaemonClient {
    let path: String

    /// Most bytes of an answer that is taken as a whole: 8 MiB.
    static let wholeLimit = 8 << 20

    /// The body of `GET target`.
    func get(_ target: String) throws(CommandFailure) -> [UInt8] {
        let body = Mutex<[UInt8]>([])
        try get(target) { piece in
            body.withLock { body in
                body += piece
                return body.count <= Self.wholeLimit
            }
        }
        return body.withLock { $0 }
    }

    /// Hands each piece of the body of `GET target` to `take` as it comes, until the end or until that returns false.
    func get(_ target: String, take: @escaping @Sendable ([UInt8]) -> Bool) throws(CommandFailure) {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        let answer = Answer()
        let channel: any Channel
        do {
            channel = try ClientBootstrap(group: group).connectTimeout(.seconds(5)).channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(AnswerHandler(answer, take))
                }
            }.connect(unixDomainSocketPath: path).wait()
        } catch {
            throw CommandFailure(.daemonUnreachable, "Cannot reach the daemon at '\(path)': \(Self.reason(error)).")
        }
        do {
            // What a proxy would need is said too: the daemon wants exactly one Host.
            let head = HTTPRequestHead(
                version: .http1_1, method: .GET, uri: target,
                headers: ["Host": "localhost", "Accept": "*/*", "Connection": "close"])
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            try channel.writeAndFlush(HTTPClientRequestPart.end(nil)).wait()
            try channel.closeFuture.wait()
        } catch {
            throw CommandFailure(.daemonUnreachable, "Cannot ask the daemon at '\(path)' for \(target): \(error).")
        }
        try answer.check(target, at: path)
    }

    /// What is wrong, and what to do.
    private static func reason(_ error: any Error) -> String {
        let code = (error as? IOError)?.errnoCode ?? 0
        switch code {
        case ENOENT:
            return "there is no such socket. Is it running (systemctl status fastvlmd), and is [socket] configured? "
                + "Another place is named with --socket"
        case ECONNREFUSED: return "nobody listens there. Start it: systemctl start fastvlmd"
        case EACCES: return "this user may not. Become a member of its group: usermod -aG fastvlmd USER"
        default: return "\(error)"
        }
    }
}

/// What came of a question.
private final class Answer: Sendable {
    private struct State {
        var status: HTTPResponseStatus?
        var problem: [UInt8] = []
        var isWhole = false
        /// Whoever asked has heard enough.
        var isEnough = false
        var error: String?
    }

    private let state = Mutex(State())

    var isGood: Bool { state.withLock { $0.status.map { (200..<300).contains($0.code) } ?? false } }

    func head(_ status: HTTPResponseStatus) { state.withLock { $0.status = status } }
    func problem(_ piece: [UInt8]) { state.withLock { if $0.problem.count < 65_536 { $0.problem += piece } } }
    func end() { state.withLock { $0.isWhole = true } }
    func enough() { state.withLock { $0.isEnough = true } }
    func fail(_ error: any Error) { state.withLock { $0.error = $0.error ?? "\(error)" } }

    func check(_ target: String, at path: String) throws(CommandFailure) {
        let state = state.withLock { $0 }
        let question = "Cannot ask the daemon at '\(path)' for \(target): "
        guard let status = state.status else {
            throw CommandFailure(
                .daemonUnreachable, question + (state.error ?? "it ended the connection without an answer") + ".")
        }
        guard (200..<300).contains(status.code) else {
            let text = String(decoding: state.problem.prefix(2000), as: UTF8.self)
            throw CommandFailure(.daemonUnreachable, question + "\(status.code) \(status.reasonPhrase). \(text)")
        }
        guard state.isWhole || state.isEnough else {
            throw CommandFailure(
                .daemonUnreachable, "The daemon at '\(path)' ended the connection in the middle of its answer.")
        }
    }
}

private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let answer: Answer
    private let take: @Sendable ([UInt8]) -> Bool

    init(_ answer: Answer, _ take: @escaping @Sendable ([UInt8]) -> Bool) {
        self.answer = answer
        self.take = take
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): answer.head(head.status)
        case .body(let buffer):
            let piece = Array(buffer.readableBytesView)
            if !answer.isGood {
                answer.problem(piece)
            } else if !take(piece) {
                answer.enough()
                context.close(promise: nil)
            }
        case .end:
            answer.end()
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.fail(error)
        context.close(promise: nil)
    }
}
