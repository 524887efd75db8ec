import CaptionService
import FastVLM
import FoundationEssentials
import FrameSources
import Glibc
import LatencyBudget
import Logging
import ModelFiles
import ServiceLifecycleTestKit
import Sidecars
import Synchronization
import Testing

/// Drops photographs into watched folders with eight budgets, from twice the lowest rung's time to twice the highest's,
/// and says how well they were kept. Not part of the tests: times differ from device to device.
///
///     FASTVLM_BUDGET_MODEL=model.fastvlm swift test -c release --filter BudgetsOnThisDevice
///
/// `FASTVLM_BUDGET_FRAMES` (200), `FASTVLM_BUDGET_SECONDS` (600), `FASTVLM_BUDGET_HOG` (1: two spinning threads for the
/// middle third), `FASTVLM_BUDGET_CALIBRATE` (seconds, 20), `FASTVLM_BUDGET_OUT` (a file of one JSON object a frame).
@Suite struct BudgetsOnThisDevice {
    static func setting(_ name: String) -> String? { getenv("FASTVLM_BUDGET_" + name).map { String(cString: $0) } }

    @Test(.enabled(if: setting("MODEL") != nil))
    func budgetsAreKept() async throws {
        let model = try FastVLMModel(path: try #require(Self.setting("MODEL")))
        let frames = Self.setting("FRAMES").flatMap { Int($0) } ?? 200
        let hasHog = Self.setting("HOG") == "1"
        let end = ContinuousClock.now + .seconds(Self.setting("SECONDS").flatMap { Int($0) } ?? 600)
        let scratch = try ScratchFolder()
        let photographs = try ["china", "flower"].map {
            try Data(contentsOf: URL(filePath: BudgetedModelTests.project + "/etc/photographs/\($0).jpg"))
        }
        let ladder = try Ladder(model.prepared.identity)
        let seconds = Self.setting("CALIBRATE").flatMap { Int($0) } ?? 20
        let profile = try Calibration(PictureReader(model), time: .seconds(seconds)).profile(
            ladder, picture: Array(photographs[0]))
        print(ParetoReport(ladder, try profile.costModel(), textTokens: 15, sourcePixels: 640 * 427).text)
        let costs = try profile.costModel()
        let times = ladder.steps.map {
            costs.phases($0.rung, sourcePixels: 640 * 427, textTokens: 15, tokens: 24).total
        }
        let (low, high) = (2 * (times.min() ?? 1), 2 * (times.max() ?? 1))
        let budgets = (0..<8).map { low * pow(high / low, Double($0) / 7) }
        let reference = budgets[4]

        let store = ProfileStore(directory: scratch.path + "/state", identity: profile.identity)
        try store.save(profile)
        let planner = FramePlanner(
            ladder: ladder, missTarget: 0.01, store: store, device: .system, logger: .silent)
        let engine = RecordingEngine(try FastVLMEngine(model), reference: reference)
        var configuration = DaemonConfiguration(model: .init(path: "/unused"), watches: [])
        for (index, budget) in budgets.enumerated() {
            let path = "\(scratch.path)/in\(index)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            var watch = DaemonConfiguration.Watch(path: path)
            watch.tasks.budget = budget
            watch.tasks.maxTokens = 60
            configuration.watches.append(watch)
        }
        let (stream, continuation) = AsyncStream.makeStream(of: CommittedResult.self)
        let service = try FolderCaptionService(
            configuration, engine: engine, planner: planner, requiresFolders: true, logger: .silent,
            onCommit: { continuation.yield($0) })
        let hog = Hog()
        let log = try await testGracefulShutdown { trigger in
            async let run: Void = service.run()
            var results = stream.makeAsyncIterator()
            var log: [Row] = []
            // The first one may be found by the scan at the start, a second after it was dropped: it does not count.
            try photographs[0].write(to: URL(filePath: "\(scratch.path)/in7/first.jpg"), options: .atomic)
            _ = await results.next()
            _ = engine.takeLast()
            for index in 0..<frames where ContinuousClock.now < end {
                // As from a camera: not at the very moment at which the last answer was written.
                try await Task.sleep(for: .milliseconds(20))
                if hasHog, index == frames / 3 { hog.start() }
                if hasHog, index == 2 * frames / 3 { hog.stop() }
                let place = (index * 5 + index / 8) % 8
                let part = "\(scratch.path)/in\(place)/.part"
                try photographs[index % 2].write(to: URL(filePath: part))
                try FileManager.default.moveItem(atPath: part, toPath: "\(scratch.path)/in\(place)/\(index).jpg")
                let dropped = ContinuousClock.now
                guard let result = await results.next() else { break }
                let wall = (ContinuousClock.now - dropped).milliseconds
                log.append(
                    Row(
                        index: index, hog: hog.isRunning, budget: budgets[place], wall: wall, document: result.document,
                        run: engine.takeLast()))
            }
            hog.stop()
            trigger.triggerGracefulShutdown()
            try await run
            return log
        }
        if let out = Self.setting("OUT") {
            try Data(log.map(\.json).joined(separator: "\n").utf8).write(to: URL(filePath: out))
        }
        Self.summarize(log, from: frames / 3, to: 2 * frames / 3, hasHog: hasHog)
    }

    private static func summarize(_ log: [Row], from start: Int, to end: Int, hasHog: Bool) {
        func part(_ name: String, _ rows: [Row]) {
            let started = rows.filter { $0.document.status == .ok || $0.document.finishReason == "given_up" }
            let missed = started.filter { $0.wall > $0.budget || $0.document.status != .ok }
            let utility = rows.filter { $0.wall <= $0.budget && $0.document.status == .ok }
                .map { Double($0.document.resolution?.pixels ?? 0) }
            print(
                "\(name): \(rows.count) frames, \(rows.count - started.count) not started, \(missed.count) missed "
                    + "(\(percent(missed.count, started.count)) %), "
                    + "\(started.count { $0.document.budget?.met == true }) said to be met; mean side in time "
                    + "\(Int(utility.reduce(0, +) / Double(max(1, rows.count))))")
            let runs = started.compactMap(\.run)
            for (phase, value) in Row.phases {
                let errors = runs.compactMap { run -> Double? in
                    let (expected, actual) = (value(run.predicted), value(run.measured))
                    return actual > 0 ? abs(expected / actual - 1) : nil
                }.sorted()
                guard !errors.isEmpty else { continue }
                print(
                    "  \(phase): error median \(percent(errors[errors.count / 2])) %, p95 "
                        + "\(percent(errors[min(errors.count - 1, errors.count * 95 / 100)])) %")
            }
        }
        part("all", log)
        guard hasHog else { return }
        part("before", log.filter { $0.index < start })
        part("hog", log.filter { $0.hog })
        part("after", log.filter { $0.index >= end })
        print("rung for the reference budget, frame by frame (| where the hog starts and stops):")
        print(
            log.map { row in
                (row.index == start || row.index == end ? "| " : "") + (row.run.map { "\($0.reference)" } ?? "-")
            }.joined(separator: " "))
    }

    private static func percent(_ part: Int, _ whole: Int) -> Double { percent(Double(part) / Double(max(1, whole))) }
    private static func percent(_ share: Double) -> Double { (share * 1000).rounded() / 10 }
}

/// One frame of the run.
private struct Row {
    var index: Int
    var hog: Bool
    var budget: Double
    /// From the drop to the sidecar on the disk, ms.
    var wall: Double
    var document: SidecarDocument
    var run: RecordingEngine.Run?

