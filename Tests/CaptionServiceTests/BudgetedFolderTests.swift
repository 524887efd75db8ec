import CaptionService
import FoundationEssentials
import LatencyBudget
import Sidecars
import Testing

/// Folders with a budget, with an engine that says how long it took.
@Suite struct BudgetedFolderTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    /// Drops pictures one after another, each when the one before is done, and hands back what was said of them.
    private func answers(
        to pictures: [String], engine: StubEngine, _ configure: (inout DaemonConfiguration) -> Void
    ) async throws -> [SidecarDocument] {
        var documents: [SidecarDocument] = []
        try await withService(on: folder, engine: engine, configure: configure) { service in
            for (index, text) in pictures.enumerated() {
                try folder.drop(text, "\(index).jpg")
                documents += try await service.next(1).map(\.document)
            }
        }
        return documents
    }

    @Test(.timeLimit(.minutes(1))) func withoutABudgetNothingIsPlanned() async throws {
        let plans = Collected<Bool>()
        let documents = try await answers(
            to: ["a", "b"], engine: try PretendedDevice.engine(onRun: { plans.add($0 != nil) })
        ) { _ in }
        #expect(plans.all == [false, false])
        #expect(documents.allSatisfy { $0.budget == nil && $0.resolution?.reason == "model_default" })
    }

    @Test(.timeLimit(.minutes(1))) func theRungFollowsTheDeviceDownAtOnceAndUpAfterProof() async throws {
        let quick = [String](repeating: "quick", count: 12)
        let slow = [String](repeating: "slow", count: 8)
        let documents = try await answers(
            to: quick + slow + quick, engine: try PretendedDevice.engine()
        ) { $0.watches[0].tasks.budget = 1000 }
        let pixels = documents.map { $0.resolution?.pixels ?? 0 }
        #expect(documents[0].resolution?.reason == "learning" && pixels[0] == 256)
        // 512 takes about 430 ms, 1024 about 1,630.
        #expect(pixels[4..<12].allSatisfy { $0 == 512 }, "\(pixels)")
        #expect(documents[11].resolution?.reason == "budget")
        // Three times slower only 256 fits.
        #expect(pixels[15..<20].allSatisfy { $0 == 256 }, "\(pixels)")
        #expect(pixels[20...].firstIndex(of: 512).map { $0 <= 30 } == true, "\(pixels)")
        #expect(documents.allSatisfy { $0.status == .ok && $0.budget?.met == true && $0.budget?.milliseconds == 1000 })
        let predicted = try #require(documents[11].budget?.predicted?.value)
        #expect((350...600).contains(predicted), "\(predicted)")
    }

    @Test(.timeLimit(.minutes(1))) func whatNoRungCanAnswerInTimeExpires() async throws {
        let runs = Collected<Int>()
        let documents = try await answers(
            to: [String](repeating: "x", count: 5), engine: try PretendedDevice.engine(onRun: { _ in runs.add(1) })
        ) { $0.watches[0].tasks.budget = 60 }
        #expect(runs.all.count <= 1)
        let last = try #require(documents.last)
        #expect(last.status == .expired && last.caption == nil && last.resolution == nil)
        #expect(
            // On a busy machine the time may be over before the plan.
            ["below_lowest_rung", "deadline_passed"].contains(last.finishReason) && last.budget?.milliseconds == 60
                && last.budget?.met == false)
        #expect(try folder.document("4.jpg").status == .expired)
    }

    @Test(.timeLimit(.minutes(1))) func bestEffortAnswersLateAtTheLowestRung() async throws {
        let documents = try await answers(
            to: [String](repeating: "x", count: 5), engine: try PretendedDevice.engine()
        ) {
            $0.watches[0].tasks.budget = 60
            $0.watches[0].tasks.whenLate = .bestEffort
        }
        let last = try #require(documents.last)
        #expect(last.status == .ok && last.resolution?.pixels == 256 && last.resolution?.reason == "best_effort")
        #expect(try #require(last.budget?.predicted).value > 60)
    }

    @Test(.timeLimit(.minutes(1))) func whatIsGivenUpExpiresToo() async throws {
        let engine = StubEngine(ladder: try PretendedDevice.ladder) { (_, _, _) throws(EngineError) in
            throw EngineError(.late, "late", spent: EngineError.Spent(timings: .init(), seen: 0.5))
        }
        let documents = try await answers(to: ["x"], engine: engine) { $0.watches[0].tasks.budget = 500 }
        #expect(documents[0].status == .expired && documents[0].finishReason == "given_up")
        #expect(documents[0].budget?.predicted != nil)
    }

    @Test(.timeLimit(.minutes(1))) func aFixedResolutionStaysAndOnlyTheLengthFollowsTheBudget() async throws {
        let limits = Collected<Int>()
        // A token takes 10 ms, the rest about 420.
        let engine = StubEngine(ladder: try PretendedDevice.ladder) { (tasks, _, plan) throws(EngineError) in
            limits.add(plan?.plan.tokenLimit ?? -1)
            var report = PretendedDevice.report(tasks, plan, caption: "x")
            report.timings.generate = 100
            return report
        }
        let documents = try await answers(to: [String](repeating: "x", count: 6), engine: engine) {
            $0.watches[0].tasks.budget = 1500
            $0.watches[0].tasks.resolution = 512
        }
        #expect(documents.allSatisfy { $0.resolution?.pixels == 512 && $0.resolution?.reason == "fixed" })
        #expect(documents.allSatisfy { $0.budget?.milliseconds == 1500 })
        let last = try #require(limits.all.last)
        #expect((8..<240).contains(last), "\(limits.all)")
    }

    @Test(.timeLimit(.minutes(1))) func offLeavesTheModelAloneAndOnlySaysWhetherItWasInTime() async throws {
        let plans = Collected<Bool>()
        let documents = try await answers(
            to: ["x", "y"], engine: try PretendedDevice.engine(onRun: { plans.add($0 != nil) })
        ) {
            $0.watches[0].tasks.budget = 60_000
            $0.watches[0].tasks.followsBudget = false
        }
        #expect(plans.all == [false, false])
        #expect(documents.allSatisfy { $0.resolution?.reason == "model_default" && $0.budget?.met == true })
    }

    /// They have been there for a time that nobody knows: none may expire before its turn.
    @Test(.timeLimit(.minutes(1))) func picturesFromBeforeTheStartGetTheirBudgetWhenTheirTurnComes() async throws {
        for index in 0..<12 { try folder.drop("early \(index)", "\(index).jpg") }
        let clock = ContinuousClock()
        let engine = StubEngine(ladder: try PretendedDevice.ladder) { (tasks, bytes, plan) throws(EngineError) in
            // Together they take longer than one budget.
            let end = clock.now + .milliseconds(60)
            while clock.now < end {}
            var report = PretendedDevice.report(tasks, plan, caption: "done")
            report.timings.vision = 50
            return report
        }
        try await withService(on: folder, engine: engine, configure: { $0.watches[0].tasks.budget = 600 }) { service in
            let documents = try await service.next(12).map(\.document)
            #expect(documents.allSatisfy { $0.status == .ok })
        }
    }

    @Test(.timeLimit(.minutes(1))) func aFolderWithoutABudgetIsUntouchedBesideOneThatHasOne() async throws {
        let other = try ScratchFolder()
        try await withService(
            on: folder, engine: try PretendedDevice.engine(),
            configure: {
                $0.watches[0].tasks.budget = 1000
                $0.watches.append(DaemonConfiguration.Watch(path: other.path, name: "other"))
            }
        ) { service in
            try other.drop("x", "x.jpg")
            let document = try #require(try await service.next(1).first?.document)
            #expect(document.budget == nil && document.resolution?.reason == "model_default")
            #expect(document.resolution?.pixels == 256)
        }
    }
}
