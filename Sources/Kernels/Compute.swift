internal import CKernels
internal import COpenBLAS

/// What a linear layer does to its sums beyond the bias.
public struct LinearEnding {
    /// Exact GELU after the bias. The default is no activation.
    public var gelu: Bool
    /// Added at the end, of the output's shape and never the output itself. The default is nothing.
    public var residual: Matrix?

    public init(gelu: Bool = false, residual: Matrix? = nil) {
        self.gelu = gelu
        self.residual = residual
    }
}

/// The operations of the model in float32: our kernels for one instruction set, OpenBLAS for matrix products,
/// and a pool of threads that every operation is split over.
///
/// One owner calls it, one operation at a time: it keeps scratch memory for each thread.
public final class Compute {
    public let pool: ThreadPool
    public let instructionSet: InstructionSet
    let kernels: fv_f32_kernels
    let quantKernels: fv_quant_kernels
    let blas: BLAS
    private var scratch: [FloatStorage]
    /// Quantized activations that all threads read.
    var sharedRows = QuantizedRows()
    /// The same between the layers of a gated MLP.
    var sharedHidden = QuantizedRows()
    /// Quantized activations of each thread's own tile.
    private var ownRows: [QuantizedRows]

    /// - Parameters:
    ///   - pool: The threads to use; several owners may share it.
    ///   - instructionSet: The kernels to use. The default is the best that this processor runs.
    ///
    /// Throws ``KernelError`` where the processor lacks the instruction set, `FASTVLM_ISA` cannot be followed, or OpenBLAS
    /// is missing.
    public init(pool: ThreadPool, instructionSet: InstructionSet = .best) throws(KernelError) {
        try InstructionSet.validateEnvironment()
        guard let table = fv_f32_kernels_for(instructionSet.isa),
            let quantTable = fv_quant_kernels_for(instructionSet.isa)
        else {
            throw KernelError(
                .unsupportedInstructionSet,
                "Cannot use the '\(instructionSet.rawValue)' kernels: this processor runs "
                    + InstructionSet.supportedNames + ".")
        }
        self.pool = pool
        self.instructionSet = instructionSet
        self.kernels = table.pointee
        self.quantKernels = quantTable.pointee
        self.blas = try BLAS.shared()
        self.scratch = (0..<pool.threads).map { _ in FloatStorage(count: 0) }
        self.ownRows = (0..<pool.threads).map { _ in QuantizedRows() }
    }

    typealias AttentionKernel =
        @convention(c) (
            UnsafePointer<fv_attention>?, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?,
            UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?
        ) -> Void

    /// Attention in float32, or, where factors may be rounded, in whatever is fastest here.
    func attention(mayRound: Bool) -> AttentionKernel {
        (mayRound ? quantKernels.attention : nil) ?? kernels.attention
    }

    /// Scratch of at least `count` floats for each thread; its content is lost at the next call.
    func scratch(_ count: Int) -> [FloatStorage] {
        for worker in scratch.indices where scratch[worker].count < count {
            scratch[worker] = FloatStorage(count: count)
        }
        return scratch
    }

    /// Room for `count` quantized rows of the thread `worker`; its content is lost at that thread's next call.
    func rows(of worker: Int, count: Int, _ shape: QuantizedRows.Shape) -> QuantizedRows.View {
        // Each thread touches its own element only, through a pointer so that the array is not taken as a whole.
        // Unsafe: threads write to different elements of one array, which Swift would take as a whole.
        ownRows.withUnsafeMutableBufferPointer { $0[worker].reserve(rows: count, shape) }
    }

    /// Runs `body(range, worker)` over `0 ..< count` in pieces of about equal size, at least `grain` long.
    func split(_ count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
        // Several pieces a thread, so that one that is held up does not hold up the rest.
        let pieces = max(1, min(pool.threads * 4, count / max(grain, 1)))
        pool.loop(pieces) { piece, worker in
            body(count * piece / pieces..<count * (piece + 1) / pieces, worker)
        }
    }

    // MARK: - Linear layers

    /// `out[M, N] = ending(x[M, K] * weights[N, K]^T * scale + bias)`.
    public func linear(_ x: Matrix, _ weights: LinearWeights, into out: Matrix, ending: LinearEnding = .init()) {
        precondition(
            x.columns == weights.inputs && out.columns == weights.outputs && x.rows == out.rows, "linear shapes")
        if weights.element.isQuantized {
            linear(x, [LinearTask(weights, into: out, ending: ending)])
        } else if x.rows == 1 {
            gemv(x, weights, into: out, ending: ending)
        } else if weights.element != .float32 || x.rows < weights.outputs {
            linearByOutputs(x, weights, into: out, ending: ending)
        } else {
            split(x.rows, grain: 32) { rows, worker in
                product(x.rows(rows), weights, into: out.rows(rows), ending.rows(rows), worker: worker)
            }
        }
    }

