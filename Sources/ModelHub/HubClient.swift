internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// Asks one hub, over TLS that checks who answers.
struct HubClient: Sendable {
    private let client: HTTPClient
    let hub: HubAddress
    /// Sent to the hub itself and to nobody else.
    private let token: String?
    private let agent: String
    let pace: HubPace

    /// Most redirects of one request.
    private static let maximumRedirectCount = 8

    /// - Parameter trust: A file with the certificates to trust, PEM. Nil stands for the system's.
    init(_ hub: HubAddress, token: String?, agent: String, trust: String?, pace: HubPace) {
        var settings = HTTPClient.Configuration()
        var tls = TLSConfiguration.makeClientConfiguration()
        if let trust { tls.trustRoots = .file(trust) }
        tls.minimumTLSVersion = .tlsv12
        settings.tlsConfiguration = tls
        // Whom a request goes on to, and with what, is decided here.
        settings.redirectConfiguration = .disallow
        settings.decompression = .disabled
        settings.httpVersion = .http1Only
        settings.timeout = HTTPClient.Configuration.Timeout(
            connect: .milliseconds(pace.connectMilliseconds), read: .milliseconds(pace.readMilliseconds))
        settings.connectionPool.retryConnectionEstablishment = false
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        self.hub = hub
        self.token = token
        self.agent = agent
        self.pace = pace
    }

    func shutdown() async {
        try? await client.shutdown()
    }

    /// Asks for `address` and goes on where the reply sends it.
    ///
    /// - Parameter subject: What is asked for, as a person knows it.
    /// - Returns: A reply of status 200, 206 or 416, whose body has not been read.
    func attempt(
        _ address: HubAddress, of subject: String, headers: [(String, String)] = []
    ) async throws(AttemptFailure) -> HubReply {
        var address = address
        for _ in 0...Self.maximumRedirectCount {
            let response = try await send(address, subject, headers)
            guard [301, 302, 303, 307, 308].contains(response.status.code) else {
                return try checked(response, from: address, subject)
            }
            guard let location = response.headers.first(name: "location") else {
                throw .final(
                    .replyInvalid, "Cannot fetch \(subject): '\(address.host)' sends elsewhere without saying where.")
            }
            do {
                address = try address.following(location)
            } catch {
                throw AttemptFailure(error: error, mayPass: false)
            }
        }
        throw .final(
            .redirectRefused,
            "Cannot fetch \(subject): sent elsewhere more than \(Self.maximumRedirectCount) times.")
    }

    /// The whole body of a reply of at most `limit` bytes.
    func bytes(_ address: HubAddress, of subject: String, limit: Int) async throws(HubError) -> [UInt8] {
        try await pace.persist { () async throws(AttemptFailure) -> [UInt8] in
            let reply = try await attempt(address, of: subject)
            guard reply.status == 200 else {
                throw .final(.replyInvalid, "Cannot fetch \(subject): '\(hub.host)' replied \(reply.status).")
            }
            var bytes: [UInt8] = []
            try await reply.read { (piece) throws(AttemptFailure) in
                guard bytes.count + piece.count <= limit else {
                    throw .final(
                        .tooLarge, "Cannot fetch \(subject): it is longer than \(limit) bytes, which is all it may be.")
                }
                bytes.append(contentsOf: piece)
            }
            return bytes
        }
    }

    private func send(
        _ address: HubAddress, _ subject: String, _ headers: [(String, String)]
    ) async throws(AttemptFailure) -> HTTPClientResponse {
        var request = HTTPClientRequest(url: address.text)
        request.headers.add(name: "user-agent", value: agent)
        request.headers.add(name: "accept-encoding", value: "identity")
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let token, address.hasSameOrigin(as: hub) {
            request.headers.add(name: "authorization", value: "Bearer \(token)")
        }
        do {
            return try await client.execute(request, timeout: .milliseconds(pace.readMilliseconds))
        } catch {
            throw Self.failure(error, subject, address)
        }
    }

