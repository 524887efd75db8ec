import CaptionService
import FoundationEssentials
import LatencyBudget
import Logging
import Sidecars
import Testing

@Suite struct ModelShelfTests {
    private func shelf(
        _ source: StubModels, _ models: [DaemonConfiguration.Model], planner: ModelShelf.PlannerMaker? = nil
    ) async throws -> ModelShelf {
        let shelf = ModelShelf(source: source, planner: planner, logger: .silent)
        try await shelf.replace(with: models)
        return shelf
    }

    private func answer(_ answerer: FrameAnswerer, _ change: (inout PictureTasks) -> Void = { _ in }) async
        -> FrameAnswerer.Answer
    {
        var tasks = PictureTasks()
        change(&tasks)
        return await answerer.answer(
            .init([65, 0xFF, 0xD9], source: .init(origin: "test"), tasks: tasks, arrival: .now))
    }

    @Test(.timeLimit(.minutes(1))) func aModelComesWithTheFirstFrameAndGoesAfterItsTime() async throws {
        let source = StubModels()
        let shelf = try await shelf(source, [.init(path: "/m/one", keepAlive: .after(.milliseconds(30)))])
        #expect(shelf.standings.map(\.phase) == [.unloaded] && source.loads == [])
        let answerer = FrameAnswerer(models: shelf)
        for round in 1...2 {
            guard case .document(let document) = await answer(answerer) else { throw CancellationError() }
            #expect(document.caption == "one: A")
            #expect(source.loads.count == round)
            try await eventually { shelf.standings.map(\.phase) == [.unloaded] }
            #expect(source.alive == 0)
        }
        #expect(shelf.standings.map(\.loads) == [2])
    }

    @Test(.timeLimit(.minutes(1))) func whatIsInUseStaysHoweverShortItsTime() async throws {
        let source = StubModels()
        let shelf = try await shelf(source, [.init(path: "/m/one", keepAlive: .after(.milliseconds(30)))])
        _ = try await shelf.take("one")
        shelf.giveBack()
        // Its time has begun, and ends while it is in use.
        _ = try await shelf.take("one")
        let loads = source.loads.count
        try await Task.sleep(for: .milliseconds(60))
        #expect(source.alive == 1 && source.loads.count == loads && shelf.standings.map(\.phase) == [.loaded])
        shelf.giveBack()
        try await eventually { source.alive == 0 }
    }

    @Test(.timeLimit(.minutes(1))) func withoutATimeItStays() async throws {
        let source = StubModels()
        let shelf = try await shelf(source, [.init(path: "/m/one"), .init(path: "/m/two")])
        _ = try await shelf.take("one")
        shelf.giveBack()
        try await Task.sleep(for: .milliseconds(50))
        #expect(source.alive == 1 && shelf.standings.map(\.phase) == [.loaded, .unloaded])
    }

    @Test(.timeLimit(.minutes(1))) func oneIsInMemoryAtATime() async throws {
        let source = StubModels()
        let shelf = try await shelf(source, [.init(path: "/m/one"), .init(path: "/m/two", name: "other")])
        _ = try await shelf.take("one")
        let second = Task { try await shelf.take("other").model.name }
        // It waits until the first is given back.
        try await Task.sleep(for: .milliseconds(30))
        #expect(source.loads == ["one"] && source.alive == 1)
        shelf.giveBack()
        #expect(try await second.value == "two")
        #expect(source.loads == ["one", "two"] && source.mostAlive == 1 && source.alive == 1)
        #expect(shelf.standings.map(\.phase) == [.unloaded, .loaded])
        shelf.giveBack()
    }

    @Test(.timeLimit(.minutes(1))) func whoWaitsForAModelCanGiveUp() async throws {
        let (loading, begun) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let source = StubModels(onLoad: { _ in
            begun.yield()
            for await _ in released { break }
        })
        let shelf = try await shelf(source, [.init(path: "/m/one")])
        let waiting = Task { () -> EngineError.Code? in
            do throws(EngineError) {
                _ = try await shelf.take("one")
                return nil
            } catch {
                return error.code
            }
        }
        for await _ in loading { break }
        #expect(shelf.standings.map(\.phase) == [.loading])
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
        release.finish()
        // What was begun is there for the next.
        try await eventually { shelf.standings.map(\.phase) == [.loaded] }
        #expect(try await shelf.take("one").model.name == "one")
        #expect(source.loads == ["one"])
    }

