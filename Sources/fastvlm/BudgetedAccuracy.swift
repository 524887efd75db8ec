internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Glibc
internal import LatencyBudget
internal import Logging
internal import ModelFiles

/// Every question of a dataset as a frame of its own, answered at each fixed resolution and, with each budget, at the
/// resolution that the planner chooses.
///
/// All of them take turns, a block of pictures each, so that a device that becomes slower does so for all alike. Before
/// every frame, planned or not, there is the same short pause: frames that come as soon as the one before is answered
/// would look like a crowd, to which the planner gives way, and a processor that has rested takes longer.
struct BudgetedAccuracy {
    /// What became of one question.
    struct Frame: Codable {
        /// `planner` with its budget, or the fixed resolution's side.
        var way: String
        var type: String
        var isRight: Bool
        /// From before the file is read to the last token, ms.
        var time: Double
        /// Side in pixels; nil where the planner did not start it.
        var resolution: Int?
        var reason: String
        /// What the planner expected, ms.
        var predicted: Double?

        enum CodingKeys: String, CodingKey {
            case way, type, resolution, reason
            case isRight = "right"
            case time = "ms"
            case predicted = "predicted_ms"
        }
    }

    /// How the resolution was chosen.
    enum Way: Hashable {
        case fixed(Int)
        /// Within that many ms.
        case budget(Double)

        var name: String {
            switch self {
            case .fixed(let pixels): "\(pixels)"
            case .budget(let budget): "planner \(budget)"
            }
        }
    }

    let ways: [Way]
    let budgets: [Double]
    let facts: ModelFacts
    private(set) var frames: [Way: [Frame]] = [:]
    private(set) var refused: [(file: String, reason: String)] = []

    /// Pictures that one way answers before the next has its turn.
    private static let block = 8
    /// Time to measure the device.
    private static let calibration = Duration.seconds(10)

    /// - Parameters:
    ///   - earlier: Frames of an earlier part of the same measurement.
    ///   - answered: Told of each frame.
    init(
        _ reader: PictureReader, resolutions: [Int], budgets: [Double], on dataset: LabelledPictures, maxTokens: Int,
        earlier: [Frame] = [], answered: (Frame) throws -> Void = { _ in },
        progress: (_ done: Int, _ total: Int) -> Void
    ) throws {
        self.budgets = budgets
        facts = ModelFacts(reader.model)
        ways = resolutions.map { .fixed($0) } + budgets.map { .budget($0) }
        let names = Dictionary(ways.map { ($0.name, $0) }) { first, _ in first }
        for frame in earlier {
            guard let way = names[frame.way] else {
                throw CommandFailure(
                    .setup,
                    "Cannot carry on with the frames that were logged: '\(frame.way)' is not among the budgets and "
                        + "resolutions of this run. Give the same ones, or another file.")
            }
            frames[way, default: []].append(frame)
        }
        var pictures: [(labels: LabelledPictures.Picture, bytes: [UInt8])] = []
        for picture in dataset.pictures {
            do {
                pictures.append((picture, try PictureFile(path: dataset.path(of: picture)).bytes))
            } catch {
                refused.append((picture.file, error.message))
            }
        }
        guard let first = pictures.first else { return }
        let own = try Ladder(reader.model.prepared.identity)
        let ladder = try Ladder(own.steps.filter { resolutions.contains($0.rung.width) })
        guard ladder.count > 0 else {
            throw CommandFailure(
                .usage, "Cannot run the planner at \(resolutions) px: the model's ladder has none of them.")
        }
        let planners = try Self.planners(reader, ladder, budgets, usual: first.bytes)
        // From an answer to the next picture, as from a camera that is hardly slower than the answers.
        let pause = UInt32(min(50, max(2, 0.25 * (budgets.min() ?? 0))) * 1000)
        var done = 0
        for start in stride(from: 0, to: pictures.count, by: Self.block) {
            let block = pictures[start..<min(start + Self.block, pictures.count)]
            for way in ways {
                for picture in block {
                    for question in picture.labels.questions {
                        var tasks = PictureTasks()
                        tasks.prompt = ""
                        tasks.questions = [
                            PictureTasks.Question(id: question.type, text: question.question, needs: question.need)
                        ]
                        tasks.maxTokens = maxTokens
                        usleep(pause)
                        let frame = try Self.answer(
                            question, tasks, picture.bytes, way, reader, planners)
                        frames[way, default: []].append(frame)
                        try answered(frame)
                    }
                }
                done += block.count
                progress(done, ways.count * pictures.count)
            }
        }
    }

    /// One planner for each budget, with what was measured of this device.
    private static func planners(
        _ reader: PictureReader, _ ladder: Ladder, _ budgets: [Double], usual: [UInt8]
    ) throws -> [Double: FramePlanner] {
        let folder = FileManager.default.temporaryDirectory.appending(path: "fastvlm-accuracy-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let store = ProfileStore(directory: folder.path, identity: reader.profileIdentity)
        do {
            try store.save(try Calibration(reader, time: calibration).profile(ladder, picture: usual))
        } catch let error as ProfileStoreError {
            throw CommandFailure(.setup, error.message)
        }
        let logger = Logger(label: "accuracy") { _ in SwiftLogNoOpLogHandler() }
        return Dictionary(
            uniqueKeysWithValues: Set(budgets).map {
                (
                    $0,
                    FramePlanner(
                        ladder: ladder, store: store, device: .system, logger: logger)
                )
            })
    }

    private static func answer(
        _ question: LabelledPictures.Question, _ tasks: PictureTasks, _ picture: [UInt8], _ way: Way,
        _ reader: PictureReader, _ planners: [Double: FramePlanner]
    ) throws -> Frame {
        var tasks = tasks
        var plan: FramePlan?
        var planned: FramePlanner.Frame?
        var planner: FramePlanner?
        let textTokens = reader.model.textTokens(of: tasks)
        let start = ContinuousClock.now
        func time() -> Double { (ContinuousClock.now - start).milliseconds }
        func frame(_ isRight: Bool, _ time: Double, _ resolution: Int?, _ reason: String) -> Frame {
            Frame(
                way: way.name, type: question.type, isRight: isRight, time: time, resolution: resolution,
                reason: reason, predicted: plan?.plan.predicted.total)
        }
        switch way {
        case .fixed(let pixels): tasks.resolution = pixels
        case .budget(let budget):
            tasks.budget = budget
            // A frame that is not started is not right either.
            tasks.whenLate = .bestEffort
            var described = FramePlanner.Frame(
                tasks: tasks, arrival: start, textTokens: textTokens,
                defaultResolution: reader.model.prepared.defaultResolution)
            described.read(headerOf: picture)
            planner = planners[budget]
            planned = described
            switch planner?.plan(described) {
            case .run(let decided): plan = decided
            case .expired(let reason): return frame(false, time(), nil, reason.rawValue)
            case nil: break
            }
        }
        do {
            let report = try reader.run(tasks, on: picture, plan: plan)
            let spent = time()
            if let planner, let planned, let plan {
                planner.answered(report, planned, of: plan, isInTime: tasks.budget.map { spent <= $0 })
            }
            return frame(
                report.answers.first?.text == question.answer, spent, report.resolution,
                plan?.plan.reason.rawValue ?? "fixed")
        } catch {
            guard error.code == .late else { throw error }
            if let plan { planner?.gaveUp(error.spent, of: plan) }
            return frame(false, time(), nil, "given_up")
        }
    }
}
