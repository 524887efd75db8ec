import CKernels
import Glibc
import Synchronization
import Testing

@Suite(.serialized) struct ThreadPoolTests {
    @Test(arguments: [1, 2, 3, 8])
    func everyTurnIsTakenOnceByTheWorkersThatMay(_ threads: Int32) throws {
        let pool = try #require(fv_thread_pool_create(threads))
        defer { fv_thread_pool_destroy(pool) }
        for count in [0, 1, 2, 3, 7, 64, 257] {
            for workers in 1...threads {
                for _ in 0..<10 {
                    let turns = Turns(count, microseconds: 5)
                    turns.take(on: pool, workers: workers)
                    #expect(turns.counts.allSatisfy { $0 == 1 })
                    #expect(turns.workers.allSatisfy { $0 < workers })
                }
            }
        }
    }

    /// One loop after another over the same rows finds each thread's in its own cache.
    @Test(.enabled(if: Cores.allowed.count > 1))
    func aThreadsTurnsLieTogether() throws {
        let pool = try #require(fv_thread_pool_create(2))
        defer { fv_thread_pool_destroy(pool) }
        var shared = 0
        Turns.loop(on: pool, 64, microseconds: 20) { turns in
            // At most: the caller's half, what the worker took of it, the worker's half, what the caller took of that.
            let changes = zip(turns.workers, turns.workers.dropFirst()).count { $0 != $1 }
            #expect(changes <= 2, "\(turns.workers)")
            if changes > 0 { shared += 1 }
            if turns.workers.contains(1) { #expect(turns.workers[32] == 1) }
            return shared < 50
        }
        #expect(shared == 50)
    }

    @Test func loopsOfSeveralCallersDoNotMix() throws {
        let pool = try #require(fv_thread_pool_create(3))
        defer { fv_thread_pool_destroy(pool) }
        // Invariant: the pool takes one loop at a time under its own lock.
        nonisolated(unsafe) let shared = pool
        let wrong = Mutex(0)
        let callers = (0..<3).map { caller in
            OwnThread {
                for _ in 0..<400 {
                    let turns = Turns(5 + caller, microseconds: 20)
                    turns.take(on: shared, workers: 3)
                    if turns.counts.contains(where: { $0 != 1 }) { wrong.withLock { $0 += 1 } }
                }
            }
        }
        for caller in callers { caller.join() }
        #expect(wrong.withLock { $0 } == 0)
    }

    @Test func aWorkerThatIsLateIsNotWaitedFor() throws {
        let cores = Cores.allowed
        let turns = try OwnThread.run {
            // With one core for all, whoever runs takes the other's time: the caller has every turn.
            Cores.allow([cores[0]])
            let pool = try #require(fv_thread_pool_create(3))
            defer { fv_thread_pool_destroy(pool) }
            return (0..<300).map { _ in
                let turns = Turns(8)
                turns.take(on: pool, workers: 3)
                return (counts: turns.counts, workers: turns.workers)
            }
        }
        #expect(turns.allSatisfy { $0.counts.allSatisfy { $0 == 1 } && $0.workers.allSatisfy { $0 == 0 } })
    }

    @Test(.enabled(if: Cores.allowed.count > 1))
    func aWorkerOnTheCallersCoreMovesToAnother() throws {
        let cores = Cores.allowed.map(Int32.init)
        let seen = try OwnThread.run {
            // Started here, the worker may run nowhere else unless it moves by itself.
            Cores.allow([Int(cores[0])])
            let pool = try #require(fv_thread_pool_create(2))
            defer { fv_thread_pool_destroy(pool) }
            var seen: Set<Int32> = []
            Turns.loop(on: pool, 64, microseconds: 50) { turns in
                for (worker, core) in zip(turns.workers, turns.cores) where worker == 1 { seen.insert(core) }
                Cores.allow([Int(cores[0])])
                Cores.allow(cores.prefix(2).map(Int.init))
                return !seen.contains(cores[1])
            }
            return seen
        }
        #expect(seen.contains(cores[1]))
    }

    /// A turn that is held while its thread does not run would keep the caller for as long as the other program wants.
    @Test(.enabled(if: Cores.allowed.count > 1))
    func aWorkerWhoseCoreAnotherProgramTakesEndsItsTurnOnTheCallers() throws {
        let cores = Array(Cores.allowed.prefix(2))
        let isOver = Mutex(false)
        let other = OwnThread {
            Cores.allow([cores[1]])
            while !isOver.withLock({ $0 }) {}
        }
        defer {
            isOver.withLock { $0 = true }
            other.join()
        }
        let (moved, counts) = try OwnThread.run {
            Cores.allow(cores)
            let pool = try #require(fv_thread_pool_create(2))
            defer { fv_thread_pool_destroy(pool) }
            var moved = 0
            var counts: Set<Int> = []
            Turns.loop(on: pool, 16, microseconds: 200) { turns in
                counts.formUnion(turns.counts)
                // With two cores the worker may run on one of them only: nobody else moves it in the middle of a turn.
                moved += turns.workers.indices.count {
                    turns.workers[$0] == 1 && turns.firstCores[$0] != turns.cores[$0]
                }
                return moved < 10
            }
            return (moved, counts)
        }
        #expect(moved >= 10)
        #expect(counts == [1])
    }

    @Test(.enabled(if: Cores.allowed.count > 1))
    func aWorkerKeepsToTheCoresThatItsCallerMayUse() throws {
        let cores = Cores.allowed
        let seen = try OwnThread.run {
            Cores.allow([cores[0]])
            let pool = try #require(fv_thread_pool_create(2))
            defer { fv_thread_pool_destroy(pool) }
            return (0..<50).map { _ in
                let turns = Turns(64, microseconds: 20)
                turns.take(on: pool, workers: 2)
                return turns.cores
            }
        }
        #expect(Set(seen.joined()) == [Int32(cores[0])])
    }
}

/// Who took each turn of one loop, where it began and ended, and how often it was taken.
private final class Turns {
    private(set) var counts: [Int]
    private(set) var workers: [Int32]
    private(set) var firstCores: [Int32]
    private(set) var cores: [Int32]
    private let microseconds: Int

