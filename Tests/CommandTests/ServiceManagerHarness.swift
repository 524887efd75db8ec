import Foundation
import NotifySocket
import Testing

/// Plays the service manager: starts the daemon as systemd would and hears what it tells.
final class ManagedDaemon: Sendable {
    let socket: NotifySocket
    let process: ProgramProcess

    /// - Parameter watchdog: `WatchdogSec=`; nil without.
    init(
        _ arguments: [String], isAbstract: Bool = false, watchdog: Duration? = nil, environment: [String: String] = [:]
    )
        throws
    {
        socket = try NotifySocket(isAbstract: isAbstract)
        var variables = environment
        variables["NOTIFY_SOCKET"] = socket.name
        if let watchdog { variables["WATCHDOG_USEC"] = "\(watchdog.components.seconds * 1_000_000)" }
        process = try ProgramProcess(Program.fastvlmd.path, arguments, environment: variables)
    }

    /// All that it tells until it is ready.
    func untilReady() throws -> [String] { try socket.messages { $0.contains("READY=1\n") } }

    /// Ends it and returns what it told on the way.
    func stop() async throws -> [String] {
        process.send(SIGTERM)
        let told = try socket.messages { $0.contains("STOPPING=1") }
        #expect(try await process.ending(within: .seconds(30)).status == 0)
        return told
    }
}
