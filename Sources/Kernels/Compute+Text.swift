internal import CKernels

extension Compute {
    /// `out = x / sqrt(mean(x^2) + epsilon) * weight` over each row.
    public func rmsNorm(_ x: Matrix, weight: [Float], epsilon: Float, into out: Matrix) {
        precondition(weight.count == x.columns && out.columns == x.columns && out.rows == x.rows, "RMSNorm shapes")
        split(x.rows, grain: 16) { rows, _ in rmsNorm(x, rows: rows, weight: weight, epsilon: epsilon, into: out) }
    }

    /// Runs several linear layers on `rmsNorm(x)`, which is written to `normed`.
    public func linear(
        rmsNorm x: Matrix, weight: [Float], epsilon: Float, through normed: Matrix, _ tasks: [LinearTask]
    ) {
        precondition(
            weight.count == x.columns && normed.columns == x.columns && normed.rows == x.rows, "RMSNorm shapes")
        linear(normed, tasks) { rows in rmsNorm(x, rows: rows, weight: weight, epsilon: epsilon, into: normed) }
    }

    /// ``rmsNorm(_:weight:epsilon:into:)`` of some rows, on the calling thread.
    func rmsNorm(_ x: Matrix, rows: Range<Int>, weight: [Float], epsilon: Float, into out: Matrix) {
        kernels.rms_norm(
            x.base(row: rows.lowerBound), x.columns, weight, epsilon, out.base(row: rows.lowerBound), out.columns,
            Int32(rows.count), Int32(x.columns))
    }

    /// Runs a linear layer on `silu(gate) * up`, elementwise, which takes the place of `gate`.
    public func linear(gated gate: Matrix, _ up: Matrix, _ task: LinearTask) {
        precondition(gate.rows == up.rows && gate.columns == up.columns, "SwiGLU shapes")
        linear(gate, [task]) { rows in
            kernels.silu_multiply(
                gate.base(row: rows.lowerBound), up.base(row: rows.lowerBound), rows.count * gate.columns)
        }
    }

    /// Rotary position embedding in place on `x` `[rows, heads * headDim]`, whose rows stand at the positions
    /// that `angles` begins with.
    public func rope(_ x: Matrix, angles: RotaryAngles, firstPosition: Int, headDim: Int) {
        precondition(x.columns % headDim == 0 && headDim == angles.headDim, "rope shapes")
        precondition(firstPosition + x.rows <= angles.positions, "rope positions")
        split(x.rows, grain: max(1, 16384 / max(x.columns, 1))) { rows, _ in
            let start = (firstPosition + rows.lowerBound) * headDim / 2
            withOptionalPointer(angles.cosines, at: start) { cosines in
                withOptionalPointer(angles.sines, at: start) { sines in
                    kernels.rope(
                        x.base(row: rows.lowerBound), x.columns, cosines, sines, Int32(rows.count),
                        Int32(x.columns / headDim), Int32(headDim))
                }
            }
        }
    }

    /// Grouped-query causal attention: `query` `[rows, heads * headDim]` of the last rows of the sequence over
    /// `keys` and `values` `[length, keyValueHeads * headDim]`, into `out` `[rows, heads * headDim]`.
    ///
    /// - Parameter mayRound: Whether factors may be rounded to bfloat16 where that is faster: beside quantized products.
    public func causalAttention(
        _ query: Matrix, keys: Matrix, values: Matrix, headDim: Int, mayRound: Bool, into out: Matrix
    ) {
        let heads = query.columns / headDim
        let keyValueHeads = keys.columns / headDim
        precondition(
            heads % keyValueHeads == 0 && keys.rows == values.rows && query.rows <= keys.rows, "attention shapes")
        // Long prompts are cut by queries too, so that few heads still keep all threads busy.
        let pieces = max(1, min(query.rows / 64, (pool.threads * 2 + heads - 1) / heads))
        let memory = scratch(fv_attention_scratch(Int32(keys.rows), Int32(headDim)))
        let attend = attention(mayRound: mayRound)
        pool.loop(heads * pieces) { index, worker in
            let head = index / pieces
            let piece = index % pieces
            let rows = query.rows * piece / pieces..<query.rows * (piece + 1) / pieces
            let before = keys.rows - query.rows + rows.lowerBound
            var shape = fv_attention(
                queries: Int32(rows.count), keys: Int32(before + rows.count), head_dim: Int32(headDim),
                first_visible: Int32(before + 1), scale: 1 / Float(headDim).squareRoot(), ld_query: query.columns,
                ld_key: keys.columns, ld_value: values.columns, ld_out: out.columns)
            let shared = head / (heads / keyValueHeads) * headDim
            attend(
                &shape, query.base(row: rows.lowerBound) + head * headDim, keys.base + shared, values.base + shared,
                out.base(row: rows.lowerBound) + head * headDim, memory[worker].base)
        }
    }
}