    /// Every thread computes some outputs of all rows, so that each weight is read, and expanded, once.
    private func linearByOutputs(_ x: Matrix, _ weights: LinearWeights, into out: Matrix, ending: LinearEnding) {
        // A panel of expanded weights should stay in a core's second-level cache, and each thread have as many as the others.
        let cached = max(16, min(weights.outputs, 192 * 1024 / max(weights.inputs, 1)) / 16 * 16)
        let turns = (weights.outputs + cached * pool.threads - 1) / (cached * pool.threads)
        let wanted = turns * pool.threads
        let panel = min(cached, ((weights.outputs + wanted - 1) / wanted + 15) / 16 * 16)
        let panels = (weights.outputs + panel - 1) / panel
        let stored = weights.element != .float32
        let memory = stored ? scratch(panel * weights.inputs) : []
        pool.loop(panels) { index, worker in
            let outputs = index * panel..<min((index + 1) * panel, weights.outputs)
            var source = weights.base + outputs.lowerBound * weights.inputs * weights.element.byteCount
            if stored {
                kernels.expand(source, weights.element.code, memory[worker].base, outputs.count * weights.inputs)
                source = UnsafeRawPointer(memory[worker].base)
            }
            product(x, weights, panel: source, outputs: outputs, into: out, ending)
        }
    }

    /// All outputs of all rows of `x` on the calling thread, which is `worker`, for weights that are float32 or quantized.
    func product(_ x: Matrix, _ weights: LinearWeights, into out: Matrix, _ ending: LinearEnding, worker: Int) {
        if weights.element.isQuantized {
            return quantizedProduct(x, weights, into: out, ending, worker: worker)
        }
        precondition(weights.element == .float32, "a product of weights that were not expanded")
        product(x, weights, panel: weights.base, outputs: 0..<weights.outputs, into: out, ending)
    }

    /// The `outputs` of all rows of `x` on the calling thread; `panel` holds their weights as float32.
    func product(
        _ x: Matrix, _ weights: LinearWeights, panel: UnsafeRawPointer, outputs: Range<Int>, into out: Matrix,
        _ ending: LinearEnding
    ) {
        let sums = out.base + outputs.lowerBound
        blas.sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, blasint(x.rows), blasint(outputs.count), blasint(x.columns), 1,
            x.base,
            blasint(x.columns), panel.assumingMemoryBound(to: Float.self), blasint(x.columns),
            0, sums, blasint(out.columns))
        finish(sums, weights, outputs: outputs, into: out, ending)
    }

    private func finish(
        _ sums: UnsafeMutablePointer<Float>, _ weights: LinearWeights, outputs: Range<Int>, into out: Matrix,
        _ ending: LinearEnding
    ) {
        guard weights.bias != nil || weights.scale != nil || ending.gelu || ending.residual != nil else { return }
        if let residual = ending.residual {
            precondition(residual.base != out.base, "a residual that the product has overwritten")
            precondition(residual.rows == out.rows && residual.columns == out.columns, "residual shape")
        }
        withOptionalPointer(weights.scale, at: outputs.lowerBound) { scale in
            withOptionalPointer(weights.bias, at: outputs.lowerBound) { bias in
                var end = fv_ending(
                    scale: scale, bias: bias,
                    residual: ending.residual.map { UnsafePointer($0.base + outputs.lowerBound) },
                    ld_residual: out.columns, gelu: ending.gelu ? 1 : 0)
                kernels.finish(
                    sums, out.columns, &end, out.base + outputs.lowerBound, out.columns, Int32(out.rows),
                    Int32(outputs.count))
            }
        }
    }

    /// One row: the weights pass through once, at the speed of memory.
    private func gemv(_ x: Matrix, _ weights: LinearWeights, into out: Matrix, ending: LinearEnding) {
        let grain = max(16, 64 * 1024 / max(weights.inputs, 1))
        split(weights.outputs, grain: grain) { outputs, _ in
            kernels.gemv(
                weights.base, weights.element.code, x.base, out.base, Int32(outputs.lowerBound),
                Int32(outputs.upperBound),
                Int32(weights.inputs))
            finish(out.base + outputs.lowerBound, weights, outputs: outputs, into: out, ending)
        }
    }

    /// Copies the rows `ids` of `table` `[vocabulary, hidden]` into `out` `[ids.count, hidden]`.
    public func gather(_ ids: [Int], from table: LinearWeights, into out: Matrix) {
        precondition(out.rows == ids.count && out.columns == table.inputs, "gather shapes")
        for (row, id) in ids.enumerated() {
            precondition(id >= 0 && id < table.outputs, "row \(id) of \(table.outputs)")
            let place = out.base(row: row)
            switch table.element {
            case .float32, .float16, .bfloat16:
                let source = table.base + id * table.inputs * table.element.byteCount
                kernels.expand(source, table.element.code, place, table.inputs)
            case .int8:
                var stored = table.int8
                fv_i8_unpack_row(&stored, Int32(id), table.scale?[id] ?? 1, place)
            case .int4:
                var stored = table.int4
                fv_i4_unpack_row(&stored, Int32(id), place)
            }
        }
    }
}

extension LinearEnding {
    func rows(_ range: Range<Int>) -> LinearEnding {
        LinearEnding(gelu: gelu, residual: residual?.rows(range))
    }
}

/// `body` with a pointer to `values[start]`, or with nil.
func withOptionalPointer<R>(_ values: [Float]?, at start: Int, _ body: (UnsafePointer<Float>?) -> R) -> R {
    guard let values else { return body(nil) }
    return values.withUnsafeBufferPointer { body($0.baseAddress.map { $0 + start }) }
}
