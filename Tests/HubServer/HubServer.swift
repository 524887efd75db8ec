internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// A server on this machine that plays a hub, with answers that a test decides.
package final class HubServer: Sendable {
    package struct Request: Sendable {
        package let target: String
        /// By lowercase name.
        package let headers: [String: String]

        package init(target: String, headers: [String: String]) {
            self.target = target
            self.headers = headers
        }
    }

    package struct Reply: Sendable {
        package var status = 200
        package var headers: [String: String] = [:]
        package var body: [UInt8] = []
        /// Bytes of the body after which the connection is cut.
        package var cutAfter: Int?

        package init(_ status: Int = 200, headers: [String: String] = [:], body: [UInt8] = [], cutAfter: Int? = nil) {
            self.status = status
            self.headers = headers
            self.body = body
            self.cutAfter = cutAfter
        }

        package static func redirect(_ location: String, status: Int = 302) -> Reply {
            Reply(status, headers: ["location": location])
        }
    }

    /// A certificate and its key, PEM.
    package struct Identity: Sendable {
        let certificate: String
        let key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    private let listener: any Channel
    private let log: RequestLog
    private let isSecure: Bool

    /// Starts on a free port.
    ///
    /// - Parameter answer: Gives the reply to the n-th request for a target, counted from 0.
    package init(
        _ identity: Identity? = nil, answer: @escaping @Sendable (Request, Int) -> Reply
    ) async throws {
        isSecure = identity != nil
        let log = RequestLog()
        let tls = try identity.map { identity in
            try NIOSSLContext(
                configuration: .makeServerConfiguration(
                    certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
                    privateKey: .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem))))
        }
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls)) }
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Answering(log: log, answer: answer))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.log = log
    }

    deinit { listener.close(promise: nil) }

    package var port: Int { listener.localAddress?.port ?? 0 }

    package var address: String { "\(isSecure ? "https" : "http")://127.0.0.1:\(port)" }

    /// The same server, as another host.
    package var otherAddress: String { "http://localhost:\(port)" }

    /// The requests so far.
    package var requests: [Request] { log.all }

    /// Those for a target that ends with `suffix`.
    package func requests(for suffix: String) -> [Request] { requests.filter { $0.target.hasSuffix(suffix) } }
}

/// What was asked, in order.
private final class RequestLog: Sendable {
    private let requests = Mutex<[HubServer.Request]>([])

    var all: [HubServer.Request] { requests.withLock { $0 } }

    /// Notes a request; returns how many there were for the same target before.
    func note(_ request: HubServer.Request) -> Int {
        requests.withLock { requests in
            defer { requests.append(request) }
            return requests.count { $0.target == request.target }
        }
    }
}

private final class Answering: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let log: RequestLog
    private let answer: @Sendable (HubServer.Request, Int) -> HubServer.Reply
    private var head: HTTPRequestHead?

    init(log: RequestLog, answer: @escaping @Sendable (HubServer.Request, Int) -> HubServer.Reply) {
        self.log = log
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return }
            let headers = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }) { $0 + ", " + $1 }
            let request = HubServer.Request(target: head.uri, headers: headers)
            reply(answer(request, log.note(request)), context)
        }
    }

    private func reply(_ reply: HubServer.Reply, _ context: ChannelHandlerContext) {
        var headers = HTTPHeaders(reply.headers.map { ($0.key, $0.value) })
        if !headers.contains(name: "content-length"), !headers.contains(name: "transfer-encoding") {
            headers.add(name: "content-length", value: "\(reply.body.count)")
        }
        let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: reply.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        let body = reply.cutAfter.map { Array(reply.body.prefix($0)) } ?? reply.body
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        guard reply.cutAfter == nil else {
            let channel = context.channel
            context.flush()
            // What was written goes out before the end.
            context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer()))))
                .whenComplete { _ in channel.close(promise: nil) }
            return
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
