internal import ArgumentParser
internal import ModelFiles

struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Fetch, pack, check, list, look into and remove models.",
        subcommands: [
            ModelPullCommand.self, ModelPackCommand.self, ModelVerifyCommand.self, ModelInspectCommand.self,
            ModelListCommand.self, ModelRemoveCommand.self,
        ])
}

struct ModelVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Check every byte of a packed model against its digest.")

    @Argument(help: ArgumentHelp("Packed files.", valueName: "file"), completion: .model)
    var files: [String]

    func run() throws {
        var damaged = 0
        for file in files {
            do {
                let bar = ProgressBar("verifying")
                defer { bar.finish() }
                let summary = try PackedModel.verify(path: file, progress: bar.show)
                Console.line("\(Console.printable(file)): \(summary.digest), intact")
            } catch {
                damaged += 1
                Console.error(error.message)
            }
        }
        if damaged > 0 { throw ExitStatus.setup }
    }
}

struct ModelInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Print what a packed model, or a checkpoint's folder, holds.")

    @Argument(help: ArgumentHelp("A packed file or a folder.", valueName: "path"), completion: .model)
    var path: String

    @Flag(help: "List every tensor with its element and shape.")
    var tensors = false

    @Flag(help: "Print one JSON document on one line.")
    var json = false

    func run() throws {
        do {
            let description = try PackedModel.describe(path: path)
            guard !json else { return Console.line(try description.json()) }
            for (name, value) in description.lines { Console.line("\(name.padded(to: 16))\(Console.printable(value))") }
            if tensors {
                for tensor in description.tensors {
                    Console.line("  \(tensor.name)  \(tensor.element.rawValue) \(tensor.shape)")
                }
            }
        } catch {
            throw CommandFailure(.setup, error.message)
        }
    }
}

extension ModelDescription {
    /// What a person wants to know, in the order in which they want it.
    var lines: [(String, String)] {
        let vision = configuration.vision
        let text = configuration.text
        var lines = [
            ("name", name), ("file", "\(path) (\(form.rawValue))"), ("size", byteCount.asBytes), ("digest", digest),
            ("precision", precision.rawValue),
            (
                "parameters",
                "\(parameters.total.asMillions): vision \(parameters.vision.asMillions), projector "
                    + "\(parameters.projector.asMillions), text \(parameters.text.asMillions)"
            ),
            ("vision", "FastViTHD, widths \(vision.embedDims), depths \(vision.depths)"),
            (
                "text",
                "Qwen2, hidden \(text.hiddenSize), intermediate \(text.intermediateSize), \(text.layerCount) layers, "
                    + "\(text.headCount) heads, \(text.keyValueHeadCount) key-value heads"
            ),
            (
                "vocabulary",
                "\(tokenCount) tokens in \(text.vocabularySize) rows\(sharesEmbedding ? ", head shared" : "")"
            ),
            (
                "resolutions",
                resolutions.map { "\($0.pixels) px (\($0.visualTokens) tokens)" }.joined(separator: ", ")
                    + "; default \(defaultResolution)"
            ),
            ("prompt", promptTemplate.order == .pictureFirst ? "picture first" : "text first"),
            ("licence", licence ?? "not stated"),
        ]
        for measured in accuracy ?? [] {
            let others = [("text", measured.text), ("counting", measured.counting), ("presence", measured.presence)]
            lines.append(
                (
                    measured.pixels == accuracy?.first?.pixels ? "accuracy" : "",
                    "\(measured.pixels) px: general \(measured.general)"
                        + others.map { name, value in value.map { ", \(name) \($0)" } ?? "" }.joined()
                ))
        }
        if let formatVersion { lines.append(("format", formatVersion)) }
        if let sourceName { lines.append(("packed from", sourceName + (sourceDigest.map { " (\($0))" } ?? ""))) }
        if let origin {
            lines.append(("fetched from", "\(origin.source) at \(origin.revision)"))
            lines.append(
                ("", origin.licenceAccepted ? "its licence was shown and accepted" : "its licence was not accepted"))
            for file in origin.files {
                lines.append(
                    ("", "\(file.name) \(file.byteCount) bytes, sha256 \(file.sha256), checked by \(file.checkedBy)"))
            }
        }
        if !unusedTensors.isEmpty { lines.append(("not used", unusedTensors.joined(separator: ", "))) }
        return lines
    }
}

extension Int {
    /// For people: "12.3 MB".
    var asBytes: String {
        let (value, unit) =
            self >= 1_000_000_000
            ? (Double(self) / 1e9, "GB") : self >= 1_000_000 ? (Double(self) / 1e6, "MB") : (Double(self) / 1e3, "kB")
        return "\((value * 10).rounded() / 10) \(unit)"
    }

    var asMillions: String { "\((Double(self) / 1e5).rounded() / 10) M" }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: Swift.max(1, width - count)) }
}
