internal import NIOCore

/// Stands before the HTTP decoder: counts and checks every byte, keeps the times, and answers what is no request.
///
/// Runs on its channel's event loop alone.
final class RequestGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var scanner: RequestScanner
    private let limits: SocketAPI.Limits
    private let connection: Connection
    private let isStream: @Sendable (String) -> Bool
    /// Since when the present head is waited for, or the connection does nothing.
    private var waitsSince = NIODeadline.now()
    private var hasReadAnything = false
    private var bodySince = NIODeadline.now()
    private var bodyBytes = 0
    private var lastBytes = NIODeadline.now()
    private var readsStream = false
    private var isEnding = false
    private var clock: RepeatedTask?

    /// How long a client has to read the last answer.
    static let farewell = TimeAmount.seconds(2)

    /// - Parameter isStream: Whether a target's body may take any time.
    init(_ limits: SocketAPI.Limits, _ connection: Connection, isStream: @escaping @Sendable (String) -> Bool) {
        self.limits = limits
        self.connection = connection
        self.isStream = isStream
        scanner = RequestScanner(limits)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        waitsSince = .now()
        let step = min(Int64(1_000_000_000), TimeAmount(limits.header).nanoseconds / 4)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        clock = context.eventLoop.scheduleRepeatedTask(
            initialDelay: .nanoseconds(step), delay: .nanoseconds(max(step, 1_000_000))
        ) { _ in
            let (handler, context) = bound.value
            handler.lookAtTheClock(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { clock?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        clock?.cancel()
        connection.closed()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isEnding else { return }
        var input = unwrapInboundIn(data)
        var output = context.channel.allocator.buffer(capacity: input.readableBytes)
        let wasInsideHead = scanner.isInsideHead
        do throws(Problem) {
            defer { if output.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(output)) } }
            try scanner.scan(&input, into: &output) { take($0) }
        } catch {
            return fail(error, context)
        }
        if scanner.isInsideHead, !wasInsideHead { waitsSince = .now() }
        hasReadAnything = true
        lastBytes = .now()
    }

    private func take(_ event: RequestScanner.Event) {
        switch event {
        case .head(let head):
            connection.began()
            connection.isBodyUnread = head.hasBody
            (bodySince, bodyBytes) = (.now(), 0)
            readsStream = isStream(head.target)
        case .body(let bytes): bodyBytes += bytes
        case .end:
            connection.isBodyUnread = false
            waitsSince = .now()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            if isEnding { return context.close(promise: nil) }
            if scanner.isInsideBody {
                return fail(Problem(.bodyIncomplete), context)
            }
            if scanner.isInsideHead {
                return fail(Problem(.malformedRequest, "The head ended too early."), context)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is EndConnection else {
            return context.triggerUserOutboundEvent(event, promise: promise)
        }
        end(context)
        promise?.succeed()
    }

    /// Ends the request: an answer is written here if nobody else will write one.
    private func fail(_ problem: Problem, _ context: ChannelHandlerContext) {
        if scanner.isInsideBody || connection.isAnswering {
            // Whoever reads the body gets to know, answers and ends the connection.
            isEnding = true
            context.fireErrorCaught(problem)
            // The reader may be past the body: then nobody answers, and the time is up some time.
            expire(context)
        } else {
            respond(problem, context)
        }
    }

    /// Writes an answer of its own and ends the connection.
    private func respond(_ problem: Problem, _ context: ChannelHandlerContext) {
        context.writeAndFlush(
            wrapOutboundOut(context.channel.allocator.buffer(bytes: problem.rawResponse)), promise: nil)
        end(context)
    }

    /// What was written goes out, what comes is thrown away, and after a while it is over: closing at once would let the
    /// client see an error in place of the answer.
    private func end(_ context: ChannelHandlerContext) {
        isEnding = true
        context.close(mode: .output, promise: nil)
        expire(context)
        context.read()
    }

    private func expire(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.farewell) { bound.value.close(promise: nil) }
    }

    private func lookAtTheClock(_ context: ChannelHandlerContext) {
        guard !isEnding, context.channel.isActive else { return }
        let now = NIODeadline.now()
        if scanner.isInsideBody {
            if readsStream {
                if now - lastBytes > TimeAmount(limits.streamSilence) {
                    fail(Problem(.bodyTooSlow, "Nothing came for \(limits.streamSilence)."), context)
                }
            } else {
                let elapsed = Double((now - bodySince).nanoseconds - TimeAmount(limits.bodyGrace).nanoseconds) * 1e-9
                if elapsed > 0, Double(bodyBytes) < elapsed * Double(limits.bodyRate) {
                    fail(Problem(.bodyTooSlow, "Expected at least \(limits.bodyRate) bytes a second."), context)
                }
            }
        } else if connection.isAnswering {
            waitsSince = now
        } else if scanner.isInsideHead || !hasReadAnything {
            guard now - waitsSince > TimeAmount(limits.header) else { return }
            // Who has said nothing gets no answer.
            if scanner.isInsideHead {
                respond(Problem(.headerTimeout, "Expected within \(limits.header)."), context)
            } else {
                context.close(promise: nil)
            }
        } else if now - waitsSince > TimeAmount(limits.idle) {
            context.close(promise: nil)
        }
    }
}

@available(*, unavailable)
extension RequestGuard: Sendable {}
