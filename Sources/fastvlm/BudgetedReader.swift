internal import CaptionService
internal import FastVLM
internal import LatencyBudget
internal import Logging
internal import ModelFiles
internal import Sidecars

/// Reads pictures, within a budget if there is one.
struct BudgetedReader {
    let reader: PictureReader
    /// Nil without a budget.
    private let planner: FramePlanner?

    /// What came of a picture.
    struct Outcome {
        var report: PictureReport
        var plan: FramePlan?
        var budget: SidecarDocument.Budget?
    }

    init(_ reader: PictureReader, _ tasks: PictureTasks) {
        self.reader = reader
        guard tasks.budget != nil, let ladder = try? Ladder(reader.model.prepared.identity) else {
            planner = nil
            return
        }
        var logger = Logger(label: "fastvlm") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .notice
        planner = FramePlanner(
            ladder: ladder,
            store: ProfileStore(directory: ProfileStore.usualDirectory, identity: reader.profileIdentity),
            device: .system, logger: logger)
    }

    /// Does `tasks` for `picture`, whose budget began at `start`.
    func run(
        _ tasks: PictureTasks, on picture: [UInt8], since start: ContinuousClock.Instant,
        onText: (_ reply: Int, _ text: String) -> Void = { _, _ in }
    ) throws(EngineError) -> Outcome {
        guard let planner, let budget = tasks.budget else {
            return Outcome(report: try reader.run(tasks, on: picture, onText: onText))
        }
        var frame = FramePlanner.Frame(
            tasks: tasks, arrival: start, textTokens: reader.model.textTokens(of: tasks),
            defaultResolution: reader.model.prepared.defaultResolution)
        frame.read(headerOf: picture)
        guard case .run(let plan) = planner.plan(frame) else {
            // With best effort only a ladder without rungs comes here.
            throw EngineError(.request, "Cannot answer within a budget: the model has no resolution to choose from.")
        }
        let predicted = (ContinuousClock.now - start).milliseconds + plan.plan.predicted.total
        let report = try reader.run(tasks, on: picture, plan: plan, onText: onText)
        let isInTime = (ContinuousClock.now - start).milliseconds <= budget
        let isMet = planner.answered(report, frame, of: plan, isInTime: isInTime)
        return Outcome(
            report: report, plan: plan,
            budget: SidecarDocument.Budget(
                milliseconds: Milliseconds(budget), predicted: Milliseconds(predicted), met: isMet))
    }
}
