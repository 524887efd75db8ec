import LatencyBudget
import Testing

/// A rung that was measured wrongly is told from a device that has changed.
@Suite struct RungCorrectionTests {
    private static let rungs = [256, 512, 768].map { Rung(pixels: $0) }

    /// Frames with no budget at rungs in turn, each of which takes what the model says times factors.
    private func play(
        _ planner: inout Planner, _ frames: Range<Int>, computing: (_ frame: Int, _ rung: Rung) -> Double,
        prefill: (Rung) -> Double = { _ in 1 }
    ) throws {
        for frame in frames {
            let index = frame % Self.rungs.count
            let rung = Self.rungs[index]
            try play(&planner, rung: index, frame, computing: computing(frame, rung), prefill: prefill(rung))
        }
    }

    /// One frame at a rung.
    private func play(
        _ planner: inout Planner, rung index: Int, _ frame: Int, computing: Double, prefill: Double = 1
    ) throws {
        let now = Double(frame) * 10000
        let plan = try #require(planner.plan(request(Self.rungs[index], now), now: now).plan)
        var took = Samples.measured(plan, computing: computing)
        took.prefill *= prefill
        planner.observe(took, tokens: 20, of: plan, met: nil)
    }

    private func request(_ rung: Rung, _ now: Double) -> PlanRequest {
        PlanRequest(arrival: now, choice: .fixed(rung))
    }

    /// What is expected of a rung, over what the model says.
    private func expected(_ planner: Planner, _ rung: Rung) throws -> (vision: Double, prefill: Double) {
        var planner = planner
        let plan = try #require(planner.plan(request(rung, 1e9), now: 1e9).plan)
        let model = Samples.measured(plan)
        return (plan.predicted.vision / model.vision, plan.predicted.prefill / model.prefill)
    }

    @Test(arguments: [0.7, 1.4])
    func aRungThatWasMeasuredWronglyIsCorrectedByItsNeighbours(factor: Double) throws {
        var planner = try Samples.planner()
        try play(&planner, 0..<200, computing: { _, rung in rung.width == 512 ? factor : 1 })
        for rung in Self.rungs {
            let (vision, prefill) = try expected(planner, rung)
            let truth = rung.width == 512 ? factor : 1
            #expect(abs(vision / truth - 1) < 0.05, "\(rung.width) px: \(vision)")
            #expect(abs(prefill / truth - 1) < 0.05, "\(rung.width) px: \(prefill)")
        }
    }

    @Test func encoderAndPrefillAreCorrectedByThemselves() throws {
        var planner = try Samples.planner()
        try play(&planner, 0..<200, computing: { _, _ in 1 }, prefill: { $0.width == 512 ? 1.3 : 1 })
        let (vision, prefill) = try expected(planner, Self.rungs[1])
        #expect(abs(vision - 1) < 0.02)
        #expect(abs(prefill / 1.3 - 1) < 0.05)
    }

    @Test func aDeviceThatChangesIsNoRungThatDoes() throws {
        var planner = try Samples.planner()
        // Slower from frame to frame, then at once, then as fast as ever.
        func speed(_ frame: Int) -> Double {
            switch frame {
            case ..<50: 1 + 0.01 * Double(frame)
            case ..<100: 2.5
            default: 1
            }
        }
        for end in [50, 100, 200] {
            try play(&planner, (end == 200 ? 100 : end - 50)..<end, computing: { frame, _ in speed(frame) })
            let shares = try Self.rungs.map { try expected(planner, $0).vision }
            for share in shares {
                #expect(abs(share / shares[0] - 1) < 0.05, "after \(end) frames: \(shares)")
            }
        }
    }

