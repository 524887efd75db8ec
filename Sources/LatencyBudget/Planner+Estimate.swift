extension Planner {
    /// What one rung would cost now.
    struct Estimate {
        var rung: Rung
        var shape: Rung
        var index: Int?
        var decoding: DecodingCost.Work?
        var outline: EncodedPicture.Outline
        /// On an idle device, with the shortest useful answer.
        var idle: PhaseTimes
        var context: Double
        var likely: Double
        var deviation: Double
        /// What is kept for a stall by other programs, ms.
        var allowance: Double
        var bound: Double
    }

    /// What is the same for all rungs of a request: how fast the device is, and how long the answer may be.
    struct Present {
        /// Factors that plans are made with.
        var slowdown: Slowdown
        /// Relative deviations of the phases.
        var deviation: Slowdown
        var circumstance: Circumstance
        /// The fewest tokens of a useful answer and the most that are allowed, both at least 1.
        var tokens: ClosedRange<Int>
    }

    func present(for request: PlanRequest) -> Present {
        Present(
            slowdown: Slowdown(
                opening: exponential(opening.held), vision: exponential(vision.held),
                prefill: exponential(prefill.held), generate: exponential(generate.held)),
            deviation: Slowdown(
                opening: opening.deviation, vision: vision.deviation, prefill: prefill.deviation,
                generate: generate.deviation),
            circumstance: circumstance, tokens: tokenRange(of: request))
    }

    /// What a frame would be planned in now.
    private var circumstance: Circumstance {
        if contention.isInCompany { return .company }
        return vision.isElevated ? .slow : .usual
    }

    private func tokenRange(of request: PlanRequest) -> ClosedRange<Int> {
        let maximum = request.maximumTokens.bounded(to: 1...1_000_000)
        let minimum = lengths.fewest(request.prompt, atMost: request.minimumTokens.bounded(to: 1...maximum))
        return minimum.bounded(to: 1...maximum)...maximum
    }

    /// What generating takes on an idle device, ms, in so many answers.
    func generation(of tokens: Int, context: Double, replies: Int) -> Double {
        tokens > 1 ? model.generation(of: tokens, context: context) + Double(replies) * overhead.time : 0
    }

    /// What the shortest useful answer at `rung` costs.
    func estimate(_ rung: Rung, _ index: Int?, _ request: PlanRequest, _ present: Present) -> Estimate {
        let sourcePixels = min(request.sourcePixels.asDuration, 1e10)
        let text = Double(request.textTokens.bounded(to: 0...1_000_000))
        let shape = request.shape(at: rung)
        let context = Double(shape.visualTokens) + text
        var idle: PhaseTimes
        if request.encoded != nil {
            idle = PhaseTimes(prefill: model.prefill(text))
        } else if let index, shape == rung {
            idle = seeingCosts[index]
            idle.decode = model.decode(sourcePixels)
            idle.prefill = model.prefill(context)
        } else {
            idle = model.phases(shape, sourcePixels: sourcePixels, textTokens: request.textTokens, tokens: 1)
        }
        idle.generate = generation(of: present.tokens.lowerBound, context: context, replies: request.prompt.replies)
        let outline = request.encoded == nil ? request.picture?.outline ?? .unknown : .unknown
        var doubt = 0.0
        if let index {
            let correction = corrections[index]
            idle = correction.applied(to: idle, of: outline)
            // An unmeasured rung may differ from the nominal shape.
            if !isProfiled { doubt = 0.1 / Double(1 + correction.observations) }
        }
        // What pictures like this one took is better than any curve of their size, and holds for all rungs.
        let work = request.encoded == nil ? request.picture.map { DecodingCost.Work($0, at: rung) } : nil
        if let work, let learned = decoding(work) { idle.decode = learned }
        let expected = present.slowdown.applied(to: idle)
        let likely = expected.total
        // The phases are slow together when they are slow: deviations are added, not their squares.
        let deviation =
            likely > 0 ? present.deviation.applied(to: expected).total / likely + doubt : doubt
        let allowance = contention.allowance(for: likely)
        let margin = (present.circumstance == .company ? companyResiduals : residuals).margin
        return Estimate(
            rung: rung, shape: shape, index: index, decoding: work, outline: outline, idle: idle, context: context,
            likely: likely, deviation: deviation, allowance: allowance,
            bound: likely * exponential(margin * deviation) + allowance)
    }

    /// Settles a chosen rung.
    func makePlan(
        _ estimate: Estimate, _ reason: PlanReason, _ request: PlanRequest, _ present: Present, left: Double,
        now: Double
    ) -> Plan {
        let (minimum, maximum) = (present.tokens.lowerBound, present.tokens.upperBound)
        let slowdown = present.slowdown
        let likeliest = Slowdown(
            opening: opening.factor, vision: vision.factor, prefill: prefill.factor, generate: generate.factor)
        let available = left - configuration.reserve.asDuration
        let step = slowdown.generate * model.perToken(estimate.context)
        let forTokens = available - estimate.allowance - slowdown.applied(to: estimate.idle).untilFirstToken
        var limit = maximum
        if left < .infinity {
            limit = step > 0 ? max(minimum, 1 + (forTokens / step).asCount(atMost: maximum - 1)) : maximum
        }
        var usual = likeliest.applied(to: estimate.idle)
        let tokens = (lengths[request.prompt] ?? usualTokens).asCount(atMost: limit)
            .bounded(to: minimum...max(minimum, limit))
        usual.generate =
            likeliest.generate
            * generation(of: tokens, context: estimate.context, replies: request.prompt.replies)
        let start = now.isFinite ? now : 0
        return Plan(
            rung: estimate.rung, shape: estimate.shape, reason: reason, deadline: start + left, tokenLimit: limit,
            minimumTokens: minimum,
            predicted: usual, bound: estimate.bound, prompt: request.prompt, index: estimate.index, idle: estimate.idle,
            decoding: estimate.decoding,
            outline: estimate.outline,
            slowdown: slowdown,
            tokenFactor: likeliest.generate,
            deviation: estimate.deviation, circumstance: present.circumstance, allowance: estimate.allowance,
            context: estimate.context,
            // What is run to learn is run to its end.
            whenLate: reason == .learning || reason == .probe ? .bestEffort : request.whenLate)
    }
}
