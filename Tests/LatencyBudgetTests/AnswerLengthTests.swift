import LatencyBudget
import Testing

/// What a planner makes of how long answers usually are.
@Suite struct AnswerLengthTests {
    private static func request(
        _ kind: Int, budget: Double, minimum: Int = 8, _ question: QuestionType = .general, replies: Int = 1
    ) -> PlanRequest {
        var request = PlanRequest(arrival: 1000, budget: budget, question: question, minimumTokens: minimum)
        request.kind = kind
        request.replies = replies
        return request
    }

    /// One frame with time to spare, answered with `tokens`.
    private static func answer(
        _ planner: inout Planner, _ kind: Int, tokens: Int, isWhole: Bool = true, budget: Double = 60_000,
        _ question: QuestionType = .general, replies: Int = 1
    ) throws {
        let plan = try #require(
            planner.plan(request(kind, budget: budget, question, replies: replies), now: 1000).plan)
        planner.observe(
            Samples.measured(plan, tokens: tokens), tokens: tokens, isWhole: isWhole, of: plan, met: true)
    }

    /// Tokens that are expected of the next answer: what generating is predicted to take, at one rung.
    private static func expected(
        _ planner: Planner, _ kind: Int, _ question: QuestionType = .general, replies: Int = 1
    ) throws -> Double {
        var planner = planner
        var request = request(kind, budget: 60_000, question, replies: replies)
        request.choice = .fixed(Rung(pixels: 256))
        let plan = try #require(planner.plan(request, now: 1000).plan)
        let one = Samples.model.generation(of: 2, context: 64)
        return 1 + plan.predicted.generate / (planner.generate.factor * one)
    }

    @Test func eachQuestionHasALengthOfItsOwn() throws {
        var planner = try Samples.planner()
        for _ in 0..<20 {
            try Self.answer(&planner, 1, tokens: 60)
            try Self.answer(&planner, 2, tokens: 9)
        }
        #expect(abs(try Self.expected(planner, 1) / 60 - 1) < 0.1)
        #expect(abs(try Self.expected(planner, 2) / 9 - 1) < 0.1)
        // Of what was never asked all answers tell.
        let other = try Self.expected(planner, 3)
        #expect(other > 20 && other < 50)
    }

    @Test func ofAnAnswerThatWasCutItIsKnownHowLongItIsAtLeast() throws {
        var planner = try Samples.planner()
        for _ in 0..<20 { try Self.answer(&planner, 1, tokens: 20) }
        try Self.answer(&planner, 1, tokens: 12, isWhole: false)
        #expect(abs(try Self.expected(planner, 1) / 20 - 1) < 0.1)
        // One alone says little, as some are longer than others.
        try Self.answer(&planner, 1, tokens: 24, isWhole: false)
        #expect(abs(try Self.expected(planner, 1) / 20 - 1) < 0.1)
        for _ in 0..<60 { try Self.answer(&planner, 1, tokens: 40, isWhole: false) }
        #expect(try Self.expected(planner, 1) > 45)
        for _ in 0..<60 { try Self.answer(&planner, 1, tokens: 20) }
        #expect(abs(try Self.expected(planner, 1) / 20 - 1) < 0.2)
    }

    @Test func whatWasNotAskedForLongestIsForgotten() throws {
        var planner = try Samples.planner()
        // All of one group, and a place too few.
        for kind in 0..<9 {
            for _ in 0..<4 { try Self.answer(&planner, 16 * kind, tokens: 100) }
            if kind == 4 { try Self.answer(&planner, 0, tokens: 100) }
        }
        for _ in 0..<100 { try Self.answer(&planner, 1, tokens: 10) }
        // The second was asked before all others that are left.
        let forgotten = (0..<9).filter { kind in
            (try? Self.expected(planner, 16 * kind)).map { $0 < 50 } ?? true
        }
        #expect(forgotten == [1])
    }

    @Test func aWholeAnswerCountsForMoreThanPixels() throws {
        var planner = try Samples.planner()
        // Room for the shortest useful answer at 512 pixels, not for sixty tokens.
        let budget = 1.3 * Samples.time(512)
        #expect(Samples.time(256, tokens: 60) < budget && Samples.time(512, tokens: 60) > 1.1 * budget)
        func rung(_ kind: Int) throws -> Rung {
            var planner = planner
            return try #require(planner.plan(Self.request(kind, budget: budget), now: 1000).plan).rung
        }
        // Nothing is known: no pixels are given up for a guess.
        #expect(try rung(1) == Rung(pixels: 512))
        for _ in 0..<8 {
            try Self.answer(&planner, 1, tokens: 60)
            try Self.answer(&planner, 2, tokens: 9)
        }
        #expect(try rung(1) == Rung(pixels: 256))
        #expect(try rung(2) == Rung(pixels: 512))
        // What is asked to be short is not taken to be long.
        var short = Self.request(1, budget: budget)
        short.maximumTokens = 10
        #expect(planner.plan(short, now: 1000).plan?.rung == Rung(pixels: 512))
    }

    @Test func anAnswerThatOnlyJustFitsIsNotCountedOn() throws {
        var planner = try Samples.planner()
        for _ in 0..<8 { try Self.answer(&planner, 1, tokens: 60) }
        func rung(_ share: Double) throws -> Rung {
            var planner = planner
            let whole = Samples.time(512, tokens: 60)
            let taken = planner.generate.deviation * whole
            return try #require(planner.plan(Self.request(1, budget: share * (whole + taken)), now: 1000).plan).rung
        }
        // Half of the answers are longer than the usual one.
        #expect(try rung(1) == Rung(pixels: 256))
        #expect(try rung(1.4) == Rung(pixels: 512))
    }

    @Test func whatFitsNowhereIsWorthWhatIsSaidOfIt() throws {
        var planner = try Samples.planner()
        for _ in 0..<8 { try Self.answer(&planner, 1, tokens: 3000) }
        var request = Self.request(1, budget: Samples.time(512, tokens: 1500))
        request.maximumTokens = 4000
        // Almost as much can be said at 512 pixels as at 256, and that is worth more.
        #expect(Samples.time(256, tokens: 1560) > Samples.time(512, tokens: 1500))
        #expect(planner.plan(request, now: 1000).plan?.rung.width ?? 0 >= 512)
    }

    @Test func forAYesOrNoFewTokensAreKept() throws {
        var planner = try Samples.planner()
        let budget = 0.98 * Samples.time(256, tokens: 8)
        for index in 0..<30 {
            #expect(planner.plan(Self.request(1, budget: budget), now: 1000).plan == nil, "\(index)")
            try Self.answer(&planner, 2, tokens: 20)
        }
        for _ in 0..<30 { try Self.answer(&planner, 1, tokens: 2) }
        let plan = try #require(planner.plan(Self.request(1, budget: budget), now: 1000).plan)
        #expect(plan.minimumTokens == 2)
        #expect(planner.plan(Self.request(2, budget: budget), now: 1000).plan == nil)
        // Never more than is asked for.
        #expect(planner.plan(Self.request(2, budget: 60_000, minimum: 3), now: 1000).plan?.minimumTokens == 3)
    }

    @Test func answersThatVaryNeedRoomForTheLongOnes() throws {
        func fewest(_ lengths: [Int]) throws -> Int {
            var planner = try Samples.planner()
            for _ in 0..<20 { for tokens in lengths { try Self.answer(&planner, 1, tokens: tokens) } }
            let request = Self.request(1, budget: 60_000, minimum: 16)
            return try #require(planner.plan(request, now: 1000).plan).minimumTokens
        }
        #expect(try fewest([5]) == 5)
        #expect(try fewest([4, 5, 6]) == 6)
        #expect(try (7...9).contains(fewest([2, 6])))
        // After a few answers it is not known yet that they do not vary.
        var planner = try Samples.planner()
        for _ in 0..<4 { try Self.answer(&planner, 1, tokens: 5) }
        #expect(planner.plan(Self.request(1, budget: 60_000, minimum: 16), now: 1000).plan?.minimumTokens == 6)
    }

    @Test func pixelsAreGivenUpForAnswersThatMayBeLong() throws {
        // A little is gained by pixels.
        let ladder = try Ladder([
            Ladder.Step(Rung(pixels: 256), utility: Utility(general: 50)),
            Ladder.Step(Rung(pixels: 512), utility: Utility(general: 52)),
        ])
        func rung(_ lengths: [Int]) throws -> Rung {
            var planner = Planner(ladder: ladder, model: Samples.model)
            for _ in 0..<20 { for tokens in lengths { try Self.answer(&planner, 1, tokens: tokens) } }
            let whole = Samples.time(512, tokens: 60)
            let budget = 1.2 * (1 + planner.generate.deviation) * whole
            return try #require(planner.plan(Self.request(1, budget: budget), now: 1000).plan).rung
        }
        #expect(try rung([60]) == Rung(pixels: 512))
        #expect(try rung([30, 90]) == Rung(pixels: 256))
    }

    @Test func aNewPromptIsTakenForOneLikeTheOthersOfItsType() throws {
        var planner = try Samples.planner()
        // Each is asked once.
        for kind in 0..<6 {
            try Self.answer(&planner, kind, tokens: 2, .presence)
            try Self.answer(&planner, 100 + kind, tokens: 60)
        }
        #expect(planner.plan(Self.request(50, budget: 60_000, .presence), now: 1000).plan?.minimumTokens == 2)
        #expect(planner.plan(Self.request(50, budget: 60_000), now: 1000).plan?.minimumTokens == 8)
        #expect(abs(try Self.expected(planner, 50) / 60 - 1) < 0.1)
        // Twice as long where two are asked for, and what is taken for granted yields to what is seen.
        #expect(abs(try Self.expected(planner, 50, replies: 2) / 120 - 1) < 0.1)
        for _ in 0..<60 { try Self.answer(&planner, 50, tokens: 40, replies: 2) }
        #expect(abs(try Self.expected(planner, 50, replies: 2) / 40 - 1) < 0.1)
        #expect(abs(try Self.expected(planner, 51) / 20 - 1) < 0.2)
    }

    @Test func aFirstAnswerThatWasCutIsHeldAgainstOthersOfItsType() throws {
        var planner = try Samples.planner()
        for kind in 0..<6 { try Self.answer(&planner, kind, tokens: 60) }
        // A cut answer to a prompt that is new does not make its answers short.
        try Self.answer(&planner, 50, tokens: 9, isWhole: false)
        #expect(abs(try Self.expected(planner, 50) / 60 - 1) < 0.1)
        // A whole one says more than the others.
        try Self.answer(&planner, 51, tokens: 20)
        #expect(abs(try Self.expected(planner, 51) / 20 - 1) < 0.1)
    }

    // MARK: - What answers take besides their steps

    /// Answers to `kinds` in turn, each of as many tokens as its kind; every one takes `overhead` steps besides its own, and
    /// memory is `slowdown` times slower. Returns what the last one of each kind took, and what was predicted of it, ms.
    private static func generate(
        _ planner: inout Planner, tokens kinds: [Int], rounds: Int, overhead: Double, slowdown: Double = 1,
        replies: Int = 1
    ) throws -> [(took: Double, predicted: Double)] {
        var last: [(took: Double, predicted: Double)] = []
        for _ in 0..<rounds {
            last = try kinds.map { tokens in
                let request = request(tokens, budget: 60_000, replies: replies)
                let plan = try #require(planner.plan(request, now: 1000).plan)
                var measured = Samples.measured(plan, tokens: tokens, memory: slowdown)
                measured.generate +=
                    slowdown * overhead * Double(replies) * Samples.model.generation(of: 2, context: 400)
                let predicted = planner.prediction(of: plan, tokens: tokens).generate
                planner.observe(measured, tokens: tokens, of: plan, met: true)
                return (measured.generate, predicted)
            }
        }
        return last
    }

    @Test(arguments: [1, 3])
    func shortAnswersDoNotMakeTheDeviceSeemSlow(replies: Int) throws {
        var planner = try Samples.planner()
        // A description now and then, among yes and no.
        let tokens = Array(repeating: 1 + replies, count: 9) + [1 + 25 * replies]
        let last = try Self.generate(&planner, tokens: tokens, rounds: 20, overhead: 0.75, replies: replies)
        #expect(abs(planner.generate.factor - 1) < 0.06)
        for (took, predicted) in last { #expect(abs(predicted / took - 1) < 0.1) }
        #expect(last[0].took > 1.7 * last[9].took / 25)
        // A slower device is one all the same.
        _ = try Self.generate(
            &planner, tokens: [1 + 25 * replies], rounds: 4, overhead: 0.75, slowdown: 1.6, replies: replies)
        #expect(abs(planner.generate.factor / 1.6 - 1) < 0.06)
    }

    @Test func whereAllAnswersAreShortTheyAreForetoldAllTheSame() throws {
        var planner = try Samples.planner()
        let last = try Self.generate(&planner, tokens: [2], rounds: 60, overhead: 0.75)
        #expect(abs(last[0].predicted / last[0].took - 1) < 0.1)
        let slower = try Self.generate(&planner, tokens: [2], rounds: 60, overhead: 0.75, slowdown: 1.5)
        #expect(abs(slower[0].predicted / slower[0].took - 1) < 0.1)
        // Without a profile the first one is all that is known.
        var new = try Samples.planner(model: nil)
        let first = try Self.generate(&new, tokens: [2], rounds: 2, overhead: 0, slowdown: 40)
        #expect(abs(first[0].predicted / first[0].took - 1) < 0.1)
    }

    @Test func inASimulationAPartOfTheAnswerIsAPartOfItsWorth() throws {
        let simulation = Simulation(ladder: try Samples.ladder([256]), truth: Samples.model, profile: Samples.model)
        func utility(tokens: Int, _ policy: Simulation.Policy) throws -> Double {
            var frame = TraceFrame(arrival: 0, budget: Samples.time(256, tokens: 20), source: 0, isLive: false)
            frame.tokens = tokens
            return simulation.run(try Trace(name: "one", frames: [frame]), policy).utility
        }
        let whole = try utility(tokens: 10, .oracle)
        #expect(try whole == Samples.ladderUtility(256))
        let half = try utility(tokens: 40, .oracle)
        #expect(abs(half / whole - 0.5) < 0.03)
        // Two sentences of eleven tokens do not fit: it ends after the first.
        #expect(abs(try utility(tokens: 40, .fixed(0)) / whole - 11.0 / 40) < 0.001)
    }
}
