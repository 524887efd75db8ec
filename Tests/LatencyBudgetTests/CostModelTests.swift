import FoundationEssentials
import LatencyBudget
import Testing

@Suite struct CostModelTests {
    static let identity = DeviceProfile.Identity(
        device: "Cortex-A76", modelDigest: "sha256:00", threads: 4, kernels: "neon", version: "0.1.0")

    static func point(
        _ rung: Rung, vision: Double, prefill: Double, textTokens: Int = 32, decode: Double = 10,
        preprocess: Double = 5
    ) -> DeviceProfile.Point {
        DeviceProfile.Point(
            rung: rung, sourcePixels: CostModel.usualSourcePixels, textTokens: textTokens, decode: decode,
            preprocess: preprocess, vision: vision, prefill: prefill, samples: 5)
    }

    /// A profile that measures `model` on a ladder.
    static func profile(of model: CostModel, _ resolutions: [Int]) -> DeviceProfile {
        DeviceProfile(
            identity: identity,
            points: resolutions.map {
                let times = model.phases(
                    Rung(pixels: $0), sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: 1)
                return point(
                    Rung(pixels: $0), vision: times.vision, prefill: times.prefill, decode: times.decode,
                    preprocess: times.preprocess)
            },
            tokenPoints: [64, 256, 512].map {
                DeviceProfile.TokenPoint(context: $0, milliseconds: model.perToken(Double($0)))
            })
    }

    @Test func timesAreTheSumOfTheirPhases() {
        let model = Samples.model
        let rung = Rung(pixels: 512)
        let times = model.phases(rung, sourcePixels: 1e6, textTokens: 30, tokens: 3)
        #expect(times.decode == model.decode(1e6))
        #expect(times.vision == model.encode(512 * 512))
        #expect(times.prefill == model.prefill(64 + 30))
        // The first token comes with the prefill; the second and third follow 95 and 96 others.
        let steps = model.perToken(95) + model.perToken(96)
        #expect(abs(times.generate - steps) < 1e-9)
        #expect(abs(times.total - (times.decode + times.preprocess + times.vision + times.prefill + steps)) < 1e-9)
        #expect(model.phases(rung, sourcePixels: 1e6, textTokens: 30, tokens: 1).generate == 0)
    }

    @Test func tilesCostAnOverviewAndEachTile() {
        let tiled = Rung(width: 2048, height: 2048, columns: 2, rows: 2)
        #expect(tiled.visualTokens == 1280)
        #expect(tiled.encoderPasses == 5)
        #expect(tiled.description == "2048 in 2x2")
        let model = Samples.model
        let times = model.phases(tiled, sourcePixels: 4e6, textTokens: 0, tokens: 1)
        #expect(times.vision == 5 * model.encode(1024 * 1024))
        #expect(times.prefill == model.prefill(1280))
    }

    @Test func rectanglesCostTheirPixels() {
        let wide = Rung(width: 1024, height: 576)
        #expect(wide.visualTokens == 144)
        #expect(wide.description == "1024x576")
        #expect(Rung(width: 1000, height: 65).visualTokens == 32)
    }

    @Test func aFitMeetsWhatWasMeasuredAndGoesOnBetween() throws {
        let truth = Samples.model
        let fitted = try Self.profile(of: truth, [256, 512, 1024]).costModel()
        for pixels in [256, 384, 512, 640, 768, 896, 1024, 1280] {
            let rung = Rung(pixels: pixels)
            let expected = truth.phases(rung, sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: 20)
            let got = fitted.phases(rung, sourcePixels: CostModel.usualSourcePixels, textTokens: 32, tokens: 20)
            let measured = [256, 512, 1024].contains(pixels)
            for (got, expected) in [
                (got.vision, expected.vision), (got.prefill, expected.prefill), (got.generate, expected.generate),
                (got.decode, expected.decode),
            ] {
                #expect(abs(got / expected - 1) < (measured ? 1e-6 : 0.03), "\(pixels): \(got), \(expected)")
            }
        }
    }

    @Test func aFitBendsToAnOddRung() throws {
        // 768 pixels are a quarter slower than the line through the others: tiles that do not fit, for example.
        var profile = Self.profile(of: Samples.model, [256, 512, 768, 1024])
        profile.points[2].vision *= 1.25
        let model = try profile.costModel()
        #expect(abs(model.encode(768 * 768) / profile.points[2].vision - 1) < 1e-9)
        #expect(abs(model.encode(512 * 512) / profile.points[1].vision - 1) < 1e-9)
        #expect(model.encode(832 * 832) > profile.points[2].vision)
        #expect(model.encode(832 * 832) < profile.points[3].vision)
    }

