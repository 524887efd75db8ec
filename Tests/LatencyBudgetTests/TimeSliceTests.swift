import FoundationEssentials
import LatencyBudget
import Testing

/// Frames that are shorter than the slices of time for which other programs take their cores.
@Suite struct TimeSliceTests {
    private static let budget = 4.7

    private static func planner() throws -> Planner {
        Planner(ladder: try Samples.smallLadder(), model: Samples.smallModel)
    }

    private static func request(_ budget: Double = budget) -> PlanRequest {
        PlanRequest(arrival: 1000, budget: budget, textTokens: 26)
    }

    /// Plans a frame and tells the planner what it took: what it costs, and `stall` ms of encoding more.
    @discardableResult
    private static func frame(
        _ planner: inout Planner, budget: Double = budget, stall: Double = 0, slowdown: Double = 1,
        competitors: Int? = nil, seed: inout SeededGenerator
    ) -> Plan? {
        if let competitors { planner.observe(competitors: competitors) }
        guard let plan = planner.plan(request(budget), now: 1000).plan else { return nil }
        let tokens = min(20, plan.tokenLimit)
        var measured = Samples.measured(
            plan, tokens: tokens, computing: slowdown * seed.noise(0.06), memory: seed.noise(0.06),
            model: Samples.smallModel)
        measured.vision += stall
        planner.observe(measured, tokens: tokens, of: plan, met: measured.total <= budget)
        return plan
    }

    private static func settled(_ seed: inout SeededGenerator) throws -> Planner {
        var planner = try planner()
        for _ in 0..<60 { frame(&planner, competitors: 0, seed: &seed) }
        return planner
    }

    // MARK: - What a planner makes of stalls

    @Test func aSecondStallIsReckonedWithAndForgottenOnceItIsProved() throws {
        for number in 1...20 {
            var seed = SeededGenerator(seed: UInt64(number))
            var planner = try Self.settled(&seed)
            let calm = try #require(Self.frame(&planner, budget: 7.5, seed: &seed))
            let margin = planner.residuals.margin
            #expect(calm.rung == Rung(pixels: 320))
            // The first is an accident.
            Self.frame(&planner, budget: 7.5, stall: 4, seed: &seed)
            for _ in 0..<6 { Self.frame(&planner, budget: 7.5, seed: &seed) }
            #expect(Self.frame(&planner, budget: 7.5, seed: &seed)?.rung == Rung(pixels: 320))
            Self.frame(&planner, budget: 7.5, stall: 4, seed: &seed)
            for index in 0..<6 {
                let plan = try #require(Self.frame(&planner, budget: 7.5, seed: &seed))
                // There is room for another one.
                #expect(plan.rung.width < 320, "seed \(number), frame \(index)")
                #expect(plan.bound - plan.predicted.total > 2, "seed \(number), frame \(index)")
            }
            Self.frame(&planner, budget: 7.5, seed: &seed)
            let after = try #require(Self.frame(&planner, budget: 7.5, seed: &seed))
            #expect(after.rung == Rung(pixels: 320), "seed \(number)")
            // One step for the accident, none for the stall that showed what they are.
            #expect(planner.residuals.margin < margin + 0.5)
            #expect(planner.vision.factor < 1.05)
        }
    }

    @Test func besideProgramsThatAreSeenOneStallIsEnough() throws {
        var seed = SeededGenerator(seed: 4)
        var planner = try Self.settled(&seed)
        for _ in 0..<5 {
            let plan = try #require(Self.frame(&planner, budget: 7.5, competitors: 2, seed: &seed))
            // That they are there is no stall yet.
            #expect(plan.rung == Rung(pixels: 320))
        }
        Self.frame(&planner, budget: 7.5, stall: 4, competitors: 2, seed: &seed)
        Self.frame(&planner, budget: 7.5, competitors: 2, seed: &seed)
        #expect(try #require(Self.frame(&planner, budget: 7.5, competitors: 2, seed: &seed)).rung.width < 320)
        // One of them may have paused for a moment.
        let once = try #require(Self.frame(&planner, budget: 7.5, competitors: 0, seed: &seed))
        #expect(once.rung.width < 320)
        let twice = try #require(Self.frame(&planner, budget: 7.5, competitors: 0, seed: &seed))
        #expect(twice.rung == Rung(pixels: 320))
    }

