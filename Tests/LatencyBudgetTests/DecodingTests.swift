import LatencyBudget
import Testing

/// What decoding takes is learned from files' bytes and pixels.
@Suite struct DecodingTests {
    /// 12 ns a byte, 5 ns a pixel.
    private func truth(_ picture: EncodedPicture, _ rung: Rung, perByte: Double = 1.2e-5) -> Double {
        perByte * picture.bytes + 5e-6 * picture.decodedPixels(for: rung)
    }

    /// One frame with `picture`; returns what was expected of decoding, and what it took.
    private func frame(
        _ planner: inout Planner, _ picture: EncodedPicture, budget: Double = 60_000, noise: Double = 1,
        perByte: Double = 1.2e-5
    ) throws -> (expected: Double, took: Double) {
        var request = PlanRequest(arrival: 1000, budget: budget)
        request.picture = picture
        request.sourcePixels = Double(picture.width) * Double(picture.height)
        let plan = try #require(planner.plan(request, now: 1000).plan)
        var measured = Samples.measured(plan)
        measured.decode = truth(picture, plan.rung, perByte: perByte) * noise
        let expected = planner.prediction(of: plan, tokens: 20).decode
        planner.observe(measured, tokens: 20, of: plan, met: true)
        return (expected, measured.decode)
    }

    private func photograph(_ random: inout SeededGenerator) -> EncodedPicture {
        // The same size may have twenty times the bytes.
        let scale = Int(320 + 1600 * random.share())
        let bytes = Double(scale * scale) * (0.02 + 0.4 * random.share())
        return EncodedPicture(.jpeg, bytes: Int(bytes), width: scale, height: scale * 3 / 4)
    }

    @Test func decodingIsForetoldFromBytesAndPixelsAtEveryRung() throws {
        for seed in 1...10 {
            var random = SeededGenerator(seed: UInt64(seed))
            var planner = try Samples.planner()
            var errors: [Double] = []
            for index in 0..<200 {
                let budget = [1.5, 3, 6, 12][index % 4] * Samples.time(256)
                let (expected, took) = try frame(
                    &planner, photograph(&random), budget: budget, noise: random.noise(0.06))
                if index >= 20 { errors.append(abs(expected / took - 1)) }
            }
            errors.sort()
            #expect(errors[errors.count / 2] < 0.05, "seed \(seed): \(errors[errors.count / 2])")
            #expect(errors[errors.count * 95 / 100] < 0.12, "seed \(seed): \(errors[errors.count * 95 / 100])")
        }
    }

    @Test func theSecondPictureOfAKindIsForetoldRight() throws {
        var planner = try Samples.planner()
        let picture = EncodedPicture(.jpeg, bytes: 200_000, width: 640, height: 427)
        _ = try frame(&planner, picture)
        let (expected, took) = try frame(&planner, picture)
        #expect(abs(expected / took - 1) < 0.05)
    }

    @Test func oneCodingTeachesNothingOfTheOther() throws {
        var random = SeededGenerator(seed: 3)
        var planner = try Samples.planner()
        let picture = EncodedPicture(.jpeg, bytes: 200_000, width: 640, height: 427)
        for _ in 0..<20 { _ = try frame(&planner, picture, noise: random.noise(0.03)) }
        for _ in 0..<20 {
            // Twenty times as long for its bytes.
            _ = try frame(
                &planner, EncodedPicture(.png, bytes: 300_000, width: 640, height: 427), perByte: 2.4e-4)
        }
        let (expected, took) = try frame(&planner, picture)
        #expect(abs(expected / took - 1) < 0.1)
    }

    @Test func aStalledPictureChangesLittle() throws {
        var random = SeededGenerator(seed: 4)
        var planner = try Samples.planner()
        for _ in 0..<60 { _ = try frame(&planner, photograph(&random), noise: random.noise(0.05)) }
        _ = try frame(&planner, photograph(&random), noise: 40)
        var errors: [Double] = []
        for _ in 0..<9 {
            let (expected, took) = try frame(&planner, photograph(&random), noise: random.noise(0.05))
            errors.append(abs(expected / took - 1))
        }
        #expect(errors.sorted()[4] < 0.12, "\(errors)")
    }

