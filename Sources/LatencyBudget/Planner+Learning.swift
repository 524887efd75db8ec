extension Planner {
    /// Takes in what a frame really took.
    ///
    /// Phases that did not run are 0 and teach nothing; so do times that are not positive and finite.
    ///
    /// - Parameters:
    ///   - measured: ms.
    ///   - tokens: That were generated.
    ///   - isWhole: Whether the answer was not cut for lack of time. The default is that it was not.
    ///   - seen: The share of decoding, preprocessing and encoding that was done, 0...1, for a frame that was given up
    ///     between the encoder's stages. The default is 1: all of it.
    ///   - met: Whether the answer was useful and in time; `nil` for a frame without a deadline. A frame that was given
    ///     up is one that was not.
    public mutating func observe(
        _ measured: PhaseTimes, tokens: Int, isWhole: Bool = true, of plan: Plan, met: Bool?, seen: Double = 1
    ) {
        let tokens = tokens.bounded(to: 0...1_000_000)
        let share = seen >= 0.1 ? min(seen, 1) : .infinity
        let seeingTime = measured.seeing / share
        let idleGenerate = generation(of: tokens, context: plan.context, replies: plan.prompt.replies)
        let isStall = observeResidual(
            measured, seeingTime: seeingTime, tokens: tokens, idleGenerate: idleGenerate, plan)

        if let met, plan.reason.followsRisk, plan.isInCompany || !isStall { missPrice.observe(isMiss: !met) }
        if plan.reason == .probe, let met {
            patience.tried(inTime: met, growth: contention.isSeen ? Self.patienceInCompany : 2, mostPatience)
        }
        if measured.generate > 0 { lengths.observe(plan.prompt, tokens: tokens, isWhole: isWhole) }
        // Of a frame that was given up it is known how far seeing came, not how far the encoder alone.
        let openingTime = measured.opening > 0 ? measured.opening : plan.slowdown.applied(to: plan.idle).opening
        let visionRatio = Self.ratio(share == 1 ? measured.vision : seeingTime - openingTime, plan.idle.vision)
        let prefillRatio = Self.ratio(measured.prefill, plan.idle.prefill)
        correctRung(plan, visionRatio: visionRatio, prefillRatio: prefillRatio, isStall: isStall)
        if !isStall {
            vision.observe(visionRatio, isInCompany: plan.isInCompany)
            opening.observe(Self.ratio(measured.opening, plan.idle.opening), isInCompany: plan.isInCompany)
        }
        // What belongs to a picture is learned from every frame: these filters bear a stall now and then, and pictures that
        // took longer than expected were stalls for ever otherwise.
        if let index = plan.index, plan.shape == plan.rung {
            let ratio = Self.ratio(measured.preprocess, plan.idle.preprocess * opening.factor)
            corrections.resized(index, plan.outline, ratio)
        }
        if let work = plan.decoding { decoding.observe(work, took: measured.decode / opening.factor) }
        guard !isStall else { return }
        prefill.observe(prefillRatio, isInCompany: plan.isInCompany)
        observeGenerating(measured.generate, tokens: tokens, idleGenerate: idleGenerate, plan)
    }

    /// Long answers tell how fast the device generates, short ones what they take besides.
    private mutating func observeGenerating(_ measured: Double, tokens: Int, idleGenerate: Double, _ plan: Plan) {
        let ratio = Self.ratio(measured, idleGenerate)
        guard ratio > 0 else { return }
        let steps = Double(tokens - 1) / Double(plan.prompt.replies)
        generate.observe(ratio, isInCompany: plan.isInCompany, uncertainty: AnswerOverhead.variance(steps: steps))
        let excess = measured / generate.factor - model.generation(of: tokens, context: plan.context)
        overhead.observe(
            excess / Double(plan.prompt.replies), steps: steps, step: model.perToken(plan.context))
    }

    /// Takes in what the system shows; a change widens the margins until the next frames settle what it means.
    public mutating func observe(_ signals: DeviceSignals) {
        let steps = signals.suspectedSteps(since: self.signals)
        self.signals = signals
        opening.doubt(steps.computing)
        vision.doubt(steps.computing)
        prefill.doubt(steps.computing)
        generate.doubt(steps.memory)
    }

    /// Takes in how many other programs want a core at this moment, where the system shows it: before a frame is planned.
    public mutating func observe(competitors: Int) {
        guard contention.look(competitors) else { return }
        patience.relieved()
        // What the device is without them, the next frames say.
        if contention.isSeen {
            opening.doubt(0.3)
            vision.doubt(0.3)
            prefill.doubt(0.3)
            generate.doubt(0.3)
        } else {
            opening.relieve(0.3)
            vision.relieve(0.3)
            prefill.relieve(0.3)
            generate.relieve(0.3)
        }
    }

    /// What was expected of a frame, for an answer of the length that it really had: to be held against what it took.
    public func prediction(of plan: Plan, tokens: Int) -> PhaseTimes {
        var prediction = plan.predicted
        prediction.generate =
            plan.tokenFactor * generation(of: tokens, context: plan.context, replies: plan.prompt.replies)
        return prediction
    }

    /// The answer's governor, from the moment that the first token is there.
    public func governor(for plan: Plan, now: Double) -> TokenGovernor {
        TokenGovernor(
            deadline: plan.deadline - configuration.reserve.asDuration, now: now,
            step: generate.factor * model.perToken(plan.context + 1),
            growth: generate.factor * (model.perToken(plan.context + 257) - model.perToken(plan.context + 1)) / 256,
            deviation: generate.deviation, minimum: plan.minimumTokens, limit: plan.tokenLimit,
            finishesMinimum: plan.whenLate == .bestEffort)
    }

    /// Measured over expected; 0, which filters ignore, where one of them is unknown.
    private static func ratio(_ measured: Double, _ expected: Double) -> Double {
        // An hour is no phase of a frame but a clock that was set.
        guard measured > 0, measured < 3_600_000, expected > 0 else { return 0 }
        return measured / expected
    }

    /// How far the shortest useful answer was from its prediction, in the prediction's deviations.
    ///
    /// - Returns: Whether the frame was stalled by other programs, beyond what the device's speed explains.
    private mutating func observeResidual(
        _ measured: PhaseTimes, seeingTime: Double, tokens: Int, idleGenerate: Double, _ plan: Plan
    ) -> Bool {
        let expected = plan.slowdown.applied(to: plan.idle)
        func known(_ measured: Double, _ expected: Double) -> Double {
            measured > 0 && measured < 3_600_000 ? measured : expected
        }
        var actual = known(seeingTime, expected.seeing) + known(measured.prefill, expected.prefill)
        var excess = actual - expected.seeing - expected.prefill
        if tokens > 1, idleGenerate > 0, measured.generate > 0, measured.generate < 3_600_000 {
            // The share of the shortest useful answer; a shorter one is stretched.
            actual += measured.generate * plan.idle.generate / idleGenerate
            // A stall is no longer because more tokens were said.
            excess += measured.generate - plan.slowdown.generate * idleGenerate
        } else {
            actual += expected.generate
        }
        guard measured.total > 0, expected.total > 0, plan.deviation > 0 else { return false }
        // Before a first frame nothing was predicted.
        guard isProfiled || vision.observations > 0 else { return false }
        let isStall = contention.observe(excess: excess, expected: expected.total, deviation: plan.deviation)
        // The frame that shows that there are stalls is not held against a device without them.
        guard plan.isInCompany || !isStall else { return isStall }
        let beyondAllowance = plan.isInCompany ? max(actual - plan.allowance, 1e-9) : actual
        let residual = logarithm(beyondAllowance / expected.total) / plan.deviation
        // A device that has changed is one surprise, however many frames it takes to know it.
        if !vision.wasSlow { tails[plan.circumstance].observe(residual) }
        if plan.isInCompany { companyResiduals.observe(residual) } else { residuals.observe(residual) }
        return isStall
    }

    /// Tells a rung that was measured wrongly from a device that has changed.
    private mutating func correctRung(_ plan: Plan, visionRatio: Double, prefillRatio: Double, isStall: Bool) {
        guard let index = plan.index, visionRatio > 0 else { return }
        let level = SIMD2(vision.level, prefill.level)
        let surprise = SIMD2(logarithm(visionRatio), prefillRatio > 0 ? logarithm(prefillRatio) : level[1])
        if !isProfiled, vision.observations > 0 { corrections.learn(index, surprise, level: level) }
        // A frame that was disturbed or given up tells nothing of its rung.
        if prefillRatio > 0, !isStall, !plan.isInCompany { corrections.compare(index, surprise) }
    }
}