    @Test func aChangeThatComesAndGoesWhileARungIsInUseIsNotItsOwn() throws {
        var planner = try Samples.planner()
        // High until the device is slow, then low until it is fast again.
        let spell = [(2, 1.0), (2, 1), (2, 1.5), (2, 1.5), (0, 1.5), (0, 1.5), (0, 1), (0, 1)]
        for frame in 0..<400 {
            let (index, speed) = spell[frame % spell.count]
            try play(&planner, rung: index, frame, computing: speed)
        }
        let shares = try Self.rungs.map { try expected(planner, $0).vision }
        #expect(abs(shares[0] / shares[2] - 1) < 0.05, "\(shares)")
    }

    @Test(arguments: [true, false]) func correctionsDoNotWander(isProfiled: Bool) throws {
        var planner = try Samples.planner(model: isProfiled ? Samples.model : nil)
        var generator = SeededGenerator(seed: 7)
        for frame in 0..<20_000 {
            let noise = Double.random(in: 0.9...1.11, using: &generator)
            try play(&planner, rung: frame % 3, frame, computing: noise)
            guard frame % 1000 == 999 else { continue }
            let shares = try Self.rungs.map { try expected(planner, $0).vision }
            for share in shares { #expect(abs(share / shares[0] - 1) < 0.08, "\(shares)") }
            #expect(abs(planner.vision.level) < 0.08)
        }
    }

    @Test func withoutAProfileTheFirstFramesOfARungDecide() throws {
        var planner = try Samples.planner(model: nil)
        try play(&planner, 0..<15, computing: { _, rung in rung.width == 512 ? 1.6 : 1 })
        for rung in Self.rungs {
            let share = try expected(planner, rung).vision
            #expect(abs(share / (rung.width == 512 ? 1.6 : 1) - 1) < 0.12, "\(rung.width) px: \(share)")
        }
    }

    @Test func aSecondStallIsNotTheRungs() throws {
        var planner = Planner(ladder: try Samples.smallLadder(), model: Samples.smallModel)
        let rungs = [Rung(pixels: 128), Rung(pixels: 256)]
        func plan(_ frame: Int) throws -> Plan {
            let now = Double(frame) * 10
            return try #require(planner.plan(request(rungs[frame % 2], now), now: now).plan)
        }
        func answer(_ frame: Int, stall: Double = 0) throws {
            let plan = try plan(frame)
            var took = Samples.measured(plan, model: Samples.smallModel)
            took.vision += stall
            planner.observe(took, tokens: 20, of: plan, met: nil)
        }
        func share() throws -> Double { try plan(0).predicted.vision / plan(1).predicted.vision }
        for frame in 0..<90 { try answer(frame) }
        // The first may be a device that has changed; the second, soon after it, is another program's.
        try answer(90, stall: 4)
        for frame in 91..<102 { try answer(frame) }
        let before = try share()
        try answer(102, stall: 4)
        #expect(abs(try share() / before - 1) < 0.001)
    }

    @Test func framesOfOneRungAloneTellNothingOfIt() throws {
        var planner = try Samples.planner()
        for frame in 0..<300 { try play(&planner, rung: 1, frame, computing: 1.4) }
        for rung in Self.rungs { #expect(abs(try expected(planner, rung).vision / 1.4 - 1) < 0.02) }
    }

    /// A frame that another program stalled, or that was given up, is none to compare with.
    @Test(arguments: [true, false]) func disturbedFramesTellNothing(isInCompany: Bool) throws {
        var planner = try Samples.planner()
        for frame in 0..<300 {
            let rung = Self.rungs[frame % 2]
            let now = Double(frame) * 10000
            if isInCompany { planner.observe(competitors: frame % 2) }
            let plan = try #require(planner.plan(request(rung, now), now: now).plan)
            var took = Samples.measured(plan, computing: frame % 2 == 1 ? 1.3 : 1)
            if !isInCompany, frame % 2 == 1 { took.prefill = 0 }
            planner.observe(took, tokens: 20, of: plan, met: nil)
        }
        planner.observe(competitors: 0)
        let shares = try Self.rungs.map { try expected(planner, $0).vision }
        #expect(abs(shares[1] / shares[2] - 1) < 0.01, "\(shares)")
    }
}
