internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import LatencyBudget
internal import ModelFiles

struct BenchBudgetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budget", abstract: "Measure how well budgets are kept on this device.",
        discussion: """
            Shows the pictures of a folder one after the other with each budget, as a camera would, lets the planner choose \
            the resolution, and prints misses and the error of predictions. With --hogs the middle third has company; \
            then it also says after how many frames the resolution followed.

            A device that was not measured with this model is measured first; what was measured is kept in --state. With \
            --log a long measurement can be taken in parts: each run adds its frames to the file and reports on all that \
            are there.
            """)

    @OptionGroup var model: ModelArguments

    @Option(help: ArgumentHelp("A folder with JPEG and PNG files.", valueName: "folder"), completion: .directory)
    var pictures: String

    @Option(
        help: ArgumentHelp(
            "Milliseconds, separated by commas. The default is three: twice the lowest resolution's time, twice the "
                + "highest's, and one between.", valueName: "list"))
    var budgets: String?

    @Option(help: "Frames with each budget.")
    var frames = 200

    @Option(help: "No frame is begun after that many seconds.")
    var seconds = 3600.0

    @Option(
        help: "That many programs that compute without end run beside the middle third of the frames.")
    var hogs = 0

    @Option(help: "What is asked about each picture.")
    var prompt = PictureTasks().prompt

    @Option(help: "Most tokens of an answer.")
    var maxTokens = 60

    @Option(help: "The share of frames that may be late, 0.001 to 0.5.")
    var missTarget = 0.01

    @Option(
        help: ArgumentHelp(
            "Where profiles are kept. The default is $STATE_DIRECTORY, and without it /var/lib/fastvlmd.",
            valueName: "folder"), completion: .directory)
    var state: String?

    @Option(
        help: ArgumentHelp(
            "Add every frame to this file, one JSON object a line, and report on all that are in it.", valueName: "file"
        ), completion: .file())
    var log: String?

    @Flag(help: "Print one JSON object a line.")
    var json = false

    func validate() throws {
        guard (3...1_000_000).contains(frames) else {
            throw ValidationError("--frames is \(frames), expected 3 to 1000000.")
        }
        guard (0...64).contains(hogs) else { throw ValidationError("--hogs is \(hogs), expected 0 to 64.") }
        guard seconds > 0, seconds <= 1e6 else {
            throw ValidationError("--seconds is \(seconds), expected more than 0, at most 1000000.")
        }
        guard PictureTasks.maxTokensRange.contains(maxTokens) else {
            throw ValidationError("--max-tokens is \(maxTokens), expected \(PictureTasks.maxTokensRange).")
        }
        guard (0.001...0.5).contains(missTarget) else {
            throw ValidationError("--miss-target is \(missTarget), expected 0.001 to 0.5.")
        }
        for budget in try milliseconds() ?? [] where !PictureTasks.budgetRange.contains(budget) {
            throw ValidationError("--budgets holds \(budget), expected \(PictureTasks.budgetRange).")
        }
    }

    func run() throws {
        let pictures = try files()
        let reader = try model.reader()
        do {
            try measure(reader, pictures)
        } catch let error as EngineError {
            throw CommandFailure(error.code == .picture ? .inputsRefused : .setup, error.message)
        } catch let error as LatencyBudgetError {
            throw CommandFailure(.setup, error.message)
        } catch let error as ProfileStoreError {
            throw CommandFailure(.setup, error.message)
        }
    }

    private func measure(_ reader: PictureReader, _ pictures: [[UInt8]]) throws {
        let end = ContinuousClock.now + .seconds(seconds)
        let ladder = try Ladder(reader.model.prepared.identity)
        let store = ProfileStore(directory: state ?? ProfileStore.usualDirectory, identity: reader.profileIdentity)
        var profile = try store.load()
        if profile.map({ !$0.staleness(for: store.identity, ladder: ladder).isEmpty }) ?? true {
            let bar = ProgressBar("calibrating")
            defer { bar.finish() }
            let measured = try Calibration(reader, time: .seconds(min(20, seconds / 2))).profile(
                ladder, picture: pictures[0]
            ) { bar.show(Int($0 * 1000), of: 1000) }
            try store.save(measured)
            profile = measured
        }
        guard let profile else { return }
        let run = BudgetRun(
            reader: reader, ladder: ladder, store: store, pictures: pictures, prompt: prompt, maxTokens: maxTokens,
            missTarget: missTarget)
        var all = try log.map { try LineFile.objects(BudgetRun.Frame.self, at: $0) } ?? []
        let file = try log.map { try LineFile(path: $0, isAppended: true) }
        let part = (all.map(\.part).max() ?? -1) + 1
        let budgets = try milliseconds() ?? run.budgets(profile.costModel(), count: 3)
        let bar = ProgressBar("measuring")
        defer { bar.finish() }
        for (place, budget) in budgets.enumerated() {
            let interval = try run.interval(budget, profile.costModel())
            try run.run(
                budget: budget, interval: interval, part: part, count: frames, hogs: hogs, until: end
            ) { frame in
                all.append(frame)
                try file?.write(frame.line())
                bar.show(place * frames + frame.index + 1, of: budgets.count * frames)
            }
        }
        bar.finish()
        let report = BudgetRunReport(frames: all, facts: ModelFacts(reader.model))
        guard json else {
            for line in report.lines { Console.line(line) }
            return
        }
        for row in report.rows { Console.line(try row.line()) }
        for row in report.following { Console.line(try row.line()) }
        for row in report.errors { Console.line(try row.line()) }
    }

    /// The pictures, at most 256 of them, in the order of their names.
    private func files() throws -> [[UInt8]] {
        let names = try? FileManager.default.contentsOfDirectory(atPath: pictures)
        let wanted = (names ?? []).filter { name in
            [".jpg", ".jpeg", ".png"].contains { name.lowercased().hasSuffix($0) }
        }
        guard !wanted.isEmpty else {
            throw CommandFailure(
                .setup,
                "Cannot use the pictures in '\(pictures)': there is no JPEG or PNG file, or the folder cannot be read.")
        }
        return try wanted.sorted().prefix(256).map { try PictureFile(path: pictures + "/" + $0).bytes }
    }

    private func milliseconds() throws -> [Double]? {
        try budgets.map { list in
            let values = try list.split(separator: ",").map { field in
                guard let value = Double(field) else { throw ValidationError("--budgets holds '\(field)'.") }
                return value
            }
            guard !values.isEmpty else { throw ValidationError("--budgets is empty.") }
            return values
        }
    }
}
