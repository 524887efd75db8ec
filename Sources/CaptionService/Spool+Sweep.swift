internal import Dispatch
internal import FastVLM
internal import FoundationEssentials
internal import Glibc
public import ServiceLifecycle
internal import Sidecars

extension Spool {
    /// What lies in the spool.
    struct Holding: Sendable {
        var bytes = 0
        var frames = 0
        /// When it was looked at.
        let since = ContinuousClock.now

        mutating func add(_ count: Int) {
            bytes += count
            frames += 1
        }

        func takes(_ count: Int, _ limits: Limits) -> Bool {
            frames < limits.frames && count <= limits.bytes - bytes
        }
    }

    /// How long something that belongs to no picture is left alone: its picture may be on its way.
    private static let grace = 3600

    /// Looks at all there is, and removes finished frames that are old, with all that belongs to them, results and questions
    /// whose picture is gone, and folders of sources that are empty.
    func tidy(now: Int) -> Holding {
        var holding = Holding()
        for source in Self.names(in: path) where Self.isSourceName(source) {
            let folder = "\(path)/\(source)"
            guard let status = Self.status(of: folder), status.st_mode & S_IFMT == S_IFDIR else { continue }
            let names = Set(Self.names(in: folder))
            if names.isEmpty, Self.isOlder(status, than: Self.grace, now) { rmdir(folder) }
            tidy(folder, names, now, &holding)
        }
        return holding
    }

    private func tidy(_ folder: String, _ names: Set<String>, _ now: Int, _ holding: inout Holding) {
        let keeps = Int(limits.keepsFinished.components.seconds)
        for name in names {
            guard let status = Self.status(of: "\(folder)/\(name)"), status.st_mode & S_IFMT == S_IFREG else {
                continue
            }
            let result = name + SidecarName.suffix
            if let picture = Self.picture(of: name) {
                if !names.contains(picture), Self.isOlder(status, than: Self.grace, now) {
                    unlink("\(folder)/\(name)")
                } else {
                    holding.bytes += status.st_size
                }
            } else if names.contains(result), let finished = Self.status(of: "\(folder)/\(result)"),
                Self.isOlder(finished, than: keeps, now)
            {
                // The picture first: without its result it would be read again.
                unlink("\(folder)/\(name)")
                unlink("\(folder)/\(result)")
                unlink("\(folder)/\(String(decoding: Self.noteName(of: Array(name.utf8)), as: UTF8.self))")
            } else {
                holding.bytes += status.st_size
                if !name.hasPrefix(".") { holding.frames += 1 }
            }
        }
    }

    /// The picture that a result or a question of this name belongs to; nil for any other name.
    private static func picture(of name: String) -> String? {
        if SidecarName.isSidecar(Array(name.utf8)) { return String(name.dropLast(SidecarName.suffix.count)) }
        let ending = ".request.json"
        return name.hasPrefix(".") && name.hasSuffix(ending) ? String(name.dropFirst().dropLast(ending.count)) : nil
    }

    private static func names(in folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }

    private static func status(of path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    private static func isOlder(_ status: stat, than seconds: Int, _ now: Int) -> Bool {
        now - status.st_mtim.tv_sec > seconds
    }
}

/// Sweeps a spool from time to time.
public struct SpoolSweepService: Service {
    private let spool: Spool
    private let interval: Duration

    /// - Parameter interval: Between two sweeps. The default is ten minutes.
    public init(_ spool: Spool, interval: Duration = .seconds(600)) {
        self.spool = spool
        self.interval = interval
    }

    public func run() async throws {
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            // The disk may take its time: not on a thread that others wait for.
            await withCheckedContinuation { continuation in
                Self.queue.async {
                    spool.sweep()
                    continuation.resume()
                }
            }
            try? await cancelWhenGracefulShutdown { [interval] in try await Task.sleep(for: interval) }
        }
    }

    private static let queue = DispatchQueue(label: "spool sweep")
}

extension DaemonConfiguration.Socket {
    /// What its spool may hold.
    public var spoolLimits: Spool.Limits {
        var limits = Spool.Limits()
        limits.bytes = spoolMegabytes * 1_000_000
        limits.frames = spoolFrames
        limits.keepsFinished = .seconds(spoolHours * 3600)
        return limits
    }
}

extension PictureTasks.Question: Codable {
    private enum CodingKeys: String, CodingKey {
        case id, question, type, options
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            id: try values.decode(String.self, forKey: .id), text: try values.decode(String.self, forKey: .question),
            type: try AnswerType(
                word: try values.decode(String.self, forKey: .type),
                options: try values.decodeIfPresent([String].self, forKey: .options) ?? []))
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(id, forKey: .id)
        try values.encode(text, forKey: .question)
        try values.encode(type.word, forKey: .type)
        if case .choice(let options) = type { try values.encode(options, forKey: .options) }
    }
}
