/// What a planner is configured with.
public struct PlannerConfiguration: Sendable, Equatable {
    /// The share of frames that may be late, 0.001...0.5. The default is 0.01.
    public var missTarget: Double
    /// Time that is kept for everything after the last token, such as writing the result, ms. The default is 0.
    public var reserve: Double
    /// Frames that have to be fast before a slowdown is forgotten, 1...8. The default is 3.
    public var proof: Int
    /// Frames in a row that seem hopeless before one of them is tried all the same, where the last trials were late; the
    /// first trials come sooner. The default is 8.
    public var probeAfter: Int
    /// The share of a rung's utility by which a dearer one has to be better to be worth its time, 0...0.5. What a rung is
    /// worth was measured on some hundred to thousand answers: less than a hundredth is not known to be a difference. The
    /// default is 0.01. Without a limit of time the highest utility counts.
    public var indifference: Double

    public init(
        missTarget: Double = 0.01, reserve: Double = 0, proof: Int = 3, probeAfter: Int = 8, indifference: Double = 0.01
    ) {
        self.indifference = indifference
        self.missTarget = missTarget
        self.reserve = reserve
        self.proof = proof
        self.probeAfter = probeAfter
    }
}

/// Chooses resolution and length for each frame, and learns from each how fast the device is at present.
///
/// A value that knows no clock: times are handed in, in ms on one monotonic clock. Whatever they are, it answers;
/// planning and observing take microseconds and allocate nothing.
public struct Planner: Sendable {
    public let ladder: Ladder
    public let configuration: PlannerConfiguration
    /// What the device costs when it is idle; ``CostModel/nominal`` without a profile.
    public let model: CostModel
    /// Whether the device was measured before.
    public let isProfiled: Bool

    /// Slowdowns of the phases: decoding and preprocessing run on one thread, which another program need not disturb; the
    /// encoder and the prefill are bound by computing on all of them; generating is bound by memory.
    public internal(set) var opening: SlowdownFilter
    public internal(set) var vision: SlowdownFilter
    public internal(set) var prefill: SlowdownFilter
    public internal(set) var generate: SlowdownFilter
    /// The margin on predictions: what is said to be kept in all but the target's share of frames.
    public internal(set) var residuals: ResidualQuantile
    /// The same margin beside other programs, on top of what a stall by them costs: what is learned there is not held
    /// against a device that is by itself again, and the other way round.
    public internal(set) var companyResiduals: ResidualQuantile
    /// How often predictions are exceeded, see ``Planner/risk(of:within:_:)``.
    var tails = ResidualTails()
    package internal(set) var missPrice: MissPrice
    /// Tokens of the usual answer, whatever was asked.
    public var usualTokens: Double { lengths.overall }

    /// What decoding takes, for pictures of which more than the size is known.
    var decoding = DecodingCost()
    var lengths = AnswerLengths()
    var overhead = AnswerOverhead()
    var corrections: RungCorrections
    /// Idle times of decoding and encoding that do not depend on the frame; one entry a rung, allocated once.
    let seeingCosts: [PhaseTimes]
    /// The last rung of each source; allocated once.
    var sources = [LastChoice](repeating: LastChoice(), count: 64)
    var contention = Contention()
    var forecast = ArrivalForecast()
    var patience = Patience()
    var signals = DeviceSignals()

    /// How many hopeless frames in a row are let go before one is tried: few at first, as most slowdowns are short, twice
    /// as many or more after each trial that was late, and none after one in time, as it takes several to prove that a slowdown
    /// is over. What late trials taught is forgotten by and by with the frames that are not hopeless.
    struct Patience: Sendable {
        var hopeless = 0
        private var limit = 2
        private var wasInTime = false

        /// Counts one more hopeless frame; says whether it is to be tried.
        mutating func isOver(_ most: Int) -> Bool {
            hopeless += 1
            return wasInTime || hopeless > min(limit, most.bounded(to: 0...1_000_000))
        }

        /// Says that what made frames hopeless may just have gone: the next one is tried.
        mutating func relieved() {
            wasInTime = true
            limit = 2
        }

        mutating func tried(inTime: Bool, growth: Int, _ most: Int) {
            wasInTime = inTime
            if !inTime { limit = min(growth * limit, most.bounded(to: 2...1_000_000)) }
        }

        /// Says that a frame was not hopeless.
        mutating func hoped() {
            hopeless = 0
            wasInTime = false
            limit = max(2, limit - 1)
        }
    }

    struct LastChoice: Sendable {
        var index = -1
        var left = 0.0
        var question = QuestionType.general
    }

