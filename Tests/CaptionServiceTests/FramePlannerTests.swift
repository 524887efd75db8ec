import CaptionService
import FoundationEssentials
import Images
import LatencyBudget
import Logging
import Testing

@Suite struct FramePlannerTests {
    let folder: ScratchFolder
    let store: ProfileStore

    init() throws {
        folder = try ScratchFolder()
        store = ProfileStore(directory: folder.path + "/state", identity: DeviceProfile.someIdentity)
    }

    private func planner(_ store: ProfileStore?) throws -> FramePlanner {
        FramePlanner(ladder: try PretendedDevice.ladder, store: store, logger: .silent)
    }

    private func frame(budget: Double?, arrival: ContinuousClock.Instant = .now) -> FramePlanner.Frame {
        var tasks = PictureTasks()
        tasks.budget = budget
        return FramePlanner.Frame(tasks: tasks, arrival: arrival, textTokens: 20, defaultResolution: 1024)
    }

    /// Plans a frame and reports what the pretended device takes for it.
    private func answer(_ planner: FramePlanner, budget: Double = 1e6) throws {
        let frame = frame(budget: budget)
        guard case .run(let plan) = planner.plan(frame) else {
            Issue.record("expired")
            return
        }
        planner.answered(PretendedDevice.report(frame.tasks, plan, caption: "x"), frame, of: plan, isInTime: true)
    }

    @Test func whatWasLearnedIsKeptAndUsedByTheNextStart() throws {
        let first = try planner(store)
        #expect(!first.isProfiled)
        for budget in [500.0, 1000, 5000] { for _ in 0..<3 { try answer(first, budget: budget) } }
        let kept = try #require(try store.load())
        #expect(kept.points.contains { $0.rung == Rung(pixels: 512) && abs($0.vision - 400) < 1 })
        #expect(try planner(store).isProfiled)
    }

    /// What the device shows is read as well, unlike in the planner's own test.
    @Test(.enabled(if: isOptimized)) func planningAndLearningCostLessThanATenthOfAMillisecond() throws {
        let first = try planner(store)
        for budget in [500.0, 1000, 5000] { for _ in 0..<3 { try answer(first, budget: budget) } }
        let planner = FramePlanner(
            ladder: try PretendedDevice.ladder, store: store, device: .system, logger: .silent)
        let frames = 400
        // The fastest of five rounds: other programs may run beside the test.
        let best = try (0..<5).map { _ in
            try ContinuousClock().measure { for _ in 0..<frames { try answer(planner) } }
        }.min()
        let perFrame = try #require(best) / frames
        #expect(perFrame < .microseconds(100), "\(perFrame)")
    }

    @Test func thePlannerIsToldWhoWantsACoreBeforeEachFrameWithABudget() throws {
        let first = try planner(store)
        for budget in [500.0, 1000, 5000] { for _ in 0..<3 { try answer(first, budget: budget) } }
        let looks = Collected<Int>()
        func seeing(_ competitors: Int?) -> DeviceSensors {
            DeviceSensors(
                signals: { DeviceSignals() },
                competitors: {
                    looks.add(competitors ?? -1)
                    return competitors
                })
        }
        /// How many of 80 frames are begun on a device that became three times slower.
        func begun(_ competitors: Int?) throws -> Int {
            let planner = FramePlanner(
                ladder: try PretendedDevice.ladder, store: store, device: seeing(competitors), logger: .silent)
            #expect(planner.isProfiled)
            return (0..<90).count { index in
                let frame = frame(budget: index < 10 ? 1e6 : 250)
                guard case .run(let plan) = planner.plan(frame) else { return false }
                planner.answered(
                    PretendedDevice.report(frame.tasks, plan, caption: "x", slowdown: 3), frame, of: plan,
                    isInTime: index < 10)
                return index >= 10
            }
        }
        // Where they are seen, their leaving would be too: few frames are sacrificed to find out.
        let (unseen, seen) = (try begun(nil), try begun(2))
        #expect(unseen >= 8)
        #expect((1...6).contains(seen))
        #expect(looks.all.count == 180)
        let planner = FramePlanner(
            ladder: try PretendedDevice.ladder, store: store, device: seeing(0), logger: .silent)
        _ = planner.plan(frame(budget: nil))
        #expect(looks.all.count == 180)
    }

