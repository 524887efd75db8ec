internal import CKernels

/// The decoder's MLP: two linear layers on the same input, of which one gates the other, and a third on what they give.
extension Compute {
    /// `down(silu(gate(n)) * up(n))`, where `n` is `rmsNorm(x)` and is written to `normed`.
    ///
    /// With quantized weights and rows enough, the values between the layers are made some columns at a time and become
    /// 8-bit numbers while they are in cache, exactly as they would one layer after the other. Else they go through the
    /// matrices of `gate` and `up`, whose content is lost in either case.
    public func gatedMLP(
        rmsNorm x: Matrix, weight: [Float], epsilon: Float, through normed: Matrix, gate: LinearTask, up: LinearTask,
        _ down: LinearTask
    ) {
        precondition(
            gate.weights.outputs == down.weights.inputs && up.weights.outputs == down.weights.inputs, "SwiGLU shapes")
        guard isWorthFusing(rows: x.rows, gate: gate.weights, up: up.weights, down: down.weights) else {
            linear(rmsNorm: x, weight: weight, epsilon: epsilon, through: normed, [gate, up])
            linear(gated: gate.out, up.out, down)
            return
        }
        let shape = QuantizedRows.Shape(columns: x.columns, for: [gate.weights, up.weights])
        let input = quantize(normed, shape, into: &sharedRows) { rows in
            rmsNorm(x, rows: rows, weight: weight, epsilon: epsilon, into: normed)
        }
        let hidden = sharedHidden.reserve(
            rows: x.rows, QuantizedRows.Shape(columns: down.weights.inputs, for: CollectionOfOne(down.weights)))
        makeHidden(input, rows: x.rows, gate: gate.weights, up: up.weights, into: hidden)
        multiply(hidden, rows: x.rows, [down])
    }

    /// Columns between the layers that are made together: as many as share a scale in 8-bit products, or several times as
    /// many.
    private static var columnsAtOnce: Int { 128 }

    /// Few rows take as long as the weights' way from memory, which long loops over one layer shorten; their values stay in
    /// cache anyway.
    private func isWorthFusing(rows: Int, gate: LinearWeights, up: LinearWeights, down: LinearWeights) -> Bool {
        let shape = QuantizedRows.Shape(columns: down.inputs, for: CollectionOfOne(down))
        return rows > 64 && gate.element.isQuantized && up.element.isQuantized && down.element.isQuantized
            && down.inputs.isMultiple(of: Self.columnsAtOnce) && Self.columnsAtOnce.isMultiple(of: shape.group)
    }

    /// `silu(gate(x)) * up(x)` as 8-bit numbers.
    private func makeHidden(
        _ x: QuantizedRows.View, rows: Int, gate: LinearWeights, up: LinearWeights, into hidden: QuantizedRows.View
    ) {
        let width = Self.columnsAtOnce
        // Both layers' values, 128 KB at most, stay in a core's second-level cache beside the weights.
        let chunks = (rows + 127) / 128
        let most = (rows + chunks - 1) / chunks
        let groups = width / hidden.shape.group
        let memory = scratch(2 * most * width)
        pool.loop(hidden.shape.columns / width) { part, worker in
            let panels = part * width / Int(FV_PANEL)..<(part + 1) * width / Int(FV_PANEL)
            let gates = memory[worker].base
            let ups = gates + most * width
            let quantized = self.rows(of: worker, count: most, QuantizedRows.Shape(part: width, of: hidden.shape))
            for chunk in 0..<chunks {
                let some = rows * chunk / chunks..<rows * (chunk + 1) / chunks
                for (weights, out) in [(gate, gates), (up, ups)] {
                    multiply(
                        x, rows: some, weights, LinearEnding(), panels: panels, into: out - part * width, columns: width
                    )
                }
                kernels.silu_multiply(gates, ups, some.count * width)
                // The values go where they belong, and so do then the scales, which are further apart.
                var view = quantized.rows(from: 0)
                view.values = hidden.values + some.lowerBound * hidden.shape.stride + part * width
                view.ld = hidden.shape.stride
                quantKernels.quantize_rows(gates, width, Int32(some.count), &view)
                for row in 0..<some.count {
                    let to = (some.lowerBound + row) * hidden.shape.groups + part * groups
                    for group in 0..<groups {
                        hidden.scales[to + group] = quantized.scales[row * groups + group]
                        hidden.sums[to + group] = quantized.sums[row * groups + group]
                    }
                }
            }
        }
    }
}
