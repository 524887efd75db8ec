internal import CaptionService
internal import FoundationEssentials
internal import FrameSources
internal import LatencyBudget
internal import Logging
internal import ModelFiles
internal import Plots
internal import ServiceLifecycle
internal import Sidecars
internal import UnixSignals

/// The daemon's service on a folder of its own, and a visitor who drops pictures in one after the other and shows what
/// comes of each.
struct DemoRun {
    let engine: FastVLMEngine
    let store: ProfileStore
    let folder: String
    let pictures: [String]
    /// ms; nil without a limit.
    let budget: Double?
    let json: Bool

    /// The folder that is watched.
    var watched: String { folder + "/pictures" }

    private static let questions = [
        PictureTasks.Question(id: "display", text: "What does the display read?", needs: .text),
        PictureTasks.Question(id: "lit", text: "How many lamps are lit?", needs: .counting),
        PictureTasks.Question(id: "gauge", text: "What does the gauge show?", needs: .text),
    ]

    func run() async throws {
        do {
            try FileManager.default.createDirectory(atPath: watched, withIntermediateDirectories: true)
        } catch {
            throw CommandFailure(.setup, "Cannot make '\(watched)': its folder is not writable by this user.")
        }
        var watch = DaemonConfiguration.Watch(path: watched, name: "demo")
        watch.tasks.questions = Self.questions
        watch.tasks.budget = budget
        watch.tasks.whenLate = .bestEffort
        watch.tasks.maxTokens = 64
        var logger = Logger(label: "fastvlm demo") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        let (results, continuation) = AsyncStream<CommittedResult>.makeStream()
        let service = try FolderCaptionService(
            DaemonConfiguration(model: DaemonConfiguration.Model(path: ""), watches: [watch]), engine: engine,
            planner: budget == nil
                ? nil
                : FramePlanner(
                    ladder: engine.ladder, store: store, device: .system, logger: logger),
            requiresFolders: true, logger: logger, onCommit: { continuation.yield($0) })
        let visitor = Visitor(
            pictures: pictures, folder: folder, watched: watched, isWatched: { service.counters.scans > 0 },
            results: results,
            show: { json ? try line($0) : describe($0) })
        try await ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [
                    .init(service: service),
                    .init(service: visitor, successTerminationBehavior: .gracefullyShutdownGroup),
                ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        ).run()
    }

    private func line(_ result: CommittedResult) throws -> String {
        String(decoding: try result.document.compactJSON(), as: UTF8.self)
    }

    /// What a person wants to know of a result.
    private func describe(_ result: CommittedResult) -> String {
        let document = result.document
        var lines = ["", "\(result.path)"]
        switch document.status {
        case .ok: lines.append("  \(document.caption ?? "")")
        case .refused(_, let reason): lines.append("  refused: \(reason)")
        case .expired: lines.append("  not answered: it could not be in time")
        }
        for answer in document.answers {
            if case .string(let text) = answer.answer { lines.append("  \(answer.question.padded(to: 30))\(text)") }
        }
        if let resolution = document.resolution, let total = document.timings?.total {
            var line = "  \(resolution.pixels) px: \(Self.why(resolution.reason)). \(number(total.value)) ms"
            if let budget = document.budget {
                line +=
                    " of \(number(budget.milliseconds.value, digits: 0)), " + (budget.met ? "in time." : "too late.")
            } else {
                line += "."
            }
            lines.append(line)
        }
        return Console.printable(lines.joined(separator: "\n"))
    }

    /// The sidecar's word for why this resolution, in a sentence.
    private static func why(_ reason: String) -> String {
        switch reason {
        case "best": "as good as any, and it fits"
        case "budget": "the best that fits"
        case "proving": "a better one seems to fit, but not for long enough yet"
        case "sharing": "a better one would cost the pictures behind it their time"
        case "only_rung": "the only one"
        case "best_effort": "the fastest, though it will be late"
        case "learning": "the fastest, to learn what this device can do"
        case "probe": "the fastest, to find out whether it fits again"
        case "model_default": "the model's own"
        default: reason
        }
    }

    func opening(_ model: PreparedModel, isBundled: Bool) -> String {
        let time =
            budget.map { "Each picture is to be answered within \(number($0, digits: 0)) ms." }
            ?? "There is no limit of time."
        var what = "\(model.name), \(model.precision.rawValue)."
        if isBundled {
            what = "\(model.name) is a small model of the project's own: it reads the front panels of machines and nothing "
            // The bundled model states exact answers in per cent.
            let right = (model.identity.accuracy ?? []).map(\.general).max()
            what += right.map { "else, and answers \(number($0, digits: 0)) of 100 questions right." } ?? "else."
        }
        return Console.printable(
            "\(what)\nA folder is watched as fastvlmd does it, and pictures are dropped in. \(time)")
    }

    func ending(isBundled: Bool, isTemporary: Bool) -> String {
        let names = pictures.map { $0.split(separator: "/").last.map(String.init) ?? $0 }
        var text = "\nThe results lie beside the pictures, as the daemon writes them:\n"
        for name in names { text += "  \(watched)/\(name).fastvlm.json\n" }
        text += "\nWith less time:     fastvlm demo --budget-ms 40\n"
        text += "For a folder:       fastvlmd --watch FOLDER --model MODEL\n"
        if isTemporary { text += "To remove them:     rm -r \(folder)\n" }
        text.removeLast()
        return Console.printable(text)
    }
}

/// Puts a picture into the watched folder, waits for its result, shows it, and goes on with the next.
private struct Visitor: Service {
    let pictures: [String]
    let folder: String
    let watched: String
    let isWatched: @Sendable () -> Bool
    let results: AsyncStream<CommittedResult>
    let show: @Sendable (CommittedResult) throws -> String

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            // What comes before is found lying there: it has to settle, and its time begins when its turn comes.
            while !isWatched() { try await Task.sleep(for: .milliseconds(5)) }
            var results = results.makeAsyncIterator()
            for picture in pictures {
                try drop(picture)
                guard let result = await results.next() else { return }
                Console.line(try show(result))
            }
        }
    }

    /// Copies the picture beside the watched folder and moves it in, whole: so it is taken up at once.
    private func drop(_ picture: String) throws(CommandFailure) {
        let name = picture.split(separator: "/").last.map(String.init) ?? "picture.jpg"
        do {
            let copy = folder + "/." + name
            try FileManager.default.copyItem(atPath: picture, toPath: copy)
            try FileManager.default.moveItem(atPath: copy, toPath: watched + "/" + name)
        } catch {
            throw CommandFailure(.setup, "Cannot copy '\(picture)' to '\(watched)': \(error).")
        }
    }
}
