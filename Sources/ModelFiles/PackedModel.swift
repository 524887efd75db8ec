/// A model in one file `*.fastvlm`: configuration, tokenizer, identity and weights, mapped into memory as they lie.
///
/// ## The format, version 1.0
///
/// A strict safetensors file, which any safetensors reader opens. Its header starts, byte for byte, with
///
///     {"__metadata__":{"format":"fastvlm.model","version":"1.0","digest":"sha256:<64 digits>",
///
/// (on one line), and is padded with spaces so that the data start at a multiple of 64 bytes. Every tensor starts at
/// such a multiple too; where one ends elsewhere, a U8 tensor `__pad.N` of zeros fills the gap, because safetensors
/// allows no bytes that belong to no tensor.
///
/// The other metadata, all text:
///
/// | key | value |
/// |---|---|
/// | `precision` | how the big matrices are stored: a `ModelPrecision` |
/// | `configuration` | `ModelConfiguration` as JSON |
/// | `identity` | `ModelIdentity` as JSON: name, ladder of resolutions, prompt template, licence and its text, origin |
/// | `source_digest`, `source_name` | digest and last path component of what was packed |
///
/// The tensors are those of `ModelConfiguration.preparedTensors(hasHead:)`, BatchNorm folded in, and `tokenizer`
/// (U8, `Tokenizer.compactBytes()`). Vectors and convolutions are F32. `text.head.weight` is there only if it differs
/// from the embedding. A matrix `NAME.weight` may be stored as
///
/// | precision | `NAME.weight` | `NAME.scale` |
/// |---|---|---|
/// | `f32` | F32 | folded into the rows, which costs one rounding; absent |
/// | `bf16`, `f16` | BF16, F16 | the layer scale, F32 [outputs]; folding would round twice |
/// | `int8` | I8, in panels of 16 outputs (`WeightPacking.int8Shape`) | F32 [outputs], the layer scale multiplied in |
/// | `int4` | U8, two values a byte, in panels (`WeightPacking.int4Shape`) | absent |
///
/// `int4` also has `NAME.group_scale`, F16 (`WeightPacking.int4ScaleShape`): one for each output and 32 inputs. It is
/// for the decoder's matrices only, and not for all of them: the others of an `int4` model are stored as in `int8`. A
/// reader takes each matrix as its element says. In both, the pointwise steps of the stem and between stages and the
/// squeeze-excite stay BF16. `quant_kernels.h` has the panels' layout to the byte.
///
/// **Digest**: SHA-256 of the whole file with the 64 digits of the digest replaced by `0`.
///
/// **Versions**: a reader refuses a greater major version and any precision that it does not know by name; it ignores
/// metadata and tensors that it does not know, so a minor version may add some.
public enum PackedModel {
    /// How the files' names end, without the dot.
    public static let fileExtension = "fastvlm"

    static let formatName = "fastvlm.model"
    static let version = Version(major: 1, minor: 0)

    /// Bytes that every tensor's place is a multiple of: a cache line, and the widest vector load.
    static let alignment = 64

    static let tokenizerName = "tokenizer"
    static let paddingPrefix = "__pad."

    /// The precisions that this program reads.
    static let readablePrecisions: [ModelPrecision] = [.f32, .f16, .bf16, .int8, .int4]

    /// The precisions that this program writes.
    static let writablePrecisions: [ModelPrecision] = [.f32, .bf16, .int8, .int4]

    /// The format's version, `major.minor`.
    struct Version: Sendable, Equatable, CustomStringConvertible {
        var major: Int
        var minor: Int

        var description: String { "\(major).\(minor)" }
    }

    /// How far a long run over a model's bytes has come.
    public struct Progress: Sendable, Equatable {
        public let completedBytes: Int
        public let totalBytes: Int
    }

    /// What a packed file is, in brief.
    public struct Summary: Sendable, Equatable, Codable {
        public let path: String
        /// `sha256:` and 64 hexadecimal digits.
        public let digest: String
        public let precision: ModelPrecision
        public let byteCount: Int
    }
}
