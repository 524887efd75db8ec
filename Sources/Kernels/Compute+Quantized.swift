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
    /// Runs several linear layers on the same input. With quantized weights the input is quantized once and all
    /// outputs are shared out in one loop.
    public func linear(_ x: Matrix, _ tasks: [LinearTask]) {
        guard let first = tasks.first, x.rows > 0 else { return }
        let isAlike = tasks.allSatisfy {
            $0.weights.element == first.weights.element && $0.weights.activationGroup == first.weights.activationGroup
        }
        guard first.weights.element.isQuantized, isAlike else {
            for task in tasks { linear(x, task.weights, into: task.out, ending: task.ending) }
            return
        }
        let shape = QuantizedRows.Shape(columns: x.columns, for: first.weights)
        let quantized = sharedRows.reserve(rows: x.rows, shape)
        split(x.rows, grain: max(1, 16384 / max(x.columns, 1))) { rows, _ in
            var view = quantized.rows(from: rows.lowerBound)
            quantKernels.quantize_rows(x.base(row: rows.lowerBound), x.columns, Int32(rows.count), &view)
        }
        let pieces = tasks.flatMap { pieces(of: $0, rows: x.rows) }
        pool.loop(pieces.count) { index, _ in
            let piece = pieces[index]
            multiply(quantized, rows: piece.rows, tasks: tasks[piece.task], panels: piece.panels)
        }

        func pieces(of task: LinearTask, rows: Int) -> [(task: Int, rows: Range<Int>, panels: Range<Int>)] {
            precondition(
                task.weights.inputs == x.columns && task.out.columns == task.weights.outputs && task.out.rows == rows,
                "linear shapes")
            let index = tasks.firstIndex { $0.out.base == task.out.base } ?? 0
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
                        index, rows * row / rowPieces..<rows * (row + 1) / rowPieces,
                        panels * panel / panelPieces..<panels * (panel + 1) / panelPieces
                    )
                }
            }
        }
    }

    /// All outputs of all rows of `x` on the calling thread, which is `worker`.
    func quantizedProduct(_ x: Matrix, _ weights: LinearWeights, into out: Matrix, _ ending: LinearEnding, worker: Int)
    {
        let shape = QuantizedRows.Shape(columns: x.columns, for: weights)
        let quantized = rows(of: worker, count: x.rows, shape)
        var view = quantized.rows(from: 0)
        quantKernels.quantize_rows(x.base, x.columns, Int32(x.rows), &view)
        multiply(
            quantized, rows: 0..<x.rows, tasks: LinearTask(weights, into: out, ending: ending),
            panels: 0..<Int(fv_quant_panels(Int32(weights.outputs))))
    }

    private func multiply(_ x: QuantizedRows.View, rows: Range<Int>, tasks task: LinearTask, panels: Range<Int>) {
        let weights = task.weights
        let out = task.out.base(row: rows.lowerBound)
        withOptionalPointer(weights.scale, at: 0) { scale in
            withOptionalPointer(weights.bias, at: 0) { bias in
                var end = fv_ending(
                    scale: scale, bias: bias,
                    residual: task.ending.residual.map { UnsafePointer($0.base(row: rows.lowerBound)) },
                    ld_residual: task.out.columns, gelu: task.ending.gelu ? 1 : 0)
                var view = x.rows(from: rows.lowerBound)
                switch weights.element {
                case .int8:
                    var stored = weights.int8
                    quantKernels.i8_gemm(
                        &view, Int32(rows.count), &stored, Int32(panels.lowerBound), Int32(panels.upperBound), &end,
                        out,
                        task.out.columns)
                case .int4:
                    var stored = weights.int4
                    quantKernels.i4_gemm(
                        &view, Int32(rows.count), &stored, Int32(panels.lowerBound), Int32(panels.upperBound), &end,
                        out,
                        task.out.columns)
                case .float32, .float16, .bfloat16:
                    preconditionFailure("a quantized product of weights that are floats")
                }
            }
        }
    }
}
