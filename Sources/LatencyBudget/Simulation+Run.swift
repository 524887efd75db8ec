extension Simulation {
    /// The state of one replay.
    struct Run {
        let simulation: Simulation
        let trace: Trace
        let policy: Policy
        let keepsFrames: Bool

        private var planner: Planner
        private var order = FrameOrder<Int>(liveFrames: 1)
        private var result: SimulationResult
        private var now = 0.0
        private var arrived = 0
        private var lastRung: [Int: Int] = [:]
        private var settled: [Bool] = []

        init(simulation: Simulation, trace: Trace, policy: Policy, keepsFrames: Bool) {
            self.simulation = simulation
            self.trace = trace
            self.policy = policy
            self.keepsFrames = keepsFrames
            planner = Planner(
                ladder: simulation.ladder, model: simulation.profile, configuration: simulation.configuration)
            let name =
                switch policy {
                case .adaptive: "adaptive"
                case .table: "table"
                case .oracle: "oracle"
                case .fixed(let index):
                    simulation.ladder.steps.indices.contains(index)
                        ? "fixed \(simulation.ladder.steps[index].rung)" : "fixed"
                }
            result = SimulationResult(trace: trace.name, policy: name)
            result.frames = trace.frames.count
            var sinceStep = 20
            for frame in trace.frames {
                sinceStep = frame.isStep ? 0 : sinceStep + 1
                settled.append(sinceStep >= 20)
            }
        }

        mutating func finish() -> SimulationResult {
            while true {
                admit()
                if let index = order.next(now: now) {
                    answer(index)
                } else if arrived < trace.frames.count {
                    now = max(now, trace.frames[arrived].arrival)
                } else {
                    result.duration = now
                    return result
                }
            }
        }

        private mutating func admit() {
            while arrived < trace.frames.count, trace.frames[arrived].arrival <= now {
                let frame = trace.frames[arrived]
                let kind: FrameOrder<Int>.Kind = frame.isLive ? .live(source: frame.source) : .request
                let deadline = frame.budget.map { frame.arrival + $0 } ?? .infinity
                planner.arrived(at: frame.arrival, budget: frame.budget)
                if order.add(arrived, kind, deadline: deadline) != nil { result.superseded += 1 }
                arrived += 1
            }
        }

        /// What a frame really takes at a rung, up to its `tokens`-th token.
        private func realized(_ frame: TraceFrame, _ rung: Int, tokens: Int) -> PhaseTimes {
            var times = simulation.truth.phases(
                simulation.ladder.steps[rung].rung, sourcePixels: CostModel.usualSourcePixels,
                textTokens: simulation.textTokens, tokens: tokens)
            times.decode *= frame.seeing
            times.preprocess *= frame.seeing
            times.vision *= frame.seeing
            times.prefill *= frame.prefill
            times.generate *= frame.generate
            guard let stalls = frame.stalls else { return times }
            let seen = stalls.elapsed(times.seeing)
            let firstToken = stalls.elapsed(times.seeing + times.prefill)
            let generate = stalls.elapsed(times.total) - firstToken
            let factor = times.seeing > 0 ? seen / times.seeing : 1
            times.decode *= factor
            times.preprocess *= factor
            times.vision *= factor
            times.prefill = firstToken - seen
            times.generate = generate
            return times
        }

        /// What the other frames are at this moment, for a device that is as slow as it is for `frame`.
        private func others(_ frame: TraceFrame) -> Planner.Others {
            let each = realized(frame, 0, tokens: simulation.minimumTokens).total
            return Planner.Others(
                waiting: order.waiting, now: now, waited: now - frame.arrival > 0.05 * each, each: each,
                utility: simulation.ladder.steps[0].utility.general)
        }

        /// The rung of the highest utility that will be in time, less what others lose by it; of equal ones the cheapest.
        private func best(_ frame: TraceFrame, left: Double) -> (index: Int, utility: Double)? {
            guard simulation.ladder.count > 0 else { return nil }
            let needed = min(simulation.minimumTokens, frame.tokens)
            let others = others(frame)
            var best: (index: Int, utility: Double, worth: Double)?
            for index in simulation.ladder.steps.indices where realized(frame, index, tokens: needed).total <= left {
                let tokens = tokensInTime(frame, index, atLeast: needed, left: left)
                let utility = utility(index, frame, tokens: tokens)
                let time = realized(frame, index, tokens: tokens).total
                let worth = utility - planner.lossToOthers(taking: time, others)
                if worth > best?.worth ?? -.infinity { best = (index, utility, worth) }
            }
            return best.map { ($0.index, $0.utility) }
        }

        /// How much of the answer there is time for, given that there is for `fewest` tokens.
        private func tokensInTime(_ frame: TraceFrame, _ rung: Int, atLeast fewest: Int, left: Double) -> Int {
            var (fits, most) = (fewest, max(fewest, frame.tokens))
            while fits < most {
                let middle = fits + (most - fits + 1) / 2
                if realized(frame, rung, tokens: middle).total <= left { fits = middle } else { most = middle - 1 }
            }
            return fits
        }

        /// An answer that was cut is worth the share of it that was said.
        private func utility(_ index: Int, _ frame: TraceFrame, tokens: Int) -> Double {
            simulation.ladder.steps[index].utility[frame.question]
                * min(1, Double(tokens) / Double(max(1, frame.tokens)))
        }

        private mutating func answer(_ index: Int) {
            let frame = trace.frames[index]
            let start = now
            var request = PlanRequest(
                arrival: frame.arrival, budget: frame.budget, question: frame.question,
                textTokens: simulation.textTokens, minimumTokens: simulation.minimumTokens, source: frame.source)
            request.waiting = order.waiting
            let left = request.left(at: now)
            let best = best(frame, left: left)
            let bestRung = best?.index
            if policy == .adaptive {
                if let signals = frame.signals { planner.observe(signals) }
                if let competitors = frame.competitors { planner.observe(competitors: competitors) }
            }
            let plan = choose(frame, request, left: left, best: bestRung)
            let outcome = plan.map { execute(frame, $0) }

            let met = outcome?.met ?? false
            let rung = plan?.index
            let gained = met ? rung.map { utility($0, frame, tokens: outcome?.tokens ?? 0) } ?? 0 : 0
            result.utility += gained
            result.regret += max(0, (best?.utility ?? 0) - gained)
            result.busy += now - start
            if plan != nil {
                result.started += 1
                result.missed += met ? 0 : 1
                result.settledStarted += settled[index] ? 1 : 0
                result.settledMissed += settled[index] && !met ? 1 : 0
            } else {
                result.refused += 1
                result.refusedInVain += bestRung == nil ? 0 : 1
            }
            if let rung {
                if let last = lastRung[frame.source], last != rung { result.switches += 1 }
                lastRung[frame.source] = rung
            }
            guard keepsFrames else { return }
            result.log.append(
                SimulatedFrame(
                    index: index, start: start, source: frame.source, left: left, rung: rung, bestRung: bestRung,
                    reason: plan?.reason.rawValue ?? "expired", actual: now - start,
                    predicted: plan?.predicted.total ?? 0, met: met, tokens: outcome?.tokens ?? 0,
                    slowdown: frame.seeing, estimated: planner.vision.factor, tokenSlowdown: frame.generate,
                    tokenEstimated: planner.generate.factor))
        }

        private mutating func choose(
            _ frame: TraceFrame, _ request: PlanRequest, left: Double, best: Int?
        ) -> Plan? {
            var request = request
            switch policy {
            case .adaptive, .table:
                break
            case .fixed(let rung):
                guard left > 0, simulation.ladder.steps.indices.contains(rung) else { return nil }
                request.choice = .fixed(simulation.ladder.steps[rung].rung)
                request.whenLate = .bestEffort
            case .oracle:
                guard simulation.ladder.count > 0 else { return nil }
                let others = others(frame)
                planner.forecast.planned(
                    at: now, waited: others.waited, othersWait: !others.waiting.isEmpty, each: others.each)
                guard let best else { return nil }
                request.choice = .fixed(simulation.ladder.steps[best].rung)
                request.whenLate = .bestEffort
            }
            guard case .run(let plan) = planner.plan(request, now: now) else { return nil }
            return plan
        }

        /// Runs the frame through its phases; `now` stands at its end afterwards.
        private mutating func execute(_ frame: TraceFrame, _ plan: Plan) -> (met: Bool, tokens: Int) {
            guard let rung = plan.index else { return (false, 0) }
            let times = realized(frame, rung, tokens: 1)
            func generation(of tokens: Int) -> Double {
                frame.stalls == nil
                    ? frame.generate * simulation.truth.generation(of: tokens, context: plan.context)
                    : realized(frame, rung, tokens: tokens).generate
            }
            let deadline = plan.deadline
            // Between the encoder's stages: four looks.
            for quarter in 1...4 {
                now += times.seeing / 4
                let seen = Double(quarter) / 4
                if givesUp(plan, seen: seen) {
                    var partial = PhaseTimes()
                    partial.vision = times.seeing * seen
                    learn(partial, tokens: 0, plan, met: false, seen: seen)
                    return (false, 0)
                }
            }
            now += times.prefill
            let firstToken = now
            var governor = planner.governor(for: plan, now: now)
            var tokens = 1
            if policy == .oracle {
                // It says all that fits; the length is no question of prediction.
                let step = frame.generate * simulation.truth.perToken(plan.context + 1)
                while tokens < frame.tokens, firstToken + generation(of: tokens + 1) + 0.02 * step <= deadline {
                    tokens += 1
                    now = firstToken + generation(of: tokens)
                }
            } else {
                // A sentence of about eleven tokens.
                while case .proceed = governor.advance(now: now, endsSentence: tokens % 11 == 0), tokens < frame.tokens
                {
                    tokens += 1
                    now = firstToken + generation(of: tokens)
                }
            }
            var measured = times
            measured.generate = now - firstToken
            let met = now <= deadline && tokens >= min(simulation.minimumTokens, frame.tokens)
            learn(measured, tokens: tokens, isWhole: tokens >= frame.tokens, plan, met: met, seen: 1)
            return (met, tokens)
        }

        private func givesUp(_ plan: Plan, seen: Double) -> Bool {
            policy == .adaptive ? !plan.canStillFinish(at: now, seen: seen) : now > plan.deadline
        }

        private mutating func learn(
            _ measured: PhaseTimes, tokens: Int, isWhole: Bool = false, _ plan: Plan, met: Bool, seen: Double
        ) {
            guard policy == .adaptive else { return }
            planner.observe(measured, tokens: tokens, isWhole: isWhole, of: plan, met: met, seen: seen)
        }
    }
}
