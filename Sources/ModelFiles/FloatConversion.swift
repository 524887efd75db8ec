/// Exact conversions between the stored float formats and `Float`.
///
/// The loops carry no branch, so that the compiler vectorizes them; sources may lie at any address.
enum FloatConversion {
    // Unsafe: callers hold arrays and mapped tensors of `count` elements, during the call.
    /// Widens `count` elements of `element` from `source` into `target`; subnormals, infinities and NaNs are kept.
    ///
    /// - Precondition: `element.isFloat`; `source` holds `count` elements and `target` has room for them.
    static func widen(
        _ element: TensorElement, _ source: UnsafeRawPointer, count: Int, into target: UnsafeMutablePointer<Float>
    ) {
        switch element {
        case .f32:
            UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
        case .bf16:
            for index in 0..<count {
                let bits = source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)
                target[index] = Float(bitPattern: UInt32(bits) << 16)
            }
        case .f16:
            for index in 0..<count {
                target[index] = float(half: source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self))
            }
        case .i8, .u8, .i32, .i64:
            preconditionFailure("\(element) is not a float format")
        }
    }

    /// The value of an IEEE 754 binary16, exact.
    ///
    /// Rebias the exponent; a subnormal is 2^-14 x 0.mantissa, which one exact subtraction normalizes.
    @inline(__always)
    static func float(half bits: UInt16) -> Float {
        let magnitude = UInt32(bits & 0x7FFF) << 13
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = magnitude & 0x0F80_0000
        let normal = magnitude &+ (112 << 23)
        let special = magnitude &+ (224 << 23)
        let subnormal = (Float(bitPattern: magnitude &+ (113 << 23)) - Float(bitPattern: 113 << 23)).bitPattern
        let value = exponent == 0 ? subnormal : (exponent == 0x0F80_0000 ? special : normal)
        return Float(bitPattern: value | sign)
    }

    /// The bits of the bfloat16 nearest to `value`, ties to even; a NaN stays a NaN, a value that is too large
    /// becomes an infinity.
    @inline(__always)
    static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        let rounded = (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16
        let quieted = (bits >> 16) | 0x40
        return UInt16(truncatingIfNeeded: (bits & 0x7FFF_FFFF) > 0x7F80_0000 ? quieted : rounded)
    }

    /// The largest finite bfloat16; a float above it may round to an infinity.
    static let greatestBFloat16 = Float(bitPattern: 0x7F7F_0000)

    /// Rounds `count` floats of `source` to bfloat16 bits in `target`.
    static func narrowToBFloat16(
        _ source: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<UInt16>
    ) {
        for index in 0..<count {
            target[index] = bfloat16(source[index])
        }
    }
}
