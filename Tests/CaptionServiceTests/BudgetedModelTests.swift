import CaptionService
import FastVLM
import FoundationEssentials
import Kernels
import LatencyBudget
import Logging
import ModelFiles
import Testing

/// Budgets with the model of random weights that comes with the project.
@Suite struct BudgetedModelTests {
    static let project = #filePath.replacing("/Tests/CaptionServiceTests/BudgetedModelTests.swift", with: "")
    let folder: ScratchFolder
    let reader: PictureReader
    let photograph: [UInt8]

    init() throws {
        folder = try ScratchFolder()
        reader = try PictureReader(
            try FastVLMModel(path: Self.project + "/etc/tiny-model/random-tiny.fastvlm"), threads: 2)
        photograph = try PictureFile(path: Self.project + "/etc/photographs/china.jpg").bytes
    }

    /// A planner that believes that the device takes no time.
    private func sanguine() throws -> FramePlanner {
        let store = ProfileStore(directory: folder.path, identity: DeviceProfile.someIdentity)
        let ladder = try Ladder(reader.model.prepared.identity)
        try store.save(.instant(DeviceProfile.someIdentity, resolutions: ladder.steps.map(\.rung.width)))
        return FramePlanner(ladder: ladder, store: store, logger: .silent)
    }

    private func tasks(budget: Double?, _ configure: (inout PictureTasks) -> Void = { _ in }) -> PictureTasks {
        var tasks = PictureTasks()
        tasks.budget = budget
        configure(&tasks)
        return tasks
    }

    private func plan(_ tasks: PictureTasks, late: Duration = .zero) throws -> FramePlan {
        let planner = try sanguine()
        let frame = FramePlanner.Frame(tasks: tasks, arrival: .now - late, textTokens: 10, defaultResolution: 1024)
        return try #require(planner.plan(frame).plan)
    }

    @Test func aPictureThatCannotBeInTimeIsGivenUpBetweenTheEncodersBlocks() throws {
        let tasks = tasks(budget: 1)
        let plan = try plan(tasks)
        let error = #expect(throws: EngineError.self) { try reader.run(tasks, on: photograph, plan: plan) }
        #expect(error?.code == .late)
        let spent = try #require(error?.spent)
        #expect(spent.timings.decode > 0 && spent.timings.prefill == 0)
        #expect((0...1).contains(spent.seen))
    }

    @Test func anAnswerEndsWithItsFewestUsefulTokensWhenTimeIsOver() throws {
        let tasks = tasks(budget: 1) { $0.whenLate = .bestEffort }
        let report = try reader.run(tasks, on: photograph, plan: try plan(tasks))
        #expect(report.caption?.generatedTokens == 8)
        #expect(report.caption?.finishReason == "deadline")
    }

    @Test func anAnswerThatIsCutEndsWithItsLastWholeSentence() throws {
        let plan = try plan(tasks(budget: 1) { $0.whenLate = .bestEffort }, late: .seconds(1))
        var reply = GovernedReply(plan, reply: 0)
        var text = ""
        for piece in [" A", " gate", " of", " 2.", "5", " m", ".", " The"] {
            // The eighth token is the last that is worth waiting for.
            #expect(reply.hear(piece) == (piece != " The"))
            text += piece
        }
        #expect(reply.ending(text, "length") == (" A gate of 2.5 m.", "deadline"))

        var whole = GovernedReply(plan, reply: 0)
        #expect(whole.hear(" Yes") && whole.ending(" Yes", "stop") == (" Yes", "stop"))
        var endless = GovernedReply(plan, reply: 0)
        for _ in 0..<8 { _ = endless.hear(" on") }
        #expect(endless.ending(" on and on", "length") == (" on and on", "deadline"))
    }