    @Test func oneMeasuredRungIsEnoughToStart() throws {
        let profile = DeviceProfile(
            identity: Self.identity, points: [Self.point(Rung(pixels: 512), vision: 400, prefill: 200)],
            tokenPoints: [DeviceProfile.TokenPoint(context: 0, milliseconds: 30)])
        let model = try profile.costModel()
        #expect(abs(model.encode(512 * 512) - 400) < 1e-9)
        #expect(abs(model.encode(1024 * 1024) - 1600) < 1e-6)
        #expect(abs(model.perToken(300) - 30) < 1e-9)
    }

    @Test func noisyMeasurementsNeverGiveNegativeTimes() throws {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<200 {
            var profile = Self.profile(of: Samples.model, [256, 512, 768, 1024])
            for index in profile.points.indices {
                profile.points[index].vision *= random.noise(0.5)
                profile.points[index].prefill *= random.noise(0.5)
            }
            let model = try profile.costModel()
            for pixels in stride(from: 32, through: 4096, by: 32) {
                let times = model.phases(Rung(pixels: pixels), sourcePixels: 1e6, textTokens: 10, tokens: 20)
                #expect(times.vision > 0 && times.vision.isFinite)
                #expect(times.prefill > 0 && times.prefill.isFinite)
            }
        }
    }

    @Test func aProfileWithImpossibleValuesIsRefused() {
        let good = Self.profile(of: Samples.model, [256, 512])
        func code(_ change: (inout DeviceProfile) -> Void) -> LatencyBudgetError.Code? {
            var profile = good
            change(&profile)
            do throws(LatencyBudgetError) {
                _ = try profile.costModel()
                return nil
            } catch { return error.code }
        }
        #expect(code { _ in } == nil)
        #expect(code { $0.points = [] } == .profileIncomplete)
        #expect(code { $0.tokenPoints = [] } == .profileIncomplete)
        for value in [Double.nan, .infinity, -1, 1e30] {
            #expect(code { $0.points[0].vision = value } == .profileInvalid)
            #expect(code { $0.points[1].prefill = value } == .profileInvalid)
            #expect(code { $0.points[1].decode = value } == .profileInvalid)
            #expect(code { $0.tokenPoints[0].milliseconds = value } == .profileInvalid)
        }
        #expect(code { $0.points[0].textTokens = .min } == .profileInvalid)
        #expect(code { $0.points[0].textTokens = .max } == .profileInvalid)
        #expect(code { $0.points[0].rung.width = .max } == .ladderInvalid)
    }

    @Test func everyDifferenceMakesAProfileStale() throws {
        let ladder = try Samples.ladder([256, 512])
        let profile = Self.profile(of: Samples.model, [256, 512])
        #expect(profile.staleness(for: Self.identity, ladder: ladder) == [])
        func stale(_ change: (inout DeviceProfile.Identity) -> Void) -> [DeviceProfile.Staleness] {
            var identity = Self.identity
            change(&identity)
            return profile.staleness(for: identity, ladder: ladder)
        }
        #expect(stale { $0.device = "other" } == [.device])
        #expect(stale { $0.modelDigest = "sha256:01" } == [.modelDigest])
        #expect(stale { $0.threads = 2 } == [.threads])
        #expect(stale { $0.kernels = "scalar" } == [.kernels])
        #expect(stale { $0.version = "0.2.0" } == [.version])
        #expect(profile.staleness(for: Self.identity, ladder: try Samples.ladder([256, 768])) == [.rungs])
        var broken = profile
        broken.points[0].vision = .nan
        #expect(broken.staleness(for: Self.identity, ladder: ladder) == [.values])
        broken = profile
        broken.schema = "fastvlm.profile/2"
        #expect(broken.staleness(for: Self.identity, ladder: ladder) == [.schema])
    }

