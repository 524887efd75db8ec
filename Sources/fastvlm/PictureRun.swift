internal import CaptionService
internal import Sidecars

/// One run of a command over pictures.
struct PictureRun {
    let model: ModelArguments
    let json: Bool

    /// Does `tasks` for each of `paths`, prints the outcome, and says at the end whether some were refused.
    func run(_ tasks: PictureTasks, on paths: [String], printer: ReplyPrinter) throws {
        let reader = BudgetedReader(try model.reader(), tasks)
        var refused = 0
        for path in paths {
            do {
                try run(tasks, on: path, reader: reader, printer: printer)
            } catch let error as EngineError {
                switch error.code {
                case .picture, .request, .cancelled, .late: break
                case .model, .resources: throw CommandFailure(.setup, error.message)
                }
                refused += 1
                Console.error("\(Console.printable(path)): \(error.message)")
            }
        }
        if refused > 0 { throw ExitStatus.inputsRefused }
    }

    private func run(
        _ tasks: PictureTasks, on path: String, reader: BudgetedReader, printer: ReplyPrinter
    ) throws {
        if json {
            try printDocument(tasks, path: path, reader: reader)
            return
        }
        let start = ContinuousClock.now
        let file = try PictureFile(path: path)
        guard Console.isTerminal else {
            let report = try reader.run(tasks, on: file.bytes, since: start).report
            for (index, reply) in ((report.caption.map { [$0] } ?? []) + report.answers).enumerated() {
                printer.showWhole(reply.text, reply: index, path: path)
            }
            return
        }
        var shown: Int?
        _ = try reader.run(
            tasks, on: file.bytes, since: start,
            onText: { reply, text in
                if let last = shown, last != reply { Console.text("\n") }
                printer.show(text, reply: reply, path: path, isFirst: shown != reply)
                shown = reply
            })
        Console.text("\n")
    }

    /// Prints one document, whatever comes of the picture: so a line of output belongs to each picture in turn.
    private func printDocument(_ tasks: PictureTasks, path: String, reader: BudgetedReader) throws {
        let start = ContinuousClock.now
        let model = ModelFacts(reader.reader.model)
        var source = SidecarDocument.Source(
            file: path.split(separator: "/").last.map { Array($0.utf8) }, origin: "command")
        do {
            let file = try PictureFile(path: path)
            source = file.source
            let outcome = try reader.run(tasks, on: file.bytes, since: start)
            let document = SidecarDocument(
                outcome.report, tasks: tasks, model: model, source: source,
                total: (ContinuousClock.now - start).milliseconds, plan: outcome.plan?.plan, budget: outcome.budget,
                health: SidecarDocument.Health(.sample(), queue: nil))
            Console.line(String(decoding: try document.compactJSON(), as: UTF8.self))
        } catch let error as EngineError where error.code == .picture || error.code == .request {
            let document = SidecarDocument(
                refusal: error.pictureCode ?? error.code.rawValue, reason: error.message, model: model, source: source,
                health: nil)
            Console.line(String(decoding: try document.compactJSON(), as: UTF8.self))
            throw error
        }
    }
}
