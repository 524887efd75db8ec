internal import FoundationEssentials
public import Sidecars
internal import UntrustedJSON

/// How the daemon is, for people and programs: the contract `fastvlm.status/1`. Readers ignore keys they do not know.
public struct ServiceStatus: Sendable, Equatable, Codable {
    public static let schema = "fastvlm.status/1"

    public struct Folder: Sendable, Equatable, Codable {
        public var name: String
        /// Empty for one that is no longer watched and only counted.
        public var path: String
        /// `durable` or `live`.
        public var mode: String
        public var received: Int
        /// By name: `ok`, `refused`, `expired`, `unplaced`, `superseded`, `vanished`, `put_back`, `spilled`, `dropped`.
        public var outcomes: [String: Int]
        public var waiting: Int
        public var inWork: Int
        public var settling: Int
        public var watches: Int
        public var overflows: Int
        public var scans: Int
        public var polls: Int
        public var degraded: [String]

        /// As the results' `origin`.
        var origin: String { "watch:\(name)" }

        enum CodingKeys: String, CodingKey {
            case name, path, mode, received, outcomes, waiting, settling, watches, overflows, scans, polls, degraded
            case inWork = "in_work"
        }
    }

    /// Frames that came over the socket, by where they came from.
    public struct Source: Sendable, Equatable, Codable {
        /// As the results' `origin`, such as `socket:gate`.
        public var source: String
        public var received: Int
        /// By name: `ok`, `refused`, `expired`, `dropped`, `superseded`, `vanished`.
        public var outcomes: [String: Int]
        /// By state: `waiting`, `in_work`.
        public var pending: [String: Int]

        init(_ frames: SourceFrames) {
            (source, received) = (frames.source, frames.received)
            (outcomes, pending) = (frames.outcomes, frames.pending)
        }
    }

    /// Who uses the socket.
    public struct Socket: Sendable, Equatable, Codable {
        public var connections: Int
        /// Connections that were turned away so far.
        public var refused: Int
        /// Those who listen to results.
        public var listeners: Int
        /// Bytes of bodies that are in memory.
        public var bodyBytes: Int

        public init(connections: Int, refused: Int, listeners: Int, bodyBytes: Int) {
            self.connections = connections
            self.refused = refused
            self.listeners = listeners
            self.bodyBytes = bodyBytes
        }

        /// On one line.
        public var json: String { ServiceStatus.json(of: self) }

        enum CodingKeys: String, CodingKey {
            case connections, refused, listeners
            case bodyBytes = "body_bytes"
        }
    }

    /// One of the models that may be asked for.
    public struct Model: Sendable, Equatable, Codable {
        /// What it is called in requests.
        public var id: String
        public var name: String
        public var digest: String
        public var precision: String
        /// `loaded`, `loading`, `unloaded`, or `unavailable`: it could not be loaded, and is tried again.
        public var state: String
        /// Times that it was loaded, and that it could not be.
        public var loads: Int
        public var failures: Int
        /// What loading it took last; nil before the first time.
        public var loadSeconds: Double?

        enum CodingKeys: String, CodingKey {
            case id, name, digest, precision, state, loads, failures
            case loadSeconds = "load_s"
        }

        init(_ standing: ModelShelf.Standing) {
            let facts = standing.card.facts
            (id, name, digest, precision) = (standing.id, facts.name, facts.digest, facts.precision)
            (state, loads, failures) = (standing.phase.rawValue, standing.loads, standing.failures)
            loadSeconds = standing.loadTime.map { $0.milliseconds.rounded() / 1000 }
        }

        /// Whether it is in memory, or about to be.
        var isThere: Bool { state == "loaded" || state == "loading" }
    }

    public struct LastResult: Sendable, Equatable, Codable {
        public var origin: String?
        public var file: String?
        /// `ok`, `refused` or `expired`.
        public var status: String
        public var at: Timestamp
        public var totalMilliseconds: Double?

        enum CodingKeys: String, CodingKey {
            case origin, file, status, at
            case totalMilliseconds = "total_ms"
        }

        init(_ document: SidecarDocument) {
            origin = document.source.origin
            file = document.source.file.map { String(decoding: $0, as: UTF8.self) }
            status = document.status.name
            at = document.created
            totalMilliseconds = document.timings?.total?.value
        }
    }

