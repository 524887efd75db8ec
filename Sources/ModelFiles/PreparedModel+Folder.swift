import Digests
import Glibc

extension PreparedModel {
    /// Checks that `json`, the `config.json` at `path`, is that of a checkpoint of this family, before anything else is there.
    ///
    /// - Throws: `configurationInvalid`, `configurationUnsupported`.
    public static func checkConfiguration(_ json: [UInt8], at path: String) throws(ModelFileError) {
        _ = try CheckpointConfiguration(json: json, path: path)
    }

    /// Opens a checkpoint folder in one of the two public layouts.
    static func openFolder(_ directory: String) throws(ModelFileError) -> PreparedModel {
        let path = directory + "/config.json"
        let json = try OpenedFile.contents(of: path, limit: CheckpointConfiguration.maximumByteCount)
        let stated = try CheckpointConfiguration(json: json, path: path)
        let files = try CheckpointFiles(directory: directory)
        let layout = try CheckpointLayout(family: stated.family, files: files)
        let configuration = ModelConfiguration(vision: try layout.encoder(in: files), text: stated.text)
        try configuration.validate(subject: "'\(directory)'")
        try stated.checkEncoder(configuration.vision, path: path)

        var reader = CheckpointReader(files: files, layout: layout, vision: configuration.vision)
        let hasHead = try storesOwnHead(files, layout, stated, configuration)
        var tensors: [TensorView] = []
        for prepared in configuration.preparedTensors(hasHead: hasHead) {
            tensors.append(try reader.tensor(prepared))
        }
        let used = reader.used.union(layout.storedHead.map { [$0] } ?? [])
        return try PreparedModel(
            configuration: configuration, tokenizer: Tokenizer(directory: directory),
            identity: ModelIdentity(name: lastComponent(of: directory), licenceText: try licenceText(in: directory)),
            source: .folder(directory),
            precision: prevailingPrecision(of: tensors), digest: folderDigest(json, files), tensors: tensors,
            unusedTensors: files.names.filter { !used.contains($0) })
    }

    /// True if the checkpoint has an output head that is not the embedding.
    ///
    /// `tie_word_embeddings` is wrong in some public files: a stored head is used whatever it says, and shared with
    /// the embedding only if their bytes are equal.
    private static func storesOwnHead(
        _ files: CheckpointFiles, _ layout: CheckpointLayout, _ stated: CheckpointConfiguration,
        _ configuration: ModelConfiguration
    ) throws(ModelFileError) -> Bool {
        guard let stored = layout.storedHead else {
            guard stated.isTied else {
                throw ModelFileError(
                    .tensorMissing,
                    "Cannot load tensor 'lm_head.weight' from '\(files.directory)': it is not there, and "
                        + "tie_word_embeddings is false. Fetch the checkpoint again.")
            }
            return false
        }
        let head = try files.tensor(stored)
        let embedding = try files.tensor(
            layout.storedName(of: .embedding, in: configuration.vision) + ".weight")
        guard head.element == embedding.element, head.shape == embedding.shape else { return true }
        // Unsafe: compared where they are mapped: both have the same element and shape, so the same count.
        return head.withUnsafeBytes { head in
            embedding.withUnsafeBytes { embedding in
                guard let first = head.baseAddress, let second = embedding.baseAddress else { return false }
                return memcmp(first, second, head.count) != 0
            }
        }
    }

    /// The licence that lies in the folder, which a packed file carries along; nil if there is none.
    private static func licenceText(in directory: String) throws(ModelFileError) -> String? {
        // The public checkpoints carry one licence for the code and another for the weights.
        for name in ["LICENSE_MODEL", "LICENSE", "LICENSE.txt", "LICENSE.md"] where fileExists(directory + "/" + name) {
            let text = try OpenedFile.contents(of: directory + "/" + name, limit: ModelIdentity.maximumLicenceByteCount)
            return String(decoding: text, as: UTF8.self)
        }
        return nil
    }

    /// The element that most bytes of the matrices have.
    private static func prevailingPrecision(of tensors: [TensorView]) -> ModelPrecision {
        var bytes: [ModelPrecision: Int] = [:]
        for tensor in tensors where tensor.shape.count == 2 && tensor.isMapped {
            if let precision = ModelPrecision(tensor.element) {
                bytes[precision, default: 0] += tensor.byteCount
            }
        }
        return bytes.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key ?? .f32
    }

    /// The identity of a folder: SHA-256 over config.json, then for each file its name, its size, its header and the
    /// first bytes of each tensor.
    ///
    /// A fine-tuned checkpoint differs from its origin in nearly every tensor, so that this tells them apart; it does
    /// not detect damage. Packed files have a digest over everything.
    private static func folderDigest(_ configuration: [UInt8], _ files: CheckpointFiles) -> String {
        var hasher = SHA256()
        hasher.update("config.json\0\(configuration.count)\0".utf8)
        hasher.update(configuration)
        for file in files.files {
            hasher.update("\(lastComponent(of: file.path))\0\(file.file.byteCount)\0".utf8)
            hasher.update(UnsafeRawBufferPointer(rebasing: file.file.bytes[..<file.header.dataOffset]))
            let data = UnsafeRawBufferPointer(rebasing: file.file.bytes[file.header.dataOffset...])
            for entry in file.header.entries {
                hasher.update(UnsafeRawBufferPointer(rebasing: data[entry.range.prefix(64)]))
            }
        }
        return "headers-sha256:" + SHA256.hexadecimal(hasher.finish())
    }
}

/// The last name in `path`, without trailing slashes; "model" if there is none.
func lastComponent(of path: String) -> String {
    var resolved = path
    if let real = realpath(path, nil) {
        resolved = String(cString: real)
        free(real)
    }
    return resolved.split(separator: "/").last.map(String.init) ?? "model"
}

/// True if `path` is a folder, or a link to one.
func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}
