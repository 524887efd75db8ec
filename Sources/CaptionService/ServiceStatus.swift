internal import FoundationEssentials
public import Sidecars

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
    public var model: SidecarDocument.Model
    public var kernels: String
    public var folders: [Folder]
    /// Frames that wait, of all folders.
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

    enum CodingKeys: String, CodingKey {
        case schema, generator, state, started, model, kernels, folders, queue, budget, configuration, degraded,
            throttled
        case oldestPending = "oldest_pending_s"
        case lastResult = "last_result"
        case memory = "rss_mb"
        case temperature = "temperature_c"
    }

    /// Below this share of their highest frequency the cores count as slowed down.
    static let throttledBelow = 0.98

    /// How many frames ended with `outcome`, in all folders.
    public func count(_ outcome: String) -> Int { folders.reduce(0) { $0 + ($1.outcomes[outcome] ?? 0) } }

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
        var text = "Watching \(watched) folder\(watched == 1 ? "" : "s"): " + parts.joined(separator: ", ")
        if !allDegraded.isEmpty { text += "; degraded: " + allDegraded.joined(separator: ", ") }
        if let problem = configuration.problem { text += "; configuration not used: " + problem }
        return text
    }
}

extension ServiceStatus {
    /// On one line.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    /// Reads what `json` writes.
    public init(json: [UInt8]) throws {
        self = try JSONDecoder().decode(Self.self, from: Data(json))
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
