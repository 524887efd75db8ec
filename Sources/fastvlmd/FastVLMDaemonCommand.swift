internal import ArgumentParser
internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import ServiceManager
internal import SocketAPI

@main
struct FastVLMDaemonCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fastvlmd",
        abstract: "Watch folders and describe every picture that arrives, on this machine's processor.",
        discussion: """
            Writes <picture>.fastvlm.json beside each picture. SIGTERM ends it when the picture at hand is done; SIGHUP \
            has it read the configuration anew and look through all folders at once; a file that cannot be used is \
            reported and changes nothing. Under systemd it tells when it is ready, what it does and that it moves.

            Exit status: 0 ended as asked, 1 a part of it failed, 2 wrong usage, 3 the model, the configuration or a \
            folder cannot be used.
            """,
        version: Product.version)

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file(extensions: ["toml"]))
    var config: String?

    @Option(
        name: .customLong("watch"),
        help: ArgumentHelp("A folder to watch; may be given several times. Instead of --config.", valueName: "folder"),
        completion: .directory)
    var folders: [String] = []

    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp(
            "With --watch: a packed model file, or a folder with a public checkpoint.", valueName: "path"),
        completion: .file(extensions: ["fastvlm"]))
    var model: String?

    @Option(help: "With --watch: threads to compute on. The default is one for each core that the process may use.")
    var threads: Int?

    @Option(help: "With --watch: what asks for the caption.")
    var prompt: String?

    @Option(help: "With --watch: side of the square that the model sees, in pixels.")
    var resolution: Int?

    @Option(help: "With --watch: most tokens of a caption.")
    var maxTokens: Int?

    @Option(
        help: ArgumentHelp(
            "The least that is logged: \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "level"), completion: .list(Logger.Level.allCases.map(\.rawValue)))
    var logLevel = "info"

    func validate() throws {
        if config != nil {
            let others: [(String, Bool)] = [
                ("--watch", !folders.isEmpty), ("--model", model != nil), ("--threads", threads != nil),
                ("--prompt", prompt != nil), ("--resolution", resolution != nil), ("--max-tokens", maxTokens != nil),
            ]
            if let other = others.first(where: \.1) {
                throw ValidationError("--config and \(other.0) cannot be combined: set it in the file.")
            }
        } else {
            guard !folders.isEmpty else {
                throw ValidationError("Nothing to do. Give --config FILE, or --watch FOLDER and --model PATH.")
            }
            guard model != nil else { throw ValidationError("No model was named. Give one with --model PATH.") }
        }
        guard Logger.Level(rawValue: logLevel) != nil else {
            throw ValidationError(
                "--log-level is '\(logLevel)', expected \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))."
            )
        }
    }

    func run() async throws {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "fastvlmd")
        logger.logLevel = Logger.Level(rawValue: logLevel) ?? .info
        let configuration = try effectiveConfiguration()
        let place = try self.place(logger)
        let daemon = try await Daemon.load(
            configuration, requiresFolders: config == nil, place: place, logger: logger)
        try await daemon.run(
            services: try ServedDaemon.services(configuration, daemon, handedOver: place.socket, logger: logger))
    }

    /// What the service manager wants, if there is one, and the socket that it hands over.
    private func place(_ logger: Logger) throws -> Daemon.Place {
        let environment = ServiceEnvironment.take()
        var socket: Int32?
        for descriptor in try environment.passedDescriptors() {
            // A unit that gives its socket no name has one alone.
            if socket == nil, ["api", "unknown", "fastvlmd.socket"].contains(descriptor.name) {
                socket = descriptor.number
                continue
            }
            logger.warning("A passed socket has no use here and is closed.", metadata: ["name": "\(descriptor.name)"])
            close(descriptor.number)
        }
        return Daemon.Place(
            file: config.map(Self.absolute), notifier: try ServiceNotifier(environment),
            watchdog: try environment.watchdogInterval,
            runtimeDirectory: getenv("RUNTIME_DIRECTORY").map { String(cString: $0) }, socket: socket)
    }

    private func effectiveConfiguration() throws -> DaemonConfiguration {
        if let config { return try DaemonConfiguration(file: config) }
        var tasks = PictureTasks()
        if let prompt { tasks.prompt = prompt }
        if let maxTokens { tasks.maxTokens = maxTokens }
        tasks.resolution = resolution
        let watches = folders.map { folder in
            var watch = DaemonConfiguration.Watch(path: Self.absolute(folder))
            watch.tasks = tasks
            return watch
        }
        let configuration = DaemonConfiguration(
            model: DaemonConfiguration.Model(path: model ?? "", threads: threads ?? 0), watches: watches)
        do {
            try configuration.validate(subject: "the command line")
        } catch {
            throw ValidationError(error.message)
        }
        return configuration
    }

    /// `path` from the root on, so that the folder stays the same wherever the process goes, and ending in a name,
    /// which the results carry.
    private static func absolute(_ path: String) -> String {
        let whole = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        guard let last = whole.split(separator: "/").last, last == "." || last == "..", let real = realpath(whole, nil)
        else { return whole }
        defer { free(real) }
        return String(cString: real)
    }

    static func main() async {
        Daemon.prepareProcess()
        // A log that nobody reads any more must not end the daemon.
        signal(SIGPIPE, SIG_IGN)
        // Until the services obey signals, there is nothing to finish: SIGTERM ends it as asked, and SIGHUP must not,
        // for all folders are looked through at the start anyway.
        for end in [SIGTERM, SIGINT] { signal(end) { _ in _exit(0) } }
        signal(SIGHUP, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            let (message, status) = ending(error)
            let line = Array((message + "\n").utf8)
            _ = Glibc.write(status == 0 ? STDOUT_FILENO : STDERR_FILENO, line, line.count)
            Glibc.exit(status)
        }
    }

    private static func ending(_ error: any Error) -> (message: String, status: Int32) {
        switch error {
        case let error as DaemonError: return ("fastvlmd: \(error.message)", 3)
        case let error as SocketAPIError: return ("fastvlmd: \(error.message)", 3)
        case let error as ConfigurationError: return ("fastvlmd: \(error.message)", 3)
        case let error as ServiceManagerError: return ("fastvlmd: \(error.message)", 3)
        default:
            let code = exitCode(for: error)
            if code == .validationFailure || code.isSuccess { return (fullMessage(for: error), code.isSuccess ? 0 : 2) }
            return ("fastvlmd: \(error)", 1)
        }
    }
}
