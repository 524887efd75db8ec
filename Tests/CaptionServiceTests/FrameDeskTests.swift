import CaptionService
import Foundation
import Synchronization
import Testing

@Suite struct FrameDeskTests {
    /// Holds the turn until it is let go.
    private struct Holder {
        let task: Task<Void, Never>
        let release: AsyncStream<Void>.Continuation

        init(_ desk: FrameDesk, source: String = "holder") async {
            let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
            let (begun, begin) = AsyncStream.makeStream(of: Void.self)
            release = continuation
            task = Task {
                _ = await desk.turn(.init(source: source, kind: .request)) {
                    begin.yield()
                    for await _ in stream { break }
                    return ((), .ok)
                }
            }
            for await _ in begun { break }
        }

        func letGo() async {
            release.yield()
            await task.value
        }
    }

    private func wait(for desk: FrameDesk, waiting count: Int) async throws {
        while desk.waiting != count { try await Task.sleep(for: .milliseconds(1)) }
    }

    @Test(.timeLimit(.minutes(1))) func turnsComeByDeadlineThenBacklog() async throws {
        let desk = FrameDesk()
        let holder = await Holder(desk)
        let order = Collected<String>()
        let claims: [(String, FrameDesk.Claim)] = [
            ("backlog", .init(source: "f", kind: .backlog)),
            ("whenever", .init(source: "r", kind: .request)),
            ("late", .init(source: "r", kind: .request, budget: 500_000)),
            ("camera", .init(source: "c", kind: .live(desk.liveNumber()), budget: 400_000)),
            ("soon", .init(source: "r", kind: .request, budget: 300_000)),
        ]
        var tasks: [Task<Void, Never>] = []
        for (index, (name, claim)) in claims.enumerated() {
            tasks.append(
                Task {
                    _ = await desk.turn(claim) {
                        order.add(name)
                        return ((), .ok)
                    }
                })
            try await wait(for: desk, waiting: index + 1)
        }
        await holder.letGo()
        for task in tasks { await task.value }
        #expect(order.all == ["soon", "camera", "late", "whenever", "backlog"])
        #expect(desk.counters.ok == 6 && desk.counters.isConserved && desk.counters.pending == 0)
        #expect(desk.countersBySource["r"]?.received == 3)
    }

    private func claim(_ name: String, model: String, loading: Duration = .zero) -> FrameDesk.Claim {
        var claim = FrameDesk.Claim(source: name, kind: .request)
        (claim.model, claim.loading) = (model, loading)
        return claim
    }

    /// The order in which frames of these models come that all wait when a frame of the model `a` ends.
    private func order(_ models: [String], stint: Duration, loading: Duration = .zero) async throws -> String {
        let desk = FrameDesk(stint: stint)
        let order = Collected<String>()
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let (begun, begin) = AsyncStream.makeStream(of: Void.self)
        let first = Task {
            _ = await desk.turn(claim("first", model: "a")) {
                begin.yield()
                for await _ in released { break }
                return ((), .ok)
            }
        }
        for await _ in begun { break }
        var tasks: [Task<Void, Never>] = []
        for model in models {
            let ticket = desk.ask(claim(model, model: model, loading: loading))
            tasks.append(
                Task {
                    _ = await desk.turn(ticket) {
                        order.add(model)
                        return ((), .ok)
                    }
                })
        }
        release.finish()
        for task in tasks + [first] { await task.value }
        return order.all.joined()
    }

    @Test(.timeLimit(.minutes(1))) func modelsAreNotExchangedForEveryFrame() async throws {
        #expect(try await order(["b", "a", "b", "a", "c"], stint: .seconds(1000)) == "aabbc")
        // Each has had its turns for long enough: as they came.
        #expect(try await order(["b", "a", "b", "a", "c"], stint: .zero) == "babac")
        // Four times as long as the others take to load.
        #expect(try await order(["b", "a", "b", "a", "c"], stint: .zero, loading: .seconds(1000)) == "aabbc")
    }

    @Test(.timeLimit(.minutes(1))) func aFrameThatFollowsIsWaitedForButNotForLong() async throws {
        let desk = FrameDesk(stint: .seconds(1000))
        let order = Collected<String>()
        @Sendable func take(_ name: String, _ ticket: FrameDesk.Ticket) async {
            _ = await desk.turn(ticket) {
                order.add(name)
                return ((), .ok)
            }
        }
        var followed = claim("folder", model: "a")
        followed.isFollowed = { true }
        let first = desk.ask(followed)
        let other = desk.ask(claim("request", model: "b"))
        let waiting = Task { await take("b", other) }
        await take("a1", first)
        // Nobody is at work, and still the other waits.
        await take("a2", desk.ask(followed))
        #expect(order.all == ["a1", "a2"])
        // The third does not come.
        await waiting.value
        #expect(order.all == ["a1", "a2", "b"])
        // Nobody follows: the other comes at once.
        let last = desk.ask(claim("request", model: "b"))
        let next = Task { await take("c", desk.ask(claim("request", model: "c"))) }
        try await wait(for: desk, waiting: 1)
        await take("b", last)
        await next.value
        #expect(order.all.suffix(2) == ["b", "c"] && desk.counters.isConserved && desk.counters.pending == 0)
    }

