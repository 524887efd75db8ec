import CaptionService
import FastVLM
import LatencyBudget
import ModelFiles
import Sidecars
import Testing

/// Large pictures as an overview and tiles.
@Suite struct TilingTests {
    let reader: PictureReader
    /// 640 x 427 pixels.
    let photograph: [UInt8]

    init() throws {
        reader = try PictureReader(
            try FastVLMModel(path: BudgetedModelTests.project + "/etc/tiny-model/random-tiny.fastvlm"), threads: 2)
        photograph = try PictureFile(path: BudgetedModelTests.project + "/etc/photographs/china.jpg").bytes
    }

    private func tasks(_ resolution: Int, tiling: Bool = true) -> PictureTasks {
        var tasks = PictureTasks()
        tasks.resolution = resolution
        tasks.tiling = tiling
        tasks.maxTokens = 3
        return tasks
    }

    @Test func aLargePictureIsSeenInFivePieces() throws {
        let report = try reader.run(tasks(192), on: photograph)
        #expect(report.resolution == 384 && report.tiles == 4 && report.visualTokens == 5 * 9)
        let document = SidecarDocument(
            report, tasks: tasks(192), model: ModelFacts(reader.model), source: .init(), total: 1, health: nil)
        #expect(document.resolution == .init(pixels: 384, visualTokens: 45, tiles: 4, reason: "fixed"))
        #expect(try String(decoding: document.compactJSON(), as: UTF8.self).contains(#""tiles":4"#))
    }

    @Test func aPictureThatOneTileShowsIsSeenInOnePiece() throws {
        let report = try reader.run(tasks(640), on: photograph)
        #expect(report.resolution == 640 && report.tiles == 0 && report.visualTokens == 100)
        let whole = try reader.run(tasks(192, tiling: false), on: photograph)
        #expect(whole.tiles == 0 && whole.visualTokens == 9)
    }

    @Test func theLadderHasTilesWhereTheModelsPackageStatesThem() throws {
        var identity = ModelIdentity(name: "x", resolutions: [256, 512])
        identity.accuracy = [
            ResolutionAccuracy(pixels: 256, general: 1), ResolutionAccuracy(pixels: 512, general: 2),
            ResolutionAccuracy(pixels: 1024, tiles: 2, general: 3),
        ]
        let ladder = try Ladder(identity)
        #expect(ladder.steps.map(\.rung.description) == ["256", "512", "1024 in 2x2"])
        #expect(ladder.steps[2].rung.visualTokens == 5 * 64 && ladder.steps[2].utility.general == 3)
        #expect(try !Ladder(ModelIdentity(name: "x")).steps.contains { $0.rung.isTiled })
    }

    @Test func aBudgetTakesTilesForLargePicturesAlone() throws {
        let folder = try ScratchFolder()
        let tiled = Rung(width: 384, height: 384, columns: 2, rows: 2)
        let ladder = try Ladder([
            .init(Rung(pixels: 192), utility: Utility(general: 1)), .init(tiled, utility: Utility(general: 2)),
        ])
        let store = ProfileStore(directory: folder.path, identity: DeviceProfile.someIdentity)
        try store.save(
            DeviceProfile(
                identity: DeviceProfile.someIdentity,
                points: ladder.steps.map {
                    .init(
                        rung: $0.rung, sourcePixels: 4096, textTokens: 10, decode: 1e-3, preprocess: 1e-3, vision: 1e-3,
                        prefill: 1e-3, samples: 3)
                }, tokenPoints: [.init(context: 20, milliseconds: 1e-4)]))
        let planner = FramePlanner(ladder: ladder, store: store, logger: .silent)
        var tasks = PictureTasks()
        tasks.budget = 600_000
        tasks.maxTokens = 3
        func plan(side: Int?) throws -> FramePlan {
            var frame = FramePlanner.Frame(tasks: tasks, arrival: .now, textTokens: 10, defaultResolution: 256)
            frame.sourceSide = side
            return try #require(planner.plan(frame).plan)
        }
        #expect(try plan(side: nil).plan.rung == Rung(pixels: 192))
        #expect(try plan(side: 383).plan.rung == Rung(pixels: 192))
        let large = try plan(side: 640)
        #expect(large.plan.rung == tiled)
        let report = try reader.run(tasks, on: photograph, plan: large)
        #expect(report.resolution == 384 && report.tiles == 4)
        tasks.budget = nil
        tasks.resolution = 192
        tasks.tiling = true
        #expect(try plan(side: 640).plan.rung == tiled)
        #expect(try plan(side: 192).plan.rung == Rung(pixels: 192))
    }

    @Test func aPictureWithoutBarsHasFewerTokens() throws {
        var tasks = tasks(256, tiling: false)
        let square = try reader.run(tasks, on: photograph)
        tasks.aspect = .native
        // 427 of 640 pixels are 171 of 256, and 192 with a little of the bars.
        let native = try reader.run(tasks, on: photograph)
        #expect(square.visualTokens == 16 && native.visualTokens == 12)
        #expect(native.resolution == 256 && native.tiles == 0)
        tasks.resolution = 100
        #expect(try reader.run(tasks, on: photograph).visualTokens == 4)
        let upright = BudgetedModelTests.project + "/Tests/CommandTests/Fixtures/rotated.jpg"
        tasks.resolution = 320
        // 133 x 200 pixels are 213 x 320.
        #expect(try reader.run(tasks, on: try PictureFile(path: upright).bytes).visualTokens == 4 * 5)
    }

    @Test func aspectAndTilingAreConfigured() throws {
        func read(_ lines: String) throws -> DaemonConfiguration {
            try DaemonConfiguration(
                toml: "[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\n\(lines)\n", file: "x")
        }
        let configuration = try read("aspect = \"native\"\ntiling = true")
        #expect(configuration.watches[0].tasks.aspect == .native && configuration.watches[0].tasks.tiling)
        #expect(try DaemonConfiguration(toml: configuration.toml, file: "printed") == configuration)
        #expect(throws: ConfigurationError.self) { try read("aspect = \"wide\"") }
        #expect(throws: ConfigurationError.self) { try read("tiling = 2") }
    }

    @Test func tilesAreCalibratedAsTheyAreRun() throws {
        let ladder = try Ladder([
            .init(Rung(pixels: 64), utility: Utility(general: 1)),
            .init(Rung(width: 256, height: 256, columns: 2, rows: 2), utility: Utility(general: 2)),
        ])
        let profile = try Calibration(reader, time: .milliseconds(300)).profile(ladder, picture: photograph)
        #expect(profile.points.map(\.rung) == ladder.steps.map(\.rung))
        // Five passes of four times the pixels.
        #expect(profile.points[1].vision > 3 * profile.points[0].vision)
    }
}
