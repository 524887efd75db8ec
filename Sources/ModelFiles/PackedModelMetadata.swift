/// What a packed file's `__metadata__` says beside its preamble.
struct PackedModelMetadata: Sendable {
    let precision: ModelPrecision
    let configuration: ModelConfiguration
    let identity: ModelIdentity
    let sourceDigest: String
    let sourceName: String

    private enum Key {
        static let precision = "precision"
        static let configuration = "configuration"
        static let identity = "identity"
        static let sourceDigest = "source_digest"
        static let sourceName = "source_name"
    }

    /// Takes `model`'s metadata, with the precision and the identity that it shall have.
    init(_ model: PreparedModel, precision: ModelPrecision, identity: ModelIdentity) {
        self.precision = precision
        self.identity = identity
        configuration = model.configuration
        sourceDigest = model.digest
        sourceName = lastComponent(of: model.source.path)
    }

    /// Reads and checks the metadata of the file at `path`.
    ///
    /// - Throws: `packedMetadataInvalid`, `newerVersion` for an unknown precision, `configurationInvalid`.
    init(_ metadata: [String: String], path: String) throws(ModelFileError) {
        func value(_ key: String) throws(ModelFileError) -> String {
            guard let text = metadata[key] else {
                throw ModelFileError(
                    .packedMetadataInvalid,
                    "Cannot open '\(path)': its metadata has no '\(key)'. Pack the model again, or fetch it again.")
            }
            return text
        }
        func decoded<Value: Decodable>(_ key: String) throws(ModelFileError) -> Value {
            try decodeJSON(
                Array(value(key).utf8), subject: "the \(key) of '\(path)'", code: .packedMetadataInvalid)
        }
        let stated = try value(Key.precision)
        let known = PackedModel.readablePrecisions
        guard let precision = ModelPrecision(rawValue: stated), known.contains(precision) else {
            throw ModelFileError(
                .newerVersion,
                "Cannot open '\(path)': its precision is '\(stated)', this program reads "
                    + "\(known.map(\.rawValue).joined(separator: ", ")). Update fastvlm, or pack the model again.")
        }
        self.precision = precision
        configuration = try decoded(Key.configuration)
        identity = try decoded(Key.identity)
        sourceDigest = try value(Key.sourceDigest)
        sourceName = try value(Key.sourceName)
        try configuration.validate(subject: "'\(path)'")
        try identity.validate(subject: "the identity of '\(path)'", code: .packedMetadataInvalid)
    }

    /// The members of `__metadata__`, as JSON text that follows the preamble.
    func text() throws(ModelFileError) -> String {
        var text = ""
        for (key, value) in [
            (Key.precision, precision.rawValue), (Key.configuration, try encodeJSON(configuration)),
            (Key.identity, try encodeJSON(identity)), (Key.sourceDigest, sourceDigest), (Key.sourceName, sourceName),
        ] {
            text += ",\"\(key)\":" + (try encodeJSON(value))
        }
        return text
    }
}
