internal import FastVLM
internal import Images
public import LatencyBudget
public import Logging
internal import Synchronization

/// Decides for every picture of every source how to keep its budget, and learns from each what the device can do.
///
/// One for the whole daemon: what one source's pictures show holds for all.
public final class FramePlanner: Sendable {
    /// A frame that is about to be answered.
    package struct Frame {
        package var tasks: PictureTasks
        /// A small number for each source.
        package var source: Int
        /// When its budget begins.
        package var arrival: ContinuousClock.Instant
        /// Tokens besides the picture's.
        package var textTokens: Int
        /// Pixels of the picture; nil where its header cannot be read.
        package var sourcePixels: Double?
        /// Its longer side; nil where it is not known.
        package var sourceSide: Int?
        /// What its file says of itself; nil where its header cannot be read.
        package var picture: EncodedPicture?
        /// What is seen where nothing is chosen, in pixels.
        package var defaultResolution: Int
        /// The others that wait: when their budgets began, and how many ms they are.
        package var waiting: [(arrival: ContinuousClock.Instant, budget: Double)] = []

        package init(
            tasks: PictureTasks, source: Int = 0, arrival: ContinuousClock.Instant, textTokens: Int,
            sourcePixels: Double? = nil, defaultResolution: Int,
            waiting: [(arrival: ContinuousClock.Instant, budget: Double)] = []
        ) {
            self.tasks = tasks
            self.source = source
            self.arrival = arrival
            self.textTokens = textTokens
            self.sourcePixels = sourcePixels
            self.defaultResolution = defaultResolution
            self.waiting = waiting
        }

        /// Takes in what the header of its file says.
        package mutating func read(headerOf bytes: [UInt8]) {
            guard let info = try? ImageDecoder.probe(bytes) else { return }
            sourcePixels = Double(info.width) * Double(info.height)
            sourceSide = max(info.width, info.height)
            picture = EncodedPicture(
                info.format == .jpeg ? .jpeg : .png, bytes: bytes.count, width: info.width, height: info.height)
        }
    }

    package enum Decision {
        case run(FramePlan)
        case expired(ExpiryReason)
    }

    private struct State {
        var planner: Planner
        /// Nil once the device is known.
        var recorder: ProfileRecorder?
        var recorded = 0
        /// The latest arrival that the planner was told of.
        var lastArrival: ContinuousClock.Instant
        /// What committing a result takes, ms: grows at once and fades.
        var commit = 0.0
        var lastSignals: ContinuousClock.Instant?
    }

    private let state: Mutex<State>
    private let clock = BudgetClock()
    private let device: DeviceSensors
    private let store: ProfileStore?
    private let logger: Logger

    /// Fewer tokens are no useful answer, unless the model ended it.
    package static let minimumTokens = 8

    /// - Parameters:
    ///   - missTarget: The share of frames that may be late.
    ///   - store: Where the device's profile is; what is learned without one is kept there. The default, nil, keeps nothing.
    ///   - device: Sees the device that is planned for. The default sees nothing.
    public init(
        ladder: Ladder, missTarget: Double = 0.01, store: ProfileStore? = nil,
        device: DeviceSensors = .none, logger: Logger
    ) {
        let profile = store.flatMap { Self.load($0, ladder, logger) }
        let planner = Planner(
            ladder: ladder, model: try? profile?.costModel(),
            configuration: PlannerConfiguration(missTarget: missTarget))
        state = Mutex(
            State(
                planner: planner, recorder: planner.isProfiled ? nil : ProfileRecorder(ladder: ladder),
                lastArrival: .now))
        self.store = store
        self.device = device
        self.logger = logger
    }

    /// Whether the device was measured before.
    public var isProfiled: Bool { state.withLock { $0.planner.isProfiled } }

