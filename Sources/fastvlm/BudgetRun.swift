internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Glibc
internal import LatencyBudget
internal import Logging
internal import ModelFiles

/// Pictures that come one after the other with one budget each, as from a camera, on this device as it is; and, for the
/// middle third of them if that is wanted, beside a process that keeps every core busy.
struct BudgetRun {
    /// What became of one picture; one JSON object a line.
    struct Frame: Codable {
        var budget: Double
        /// Counts on from 0 in each part of the measurement.
        var part: Int
        var index: Int
        /// `quiet`, or with a hog `before`, `hog`, `after`.
        var phase: String
        /// From its arrival to its last token, ms.
        var time: Double
        /// Side in pixels; nil where it was not started.
        var resolution: Int?
        /// Why at this resolution, or why not at all.
        var reason: String
        /// Whether it was answered, with as many tokens as are useful, within the budget.
        var isMet: Bool
        var tokens: Int
        var predicted: PhaseTimes?
        var measured: PhaseTimes?

        /// Whether it took more than a tenth longer than predicted, or so long that it was given up.
        var isSlowed: Bool {
            guard let predicted, let measured else { return resolution != nil && !isMet }
            return measured.total > 1.1 * predicted.total
        }

        enum CodingKeys: String, CodingKey {
            case part, phase, resolution, reason, tokens, predicted, measured
            case index = "frame"
            case budget = "budget_ms"
            case time = "ms"
            case isMet = "met"
        }
    }

    let reader: PictureReader
    let ladder: Ladder
    let store: ProfileStore
    let pictures: [[UInt8]]
    let prompt: String
    let maxTokens: Int
    let missTarget: Double

    private var tasks: PictureTasks {
        var tasks = PictureTasks()
        tasks.prompt = prompt
        tasks.maxTokens = maxTokens
        return tasks
    }

    /// From one picture to the next, ms, as from a camera of one pace: the budget, or twice what an idle device takes at the
    /// highest rung, if that is less. A picture after one that took longer comes with that one's answer.
    func interval(_ budget: Double, _ costs: CostModel) throws -> Double {
        min(budget, 2 * (try idleTimes(costs).max() ?? budget))
    }

    /// Twice the lowest rung's time, twice the highest's, and what lies evenly between them in the logarithm, ms.
    func budgets(_ costs: CostModel, count: Int) throws -> [Double] {
        let times = try idleTimes(costs)
        guard let low = times.min(), let high = times.max(), count > 1 else {
            return times.max().map { [2 * $0] } ?? []
        }
        return (0..<count).map { 2 * low * pow(high / low, Double($0) / Double(count - 1)) }
    }

    /// What an answer takes at each rung, ms.
    private func idleTimes(_ costs: CostModel) throws -> [Double] {
        var frame = FramePlanner.Frame(
            tasks: tasks, arrival: .now, textTokens: reader.model.textTokens(of: tasks), defaultResolution: 0)
        if let first = pictures.first { frame.read(headerOf: first) }
        return ladder.steps.map {
            costs.phases(
                $0.rung, sourcePixels: frame.sourcePixels ?? CostModel.usualSourcePixels, textTokens: frame.textTokens,
                tokens: min(maxTokens, 24)
            ).total
        }
    }

    /// Answers frames `range` of a part of `count`.
    ///
    /// - Parameters:
    ///   - interval: From one picture to the next, ms.
    ///   - hogs: Programs that compute without end beside the middle third.
    ///   - answered: Told of each frame.
    func run(
        budget: Double, interval: Double, part: Int, count: Int, hogs: Int, until end: ContinuousClock.Instant,
        answered: (Frame) throws -> Void
    ) throws {
        let logger = Logger(label: "budget") { _ in SwiftLogNoOpLogHandler() }
        let planner = FramePlanner(
            ladder: ladder, missTarget: missTarget, store: store, device: .system, logger: logger)
        var tasks = tasks
        // The first frame after the start of a program is no frame of a camera: pages are touched for the first time.
        tasks.resolution = ladder.steps.first?.rung.width
        _ = try reader.run(tasks, on: pictures[0])
        tasks.resolution = nil
        tasks.budget = budget
        let hog = Hog()
        defer { hog.stop() }
        var next = ContinuousClock.now
        for index in 0..<count where ContinuousClock.now < end {
            next = max(next + .milliseconds(interval), ContinuousClock.now)
            usleep(UInt32(max(0, (next - ContinuousClock.now).milliseconds * 1000)))
            if index == count / 3 { hog.start(hogs) }
            if index == 2 * count / 3 { hog.stop() }
            let phase = hogs == 0 ? "quiet" : index < count / 3 ? "before" : index < 2 * count / 3 ? "hog" : "after"
            var frame = Frame(
                budget: budget, part: part, index: index, phase: phase, time: 0, resolution: nil, reason: "",
                isMet: false, tokens: 0)
            try answer(&frame, tasks, pictures[(part * count + index) % pictures.count], planner)
            try answered(frame)
        }
    }

    private func answer(
        _ frame: inout Frame, _ tasks: PictureTasks, _ picture: [UInt8], _ planner: FramePlanner
    ) throws {
        let textTokens = reader.model.textTokens(of: tasks)
        let start = ContinuousClock.now
        func time() -> Double { (ContinuousClock.now - start).milliseconds }
        var planned = FramePlanner.Frame(
            tasks: tasks, arrival: start, textTokens: textTokens,
            defaultResolution: reader.model.prepared.defaultResolution)
        planned.read(headerOf: picture)
        switch planner.plan(planned) {
        case .expired(let reason):
            frame.time = time()
            frame.reason = reason.rawValue
        case .run(let plan):
            frame.resolution = plan.resolution
            frame.reason = plan.plan.reason.rawValue
            do {
                let report = try reader.run(tasks, on: picture, plan: plan)
                frame.time = time()
                frame.isMet = planner.answered(report, planned, of: plan, isInTime: frame.time <= frame.budget)
                frame.tokens = report.caption?.generatedTokens ?? 0
                frame.predicted = plan.prediction(tokens: frame.tokens)
                frame.measured = PhaseTimes(report.timings)
            } catch {
                guard error.code == .late else { throw error }
                planner.gaveUp(error.spent, of: plan)
                frame.time = time()
                frame.reason = "given_up"
            }
        }
    }
}

/// Programs that compute for nothing.
private final class Hog {
    private var processes: [pid_t] = []

    func start(_ count: Int) {
        for _ in 0..<count {
            var process = pid_t()
            // It ends soon after this program even if that is killed.
            let busy = "while kill -0 \(getpid()); do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done"
            let arguments = ["/bin/sh", "-c", busy]
            var pointers = arguments.map { strdup($0) }
            defer { for pointer in pointers { free(pointer) } }
            pointers.append(nil)
            if posix_spawn(&process, "/bin/sh", nil, nil, pointers, environ) == 0 { processes.append(process) }
        }
    }

    func stop() {
        for process in processes {
            kill(process, SIGKILL)
            waitpid(process, nil, 0)
        }
        processes = []
    }
}
