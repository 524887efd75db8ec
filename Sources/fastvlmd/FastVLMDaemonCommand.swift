internal import ArgumentParser
internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import Logging

@main
struct FastVLMDaemonCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fastvlmd",
        abstract: "Watch folders and describe every picture that arrives, on this machine's processor.",
        discussion: """
            Writes <picture>.fastvlm.json beside each picture. SIGTERM ends it when the picture at hand is done.
            Exit status: 0 ended as asked, 2 wrong usage, 3 the model, the configuration or a folder cannot be used.
            """,
        version: Product.version)

    @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
    var config: String?

    @Option(
        name: .customLong("watch"),
        help: ArgumentHelp("A folder to watch; may be given again. Instead of --config.", valueName: "folder"))
    var folders: [String] = []

    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp("The model, with --watch: a packed file, or a folder with a public checkpoint.", valueName: "path"))
    var modelPath: String?

    @Option(help: "With --watch: threads to compute on. The default is one for each core that the process may use.")
    var threads = 0

    @Option(help: "With --watch: what asks for the caption.")
    var prompt: String?

    @Option(help: "With --watch: side of the square that the model sees, in pixels.")
    var resolution: Int?

    @Option(help: "With --watch: most tokens of a caption.")
    var maxTokens: Int?

    @Option(
        help: ArgumentHelp(
            "The least that is logged: \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "level"))
    var logLevel: Logger.Level = .info

    func validate() throws {
        guard config != nil || !folders.isEmpty else {
            throw ValidationError("Nothing to do. Give --config FILE, or --watch FOLDER and --model PATH.")
        }
        guard config == nil || (folders.isEmpty && modelPath == nil && threads == 0 && prompt == nil && resolution == nil && maxTokens == nil) else {
            throw ValidationError("--config and the options that it replaces cannot be combined.")
        }
        guard config != nil || modelPath != nil else {
            throw ValidationError("No model was named. Give one with --model PATH.")
        }
    }

    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as DaemonError {
            FileHandleOutput.error("fastvlmd: \(error.message)")
            Glibc.exit(3)
        } catch {
            let isClean = exitCode(for: error).isSuccess
            FileHandleOutput.write(fullMessage(for: error) + "\n", to: isClean ? STDOUT_FILENO : STDERR_FILENO)
            Glibc.exit(isClean ? 0 : 2)
        }
    }
}
