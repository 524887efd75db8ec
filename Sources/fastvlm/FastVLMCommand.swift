internal import ArgumentParser
internal import CaptionService
internal import Glibc

@main
struct FastVLMCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fastvlm",
        abstract: "Describe pictures and answer questions about them with FastVLM, on this machine's processor.",
        discussion: """
            Exit status: 0 done, 1 some inputs were refused or the output cannot be written, 2 wrong usage, 3 the \
            model or the configuration cannot be used, 4 the daemon cannot be reached.
            """,
        version: Product.version,
        subcommands: [
            DemoCommand.self, CaptionCommand.self, AskCommand.self, StatusCommand.self, FollowCommand.self,
            ReportCommand.self, DoctorCommand.self, ModelCommand.self, ConfigCommand.self, CalibrateCommand.self,
            BenchCommand.self, SimulateCommand.self, TokenizeCommand.self, TraceCommand.self,
        ])

    static func main() async {
        // As the daemon does: what is measured here is to hold there.
        Daemon.prepareProcess()
        // A reader that stops listening (`| head`) ends a write with an error, not the process with a signal.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            Console.error(failure.message)
            Glibc.exit(failure.status.rawValue)
        } catch let status as ExitStatus {
            Glibc.exit(status.rawValue)
        } catch {
            let code = exitCode(for: error)
            let message = fullMessage(for: error)
            if code.isSuccess {
                Console.line(message)
                Glibc.exit(0)
            }
            Console.error(message, prefixed: false)
            Glibc.exit(ExitStatus.usage.rawValue)
        }
    }
}

/// How the command ends; part of its contract with scripts.
enum ExitStatus: Int32, Error {
    case done = 0
    /// Some inputs were refused, the others are done; or nobody could be told of the results.
    case inputsRefused = 1
    case usage = 2
    /// The model or the configuration cannot be used.
    case setup = 3
    case daemonUnreachable = 4
}

/// The end of the command with a message for the person.
struct CommandFailure: Error {
    let status: ExitStatus
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }
}
