import CaptionService
import FoundationEssentials
import FrameSources
import LatencyBudget
import Logging
import ServiceLifecycleTestKit
import Sidecars
import Synchronization
import Testing

/// An engine whose answers a test decides.
struct StubEngine: PictureEngine {
    var model = ModelFacts(name: "stub", digest: "sha256:" + String(repeating: "0", count: 64), precision: "f32")
    let ladder: Ladder
    let defaultResolution = 256
    let answer: @Sendable (PictureTasks, [UInt8], FramePlan?) async throws(EngineError) -> PictureReport

    init(_ answer: @escaping @Sendable (PictureTasks, [UInt8]) async throws(EngineError) -> PictureReport) {
        self.init(ladder: .nothing) { (tasks, bytes, _) throws(EngineError) in try await answer(tasks, bytes) }
    }

    /// An engine that is asked with plans for the sizes of `ladder`.
    init(
        ladder: Ladder,
        _ answer: @escaping @Sendable (PictureTasks, [UInt8], FramePlan?) async throws(EngineError) -> PictureReport
    ) {
        self.ladder = ladder
        self.answer = answer
    }

    /// Says what the file holds.
    static let echo = StubEngine { tasks, bytes in report(tasks, caption: Self.text(bytes)) }

    func textTokens(of tasks: PictureTasks) -> Int { 20 }

    func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?
    ) async throws(EngineError) -> PictureReport {
        try await answer(tasks, picture, plan)
    }

    /// The file's content without the end marker that every settled picture has.
    static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.dropLast(2), as: UTF8.self) }

    static func report(_ tasks: PictureTasks, caption: String) -> PictureReport {
        let reply = { (text: String) in
            PictureReport.Reply(text: text, finishReason: "stop", promptTokens: 10, generatedTokens: 3)
        }
        var timings = PictureReport.Timings()
        timings.vision = 12.34
        return PictureReport(
            width: 640, height: 480, caption: tasks.prompt.isEmpty ? nil : reply(caption),
            answers: tasks.questions.map { reply("answer to \($0.text)") }, resolution: 256, visualTokens: 16,
            timings: timings)
    }
}

extension Ladder {
    /// Nothing to choose from.
    static var nothing: Ladder {
        do {
            return try Ladder([])
        } catch {
            preconditionFailure(error.message)
        }
    }
}

/// A folder of its own for a test.
final class ScratchFolder: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "service-\(UUID().uuidString)").path

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Puts a file in place by a rename, as careful uploaders do, with a JPEG's end marker.
    func drop(_ text: String, _ name: String) throws {
        let place = URL(filePath: path).appending(path: name)
        try FileManager.default.createDirectory(
            at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(Array(text.utf8) + [0xff, 0xd9]).write(to: place, options: .atomic)
    }

    func document(_ picture: String, under folder: String? = nil) throws -> SidecarDocument {
        let data = try Data(contentsOf: URL(filePath: (folder ?? path) + "/" + picture + ".fastvlm.json"))
        return try SidecarDocument(json: Array(data))
    }

    func hasSidecar(_ picture: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(path)/\(picture).fastvlm.json")
    }

    var names: [String] { ((try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []).sorted() }
}

/// A running service whose results a test awaits.
struct RunningService {
    private var results: AsyncStream<CommittedResult>.AsyncIterator

    fileprivate init(_ results: AsyncStream<CommittedResult>) {
        self.results = results.makeAsyncIterator()
    }

    /// The next results, sorted by path.
    mutating func next(_ count: Int) async throws -> [CommittedResult] {
        var taken: [CommittedResult] = []
        while taken.count < count {
            taken.append(try #require(await results.next()))
        }
        return taken.sorted { $0.path < $1.path }
    }
}

/// Runs the service on `folder` for as long as `body` takes, then shuts it down gracefully and waits for its end.
func withService(
    on folder: ScratchFolder, engine: StubEngine = .echo, journal: InFlightJournal? = nil,
    memory: MemoryBudget = MemoryBudget(limit: 64 << 20), configure: (inout DaemonConfiguration) -> Void = { _ in },
    _ body: (inout RunningService) async throws -> Void
) async throws {
    var configuration = DaemonConfiguration(
        model: .init(path: "/unused"), watches: [DaemonConfiguration.Watch(path: folder.path, name: "gate")])
    configure(&configuration)
    let (stream, continuation) = AsyncStream.makeStream(of: CommittedResult.self)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let service = try FolderCaptionService(
        configuration, engine: engine, journal: journal, memory: memory,
        options: FolderSourceOptions(rules: .init(quiet: .milliseconds(20), recheck: .milliseconds(40))),
        requiresFolders: true, logger: logger, onCommit: { continuation.yield($0) })
    var running = RunningService(stream)
    try await whileRunning(service.run) { try await body(&running) }
}

/// Runs `service` for as long as `body` takes, then shuts it down gracefully and waits for its end.
func whileRunning(_ service: @escaping @Sendable () async throws -> Void, _ body: () async throws -> Void) async throws
{
    try await testGracefulShutdown { trigger in
        async let run: Void = service()
        do {
            try await body()
        } catch {
            trigger.triggerGracefulShutdown()
            try await run
            throw error
        }
        trigger.triggerGracefulShutdown()
        try await run
    }
}
