/// What rungs are worth to a request, and which is worth most.
extension Planner {
    /// A rung that may be chosen.
    struct Choice {
        var estimate: Estimate
        /// The utility of what can be said in time.
        var said: Double
        /// What is to be expected of it: what is late is worth nothing, and costs what a miss costs.
        var value: Double
        /// The same less what other frames lose by it.
        var worth: Double
    }

    /// What the rungs are worth to one request.
    struct Survey {
        var cheapest: Estimate?
        var chosen: Choice?
        /// The highest utility of all rungs, the highest value of those that fit, and the highest value of those that seem
        /// to fit, but not yet for long enough.
        var top = -Double.infinity
        var fitting = -Double.infinity
        var unproven = -Double.infinity

        /// Why a rung was chosen, out of a ladder of `count`; less than `indifference` is no difference.
        func reason(for chosen: Choice, of count: Int, indifference: Double) -> PlanReason {
            if count == 1 { return .onlyRung }
            if top <= chosen.said + indifference { return .best }
            if fitting > chosen.value + indifference { return .sharing }
            return unproven > chosen.value + indifference ? .proving : .budget
        }
    }

    /// Compares the rungs for a request that has `available` ms for its answer, `left` ms with what comes after that.
    mutating func survey(
        _ request: PlanRequest, available: Double, left: Double, now: Double, _ present: Present
    ) -> Survey {
        let last = sources[slot(of: request)]
        let lastUtility =
            last.index >= 0 && last.question == request.question
            ? ladder.steps[last.index].utility[request.question] : .infinity
        guard let lowest = ladder.steps.first else { return Survey() }
        let first = estimate(lowest.rung, 0, request, present)
        let others = Others(
            waiting: request.waiting, now: now, waited: now - request.arrival > 0.05 * first.likely,
            each: first.likely, utility: lowest.utility.general)
        forecast.planned(at: now, waited: others.waited, othersWait: !request.waiting.isEmpty, each: others.each)
        // An answer of usual length goes on after the shortest useful one, as far as it may.
        let usual = min(lengths[request.prompt] ?? usualTokens, Double(present.tokens.upperBound))
        let beyond = (usual - Double(present.tokens.lowerBound)).asDuration * generate.factor * model.perToken(128)

        var survey = Survey()
        for index in 0..<ladder.count {
            let rung = ladder.steps[index].rung
            if rung.isTiled, (request.sourceSide ?? 0) < max(rung.width, rung.height) { continue }
            let estimate = index == 0 ? first : estimate(rung, index, request, present)
            let utility = ladder.steps[index].utility[request.question]
            survey.top = max(survey.top, utility)
            if survey.cheapest.map({ estimate.likely < $0.likely }) ?? true { survey.cheapest = estimate }
            let likely = estimate.likely + estimate.allowance
            guard likely <= available else { continue }
            var (said, chance) = outlook(estimate, request, within: available, present)
            // A step up without more time than before asks for a little more room, lest the rungs flicker.
            if survey.chosen != nil, utility > lastUtility, left <= last.left * 1.05 {
                survey.unproven = max(survey.unproven, utility * said * chance)
                guard likely * Self.roomToGoUp <= available else { continue }
                (said, chance) = outlook(estimate, request, within: available / Self.roomToGoUp, present)
            }
            // What risks more than it gains is not begun.
            guard chance > 0 else { continue }
            let value = utility * said * chance
            survey.fitting = max(survey.fitting, value)
            let loss = request.choice == .off ? 0 : lossToOthers(taking: min(estimate.likely + beyond, left), others)
            let choice = Choice(estimate: estimate, said: utility * said, value: value, worth: value - loss)
            if survey.chosen.map({ isBetter(choice, than: $0, left: left) }) ?? true { survey.chosen = choice }
        }
        return survey
    }

    /// How much more time than it takes a step up asks for.
    private static let roomToGoUp = 1.02

