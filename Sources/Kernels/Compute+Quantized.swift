internal import CKernels

/// A linear layer of quantized weights on its way into a matrix.
public struct LinearTask {
    let weights: LinearWeights
    let out: Matrix
    let ending: LinearEnding

    public init(_ weights: LinearWeights, into out: Matrix, ending: LinearEnding = .init()) {
        self.weights = weights
        self.out = out
        self.ending = ending
    }
}

/// Products of quantized weights: activations become 8-bit numbers row by row as they come.
extension Compute {
    /// Runs several linear layers on the same input. With quantized weights, of 8 bits or of 4, the input is quantized
    /// once, with as many scales as the one that wants the most, and all outputs are shared out in one loop.
    public func linear(_ x: Matrix, _ tasks: [LinearTask]) {
        linear(x, tasks) { _ in }
    }

    /// The same after `prepare` has filled `x`: it is called for some rows at a time on the thread that quantizes them.
    func linear(_ x: Matrix, _ tasks: [LinearTask], prepare: (Range<Int>) -> Void) {
        guard !tasks.isEmpty, x.rows > 0 else { return }
        guard tasks.allSatisfy({ $0.weights.element.isQuantized }) else {
            split(x.rows, grain: max(1, 16384 / max(x.columns, 1))) { rows, _ in prepare(rows) }
            for task in tasks { linear(x, task.weights, into: task.out, ending: task.ending) }
            return
        }
        let shape = QuantizedRows.Shape(columns: x.columns, for: tasks.lazy.map(\.weights))
        let quantized = quantize(x, shape, into: &sharedRows, prepare)
        multiply(quantized, rows: x.rows, tasks)
    }

    /// The rows of `x`, which `prepare` fills, as 8-bit numbers, valid until `memory` is used again.
    func quantize(
        _ x: Matrix, _ shape: QuantizedRows.Shape, into memory: inout QuantizedRows, _ prepare: (Range<Int>) -> Void
    ) -> QuantizedRows.View {
        let quantized = memory.reserve(rows: x.rows, shape)
        split(x.rows, grain: max(1, 16384 / max(x.columns, 1))) { rows, _ in
            prepare(rows)
            var view = quantized.rows(from: rows.lowerBound)
            quantKernels.quantize_rows(x.base(row: rows.lowerBound), x.columns, Int32(rows.count), &view)
        }
        return quantized
    }

    /// All outputs of several linear layers on the same `rows` rows, shared out in one loop.
    func multiply(_ x: QuantizedRows.View, rows: Int, _ tasks: [LinearTask]) {
        let pieces = tasks.indices.flatMap { index in
            self.pieces(of: tasks[index], x.shape, rows: rows).map { (task: index, rows: $0.rows, panels: $0.panels) }
        }
        pool.loop(pieces.count) { index, _ in
            let piece = pieces[index]
            let task = tasks[piece.task]
            multiply(
                x, rows: piece.rows, task.weights, task.ending, panels: piece.panels,
                into: task.out.base(row: piece.rows.lowerBound), columns: task.out.columns)
        }
    }

    private func pieces(
        of task: LinearTask, _ shape: QuantizedRows.Shape, rows: Int
    ) -> [(rows: Range<Int>, panels: Range<Int>)] {
        precondition(
            task.weights.inputs == shape.columns && task.out.columns == task.weights.outputs && task.out.rows == rows,
            "linear shapes")
        let panels = Int(fv_quant_panels(Int32(task.weights.outputs)))
        // A piece's activations should stay in a core's second-level cache, its weights pass through once.
        let rowsAtOnce = max(8, 384 * 1024 / max(shape.stride, 1))
        let rowPieces = (rows + rowsAtOnce - 1) / rowsAtOnce
        // Long loops over memory want few, long pieces; several a thread still even out what holds one up.
        let wanted = max(1, pool.threads * 4 / rowPieces)
        let panelPieces = max(1, min(panels, min(wanted, panels * shape.stride * 16 / (32 * 1024))))
        return (0..<rowPieces).flatMap { row in
            (0..<panelPieces).map { panel in
                (
                    rows * row / rowPieces..<rows * (row + 1) / rowPieces,
                    panels * panel / panelPieces..<panels * (panel + 1) / panelPieces
                )
            }
        }
    }

    /// All outputs of all rows of `x` on the calling thread, which is `worker`.
    func quantizedProduct(_ x: Matrix, _ weights: LinearWeights, into out: Matrix, _ ending: LinearEnding, worker: Int)
    {
        let shape = QuantizedRows.Shape(columns: x.columns, for: CollectionOfOne(weights))
        let quantized = rows(of: worker, count: x.rows, shape)
        var view = quantized.rows(from: 0)
        quantKernels.quantize_rows(x.base, x.columns, Int32(x.rows), &view)
        multiply(
            quantized, rows: 0..<x.rows, weights, ending, panels: 0..<Int(fv_quant_panels(Int32(weights.outputs))),
            into: out.base, columns: out.columns)
    }

