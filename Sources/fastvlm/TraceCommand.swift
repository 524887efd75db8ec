public import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import Glibc
internal import Images
internal import Kernels
internal import ModelFiles

struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Write every stage of one run as safetensors, to be compared with a reference.",
        discussion: """
            The picture is decoded at full scale. With --generated-ids the decoder is forced along those ids; otherwise \
            it takes the likeliest each time.
            """)

    @OptionGroup var model: ModelArguments

    @Option(help: ArgumentHelp("A JPEG or PNG file.", valueName: "file"), completion: .picture)
    var image: String

    @Option(help: "Side of the square that the model sees, in pixels.")
    var resolution: Int

    @Flag(help: "See the picture as an overview and four tiles, each of --resolution pixels.")
    var tiling = false

    @Option(help: "The question.")
    var prompt = PictureTasks.defaultPrompt

    @Option(help: "Tokens to generate.")
    var tokens = 16

    @Option(help: ArgumentHelp("Ids to follow, separated by commas.", valueName: "ids"))
    var generatedIds: String?

    @Option(
        help:
            "Fail unless the model is stored in this precision: \(ModelPrecision.allCases.map(\.rawValue).joined(separator: ", "))."
    )
    var precision: ModelPrecision?

    @Option(help: ArgumentHelp("Where to write.", valueName: "file"), completion: .file(extensions: ["safetensors"]))
    var out: String

    func validate() throws {
        guard PictureTasks.maxTokensRange.contains(tokens) else {
            throw ValidationError("--tokens is \(tokens), expected \(PictureTasks.maxTokensRange).")
        }
        guard PictureTasks.resolutionRange.contains(resolution) else {
            throw ValidationError("--resolution is \(resolution), expected \(PictureTasks.resolutionRange).")
        }
    }

    func run() throws {
        try checkDestination()
        let model = try model.load()
        let known = model.prepared.precision
        guard precision == nil || precision == known else {
            throw CommandFailure(
                .setup,
                "Cannot trace in \(precision?.rawValue ?? ""): the model is stored as \(known.rawValue). Pack it with --precision."
            )
        }
        let forced = try parsedIds(vocabulary: model.prepared.configuration.text.vocabularySize)
        do {
            try write(model, forced: forced)
        } catch let error as EngineError {
            throw CommandFailure(.inputsRefused, error.message)
        } catch let error as ImageError {
            throw CommandFailure(.inputsRefused, error.message)
        } catch let error as FastVLMError {
            throw CommandFailure(.setup, error.message)
        } catch let error as ModelFileError {
            throw CommandFailure(.setup, error.message)
        } catch let error as KernelError {
            throw CommandFailure(.setup, error.message)
        }
    }

    /// The file is put in place by a rename, which would also replace a device or a pipe.
    private func checkDestination() throws(CommandFailure) {
        var status = stat()
        guard stat(out, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { return }
        throw CommandFailure(.setup, "Cannot write '\(out)': it is not a regular file. Choose another name.")
    }

    private func write(_ model: FastVLMModel, forced: [Int]?) throws {
        let picture = try ImageDecoder().decode(try PictureFile(path: image).bytes)
        let views =
            try [picture.modelPixels(resolution: resolution)]
            + (tiling ? picture.modelTiles(resolution: resolution, across: PictureTasks.tilesAcross) : [])
        let pool = try ThreadPool(threads: self.model.threads == 0 ? ThreadPool.availableCores : self.model.threads)
        let session = try FastVLMSession(model, pool: pool)
        var file = SafetensorsWriter(metadata: [
            "resolution": "\(resolution)", "prompt": prompt, "generator": Product.generator,
        ])
        for (number, pixels) in views.enumerated() {
            file.add(
                number == 0 ? "pixel_values" : "tile\(number - 1).pixel_values", shape: [3, resolution, resolution],
                Self.planes(pixels))
        }
        let encoded = try session.encode(
            views: views, height: resolution, width: resolution,
            observe: { name, map in file.add(name, shape: [map.channels, map.height, map.width], map.planes()) })
        file.add("image_embeddings", shape: [encoded.tokens, encoded.rows.columns], encoded.rows.values())
        let ids = session.promptTokens(prompt, imageToken: -200)
        file.add("input_ids", shape: [ids.count], ids)
        var logits: [[Float]] = []
        let generation = try session.answer(
            prompt, about: encoded, options: GenerationOptions(maxTokens: tokens), forced: forced,
            observe: { logits.append($0) })
        let vocabulary = model.prepared.configuration.text.vocabularySize
        file.add("logits", shape: [vocabulary], logits.first ?? [])
        file.add("logits_all", shape: [logits.count, vocabulary], Array(logits.joined()))
        file.add("generated_ids", shape: [generation.tokens.count], generation.tokens)
        try file.write(to: out)
    }

    /// `[height, width, 3]` as `[3, height, width]`.
    private static func planes(_ pixels: [Float]) -> [Float] {
        (0..<3).flatMap { colour in stride(from: colour, to: pixels.count, by: 3).map { pixels[$0] } }
    }

    private func parsedIds(vocabulary: Int) throws(CommandFailure) -> [Int]? {
        guard let generatedIds else { return nil }
        var ids: [Int] = []
        for field in generatedIds.split(separator: ",") {
            guard let id = Int(field), id >= 0, id < vocabulary else {
                throw CommandFailure(
                    .usage,
                    "--generated-ids holds '\(field)', expected ids from 0 to \(vocabulary - 1), separated by commas.")
            }
            ids.append(id)
        }
        guard PictureTasks.maxTokensRange.contains(ids.count) else {
            throw CommandFailure(
                .usage, "--generated-ids holds \(ids.count) ids, expected \(PictureTasks.maxTokensRange).")
        }
        return ids
    }
}

extension ModelPrecision: ExpressibleByArgument {}
