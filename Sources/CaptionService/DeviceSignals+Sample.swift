internal import FoundationEssentials
public import LatencyBudget

extension DeviceSignals {
    /// Where a system shows its state.
    public struct Places: Sendable {
        public var thermal = "/sys/class/thermal"
        /// Holds a folder `cpu0`, … for each core.
        public var cores = "/sys/devices/system/cpu"
        public var pressure = "/proc/pressure"
        public var load = "/proc/loadavg"

        public init() {}
    }

    /// Reads the present state; what a system does not show, or shows in a way that makes no sense, is nil.
    public static func sample(_ places: Places = Places()) -> DeviceSignals {
        DeviceSignals(
            temperature: DeviceHealth.hottest(places.thermal), frequencyRatio: frequencyRatio(places.cores),
            cpuPressure: pressure(places.pressure + "/cpu"), memoryPressure: pressure(places.pressure + "/memory"))
    }

    /// How many threads besides the one that asks run or want to at this moment; nil where the system does not show it.
    public static func competitors(_ places: Places = Places()) -> Int? {
        // 0.20 0.18 0.12 2/80 11206: three means, threads that run or want to of all threads, the last process.
        guard let text = DeviceHealth.contents(places.load),
            let field = text.split(separator: " ").dropFirst(3).first,
            let running = field.split(separator: "/").first.flatMap({ Int($0) }), (1...1_000_000).contains(running)
        else { return nil }
        return running - 1
    }

    /// The most that a core may run at now over the most that it can: what heat or a power limit takes away. The present
    /// frequency would say no more than how busy the core is.
    private static func frequencyRatio(_ folder: String) -> Double? {
        let cores = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let ratios = cores.filter { $0.hasPrefix("cpu") && $0.dropFirst(3).allSatisfy(\.isNumber) && $0.count > 3 }
            .compactMap { core -> Double? in
                func frequency(_ name: String) -> Double? {
                    DeviceHealth.contents("\(folder)/\(core)/cpufreq/\(name)").flatMap { Double($0) }
                }
                guard let highest = frequency("cpuinfo_max_freq"), let allowed = frequency("scaling_max_freq") else {
                    return nil
                }
                let ratio = allowed / highest
                return (0.01...1.5).contains(ratio) ? min(ratio, 1) : nil
            }
        return ratios.isEmpty ? nil : ratios.reduce(0, +) / Double(ratios.count)
    }

    /// `some avg10=…`, percent.
    private static func pressure(_ path: String) -> Double? {
        guard let text = DeviceHealth.contents(path),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("some ") }),
            let field = line.split(separator: " ").first(where: { $0.hasPrefix("avg10=") }),
            let share = Double(field.dropFirst("avg10=".count)), (0...100).contains(share)
        else { return nil }
        return share
    }
}
