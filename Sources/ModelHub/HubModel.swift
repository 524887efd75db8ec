/// A checkpoint as a hub describes it, checked: nothing of it has been fetched yet.
public struct HubModel: Sendable, Equatable {
    public let repository: HubRepository
    /// What the revision stands for now: 40 hexadecimal digits.
    public let commit: String
    /// The licence's name, as the hub has it.
    public let licence: String?
    public let licenceLink: String?
    /// True if the hub gives it only to those who have accepted its terms there.
    public let isGated: Bool
    /// What a checkpoint needs, by name.
    public let files: [HubFile]

    public var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }

    /// The file with the licence of the weights, or else that of everything.
    public var licenceFile: HubFile? {
        Self.licenceNames.lazy.compactMap { name in files.first { $0.name == name } }.first
    }

    // The names that a checkpoint's folder is read by.
    static let licenceNames = ["LICENSE_MODEL", "LICENSE", "LICENSE.txt", "LICENSE.md"]
    static let tokenizerNames = [
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
    ]
    static let configurationName = "config.json"
    static let weightsName = "model.safetensors"
    static let indexName = "model.safetensors.index.json"

    /// Largest file that is no weights: 64 MiB.
    static let maximumFileByteCount = 64 << 20
    /// Largest licence that is shown and packed: 1 MiB.
    static let maximumLicenceByteCount = 1 << 20
    /// Largest file of weights: 64 GiB.
    static let maximumWeightsByteCount = 64 << 30
    static let maximumShardCount = 1_000
    static let maximumNameCount = 10_000
}

/// One file of a repository.
public struct HubFile: Sendable, Equatable {
    public let name: String
    public let byteCount: Int
    public let digest: HubDigest

    public var isWeights: Bool { name.hasSuffix(".safetensors") }
}

/// What a hub says of a file's content.
public enum HubDigest: Sendable, Equatable {
    /// 64 hexadecimal digits.
    case sha256(String)
    /// 40 hexadecimal digits: what Git calls the file (SHA-1).
    case gitBlob(String)
    /// Only its size is known.
    case none

    /// What a file is held against, in a word.
    public var name: String {
        switch self {
        case .sha256: "sha256"
        case .gitBlob: "git_blob"
        case .none: "size"
        }
    }

    var value: String {
        switch self {
        case .sha256(let digits), .gitBlob(let digits): digits
        case .none: ""
        }
    }
}