    @Test func whatIsNoPictureTeachesNothing() throws {
        var planner = try Samples.planner()
        for picture in [
            EncodedPicture(.jpeg, bytes: 0, width: 0, height: 0),
            EncodedPicture(.jpeg, bytes: -5, width: -5, height: Int.max),
            EncodedPicture(.png, bytes: Int.max, width: Int.max, height: Int.min),
        ] {
            let (expected, _) = try frame(&planner, picture, noise: .nan)
            #expect(expected.isFinite && expected >= 0)
        }
        let (expected, _) = try frame(
            &planner, EncodedPicture(.jpeg, bytes: 200_000, width: 640, height: 427))
        #expect(expected.isFinite && expected > 0)
    }

    @Test func resizingThatTakesLongerThanMeasuredIsForetoldSoon() throws {
        var random = SeededGenerator(seed: 5)
        var planner = try Samples.planner([512])
        var errors: [Double] = []
        for index in 0..<60 {
            let plan = try #require(planner.plan(PlanRequest(arrival: 1000, budget: 60_000), now: 1000).plan)
            var measured = Samples.measured(plan, computing: random.noise(0.05))
            measured.preprocess *= 1.9 * random.noise(0.05)
            let expected = planner.prediction(of: plan, tokens: 20)
            planner.observe(measured, tokens: 20, of: plan, met: true)
            guard index >= 8 else { continue }
            errors.append(abs(expected.preprocess / measured.preprocess - 1))
            // What is resizing's is not the encoder's.
            #expect(abs(expected.vision / measured.vision - 1) < 0.12)
        }
        errors.sort()
        #expect(errors[errors.count / 2] < 0.08 && errors[errors.count * 95 / 100] < 0.2, "\(errors)")
    }

    @Test func resizingIsLearnedForEachOutlineOfPictures() throws {
        var random = SeededGenerator(seed: 6)
        var planner = try Samples.planner([512])
        let pictures: [(size: (Int, Int), factor: Double)] = [((448, 448), 1.3), ((448, 336), 0.8), ((336, 448), 1.1)]
        var errors: [Double] = []
        for index in 0..<90 {
            let (size, factor) = pictures[index * 7 % 3]
            var request = PlanRequest(arrival: 1000, budget: 60_000)
            request.picture = EncodedPicture(.jpeg, bytes: 40_000, width: size.0, height: size.1)
            let plan = try #require(planner.plan(request, now: 1000).plan)
            var measured = Samples.measured(plan, computing: random.noise(0.05))
            measured.preprocess = 5 * factor * random.noise(0.05)
            let expected = planner.prediction(of: plan, tokens: 20)
            planner.observe(measured, tokens: 20, of: plan, met: true)
            guard index >= 30 else { continue }
            errors.append(abs(expected.preprocess / measured.preprocess - 1))
        }
        errors.sort()
        #expect(errors[errors.count / 2] < 0.08 && errors[errors.count * 95 / 100] < 0.2, "\(errors)")
    }

    // MARK: - Black bars

    @Test func aRungWithoutBarsIsForetoldByWhatIsSeen() throws {
        var planner = try Samples.planner([1024])
        var request = PlanRequest(arrival: 1000, budget: 60_000)
        request.picture = EncodedPicture(.jpeg, bytes: 200_000, width: 1920, height: 1080)
        let square = try #require(planner.plan(request, now: 1000).plan)
        request.isTrimmed = true
        let native = try #require(planner.plan(request, now: 1000).plan)
        #expect(native.rung == Rung(pixels: 1024))
        #expect(native.shape == Rung(width: 1024, height: 576))
        #expect(square.shape == square.rung)
        let costs = Samples.model.phases(
            native.shape, sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: 8)
        #expect(native.predicted.vision == costs.vision)
        #expect(native.predicted.prefill == costs.prefill)
        #expect(native.predicted.vision < 0.6 * square.predicted.vision)
        #expect(native.bound < 0.7 * square.bound)
        // A square picture has no bars, and one of which nothing is known may have none.
        request.picture = EncodedPicture(.jpeg, bytes: 200_000, width: 800, height: 800)
        #expect(planner.plan(request, now: 1000).plan?.shape == Rung(pixels: 1024))
        request.picture = nil
        #expect(planner.plan(request, now: 1000).plan?.shape == Rung(pixels: 1024))
    }
}
