/// The type of a tensor's elements, spelled as in safetensors.
public enum TensorElement: String, Sendable, Codable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case i8 = "I8"
    case u8 = "U8"
    case i32 = "I32"
    case i64 = "I64"

    /// Bytes of one element.
    public var byteCount: Int {
        switch self {
        case .i8, .u8: 1
        case .f16, .bf16: 2
        case .f32, .i32: 4
        case .i64: 8
        }
    }

    /// True for the elements that `TensorView.floats()` can read.
    public var isFloat: Bool {
        switch self {
        case .f32, .f16, .bf16: true
        case .i8, .u8, .i32, .i64: false
        }
    }
}

/// The number of elements of a tensor of `shape`, or nil if it does not fit in an `Int` or a dimension is negative.
func elementCount(of shape: [Int]) -> Int? {
    var count = 1
    for dimension in shape {
        guard dimension >= 0 else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
        guard !overflow else { return nil }
        count = product
    }
    return count
}
