import LatencyBudget
import Testing

@Suite struct PlannerHardCaseTests {
    private static let tenYears = 10.0 * 365 * 86_400_000
    private static let strange: [Double] = [
        0, -0.0, -1, 1e-300, 1, 800, 1e9, 1e300, -1e300, .infinity, -.infinity, .nan, .greatestFiniteMagnitude,
        .leastNonzeroMagnitude, tenYears, -tenYears,
    ]

    @Test(arguments: [0.0, -0.0, -5, -1e300, -.infinity, .nan])
    func noTimeAtAllExpires(budget: Double) throws {
        var planner = try Samples.planner()
        var request = PlanRequest(arrival: 1000, budget: budget)
        #expect(planner.plan(request, now: 1000).expiry == .deadlinePassed)
        request.whenLate = .bestEffort
        let plan = try #require(planner.plan(request, now: 1000).plan)
        #expect(plan.reason == .bestEffort)
        #expect(plan.deadline == 1000)
    }

    @Test(arguments: [1e12, 1e300, .greatestFiniteMagnitude, .infinity])
    func endlessBudgetsTakeTheBest(budget: Double) throws {
        var planner = try Samples.planner()
        let plan = try #require(planner.plan(PlanRequest(arrival: 1000, budget: budget), now: 1000).plan)
        #expect(plan.rung == Rung(pixels: 1024))
        #expect(plan.tokenLimit == 240)
    }

    @Test func anEndlessReserveLeavesNoTimeButNoLimitIsNone() throws {
        var planner = try Samples.planner(configuration: PlannerConfiguration(reserve: .infinity))
        #expect(planner.plan(PlanRequest(arrival: 0, budget: 1e9), now: 0).plan == nil)
        #expect(planner.plan(PlanRequest(arrival: 0, budget: nil), now: 0).plan?.rung == Rung(pixels: 1024))
    }

    @Test func aClockSetBackTenYearsCostsNoBudget() throws {
        var planner = try Samples.planner()
        let request = PlanRequest(arrival: Self.tenYears, budget: 2 * Samples.time(1024))
        let plan = try #require(planner.plan(request, now: 1000).plan)
        #expect(plan.rung == Rung(pixels: 1024))
        #expect(plan.deadline == 1000 + 2 * Samples.time(1024))
    }

    @Test func aClockSetAheadTenYearsExpiresWhatWaited() throws {
        var planner = try Samples.planner()
        let request = PlanRequest(arrival: 1000, budget: 60_000)
        #expect(planner.plan(request, now: Self.tenYears).expiry == .deadlinePassed)
    }

    @Test func aClockThatJumpsTeachesNothing() throws {
        var planner = try Samples.planner()
        let plan = try #require(planner.plan(PlanRequest(arrival: 0, budget: 60_000), now: 0).plan)
        let before = planner
        for jump in [Self.tenYears, -Self.tenYears, .nan, .infinity, 0] {
            planner.observe(
                PhaseTimes(decode: jump, preprocess: jump, vision: jump, prefill: jump, generate: jump), tokens: 20,
                of: plan, met: nil)
        }
        #expect(planner.vision == before.vision)
        #expect(planner.prefill == before.prefill)
        #expect(planner.generate == before.generate)
    }

    @Test func anEmptyLadderExpiresEverything() throws {
        var planner = Planner(ladder: try Ladder([]), model: nil)
        for choice in [ResolutionChoice.budget, .off] {
            for budget in [nil, 0, 1e9] {
                let request = PlanRequest(arrival: 0, budget: budget, choice: choice)
                #expect(planner.plan(request, now: 0).expiry == .noRungs)
            }
        }
    }

    @Test func aProfileOfZerosStillPlans() throws {
        let nothing = CostCurve()
        let model = CostModel(
            decode: nothing, preprocess: nothing, encode: nothing, prefill: nothing, perToken: nothing)
        var planner = try Samples.planner(model: model)
        let plan = try #require(planner.plan(PlanRequest(arrival: 0, budget: 800), now: 0).plan)
        #expect(plan.rung == Rung(pixels: 1024))
        planner.observe(Samples.measured(plan), tokens: 20, of: plan, met: false)
        var governor = planner.governor(for: plan, now: 0)
        #expect(governor.advance(now: 700) == .proceed)
        #expect(governor.advance(now: 900) == .stop(.deadline))
    }

    @Test func anythingAtAllIsAnswered() throws {
        var random = SeededGenerator(seed: 11)
        func pick() -> Double { Self.strange[Int(random.next() % UInt64(Self.strange.count))] }
        func count() -> Int {
            [0, 1, -1, 8, 240, .max, .min, 1_000_000_007][Int(random.next() % 8)]
        }
        let rungs = [
            Rung(pixels: 512), Rung(pixels: 0), Rung(pixels: -1), Rung(pixels: .max), Rung(pixels: .min),
            Rung(width: .max, height: 1, columns: .max, rows: .min),
            Rung(width: 2048, height: 2048, columns: 2, rows: 2),
        ]
        for round in 0..<40 {
            let configuration = PlannerConfiguration(
                missTarget: pick(), reserve: pick(), proof: count(), probeAfter: count())
            var planner = try Samples.planner(
                [[256, 512], [1024], [32, 8192]][round % 3], model: round % 2 == 0 ? nil : Samples.model,
                configuration: configuration)
            for _ in 0..<500 {
                let rung = rungs[Int(random.next() % UInt64(rungs.count))]
                var request = PlanRequest(
                    arrival: pick(), budget: random.next() % 5 == 0 ? nil : pick(),
                    question: QuestionType.allCases[Int(random.next() % 4)],
                    choice: [.budget, .budget, .off, .fixed(rung)][Int(random.next() % 4)],
                    whenLate: random.next() % 2 == 0 ? .expired : .bestEffort, sourcePixels: pick(),
                    textTokens: count(), minimumTokens: count(), maximumTokens: count(), source: count(),
                    encoded: random.next() % 8 == 0 ? rung : nil)
                request.waiting.add(pick())
                planner.arrived(at: pick(), budget: pick())
                planner.observe(competitors: count())
                planner.observe(
                    DeviceSignals(
                        temperature: pick(), frequencyRatio: pick(), cpuPressure: pick(), memoryPressure: pick()))
                guard let plan = planner.plan(request, now: pick()).plan else { continue }
                #expect(plan.tokenLimit >= 1)
                #expect(plan.minimumTokens >= 1)
                #expect(!plan.deadline.isNaN)
                _ = plan.canStillFinish(at: pick(), seen: pick())
                var governor = planner.governor(for: plan, now: pick())
                for _ in 0..<20 { _ = governor.advance(now: pick(), endsSentence: random.next() % 3 == 0) }
                planner.observe(
                    PhaseTimes(
                        decode: pick(), preprocess: pick(), vision: pick(), prefill: pick(), generate: pick()),
                    tokens: count(), of: plan, met: [true, false, nil][Int(random.next() % 3)], seen: pick())
                #expect(planner.vision.level.isFinite)
                #expect(planner.residuals.margin.isFinite)
                #expect(planner.companyResiduals.margin.isFinite)
                #expect(planner.usualTokens.isFinite)
            }
            // And afterwards a usual frame is still planned in a usual way.
            let usual = PlanRequest(arrival: 0, budget: nil)
            #expect(planner.plan(usual, now: 0).plan != nil)
        }
    }
}