    @Test func whileTheyAreSeenASecondStallTakesLongerToForget() throws {
        var seed = SeededGenerator(seed: 13)
        func proof(_ stalls: [Double]) throws -> Int {
            var planner = try Self.settled(&seed)
            for stall in stalls { Self.frame(&planner, budget: 7.5, stall: stall, competitors: 1, seed: &seed) }
            let rungs = (0..<50).map { _ in
                Self.frame(&planner, budget: 7.5, competitors: 1, seed: &seed)?.rung.width ?? 0
            }
            return rungs.firstIndex { $0 == 320 } ?? 50
        }
        #expect((5...9).contains(try proof([4])))
        #expect((25...30).contains(try proof([4, 0, 0, 4])))
    }

    @Test func aStallAmongTheTokensCountsWhole() throws {
        var seed = SeededGenerator(seed: 14)
        var planner = try Self.settled(&seed)
        for stall in [3.0, 0, 0, 0, 3] {
            let plan = try #require(planner.plan(Self.request(20), now: 1000).plan)
            var measured = Samples.measured(plan, tokens: 60, model: Samples.smallModel)
            measured.generate += stall
            planner.observe(measured, tokens: 60, of: plan, met: true)
        }
        // Of 60 tokens the shortest useful answer has 8: a seventh of it would be no stall at all.
        let plan = try #require(planner.plan(Self.request(20), now: 1000).plan)
        #expect(plan.bound > 4.1 + 2.7)
    }

    @Test func thatNobodyIsSeenSaysNothingOfStallsThatNobodyWasSeenBeside() throws {
        var seed = SeededGenerator(seed: 5)
        var planner = try Self.settled(&seed)
        for stall in [4.0, 0, 0, 0, 4] {
            Self.frame(&planner, budget: 7.5, stall: stall, competitors: 0, seed: &seed)
        }
        // Who comes now and goes again was not the reason.
        for competitors in [0, 1, 1, 0, 0, 0] {
            let plan = try #require(Self.frame(&planner, budget: 7.5, competitors: competitors, seed: &seed))
            #expect(plan.rung.width < 320)
        }
    }

    @Test func framesThatAreLateOneAfterTheOtherAreASlowerDevice() throws {
        var seed = SeededGenerator(seed: 6)
        var planner = try Self.settled(&seed)
        for _ in 0..<3 { Self.frame(&planner, budget: 12, slowdown: 1.8, seed: &seed) }
        #expect(planner.vision.factor > 1.6)
        let plan = try #require(Self.frame(&planner, budget: 12, slowdown: 1.8, seed: &seed))
        // A slowdown needs no room for a slice besides.
        #expect(plan.bound < 1.35 * plan.predicted.total)
    }

