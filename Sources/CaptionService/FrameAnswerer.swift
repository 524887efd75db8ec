internal import LatencyBudget
public import Sidecars

/// Answers frames from anywhere: has the model that is asked brought into memory, plans within what is left of the budget, has
/// the picture read, and says as a document what came of it.
///
/// One for the whole daemon; whoever has a frame takes its turn at ``desk`` first.
public struct FrameAnswerer: Sendable {
    public let models: ModelShelf
    /// Where every frame takes its turn.
    public let desk: FrameDesk
    /// How the daemon is, for the results' health.
    public let condition: ServiceCondition

    /// - Parameter degraded: What is known not to work as it should.
    public init(models: ModelShelf, desk: FrameDesk = FrameDesk(), degraded: Set<String> = []) {
        self.models = models
        self.desk = desk
        condition = ServiceCondition(degraded: degraded)
        condition.add { ServiceCondition.Part(waiting: desk.waiting, degraded: models.degraded) }
    }

    /// With one model that stays in memory.
    ///
    /// - Parameter planner: Keeps the budgets. The default, nil, plans nothing.
    public init(
        engine: any PictureEngine, desk: FrameDesk = FrameDesk(), planner: FramePlanner? = nil,
        degraded: Set<String> = []
    ) {
        self.init(models: ModelShelf(engine, planner: planner), desk: desk, degraded: degraded)
    }

    /// How a frame competes at the desk.
    ///
    /// - Parameters:
    ///   - source: As the results' `origin`.
    ///   - budgetStart: When its budget began.
    public func claim(
        _ tasks: PictureTasks, source: String, kind: FrameDesk.Kind, budgetStart: ContinuousClock.Instant
    ) -> FrameDesk.Claim {
        FrameDesk.Claim(
            source: source, kind: kind, arrival: budgetStart, budget: tasks.followsBudget ? tasks.budget : nil,
            model: models.key(of: tasks.model) ?? "", of: models)
    }

    /// A frame whose turn has come.
    public struct Frame: Sendable {
        /// A JPEG or PNG file's bytes.
        public var bytes: [UInt8]
        /// What the document says of the picture.
        public var source: SidecarDocument.Source
        public var tasks: PictureTasks
        /// A small number for each source, for the planner: frames of one source change their resolution reluctantly.
        public var sourceNumber: Int
        public var arrival: ContinuousClock.Instant
        /// When it was taken up: until then it was queued.
        public var start: ContinuousClock.Instant
        /// When its budget began. The default is its arrival.
        public var budgetStart: ContinuousClock.Instant
        /// Those that wait elsewhere than at the desk: when their budgets began, and how many ms they are.
        public var waiting: [(arrival: ContinuousClock.Instant, budget: Double)] = []
        /// Told when its model begins to be brought into memory, and when that has ended: meanwhile nothing is done with the
        /// picture.
        var onLoading: (@Sendable (_ begins: Bool) -> Void)?

        public init(
            _ bytes: [UInt8], source: SidecarDocument.Source, tasks: PictureTasks, sourceNumber: Int = 0,
            arrival: ContinuousClock.Instant, start: ContinuousClock.Instant = .now,
            budgetStart: ContinuousClock.Instant? = nil
        ) {
            self.bytes = bytes
            self.source = source
            self.tasks = tasks
            self.sourceNumber = sourceNumber
            self.arrival = arrival
            self.start = start
            self.budgetStart = budgetStart ?? arrival
        }
    }

    /// What came of a frame.
    public enum Answer: Sendable {
        /// Answered, refused or expired.
        case document(SidecarDocument)
        /// The task was cancelled.
        case cancelled
        /// The machine or the model failed; nothing is known against the picture.
        case failed(EngineError)

        /// For the desk's counters.
        public var ending: FrameEnding {
            switch self {
            case .document(let document):
                switch document.status {
                case .ok: .ok
                case .refused: .refused
                case .expired: .expired
                }
            case .cancelled, .failed: .vanished
            }
        }
    }