    private static func load(_ store: ProfileStore, _ ladder: Ladder, _ logger: Logger) -> DeviceProfile? {
        do {
            guard let profile = try store.load() else {
                logger.notice(
                    """
                    This device was not measured with this model yet: the first pictures show what it can do. \
                    'fastvlm calibrate' measures it in a minute.
                    """, metadata: ["profile": "\(store.path)"])
                return nil
            }
            let reasons = profile.staleness(for: store.identity, ladder: ladder)
            // What the first pictures taught may lack rungs, which the cost model fills in.
            let isUsable = reasons.allSatisfy { $0 == .rungs } && profile.points.count > 1
            if !reasons.isEmpty {
                let message =
                    isUsable
                    ? "This device's profile lacks some resolutions: 'fastvlm calibrate' measures them all."
                    : "This device's profile is stale and not used: the first pictures show what it can do. "
                        + "'fastvlm calibrate' measures it anew."
                logger.notice(
                    "\(message)",
                    metadata: [
                        "profile": "\(store.path)", "differs": "\(reasons.map(\.rawValue).joined(separator: ", "))",
                    ])
            }
            return isUsable ? profile : nil
        } catch {
            logger.warning("\(error.message)")
            return nil
        }
    }

    /// Decides what to do with `frame` now.
    package func plan(_ frame: Frame) -> Decision {
        let competitors = frame.tasks.followsBudget && frame.tasks.budget != nil ? device.competitors() : nil
        return state.withLock { state in
            let now = ContinuousClock.now
            observeSignals(&state, now)
            if let competitors { state.planner.observe(competitors: competitors) }
            let tasks = frame.tasks
            tellOfArrivals(frame, tasks.followsBudget ? tasks.budget : nil, &state)
            switch state.planner.plan(request(for: frame, state), now: clock.milliseconds(at: now)) {
            case .expired(let reason): return .expired(reason)
            case .run(let plan):
                return .run(
                    FramePlan(
                        plan: plan, planner: state.planner, clock: clock, replies: tasks.replyCount,
                        maximumTokens: tasks.maxTokens,
                        finishesMinimum: tasks.whenLate == .bestEffort || plan.reason == .learning
                            || plan.reason == .probe))
            }
        }
    }

    /// Whether `frame` would not be started if its turn came `delay` later than now; asking changes nothing.
    package func wouldExpire(_ frame: Frame, after delay: Duration) -> Bool {
        state.withLock { state in
            var planner = state.planner
            let then = clock.milliseconds(at: .now + delay)
            if case .expired = planner.plan(request(for: frame, state), now: then) { return true }
            return false
        }
    }

    private func request(for frame: Frame, _ state: State) -> PlanRequest {
        let tasks = frame.tasks
        let budget = tasks.followsBudget ? tasks.budget : nil
        let replies = tasks.replyCount
        let minimum = min(Self.minimumTokens, tasks.maxTokens)
        var request = PlanRequest(
            arrival: clock.milliseconds(at: frame.arrival), budget: budget.map { $0 - min(state.commit, $0 / 4) },
            question: tasks.needs, choice: .budget, whenLate: tasks.whenLate,
            sourcePixels: frame.sourcePixels ?? CostModel.usualSourcePixels, textTokens: frame.textTokens,
            minimumTokens: minimum * replies, maximumTokens: tasks.maxTokens * replies, source: frame.source)
        request.kind = tasks.kind
        request.replies = replies
        request.sourceSide = frame.sourceSide
        request.picture = frame.picture
        request.isTrimmed = tasks.aspect == .native
        if budget == nil || tasks.resolution != nil || tasks.tiling {
            request.choice = .fixed(tasks.fixedRung(side: frame.sourceSide, usual: frame.defaultResolution))
            // Nothing is known yet: what cannot be chosen has to be tried.
            if !state.planner.isProfiled, state.planner.vision.observations == 0 { request.whenLate = .bestEffort }
        }
        for other in frame.waiting { request.waiting.add(clock.milliseconds(at: other.arrival) + other.budget) }
        return request
    }

    private func observeSignals(_ state: inout State, _ now: ContinuousClock.Instant) {
        if let last = state.lastSignals, now - last < .seconds(1) { return }
        state.lastSignals = now
        state.planner.observe(device.signals())
    }

    /// Tells the planner of every arrival since the last frame, as if it had been told at once.
    private func tellOfArrivals(_ frame: Frame, _ budget: Double?, _ state: inout State) {
        let last = state.lastArrival
        let arrivals = ([(frame.arrival, budget)] + frame.waiting.map { ($0.arrival, $0.budget) })
            .filter { $0.0 > last }.sorted { $0.0 < $1.0 }
        for (arrival, budget) in arrivals {
            state.planner.arrived(at: clock.milliseconds(at: arrival), budget: budget)
            state.lastArrival = arrival
        }
    }

