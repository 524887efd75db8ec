/// A model as the engine consumes it: checked, folded, under one set of names, whatever it was opened from.
///
/// Big matrices are views into the mapped files; small tensors are f32 and, from a folder, computed in memory.
/// `ModelConfiguration.preparedTensors(hasHead:)` lists names, shapes and layouts.
public struct PreparedModel: Sendable {
    public let configuration: ModelConfiguration
    public let tokenizer: Tokenizer

    /// Name, ladder of resolutions, prompt template and licence; a folder states only its licence.
    public let identity: ModelIdentity

    /// Identifies the model: `sha256:…` of a packed file's whole content, `headers-sha256:…` for a folder, over its
    /// configuration, file sizes, tensor headers and the first 64 bytes of each tensor, because reading all weights at
    /// each start would be slow.
    public let digest: String

    /// How the big matrices are stored; for a folder, what most of their bytes are.
    public let precision: ModelPrecision

    /// Where the model was opened from.
    public let source: Source

    /// Names in the checkpoint that the model does not use.
    public let unusedTensors: [String]

    /// The tensors' names in the order in which the engine meets them.
    public let tensorNames: [String]

    private let tensors: [String: TensorView]

    /// What a model was opened from.
    public enum Source: Sendable, Equatable {
        case folder(String)
        case packedFile(String)

        public var path: String {
            switch self {
            case .folder(let path), .packedFile(let path): path
            }
        }
    }

    /// Opens a folder in a public layout, or a packed file.
    ///
    /// Weights stay on disk until they are used. A packed file's digest is read, not checked: see
    /// `PackedModel.verify`.
    /// - Throws: `ModelFileError` for anything that is missing, lies, or does not fit.
    public static func open(path: String) throws(ModelFileError) -> PreparedModel {
        isDirectory(path) ? try openFolder(path) : try openPacked(path)
    }

    /// The tensor called `name`.
    ///
    /// - Throws: `tensorMissing`.
    public func tensor(_ name: String) throws(ModelFileError) -> TensorView {
        guard let view = tensors[name] else {
            throw ModelFileError(
                .tensorMissing, "Cannot load tensor '\(name)' from '\(source.path)': the model does not have it.")
        }
        return view
    }

    /// The tensor called `name`, or nil: a layer scale that is folded in, or the head of a model that shares it.
    public func optionalTensor(_ name: String) -> TensorView? { tensors[name] }

    /// Shown to people; for a folder its own name.
    public var name: String { identity.name }

    public var promptTemplate: PromptTemplate { identity.promptTemplate }

    /// Side lengths in pixels that the model is meant for, ascending.
    public var resolutions: [Int] { identity.resolutions }
    public var defaultResolution: Int { identity.defaultResolution }

    /// The licence's name or SPDX identifier, if the model states one.
    public var licence: String? { identity.licence }

    /// True if one of the files that the model is mapped from is at `path`.
    func isMapped(at path: String) -> Bool {
        guard let place = MappedFile.identity(of: path) else { return false }
        return tensors.values.contains { $0.mappedFile.map { ($0.device, $0.inode) == place } ?? false }
    }

    /// Gives back the memory of what was read so far, for after loading: what was copied or computed from it is not read
    /// again, and the rest comes back from the system's cache with its first use.
    public func releaseReadPages() {
        var files: [ObjectIdentifier: MappedFile] = [:]
        for file in tensors.values.compactMap(\.mappedFile) { files[ObjectIdentifier(file)] = file }
        for file in files.values { file.advise(.done, in: 0..<file.byteCount) }
    }

    /// True if the output head is the embedding.
    public var sharesEmbedding: Bool { tensors[PreparedTensor.headName] == nil }

    init(
        configuration: ModelConfiguration, tokenizer: Tokenizer, identity: ModelIdentity, source: Source,
        precision: ModelPrecision, digest: String, tensors: [TensorView], unusedTensors: [String]
    ) throws(ModelFileError) {
        guard tokenizer.tokenCount <= configuration.text.vocabularySize else {
            throw ModelFileError(
                .vocabularyMismatch,
                "Cannot open the model '\(source.path)': the tokenizer has \(tokenizer.tokenCount) ids, expected at "
                    + "most \(configuration.text.vocabularySize) (vocab_size). Use the tokenizer that came with it.")
        }
        self.configuration = configuration
        self.tokenizer = tokenizer
        self.source = source
        self.precision = precision
        self.digest = digest
        self.unusedTensors = unusedTensors
        self.identity = identity
        tensorNames = tensors.map(\.name)
        self.tensors = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
    }
}

extension PreparedTensor {
    static let headName = ModelPart.head.preparedName + "." + Suffix.weight.rawValue
}
