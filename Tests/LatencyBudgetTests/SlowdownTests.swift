import LatencyBudget
import Testing

@Suite struct SlowdownTests {
    @Test func whatIsUncertainMovesTheLevelLess() {
        func level(uncertainty: Double) -> (level: Double, learned: Double) {
            var filter = SlowdownFilter(isKnown: true, proof: 5)
            for _ in 0..<50 { filter.observe(1) }
            let noise = filter.noise
            for _ in 0..<5 { filter.observe(1.3, uncertainty: uncertainty) }
            return (filter.level, filter.noise - noise)
        }
        let (certain, uncertain) = (level(uncertainty: 0), level(uncertainty: 0.25))
        #expect(certain.level > 0.2)
        #expect(uncertain.level > 0 && uncertain.level < 0.05)
        // How much frames vary is not learned from it.
        #expect(certain.learned != 0 && uncertain.learned == 0)
        var surprised = SlowdownFilter(isKnown: true, proof: 5)
        let noise = surprised.noise
        surprised.observe(20, uncertainty: 0.25)
        #expect(surprised.noise == noise)
        surprised.observe(20)
        #expect(surprised.noise > noise)
        // Where nothing is known it is believed, and the next certain one more.
        var filter = SlowdownFilter(isKnown: false, proof: 5)
        filter.observe(3, uncertainty: 0.25)
        #expect(abs(filter.factor - 3) < 0.01)
        filter.observe(2)
        #expect(abs(filter.factor - 2) < 0.2)
    }

    @Test func staysWhereTheDeviceIs() {
        var random = SeededGenerator(seed: 3)
        var filter = SlowdownFilter(isKnown: true, proof: 5)
        var worst = 0.0
        for index in 0..<2000 {
            filter.observe(1.3 * random.noise(0.1))
            if index > 20 { worst = max(worst, abs(filter.factor / 1.3 - 1)) }
        }
        #expect(worst < 0.08)
        #expect(filter.deviation > 0.04 && filter.deviation < 0.09)
    }

    @Test(arguments: [1.15, 1.4, 1.8, 3, 0.5])
    func followsAStep(factor: Double) {
        for seed in 1...20 {
            var random = SeededGenerator(seed: UInt64(seed))
            var filter = SlowdownFilter(isKnown: true, proof: 5)
            for _ in 0..<100 { filter.observe(random.noise(0.08)) }
            for _ in 0..<(factor > 1.3 || factor < 0.7 ? 2 : 8) { filter.observe(factor * random.noise(0.08)) }
            #expect(abs(filter.factor / factor - 1) < 0.09, "seed \(seed): \(filter.factor)")
        }
    }

    @Test func theFirstFrameDecidesWhereNothingIsKnown() {
        var filter = SlowdownFilter(isKnown: false, proof: 5)
        filter.observe(7)
        #expect(abs(filter.factor - 7) < 1e-9)
    }

    @Test func heldGoesUpAtOnceAndDownAfterProof() {
        var filter = SlowdownFilter(isKnown: true, proof: 4)
        for _ in 0..<20 { filter.observe(2) }
        #expect(filter.held == filter.level || filter.held > filter.level - 1e-9)
        for index in 1...4 {
            filter.observe(1)
            // The level may follow, what is held does not before the fourth frame.
            if index < 4 { #expect(filter.held > 0.6) }
        }
        filter.observe(1)
        filter.observe(1)
        #expect(filter.held < 0.1)
    }

    @Test func aFrameThatIsSurprisinglyFastIsNoReasonForAMargin() {
        var filter = SlowdownFilter(isKnown: true, proof: 4)
        for index in 0..<40 { filter.observe(index % 2 == 0 ? 2.06 : 1.94) }
        let calm = filter.deviation
        var slow = filter
        filter.observe(1)
        slow.observe(4)
        #expect(filter.deviation < 1.1 * calm)
        #expect(slow.deviation > 1.5 * calm)
    }

    @Test func aStepThatWasExpectedIsNoNoise() {
        var random = SeededGenerator(seed: 8)
        var filter = SlowdownFilter(isKnown: true, proof: 5)
        for _ in 0..<60 { filter.observe(1.8 * random.noise(0.05)) }
        let before = filter.noise
        // The program that was in the way has been seen to go.
        filter.doubt(0.3)
        for _ in 0..<3 { filter.observe(random.noise(0.05)) }
        #expect(abs(filter.factor - 1) < 0.06)
        #expect(filter.noise < 1.3 * before)
    }

    @Test func framesVaryAsBeforeOnceOtherProgramsHaveGone() {
        var random = SeededGenerator(seed: 9)
        var filter = SlowdownFilter(isKnown: true, proof: 5)
        for _ in 0..<60 { filter.observe(random.noise(0.04)) }
        let calm = filter.noise
        // Every other frame loses its core.
        for index in 0..<60 { filter.observe((index % 2 == 0 ? 1 : 1.5) * random.noise(0.04), isInCompany: true) }
        #expect(filter.noise > 2 * calm)
        filter.relieve(0.3)
        #expect(filter.noise == calm)
        for _ in 0..<6 { filter.observe(random.noise(0.04)) }
        #expect(filter.noise < 1.5 * calm && abs(filter.held) < 0.1)
    }

    @Test func nonsenseIsIgnored() {
        var filter = SlowdownFilter(isKnown: true, proof: 5)
        let before = filter
        for value: Double in [0, -1, .nan, .infinity, -.infinity] { filter.observe(value) }
        filter.doubt(.nan)
        filter.doubt(.infinity)
        #expect(filter == before)
        filter.observe(1e300)
        #expect(filter.level.isFinite)
    }

    @Test(arguments: [0.01, 0.05, 0.2])
    func theMarginLeavesTheTargetOut(target: Double) {
        // A skewed distribution with accidents, whose quantile nothing knows beforehand.
        var random = SeededGenerator(seed: 8)
        var quantile = ResidualQuantile(target: target)
        var above = 0
        let rounds = 40_000
        for _ in 0..<rounds {
            let residual = random.share() < 0.02 ? 3 + 4 * random.share() : 3 * (random.share() + random.share()) - 3
            if residual > quantile.margin { above += 1 }
            quantile.observe(residual)
        }
        #expect(abs(Double(above) / Double(rounds) - target) < 0.1 * target + 0.001)
    }

    @Test func theTargetIsBroughtIntoItsRange() {
        #expect(ResidualQuantile(target: .nan).target == 0.01)
        #expect(ResidualQuantile(target: -1).target == 0.001)
        #expect(ResidualQuantile(target: 7).target == 0.5)
        var quantile = ResidualQuantile(target: 0.01)
        let margin = quantile.margin
        quantile.observe(.nan)
        #expect(quantile.margin == margin)
        for _ in 0..<1000 { quantile.observe(.infinity) }
        #expect(quantile.margin.isFinite)
    }
}
