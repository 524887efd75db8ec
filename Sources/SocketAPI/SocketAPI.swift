public import CaptionService
internal import HummingbirdCore
public import Logging
internal import NIOCore
internal import NIOPosix
public import ServiceLifecycle

/// The daemon's HTTP/1.1 interface over a Unix socket.
///
/// `curl --unix-socket` is a complete client. No request names a path, and nothing is ever fetched.
public struct SocketAPI: Service {
    let configuration: Configuration
    let routes: Routes
    private let connections: ConnectionLedger
    private let logger: Logger
    private let onListening: @Sendable () -> Void

    /// - Parameters:
    ///   - answerer: Answers the frames that come.
    ///   - results: Where every frame's result goes, and where listeners hear them.
    ///   - spool: Keeps frames that nobody waits for. The default, nil, takes none.
    ///   - isReady: What `/readyz` says. The default is yes.
    ///   - statusText: What `/v1/status` says, as JSON. The default is what the socket knows by itself.
    ///   - metricsText: What `/metrics` says, in Prometheus' text format. The default is nothing.
    ///   - onListening: Called when clients can connect.
    public init(
        _ configuration: Configuration, answerer: FrameAnswerer, results: ResultFeed, spool: Spool? = nil,
        isReady: @escaping @Sendable () -> Bool = { true },
        statusText: @escaping @Sendable (ServiceStatus.Socket) -> String = { $0.json },
        metricsText: @escaping @Sendable (ServiceStatus.Socket) -> String = { _ in "" }, logger: Logger,
        onListening: @escaping @Sendable () -> Void = {}
    ) {
        self.configuration = configuration
        connections = ConnectionLedger(configuration.limits)
        routes = Routes(
            configuration: configuration, answerer: answerer, results: results, spool: spool,
            bodies: BodyBudget(configuration.limits.bodies), connections: connections, isReady: isReady,
            statusText: statusText, metricsText: metricsText, logger: logger)
        self.logger = logger
        self.onListening = onListening
    }

    /// What came of a connection when it was accepted.
    private enum Accepted: Sendable {
        case refused
        case admitted(HTTP1Channel, HTTP1Channel.Value)
    }

    /// Serves until a graceful shutdown: then nobody is let in any more, streams and listeners end, and what is being
    /// answered is answered.
    ///
    /// - Throws: ``SocketAPIError``.
    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            try await serve(on: group)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try? await group.shutdownGracefully()
    }

    private func serve(on group: MultiThreadedEventLoopGroup) async throws {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        let server: NIOAsyncChannel<Accepted, Never>
        var place: ListeningSocket?
        switch configuration.place {
        case .path(let path):
            var socket = try await ListeningSocket(path: path)
            server = try await socket.bind(bootstrap) { accept($0) }
            place = socket
        case .descriptor(let descriptor):
            try ListeningSocket.checkListening(descriptor)
            server = try await bootstrap.bind(descriptor) { accept($0) }
        }
        defer { place?.remove() }
        logger.info("Listening", metadata: ["socket": "\(place?.path ?? "handed over")"])
        await withGracefulShutdownHandler {
            onListening()
            await withDiscardingTaskGroup { tasks in
                do {
                    try await server.executeThenClose { inbound in
                        for try await accepted in inbound {
                            guard case .admitted(let http, let channel) = accepted else { continue }
                            tasks.addTask { await http.handle(value: channel, logger: logger) }
                        }
                    }
                } catch {
                    logger.error("The socket failed: \(error)")
                }
            }
        } onGracefulShutdown: {
            let open = connections.close()
            server.channel.close(promise: nil)
            routes.end()
            for channel in open { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        }
    }

    /// Lets a connection in, or tells it why not and closes it.
    private func accept(_ channel: any Channel) -> EventLoopFuture<Accepted> {
        do {
            let pipeline = channel.pipeline.syncOperations
            // Unsafe: the channel's descriptor, which is open during the call; nothing else tells who is at the other end.
            let peer = try pipeline.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) {
                PeerCredentials(ofSocket: $0)
            }.flatMap { $0 }
            let problem: Problem?
            if let peer, peer.isAllowed(users: configuration.allowedUsers, groups: configuration.allowedGroups) {
                problem = connections.admit(channel, user: peer.user)
            } else {
                connections.countRefusal()
                problem = Problem(.forbidden)
            }
            guard let peer, problem == nil else {
                try pipeline.addHandler(RefusedConnection(problem ?? Problem(.forbidden)))
                return channel.eventLoop.makeSucceededFuture(.refused)
            }
            let user = peer.user
            let connection = Connection(peer: peer)
            channel.closeFuture.whenComplete { _ in connections.leave(channel, user: user) }
            try pipeline.addHandler(
                RequestGuard(configuration.limits, connection, isStream: { Routes.isStream(target: $0) }))
            let http = HTTP1Channel { request, writer, channel in
                try await routes.respond(to: request, writer, on: channel, connection)
            }
            return http.setup(channel: channel, logger: logger).map { Accepted.admitted(http, $0) }
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
    }
}

/// Tells a client why it is not let in; whatever it sends is thrown away.
private final class RefusedConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let problem: Problem

    init(_ problem: Problem) { self.problem = problem }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(
            wrapOutboundOut(context.channel.allocator.buffer(bytes: problem.rawResponse)), promise: nil)
        context.close(mode: .output, promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: RequestGuard.farewell) { bound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