    /// Answers `frame`, whose turn has come.
    ///
    /// - Parameter onText: Receives each reply's text as it is said; `reply` is 0 for the caption, if one is wanted, and
    ///   counts on through the answers. The default hears nothing.
    public func answer(
        _ frame: Frame, onText: (@Sendable (_ reply: Int, _ text: String) -> Void)? = nil
    ) async -> Answer {
        let tasks = frame.tasks
        let queued = (frame.start - frame.arrival).milliseconds
        guard let key = models.key(of: tasks.model), let card = models.card(of: key) else {
            return .document(refusal("model_not_found", "There is no model '\(tasks.model ?? "")'.", frame))
        }
        let wait = models.expectedLoad(of: key)
        if wait > .zero, let planner = models.planner(of: key),
            planner.wouldExpire(plannedFrame(frame, card, textTokens: 0), after: wait)
        {
            // Not this one any more, but those that come later find it, unless somebody waits who needs another.
            if desk.waiting == 0 { models.begin(key) }
            return .document(expired("loading", nil, frame, card, queued: queued))
        }
        let engine: any PictureEngine
        do {
            let isThere = models.isLoaded(key)
            if !isThere { frame.onLoading?(true) }
            defer { if !isThere { frame.onLoading?(false) } }
            engine = try await models.take(key)
        } catch {
            return error.code == .cancelled ? .cancelled : .failed(error)
        }
        defer { models.giveBack() }
        let planner = models.planner(of: key)
        let planned = planner.map { _ in plannedFrame(frame, card, textTokens: engine.textTokens(of: tasks)) }
        var plan: FramePlan?
        if let planner, let planned {
            switch planner.plan(planned) {
            case .run(let decided): plan = decided
            case .expired(let reason): return .document(expired(reason.rawValue, nil, frame, card, queued: queued))
            }
        }
        // From the beginning of the budget, as its `ms` are.
        let elapsed = planned.map { (ContinuousClock.now - $0.arrival).milliseconds } ?? 0
        let predicted = plan.map { Milliseconds(elapsed + $0.plan.predicted.total) }
        do {
            let report = try await engine.run(tasks, on: frame.bytes, plan: plan, onText: onText)
            let end = ContinuousClock.now
            let isInTime = tasks.budget.map { (end - (planned?.arrival ?? frame.arrival)).milliseconds <= $0 }
            var isMet = isInTime ?? true
            if let planner, let planned, let plan {
                isMet = planner.answered(report, planned, of: plan, isInTime: isInTime)
            }
            return .document(
                SidecarDocument(
                    report, tasks: tasks, model: engine.model, source: frame.source, queued: queued,
                    total: (end - frame.arrival).milliseconds, plan: plan?.plan,
                    budget: tasks.budget.map {
                        SidecarDocument.Budget(milliseconds: Milliseconds($0), predicted: predicted, met: isMet)
                    }, health: condition.health))
        } catch {
            switch error.code {
            case .picture: return .document(refusal(error.pictureCode ?? "unreadable", error.message, frame))
            case .request: return .document(refusal("request", error.message, frame))
            case .late:
                if let plan { planner?.gaveUp(error.spent, of: plan) }
                return .document(expired("given_up", predicted, frame, card, queued: queued))
            case .cancelled: return .cancelled
            case .model, .resources: return .failed(error)
            }
        }
    }

    /// The document of a picture that cannot be read: a stable `code` and a sentence for the reader.
    ///
    /// - Parameter model: The model that was to be asked, as in ``PictureTasks/model``.
    public func refusal(
        _ code: String, _ reason: String, _ source: SidecarDocument.Source, model: String?
    ) -> SidecarDocument {
        SidecarDocument(
            refusal: code, reason: reason, model: models.find(model)?.card.facts, source: source,
            health: condition.health)
    }

    private func refusal(_ code: String, _ reason: String, _ frame: Frame) -> SidecarDocument {
        refusal(code, reason, frame.source, model: frame.tasks.model)
    }

    /// What the planner is to know of a frame.
    private func plannedFrame(_ frame: Frame, _ card: ModelCard, textTokens: Int) -> FramePlanner.Frame {
        var planned = FramePlanner.Frame(
            tasks: frame.tasks, source: frame.sourceNumber, arrival: frame.budgetStart, textTokens: textTokens,
            defaultResolution: card.defaultResolution, waiting: frame.waiting + desk.waitingBudgets)
        planned.read(headerOf: frame.bytes)
        return planned
    }

    /// The result of a picture that is not answered for want of time.
    private func expired(
        _ reason: String, _ predicted: Milliseconds?, _ frame: Frame, _ card: ModelCard, queued: Double
    ) -> SidecarDocument {
        SidecarDocument(
            expired: reason,
            budget: frame.tasks.budget.map {
                SidecarDocument.Budget(milliseconds: Milliseconds($0), predicted: predicted, met: false)
            }, model: card.facts, source: frame.source, queued: queued,
            total: (ContinuousClock.now - frame.arrival).milliseconds, health: condition.health)
    }
}
