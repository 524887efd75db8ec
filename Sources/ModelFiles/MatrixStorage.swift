internal import Kernels

/// How a packed file stores one matrix `[outputs, inputs]`.
enum MatrixStorage: Sendable, Equatable {
    /// As it is, row-major.
    case float(TensorElement)
    /// 8-bit panels with a scale an output.
    case int8
    /// 4-bit panels with a scale a group of inputs.
    case int4

    /// The shape of the stored tensor.
    func shape(outputs: Int, inputs: Int) -> [Int] {
        switch self {
        case .float: [outputs, inputs]
        case .int8: WeightPacking.int8Shape(outputs: outputs, inputs: inputs)
        case .int4: WeightPacking.int4Shape(outputs: outputs, inputs: inputs)
        }
    }

    /// How a tensor with `element` is stored, or nil if no matrix is stored so.
    init?(_ element: TensorElement) {
        switch element {
        case .f32, .f16, .bf16: self = .float(element)
        case .i8: self = .int8
        case .u8: self = .int4
        case .i32, .i64: return nil
        }
    }
}

extension ModelPart {
    /// How the part's matrix is stored in a model of `precision`.
    ///
    /// The pointwise steps of the stem and between stages and the squeeze-excite are a vanishing part of the bytes and of
    /// the work, and every later step depends on them: they stay floats. (Measured on random weights with outlier
    /// channels: the steps between stages in 8 bits alone took the embeddings' cosine from 1 to 0.964.) 4 bits are
    /// for the decoder alone, which is bound by memory; the encoder is bound by arithmetic, which 4-bit weights do not spare.
    ///
    /// Of the decoder, 8 bits are kept where they are worth most for their bytes: in the values of attention, and in its
    /// outputs in the first layers. (Measured on random weights of the 0.5B, the logits' mean cosine to full precision:
    /// 0.940 with 4 bits throughout, 0.960 with 8 in the values, 0.967 in those outputs too, for 1 % of the bytes; 8 in any
    /// of the other matrices of all layers gains less than 0.006, the embedding 0.005.)
    func storage(in precision: ModelPrecision) -> MatrixStorage {
        switch (precision, self) {
        case (.f32, _): .float(.f32)
        case (.f16, _): .float(.f16)
        case (.bf16, _), (_, .stem), (_, .downsample), (_, .squeezeReduce), (_, .squeezeExpand): .float(.bf16)
        case (.int8, _): .int8
        case (.int4, .layer(_, .value)): .int8
        case (.int4, .layer(..<4, .attentionOutput)): .int8
        case (.int4, .embedding), (.int4, .layer), (.int4, .head): .int4
        case (.int4, _): .int8
        }
    }
}