    @Test func severalRepliesShareTheTime() throws {
        let tasks = tasks(budget: 1) {
            $0.whenLate = .bestEffort
            $0.questions = [.init(id: "a", text: "What is it?"), .init(id: "b", text: "Where?")]
        }
        let report = try reader.run(tasks, on: photograph, plan: try plan(tasks))
        #expect(([report.caption].compactMap { $0 } + report.answers).allSatisfy { $0.generatedTokens == 8 })
    }

    @Test func withTimeEnoughTheAnswerIsTheSameAsWithoutABudget() throws {
        let budgeted = tasks(budget: 600_000) { $0.maxTokens = 20 }
        let plan = try plan(budgeted)
        let report = try reader.run(budgeted, on: photograph, plan: plan)
        let plain = try reader.run(
            tasks(budget: nil) {
                $0.maxTokens = 20
                $0.resolution = plan.resolution
            }, on: photograph)
        #expect(report.caption == plain.caption && report.resolution == plain.resolution)
    }

    @Test func theEncoderSaysHowFarItIs() throws {
        let session = try FastVLMSession(reader.model, pool: .init(threads: 1))
        var shares: [Double] = []
        let pixels = [Float](repeating: 0.5, count: 128 * 128 * 3)
        _ = try session.encode(
            pixels, height: 128, width: 128,
            mayGoOn: { done in
                shares.append(done)
                return true
            })
        #expect(shares.first == 0 && shares.count > 5)
        #expect(zip(shares, shares.dropFirst()).allSatisfy(<) && shares.allSatisfy { $0 < 1 })
        #expect(try #require(shares.last) > 0.8)
        let error = #expect(throws: FastVLMError.self) {
            try session.encode(pixels, height: 128, width: 128, mayGoOn: { $0 < 0.4 })
        }
        #expect(error?.code == .cancelled)
    }

    @Test func calibratingMeasuresEveryRung() throws {
        let ladder = try Ladder.published(resolutions: [64, 128, 1024])
        var shares: [Double] = []
        let profile = try Calibration(reader, time: .milliseconds(600)).profile(ladder, picture: photograph) {
            shares.append($0)
        }
        #expect(profile.staleness(for: reader.profileIdentity, ladder: ladder).isEmpty)
        #expect(profile.points.map(\.rung) == ladder.steps.map(\.rung))
        #expect(profile.points.allSatisfy { $0.sourcePixels == 640 * 427 && $0.textTokens > 0 })
        #expect(profile.points[2].vision > profile.points[0].vision)
        #expect(shares.first == 0 && shares.last == 1 && zip(shares, shares.dropFirst()).allSatisfy(<=))
        // They take turns: the first two are a fiftieth of the work, and the third run is one of the largest.
        #expect(try #require(shares.dropFirst(3).first) > 0.03)
    }

    @Test func theUsualPictureIsAPicture() throws {
        var tasks = PictureTasks()
        tasks.resolution = 64
        tasks.maxTokens = 1
        let report = try reader.run(tasks, on: Calibration.usualPicture)
        #expect(report.width == 1920 && report.height == 1080)
    }

    @Test func theLadderIsTheModelsOwnWhereItStatesOne() throws {
        var identity = ModelIdentity(name: "x", resolutions: [32, 128, 256])
        #expect(try Ladder(identity).steps.map(\.rung.width) == [128, 256])
        identity.accuracy = [32, 128, 256].map { ResolutionAccuracy(pixels: $0, general: Double($0), text: 1) }
        #expect(
            try Ladder(identity).steps.map(\.utility) == [
                Utility(general: 128, text: 1), Utility(general: 256, text: 1),
            ])
    }

    @Test(arguments: [
        ("A gate.", true), ("It says \"stop.\"", true), ("Is it?", true), ("No!", true), ("Two lines\n", true),
        ("关门。", true), ("A gate", false), ("It is 3.", false), ("by J.", false), ("\n", false), ("", false),
        (".", false),
        ("He said \"", false),
    ])
    func aSentenceEndsAtItsMark(text: String, ends: Bool) {
        #expect(text.endsSentence == ends)
    }
}