    init(_ count: Int, microseconds: Int = 0) {
        counts = [Int](repeating: 0, count: count)
        workers = [Int32](repeating: 0, count: count)
        firstCores = [Int32](repeating: 0, count: count)
        cores = firstCores
        self.microseconds = microseconds
    }

    /// Each turn has a place of its own in all of them.
    private struct Places {
        var counts: UnsafeMutablePointer<Int>?
        var workers: UnsafeMutablePointer<Int32>?
        var firstCores: UnsafeMutablePointer<Int32>?
        var cores: UnsafeMutablePointer<Int32>?
        var work: Duration
    }

    /// Runs loops of `count` turns on two threads until `look` has seen enough of them, for half a minute at most.
    static func loop(
        on pool: OpaquePointer, _ count: Int, microseconds: Int, _ look: (_ turns: Turns) -> Bool
    ) {
        let end = ContinuousClock.now + .seconds(30)
        var isWanted = true
        while isWanted, ContinuousClock.now < end {
            let turns = Turns(count, microseconds: microseconds)
            turns.take(on: pool, workers: 2)
            isWanted = look(turns)
        }
    }

    func take(on pool: OpaquePointer, workers most: Int32) {
        let count = Int32(counts.count), work = Duration.microseconds(microseconds)
        counts.withUnsafeMutableBufferPointer { counts in
            workers.withUnsafeMutableBufferPointer { workers in
                firstCores.withUnsafeMutableBufferPointer { firstCores in
                    cores.withUnsafeMutableBufferPointer { cores in
                        var places = Places(
                            counts: counts.baseAddress, workers: workers.baseAddress,
                            firstCores: firstCores.baseAddress, cores: cores.baseAddress, work: work)
                        withUnsafeMutablePointer(to: &places) { fv_thread_pool_run(pool, count, most, Self.turn, $0) }
                    }
                }
            }
        }
    }

    private static let turn: fv_loop_body = { context, index, worker in
        guard let places = context?.assumingMemoryBound(to: Places.self).pointee else { return }
        places.counts?[Int(index)] += 1
        places.workers?[Int(index)] = worker
        places.firstCores?[Int(index)] = Cores.current()
        let end = ContinuousClock.now + places.work
        while ContinuousClock.now < end {}
        places.cores?[Int(index)] = Cores.current()
    }
}

/// The processors that the calling thread may run on. Glibc's header hides the calls from Swift.
private enum Cores {
    typealias Affinity = @convention(c) (pid_t, Int, UnsafeMutableRawPointer?) -> Int32
    static let get = unsafeBitCast(dlsym(nil, "sched_getaffinity"), to: Affinity.self)
    static let set = unsafeBitCast(dlsym(nil, "sched_setaffinity"), to: Affinity.self)
    static let current = unsafeBitCast(dlsym(nil, "sched_getcpu"), to: (@convention(c) () -> Int32).self)

    static var allowed: [Int] {
        var set = [UInt8](repeating: 0, count: 128)
        guard get(0, set.count, &set) == 0 else { return [0] }
        return (0..<8 * set.count).filter { set[$0 / 8] >> UInt8($0 % 8) & 1 == 1 }
    }

    static func allow(_ cores: [Int]) {
        var set = [UInt8](repeating: 0, count: 128)
        for core in cores { set[core / 8] |= 1 << UInt8(core % 8) }
        #expect(Self.set(0, set.count, &set) == 0)
    }
}

/// A thread whose cores may be changed without others noticing.
private final class OwnThread {
    private var thread = pthread_t()

    init(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
    }

    func join() { pthread_join(thread, nil) }

    /// What `body` gives there. What is expected of it is for the test's own thread: elsewhere nobody knows whose it was.
    static func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
        let result = Mutex<Result<Value, any Error>?>(nil)
        OwnThread { result.withLock { $0 = Result { try body() } } }.join()
        return try #require(result.withLock { $0 }).get()
    }

    private final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}
