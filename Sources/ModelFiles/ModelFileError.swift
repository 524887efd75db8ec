/// What went wrong with a model's files: what was being done, to what, expected and got, what to do.
public struct ModelFileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of a failure; the raw values are stable.
    public enum Code: String, Sendable, Codable, CaseIterable {
        // Files
        case fileNotFound = "file_not_found"
        case fileUnreadable = "file_unreadable"
        case notARegularFile = "not_a_regular_file"
        case fileTooLarge = "file_too_large"
        case fileChanged = "file_changed"
        case cancelled

        // Safetensors
        case truncated
        case headerTooLong = "header_too_long"
        case headerInvalid = "header_invalid"
        case tooManyTensors = "too_many_tensors"
        case duplicateName = "duplicate_name"
        case unknownElement = "unknown_element"
        case shapeInvalid = "shape_invalid"
        case sizeMismatch = "size_mismatch"
        case offsetsInvalid = "offsets_invalid"
        case tensorsOverlap = "tensors_overlap"
        case hole

        // Shards
        case shardIndexInvalid = "shard_index_invalid"
        case shardNameInvalid = "shard_name_invalid"
        case shardMissing = "shard_missing"
        case tensorInWrongShard = "tensor_in_wrong_shard"

        // Configuration and checkpoints
        case configurationInvalid = "configuration_invalid"
        case configurationUnsupported = "configuration_unsupported"
        case layoutUnknown = "layout_unknown"
        case tensorMissing = "tensor_missing"
        case tensorShapeMismatch = "tensor_shape_mismatch"
        case tensorElementMismatch = "tensor_element_mismatch"
        case tensorValueInvalid = "tensor_value_invalid"
        case vocabularyMismatch = "vocabulary_mismatch"

        // Tokenizers
        case tokenizerInvalid = "tokenizer_invalid"
        case tokenizerUnsupported = "tokenizer_unsupported"

        // Packed files
        case notAPackedModel = "not_a_packed_model"
        case packedMetadataInvalid = "packed_metadata_invalid"
        case newerVersion = "newer_version"
        case digestMismatch = "digest_mismatch"
        case packUnsupported = "pack_unsupported"
        case optionInvalid = "option_invalid"

        // Writing
        case destinationExists = "destination_exists"
        case destinationIsSource = "destination_is_source"
        case destinationInvalid = "destination_invalid"
        case noSpace = "no_space"
        case writeFailed = "write_failed"
    }

    public let code: Code

    /// One sentence or two for the reader; names files and tensors, expected and got.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
