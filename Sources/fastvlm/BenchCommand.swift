internal import ArgumentParser

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a model on this machine: how fast it is, or how right.",
        subcommands: [BenchSpeedCommand.self, BenchAccuracyCommand.self], defaultSubcommand: BenchSpeedCommand.self)
}
