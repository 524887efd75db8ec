import CaptionService
import FrameSources
import Glibc
import Logging
import ServiceLifecycle
import UnixSignals

/// The daemon's folder service with an engine that only pretends: for tests that kill it thousands of times.
///
///     StubDaemon FOLDER [--state DIR] [--latency-ms 2] [--log FILE] [--sidecars DIR]
///                [--quiet-ms 20] [--recheck-ms 40] [--give-up-ms 60000] [--scan-ms 300000] [--poll-ms 5000]
///                [--queue 1024]
///
/// Its engine says the beginning of the file as its caption. A file that holds the word CRASH aborts the process, HANG never
/// ends, and CRASH-ONCE or HANG-ONCE do so until a file `tried` lies in the state directory. SIGTERM ends it in an orderly
/// way; then it prints its counters.
@main enum StubDaemon {
    static func main() async throws {
        let arguments = Arguments(CommandLine.arguments.dropFirst())
        guard let folder = arguments.folder else {
            print("usage: StubDaemon FOLDER [--state DIR] [--latency-ms N] [--log FILE] …")
            exit(2)
        }
        var logger = Logger(label: "stub") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .info
        var configuration = DaemonConfiguration(
            model: .init(path: "/unused"), watches: [DaemonConfiguration.Watch(path: folder, name: "gate")])
        configuration.sidecars.directory = arguments.text("sidecars")
        configuration.watches[0].tasks.resolution = 256
        let rules = Settler.Rules(
            quiet: .milliseconds(arguments.number("quiet-ms", 20)),
            recheck: .milliseconds(arguments.number("recheck-ms", 40)),
            giveUp: .milliseconds(arguments.number("give-up-ms", 60_000)))
        let options = FolderSourceOptions(
            rules: rules, queueCapacity: arguments.number("queue", 1024),
            scanInterval: .milliseconds(arguments.number("scan-ms", 300_000)),
            pollInterval: .milliseconds(arguments.number("poll-ms", 5000)))
        let service = try FolderCaptionService(
            configuration,
            engine: PretendingEngine(
                latency: .milliseconds(arguments.number("latency-ms", 2)), log: arguments.text("log"),
                state: arguments.text("state")),
            journal: arguments.text("state").map { InFlightJournal(directory: $0, logger: logger) },
            options: options, logger: logger)
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: service)], gracefulShutdownSignals: [.sigterm], logger: logger))
        try await group.run()
        let counters = service.counters
        print(
            "received \(counters.received) done \(counters.done) superseded \(counters.superseded) "
                + "vanished \(counters.vanished) put_back \(counters.putBack) spilled \(counters.spilled) "
                + "waiting \(counters.waiting) in_work \(counters.inWork) overflows \(counters.overflows) "
                + "scans \(counters.scans) watches \(counters.watches)")
    }
}

/// `FOLDER --name value …`
private struct Arguments {
    private(set) var folder: String?
    private var values: [String: String] = [:]

    init(_ arguments: some Sequence<String>) {
        var rest = Array(arguments)[...]
        while let word = rest.popFirst() {
            if word.hasPrefix("--") {
                values[String(word.dropFirst(2))] = rest.popFirst()
            } else {
                folder = word
            }
        }
    }

    func text(_ name: String) -> String? { values[name] }
    func number(_ name: String, _ standard: Int) -> Int { values[name].flatMap { Int($0) } ?? standard }
}
