internal import ArgumentParser
internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import ModelFiles

/// Where models are looked for.
enum ModelFolders {
    static let usual = [
        "/var/lib/fastvlmd/models", "/var/lib/fastvlmd", "/usr/local/share/fastvlmd", "/usr/share/fastvlmd",
    ]

    /// Packed files and checkpoints' folders in `folder`, sorted.
    static func models(in folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted().map { "\(folder)/\($0)" }.filter { path in
            path.hasSuffix(".fastvlm") || FileManager.default.fileExists(atPath: path + "/config.json")
        }
    }
}

struct ModelListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the models on this machine.")

    @Argument(
        help: ArgumentHelp(
            "Where to look. The default is \(ModelFolders.usual.joined(separator: ", ")).", valueName: "folder"),
        completion: .directory)
    var folders: [String] = []

    @Flag(help: "Print one JSON object on one line for each model.")
    var json = false

    func run() throws {
        var damaged = 0
        for folder in folders where !FileManager.default.fileExists(atPath: folder) {
            throw CommandFailure(.setup, "Cannot list the models in '\(folder)': there is no such folder.")
        }
        for path in (folders.isEmpty ? ModelFolders.usual : folders).flatMap(ModelFolders.models) {
            do {
                let model = try PackedModel.describe(path: path)
                guard !json else {
                    Console.line(try model.json())
                    continue
                }
                let facts =
                    "\(model.name) \(model.precision.rawValue)".padded(to: 28) + model.byteCount.asBytes.padded(to: 11)
                Console.line(Console.printable("\(facts)\(path)"))
            } catch {
                damaged += 1
                Console.error(error.message)
            }
        }
        if damaged > 0 { throw ExitStatus.setup }
    }
}

struct ModelRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove packed models.",
        discussion:
            "Only packed files are removed, never a checkpoint's folder, and not the model that the daemon is to use.")

    @Argument(help: ArgumentHelp("Packed files.", valueName: "file"), completion: .model)
    var files: [String]

    @Option(help: ArgumentHelp("The daemon's configuration.", valueName: "file"), completion: .configuration)
    var config = "/etc/fastvlmd/fastvlmd.toml"

    @Flag(help: "Do not ask.")
    var yes = false

    func run() throws {
        var kept = 0
        for file in files {
            do throws(CommandFailure) {
                try remove(file)
            } catch {
                kept += 1
                Console.error(error.message)
            }
        }
        if kept > 0 { throw ExitStatus.setup }
    }

    private func remove(_ file: String) throws(CommandFailure) {
        let model: ModelDescription
        do {
            model = try PackedModel.describe(path: file)
        } catch {
            throw CommandFailure(.setup, "Nothing was removed. \(error.message)")
        }
        guard model.form == .packedFile else {
            throw CommandFailure(
                .setup, "Cannot remove '\(file)': it is no packed file. Remove a checkpoint's folder by hand.")
        }
        if let configuration = try? DaemonConfiguration(file: config),
            configuration.models.contains(where: { Self.isSame($0.path, file) })
        {
            throw CommandFailure(
                .setup, "Cannot remove '\(file)': the daemon is to use it. Name another model in '\(config)' first.")
        }
        if !yes {
            let question = "Remove \(model.name) \(model.precision.rawValue), \(model.byteCount.asBytes), '\(file)'?"
            guard try Console.confirms(question, or: "Say --yes to remove without a question.") else {
                throw CommandFailure(.setup, "'\(file)' was kept.")
            }
        }
        guard unlink(file) == 0 else {
            let reason = strerror(errno).map { String(cString: $0) } ?? "error \(errno)"
            throw CommandFailure(.setup, "Cannot remove '\(file)': \(reason).")
        }
        Console.line("\(Console.printable(file)): removed")
    }

    private static func isSame(_ path: String, _ other: String) -> Bool {
        var (first, second) = (stat(), stat())
        return stat(path, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev
            && first.st_ino == second.st_ino
    }
}
