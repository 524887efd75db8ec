internal import Glibc

/// The variables through which a service manager speaks to a service.
public struct ServiceEnvironment: Sendable, Equatable {
    private var variables: [String: String]
    /// Whom variables that name a process have to name.
    private let process: Int32

    static let names = [
        "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
    ]

    public init(_ variables: [String: String], process: Int32) {
        self.variables = variables
        self.process = process
    }

    /// Takes them out of this process's environment, so that no child believes that they are meant for it. To be called
    /// once, before other threads read the environment.
    public static func take() -> ServiceEnvironment {
        var found: [String: String] = [:]
        for name in names {
            if let value = getenv(name) { found[name] = String(cString: value) }
            unsetenv(name)
        }
        return ServiceEnvironment(found, process: getpid())
    }

    subscript(name: String) -> String? { variables[name] }

    /// False if `name` names another process than this one: then what comes with it is not for us.
    func isMeantForUs(_ name: String) -> Bool {
        guard let value = variables[name] else { return true }
        return Int32(value) == process
    }
}
