internal import ArgumentParser
internal import CaptionService

struct CaptionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "caption", abstract: "Describe pictures.",
        discussion: "Prints one description for each picture; text appears as it is said.")

    @Argument(help: ArgumentHelp("JPEG or PNG files.", valueName: "image"), completion: .picture)
    var images: [String]

    @Option(help: "What asks for the description.")
    var prompt = PictureTasks.defaultPrompt

    @OptionGroup var model: ModelArguments
    @OptionGroup var generation: GenerationArguments

    func run() throws {
        let tasks = try generation.tasks(prompt: prompt)
        let printer = ReplyPrinter(namesPictures: images.count > 1, questions: [])
        try PictureRun(model: model, json: generation.json).run(tasks, on: images, printer: printer)
    }

    func validate() throws {
        guard !prompt.isEmpty else { throw ValidationError("--prompt is empty, expected a request for a description.") }
    }
}
