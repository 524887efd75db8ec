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
        return [
            SocketAPI(
                settings, answerer: daemon.answerer, results: daemon.results,
                spool: try told.spool.map { try Spool(path: $0) }, statusText: { daemon.statusText },
                metricsText: { daemon.metricsText(frames: socketFrames(daemon.answerer.desk)) }, logger: logger)
        ]
    }

    /// The frames that came over the socket; those of folders are counted where they are watched.
    private static func socketFrames(_ desk: FrameDesk) -> [SourceFrames] {
        desk.countersBySource.filter { !$0.key.hasPrefix("watch:") && !$0.key.hasPrefix("\(Spool.watchName):") }
            .sorted { $0.key < $1.key }
            .map { source, counters in
                SourceFrames(
                    source: source, received: counters.received,
                    outcomes: Dictionary(
                        uniqueKeysWithValues: FrameEnding.allCases.map { ($0.rawValue, counters[$0]) }),
                    pending: ["waiting": counters.pending])
            }
    }
}
