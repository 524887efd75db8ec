internal import CaptionService
internal import HTTPTypes
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// What there is to ask for.
struct Routes: Sendable {
    let configuration: SocketAPI.Configuration
    let answerer: FrameAnswerer
    let results: ResultFeed
    let spool: Spool?
    let bodies: BodyBudget
    let connections: ConnectionLedger
    let isReady: @Sendable () -> Bool
    let statusText: @Sendable (ServiceStatus.Socket) -> String
    let metricsText: @Sendable (ServiceStatus.Socket) -> String
    let logger: Logger
    /// Streams that are open: at the end each is told.
    let ending = Ending()
    let sources = SourceNumbers()

    /// What may be done at a path.
    private enum Resource {
        case frames, stream(String), chat, results, models, status, health, readiness, metrics

        init?(path: String) {
            switch path {
            case "/v1/frames": self = .frames
            case "/v1/chat/completions": self = .chat
            case "/v1/results": self = .results
            case "/v1/models": self = .models
            case "/v1/status": self = .status
            case "/healthz": self = .health
            case "/readyz": self = .readiness
            case "/metrics": self = .metrics
            default:
                guard path.hasPrefix(Routes.streams) else { return nil }
                self = .stream(String(path.dropFirst(Routes.streams.count)))
            }
        }

        var takesBody: Bool {
            switch self {
            case .frames, .stream, .chat: true
            default: false
            }
        }
    }

    private static let streams = "/v1/streams/"

    /// Whether the body of a request for `target` may take any time.
    static func isStream(target: String) -> Bool { target.hasPrefix(streams) }

    /// Tells streams and listeners that it is over.
    func end() {
        ending.end()
        results.close()
    }

    /// Answers one request.
    func respond(
        to request: Request, _ writer: consuming ResponseWriter, on channel: any Channel, _ connection: Connection
    ) async throws {
        defer { connection.answered() }
        var response: Response
        var mustClose = false
        do throws(Problem) {
            let resource = try resource(of: request)
            if case .stream = resource {} else { try checkLength(request) }
            if request.headers[.expect]?.lowercased() == "100-continue" {
                do {
                    try await writer.writeInformationalHead(HTTPResponse(status: .continue))
                } catch {
                    throw Problem(.bodyIncomplete)
                }
            }
            response = try await untilTheClientGoes(connection) { () throws(Problem) in
                try await answer(request, resource, connection)
            }
        } catch {
            mustClose = error.code.closesConnection
            response = Response(problem: error)
            logger.debug("Answered with a problem", metadata: ["code": "\(error.code.rawValue)"])
        }
        mustClose = mustClose || connection.isBodyUnread
        if mustClose { response.headers[.connection] = "close" }
        if request.method == .head {
            let headers = response.headers
            try await writer.writeResponse(HTTPResponse(status: response.status, headerFields: headers))
        } else {
            try await writer.write(response: response.head, body: response.body)
        }
        if mustClose { try await channel.triggerUserOutboundEvent(EndConnection()) }
    }

    private func resource(of request: Request) throws(Problem) -> Resource {
        guard let resource = Resource(path: request.uri.path) else { throw Problem(.notFound) }
        let allowed: [HTTPRequest.Method] = resource.takesBody ? [.post] : [.get, .head]
        var isAllowed = allowed.contains(request.method)
        // `curl -T` sends PUT.
        if case .stream = resource, request.method == .put { isAllowed = true }
        if case .frames = resource, request.method == .put { isAllowed = true }
        // There is no end to what its head would be of.
        if case .results = resource, request.method == .head { isAllowed = false }
        guard isAllowed else {
            throw Problem(.methodNotAllowed, allow: allowed.map(\.rawValue).joined(separator: ", "))
        }
        return resource
    }

    private func checkLength(_ request: Request) throws(Problem) {
        if let length = request.headers[.contentLength].flatMap(Int.init), length > configuration.limits.body {
            throw Problem(.bodyTooLarge, "At most \(configuration.limits.body) bytes are allowed.")
        }
    }

    private func answer(_ request: Request, _ resource: Resource, _ connection: Connection) async throws(Problem)
        -> Response
    {
        switch resource {
        case .frames: try await takeFrame(request)
        case .stream(let source): try await takeStream(request, source)
        case .chat: try await completeChat(request, connection)
        case .results: try sendResults(request, connection)
        case .models: models()
        case .status: Response(json: Array(statusText(usage).utf8) + [10])
        case .health: Response(text: "ok\n")
        case .readiness:
            if isReady() { Response(text: "ready\n") } else { throw Problem(.notReady) }
        case .metrics:
            Response(text: metricsText(usage), type: "text/plain; version=0.0.4; charset=utf-8")
        }
    }

    /// Runs `work`, and cancels it when the client is gone.
    private func untilTheClientGoes(
        _ connection: Connection, _ work: @escaping @Sendable () async throws(Problem) -> Response
    ) async throws(Problem) -> Response {
        let task = Task { () -> Result<Response, Problem> in
            do throws(Problem) {
                return .success(try await work())
            } catch {
                return .failure(error)
            }
        }
        let id = connection.onClose { task.cancel() }
        defer { connection.forget(id) }
        let result = await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        return try result.get()
    }
}

/// Told once that it is over, whoever asks.
final class Ending: Sendable {
    private let state = Mutex((isOver: false, works: [Int: @Sendable () -> Void](), last: 0))

    func end() {
        let works = state.withLock { state in
            state.isOver = true
            defer { state.works = [:] }
            return Array(state.works.values)
        }
        for work in works { work() }
    }

    /// Calls `work` at the end, at once if it is over already.
    func onEnd(_ work: @escaping @Sendable () -> Void) -> Int {
        let (id, isOver) = state.withLock { state in
            state.last += 1
            if !state.isOver { state.works[state.last] = work }
            return (state.last, state.isOver)
        }
        if isOver { work() }
        return id
    }

    func forget(_ id: Int) { state.withLock { $0.works[id] = nil } }
}

/// Small numbers for sources, for the planner; later ones share the last.
final class SourceNumbers: Sendable {
    private let numbers = Mutex<[String: Int]>([:])
    /// Watched folders have the numbers below.
    private static let first = 1000
    private static let limit = 64

    subscript(_ source: String) -> Int {
        numbers.withLock { numbers in
            if let number = numbers[source] { return number }
            guard numbers.count < Self.limit else { return Self.first + Self.limit }
            numbers[source] = Self.first + numbers.count
            return Self.first + numbers.count - 1
        }
    }
}

extension Response {
    init(problem: Problem) {
        self.init(
            status: problem.code.status, headers: problem.headers,
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: problem.json)))
    }

    init(text: String, type: String = "text/plain; charset=utf-8") {
        self.init(
            status: .ok, headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    init(_ status: HTTPResponse.Status = .ok, json: [UInt8]) {
        self.init(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json)))
    }
}