    @Test func answersAreTakenToBeAsLongAsEarlierOnesToTheSamePrompt() throws {
        let first = try planner(store)
        for budget in [500.0, 1000, 5000] { for _ in 0..<3 { try answer(first, budget: budget) } }
        let planner = try planner(store)
        /// One frame whose caption has that many tokens, a millisecond each; what was predicted for generating it.
        @discardableResult
        func ask(_ prompt: String, tokens: Int, _ finishReason: String = "stop") throws -> Double {
            var frame = frame(budget: 1e6)
            frame.tasks.prompt = prompt
            guard case .run(let plan) = planner.plan(frame) else {
                Issue.record("expired")
                return 0
            }
            var report = PretendedDevice.report(frame.tasks, plan, caption: "x")
            report.caption?.generatedTokens = tokens
            report.caption?.finishReason = finishReason
            report.timings.generate = Double(tokens - 1)
            planner.answered(report, frame, of: plan, isInTime: true)
            return plan.plan.predicted.generate
        }
        for _ in 0..<20 {
            try ask("Describe the image at length.", tokens: 101)
            try ask("Describe the image in a word.", tokens: 11)
        }
        #expect(abs(try ask("Describe the image at length.", tokens: 101) / 100 - 1) < 0.2)
        #expect(abs(try ask("Describe the image in a word.", tokens: 11) / 10 - 1) < 0.2)
        // Those that were cut do not say that they are short now; one that was as long as asked for is whole.
        for _ in 0..<5 {
            try ask("Describe the image at length.", tokens: 31, "deadline")
            try ask("Describe the image at length.", tokens: 31, "sentence")
        }
        #expect(abs(try ask("Describe the image at length.", tokens: 101) / 100 - 1) < 0.2)
        for _ in 0..<60 { try ask("Describe the image at length.", tokens: 31, "length") }
        #expect(abs(try ask("Describe the image at length.", tokens: 31, "length") / 30 - 1) < 0.3)
    }

    @Test func ofNewQuestionsEachIsTakenToBeAnsweredAsOthersWere() throws {
        let first = try planner(store)
        for budget in [500.0, 1000, 5000] { for _ in 0..<3 { try answer(first, budget: budget) } }
        let planner = try planner(store)
        func expected(_ questions: [String]) throws -> (Double, FramePlanner.Frame, FramePlan) {
            var frame = frame(budget: 1e6)
            frame.tasks.prompt = ""
            frame.tasks.questions = questions.map { PictureTasks.Question(id: $0, text: $0) }
            let decided: FramePlan? = if case .run(let plan) = planner.plan(frame) { plan } else { nil }
            let plan = try #require(decided)
            return (plan.plan.predicted.generate, frame, plan)
        }
        for index in 0..<20 {
            let (_, frame, plan) = try expected(["What is new at \(index)?", "And what is not?"])
            var report = PretendedDevice.report(frame.tasks, plan, caption: "x")
            for reply in report.answers.indices { report.answers[reply].generatedTokens = 41 }
            report.timings.generate = 80
            planner.answered(report, frame, of: plan, isInTime: true)
        }
        let one = try expected(["Who is there?"]).0
        #expect(abs(one / 40 - 1) < 0.2)
        let three = try expected(["Who is there?", "Who was there?", "Who comes next?"]).0
        #expect(abs(three / 120 - 1) < 0.2)
    }

    @Test func theLastFramesAreKeptAtTheEnd() throws {
        let planner = try planner(store)
        try answer(planner)
        #expect(try store.load() == nil)
        planner.keepWhatWasLearned()
        #expect(try store.load() != nil)
    }

    @Test func aStaleOrDamagedProfileIsNotUsed() throws {
        try store.save(.instant(DeviceProfile.someIdentity, resolutions: PretendedDevice.resolutions))
        #expect(try planner(store).isProfiled)
        var other = DeviceProfile.someIdentity
        other.threads = 3
        #expect(try !planner(ProfileStore(directory: store.directory, identity: other)).isProfiled)
        try Data("{".utf8).write(to: URL(filePath: store.path))
        #expect(throws: ProfileStoreError.self) { try store.load() }
        #expect(try !planner(store).isProfiled)
    }

