internal import ArgumentParser

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a model on this machine: how fast it is, how right, or how punctual.",
        subcommands: [BenchSpeedCommand.self, BenchAccuracyCommand.self, BenchBudgetCommand.self],
        defaultSubcommand: BenchSpeedCommand.self)
}