    /// Takes in what an answered frame really took.
    ///
    /// - Parameter isInTime: Whether its answer was there before the deadline; nil where there was none.
    /// - Returns: Whether the answer was useful and in time.
    @discardableResult
    package func answered(_ report: PictureReport, _ frame: Frame, of plan: FramePlan, isInTime: Bool?) -> Bool {
        let replies = (report.caption.map { [$0] } ?? []) + report.answers
        let least = min(Self.minimumTokens, frame.tasks.maxTokens)
        let isUseful = replies.allSatisfy { $0.finishReason == "stop" || $0.generatedTokens >= least }
        let isWhole = replies.allSatisfy { ["stop", "length"].contains($0.finishReason) }
        let measured = PhaseTimes(report.timings)
        let met = frame.tasks.followsBudget ? isInTime.map { $0 && isUseful } : nil
        // Steps are what is timed: one fewer than tokens in each reply.
        let tokens = replies.map { max(0, $0.generatedTokens - 1) }.reduce(0, +) + 1
        let learned: DeviceProfile? = state.withLock { state in
            state.planner.observe(measured, tokens: tokens, isWhole: isWhole, of: plan.plan, met: met)
            guard state.recorder != nil, replies.count == 1 else { return nil }
            state.recorder?.record(
                measured, at: plan.plan.shape, sourcePixels: frame.sourcePixels ?? CostModel.usualSourcePixels,
                textTokens: frame.textTokens, tokens: tokens)
            state.recorded += 1
            // After 8, 16, 32, … frames.
            guard state.recorded >= 8, state.recorded.nonzeroBitCount == 1, let store else { return nil }
            return state.recorder?.profile(identity: store.identity)
        }
        if let learned { keep(learned) }
        return isInTime == true && isUseful
    }

    /// Takes in a frame that was given up.
    package func gaveUp(_ spent: EngineError.Spent?, of plan: FramePlan) {
        state.withLock {
            $0.planner.observe(
                PhaseTimes(spent?.timings ?? .init()), tokens: 0, of: plan.plan, met: false, seen: spent?.seen ?? 1)
        }
    }

    /// Takes in that committing a result took `milliseconds`, which is kept free of the budget from then on.
    package func committed(in milliseconds: Double) {
        guard milliseconds.isFinite, milliseconds >= 0 else { return }
        state.withLock { $0.commit = max(milliseconds, $0.commit + 0.05 * (milliseconds - $0.commit)) }
    }

    /// Keeps what was learned without a profile; without effect where there was one.
    package func keepWhatWasLearned() {
        let learned: DeviceProfile? = state.withLock { state in
            guard let store, state.recorded > 0 else { return nil }
            return state.recorder?.profile(identity: store.identity)
        }
        if let learned { keep(learned) }
    }

    private func keep(_ profile: DeviceProfile) {
        do {
            try store?.save(profile)
        } catch {
            logger.notice("\(error.message)")
        }
    }
}

extension PictureTasks {
    /// The caption, if one is wanted, and the answers.
    var replyCount: Int { max(1, (prompt.isEmpty ? 0 : 1) + questions.count) }

    /// A number for what is asked, the same wherever the same is asked: FNV-1a of the texts.
    var kind: Int {
        let offset: UInt64 = 0xcbf2_9ce4_8422_2325
        let sum = ([prompt] + questions.map(\.text)).joined(separator: "\u{0}").utf8.reduce(offset) {
            ($0 ^ UInt64($1)) &* 0x100_0000_01b3
        }
        // The upper bits, which every byte reached.
        return Int(sum >> 32)
    }
}

extension PictureTasks {
    /// What is seen where no budget chooses: `resolution`, without one `usual`; in tiles where that is asked for and the
    /// picture's longer `side` is more than one tile shows.
    func fixedRung(side: Int?, usual: Int) -> Rung {
        let pixels = resolution ?? usual
        guard tiling, let side, side > pixels else { return Rung(pixels: pixels) }
        return Rung(
            width: pixels * Self.tilesAcross, height: pixels * Self.tilesAcross, columns: Self.tilesAcross,
            rows: Self.tilesAcross)
    }
}

extension PhaseTimes {
    package init(_ timings: PictureReport.Timings) {
        self.init(
            decode: timings.decode, preprocess: timings.preprocess, vision: timings.vision, prefill: timings.prefill,
            generate: timings.generate)
    }
}
