import CaptionService
import FoundationEssentials
import FrameSources
import Logging
import ServiceManager
import Sidecars

/// A daemon with a stub engine and a configuration file of its own, run in this process.
struct RunningDaemon {
    let daemon: Daemon
    let file: String
    private var results: AsyncStream<CommittedResult>.AsyncIterator

    fileprivate init(_ daemon: Daemon, _ file: String, _ results: AsyncStream<CommittedResult>) {
        self.daemon = daemon
        self.file = file
        self.results = results.makeAsyncIterator()
    }

    /// The next `count` results.
    mutating func next(_ count: Int) async -> [CommittedResult] {
        var taken: [CommittedResult] = []
        while taken.count < count, let result = await results.next() { taken.append(result) }
        return taken
    }

    /// Waits until nothing is pending: a result is told of just before its frame counts as ended.
    func settled() async {
        while daemon.frames.contains(where: { $0.pending.values.reduce(0, +) > 0 }) {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    func write(_ watches: String) throws { try writeConfiguration(watches, to: file) }
}

/// A configuration of these `[[watch]]` tables, and of a model where they bring none.
private func writeConfiguration(_ watches: String, to file: String) throws {
    let model = watches.contains("[[model]]") ? "" : "[model]\npath = \"/unused\"\n"
    try Data("\(model)\(watches)\n".utf8).write(to: URL(filePath: file), options: .atomic)
}

/// Runs a daemon on `watches` for as long as `body` takes, then shuts it down gracefully.
func withDaemon(
    _ watches: String, engine: StubEngine = .echo, heartbeat: Heartbeat = Heartbeat(), notifier: ServiceNotifier? = nil,
    _ body: (inout RunningDaemon) async throws -> Void
) async throws {
    try await withDaemon(
        watches, models: { ModelShelf(engine, models: $0.models) }, heartbeat: heartbeat, notifier: notifier, body)
}

/// Runs a daemon on `watches` with the models of `models` for as long as `body` takes, then shuts it down gracefully.
func withDaemon(
    _ watches: String, models: (DaemonConfiguration) async throws -> ModelShelf, heartbeat: Heartbeat = Heartbeat(),
    notifier: ServiceNotifier? = nil, _ body: (inout RunningDaemon) async throws -> Void
) async throws {
    let place = try ScratchFolder()
    let file = place.path + "/fastvlmd.toml"
    try writeConfiguration(watches, to: file)
    let (stream, continuation) = AsyncStream.makeStream(of: CommittedResult.self)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let configuration = try DaemonConfiguration(file: file)
    let daemon = try Daemon(
        configuration, models: try await models(configuration), heartbeat: heartbeat,
        options: FolderSourceOptions(rules: .init(quiet: .milliseconds(20), recheck: .milliseconds(40))),
        place: Daemon.Place(file: file, notifier: notifier), logger: logger, onCommit: { continuation.yield($0) })
    var running = RunningDaemon(daemon, file, stream)
    try await whileRunning({ try await daemon.run() }) { try await body(&running) }
}
