internal import CaptionService
internal import Logging
internal import ServiceLifecycle
internal import SocketAPI

/// The daemon with its socket, if it has one.
enum ServedDaemon {
    /// The services that serve `daemon`'s socket: none without `[socket]` and without a socket that was handed over.
    ///
    /// - Parameter handedOver: A listening socket that the service manager opened.
    static func services(
        _ configuration: DaemonConfiguration, _ daemon: Daemon, handedOver: Int32?, logger: Logger
    ) throws -> [any Service] {
        guard let told = configuration.socket ?? (handedOver == nil ? nil : DaemonConfiguration.Socket()) else {
            return []
        }
        var settings =
            handedOver.map { SocketAPI.Configuration(descriptor: $0) } ?? SocketAPI.Configuration(path: told.path)
        settings.tasks = told.tasks
        settings.allowedUsers = try Set(told.allowedUsers.map { try SocketAPI.userNumber($0) })
        settings.allowedGroups = try Set(told.allowedGroups.map { try SocketAPI.groupNumber($0) })
        let spool = try told.spool.map { try Spool(path: $0, limits: told.spoolLimits) }
        let socket = SocketAPI(
            settings, answerer: daemon.answerer, results: daemon.results, spool: spool, isReady: { daemon.isReady },
            statusText: { daemon.statusText(socket: $0) }, metricsText: { daemon.metricsText(socket: $0) },
            logger: logger)
        return (spool.map { [SpoolSweepService($0)] } ?? []) + [socket]
    }
}
