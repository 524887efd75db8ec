/// The safetensors of a checkpoint folder as one set of tensors: one file, or shards with an index.
public struct CheckpointFiles: Sendable {
    /// Most shards that an index may name.
    static let maximumShardCount = 1_000

    public let directory: String

    /// The files in the order of their names.
    public let files: [SafetensorsFile]

    /// Every tensor's name, file after file, in the order of their data.
    public let names: [String]

    private let owners: [String: Int]

    /// Opens `model.safetensors`, or else the shards of `model.safetensors.index.json`, in `directory`.
    ///
    /// - Throws: the errors of `SafetensorsFile`, and those of a shard index.
    public init(directory: String) throws(ModelFileError) {
        let single = directory + "/model.safetensors"
        let index = directory + "/model.safetensors.index.json"
        let files: [SafetensorsFile]
        var expected: [String: String]?
        if fileExists(single) {
            files = [try SafetensorsFile(path: single)]
        } else if fileExists(index) {
            let map = try Self.readIndex(index)
            expected = map
            files = try Self.openShards(Set(map.values).sorted(), directory: directory, index: index)
        } else {
            throw ModelFileError(
                .fileNotFound,
                "Cannot open the checkpoint '\(directory)': neither 'model.safetensors' nor "
                    + "'model.safetensors.index.json' is there.")
        }
        self.directory = directory
        self.files = files
        var owners: [String: Int] = [:]
        var names: [String] = []
        for (place, file) in files.enumerated() {
            for name in file.names {
                if let other = owners.updateValue(place, forKey: name) {
                    throw ModelFileError(
                        .duplicateName,
                        "Cannot open the checkpoint '\(directory)': tensor '\(name)' is in '\(files[other].path)' and "
                            + "in '\(file.path)'.")
                }
                names.append(name)
            }
        }
        self.owners = owners
        self.names = names
        if let expected {
            try checkIndex(expected, path: index)
        }
    }

    public func contains(_ name: String) -> Bool { owners[name] != nil }

    /// The tensor called `name`.
    ///
    /// - Throws: `tensorMissing`.
    public func tensor(_ name: String) throws(ModelFileError) -> TensorView {
        guard let view = optionalTensor(name) else {
            throw ModelFileError(
                .tensorMissing,
                "Cannot load tensor '\(name)' from '\(directory)': it is not there. Fetch the checkpoint again.")
        }
        return view
    }

    /// The tensor called `name`, or nil.
    public func optionalTensor(_ name: String) -> TensorView? {
        owners[name].flatMap { files[$0].optionalTensor(name) }
    }

    /// The path of the file that holds the tensor called `name`; the folder if none does.
    func path(of name: String) -> String {
        owners[name].map { files[$0].path } ?? directory
    }

    // MARK: - Shards

    /// The map from tensor to shard of an index file, with checked shard names.
    private static func readIndex(_ path: String) throws(ModelFileError) -> [String: String] {
        let json = try OpenedFile.contents(of: path, limit: SafetensorsHeader.maximumByteCount)
        var scanner = JSONScanner(json, subject: "'\(path)'", code: .shardIndexInvalid)
        var map: [String: String]?
        try scanner.object { scanner, key throws(ModelFileError) in
            guard key == "weight_map" else { return try scanner.skipValue() }
            guard map == nil else { throw scanner.failure("'weight_map' is there twice") }
            var entries: [String: String] = [:]
            try scanner.object { scanner, tensor throws(ModelFileError) in
                let shard = try scanner.string()
                guard isPlainFileName(shard), shard.hasSuffix(".safetensors") else {
                    throw ModelFileError(
                        .shardNameInvalid,
                        "Cannot read '\(path)': shard '\(shard)' of tensor '\(tensor)', expected the name of a "
                            + ".safetensors file in the same folder.")
                }
                guard entries.updateValue(shard, forKey: tensor) == nil else {
                    throw ModelFileError(.duplicateName, "Cannot read '\(path)': '\(tensor)' is there twice.")
                }
            }
            map = entries
        }
        try scanner.end()
        guard let map, !map.isEmpty else { throw scanner.failure("expected a 'weight_map' with tensors") }
        return map
    }

    private static func isPlainFileName(_ name: String) -> Bool {
        !name.isEmpty && !name.hasPrefix(".") && name.utf8.count <= 255
            && name.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\") && $0 >= 0x20 }
    }

    private static func openShards(
        _ names: [String], directory: String, index: String
    ) throws(ModelFileError) -> [SafetensorsFile] {
        guard names.count <= maximumShardCount else {
            throw ModelFileError(
                .shardIndexInvalid,
                "Cannot read '\(index)': \(names.count) shards, expected at most \(maximumShardCount).")
        }
        var files: [SafetensorsFile] = []
        for name in names {
            let path = directory + "/" + name
            guard fileExists(path) else {
                throw ModelFileError(
                    .shardMissing,
                    "Cannot open the checkpoint '\(directory)': shard '\(name)', named by "
                        + "'model.safetensors.index.json', is not there. Fetch it again.")
            }
            files.append(try SafetensorsFile(path: path))
        }
        return files
    }

    /// Checks that each tensor lies in the shard that the index gives it.
    private func checkIndex(_ index: [String: String], path: String) throws(ModelFileError) {
        for (tensor, shard) in index.sorted(by: { $0.key < $1.key }) {
            let expected = directory + "/" + shard
            guard let owner = owners[tensor] else {
                throw ModelFileError(
                    .tensorMissing,
                    "Cannot load tensor '\(tensor)' from '\(expected)': '\(path)' puts it there, but it is missing. "
                        + "Fetch the checkpoint again.")
            }
            guard files[owner].path == expected else {
                throw ModelFileError(
                    .tensorInWrongShard,
                    "Cannot load tensor '\(tensor)' from '\(expected)': it is in '\(files[owner].path)' instead, "
                        + "against '\(path)'. Fetch the checkpoint again.")
            }
        }
    }
}
