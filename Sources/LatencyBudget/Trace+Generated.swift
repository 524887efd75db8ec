extension Trace {
    /// What happens in a generated trace.
    public enum Scenario: String, Sendable, Codable, CaseIterable {
        /// An idle device and the same load throughout.
        case steady
        /// Frames that come in heaps of five.
        case bursts
        /// Another program computes on the same cores, for stretches of 500 frames.
        case cpuHog = "cpu_hog"
        /// Another program keeps the memory busy, for stretches of 500 frames.
        case memoryHog = "memory_hog"
        /// The processor's frequency is lowered for stretches of 1,000 frames.
        case frequencyStep = "frequency_step"
        /// The device heats up over 200 frames, stays hot for 600, and cools down over 200.
        case thermalRamp = "thermal_ramp"
        /// One program that computes without end, and later two, beside 67 frames out of 300: the system gives them
        /// the cores for slices of 4 ms.
        case timeSlices = "time_slices"
        /// All budgets are halved for stretches of 1,000 frames.
        case budgetStep = "budget_step"

        /// Whether the device, the load and the budgets stay what they are.
        public var isSteady: Bool { self == .steady }
    }

    /// Makes a trace: the same for the same arguments.
    ///
    /// Three sources: a camera with a tight budget, a camera with a wide one, and requests whose budgets are spread
    /// evenly, in the logarithm, from 1.3 times the cheapest rung's time to 1.3 times the dearest one's. Half the load
    /// comes from requests. One question in four is about text. Cameras tick with 20 % jitter, requests come independently.
    ///
    /// Noise: each phase of each frame is off by a lognormal factor, 4 % for the picture's phases, 5 % for the prefill,
    /// 6 % for generating (what the phases of an idle two-core machine show). One frame in a hundred is an accident:
    /// all its phases are 1.3 to 2 times slower.
    ///
    /// Time slices, as two cores of a Linux 6.18 share them with an engine of two threads: with one program a frame first runs
    /// for a lognormal time around 13 ms and then for 8 ms between slices of 4 ms, with two for one around 3.2 ms and then 4 ms;
    /// what runs is 1.2 times slower, and generating 1.1 times. A frame of a hundred milliseconds is slowed down by it, one of
    /// a few milliseconds is hit or not. It shows in the number of competitors.
    ///
    /// Changes: the CPU hog makes computing 1.8 and memory 1.4 times slower, the memory hog 1.2 and 1.8. The lower
    /// frequency makes computing 1.5 and memory 1.1 times slower, and shows in the frequency ratio. Heat makes
    /// computing up to 1.6 and memory up to 1.15 times slower, and shows in the temperature.
    ///
    /// - Parameters:
    ///   - cheapest: Time of the shortest useful answer at the cheapest rung on an idle device, ms.
    ///   - dearest: The same at the dearest rung, ms.
    ///   - load: The share of the time in which an idle device would be busy with answers of middling cost, the
    ///     geometric mean of the two. The default is 0.25.
    public static func generated(
        _ scenario: Scenario, frames count: Int, seed: UInt64, cheapest: Double, dearest: Double,
        load: Double = 0.25
    ) throws(LatencyBudgetError) -> Trace {
        guard cheapest > 0, dearest >= cheapest, dearest <= 1e7 else {
            throw LatencyBudgetError(
                .traceInvalid,
                "Cannot generate trace '\(scenario.rawValue)' for rungs of \(cheapest) to \(dearest) ms: expected "
                    + "positive times, the cheapest first.")
        }
        guard load >= 0.001, load <= 10 else {
            throw LatencyBudgetError(
                .traceInvalid,
                "Cannot generate trace '\(scenario.rawValue)' for a load of \(load): expected 0.001 to 10.")
        }
        var random = SeededGenerator(seed: seed)
        var arrivals = Arrivals(scenario, cheapest: cheapest, dearest: dearest, load: load)
        var frames: [TraceFrame] = []
        frames.reserveCapacity(count.bounded(to: 0...mostFrames))
        for index in 0..<count.bounded(to: 0...mostFrames) {
            var frame = arrivals.next(&random)
            let state = DeviceState(scenario, frame: index)
            let accident = random.uniform() < 0.01 ? random.uniform(1.3, 2) : 1
            frame.seeing = state.computing * random.lognormal(0.04) * accident
            frame.prefill = state.computing * random.lognormal(0.05) * accident
            frame.generate = state.memory * random.lognormal(0.06) * accident
            switch state.competitors ?? 0 {
            case 0: break
            case 1: frame.stalls = Stalls(first: 13 * random.lognormal(0.6), every: 8, duration: 4)
            default: frame.stalls = Stalls(first: 3.2 * random.lognormal(0.4), every: 4, duration: 4)
            }
            // About twenty words, now and then much more or less.
            frame.tokens = Int((20 * random.lognormal(0.4)).bounded(to: 3...80))
            frame.question = random.uniform() < 0.25 ? .text : .general
            if scenario == .budgetStep, (index / 1000) % 2 == 1 { frame.budget = frame.budget.map { $0 / 2 } }
            frame.isStep = state.isStep
            frame.signals = state.signals
            frame.competitors = state.competitors
            frames.append(frame)
        }
        return try Trace(name: scenario.rawValue, frames: frames)
    }

    /// Who sends frames when, with which budget.
    private struct Arrivals {
        let scenario: Scenario
        let cheapest: Double
        let dearest: Double
        /// Mean time between two frames of each source, ms.
        let interval: Double
        var due: [Double]
        var heap = 0
        var heapStart = 0.0

        init(_ scenario: Scenario, cheapest: Double, dearest: Double, load: Double) {
            self.scenario = scenario
            self.cheapest = cheapest
            self.dearest = dearest
            // Each camera sends a quarter of the frames, requests are the other half.
            interval = 4 * (cheapest * dearest).squareRoot() / load
            due = [0, interval / 3, interval / 2]
        }

        mutating func next(_ random: inout SeededGenerator) -> TraceFrame {
            if scenario == .bursts { return burst(&random) }
            let source = due.indices.min { due[$0] < due[$1] } ?? 0
            let arrival = due[source]
            due[source] += source == 2 ? interval / 2 * random.exponentialWait() : interval * random.uniform(0.8, 1.2)
            return frame(source, arrival, &random)
        }

        /// Five frames within a fifth of the cheapest rung's time, then a pause for all of them.
        private mutating func burst(_ random: inout SeededGenerator) -> TraceFrame {
            if heap == 0 {
                heap = 5
                heapStart = due[0]
                due[0] += 5 * interval / 4 * random.uniform(0.5, 1.5)
            }
            heap -= 1
            let arrival = heapStart + 0.05 * cheapest * Double(4 - heap)
            return frame([2, 2, 1, 2, 0][heap], arrival, &random)
        }

        private func frame(_ source: Int, _ arrival: Double, _ random: inout SeededGenerator) -> TraceFrame {
            let share: Double =
                switch source {
                case 0: 0.4
                case 1: 0.8
                default: random.uniform()
                }
            let ratio = exponential(share * logarithm(dearest / cheapest))
            return TraceFrame(
                arrival: arrival, budget: 1.3 * cheapest * ratio, source: source, isLive: source != 2)
        }
    }

    /// How slow the device is, and what it shows of it.
    private struct DeviceState {
        var computing = 1.0
        var memory = 1.0
        var isStep = false
        /// Programs that share the cores by time slices; nil where none are told of.
        var competitors: Int?
        var signals: DeviceSignals?

        init(_ scenario: Scenario, frame: Int) {
            switch scenario {
            case .steady, .bursts:
                break
            case .cpuHog:
                if (frame / 500) % 2 == 1 { (computing, memory) = (1.8, 1.4) }
                isStep = frame > 0 && frame % 500 == 0
            case .memoryHog:
                if (frame / 500) % 2 == 1 { (computing, memory) = (1.2, 1.8) }
                isStep = frame > 0 && frame % 500 == 0
            case .frequencyStep:
                let isLow = (frame / 1000) % 2 == 1
                if isLow { (computing, memory) = (1.5, 1.1) }
                isStep = frame > 0 && frame % 1000 == 0
                signals = DeviceSignals(frequencyRatio: isLow ? 1 / 1.5 : 1)
            case .thermalRamp:
                // From cool through hot and back within 2,000 frames.
                let heat: Double =
                    switch frame % 2000 {
                    case 0..<500: 0
                    case 500..<700: Double(frame % 2000 - 500) / 200
                    case 700..<1300: 1
                    case 1300..<1500: Double(1500 - frame % 2000) / 200
                    default: 0
                    }
                (computing, memory) = (1 + 0.6 * heat, 1 + 0.15 * heat)
                signals = DeviceSignals(temperature: 65 + 20 * heat)
            case .timeSlices:
                switch frame % 600 {
                case 400..<467: competitors = 1
                case 533..<600: competitors = 2
                default: competitors = 0
                }
                if competitors ?? 0 > 0 { (computing, memory) = (1.2, 1.1) }
                isStep = frame > 0 && [0, 400, 467, 533].contains(frame % 600)
            case .budgetStep:
                isStep = frame > 0 && frame % 1000 == 0
            }
        }
    }
}