    @Test func profilesSurviveAFile() throws {
        let profile = Self.profile(of: Samples.model, [256, 512, 1024])
        let data = try JSONEncoder().encode(profile)
        #expect(try JSONDecoder().decode(DeviceProfile.self, from: data) == profile)
        let text = String(decoding: data, as: UTF8.self)
        for key in ["model_digest", "vision_ms", "token_points", "source_pixels"] { #expect(text.contains(key)) }
    }

    @Test func laddersAreCheckedAndSorted() throws {
        func code(_ steps: [Ladder.Step]) -> LatencyBudgetError.Code? {
            do throws(LatencyBudgetError) {
                _ = try Ladder(steps)
                return nil
            } catch { return error.code }
        }
        func step(_ rung: Rung, _ utility: Double = 1) -> Ladder.Step {
            Ladder.Step(rung, utility: Utility(general: utility))
        }
        #expect(code([]) == nil)
        #expect(code([step(Rung(pixels: 512)), step(Rung(pixels: 512))]) == .ladderInvalid)
        #expect(code([step(Rung(pixels: 0))]) == .ladderInvalid)
        #expect(code([step(Rung(width: 512, height: .max))]) == .ladderInvalid)
        #expect(code([step(Rung(width: 2048, height: 2048, columns: 0, rows: 1))]) == .ladderInvalid)
        #expect(code([step(Rung(width: 1000, height: 1000, columns: 3, rows: 3))]) == .ladderInvalid)
        for utility in [Double.nan, -1, .infinity] {
            #expect(code([step(Rung(pixels: 512), utility)]) == .ladderInvalid)
            #expect(
                code([Ladder.Step(Rung(pixels: 512), utility: Utility(general: 1, text: utility))]) == .ladderInvalid)
        }
        #expect(code((1...65).map { step(Rung(pixels: 32 * $0)) }) == .ladderInvalid)
        let tiled = Rung(width: 2048, height: 2048, columns: 2, rows: 2)
        let ladder = try Ladder([step(tiled), step(Rung(pixels: 1024)), step(Rung(pixels: 256))])
        #expect(ladder.steps.map(\.rung) == [Rung(pixels: 256), Rung(pixels: 1024), tiled])
        let data = try JSONEncoder().encode(ladder)
        #expect(try JSONDecoder().decode(Ladder.self, from: data) == ladder)
        #expect(throws: (any Error).self) {
            try JSONDecoder().decode(
                Ladder.self, from: Data(#"{"steps":[{"rung":{"width":1,"height":9},"utility":{"general":1}}]}"#.utf8))
        }
    }

    @Test func thePublishedLadderHasThePapersNumbers() throws {
        let ladder = try Samples.ladder([256, 384, 512, 768, 1024, 2048])
        let general = ladder.steps.map(\.utility.general)
        #expect(abs(general[0] - 48.4) < 1e-9)
        #expect(abs(general[2] - 52.5) < 1e-9)
        #expect(abs(general[3] - 54.5) < 1e-9)
        #expect(abs(general[4] - 55.9) < 1e-9)
        #expect(abs(ladder.steps[4].utility[.text] - 35.6) < 1e-9)
        #expect(general == general.sorted())
    }

    @Test func firstFramesMakeAProfile() throws {
        var random = SeededGenerator(seed: 4)
        let ladder = try Samples.ladder()
        var recorder = ProfileRecorder(ladder: ladder)
        #expect(recorder.profile(identity: Self.identity) == nil)
        let truth = Samples.model
        for index in 0..<200 {
            // 768 pixels never run.
            let rung = ladder.steps[[0, 1, 3][index % 3]].rung
            let tokens = 10 + index % 50
            var times = truth.phases(rung, sourcePixels: 2e6, textTokens: 32, tokens: tokens)
            times.vision *= random.noise(0.1)
            times.prefill *= random.noise(0.1)
            times.generate *= random.noise(0.1)
            recorder.record(times, at: rung, sourcePixels: 2e6, textTokens: 32, tokens: tokens)
            recorder.record(PhaseTimes(decode: .nan), at: rung, sourcePixels: .nan, textTokens: .min, tokens: .max)
        }
        #expect(recorder.leastSamples == 66)
        let profile = try #require(recorder.profile(identity: Self.identity))
        #expect(profile.staleness(for: Self.identity, ladder: ladder) == [.rungs])
        for point in profile.tokenPoints {
            #expect(abs(point.milliseconds / truth.perToken(Double(point.context)) - 1) < 0.02)
        }
        let model = try profile.costModel()
        for step in ladder.steps {
            let expected = truth.phases(step.rung, sourcePixels: 2e6, textTokens: 32, tokens: 20).total
            let got = model.phases(step.rung, sourcePixels: 2e6, textTokens: 32, tokens: 20).total
            #expect(abs(got / expected - 1) < 0.05)
        }
    }
}