    static let phases: [(String, @Sendable (PhaseTimes) -> Double)] = [
        ("decode", { $0.decode }), ("preprocess", { $0.preprocess }), ("vision", { $0.vision }),
        ("prefill", { $0.prefill }), ("generate", { $0.generate }), ("total", { $0.total }),
    ]

    var json: String {
        let phases = run.map { run in
            Self.phases.map { "\"\($0.0)\": [\($0.1(run.predicted)), \($0.1(run.measured))]" }.joined(separator: ", ")
        }
        return "{\"frame\": \(index), \"hog\": \(hog), \"budget\": \(budget), \"wall\": \(wall), "
            + "\"pixels\": \(document.resolution?.pixels ?? 0), \"reason\": \"\(document.resolution?.reason ?? "")\", "
            + "\"finish\": \"\(document.finishReason ?? "")\", \"tokens\": \(document.timings?.generatedTokens ?? 0), "
            + "\"reference\": \(run?.reference ?? 0), \"queued\": \(document.timings?.queued?.value ?? 0)"
            + (phases.map { ", " + $0 } ?? "") + "}"
    }
}

/// The engine, and what was expected of its last run.
private struct RecordingEngine: PictureEngine {
    struct Run {
        var predicted: PhaseTimes
        var measured: PhaseTimes
        /// The rung that a frame of the reference budget would have been given.
        var reference: Int
    }

    private let engine: FastVLMEngine
    private let reference: Double
    private let last = Last()

    private final class Last: Sendable {
        let run = Mutex<Run?>(nil)
    }

    init(_ engine: FastVLMEngine, reference: Double) {
        self.engine = engine
        self.reference = reference
    }

    var model: ModelFacts { engine.model }
    var ladder: Ladder { engine.ladder }
    var defaultResolution: Int { engine.defaultResolution }
    func textTokens(of tasks: PictureTasks) -> Int { engine.textTokens(of: tasks) }

    func takeLast() -> Run? {
        last.run.withLock { run in
            defer { run = nil }
            return run
        }
    }

    func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?
    ) async throws(EngineError) -> PictureReport {
        let report = try await engine.run(tasks, on: picture, plan: plan)
        if let plan {
            let tokens = report.caption?.generatedTokens ?? 0
            let timings = report.timings
            var planner = plan.planner
            let now = plan.clock.now
            var rung = 0
            if case .run(let other) = planner.plan(
                PlanRequest(arrival: now, budget: reference, source: 63), now: now)
            {
                rung = other.rung.width
            }
            let run = Run(
                predicted: plan.prediction(tokens: tokens),
                measured: PhaseTimes(
                    decode: timings.decode, preprocess: timings.preprocess, vision: timings.vision,
                    prefill: timings.prefill, generate: timings.generate), reference: rung)
            last.run.withLock { $0 = run }
        }
        return report
    }
}

/// Two threads that compute for nothing.
private final class Hog: Sendable {
    private let spinning = Atomic(false)

    var isRunning: Bool { spinning.load(ordering: .relaxed) }

    func start() {
        spinning.store(true, ordering: .relaxed)
        for _ in 0..<2 {
            let flag = Unmanaged.passRetained(self).toOpaque()
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    let hog = Unmanaged<Hog>.fromOpaque(argument).takeRetainedValue()
                    while hog.spinning.load(ordering: .relaxed) {}
                    return nil
                }, flag)
            pthread_detach(thread)
        }
    }

    func stop() { spinning.store(false, ordering: .relaxed) }
}