    /// ``convFFN`` with 8-bit weights, by bands of rows: the convolution's rows, some at a time, become 8-bit numbers while
    /// they are in cache, and then all layers run over some pixels at a time.
    func quantizedConvFFN(_ input: FeatureMap, _ weights: ConvFFNWeights, into output: FeatureMap) {
        let (width, channels) = (output.width, output.channels)
        let shape = QuantizedRows.Shape(columns: channels, for: CollectionOfOne(weights.expand))
        // The more rows, the fewer are read twice for their neighbours; their 8-bit numbers should stay in a core's
        // second-level cache, and every thread should have as many bands as the others, several where that is possible.
        let cached = max(1, 384 * 1024 / max(1, width * shape.stride))
        let turns = max(2, (output.height + cached * pool.threads - 1) / (cached * pool.threads))
        let bands = min(output.height, turns * pool.threads)
        let band = (output.height + bands - 1) / bands
        // The convolution copies its window for each call: the more rows at once the better, as long as they stay in cache.
        let rowsAtOnce = min(8, max(2, 128 * 1024 / max(1, width * channels) / 2 * 2))
        let floats = rowsAtOnce * width * channels
        let mlpFloats = (fv_i8_mlp_scratch(Int32(weights.expand.outputs)) + 3) / 4
        let memory = scratch((floats + 15) / 16 * 16 + mlpFloats)
        pool.loop(bands) { index, worker in
            let rows = output.height * index / bands..<output.height * (index + 1) / bands
            let quantized = self.rows(of: worker, count: band * width, shape)
            for first in stride(from: rows.lowerBound, to: rows.upperBound, by: rowsAtOnce) {
                let some = first..<min(first + rowsAtOnce, rows.upperBound)
                depthwise(input, weights.depthwise, rows: some, into: memory[worker].base, gelu: false)
                var view = quantized.rows(from: (first - rows.lowerBound) * width)
                quantKernels.quantize_rows(memory[worker].base, channels, Int32(some.count * width), &view)
            }
            let pixels = rows.lowerBound * width..<rows.upperBound * width
            let residual = input.pixels.rows(pixels)
            withEnding(weights.expand, LinearEnding(gelu: true), columns: weights.expand.outputs) { expansion in
                withEnding(weights.contract, LinearEnding(residual: residual), columns: channels) { contraction in
                    var view = quantized.rows(from: 0)
                    var (first, second) = (weights.expand.int8, weights.contract.int8)
                    let scratch = memory[worker].base + (floats + 15) / 16 * 16
                    quantKernels.i8_mlp(
                        &view, Int32(pixels.count), &first, &expansion, &second, &contraction, scratch,
                        output.pixels.base(row: pixels.lowerBound), channels)
                }
            }
        }
    }

    /// `body` with how a product of `weights` ends, its residual `[rows, columns]`.
    private func withEnding(
        _ weights: LinearWeights, _ ending: LinearEnding, columns: Int, _ body: (inout fv_ending) -> Void
    ) {
        withOptionalPointer(weights.scale, at: 0) { scale in
            withOptionalPointer(weights.bias, at: 0) { bias in
                var end = fv_ending(
                    // Unsafe: C takes the residual as a pointer; `ending` holds its matrix during the call.
                    scale: scale, bias: bias, residual: ending.residual.map { UnsafePointer($0.base) },
                    ld_residual: columns, gelu: ending.gelu ? 1 : 0)
                body(&end)
            }
        }
    }

    /// The outputs of `panels`, of the rows `rows`, into `out`, whose rows are `columns` apart.
    ///
    /// Unsafe: kernels count outputs from the first on, whichever panels they compute, and touch no others: where `out` has
    /// only those of `panels`, it points as far before them.
    func multiply(
        _ x: QuantizedRows.View, rows: Range<Int>, _ weights: LinearWeights, _ ending: LinearEnding, panels: Range<Int>,
        into out: UnsafeMutablePointer<Float>, columns: Int
    ) {
        let ending = LinearEnding(gelu: ending.gelu, residual: ending.residual?.rows(rows))
        let (first, last) = (Int32(panels.lowerBound), Int32(panels.upperBound))
        withEnding(weights, ending, columns: columns) { end in
            var view = x.rows(from: rows.lowerBound)
            switch weights.element {
            case .int8:
                var stored = weights.int8
                quantKernels.i8_gemm(&view, Int32(rows.count), &stored, first, last, &end, out, columns)
            case .int4:
                var stored = weights.int4
                quantKernels.i4_gemm(&view, Int32(rows.count), &stored, first, last, &end, out, columns)
            case .float32, .float16, .bfloat16:
                preconditionFailure("a quantized product of weights that are floats")
            }
        }
    }
}
