internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import Glibc
internal import Kernels
internal import LatencyBudget
internal import ModelFiles

/// Which model to use, on how many threads.
struct ModelArguments: ParsableArguments {
    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp(
            "The model: a packed file, or a folder with a public checkpoint. The default is $FASTVLM_MODEL.",
            valueName: "path"), completion: .model)
    var path: String?

    @Option(help: "Threads to compute on. The default is one for each core that this process may use.")
    var threads = 0

    func validate() throws {
        guard (0...256).contains(threads) else {
            throw ValidationError("--threads is \(threads), expected 1 to 256, or 0 for all cores.")
        }
    }

    /// Opens the model without reading its weights.
    func prepared() throws(CommandFailure) -> PreparedModel {
        let path = try resolvedPath()
        do {
            return try PreparedModel.open(path: path)
        } catch {
            throw CommandFailure(.setup, error.message)
        }
    }

    /// Opens the model and takes its weights.
    func load() throws(CommandFailure) -> FastVLMModel {
        do {
            return try FastVLMModel(try prepared())
        } catch let error as ModelFileError {
            throw CommandFailure(.setup, error.message)
        } catch let error as CommandFailure {
            throw error
        } catch {
            throw CommandFailure(.setup, "Cannot load the model: \(error).")
        }
    }

    /// A reader of pictures with the model.
    func reader() throws(CommandFailure) -> PictureReader {
        let model = try load()
        do {
            let reader = try PictureReader(model, threads: threads)
            if let warning = reader.warning { Console.error("warning: \(warning)") }
            return reader
        } catch {
            throw CommandFailure(.setup, error.message)
        }
    }

    private func resolvedPath() throws(CommandFailure) -> String {
        if let path { return path }
        if let path = getenv("FASTVLM_MODEL").map({ String(cString: $0) }), !path.isEmpty { return path }
        throw CommandFailure(
            .setup, "No model was named. Give one with --model PATH, or set FASTVLM_MODEL.")
    }
}

/// How answers are generated.
struct GenerationArguments: ParsableArguments {
    @Option(help: "Side of the square that the model sees, in pixels. The default is the model's own.")
    var resolution: Int?

    @Flag(
        help: """
            See a picture that is larger than the resolution as an overview and four tiles of that resolution: five times the \
            work, for what is small.
            """)
    var tiling = false

    @Option(
        help: ArgumentHelp(
            "\"native\" leaves out the black bars that make a picture square: less work for the same picture.",
            valueName: "square|native"))
    var aspect = PictureAspect.square.rawValue

    @Option(help: "Most tokens of an answer.")
    var maxTokens = PictureTasks.defaultMaxTokens

    @Option(help: "0 takes the likeliest word each time; the higher, up to 2, the more varied.")
    var temperature = 0.0

    @Option(help: "The share of probability that is drawn from.")
    var topP = 1.0

    @Option(help: "Where the draws begin: the same seed gives the same answer.")
    var seed: UInt64 = 0

    @Option(
        help: """
            Milliseconds that a picture has from being opened to its last word: resolution and length are chosen to fit, \
            by what 'fastvlm calibrate' measured. The default is no limit.
            """)
    var budgetMs: Double?

    @Flag(help: "Print one JSON document a line for each picture, as the daemon's sidecars have it.")
    var json = false

    func validate() throws {
        if let resolution { try check("--resolution", resolution, PictureTasks.resolutionRange) }
        if let budgetMs { try check("--budget-ms", budgetMs, PictureTasks.budgetRange) }
        guard PictureAspect(rawValue: aspect) != nil else {
            throw ValidationError("--aspect is '\(aspect)', expected square or native.")
        }
        try check("--max-tokens", maxTokens, PictureTasks.maxTokensRange)
        try check("--temperature", temperature, PictureTasks.temperatureRange)
        try check("--top-p", topP, PictureTasks.topPRange)
    }

    private func check<Value>(_ option: String, _ value: Value, _ range: ClosedRange<Value>) throws {
        guard range.contains(value) else { throw ValidationError("\(option) is \(value), expected \(range).") }
    }

    /// These settings with `prompt` and `questions`.
    func tasks(prompt: String, questions: [PictureTasks.Question] = []) throws -> PictureTasks {
        var tasks = PictureTasks()
        tasks.prompt = prompt
        tasks.questions = questions
        tasks.resolution = resolution
        tasks.budget = budgetMs
        // A person wants an answer, late if need be.
        tasks.whenLate = .bestEffort
        tasks.tiling = tiling
        tasks.aspect = PictureAspect(rawValue: aspect) ?? tasks.aspect
        tasks.maxTokens = maxTokens
        tasks.temperature = temperature
        tasks.topP = topP
        tasks.seed = seed
        do {
            try tasks.validate(subject: "the command line", place: "options")
        } catch {
            throw ValidationError(error.message)
        }
        return tasks
    }
}

extension ModelArguments {
    /// The model's tokenizer, without its weights where they can be left out.
    func tokenizer() throws(CommandFailure) -> Tokenizer { try prepared().tokenizer }
}
