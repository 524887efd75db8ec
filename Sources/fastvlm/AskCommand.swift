internal import ArgumentParser
internal import CaptionService
internal import FastVLM

struct AskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask", abstract: "Answer questions about a picture.",
        discussion: "The picture is read once for all questions.")

    @Argument(help: ArgumentHelp("A JPEG or PNG file.", valueName: "image"), completion: .picture)
    var image: String

    @Argument(help: ArgumentHelp("Questions, each an argument of its own.", valueName: "question"))
    var questions: [String]

    @Option(
        help: ArgumentHelp(
            "What each answer may be: \(AnswerType.words.joined(separator: ", ")).", valueName: "type"))
    var type = AnswerType.text.word

    @Option(
        name: .customLong("option"),
        help: ArgumentHelp("What can be chosen, once for each option, with --type choice.", valueName: "option"))
    var options: [String] = []

    @OptionGroup var model: ModelArguments
    @OptionGroup var generation: GenerationArguments

    func run() throws {
        let type = try answerType()
        let numbered = questions.enumerated().map { PictureTasks.Question(id: "\($0 + 1)", text: $1, type: type) }
        let tasks = try generation.tasks(prompt: "", questions: numbered)
        let printer = ReplyPrinter(namesPictures: false, questions: questions.count > 1 ? questions : [])
        try PictureRun(model: model, json: generation.json).run(tasks, on: [image], printer: printer)
    }

    func validate() throws {
        guard questions.allSatisfy({ !$0.isEmpty }) else { throw ValidationError("A question is empty.") }
        _ = try answerType()
    }

    private func answerType() throws -> AnswerType {
        do {
            return try AnswerType(word: type, options: options)
        } catch {
            throw ValidationError(error.message)
        }
    }
}
