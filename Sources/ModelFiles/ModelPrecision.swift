/// How a model's big matrices are stored.
public enum ModelPrecision: String, Sendable, Codable, CaseIterable {
    case f32, f16, bf16, int8, int4

    /// The precision of matrices with float elements.
    init?(_ element: TensorElement) {
        switch element {
        case .f32: self = .f32
        case .f16: self = .f16
        case .bf16: self = .bf16
        case .i8, .u8, .i32, .i64: return nil
        }
    }
}
