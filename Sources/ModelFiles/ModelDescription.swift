/// All that can be told of a model, packed or a folder, without running it; `fastvlm model inspect` prints it.
public struct ModelDescription: Sendable, Equatable, Codable {
    public enum Form: String, Sendable, Codable {
        case folder
        case packedFile = "packed_file"
    }

    /// Numbers of weights, whatever they are stored as; layer scales are counted, a shared output head once.
    public struct Parameters: Sendable, Equatable, Codable {
        public let vision: Int
        public let projector: Int
        public let text: Int
        public let total: Int
    }

    public struct Tensor: Sendable, Equatable, Codable {
        public let name: String
        public let element: TensorElement
        public let shape: [Int]
    }

    /// A step of the ladder.
    public struct Resolution: Sendable, Equatable, Codable {
        /// Pixels of a side.
        public let pixels: Int
        /// Decoder positions that a square picture of that side takes.
        public let visualTokens: Int
    }

    public let path: String
    public let form: Form
    public let name: String
    /// As `PreparedModel.digest`.
    public let digest: String
    /// `major.minor` of a packed file's format.
    public let formatVersion: String?
    public let precision: ModelPrecision
    /// Bytes on disk: of the packed file, or of the folder's safetensors.
    public let byteCount: Int
    public let configuration: ModelConfiguration
    public let parameters: Parameters
    public let resolutions: [Resolution]
    public let defaultResolution: Int
    /// What was measured at each resolution, if the package says so.
    public let accuracy: [ResolutionAccuracy]?
    public let promptTemplate: PromptTemplate
    public let licence: String?
    public let licenceText: String?
    /// Where `fastvlm model pull` fetched it from.
    public let origin: ModelOrigin?
    /// Ids that the tokenizer knows; the embedding may have more rows.
    public let tokenCount: Int
    /// Ids that end an answer, ascending.
    public let stopTokens: [Int]
    public let sharesEmbedding: Bool
    /// What a packed file was made from.
    public let sourceName: String?
    public let sourceDigest: String?
    /// In the order in which the engine meets them.
    public let tensors: [Tensor]
    /// Names that are stored, but not used.
    public let unusedTensors: [String]

    /// The description as JSON with snake-case keys, sorted.
    public func json() throws(ModelFileError) -> String { try encodeJSON(self) }
}

extension PackedModel {
    /// Describes the packed file or the checkpoint folder at `path`.
    ///
    /// - Throws: every error of `PreparedModel.open`.
    public static func describe(path: String) throws(ModelFileError) -> ModelDescription {
        if isDirectory(path) {
            let files = try CheckpointFiles(directory: path)
            return ModelDescription(
                try PreparedModel.open(path: path), packed: nil,
                byteCount: files.files.reduce(0) { $0 + $1.file.byteCount })
        }
        let packed = try PackedModelFile(path: path)
        return ModelDescription(
            try PreparedModel.openPacked(packed), packed: packed, byteCount: packed.file.file.byteCount)
    }
}

extension ModelDescription {
    fileprivate init(_ model: PreparedModel, packed: PackedModelFile?, byteCount: Int) {
        path = model.source.path
        form = packed == nil ? .folder : .packedFile
        name = model.name
        digest = model.digest
        formatVersion = packed?.preamble.version.description
        precision = model.precision
        self.byteCount = byteCount
        configuration = model.configuration
        parameters = Parameters(model)
        resolutions = model.resolutions.map {
            Resolution(
                pixels: $0, visualTokens: model.configuration.visualTokenCount(width: $0, height: $0))
        }
        defaultResolution = model.defaultResolution
        accuracy = model.identity.accuracy
        promptTemplate = model.promptTemplate
        licence = model.licence
        licenceText = model.identity.licenceText
        origin = model.identity.origin
        tokenCount = model.tokenizer.tokenCount
        stopTokens = model.tokenizer.stopTokens.sorted()
        sharesEmbedding = model.sharesEmbedding
        sourceName = packed?.metadata.sourceName
        sourceDigest = packed?.metadata.sourceDigest
        tensors = model.tensorNames.compactMap { name in
            model.optionalTensor(name).map { Tensor(name: name, element: $0.element, shape: $0.shape) }
        }
        unusedTensors = model.unusedTensors
    }
}

extension ModelDescription.Parameters {
    fileprivate init(_ model: PreparedModel) {
        var (vision, projector, text) = (0, 0, 0)
        for prepared in model.configuration.preparedTensors(hasHead: !model.sharesEmbedding) {
            let count = prepared.shape.reduce(1, *)
            switch prepared.part {
            case .projector: projector += count
            case .embedding, .layer, .norm, .head: text += count
            case .stem, .downsample, .position, .block, .finalConv, .squeezeReduce, .squeezeExpand: vision += count
            }
        }
        self.init(vision: vision, projector: projector, text: text, total: vision + projector + text)
    }
}
