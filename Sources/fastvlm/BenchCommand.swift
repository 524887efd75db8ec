internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Kernels
internal import ModelFiles

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a model on this machine.",
        discussion: """
            vision: encoder and projector of one square picture. prefill: that picture's tokens and 30 of text, up to the \
            first token's logits. decode: one token at a time after 94 positions. Compare medians of one sitting only: \
            machines drift.
            """)

    @OptionGroup var model: ModelArguments

    @Option(help: ArgumentHelp("Sides in pixels, separated by commas. The default is the model's own.", valueName: "list"))
    var resolutions: String?

    @Option(help: "Runs of each measurement, after one that does not count.")
    var runs = 5

    @Option(help: ArgumentHelp("What to measure: vision, prefill, decode, separated by commas.", valueName: "list"))
    var only = Benchmark.Work.allCases.map(\.rawValue).joined(separator: ",")

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func validate() throws {
        guard (1...1000).contains(runs) else { throw ValidationError("--runs is \(runs), expected 1 to 1000.") }
        _ = try works()
        for pixels in try sides() ?? [] where !PictureTasks.resolutionRange.contains(pixels) {
            throw ValidationError("--resolutions holds \(pixels), expected \(PictureTasks.resolutionRange).")
        }
    }

    func run() throws {
        let works = try works()
        let model = try model.load()
        let pixels = try sides() ?? model.prepared.resolutions
        do {
            let threads = self.model.threads == 0 ? ThreadPool.availableCores : self.model.threads
            let benchmark = try Benchmark(model, threads: threads, runs: runs)
            if !json { Console.line(Benchmark.Row.heading) }
            try benchmark.run(works, resolutions: pixels) { row in Console.line(json ? try row.json() : row.line) }
        } catch let error as FastVLMError {
            throw CommandFailure(.setup, error.message)
        } catch let error as KernelError {
            throw CommandFailure(.setup, error.message)
        }
    }

    private func works() throws -> Set<Benchmark.Work> {
        try Set(parsed(only, "--only") { Benchmark.Work(rawValue: $0) })
    }

    private func sides() throws -> [Int]? {
        try resolutions.map { try parsed($0, "--resolutions") { Int($0) } }
    }

    private func parsed<Value>(_ list: String, _ option: String, _ parse: (String) -> Value?) throws -> [Value] {
        try list.split(separator: ",").map { field in
            guard let value = parse(String(field)) else { throw ValidationError("\(option) holds '\(field)'.") }
            return value
        }
    }
}