    /// - Parameter model: From a profile of this device. Without one the planner starts with the cheapest rung and
    ///   learns from its first frames.
    public init(ladder: Ladder, model: CostModel?, configuration: PlannerConfiguration = .init()) {
        self.ladder = ladder
        self.configuration = configuration
        self.model = model ?? .nominal
        isProfiled = model != nil
        vision = SlowdownFilter(isKnown: isProfiled, proof: configuration.proof)
        opening = vision
        prefill = vision
        generate = vision
        residuals = ResidualQuantile(target: configuration.missTarget)
        companyResiduals = residuals
        missPrice = MissPrice(target: configuration.missTarget)
        let costs = self.model
        seeingCosts = ladder.steps.map { costs.phases($0.rung, sourcePixels: 0, textTokens: 0, tokens: 1) }
        corrections = RungCorrections(count: ladder.count)
    }

    /// Chooses what to do with a frame that is taken from the queue at `now`.
    public mutating func plan(_ request: PlanRequest, now: Double) -> PlanDecision {
        guard ladder.count > 0 || request.encoded != nil || request.fixedRung != nil else { return .expired(.noRungs) }
        let left = request.left(at: now)
        let available = left < .infinity ? (left - configuration.reserve.asDuration).asDuration : left
        let present = present(for: request)
        if let rung = request.encoded ?? request.fixedRung {
            let estimate = estimate(rung, ladder.index(of: rung), request, present)
            let reason: PlanReason = request.encoded != nil ? .encoded : .fixed
            if estimate.likely <= available {
                return .run(makePlan(estimate, reason, request, present, left: left, now: now))
            }
            return late(estimate, request, present, left: left, now: now)
        }

        let survey = survey(request, available: available, left: left, now: now, present)
        guard let cheapest = survey.cheapest else { return .expired(.noRungs) }
        if left == .infinity, let chosen = survey.chosen {
            return .run(makePlan(chosen.estimate, .noBudget, request, present, left: left, now: now))
        }
        if available > 0, !isProfiled, vision.observations == 0 {
            return .run(makePlan(cheapest, .learning, request, present, left: left, now: now))
        }
        guard let chosen = survey.chosen else { return late(cheapest, request, present, left: left, now: now) }
        patience.hoped()
        sources[slot(of: request)] = LastChoice(
            index: chosen.estimate.index ?? -1, left: left, question: request.question)
        let reason = survey.reason(for: chosen, of: ladder.count, indifference: indifference(chosen.value, left))
        return .run(makePlan(chosen.estimate, reason, request, present, left: left, now: now))
    }

    /// How many times more hopeless frames are let go before one is tried where the system shows who is in the way, and so
    /// will show their leaving.
    static let patienceInCompany = 4

    /// The most hopeless frames before one is tried.
    var mostPatience: Int {
        configuration.probeAfter.bounded(to: 0...1_000_000) * (contention.isSeen ? Self.patienceInCompany : 1)
    }

    /// A frame that nothing fits.
    private mutating func late(
        _ cheapest: Estimate, _ request: PlanRequest, _ present: Present, left: Double, now: Double
    ) -> PlanDecision {
        if request.whenLate == .bestEffort {
            return .run(makePlan(cheapest, .bestEffort, request, present, left: left, now: now))
        }
        guard left > 0 else { return .expired(.deadlinePassed) }
        // Frames that are not started teach nothing: without a trial now and then, a slowdown that is over would never
        // be noticed. Only frames that an idle device could answer are worth one; after many more, those that one could
        // that is twice as fast as it ever seemed.
        let isPossible =
            cheapest.idle.total <= left
            || patience.hopeless > 4 * configuration.probeAfter.bounded(to: 0...1_000_000)
                && cheapest.likely / 2 <= left
        if patience.isOver(mostPatience), isPossible {
            patience.hopeless = 0
            return .run(makePlan(cheapest, .probe, request, present, left: left, now: now))
        }
        return .expired(.belowLowestRung)
    }

    /// Says that a frame has arrived: what usually comes decides how long one answer may keep others waiting.
    ///
    /// Without it the planner gives each frame all the time that its own budget leaves.
    public mutating func arrived(at now: Double, budget: Double?) {
        forecast.arrived(at: now, budget: budget ?? .infinity)
    }
}

extension PlanRequest {
    /// What the encoder would see at `rung`.
    func shape(at rung: Rung) -> Rung {
        guard isTrimmed, let picture else { return rung }
        return rung.trimmed(toWidth: picture.width, height: picture.height)
    }

    var fixedRung: Rung? {
        if case .fixed(let rung) = choice { rung } else { nil }
    }
}