    @Test func whatTakesLongerThanSlicesIsNone() throws {
        var planner = try Samples.planner()
        var seed = SeededGenerator(seed: 7)
        var plans: [Plan] = []
        for index in 0..<60 {
            let plan = try #require(
                planner.plan(PlanRequest(arrival: 1000, budget: 60_000), now: 1000).plan)
            plans.append(plan)
            // Two accidents within a few frames.
            let slow = index == 50 || index == 55 ? 1.9 : 1
            planner.observe(
                Samples.measured(plan, computing: slow * seed.noise(0.06), memory: slow), tokens: 20, of: plan,
                met: true)
        }
        #expect(plans[58].bound < 1.3 * plans[58].predicted.total)
    }

    @Test func tokensLeaveTheTimeOfAStall() throws {
        var seed = SeededGenerator(seed: 8)
        var planner = try Self.settled(&seed)
        for stall in [4.0, 0, 0, 4, 0, 4, 0, 4, 0] { Self.frame(&planner, budget: 6.4, stall: stall, seed: &seed) }
        let plan = try #require(planner.plan(Self.request(6.4), now: 1000).plan)
        #expect(plan.rung == Rung(pixels: 128))
        let whole = Samples.smallModel.phases(
            plan.rung, sourcePixels: CostModel.usualSourcePixels, textTokens: 26, tokens: plan.tokenLimit)
        #expect(whole.total + 4 < 1.1 * 6.4)
    }

    @Test func aSliceThatWasLongForAShortFrameIsNoLongerForALongOne() throws {
        var seed = SeededGenerator(seed: 15)
        var planner = try Self.settled(&seed)
        for stall in [4.0, 0, 0, 4, 0, 4, 0, 4, 0] { Self.frame(&planner, budget: 6.4, stall: stall, seed: &seed) }
        let plan = try #require(planner.plan(Self.request(60), now: 1000).plan)
        #expect(plan.rung == Rung(pixels: 320))
        // Two and a half times what the shortest frame takes.
        #expect((7.5...11).contains(plan.bound))
    }

    @Test func picturesThatTakeLongerThanExpectedAreNoStallsForEver() throws {
        var planner = try Self.planner()
        let small = EncodedPicture(.jpeg, bytes: 8000, width: 320, height: 240)
        let large = EncodedPicture(.png, bytes: 600_000, width: 1000, height: 1000)
        var predicted: [Double] = []
        for index in 0..<60 {
            var request = Self.request(60)
            let isSmall = index < 10 || index % 2 == 0
            request.picture = isSmall ? small : large
            let plan = try #require(planner.plan(request, now: 1000).plan)
            var measured = Samples.measured(plan, model: Samples.smallModel)
            measured.decode = isSmall ? 0.25 : 6
            // The first large one comes beside other programs.
            if index == 4 || index == 8 { measured.vision += 4 }
            predicted.append(plan.predicted.decode)
            planner.observe(measured, tokens: 20, of: plan, met: true)
        }
        #expect(abs(predicted[59] / 6 - 1) < 0.2)
        #expect(abs(predicted[58] / 0.25 - 1) < 0.2)
        var request = Self.request(60)
        request.picture = small
        let plan = try #require(planner.plan(request, now: 1000).plan)
        #expect(plan.bound < 1.3 * plan.predicted.total)
    }

    @Test func whatIsLearnedInCompanyIsNotHeldAgainstADeviceByItself() throws {
        var seed = SeededGenerator(seed: 9)
        var planner = try Self.settled(&seed)
        let (alone, company) = (planner.residuals, planner.companyResiduals)
        // Unsteady, but no stalls.
        for index in 0..<40 {
            Self.frame(&planner, budget: 12, slowdown: index % 3 == 0 ? 1.25 : 1, competitors: 1, seed: &seed)
        }
        #expect(planner.residuals == alone)
        #expect(planner.companyResiduals.observations >= company.observations + 38)
        #expect(planner.companyResiduals.exceedances > 0)
        var (beside, apart) = (planner, planner)
        apart.observe(competitors: 0)
        apart.observe(competitors: 0)
        let wide = try #require(beside.plan(Self.request(60), now: 1000).plan).bound
        let narrow = try #require(apart.plan(Self.request(60), now: 1000).plan).bound
        #expect(wide > 1.03 * narrow)
        let (residuals, after) = (planner.residuals, planner.companyResiduals)
        for _ in 0..<12 { Self.frame(&planner, budget: 12, competitors: 0, seed: &seed) }
        #expect(planner.residuals.observations >= residuals.observations + 10)
        #expect(planner.companyResiduals.observations <= after.observations + 2)
    }

    @Test func onceProgramsHaveGoneTheNextFramesCountForMore() throws {
        var seed = SeededGenerator(seed: 16)
        var planner = try Self.settled(&seed)
        for _ in 0..<30 { Self.frame(&planner, budget: 12, slowdown: 1.15, competitors: 1, seed: &seed) }
        let before = [planner.vision, planner.prefill, planner.generate].map(\.variance)
        planner.observe(competitors: 0)
        #expect([planner.vision, planner.prefill, planner.generate].map(\.variance) == before)
        planner.observe(competitors: 0)
        for (before, filter) in zip(before, [planner.vision, planner.prefill, planner.generate]) {
            #expect(filter.variance > before + 0.05)
        }
        Self.frame(&planner, budget: 12, competitors: 0, seed: &seed)
        #expect(abs(planner.vision.factor - 1) < 0.08)
    }

    @Test func hopelessFramesAreTriedSeldomBesideProgramsAndAtOnceAfterThem() throws {
        func tried(competitors: Int?, _ planner: inout Planner) throws -> Int {
            var seed = SeededGenerator(seed: 10)
            planner = try Self.settled(&seed)
            for _ in 0..<6 { Self.frame(&planner, budget: 60, slowdown: 4, competitors: competitors, seed: &seed) }
            return (0..<80).count { _ in
                Self.frame(&planner, budget: 4, slowdown: 4, competitors: competitors, seed: &seed) != nil
            }
        }
        var planner = try Self.planner()
        let blind = try tried(competitors: nil, &planner)
        let seeing = try tried(competitors: 2, &planner)
        #expect(blind >= 8)
        #expect(seeing <= 5 && seeing >= 3)
        var seed = SeededGenerator(seed: 11)
        let after = (0..<10).map { _ in Self.frame(&planner, budget: 4, competitors: 0, seed: &seed) != nil }
        #expect(after == [false] + Array(repeating: true, count: 9))
    }

    @Test func whatAnIdleDeviceCannotAnswerIsNotTried() throws {
        var seed = SeededGenerator(seed: 12)
        var planner = try Self.settled(&seed)
        let least = Samples.smallModel.phases(
            Rung(pixels: 128), sourcePixels: CostModel.usualSourcePixels, textTokens: 26, tokens: 8
        ).total
        for _ in 0..<30 { #expect(Self.frame(&planner, budget: 0.7 * least, seed: &seed) == nil) }
        // The profile may have been measured on a busy device.
        let late = (0..<60).count { _ in Self.frame(&planner, budget: 0.7 * least, seed: &seed) != nil }
        #expect((1...6).contains(late))
        #expect((0..<200).allSatisfy { _ in Self.frame(&planner, budget: 0.4 * least, seed: &seed) == nil })
    }

    // MARK: - Programs that begin and end

    /// What came of 200 frames, the middle third of them beside other programs.
    struct Spell {
        var started = 0
        var missed = 0
        var down: Int?
        var up: Int?
    }

    private static func spell(hogs: Int, budget: Double, isShown: Bool, seed: UInt64) throws -> Spell {
        let all = try Trace.generated(.timeSlices, frames: 700, seed: seed, cheapest: 1.6, dearest: 4.1).frames
        let begin = hogs == 1 ? 400 : 533
        var frames = Array(all[begin - 67..<begin + 133])
        for index in frames.indices {
            frames[index].arrival = Double(index) * 50
            frames[index].budget = budget
            frames[index].source = 0
            frames[index].question = .general
            if !isShown { frames[index].competitors = nil }
        }
        var simulation = Simulation(
            ladder: try Samples.smallLadder(), truth: Samples.smallModel, profile: Samples.smallModel)
        simulation.textTokens = 26
        let log = simulation.run(try Trace(name: "spell", frames: frames), .adaptive, keepsFrames: true).log
        let rungs = log.map { $0.rung ?? -1 }
        /// The rung that is met most often in the later half.
        func settled(_ rungs: ArraySlice<Int>) -> Int {
            let late = Dictionary(grouping: rungs.suffix(rungs.count / 2)) { $0 }
            return late.max { ($0.value.count, $0.key) < ($1.value.count, $1.key) }?.key ?? -1
        }
        let (before, beside, after) = (rungs[..<67], rungs[67..<134], rungs[134...])
        var spell = Spell(started: log.count { $0.rung != nil }, missed: log.count { $0.rung != nil && !$0.met })
        if settled(beside) < settled(before) {
            spell.down = beside.firstIndex { $0 <= settled(beside) }.map { $0 - 67 }
        }
        if settled(after) > settled(beside) { spell.up = after.firstIndex { $0 >= settled(after) }.map { $0 - 134 } }
        return spell
    }

    @Test(arguments: [1, 2], [4.7, 7.5, 11.9])
    func aRungFollowsProgramsThatBeginAndEnd(hogs: Int, budget: Double) throws {
        for isShown in [true, false] {
            let spells = try (1...60).map {
                try Self.spell(hogs: hogs, budget: budget, isShown: isShown, seed: UInt64($0))
            }
            let started = spells.reduce(0) { $0 + $1.started }
            let missed = Double(spells.reduce(0) { $0 + $1.missed }) / Double(started)
            #expect(missed <= (isShown ? 0.05 : 0.06), "\(isShown): \(missed)")
            #expect(started > 60 * 150)
            let ups = spells.compactMap(\.up)
            let downs = spells.compactMap(\.down)
            // Two programs always move the rung.
            if hogs == 2 { #expect(min(ups.count, downs.count) >= 58) }
            guard ups.count > 20 else { continue }
            // Where nothing shows them and no rung keeps room for a stall, most frames are not begun and few can prove it.
            let share: Double = isShown || budget > 5 ? 0.85 : 0.5
            #expect(Double(ups.count { $0 <= 10 }) >= share * Double(ups.count), "\(isShown): \(ups.sorted())")
            if hogs == 2, isShown {
                #expect(Double(downs.count { $0 <= 3 }) >= 0.7 * Double(downs.count), "\(downs.sorted())")
            }
        }
    }

    // MARK: - Traces with stalls

    @Test func stallsTakeWholeSlicesFromFramesThatLastLongEnough() throws {
        var simulation = Simulation(
            ladder: try Samples.smallLadder(), truth: Samples.smallModel, profile: Samples.smallModel)
        simulation.textTokens = 26
        func time(_ stalls: Stalls?) throws -> Double {
            let frame = TraceFrame(arrival: 0, budget: 1000, stalls: stalls, tokens: 8)
            let result = simulation.run(try Trace(name: "one", frames: [frame]), .fixed(3), keepsFrames: true)
            return try #require(result.log.first).actual
        }
        let alone = try time(nil)
        #expect(try abs(time(Stalls(first: alone + 0.1, every: 1, duration: 4)) - alone) < 1e-9)
        #expect(try abs(time(Stalls(first: alone - 0.01, every: 1, duration: 4)) - alone - 4) < 1e-9)
        #expect(try abs(time(Stalls(first: 0.5, every: 10, duration: 4)) - alone - 4) < 1e-9)
        #expect(try abs(time(Stalls(first: 0.5, every: 1.5, duration: 4)) - alone - 12) < 1e-9)
    }

    @Test func stallsAndCompetitorsAreRecorded() throws {
        let line = #"{"arrival_ms":0,"budget_ms":9,"stalls":{"first_ms":3,"every_ms":4,"ms":4.5},"competitors":2}"#
        let frame = try JSONDecoder().decode(TraceFrame.self, from: Data(line.utf8))
        #expect(frame.stalls == Stalls(first: 3, every: 4, duration: 4.5))
        #expect(frame.competitors == 2)
        #expect(try JSONDecoder().decode(TraceFrame.self, from: JSONEncoder().encode(frame)) == frame)
        for stalls in [
            Stalls(first: -1, every: 1, duration: 1), Stalls(first: .nan, every: 1, duration: 1),
            Stalls(first: 1, every: 0, duration: 1), Stalls(first: 1, every: .infinity, duration: 1),
            Stalls(first: 1, every: 1, duration: -1), Stalls(first: 1, every: 1, duration: .nan),
        ] {
            #expect(throws: LatencyBudgetError.self) {
                try Trace(name: "bad", frames: [TraceFrame(arrival: 0, budget: 1, stalls: stalls)])
            }
        }
    }
}