    public struct Configuration: Sendable, Equatable, Codable {
        /// Nil where the daemon was told by options.
        public var file: String?
        public var reloads: Int
        /// Why the file as it is now is not used; nil where it is.
        public var problem: String?
    }

    public struct Budget: Sendable, Equatable, Codable {
        public var met: Int
        public var missed: Int
    }

    public var schema = Self.schema
    public var generator = Product.generator
    /// `starting`, `watching`, `reloading` or `stopping`.
    public var state: String
    public var started: Timestamp
    /// The one that answers where no other is asked for.
    public var model: SidecarDocument.Model
    /// All of them, the default first; nil in a status of a version without.
    public var models: [Model]?
    public var kernels: String
    public var folders: [Folder]
    /// Nil in a status of a version without.
    public var sources: [Source]?
    /// Nil where it is not the socket that tells.
    public var socket: Socket?
    /// Frames that wait, of all folders and sources.
    public var queue: Int
    /// Seconds; nil where no frame is pending.
    public var oldestPending: Double?
    public var budget: Budget
    public var lastResult: LastResult?
    public var configuration: Configuration
    /// What does not work as it should, besides the folders' own.
    public var degraded: [String]
    /// MiB.
    public var memory: Int?
    /// Degrees Celsius.
    public var temperature: Double?
    public var throttled: Bool?

    /// - Parameter models: All, the default first.
    init(
        state: String, started: Timestamp, models: [Model], kernels: String, folders: [Folder], sources: [Source],
        queue: Int, oldestPending: Double?, budget: Budget, lastResult: LastResult?, configuration: Configuration,
        degraded: [String]
    ) {
        self.state = state
        self.started = started
        let first = models.first
        model = SidecarDocument.Model(
            name: first?.name ?? "", digest: first?.digest ?? "", precision: first?.precision ?? "")
        self.models = models
        self.kernels = kernels
        self.folders = folders
        self.sources = sources
        self.queue = queue
        self.oldestPending = oldestPending
        self.budget = budget
        self.lastResult = lastResult
        self.configuration = configuration
        self.degraded = degraded
    }

    enum CodingKeys: String, CodingKey {
        case schema, generator, state, started, model, models, kernels, folders, sources, socket, queue, budget,
            configuration,
            degraded,
            throttled
        case oldestPending = "oldest_pending_s"
        case lastResult = "last_result"
        case memory = "rss_mb"
        case temperature = "temperature_c"
    }

    /// Below this share of their highest frequency the cores count as slowed down.
    static let throttledBelow = 0.98

    /// How many frames ended with `outcome`, of all folders and sources.
    public func count(_ outcome: String) -> Int {
        (folders.map(\.outcomes) + (sources ?? []).map(\.outcomes)).reduce(0) { $0 + ($1[outcome] ?? 0) }
    }

    /// What does not work as it should, anywhere, each reason once.
    public var allDegraded: [String] { Set(degraded + folders.flatMap(\.degraded)).sorted() }

    /// In a few words.
    public var summary: String {
        var parts = ["\(count("ok")) done"]
        for outcome in ["refused", "expired", "dropped"] where count(outcome) > 0 {
            parts.append("\(count(outcome)) \(outcome)")
        }
        parts.append("\(queue) waiting")
        let watched = folders.count { !$0.path.isEmpty }
        var text = ""
        if let models, !models.contains(where: \.isThere) { text = "Idle, model unloaded. " }
        text += "Watching \(watched) folder\(watched == 1 ? "" : "s"): " + parts.joined(separator: ", ")
        if !allDegraded.isEmpty { text += "; degraded: " + allDegraded.joined(separator: ", ") }
        if let problem = configuration.problem { text += "; configuration not used: " + problem }
        return text
    }
}

extension ServiceStatus {
    /// On one line.
    public var json: String { Self.json(of: self) }

    fileprivate static func json(of value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    /// Reads what `json` writes.
    public init(json: [UInt8]) throws {
        self = try JSONDecoder().decode(Self.self, fromUntrusted: json)
    }
}

extension SidecarDocument.Status {
    /// As the sidecar writes it.
    var name: String {
        switch self {
        case .ok: "ok"
        case .refused: "refused"
        case .expired: "expired"
        }
    }
}
