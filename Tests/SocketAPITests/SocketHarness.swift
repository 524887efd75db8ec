import CaptionService
import FastVLM
import Foundation
import LatencyBudget
import Logging
import ServiceLifecycleTestKit
import SocketAPI
import Synchronization
import Testing

/// An engine of set latency that says what the picture's size is.
struct StubEngine: PictureEngine {
    var model = ModelFacts(name: "stub", digest: "sha256:" + String(repeating: "0", count: 64), precision: "f32")
    let ladder: Ladder
    let defaultResolution = 512
    var latency = Duration.zero
    var failure: EngineError?
    var words = ["One", " two", " three."]
    let asked = Asked()

    init(latency: Duration = .zero, failure: EngineError? = nil) throws {
        ladder = try .published(resolutions: [256, 512, 1024])
        self.latency = latency
        self.failure = failure
    }

    func textTokens(of tasks: PictureTasks) -> Int { 20 }

    func run(_ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?) async throws(EngineError) -> PictureReport {
        try await run(tasks, on: picture, plan: plan, onText: nil)
    }

    func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?, onText: (@Sendable (Int, String) -> Void)?
    ) async throws(EngineError) -> PictureReport {
        asked.add(tasks, picture)
        do { try await Task.sleep(for: latency) } catch {
            asked.cancelled()
            throw EngineError(.cancelled, "The caller gave up.")
        }
        if let failure { throw failure }
        for word in words { onText?(0, word) }
        let reply = PictureReport.Reply(
            text: words.joined(), finishReason: "stop", promptTokens: 40, generatedTokens: words.count)
        return PictureReport(
            width: 64, height: 48, caption: tasks.prompt.isEmpty ? nil : reply,
            answers: tasks.questions.map { Self.answer($0, reply) },
            resolution: tasks.resolution ?? plan?.resolution ?? defaultResolution, visualTokens: 64, timings: .init())
    }
}

extension StubEngine {
    /// An answer of the question's type, with a confidence.
    private static func answer(
        _ question: PictureTasks.Question, _ reply: PictureReport.Reply
    ) -> PictureReport.Reply {
        let value: AnswerValue
        switch question.type {
        case .text: return reply
        case .boolean: value = .boolean(true)
        case .integer: value = .integer(-42)
        case .number: value = .number(2.5)
        case .choice(let options): value = .choice(options[1])
        }
        return PictureReport.Reply(
            text: value.text, finishReason: "stop", promptTokens: 30, generatedTokens: 1, value: value, confidence: 0.75
        )
    }
}

/// Models that are called as their files and answer as the stub does; those in `missing` cannot be loaded.
struct StubModels: ModelSource {
    let engine: StubEngine
    var missing: Set<String> = []

    func card(of model: DaemonConfiguration.Model) -> ModelCard { ModelCard(named(model)) }

    func load(_ model: DaemonConfiguration.Model) throws(EngineError) -> any PictureEngine {
        if missing.contains(model.path) { throw EngineError(.model, "'\(model.path)' is gone.") }
        return named(model)
    }

    private func named(_ model: DaemonConfiguration.Model) -> StubEngine {
        var engine = engine
        engine.model = ModelFacts(name: model.path, digest: "sha256:\(model.path)", precision: "int8")
        return engine
    }
}

/// What an engine was asked.
final class Asked: Sendable {
    private let state = Mutex((tasks: [PictureTasks](), pictures: [[UInt8]](), cancellations: 0))

    func add(_ tasks: PictureTasks, _ picture: [UInt8]) {
        state.withLock {
            $0.tasks.append(tasks)
            $0.pictures.append(picture)
        }
    }
    func cancelled() { state.withLock { $0.cancellations += 1 } }
    var tasks: [PictureTasks] { state.withLock { $0.tasks } }
    var pictures: [[UInt8]] { state.withLock { $0.pictures } }
    var cancellations: Int { state.withLock { $0.cancellations } }
}

/// A folder of its own for a test.
final class ScratchFolder: Sendable {
    let path = FileManager.default.temporaryDirectory.path + "/api-" + UUID().uuidString.prefix(8)

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    var names: [String] { ((try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []).sorted() }
}

/// A running interface.
struct RunningAPI: Sendable {
    let path: String
    let folder: ScratchFolder
    let answerer: FrameAnswerer
    let results: ResultFeed
    let engine: StubEngine
    let end: @Sendable () -> Void

