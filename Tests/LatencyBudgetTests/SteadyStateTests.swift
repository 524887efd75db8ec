import Glibc
import LatencyBudget
import Testing

/// Takes all memory that there is to be had, so that whatever asks for more afterwards fails.
///
/// For a process of its own only.
private enum Famine {
    /// Every block that was taken holds the address of the one before.
    // Invariant: one test at a time, in a process of its own, takes and frees them on one thread.
    nonisolated(unsafe) private static var blocks: UnsafeMutableRawPointer?
    /// Large blocks first, then every small size: the allocator keeps freed blocks apart by size.
    private static let sizes = [1 << 20, 1 << 16, 1 << 12] + Array(stride(from: 2048, to: 0, by: -16))

    /// The optimizer may leave out an allocation whose address nobody looks at; this one is kept.
    @inline(never) @_optimize(none)
    private static func take(_ size: Int) -> Bool {
        guard let block = malloc(size) else { return false }
        block.storeBytes(of: blocks, as: UnsafeMutableRawPointer?.self)
        blocks = block
        return true
    }

    /// Lets the process have no further page and takes what the allocator still has, large blocks first.
    static func begin() -> Bool {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return false }
        limit.rlim_cur = 0
        guard setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return false }
        for size in sizes { while take(size) {} }
        return !take(1)
    }

    static func end() {
        while let block = blocks {
            blocks = block.load(as: UnsafeMutableRawPointer?.self)
            free(block)
        }
        var limit = rlimit()
        _ = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    }

    /// Sanitizers have allocators of their own, which cannot be starved.
    static var isPossible: Bool {
        guard let program = dlopen(nil, RTLD_NOW) else { return false }
        for sanitizer in ["__asan_init", "__tsan_init", "__msan_init"] where dlsym(program, sanitizer) != nil {
            return false
        }
        return true
    }
}

@Suite struct SteadyStateTests {
    /// One frame as the daemon sees it: arrival, warnings, plan, looks between stages, tokens, learning.
    private static func frame(_ index: Int, _ planner: inout Planner) {
        let now = Double(index) * 5000
        planner.arrived(at: now, budget: 4000)
        planner.observe(competitors: index / 10 % 3)
        planner.observe(DeviceSignals(temperature: 60 + Double(index % 20), frequencyRatio: 1, cpuPressure: 3))
        var request = PlanRequest(
            arrival: now, budget: 1500 + Double(index % 7) * 1500, question: index % 4 == 0 ? .text : .general,
            source: index % 5)
        request.waiting.add(now + 9000)
        guard case .run(let plan) = planner.plan(request, now: now + 3) else { return }
        var isOnTime = true
        for quarter in 1...4 { isOnTime = plan.canStillFinish(at: now + 20, seen: Double(quarter) / 4) && isOnTime }
        var governor = planner.governor(for: plan, now: now + 900)
        var clock = now + 900
        while case .proceed = governor.advance(now: clock, endsSentence: governor.tokens % 11 == 10),
            governor.tokens < 30
        {
            clock += 30
        }
        planner.observe(
            PhaseTimes(
                decode: plan.predicted.decode, preprocess: plan.predicted.preprocess,
                vision: plan.predicted.vision * (index % 2 == 0 ? 1.04 : 0.97), prefill: plan.predicted.prefill,
                generate: clock - now - 900),
            tokens: governor.tokens, of: plan, met: isOnTime)
    }

    @Test(.enabled(if: Samples.isOptimized && Famine.isPossible)) func aFrameNeedsNoMemory() async {
        await #expect(processExitsWith: .success) {
            var planner = try Samples.planner()
            for index in 0..<100 { Self.frame(index, &planner) }
            guard Famine.begin() else { exit(3) }
            for index in 100..<2100 { Self.frame(index, &planner) }
            Famine.end()
            guard planner.vision.observations > 1000 else { exit(4) }
        }
    }

    @Test(.enabled(if: Samples.isOptimized && Famine.isPossible)) func whatNeedsMemoryWouldShow() async {
        // Ends at the first allocation; every way out below is a success.
        await #expect(processExitsWith: .failure) {
            var planner = try Samples.planner()
            for index in 0..<100 { Self.frame(index, &planner) }
            guard Famine.begin() else { exit(0) }
            var margins: [Double] = []
            for index in 100..<200 {
                Self.frame(index, &planner)
                margins.append(planner.residuals.margin)
            }
            Famine.end()
            print(margins)
            exit(0)
        }
    }

    @Test(.enabled(if: Samples.isOptimized)) func aFrameCostsLessThanATenthOfAMillisecond() throws {
        // The longest ladder that models have, each rung with a bend of its own.
        let resolutions = (1...32).map { 32 * $0 + 32 }
        let model = try CostModelTests.profile(of: Samples.model, resolutions).costModel()
        var planner = try Samples.planner(resolutions, model: model)
        let frames = 2000
        // The fastest of five rounds: other programs may run beside the test.
        let best = (0..<5).map { round in
            ContinuousClock().measure {
                for index in 0..<frames { Self.frame(round * frames + index, &planner) }
            }
        }.min()
        let perFrame = try #require(best) / frames
        #expect(perFrame < .microseconds(100), "\(perFrame)")
    }
}
