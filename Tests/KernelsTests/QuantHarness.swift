import CKernels

/// Rows of 8-bit activations with memory of their own, between canaries.
struct QuantizedRows: Equatable {
    static let canary = Int8(85)
    let rows: Int
    let columns: Int
    let group: Int
    let ld: Int
    private(set) var values: [Int8]
    private(set) var scales: [Float]
    private(set) var sums: [Int32]

    init(_ x: [Float], rows: Int, columns: Int, group: Int, with table: fv_quant_kernels) {
        self.rows = rows
        self.columns = columns
        self.group = group
        ld = Int(fv_quant_columns(Int32(columns))) + 3
        let groups = Int(fv_quant_groups(Int32(columns), Int32(group)))
        values = [Int8](repeating: Self.canary, count: rows * ld + 32)
        scales = [Float](repeating: 7, count: rows * groups)
        sums = [Int32](repeating: 7, count: rows * groups)
        withC { table.quantize_rows(x, columns, Int32(rows), &$0) }
    }

    /// Calls `body` with the C description of these rows, which it may fill.
    mutating func withC(_ body: (inout fv_i8_rows) -> Void) {
        let (ld, columns, group) = (ld, Int32(columns), Int32(group))
        values.withUnsafeMutableBufferPointer { values in
            scales.withUnsafeMutableBufferPointer { scales in
                sums.withUnsafeMutableBufferPointer { sums in
                    var c = fv_i8_rows(
                        values: values.baseAddress, ld: ld, scales: scales.baseAddress, sums: sums.baseAddress,
                        columns: columns, group: group)
                    body(&c)
                }
            }
        }
    }

    func scale(_ row: Int, _ column: Int) -> Float {
        let groups = Int(fv_quant_groups(Int32(columns), Int32(group)))
        return scales[row * groups + (groups == 1 ? 0 : column / group)]
    }

    func value(_ row: Int, _ column: Int) -> Float { Float(values[row * ld + column]) * scale(row, column) }
}

/// Weights in full precision and packed in 8 and 4 bits.
struct QuantizedLayer {
    let weights: [Float]
    private(set) var outputs: Int
    private(set) var inputs: Int
    private var panels8: [Int8]
    var scales: [Float]
    private var nibbles: [UInt8]
    private var scales4: [UInt16]

    init(outputs: Int, inputs: Int, numbers: inout Numbers) {
        self.init(weights: numbers.floats(outputs * inputs), outputs: outputs, inputs: inputs)
    }

    init(weights: [Float], outputs: Int, inputs: Int) {
        self.weights = weights
        self.outputs = outputs
        self.inputs = inputs
        let (n, k) = (Int32(outputs), Int32(inputs))
        panels8 = [Int8](repeating: 99, count: fv_i8_weights_bytes(n, k))
        scales = [Float](repeating: 0, count: outputs)
        nibbles = [UInt8](repeating: 99, count: fv_i4_nibbles_bytes(n, k))
        scales4 = [UInt16](repeating: 99, count: fv_i4_scales_bytes(n, k) / 2)
        let panels = fv_quant_panels(n)
        let middle = panels / 2
        for range in [0..<middle, middle..<panels] {
            let rows = Array(weights[min(Int(range.lowerBound) * 16, outputs) * inputs..<outputs * inputs])
            fv_i8_pack(rows, inputs, n, k, range.lowerBound, range.upperBound, &panels8, &scales)
            fv_i4_pack(rows, inputs, n, k, range.lowerBound, range.upperBound, &nibbles, &scales4)
        }
    }

    /// Replaces the 8-bit weights by `values` with scale 1.
    mutating func replace(_ values: [Int8], outputs: Int, inputs: Int) {
        let (n, k) = (Int32(outputs), Int32(inputs))
        panels8 = [Int8](repeating: 99, count: fv_i8_weights_bytes(n, k))
        fv_i8_pack_values(values, inputs, n, k, 0, fv_quant_panels(n), &panels8)
        scales = [Float](repeating: 1, count: outputs)
        self.outputs = outputs
        self.inputs = inputs
    }

    func unpacked8(row: Int) -> [Float] {
        var out = [Float](repeating: 0, count: inputs)
        panels8.withUnsafeBufferPointer {
            var weights = fv_i8_weights(panels: $0.baseAddress, outputs: Int32(outputs), inputs: Int32(inputs))
            fv_i8_unpack_row(&weights, Int32(row), scales[row], &out)
        }
        return out
    }