    /// Sends `request` in one piece and reads the answer.
    func exchange(_ request: [UInt8], halfClose: Bool = false) async throws -> Answer {
        try await RawClient(path).exchange([request], halfClose: halfClose)
    }

    func exchange(_ head: String, body: [UInt8] = [], halfClose: Bool = false) async throws -> Answer {
        try await exchange(Array(head.replacing("\n", with: "\r\n").utf8) + body, halfClose: halfClose)
    }

    func get(_ target: String, method: String = "GET") async throws -> Answer {
        try await exchange("\(method) \(target) HTTP/1.1\nHost: x\n\n")
    }

    func post(
        _ target: String, _ body: [UInt8], type: String? = "image/jpeg", more: String = "", method: String = "POST"
    ) async throws -> Answer {
        let type = type.map { "Content-Type: \($0)\n" } ?? ""
        return try await exchange(
            "\(method) \(target) HTTP/1.1\nHost: x\n\(type)\(more)Content-Length: \(body.count)\n\n", body: body)
    }

    func chat(_ json: String, type: String = "application/json") async throws -> Answer {
        try await post("/v1/chat/completions", Array(json.utf8), type: type)
    }
}

/// Serves a socket for as long as `body` takes, then ends it and waits for its end.
@discardableResult
func withAPI<Value: Sendable>(
    engine: StubEngine? = nil, models: [DaemonConfiguration.Model]? = nil, missing: Set<String> = [],
    desk: FrameDesk = FrameDesk(), feed: ResultFeed = ResultFeed(), hasSpool: Bool = false,
    spoolLimits: Spool.Limits = .init(),
    isReady: @escaping @Sendable () -> Bool = { true }, failingPlanner: Bool = false,
    configure: (inout SocketAPI.Configuration) -> Void = { _ in },
    _ body: @escaping @Sendable (RunningAPI) async throws -> Value
) async throws -> Value {
    let folder = try ScratchFolder()
    let engine = try engine ?? StubEngine()
    let path = folder.path + "/api.sock"
    var configuration = SocketAPI.Configuration(path: path)
    configure(&configuration)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let answerer: FrameAnswerer
    if let models {
        let shelf = ModelShelf(source: StubModels(engine: engine, missing: missing), logger: logger)
        try await shelf.replace(with: models)
        answerer = FrameAnswerer(models: shelf, desk: desk)
    } else {
        answerer = FrameAnswerer(
            engine: engine, desk: desk, planner: FramePlanner(ladder: engine.ladder, logger: logger))
    }
    let (listening, begin) = AsyncStream.makeStream(of: Void.self)
    let service = SocketAPI(
        configuration, answerer: answerer, results: feed,
        spool: hasSpool ? try Spool(path: folder.path + "/spool", limits: spoolLimits) : nil, isReady: isReady,
        metricsText: { _ in "fastvlm_up 1\n" }, logger: logger, onListening: { begin.yield() })
    return try await testGracefulShutdown { trigger in
        async let run: Void = {
            defer { begin.finish() }
            try await service.run()
        }()
        for await _ in listening { break }
        let api = RunningAPI(
            path: path, folder: folder, answerer: answerer, results: feed, engine: engine,
            end: { trigger.triggerGracefulShutdown() })
        let result: Result<Value, any Error>
        do { result = .success(try await body(api)) } catch { result = .failure(error) }
        trigger.triggerGracefulShutdown()
        try await run
        return try result.get()
    }
}

/// Waits until `condition` holds.
func eventually(
    _ what: String, within limit: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record("not within \(limit): \(what)", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}

enum Pictures {
    private static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    static let chinaPath = "\(root)/etc/photographs/china.jpg"
    static var china: [UInt8] { get throws { Array(try Data(contentsOf: URL(filePath: chinaPath))) } }
    static var flower: [UInt8] {
        get throws { Array(try Data(contentsOf: URL(filePath: "\(root)/etc/photographs/flower.jpg"))) }
    }

    /// Something that is walked through as a picture, of any size, with `mark` in it.
    static func small(_ mark: UInt8, scan: [UInt8] = [1, 2, 3]) -> [UInt8] {
        [0xFF, 0xD8, 0xFF, 0xE0, 0, 3, mark, 0xFF, 0xDA, 0, 3, 7] + scan + [0xFF, 0xD9]
    }
}