    @Test func aFolderThatCannotBeWrittenStopsNothing() throws {
        try Data().write(to: URL(filePath: folder.path + "/state"))
        let planner = try planner(store)
        for _ in 0..<9 { try answer(planner) }
        planner.keepWhatWasLearned()
        #expect(throws: ProfileStoreError.self) {
            try store.save(.instant(DeviceProfile.someIdentity, resolutions: [256]))
        }
    }

    @Test(arguments: [32, 128, 320, 321, 512, 1024])
    func whatIsKnownOfAFileIsWhatTheDecoderGives(pixels: Int) throws {
        for name in ["china", "flower"] {
            let path = BudgetedModelTests.project + "/etc/photographs/\(name).jpg"
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
            var known = frame(budget: 100)
            known.read(headerOf: bytes)
            let picture = try #require(known.picture)
            let decoded = try ImageDecoder().decode(bytes, covering: pixels)
            #expect(picture.coding == .jpeg && picture.bytes == Double(bytes.count))
            #expect(picture.decodedPixels(for: Rung(pixels: pixels)) == Double(decoded.width * decoded.height))
            #expect(known.sourceSide == max(picture.width, picture.height))
            #expect(known.sourcePixels == Double(picture.width * picture.height))
        }
        var unknown = frame(budget: 100)
        unknown.read(headerOf: [1, 2, 3])
        #expect(unknown.picture == nil && unknown.sourcePixels == nil)
    }

    @Test func aPictureWithoutItsBarsIsPlannedWithoutThem() throws {
        let planner = try planner(store)
        var wide = frame(budget: 1e6)
        wide.picture = EncodedPicture(.jpeg, bytes: 1000, width: 1920, height: 1080)
        for (aspect, height) in [(PictureAspect.square, 1.0), (.native, 9.0 / 16)] {
            wide.tasks.aspect = aspect
            guard case .run(let plan) = planner.plan(wide) else {
                Issue.record("expired")
                return
            }
            let side = plan.plan.rung.width
            #expect(plan.plan.shape == Rung(width: side, height: (Int(Double(side) * height) + 63) / 64 * 64))
        }
    }

    @Test func theFileIsNamedAfterTheModelAndNothingElse() {
        #expect(store.path == folder.path + "/state/profile-aaaaaaaaaaaaaaaa.json")
        var hostile = DeviceProfile.someIdentity
        hostile.modelDigest = "sha256:../../etc/passwd"
        #expect(ProfileStore(directory: "/d", identity: hostile).path == "/d/profile-ecad.json")
    }

    @Test(arguments: [0.0, -1, .nan, .infinity, 1e300, 1e-300])
    func absurdBudgetsAreAnsweredSomehow(budget: Double) throws {
        let planner = try planner(nil)
        try answer(planner)
        switch planner.plan(frame(budget: budget)) {
        case .run: #expect(budget > 1)
        case .expired: #expect(!(budget > 1))
        }
    }

    @Test func anArrivalYearsAwayIsNoHang() throws {
        let planner = try planner(nil)
        try answer(planner)
        let decade = Duration.seconds(10 * 365 * 86_400)
        guard case .expired(let reason) = planner.plan(frame(budget: 800, arrival: .now - decade)) else {
            Issue.record("started")
            return
        }
        #expect(reason == .deadlinePassed)
        guard case .run = planner.plan(frame(budget: 800, arrival: .now + decade)) else {
            Issue.record("not started")
            return
        }
    }

    /// A frame that keeps the others waiting gets a lower rung.
    @Test func framesThatWaitAreThoughtOf() throws {
        try store.save(
            DeviceProfile(
                identity: DeviceProfile.someIdentity,
                points: PretendedDevice.resolutions.map {
                    DeviceProfile.Point(
                        rung: Rung(pixels: $0), sourcePixels: 2_073_600, textTokens: 20, decode: 2, preprocess: 1,
                        vision: PretendedDevice.vision($0), prefill: 20, samples: 5)
                }, tokenPoints: [DeviceProfile.TokenPoint(context: 100, milliseconds: 1)]))
        let planner = try planner(store)
        var frame = frame(budget: 3000)
        let alone = try #require(planner.plan(frame).plan)
        frame.waiting = (0..<6).map { _ in (frame.arrival, 1200) }
        let crowded = try #require(planner.plan(frame).plan)
        #expect(alone.resolution == 1024 && crowded.resolution < 1024)
    }

    @Test func committingTakesItsShareOfTheBudget() throws {
        try store.save(.instant(DeviceProfile.someIdentity, resolutions: PretendedDevice.resolutions))
        let planner = try planner(store)
        planner.committed(in: 100)
        let now = ContinuousClock.now
        let early = try #require(planner.plan(frame(budget: 1000, arrival: now)).plan)
        for _ in 0..<200 { planner.committed(in: 1) }
        let late = try #require(planner.plan(frame(budget: 1000, arrival: now)).plan)
        #expect((90...110).contains(late.plan.deadline - early.plan.deadline))
    }
}

/// True in a build whose speed means something.
private var isOptimized: Bool {
    #if DEBUG
        false
    #else
        true
    #endif
}
