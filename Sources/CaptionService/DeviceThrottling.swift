internal import LatencyBudget

/// Whether heat or a power limit slows the cores.
enum DeviceThrottling {
    /// Nil where the system does not show it.
    static var isThrottled: Bool? {
        DeviceSignals.sample().frequencyRatio.map { $0 < ServiceStatus.throttledBelow }
    }
}
