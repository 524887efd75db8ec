internal import Logging
internal import ServiceLifecycle
internal import ServiceManager
internal import Synchronization

/// Tells the service manager and the readers of the status file how the daemon is, whenever that changes; while nothing
/// happens it writes nothing.
final class StatusService: Service {
    private let status: @Sendable () -> ServiceStatus
    private let file: @Sendable () -> StatusFile?
    private let notifier: ServiceNotifier?
    private let interval: Duration
    private let logger: Logger

    /// - Parameters:
    ///   - status: How the daemon is, but for what the device shows.
    ///   - file: Where the status file is now.
    ///   - interval: Between two looks. The default is a second.
    init(
        notifier: ServiceNotifier?, interval: Duration = .seconds(1), logger: Logger,
        file: @escaping @Sendable () -> StatusFile?, status: @escaping @Sendable () -> ServiceStatus
    ) {
        self.notifier = notifier
        self.interval = interval
        self.logger = logger
        self.file = file
        self.status = status
    }

    func run() async throws {
        var told: ServiceStatus?
        var summary = ""
        var place: StatusFile?
        var hasFailed = false
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            let now = status()
            if now.gist != told?.gist || file()?.path != place?.path {
                told = now
                if place?.path != file()?.path { place?.remove() }
                place = file()
                do {
                    try place?.write(now.withDevice.json + "\n")
                    hasFailed = false
                } catch {
                    if !hasFailed { logger.warning("\(error)") }
                    hasFailed = true
                }
                if now.state == ServiceStatus.watching, now.summary != summary {
                    summary = now.summary
                    notifier?.tell(.status(summary))
                }
            }
            try? await cancelWhenGracefulShutdown { [interval] in try await Task.sleep(for: interval) }
        }
        place?.remove()
    }
}

extension ServiceStatus {
    static let starting = "starting"
    static let watching = "watching"
    static let stopping = "stopping"

    /// Without what changes by itself.
    fileprivate var gist: ServiceStatus {
        var status = self
        status.oldestPending = nil
        for index in status.folders.indices {
            status.folders[index].scans = 0
            status.folders[index].polls = 0
        }
        return status
    }

    /// With what the device shows now.
    var withDevice: ServiceStatus {
        var status = self
        let device = DeviceHealth.sample()
        status.memory = device.residentMiB
        status.temperature = device.temperature
        status.throttled = DeviceThrottling.isThrottled
        return status
    }
}
