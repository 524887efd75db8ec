import CaptionService
import Sidecars
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct MemoryBudgetTests {
    /// Waits until `count` wait.
    func wait(for count: Int, in budget: MemoryBudget) async {
        while budget.waiting != count { await Task.yield() }
    }

    /// Whether so many can be held at once; gives them back.
    func fits(_ bytes: Int, _ budget: MemoryBudget) -> Bool {
        guard let room = budget.holdNow(bytes) else { return false }
        room.end()
        return true
    }

    @Test func whatIsHeldIsGivenBackWhenItsOwnerGoes() async throws {
        let budget = MemoryBudget(limit: 100)
        do {
            let one = try await budget.hold(60)
            #expect(budget.held == 60)
            let two = try await budget.hold(40)
            #expect(budget.held == 100)
            #expect(!fits(1, budget))
            let bytes = [one.bytes, two.bytes]
            one.end()
            two.end()
            #expect(bytes == [60, 40])
            #expect(fits(1, budget))
        }
        #expect(budget.held == 0)
        #expect(budget.highest == 100)
    }

    @Test func whatNeverFitsIsRefusedAtOnce() async throws {
        let budget = MemoryBudget(limit: 100)
        await #expect(throws: MemoryBudget.Refusal.tooLarge(bytes: 101, limit: 100)) { _ = try await budget.hold(101) }
        await #expect(throws: MemoryBudget.Refusal.tooLarge(bytes: -1, limit: 100)) { _ = try await budget.hold(-1) }
        await #expect(throws: MemoryBudget.Refusal.tooLarge(bytes: .max, limit: 100)) {
            _ = try await budget.hold(.max)
        }
        #expect(budget.held == 0)
    }

    @Test func aLargeWishIsNotPassedByForEver() async throws {
        let budget = MemoryBudget(limit: 100)
        var first: MemoryBudget.Holding? = try await budget.hold(60)
        let large = Task { try await budget.hold(90).bytes }
        await wait(for: 1, in: budget)
        // It would fit, but another is in front of it.
        #expect(!fits(10, budget))
        let small = Task { try await budget.hold(10).bytes }
        await wait(for: 2, in: budget)
        #expect(budget.held == 60)
        _ = first.take()
        let (largest, smallest) = (try await large.value, try await small.value)
        #expect(largest == 90 && smallest == 10)
        #expect(budget.held == 0 && budget.waiting == 0)
    }

    @Test func whoIsCancelledHoldsNothingAndMakesWay() async throws {
        let budget = MemoryBudget(limit: 100)
        let first = try await budget.hold(60)
        let large = Task { _ = try await budget.hold(90) }
        await wait(for: 1, in: budget)
        let small = Task { _ = try await budget.hold(10) }
        await wait(for: 2, in: budget)
        large.cancel()
        // The one behind it is served although nothing was given back.
        try await small.value
        await #expect(throws: MemoryBudget.Refusal.cancelled) { try await large.value }
        #expect(budget.held == 60)
        let early = Task {
            while !Task.isCancelled { await Task.yield() }
            _ = try await budget.hold(90)
        }
        early.cancel()
        await #expect(throws: MemoryBudget.Refusal.cancelled) { try await early.value }
        first.end()
        #expect(budget.held == 0)
    }

    @Test func tooManyAreNotMadeToWait() async throws {
        let budget = MemoryBudget(limit: 10, waitingLimit: 1)
        var first: MemoryBudget.Holding? = try await budget.hold(10)
        let waiting = Task { _ = try await budget.hold(1) }
        await wait(for: 1, in: budget)
        await #expect(throws: MemoryBudget.Refusal.tooManyWait(limit: 1)) { _ = try await budget.hold(1) }
        _ = first.take()
        try await waiting.value
    }

    @Test func manyAtOnceNeverHoldMoreThanThereIs() async throws {
        let budget = MemoryBudget(limit: 1000, waitingLimit: 10_000)
        let done = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<2000 {
                group.addTask {
                    let holding = try await budget.hold(number % 700)
                    await Task.yield()
                    return holding.bytes >= 0 ? 1 : 0
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(done == 2000)
        #expect(budget.held == 0 && budget.waiting == 0)
        #expect(budget.highest <= 1000 && budget.highest > 500)
    }

    @Test func aPictureInAFolderWaitsForMemoryBeforeItIsRead() async throws {
        let folder = try ScratchFolder()
        let budget = MemoryBudget(limit: 100)
        var taken: MemoryBudget.Holding? = try await budget.hold(99)
        let begun = Mutex(0)
        let engine = StubEngine { tasks, bytes in
            begun.withLock { $0 += 1 }
            return StubEngine.report(tasks, caption: "\(budget.held)")
        }
        try folder.drop("eight", "x.jpg")
        try await withService(on: folder, engine: engine, memory: budget) { service in
            await wait(for: 1, in: budget)
            #expect(begun.withLock { $0 } == 0)
            _ = taken.take()
            let results = try await service.next(1)
            #expect(results.first?.document.caption == "7")
        }
        #expect(budget.held == 0)
    }

    @Test func aPictureCountsWithItsPixels() {
        #expect(MemoryBudget.bytes(forPictureOf: 1000, pixels: nil) == 1000)
        #expect(MemoryBudget.bytes(forPictureOf: 1000, pixels: 500) == 2500)
        #expect(MemoryBudget.bytes(forPictureOf: 1000, pixels: .max) == .max)
        #expect(MemoryBudget.bytes(forPictureOf: .max, pixels: 1) == .max)
    }
}