    @Test func modelsAreFoundByEveryName() async throws {
        let shelf = try await shelf(
            StubModels(), [.init(path: "/m/one", name: "quick"), .init(path: "/m/two.fastvlm"), .init(path: "/n/one")])
        #expect(shelf.standings.map(\.id) == ["quick", "two.fastvlm", "one"])
        for (name, id) in [
            (nil, "quick"), ("", "quick"), ("default", "quick"), ("quick", "quick"), ("two", "two.fastvlm"),
            ("two.fastvlm", "two.fastvlm"), ("sha256:two.fastvlm", "two.fastvlm"), ("one", "one"), ("three", nil),
        ] { #expect(shelf.find(name)?.id == id, "\(name ?? "-")") }
    }

    @Test(.timeLimit(.minutes(1))) func whatCannotBeLoadedIsLeftAloneForAWhile() async throws {
        let source = StubModels()
        let shelf = try await shelf(source, [.init(path: "/m/one"), .init(path: "/m/two")])
        source.fail("one", 1)
        let answerer = FrameAnswerer(models: shelf)
        for _ in 1...3 {
            guard case .failed(let error) = await answer(answerer) else { throw CancellationError() }
            #expect(error.code == .resources && answerer.condition.now.degraded == ["model_unavailable"])
        }
        #expect(source.loads == ["one"])
        #expect(shelf.standings.map(\.phase) == [.unavailable, .unloaded])
        // The other one is as good as ever.
        guard case .document = await answer(answerer, { $0.model = "two" }) else { throw CancellationError() }
        try await eventually { shelf.pause(of: "one") == .zero }
        guard case .document(let document) = await answer(answerer) else { throw CancellationError() }
        #expect(document.caption == "one: A" && shelf.degraded == [] && shelf.standings.map(\.failures) == [1, 0])
    }

    @Test(.timeLimit(.minutes(1))) func aBudgetKnowsWhatLoadingTakes() async throws {
        let ladder = try PretendedDevice.ladder
        let source = StubModels(ladder: ladder, onLoad: { _ in try? await Task.sleep(for: .milliseconds(300)) })
        let shelf = try await shelf(
            source, [.init(path: "/m/one", keepAlive: .after(.milliseconds(100)))],
            planner: { card, _ in FramePlanner(ladder: card.ladder, logger: .silent) })
        let answerer = FrameAnswerer(models: shelf)
        // Nothing is known yet: it is tried, and what was left of the time when it was there decides.
        guard case .document(let first) = await answer(answerer, { $0.budget = 100 }) else { throw CancellationError() }
        #expect(first.status == .expired && first.finishReason == "deadline_passed" && source.loads == ["one"])
        try await eventually { source.alive == 0 }
        #expect(shelf.expectedLoad(of: "one") >= .milliseconds(300))
        // Now it is known: said at once, and loaded for those that come later.
        let start = ContinuousClock.now
        guard case .document(let second) = await answer(answerer, { $0.budget = 100 }) else {
            throw CancellationError()
        }
        #expect(second.status == .expired && second.finishReason == "loading" && second.model?.name == "one")
        #expect(second.budget?.met == false)
        #expect(ContinuousClock.now - start < .milliseconds(250))
        try await eventually { source.loads.count == 2 && source.alive == 0 }
        // Who takes a late answer waits for it.
        guard
            case .document(let late) = await answer(
                answerer,
                {
                    $0.budget = 100
                    $0.whenLate = .bestEffort
                })
        else { throw CancellationError() }
        #expect(late.status == .ok && late.budget?.met == false && late.resolution?.pixels == 256)
        // And a longer budget holds.
        try await eventually { source.alive == 0 }
        guard case .document(let long) = await answer(answerer, { $0.budget = 60_000 }) else {
            throw CancellationError()
        }
        #expect(long.status == .ok && long.budget?.met == true)
    }

    @Test func anUnknownModelIsSaid() async throws {
        let answerer = FrameAnswerer(models: try await shelf(StubModels(), [.init(path: "/m/one")]))
        guard case .document(let document) = await answer(answerer, { $0.model = "two" }) else {
            throw CancellationError()
        }
        #expect(document.status == .refused(code: "model_not_found", reason: "There is no model 'two'."))
        #expect(document.model == nil)
    }

    @Test(.timeLimit(.minutes(2))) func aRealModelsMemoryGoesBack() async throws {
        let path = BudgetedModelTests.project + "/etc/demo-model/panel-reader.fastvlm"
        let shelf = ModelShelf(source: FastVLMModelSource(heartbeat: Heartbeat(), logger: .silent), logger: .silent)
        try await shelf.replace(with: [.init(path: path, threads: 3, keepAlive: .after(.zero))])
        func isMapped() throws -> Bool {
            try String(contentsOfFile: "/proc/self/maps", encoding: .utf8).contains("panel-reader.fastvlm")
        }
        #expect(try !isMapped())
        let engine = try await shelf.take("panel-reader")
        #expect(try isMapped())
        #expect(engine.model == shelf.standings[0].card.facts && engine.ladder == shelf.standings[0].card.ladder)
        shelf.giveBack()
        // This test has it, too.
        withExtendedLifetime(engine) {}
        try await eventually { shelf.standings.map(\.phase) == [.unloaded] }
    }
}
