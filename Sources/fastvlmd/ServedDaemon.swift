internal import CaptionService
internal import Glibc
internal import Logging
internal import ServiceLifecycle
internal import SocketAPI

/// The daemon with its socket, if it has one.
enum ServedDaemon {
    /// The first descriptor that a service manager hands over.
    private static let firstDescriptor: Int32 = 3

    /// The services that serve `daemon`'s socket: none without `[socket]` and without a socket that was handed over.
    static func services(
        _ configuration: DaemonConfiguration, _ daemon: Daemon, metricsText: @escaping @Sendable () -> String = { "" },
        logger: Logger
    ) throws -> [any Service] {
        let handedOver = descriptorHandedOver()
        guard let told = configuration.socket ?? (handedOver == nil ? nil : DaemonConfiguration.Socket()) else {
            return []
        }
        var settings =
            handedOver.map { SocketAPI.Configuration(descriptor: $0) } ?? SocketAPI.Configuration(path: told.path)
        settings.tasks = told.tasks
        settings.allowedUsers = try Set(told.allowedUsers.map { try SocketAPI.userNumber($0) })
        settings.allowedGroups = try Set(told.allowedGroups.map { try SocketAPI.groupNumber($0) })
        return [
            SocketAPI(
                settings, answerer: daemon.answerer, results: daemon.results,
                spool: try told.spool.map { try Spool(path: $0) }, metricsText: metricsText, logger: logger)
        ]
    }

    /// As `sd_listen_fds` finds it: for this process, and one alone.
    private static func descriptorHandedOver() -> Int32? {
        guard let count = getenv("LISTEN_FDS"), let process = getenv("LISTEN_PID"),
            Int32(String(cString: process)) == getpid(), (Int(String(cString: count)) ?? 0) >= 1
        else { return nil }
        // Not for programs that this one might start.
        for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] { unsetenv(name) }
        _ = fcntl(firstDescriptor, F_SETFD, FD_CLOEXEC)
        return firstDescriptor
    }
}
