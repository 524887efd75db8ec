internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Kernels
internal import ModelFiles

struct BenchSpeedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "speed", abstract: "Measure how fast a model is on this machine.",
        discussion: """
            frame: a picture's file to its last token, with the time to the first. vision: encoder and projector of one \
            square picture. prefill: that picture's tokens and 30 of text, up to the first token's logits. decode: one \
            token at a time after 94 positions, and the whole time of 8 to 128 tokens. kernels: each of the model's \
            operations by itself, as a share of what the processor's instructions can do. Compare medians of one sitting \
            only: machines drift.
            """)

    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp("The model, as for all commands. The default is $FASTVLM_MODEL.", valueName: "path"),
        completion: .model)
    var path: String?

    @Option(
        help: ArgumentHelp(
            "Numbers of threads, separated by commas. The default is one thread a core.", valueName: "list"))
    var threads = "0"

    @Option(
        help: ArgumentHelp("Sides in pixels, separated by commas. The default is the model's own.", valueName: "list"))
    var resolutions: String?

    @Option(help: "Runs of each measurement, after one that does not count.")
    var runs = 5

    @Option(
        help: ArgumentHelp(
            "What to measure: frame, vision, prefill, decode, kernels, separated by commas.", valueName: "list"))
    var only = Benchmark.Work.allCases.map(\.rawValue).joined(separator: ",")

    @Option(
        help: ArgumentHelp(
            "The JPEG or PNG file of a frame. The default is a small drawn one: a photograph costs more.",
            valueName: "file"), completion: .picture)
    var image: String?

    @Option(help: "Tokens to generate for a frame.")
    var tokens = 24

    @Option(
        help: ArgumentHelp(
            "Rows that were printed with --json earlier, to compare or plot instead of measuring.", valueName: "file"),
        completion: .document)
    var rows: String?

    @Option(
        help: ArgumentHelp("Rows of other runtimes, one JSON object a line, to compare with.", valueName: "file"),
        completion: .document)
    var against: String?

    @Option(
        help: ArgumentHelp("Draw cost against resolution and tokens into an SVG file.", valueName: "file"),
        completion: .file(extensions: ["svg"]))
    var plot: String?

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func validate() throws {
        guard (1...1000).contains(runs) else { throw ValidationError("--runs is \(runs), expected 1 to 1000.") }
        guard (1...4096).contains(tokens) else { throw ValidationError("--tokens is \(tokens), expected 1 to 4096.") }
        _ = try parsed(only, "--only") { Benchmark.Work(rawValue: $0) }
        let sides = try resolutions.map { try parsed($0, "--resolutions") { Int($0) } } ?? []
        for pixels in sides where !PictureTasks.resolutionRange.contains(pixels) {
            throw ValidationError("--resolutions holds \(pixels), expected \(PictureTasks.resolutionRange).")
        }
    }

    func run() throws {
        let peers = try against.map { try BenchmarkRow.rows(try Self.text($0), path: $0) }
        let ours = try rows.map { try BenchmarkRow.rows(try Self.text($0), path: $0) } ?? measure()
        if let peers {
            let comparison = BenchmarkComparison(ours: ours, peers: peers)
            guard !comparison.pairs.isEmpty else {
                throw CommandFailure(
                    .usage,
                    "Cannot compare with '\(Console.printable(against ?? ""))': no row there has the work and size of "
                        + "one of ours.")
            }
            for line in json ? try comparison.json() : comparison.lines { Console.line(line) }
        }
        if let plot { try draw(ours, to: plot) }
    }

    // MARK: - Parts

    private func measure() throws -> [BenchmarkRow] {
        let works = try Set(parsed(only, "--only") { Benchmark.Work(rawValue: $0) })
        let counts = try parsed(threads, "--threads") { Int($0).flatMap { (0...256).contains($0) ? $0 : nil } }
            .map { $0 == 0 ? ThreadPool.availableCores : $0 }
        let picture = try image.map { try Self.bytes($0) } ?? SamplePicture.jpeg
        do {
            try InstructionSet.validateEnvironment()
            let model = try modelArguments().load()
            let pixels =
                try resolutions.map { try parsed($0, "--resolutions") { Int($0) } } ?? model.prepared.resolutions
            for pixels in pixels { try FastVLMModel.validate(resolution: pixels) }
            return try measure(model, works, counts, pixels, picture)
        } catch let error as FastVLMError {
            throw CommandFailure(.setup, error.message)
        } catch let error as KernelError {
            throw CommandFailure(.setup, error.message)
        } catch let error as EngineError {
            throw CommandFailure(error.code == .picture ? .inputsRefused : .setup, error.message)
        }
    }

    private func measure(
        _ model: FastVLMModel, _ works: Set<Benchmark.Work>, _ counts: [Int], _ pixels: [Int], _ picture: [UInt8]
    ) throws -> [BenchmarkRow] {
        var rows: [BenchmarkRow] = []
        let bar = ProgressBar("measuring")
        defer { bar.finish() }
        let kernels =
            works.contains(.kernels) ? model.operations(resolution: 64, textTokens: Benchmark.textTokens).count : 0
        let each = works.intersection([.frame, .vision, .prefill]).count * pixels.count
        let total = counts.count * (each + kernels + (works.contains(.decode) ? 1 : 0))
        var done = 0
        if !json { Console.line(BenchmarkRow.heading) }
        for threads in counts {
            let benchmark = Benchmark(
                model, threads: threads, runs: runs, picture: picture, frameTokens: tokens,
                willMeasure: {
                    bar.show(done, of: total)
                    done += 1
                })
            try benchmark.run(works, resolutions: pixels) { row in
                rows.append(row)
                bar.finish()
                Console.line(json ? try row.json() : row.line)
            }
        }
        return rows
    }

    private func draw(_ rows: [BenchmarkRow], to file: String) throws {
        let prepared = try modelArguments().prepared()
        let chart = BenchmarkChart(rows: rows, configuration: prepared.configuration, name: prepared.name)
        guard let svg = chart.svg else {
            throw CommandFailure(
                .usage, "Cannot draw '\(Console.printable(file))': there are no rows of vision, prefill or generate.")
        }
        do {
            try Data(svg.utf8).write(to: URL(filePath: file))
        } catch {
            throw CommandFailure(
                .setup, "Cannot write '\(Console.printable(file))': its folder is missing or not writable.")
        }
    }

    private func modelArguments() throws -> ModelArguments {
        try ModelArguments.parse(path.map { ["--model=\($0)"] } ?? [])
    }

    private static func bytes(_ path: String) throws(CommandFailure) -> [UInt8] {
        do {
            return Array(try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw CommandFailure(
                .setup, "Cannot read '\(Console.printable(path))': it is missing, or not readable by this user.")
        }
    }

    private static func text(_ path: String) throws(CommandFailure) -> String {
        String(decoding: try bytes(path), as: UTF8.self)
    }

    private func parsed<Value>(_ list: String, _ option: String, _ parse: (String) -> Value?) throws -> [Value] {
        let values = try list.split(separator: ",").map { field in
            guard let value = parse(String(field)) else { throw ValidationError("\(option) holds '\(field)'.") }
            return value
        }
        guard !values.isEmpty else { throw ValidationError("\(option) is empty.") }
        return values
    }
}
