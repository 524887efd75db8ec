internal import ArgumentParser
internal import FoundationEssentials
internal import ModelFiles
internal import UntrustedJSON

struct ModelPackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pack", abstract: "Make one packed file of a checkpoint.",
        discussion: """
            The packed file holds weights, tokenizer, prompt template, resolutions and licence, is mapped into memory as \
            it is, and carries a digest of its content.
            """)

    @Argument(help: ArgumentHelp("A checkpoint's folder, or a packed file.", valueName: "source"), completion: .model)
    var source: String

    @Option(
        help: ArgumentHelp("Where to write; must end in .\(PackedModel.fileExtension).", valueName: "file"),
        completion: .model)
    var out: String

    @Option(help: "How to store the matrices: f32, bf16, int8, or int4 (the decoder; the encoder stays int8).")
    var precision = ModelPrecision.bf16

    @Option(help: "The model's name. The default is the source's.")
    var name: String?

    @Option(
        help: ArgumentHelp(
            "Sides in pixels that the model is meant for, ascending, separated by commas.", valueName: "list"))
    var resolutions: String?

    @Option(help: "The resolution to use unless told otherwise. The default is the largest.")
    var defaultResolution: Int?

    @Option(
        help: ArgumentHelp(
            """
            A JSON file with the accuracy that was measured at each resolution, which then are the model's resolutions: \
            [{"pixels": 256, "general": 48.4, "text": 17.4}, …]; also "counting" and "presence". One with "tiles": 2 was \
            measured with large pictures in 2 x 2 tiles and an overview, and allows the model to be used so.
            """, valueName: "file"), completion: .document)
    var ladder: String?

    @Option(help: ArgumentHelp("A JSON file with the prompt template.", valueName: "file"), completion: .document)
    var promptTemplate: String?

    @Option(help: "The licence's name or SPDX identifier.")
    var licence: String?

    @Option(help: ArgumentHelp("A file with the licence in full.", valueName: "file"), completion: .file())
    var licenceFile: String?

    @Flag(help: "Replace a file that is there.")
    var replace = false

    @Flag(help: "Print the outcome as one JSON document on one line.")
    var json = false

    func validate() throws {
        _ = try resolutions.map(parsed)
        if ladder != nil, resolutions != nil {
            throw ValidationError("--ladder and --resolutions cannot be combined: the ladder says which they are.")
        }
    }

    func run() throws {
        do {
            let model = try PreparedModel.open(path: source)
            var identity = model.identity
            if let name { identity.name = name }
            if let resolutions {
                identity.resolutions = try parsed(resolutions)
                identity.defaultResolution = identity.resolutions.last ?? 0
                // What was measured at other resolutions says nothing of these.
                if identity.accuracy?.filter({ $0.tiles == nil }).map(\.pixels) != identity.resolutions {
                    identity.accuracy = nil
                }
            }
            if let ladder {
                let accuracy = try Self.accuracy(in: ladder)
                identity.accuracy = accuracy
                identity.resolutions = accuracy.filter { $0.tiles == nil }.map(\.pixels)
                if !identity.resolutions.contains(identity.defaultResolution) {
                    identity.defaultResolution = identity.resolutions.last ?? 0
                }
            }
            if let defaultResolution { identity.defaultResolution = defaultResolution }
            if let promptTemplate { identity.promptTemplate = try Self.template(at: promptTemplate) }
            if let licence { identity.licence = licence }
            if let licenceFile {
                identity.licenceText = String(decoding: try Self.contents(of: licenceFile), as: UTF8.self)
            }
            try ModelPacking(precision: precision, isReplacing: replace, json: json).run(model, to: out, as: identity)
        } catch let error as ModelFileError {
            throw CommandFailure(error.code == .optionInvalid ? .usage : .setup, error.message)
        }
    }

    private static func template(at path: String) throws(CommandFailure) -> PromptTemplate {
        let json = try contents(of: path)
        do {
            return try PromptTemplate(json: json, path: path)
        } catch {
            throw CommandFailure(.setup, error.message)
        }
    }

    /// Ascending by pixels; the packing checks the values.
    private static func accuracy(in path: String) throws(CommandFailure) -> [ResolutionAccuracy] {
        let bytes = try contents(of: path)
        do {
            return try JSONDecoder().decode([ResolutionAccuracy].self, fromUntrusted: bytes).sorted {
                ($0.tiles ?? 1, $0.pixels) < ($1.tiles ?? 1, $1.pixels)
            }
        } catch {
            throw CommandFailure(
                .setup,
                "Cannot read the ladder '\(path)': expected [{\"pixels\": 256, \"general\": 48.4}, …], one for each "
                    + "resolution. \(error)")
        }
    }

    private static func contents(of path: String) throws(CommandFailure) -> [UInt8] {
        do {
            return Array(try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw CommandFailure(.setup, "Cannot read '\(path)': it is missing, or not readable by this user.")
        }
    }

    private func parsed(_ list: String) throws -> [Int] {
        try list.split(separator: ",").map { field in
            guard let pixels = Int(field) else {
                throw ValidationError("--resolutions holds '\(field)', expected whole numbers separated by commas.")
            }
            return pixels
        }
    }
}
