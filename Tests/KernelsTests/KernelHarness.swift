import CKernels
import Testing

/// The instruction sets that this processor runs, beside the scalar reference.
let vectorSets: [fv_isa] = (1..<UInt32(FV_ISA_COUNT)).map { fv_isa(rawValue: $0) }.filter(fv_isa_supported)

func name(_ isa: fv_isa) -> String { String(cString: fv_isa_name(isa)) }

/// Numbers that repeat for a seed.
struct Numbers {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func bits() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) ^ state
    }

    /// About evenly in -1...1.
    mutating func float() -> Float { Float(Int64(bitPattern: bits()) >> 40) / Float(1 << 23) }

    mutating func floats(_ count: Int, scale: Float = 1) -> [Float] { (0..<count).map { _ in float() * scale } }
}

/// Output memory with canaries on both sides, at an odd float so that nothing is aligned by luck.
struct Guarded {
    static let canary: Float = 12345.678
    static let margin = 19
    var memory: [Float]
    let count: Int

    init(_ count: Int) {
        self.count = count
        memory = [Float](repeating: Self.canary, count: count + 2 * Self.margin)
    }

    mutating func write(_ body: (UnsafeMutablePointer<Float>) -> Void) {
        memory.withUnsafeMutableBufferPointer { memory in
            // The margins make it never empty.
            guard let start = memory.baseAddress else { return }
            body(start + Self.margin)
        }
    }

    var values: [Float] { Array(memory[Self.margin..<Self.margin + count]) }

    var isIntact: Bool {
        memory.prefix(Self.margin).allSatisfy { $0 == Self.canary }
            && memory.suffix(Self.margin).allSatisfy { $0 == Self.canary }
    }
}

/// The largest difference between `a` and `b`, relative to the larger of 1 and the reference's largest value.
func difference(_ a: [Float], _ reference: [Float]) -> Float {
    guard a.count == reference.count else { return .infinity }
    let largest = max(1, reference.map(abs).max() ?? 1)
    let apart = zip(a, reference).map { abs($0 - $1) }
    guard apart.allSatisfy({ $0.isFinite }) else { return .infinity }
    return (apart.max() ?? 0) / largest
}
