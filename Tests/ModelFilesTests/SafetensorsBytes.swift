/// Safetensors files for tests, true or lying.
enum SafetensorsBytes {
    struct Tensor {
        var name: String
        var element: String
        var shape: [Int]
        var bytes: [UInt8]
    }

    /// A true file of `tensors`, one after the other; the data start at a multiple of eight, or at an odd place.
    static func file(
        _ tensors: [Tensor], metadata: String? = "{\"format\":\"pt\"}", isAligned: Bool = true
    ) -> [UInt8] {
        var entries = metadata.map { ["\"__metadata__\":\($0)"] } ?? []
        var end = 0
        for tensor in tensors {
            entries.append(
                "\"\(tensor.name)\":{\"dtype\":\"\(tensor.element)\",\"shape\":\(tensor.shape),"
                    + "\"data_offsets\":[\(end),\(end + tensor.bytes.count)]}")
            end += tensor.bytes.count
        }
        var header = "{" + entries.joined(separator: ",") + "}"
        while header.utf8.count % 8 != (isAligned ? 0 : 3) { header += " " }
        return file(header: header, data: tensors.flatMap(\.bytes))
    }

    /// A file with any text as its header; `length` claims another length than the text's.
    static func file(header: String, length: UInt64? = nil, data: [UInt8] = []) -> [UInt8] {
        let length = length ?? UInt64(header.utf8.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8) + data
    }
}

/// Float formats as bytes.
enum FloatBytes {
    static func f32(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
    }

    /// Exact for values that fit.
    static func bf16(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in (2..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
    }

    /// Exact for zero and for normal values that fit.
    static func f16(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in
            let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
            var bits = sign
            if value != 0 {
                let exponent = UInt16(Int(value.exponent) + 15)
                bits |= exponent << 10 | UInt16((value.bitPattern >> 13) & 0x3FF)
            }
            return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
        }
    }
}

/// Numbers that look random and are the same in every run.
struct SeededNumbers {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }

    /// 0 ..< 1.
    mutating func unit() -> Float { Float(next() >> 40) / Float(1 << 24) }
}