    private func checked(
        _ response: HTTPClientResponse, from address: HubAddress, _ subject: String
    ) throws(AttemptFailure) -> HubReply {
        let status = Int(response.status.code)
        let isHub = address.hasSameOrigin(as: hub)
        switch status {
        case 200, 206, 416: return HubReply(response, subject: subject, host: address.host)
        case 401, 403:
            // A signed address elsewhere expires; the hub gives a new one.
            guard isHub else {
                throw .passing(.busy, "Cannot fetch \(subject): '\(address.host)' refused it (\(status)).")
            }
            let advice =
                token == nil
                ? "Log in there, accept the licence on its page if it asks for that, and set HF_TOKEN to an access token."
                : "HF_TOKEN is set: is it valid there, and has its owner accepted the licence on the page?"
            throw .final(
                .loginNeeded,
                "Cannot fetch \(subject): '\(address.host)' wants to know who asks (\(status)). It is gated or private, or it "
                    + "does not exist. \(advice)")
        case 404, 410:
            throw .final(
                .notFound,
                "Cannot fetch \(subject): '\(address.host)' does not have it (\(status)). Check the name and --revision."
            )
        case 408, 425, 429, 500, 502, 503, 504:
            let pause = response.headers.first(name: "retry-after").flatMap { Int($0) }
            throw .passing(
                .busy, "Cannot fetch \(subject): '\(address.host)' is busy or broken (\(status)). Try again later.",
                pause: pause.map { .seconds(max(0, min($0, 1_000_000))) })
        default:
            throw .final(
                .replyInvalid, "Cannot fetch \(subject): '\(address.host)' replied \(status), expected 200.")
        }
    }

    /// `error`, which kept a reply from coming or from ending.
    fileprivate static func failure(_ error: any Error, _ subject: String, _ address: HubAddress) -> AttemptFailure {
        failure(error, subject, host: address.host)
    }

    static func failure(_ error: any Error, _ subject: String, host: String) -> AttemptFailure {
        if error is NIOSSLError || error is NIOSSLExtraError || error is BoringSSLError {
            return .final(
                .untrusted,
                "Cannot fetch \(subject): '\(host)' did not prove that it is '\(host)' (TLS). Is the clock right, are "
                    + "ca-certificates installed? SSL_CERT_FILE names a file of certificates to trust. Nothing was sent."
            )
        }
        if let error = error as? HTTPClientError {
            return .passing(
                .unreachable, "Cannot fetch \(subject): '\(host)': \(error.shortDescription). Check the network.")
        }
        if error is NIOConnectionError || error is ChannelError || error is IOError {
            return .passing(
                .unreachable, "Cannot fetch \(subject): there is no connection to '\(host)'. Check the network.")
        }
        return .passing(
            .unreachable, "Cannot fetch \(subject): the connection to '\(host)' broke (\(error)). Try again.")
    }
}

/// A reply's head, and its body as it comes.
struct HubReply: Sendable {
    private let response: HTTPClientResponse
    private let subject: String
    private let host: String

    init(_ response: HTTPClientResponse, subject: String, host: String) {
        self.response = response
        self.subject = subject
        self.host = host
    }

    var status: Int { Int(response.status.code) }

    /// Nil where the reply does not say it.
    var length: Int? { response.headers.first(name: "content-length").flatMap { Int($0) } }

    /// What tells this version of a file from another byte for byte; nil where there is no such thing.
    var strongTag: String? {
        guard let tag = response.headers.first(name: "etag"), tag.utf8.count <= 200, tag.hasPrefix("\""),
            tag.hasSuffix("\""), tag.utf8.count > 2
        else { return nil }
        return tag
    }

    /// Of a reply with a part of a file: where it starts, and how large the whole is if that is known.
    var part: (start: Int, whole: Int?)? {
        guard let text = response.headers.first(name: "content-range"),
            let match = text.wholeMatch(of: /bytes (\d{1,18})-\d{1,18}\/(\d{1,18}|\*)/), let start = Int(match.1)
        else { return nil }
        return (start, Int(match.2))
    }

    /// Gives each piece of the body to `use` as it comes; the next is asked for only then.
    func read(_ use: ([UInt8]) throws(AttemptFailure) -> Void) async throws(AttemptFailure) {
        var pieces = response.body.makeAsyncIterator()
        while true {
            let piece: ByteBuffer?
            do {
                piece = try await pieces.next()
            } catch {
                throw HubClient.failure(error, subject, host: host)
            }
            guard let piece else { return }
            try use(Array(piece.readableBytesView))
        }
    }
}
