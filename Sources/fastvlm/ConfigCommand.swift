internal import ArgumentParser
internal import CaptionService

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Work with the daemon's configuration.", subcommands: [Check.self])

    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check a configuration and print what it amounts to, defaults included.")

        @Argument(help: ArgumentHelp("The file.", valueName: "file"), completion: .configuration)
        var file = "/etc/fastvlmd/fastvlmd.toml"

        func run() throws {
            do {
                Console.text(try DaemonConfiguration(file: file).toml)
            } catch {
                throw CommandFailure(.setup, error.message)
            }
        }
    }
}
