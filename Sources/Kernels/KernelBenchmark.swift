internal import CKernels

/// What this machine can do at most with one instruction set on some threads: the measure of its kernels.
public struct KernelBenchmark {
    /// Multiplications and additions a second of the 8-bit product's instructions on registers, in 10^9; nil for
    /// ``InstructionSet/scalar``, whose code the compiler chooses.
    public let int8Peak: Double?
    /// The same of float32.
    public let floatPeak: Double?

    private let pool: ThreadPool
    private let clock = ContinuousClock()

    /// Measures the peaks, which takes about 0.1 s.
    ///
    /// - Parameter instructionSet: One that this processor runs. The default is the one in use.
    public init(pool: ThreadPool, instructionSet: InstructionSet = .best) {
        self.pool = pool
        int8Peak = Self.peak(pool, clock) { fv_peak_i8(instructionSet.isa, $0) }
        floatPeak = Self.peak(pool, clock) { fv_peak_f32(instructionSet.isa, $0) }
    }

    /// 10^9 operations a second on all threads at once: the best of some short runs.
    private static func peak(_ pool: ThreadPool, _ clock: ContinuousClock, _ body: (Int64) -> UInt64) -> Double? {
        let rounds: Int64 = 500_000
        let operations = body(1) * UInt64(rounds) * UInt64(pool.threads)
        guard operations > 0 else { return nil }
        let best = (0..<7).map { _ in
            clock.measure { pool.loop(pool.threads) { _, _ in _ = body(rounds) } }
        }.min()
        return best.flatMap { $0 > .zero ? Double(operations) / ($0 / .nanoseconds(1)) : nil }
    }

    /// Bytes that a product with `weights` reads of them.
    public static func byteCount(of weights: [LinearWeights]) -> Int {
        weights.reduce(0) { $0 + $1.pieces.reduce(0) { $0 + $1.count } }
    }

    /// Seconds that reading all of `weights` once takes on all threads and nothing else: no step of generation can
    /// take less. The least of `runs`, after one that brings the pages in.
    public func readingTime(of weights: [LinearWeights], runs: Int = 5) -> Double {
        // Pieces of a megabyte keep all threads busy to the end.
        let piece = 1 << 20
        var pieces: [UnsafeRawBufferPointer] = []
        for whole in weights.flatMap(\.pieces) {
            for start in stride(from: 0, to: whole.count, by: piece) {
                pieces.append(UnsafeRawBufferPointer(rebasing: whole[start..<min(start + piece, whole.count)]))
            }
        }
        let times = (0...max(1, runs)).map { _ in
            clock.measure {
                pool.loop(pieces.count) { index, _ in _ = fv_read_memory(pieces[index].baseAddress, pieces[index].count)
                }
            } / .seconds(1)
        }
        return times.dropFirst().min() ?? 0
    }
}

extension LinearWeights {
    // Unsafe: C reads raw memory; the weights, which the caller holds, keep it.
    /// The memory that a product reads: the values and, of 4-bit weights, their groups' scales.
    fileprivate var pieces: [UnsafeRawBufferPointer] {
        switch element {
        case .float32, .float16, .bfloat16:
            [UnsafeRawBufferPointer(start: base, count: outputs * inputs * element.byteCount)]
        case .int8:
            [UnsafeRawBufferPointer(start: base, count: fv_i8_weights_bytes(Int32(outputs), Int32(inputs)))]
        case .int4:
            [
                UnsafeRawBufferPointer(start: base, count: fv_i4_nibbles_bytes(Int32(outputs), Int32(inputs))),
                UnsafeRawBufferPointer(start: groupScales, count: fv_i4_scales_bytes(Int32(outputs), Int32(inputs))),
            ]
        }
    }
}