    @Test(.timeLimit(.minutes(1))) func ofACameraTheNewestFrameWins() async throws {
        let desk = FrameDesk()
        let holder = await Holder(desk)
        let (first, second) = (desk.liveNumber(), desk.liveNumber())
        let answered = Collected<String>()
        let superseded = Collected<String>()
        @Sendable func frame(_ name: String, _ ticket: FrameDesk.Ticket) async {
            let turn = await desk.turn(ticket) {
                answered.add(name)
                return ((), .ok)
            }
            if case .superseded = turn { superseded.add(name) }
        }
        var tasks: [Task<Void, Never>] = []
        for (name, number) in [("a1", first), ("b1", second), ("a2", first), ("a3", first)] {
            let ticket = desk.ask(.init(source: "cam\(number)", kind: .live(number)))
            tasks.append(Task { await frame(name, ticket) })
        }
        #expect(desk.counters.isConserved && desk.counters.superseded == 2 && desk.counters.pending == 3)
        await holder.letGo()
        for task in tasks { await task.value }
        #expect(answered.all.sorted() == ["a3", "b1"] && superseded.all.sorted() == ["a1", "a2"])
        #expect(desk.countersBySource["cam1"].map { [$0.received, $0.superseded, $0.ok] } == [3, 2, 1])
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledWaiterLeavesAtOnceAndTheNextOneComes() async throws {
        let desk = FrameDesk()
        let holder = await Holder(desk)
        let gone = Task { await desk.turn(.init(source: "x", kind: .request, budget: 1)) { ((), .ok) } }
        try await wait(for: desk, waiting: 1)
        let stays = Task { await desk.turn(.init(source: "y", kind: .request)) { (7, .ok) } }
        try await wait(for: desk, waiting: 2)
        gone.cancel()
        guard case .cancelled = await gone.value else { throw CancellationError() }
        #expect(desk.waiting == 1 && desk.counters.vanished == 1 && desk.counters.isConserved)
        await holder.letGo()
        guard case .taken(7) = await stays.value else { throw CancellationError() }
        // A task that is cancelled already never waits.
        let early = Task {
            while !Task.isCancelled { await Task.yield() }
            return await desk.turn(.init(source: "z", kind: .request)) { ((), .ok) }
        }
        early.cancel()
        guard case .cancelled = await early.value else { throw CancellationError() }
        #expect(desk.counters.vanished == 2 && desk.counters.pending == 0 && desk.counters.isConserved)
    }

    @Test(.timeLimit(.minutes(1))) func whoComesToAFullDeskIsTurnedAway() async throws {
        let desk = FrameDesk(capacity: 2)
        let holder = await Holder(desk)
        let tasks = (0..<2).map { _ in Task { await desk.turn(.init(source: "x", kind: .request)) { ((), .ok) } } }
        try await wait(for: desk, waiting: 2)
        guard case .dropped = await desk.turn(.init(source: "x", kind: .request), { ((), .ok) }) else {
            throw CancellationError()
        }
        #expect(desk.counters.dropped == 1 && desk.counters.isConserved)
        await holder.letGo()
        for task in tasks { _ = await task.value }
        #expect(desk.counters.ok == 3)
    }

    @Test(.timeLimit(.minutes(1))) func nothingWaitsForEverBehindACamera() async throws {
        let desk = FrameDesk(patience: .milliseconds(100))
        let camera = desk.liveNumber()
        let isDone = Flag()
        // A camera that never leaves a gap.
        let feeding = (0..<2).map { _ in
            Task {
                while !isDone.isSet {
                    _ = await desk.turn(.init(source: "cam", kind: .live(camera), budget: 60_000)) {
                        try? await Task.sleep(for: .milliseconds(1))
                        return ((), .ok)
                    }
                }
            }
        }
        while desk.counters.ok < 3 { try await Task.sleep(for: .milliseconds(1)) }
        _ = await desk.turn(.init(source: "folder", kind: .backlog)) { ((), .ok) }
        #expect(desk.countersBySource["folder"]?.ok == 1)
        isDone.set()
        for task in feeding { await task.value }
    }

    @Test(.timeLimit(.minutes(2))) func theCountersHoldAtEveryInstant() async throws {
        let desk = FrameDesk(capacity: 4)
        let cameras = [desk.liveNumber(), desk.liveNumber()]
        let isDone = Flag()
        let watching = Task {
            var looks = 0
            while !isDone.isSet {
                let counters = desk.counters
                if !counters.isConserved { return -1 }
                looks += 1
                await Task.yield()
            }
            return looks
        }
        @Sendable func askOften(_ client: Int) async {
            for step in 0..<250 {
                let kind: FrameDesk.Kind = client < 4 ? .live(cameras[client % 2]) : client < 8 ? .backlog : .request
                let claim = FrameDesk.Claim(source: "s\(client % 3)", kind: kind, budget: Double(step % 7))
                let task = Task {
                    _ = await desk.turn(claim) {
                        await Task.yield()
                        return ((), FrameEnding.allCases[step % 3])
                    }
                }
                if step % 5 == 0 { task.cancel() }
                await task.value
            }
        }
        await withDiscardingTaskGroup { group in
            for client in 0..<16 { group.addTask { await askOften(client) } }
        }
        isDone.set()
        let looks = await watching.value
        let counters = desk.counters
        #expect(looks > 0 && counters.received == 4000 && counters.pending == 0 && counters.isConserved)
        #expect(desk.countersBySource.values.map(\.received).reduce(0, +) == 4000)
        #expect(counters.dropped > 0 && counters.superseded > 0 && counters.vanished > 0 && counters.refused > 0)
        #expect(desk.waiting == 0 && desk.oldestWait == nil)
    }
}

private final class Flag: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}
