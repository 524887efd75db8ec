internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Kernels
internal import LatencyBudget
internal import ModelFiles

struct BenchAccuracyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "accuracy", abstract: "Measure how often a model is right, on pictures whose answers are known.",
        discussion: """
            An answer is right if it is the expected one, character by character. Each picture is encoded once for all of \
            its questions. The time is that of one picture and one answer: the file to its first token, and the other \
            tokens of a middling answer. Intervals are Wilson's, at 95 %.

            A dataset is a folder with pictures and labels.jsonl, one object a line: {"file": "00000.jpg", "questions": \
            [{"type": "display", "question": "What does the display read?", "answer": "48.2"}]}. \
            etc/demo-model/scenes.py makes one for the bundled model.

            With --budgets each question is a frame of its own, answered at each fixed resolution and, once for each \
            budget, at the one that the planner chooses; an answer that is late is not right, \
            and what nothing seems to fit is run at the fastest resolution. With --log a long measurement can be taken in \
            parts: each run adds its frames to the file and reports on all that are there, for example with --skip 0 \
            --limit 100, then --skip 100 --limit 100.
            """)

    @Option(
        help: ArgumentHelp("The folder with pictures and labels.jsonl.", valueName: "folder"), completion: .directory)
    var dataset: String

    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp(
            "A model, as for all commands; may be given several times. The default is $FASTVLM_MODEL.",
            valueName: "path"), completion: .model)
    var paths: [String] = []

    @Option(
        help: ArgumentHelp("Sides in pixels, separated by commas. The default is the model's own.", valueName: "list"))
    var resolutions: String?

    @Option(help: "Only that many pictures, from the first on.")
    var limit: Int?

    @Option(help: "Leave out that many pictures at the beginning.")
    var skip = 0

    @Option(
        help: ArgumentHelp(
            "With --budgets: add every frame to this file, one JSON object a line, and report on all that are in it.",
            valueName: "file"), completion: .file())
    var log: String?

    @Option(
        help: ArgumentHelp("Only these types of question, separated by commas. The default is all.", valueName: "list"))
    var types: String?

    @Option(help: "Most tokens of an answer.")
    var maxTokens = 80

    @Option(help: "Threads to compute on. The default is one for each core that this process may use.")
    var threads = 0

    @Option(
        help: ArgumentHelp("Milliseconds, separated by commas: run the planner with each of them.", valueName: "list"))
    var budgets: String?

    @Option(
        help: ArgumentHelp("Draw accuracy against measured time into an SVG file.", valueName: "file.svg"),
        completion: .file(extensions: ["svg"]))
    var plot: String?

    @Option(help: ArgumentHelp("Write every answer, one JSON object a line.", valueName: "file"), completion: .file())
    var answers: String?

    @Option(
        help: ArgumentHelp(
            "Write what each resolution is worth, for 'fastvlm model pack --ladder'.", valueName: "file.json"),
        completion: .document)
    var ladder: String?

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit is \(limit), expected 1 or more.") }
        guard skip >= 0 else { throw ValidationError("--skip is \(skip), expected 0 or more.") }
        if log != nil, budgets == nil { throw ValidationError("--log is for --budgets.") }
        guard PictureTasks.maxTokensRange.contains(maxTokens) else {
            throw ValidationError("--max-tokens is \(maxTokens), expected \(PictureTasks.maxTokensRange).")
        }
        guard (0...256).contains(threads) else {
            throw ValidationError("--threads is \(threads), expected 1 to 256, or 0 for all cores.")
        }
        for pixels in try sides() ?? [] where !PictureTasks.resolutionRange.contains(pixels) {
            throw ValidationError("--resolutions holds \(pixels), expected \(PictureTasks.resolutionRange).")
        }
        for budget in try milliseconds() ?? [] where !PictureTasks.budgetRange.contains(budget) {
            throw ValidationError("--budgets holds \(budget), expected \(PictureTasks.budgetRange).")
        }
        if paths.count > 1, ladder != nil || budgets != nil {
            throw ValidationError(
                "\(ladder != nil ? "--ladder" : "--budgets") is for one model, but there are \(paths.count).")
        }
        if budgets != nil, ladder != nil || answers != nil {
            throw ValidationError(
                "--budgets and \(ladder != nil ? "--ladder" : "--answers") cannot be combined: run the command twice.")
        }
    }

    func run() throws {
        var dataset = try LabelledPictures(folder: dataset, skip: skip, limit: limit)
        if let types { try dataset.keep(types.split(separator: ",").map(String.init)) }
        do {
            try InstructionSet.validateEnvironment()
            if let budgets = try milliseconds() {
                try measure(budgets, dataset)
            } else {
                try measure(dataset)
            }
        } catch let error as FastVLMError {
            throw CommandFailure(.setup, error.message)
        } catch let error as KernelError {
            throw CommandFailure(.setup, error.message)
        } catch let error as EngineError {
            throw CommandFailure(.setup, error.message)
        } catch let error as LatencyBudgetError {
            throw CommandFailure(.setup, error.message)
        }
    }

    // MARK: - Parts

    /// Every resolution of every model.
    private func measure(_ dataset: LabelledPictures) throws {
        let arguments = try (paths.isEmpty ? [nil] : paths.map { Optional($0) }).map { try modelArguments($0) }
        let answers = try answers.map { try LineFile(path: $0) }
        let plan = try arguments.map { arguments in
            (arguments, try resolutions(try arguments.prepared().resolutions))
        }
        let total = plan.reduce(0) { $0 + $1.1.count } * dataset.pictures.count
        let bar = ProgressBar("measuring")
        defer { bar.finish() }
        var done = 0
        var runs: [AccuracyRun] = []
        for (arguments, sides) in plan {
            let reader = try arguments.reader()
            for pixels in sides {
                var run = AccuracyRun(reader, resolution: pixels)
                try run.run(
                    reader, on: dataset, maxTokens: maxTokens,
                    answered: { try answers?.write($0.line()) },
                    progress: {
                        done += 1
                        bar.show(done, of: total)
                    })
                runs.append(run)
                if json {
                    bar.finish()
                    for row in run.rows { Console.line(try row.line()) }
                }
            }
        }
        bar.finish()
        let report = AccuracyReport(runs: runs)
        if !json { for line in report.lines { Console.line(line) } }
        if let plot { try CalibrateCommand.write(report.svg, to: plot) }
        if let ladder { try CalibrateCommand.write(try report.ladder(), to: ladder) }
        try refuse(runs.first?.refused ?? [])
    }

    /// Every fixed resolution, and the planner with each budget.
    private func measure(_ budgets: [Double], _ dataset: LabelledPictures) throws {
        let reader = try modelArguments(paths.first).reader()
        let bar = ProgressBar("measuring")
        defer { bar.finish() }
        let earlier = try log.map { try LineFile.objects(BudgetedAccuracy.Frame.self, at: $0) } ?? []
        let file = try log.map { try LineFile(path: $0, isAppended: true) }
        let run = try BudgetedAccuracy(
            reader, resolutions: try resolutions(reader.model.prepared.resolutions), budgets: budgets, on: dataset,
            maxTokens: maxTokens, earlier: earlier, answered: { try file?.write($0.line()) }, progress: bar.show)
        bar.finish()
        if json {
            for row in run.rows { Console.line(try row.line()) }
        } else {
            for line in run.lines { Console.line(line) }
        }
        if let plot { try CalibrateCommand.write(run.svg, to: plot) }
        try refuse(run.refused)
    }

    private func resolutions(_ own: [Int]) throws -> [Int] {
        let sides = try sides() ?? own
        for pixels in sides { try FastVLMModel.validate(resolution: pixels) }
        return sides
    }

    private func refuse(_ refused: [(file: String, reason: String)]) throws {
        for (file, reason) in refused { Console.error("\(Console.printable(file)): \(reason)") }
        if !refused.isEmpty { throw ExitStatus.inputsRefused }
    }

    private func modelArguments(_ path: String?) throws -> ModelArguments {
        try ModelArguments.parse(["--threads=\(threads)"] + (path.map { ["--model=\($0)"] } ?? []))
    }

    private func sides() throws -> [Int]? { try resolutions.map { try parsed($0, "--resolutions") { Int($0) } } }

    private func milliseconds() throws -> [Double]? { try budgets.map { try parsed($0, "--budgets") { Double($0) } } }

    private func parsed<Value>(_ list: String, _ option: String, _ parse: (String) -> Value?) throws -> [Value] {
        let values = try list.split(separator: ",").map { field in
            guard let value = parse(String(field)) else { throw ValidationError("\(option) holds '\(field)'.") }
            return value
        }
        guard !values.isEmpty else { throw ValidationError("\(option) is empty.") }
        return values
    }
}