    func unpacked4(row: Int) -> [Float] {
        var out = [Float](repeating: 0, count: inputs)
        with4 { weights in fv_i4_unpack_row(&weights, Int32(row), &out) }
        return out
    }

    func product8(
        _ table: fv_quant_kernels, _ input: QuantizedRows, bias: [Float]?, residual: [Float]?, gelu: Bool,
        panels: Range<Int>? = nil,
        into out: UnsafeMutablePointer<Float>
    ) {
        let panels = panels ?? 0..<Int(fv_quant_panels(Int32(outputs)))
        var copy = input
        copy.withC { rows in
            panels8.withUnsafeBufferPointer { packed in
                var weights = fv_i8_weights(panels: packed.baseAddress, outputs: Int32(outputs), inputs: Int32(inputs))
                withEnding(scale: scales, bias, residual, gelu) { ending in
                    table.i8_gemm(
                        &rows, Int32(input.rows), &weights, Int32(panels.lowerBound), Int32(panels.upperBound), &ending,
                        out,
                        outputs)
                }
            }
        }
    }

    /// This layer, GELU, and `next` on the result, at once.
    func twoLayers(
        _ table: fv_quant_kernels, _ input: QuantizedRows, bias: [Float], then next: QuantizedLayer, residual: [Float],
        into out: UnsafeMutablePointer<Float>
    ) {
        var copy = input
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: fv_i8_mlp_scratch(Int32(outputs)), alignment: 64)
        defer { scratch.deallocate() }
        copy.withC { rows in
            with8 { first in
                next.with8 { second in
                    withEnding(scale: scales, bias, nil, true) { expansion in
                        next.withEnding(scale: next.scales, nil, residual, false) { contraction in
                            table.i8_mlp(
                                &rows, Int32(input.rows), &first, &expansion, &second, &contraction, scratch, out,
                                next.outputs)
                        }
                    }
                }
            }
        }
    }

    private func with8(_ body: (inout fv_i8_weights) -> Void) {
        panels8.withUnsafeBufferPointer { packed in
            var weights = fv_i8_weights(panels: packed.baseAddress, outputs: Int32(outputs), inputs: Int32(inputs))
            body(&weights)
        }
    }

    func product4(
        _ table: fv_quant_kernels, _ input: QuantizedRows, bias: [Float]?, residual: [Float]?, gelu: Bool,
        panels: Range<Int>? = nil,
        into out: UnsafeMutablePointer<Float>
    ) {
        let panels = panels ?? 0..<Int(fv_quant_panels(Int32(outputs)))
        var copy = input
        copy.withC { rows in
            with4 { weights in
                withEnding(scale: nil, bias, residual, gelu) { ending in
                    table.i4_gemm(
                        &rows, Int32(input.rows), &weights, Int32(panels.lowerBound), Int32(panels.upperBound), &ending,
                        out,
                        outputs)
                }
            }
        }
    }

    func product(
        _ table: fv_quant_kernels, _ input: QuantizedRows, fourBit: Bool, panels: Range<Int>,
        into out: UnsafeMutablePointer<Float>
    ) {
        if fourBit {
            product4(table, input, bias: nil, residual: nil, gelu: false, panels: panels, into: out)
        } else {
            product8(table, input, bias: nil, residual: nil, gelu: false, panels: panels, into: out)
        }
    }

    private func with4(_ body: (inout fv_i4_weights) -> Void) {
        nibbles.withUnsafeBufferPointer { nibbles in
            scales4.withUnsafeBufferPointer { scales in
                var weights = fv_i4_weights(
                    nibbles: nibbles.baseAddress, scales: scales.baseAddress, outputs: Int32(outputs),
                    inputs: Int32(inputs))
                body(&weights)
            }
        }
    }

    private func withEnding(
        scale: [Float]?, _ bias: [Float]?, _ residual: [Float]?, _ gelu: Bool, _ body: (inout fv_ending) -> Void
    ) {
        func pointer<Result>(_ array: [Float]?, _ body: (UnsafePointer<Float>?) -> Result) -> Result {
            guard let array else { return body(nil) }
            return array.withUnsafeBufferPointer { body($0.baseAddress) }
        }
        pointer(scale) { scale in
            pointer(bias) { bias in
                pointer(residual) { residual in
                    var ending = fv_ending(
                        scale: scale, bias: bias, residual: residual, ld_residual: outputs, gelu: gelu ? 1 : 0)
                    body(&ending)
                }
            }
        }
    }
}
