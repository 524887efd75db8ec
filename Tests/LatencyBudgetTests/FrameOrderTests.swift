import LatencyBudget
import Testing

@Suite struct FrameOrderTests {
    @Test func theEarliestDeadlineComesFirst() {
        var order = FrameOrder<String>()
        order.add("late", .request, deadline: 900)
        order.add("early", .request, deadline: 300)
        order.add("camera", .live(source: 7), deadline: 500)
        order.add("never", .request, deadline: .infinity)
        order.add("strange", .request, deadline: .nan)
        #expect(order.count == 5)
        #expect((0..<6).map { _ in order.next(now: 0) } == ["early", "camera", "late", "never", "strange", nil])
        #expect(order.isEmpty)
    }

    @Test func equalDeadlinesComeInOrderOfArrival() {
        var order = FrameOrder<Int>()
        for index in 0..<100 { order.add(index, .request, deadline: 50) }
        #expect((0..<100).compactMap { _ in order.next(now: 0) } == Array(0..<100))
    }

    @Test func aLiveSourceGivesItsNewestFrame() {
        var order = FrameOrder<Int>(liveFrames: 2)
        #expect(order.add(1, .live(source: 0), deadline: 100) == nil)
        #expect(order.add(2, .live(source: 0), deadline: 200) == nil)
        #expect(order.add(3, .live(source: 0), deadline: 300) == 1)
        #expect(order.add(4, .live(source: 1), deadline: 250) == nil)
        #expect((0..<4).map { _ in order.next(now: 0) } == [4, 3, 2, nil])
    }

    @Test func backlogWaitsUntilNothingElseDoes() {
        var order = FrameOrder<String>()
        order.add("old 2", .backlog, deadline: 20)
        order.add("old 1", .backlog, deadline: 10)
        order.add("camera", .live(source: 0), deadline: 1000)
        order.add("passed", .request, deadline: 5)
        #expect((0..<5).map { _ in order.next(now: 15) } == ["camera", "passed", "old 1", "old 2", nil])
    }

    @Test func framesThatAreTooLateDoNotHoldUpOthers() {
        var order = FrameOrder<String>()
        order.add("passed", .request, deadline: 100)
        order.add("passed camera", .live(source: 1), deadline: 50)
        order.add("in time", .request, deadline: 900)
        #expect(order.next(now: 500) == "in time")
        #expect(order.next(now: 500) == "passed camera")
        #expect(order.next(now: 500) == "passed")
    }

    @Test func nothingIsLostOrDoubled() {
        var random = SeededGenerator(seed: 21)
        var order = FrameOrder<Int>(liveFrames: 3)
        var seen: [Int] = []
        let total = 5000
        for index in 0..<total {
            let kind: FrameOrder<Int>.Kind =
                [.request, .backlog, .live(source: Int(random.next() % 4))][Int(random.next() % 3)]
            if let superseded = order.add(index, kind, deadline: 1000 * random.share()) { seen.append(superseded) }
            if random.next() % 2 == 0, let next = order.next(now: 1000 * random.share()) { seen.append(next) }
        }
        for source in 0..<2 { seen += order.remove(source: source) }
        while let next = order.next(now: .nan) { seen.append(next) }
        #expect(seen.sorted() == Array(0..<total))
        #expect(order.remove(source: 99).isEmpty)
    }

    @Test func requestsAreOrderedLikeASortedList() {
        var random = SeededGenerator(seed: 22)
        var order = FrameOrder<Double>()
        let deadlines = (0..<2000).map { _ in random.share() }
        for deadline in deadlines { order.add(deadline, .request, deadline: deadline) }
        var taken: [Double] = []
        while let next = order.next(now: -1) { taken.append(next) }
        #expect(taken == deadlines.sorted())
    }

    @Test func whoWaitsIsKnown() throws {
        var order = FrameOrder<Int>()
        #expect(order.waiting.isEmpty)
        order.add(1, .backlog, deadline: 3000)
        #expect(order.waiting.isEmpty)
        order.add(2, .request, deadline: 1000 + 3 * Samples.time(256))
        #expect(!order.waiting.isEmpty)
        var planner = try Samples.planner()
        var request = PlanRequest(arrival: 1000, budget: 3 * Samples.time(1024))
        request.waiting = order.waiting
        #expect(planner.plan(request, now: 1000).plan?.reason == .sharing)
    }
}
