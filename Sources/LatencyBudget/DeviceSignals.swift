/// What the system shows of the device's state; early warnings of a slowdown, where it shows them at all.
public struct DeviceSignals: Sendable, Equatable, Codable {
    /// Of the processor, degrees Celsius.
    public var temperature: Double?
    /// Present over highest frequency, 0...1.
    public var frequencyRatio: Double?
    /// Share of the last ten seconds in which some task waited for a processor, 0...100 (`some avg10` of
    /// `/proc/pressure/cpu`).
    public var cpuPressure: Double?
    /// The same for memory.
    public var memoryPressure: Double?

    public init(
        temperature: Double? = nil, frequencyRatio: Double? = nil, cpuPressure: Double? = nil,
        memoryPressure: Double? = nil
    ) {
        self.temperature = temperature
        self.frequencyRatio = frequencyRatio
        self.cpuPressure = cpuPressure
        self.memoryPressure = memoryPressure
    }

    private enum CodingKeys: String, CodingKey {
        case temperature = "temperature_c"
        case frequencyRatio = "frequency_ratio"
        case cpuPressure = "cpu_pressure"
        case memoryPressure = "memory_pressure"
    }

    /// The sizes of the steps that the change since `earlier` makes plausible, in the logarithm, for phases bound by
    /// computing and by memory. 0 without a change; values that are not finite or out of range count as not shown.
    func suspectedSteps(since earlier: DeviceSignals) -> (computing: Double, memory: Double) {
        var computing = 0.0
        var memory = 0.0
        if let now = Self.shown(frequencyRatio, 0.01...1.5), let before = Self.shown(earlier.frequencyRatio, 0.01...1.5)
        {
            let step = abs(logarithm(now / before))
            computing += step
            memory += step / 3
        }
        if let now = Self.shown(temperature, -60...200), let before = Self.shown(earlier.temperature, -60...200) {
            // Above 70 degrees each further degree may be the one at which the processor slows down.
            let step = 0.01 * abs(max(now, 70) - max(before, 70))
            computing += step
        }
        if let now = Self.shown(cpuPressure, 0...100), let before = Self.shown(earlier.cpuPressure, 0...100) {
            let step = abs(now - before) / 100
            computing += step
            memory += step / 2
        }
        if let now = Self.shown(memoryPressure, 0...100), let before = Self.shown(earlier.memoryPressure, 0...100) {
            memory += abs(now - before) / 100
        }
        return (min(computing, 1), min(memory, 1))
    }

    private static func shown(_ value: Double?, _ range: ClosedRange<Double>) -> Double? {
        guard let value, range.contains(value) else { return nil }
        return value
    }
}
