internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Glibc
internal import Kernels
internal import LatencyBudget
internal import ModelFiles

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "See it work: the daemon, the bundled model and a handful of pictures.",
        discussion: """
            Watches a folder of its own as fastvlmd does, drops pictures of machine front panels in, and shows what comes \
            of each. The bundled model reads panels and nothing else. Nothing is fetched and no network is used.
            """)

    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp("Another model than the bundled one.", valueName: "path"), completion: .model)
    var path: String?

    @Option(help: "Threads to compute on. The default is one for each core that this process may use.")
    var threads = 0

    @Option(
        help: """
            Milliseconds that a picture has from its arrival to its result. The default is 250 for the bundled model, and \
            no limit for others.
            """)
    var budgetMs: Double?

    @Option(
        help: ArgumentHelp(
            "Where to put pictures and results: a folder that does not exist yet or is empty. The default is a new one "
                + "for temporary files, which stays.", valueName: "folder"), completion: .directory)
    var keep: String?

    @Flag(help: "Print each result as one JSON document on one line.")
    var json = false

    func validate() throws {
        guard (0...256).contains(threads) else {
            throw ValidationError("--threads is \(threads), expected 1 to 256, or 0 for all cores.")
        }
        if let budgetMs, !PictureTasks.budgetRange.contains(budgetMs) {
            throw ValidationError("--budget-ms is \(budgetMs), expected \(PictureTasks.budgetRange).")
        }
    }

    func run() async throws {
        let bundle = try BundledModel(needsModel: path == nil)
        let pictures = try bundle.pictures()
        let arguments = try ModelArguments.parse(["--threads=\(threads)", "--model=\(path ?? bundle.model)"])
        let folder = try Self.folder(keep)
        do {
            let model = try arguments.load()
            let engine = try FastVLMEngine(model, threads: threads)
            let store = ProfileStore(
                directory: path == nil ? folder + "/profile" : ProfileStore.usualDirectory,
                identity: engine.profileIdentity)
            if path == nil { try measure(arguments, engine.ladder, pictures[0], store) }
            let run = DemoRun(
                engine: engine, store: store, folder: folder, pictures: pictures,
                budget: budgetMs ?? (path == nil ? 250 : nil),
                json: json)
            if !json { Console.line(run.opening(model.prepared, isBundled: path == nil)) }
            try await run.run()
            if json {
                Console.error("The results lie in \(run.watched).", prefixed: false)
            } else {
                Console.line(run.ending(isBundled: path == nil, isTemporary: keep == nil))
            }
        } catch let error as EngineError {
            throw CommandFailure(.setup, error.message)
        } catch let error as DaemonError {
            throw CommandFailure(.setup, error.message)
        } catch let error as ProfileStoreError {
            throw CommandFailure(.setup, error.message)
        } catch let error as KernelError {
            throw CommandFailure(.setup, error.message)
        }
    }

    /// What a minute of `fastvlm calibrate` would do better: the bundled model is so small that half a second shows what
    /// each resolution takes here.
    private func measure(
        _ arguments: ModelArguments, _ ladder: Ladder, _ picture: String, _ store: ProfileStore
    ) throws {
        let calibration = Calibration(try arguments.reader(), time: .milliseconds(500))
        try store.save(try calibration.profile(ladder, picture: try PictureFile(path: picture).bytes))
    }

    /// A folder of our own, or the empty one at `path`.
    private static func folder(_ path: String?) throws(CommandFailure) -> String {
        let files = FileManager.default
        guard let path else {
            // mkdtemp puts a name of its own in the place of the six letters.
            let template = "fastvlm-demo." + String(repeating: "X", count: 6)
            var name = Array(files.temporaryDirectory.appending(path: template).path.utf8CString)
            guard mkdtemp(&name) != nil else {
                throw CommandFailure(
                    .setup, "Cannot make a folder for temporary files: set TMPDIR, or name one with --keep.")
            }
            return String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        do {
            try files.createDirectory(atPath: path, withIntermediateDirectories: true)
            guard try files.contentsOfDirectory(atPath: path).isEmpty else {
                throw CommandFailure(
                    .usage, "Cannot keep the demonstration in '\(path)': it is not empty. Name another.")
            }
            return URL(filePath: path).resolvingSymlinksInPath().path
        } catch let error as CommandFailure {
            throw error
        } catch {
            throw CommandFailure(
                .setup, "Cannot keep the demonstration in '\(path)': it cannot be made or read by this user.")
        }
    }
}
