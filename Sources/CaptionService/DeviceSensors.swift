public import LatencyBudget

/// How a planner sees the device that it plans for.
public struct DeviceSensors: Sendable {
    /// Reads heat, clock and pressure; asked at most once a second.
    public var signals: @Sendable () -> DeviceSignals
    /// Counts the other threads that want a core, before each frame with a budget; nil where the system does not show it.
    public var competitors: @Sendable () -> Int?

    public init(signals: @escaping @Sendable () -> DeviceSignals, competitors: @escaping @Sendable () -> Int?) {
        self.signals = signals
        self.competitors = competitors
    }

    /// Sees nothing.
    public static let none = DeviceSensors(signals: { DeviceSignals() }, competitors: { nil })

    /// Of this machine, as the kernel shows it.
    public static let system = DeviceSensors(signals: { .sample() }, competitors: { DeviceSignals.competitors() })
}
