internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Glibc
internal import Images
internal import LatencyBudget
internal import Logging
internal import ModelFiles

/// Every question of a dataset as a frame of its own, answered at each fixed resolution and, with each budget, at the
/// resolution that the planner chooses.
///
/// All of them take turns, a block of pictures each, so that a device that becomes slower does so for all alike. Before
/// each of the planner's frames there is a pause of twice its budget: frames that come as soon as the one before is
/// answered would look like a crowd, to which the planner gives way.
struct BudgetedAccuracy {
    /// What became of one question.
    struct Frame {
        let type: String
        let isRight: Bool
        /// From before the file is read to the last token, ms.
        let time: Double
        /// Side in pixels; nil where the planner did not start it.
        let resolution: Int?
        let reason: String
        /// What the planner expected, ms.
        let predicted: Double?
    }

    /// How the resolution was chosen.
    enum Way: Hashable {
        case fixed(Int)
        /// Within that many ms.
        case budget(Double)
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

    init(
        _ reader: PictureReader, resolutions: [Int], budgets: [Double], on dataset: LabelledPictures, maxTokens: Int,
        progress: (_ done: Int, _ total: Int) -> Void
    ) throws {
        self.budgets = budgets
        facts = ModelFacts(reader.model)
        ways = resolutions.map { .fixed($0) } + budgets.map { .budget($0) }
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
                        let frame = try Self.answer(
                            question, tasks, picture.bytes, way, reader, planners)
                        frames[way, default: []].append(frame)
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
                ($0, FramePlanner(ladder: ladder, store: store, signals: { .sample() }, logger: logger))
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
        if case .budget(let budget) = way { usleep(UInt32(min(2 * budget, 60_000) * 1000)) }
        let start = ContinuousClock.now
        func time() -> Double { (ContinuousClock.now - start).milliseconds }
        switch way {
        case .fixed(let pixels): tasks.resolution = pixels
        case .budget(let budget):
            tasks.budget = budget
            // A frame that is not started is not right either.
            tasks.whenLate = .bestEffort
            let frame = FramePlanner.Frame(
                tasks: tasks, arrival: start, textTokens: textTokens,
                sourcePixels: (try? ImageDecoder.probe(picture)).map { Double($0.width) * Double($0.height) },
                defaultResolution: reader.model.prepared.defaultResolution)
            planner = planners[budget]
            planned = frame
            switch planner?.plan(frame) {
            case .run(let decided): plan = decided
            case .expired(let reason):
                return Frame(
                    type: question.type, isRight: false, time: time(), resolution: nil, reason: reason.rawValue,
                    predicted: nil)
            case nil: break
            }
        }
        do {
            let report = try reader.run(tasks, on: picture, plan: plan)
            let spent = time()
            if let planner, let planned, let plan {
                planner.answered(report, planned, of: plan, isInTime: tasks.budget.map { spent <= $0 })
            }
            return Frame(
                type: question.type, isRight: report.answers.first?.text == question.answer, time: spent,
                resolution: report.resolution, reason: plan?.plan.reason.rawValue ?? "fixed",
                predicted: plan?.plan.predicted.total)
        } catch {
            guard error.code == .late else { throw error }
            if let plan { planner?.gaveUp(error.spent, of: plan) }
            return Frame(
                type: question.type, isRight: false, time: time(), resolution: nil, reason: "given_up",
                predicted: plan?.plan.predicted.total)
        }
    }
}