    /// The share of an answer that can be said within `available` ms, and the chance that it comes in time less what the
    /// risk of a miss costs: nothing or less where it risks more than it can gain.
    private func outlook(
        _ estimate: Estimate, _ request: PlanRequest, within available: Double, _ present: Present
    ) -> (said: Double, chance: Double) {
        let risk = risk(of: estimate, within: available, present)
        return (shareSaid(estimate, request, available, present), 1 - (1 + missPrice.value) * risk)
    }

    /// Whether `other` is worth more than `best`, or as much and cheaper.
    private func isBetter(_ other: Choice, than best: Choice, left: Double) -> Bool {
        other.estimate.likely < best.estimate.likely
            ? other.worth >= best.worth : other.worth > best.worth + indifference(best.value, left)
    }

    /// How much better than `utility` is not known to be better, with `left` ms to go.
    func indifference(_ utility: Double, _ left: Double) -> Double {
        let share = configuration.indifference
        return left < .infinity && share > 0 ? utility * min(share, 0.5) : 0
    }

    /// Where the last choice of a request's source is kept.
    func slot(of request: PlanRequest) -> Int { request.source & (sources.count - 1) }

    /// The chance that the shortest useful answer takes longer than `available` ms, 0...1.
    func risk(of estimate: Estimate, within available: Double, _ present: Present) -> Double {
        guard available < .infinity, estimate.likely > 0, estimate.deviation > 0 else { return 0 }
        let room = max(available - estimate.allowance, 1e-9)
        return tails[present.circumstance].share(above: logarithm(room / estimate.likely) / estimate.deviation)
    }

    /// What the answer that is to be expected at a rung is worth, as a share of one that is said to its end, 0...1: one that
    /// is cut counts for less than what was said of it.
    ///
    /// How long answers are and how long a frame takes are spread about the usual and the likely like a bell, whose integral
    /// a logistic function follows within a hundredth. The frame is taken to last a deviation longer than is likely; beside other
    /// programs, whose stalls no bell describes, as long as the margin says, but for what many late frames added to it.
    func shareSaid(_ estimate: Estimate, _ request: PlanRequest, _ available: Double, _ present: Present) -> Double {
        let minimum = Double(present.tokens.lowerBound)
        let usual = min(lengths[request.prompt] ?? 0, Double(present.tokens.upperBound))
        let step = present.slowdown.generate * model.perToken(estimate.context)
        guard usual > minimum, step > 0, available < .infinity else { return 1 }
        let margin = present.circumstance == .company ? min(companyResiduals.margin, 3) : 1
        let taken = estimate.likely * exponential(margin * estimate.deviation) + estimate.allowance
        let room = minimum + (available - taken) / step
        let ofLength = lengths.deviation(request.prompt) ?? 0
        let ofTime = estimate.deviation * estimate.likely / step
        let spread = (ofLength * ofLength + ofTime * ofTime).squareRoot()
        let isWhole = 1 / (1 + exponential(-1.7 * (room - usual) / spread))
        return isWhole + (1 - isWhole) * Self.worthOfCut * (room / usual).bounded(to: 0...1)
    }

    /// What is worth of an answer that was cut, as a part of what was said: less than all of it, as its end is missing.
    private static let worthOfCut = 0.7

    /// What is known of the frames besides the one that is planned.
    struct Others {
        var waiting: WaitingDeadlines
        var now: Double
        /// Whether the frame had to wait itself.
        var waited: Bool
        /// The shortest useful answer to one of them, ms, and its utility.
        var each: Double
        var utility: Double
    }

    /// What other frames lose, in utility, when one takes `time`: those that wait, and those that are expected to come
    /// in the meantime. Frames that are lost whatever this one takes count for every rung alike.
    func lossToOthers(taking time: Double, _ others: Others) -> Double {
        others.utility
            * (others.waiting.lost(end: others.now + time, each: others.each)
                + forecast.lost(
                    taking: time, waited: others.waited, othersWait: !others.waiting.isEmpty, each: others.each))
    }
}
