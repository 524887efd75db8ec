import CKernels
import Glibc
import Testing

/// Every quantized kernel table that runs here against the scalar reference, and the reference against
/// products in double precision.
@Suite struct QuantKernelTests {
    static var tables: [fv_quant_kernels] { (0..<8).compactMap { fv_quant_kernels_at($0)?.pointee } }
    static let sizes = [1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100]

    static func name(_ table: fv_quant_kernels) -> String { String(cString: table.name) }

    @Test func theReferenceComesFirstAndTheBestOfASetLast() throws {
        #expect(Self.name(try #require(Self.tables.first)) == "scalar")
        for table in Self.tables {
            let best = try #require(fv_quant_kernels_for(table.isa)).pointee
            #expect(best.isa == table.isa && fv_isa_supported(table.isa))
        }
        #expect(vectorSets.allSatisfy { fv_quant_kernels_for($0) != nil })
    }

    @Test(arguments: sizes)
    func quantizedRowsAreTheSameEverywhere(columns: Int) {
        var numbers = Numbers(seed: UInt64(columns))
        for rows in [0, 1, 3] {
            var x = numbers.floats(rows * columns, scale: 40)
            if rows == 3 {
                for c in columns..<2 * columns { x[c] = 0 }
                x[2 * columns] = .nan
                x[3 * columns - 1] = -.infinity
            }
            for group in [32, 64, columns] {
                let expected = QuantizedRows(x, rows: rows, columns: columns, group: group, with: Self.tables[0])
                for table in Self.tables.dropFirst() {
                    let got = QuantizedRows(x, rows: rows, columns: columns, group: group, with: table)
                    #expect(got == expected, "\(Self.name(table)) \(rows) x \(columns) by \(group)")
                }
                for r in 0..<rows {
                    for c in 0..<columns where x[r * columns + c].isFinite {
                        let apart = abs(expected.value(r, c) - x[r * columns + c])
                        #expect(apart <= expected.scale(r, c) * 0.5001, "\(r), \(c)")
                    }
                }
            }
        }
    }

    @Test func whatIsNotFiniteHasADefinedValue() {
        let x: [Float] = [.nan, .infinity, -.infinity, 1, -0.0, 1e-38]
        let rows = QuantizedRows(x, rows: 1, columns: x.count, group: 32, with: Self.tables[0])
        #expect(rows.values.prefix(6) == [0, 127, -127, 0, 0, 0])
        let none = QuantizedRows([.nan, 1e-31], rows: 1, columns: 2, group: 32, with: Self.tables[0])
        #expect(none.scales == [0] && none.values.prefix(2) == [0, 0])
    }

    @Test(arguments: sizes)
    func products(outputs: Int) {
        var numbers = Numbers(seed: UInt64(outputs) + 50)
        for (rows, inputs) in [
            (0, 5), (1, 1), (1, 896), (2, 33), (3, 64), (7, 31), (8, 32), (9, 100), (16, 64), (21, 257), (33, 160),
            (47, 190), (64, 128), (75, 96),
        ] {
            let layer = QuantizedLayer(outputs: outputs, inputs: inputs, numbers: &numbers)
            let x = numbers.floats(rows * inputs, scale: 3)
            let bias = numbers.floats(outputs)
            let residual = numbers.floats(rows * outputs)
            for gelu in [false, true] {
                for group in [32, 64, 96, 128, inputs] {
                    let input = QuantizedRows(x, rows: rows, columns: inputs, group: group, with: Self.tables[0])
                    compare("i8 \(rows) x \(outputs) x \(inputs) by \(group)", count: rows * outputs, gelu: gelu) {
                        layer.product8($0, input, bias: bias, residual: residual, gelu: gelu, into: $1)
                    }
                }
                let input = QuantizedRows(x, rows: rows, columns: inputs, group: 32, with: Self.tables[0])
                compare("i4 \(rows) x \(outputs) x \(inputs)", count: rows * outputs, gelu: gelu) {
                    layer.product4($0, input, bias: bias, residual: residual, gelu: gelu, into: $1)
                }
            }
        }
    }

    @Test(arguments: [1, 15, 16, 48, 100, 384])
    func twoLayersAtOnceAreTheOneAndThenTheOther(wide: Int) {
        var numbers = Numbers(seed: UInt64(wide) + 900)
        for (rows, inputs, outputs) in [(0, 5, 3), (1, 32, 16), (7, 33, 40), (64, 96, 96), (65, 40, 17), (131, 64, 48)]
        {
            let first = QuantizedLayer(outputs: wide, inputs: inputs, numbers: &numbers)
            let second = QuantizedLayer(outputs: outputs, inputs: wide, numbers: &numbers)
            var x = numbers.floats(rows * inputs, scale: 3)
            if rows > 3 { for c in inputs..<2 * inputs { x[c] = 0 } }
            var bias = numbers.floats(wide)
            if rows == 7 { bias[0] = .infinity }
            let residual = numbers.floats(rows * outputs)
            let input = QuantizedRows(x, rows: rows, columns: inputs, group: inputs, with: Self.tables[0])
            for table in Self.tables {
                var hidden = [Float](repeating: 0, count: rows * wide)
                first.product8(table, input, bias: bias, residual: nil, gelu: true, into: &hidden)
                let middle = QuantizedRows(hidden, rows: rows, columns: wide, group: wide, with: table)
                var expected = Guarded(rows * outputs)
                expected.write { second.product8(table, middle, bias: nil, residual: residual, gelu: false, into: $0) }
                var got = Guarded(rows * outputs)
                got.write { first.twoLayers(table, input, bias: bias, then: second, residual: residual, into: $0) }
                #expect(
                    got.values == expected.values && got.isIntact,
                    "\(Self.name(table)) \(rows) x \(inputs) x \(wide) x \(outputs)")
            }
        }
    }

    @Test func panelsOfOneProductAreItsColumns() {
        var numbers = Numbers(seed: 4)
        let layer = QuantizedLayer(outputs: 75, inputs: 40, numbers: &numbers)
        let input = QuantizedRows(numbers.floats(9 * 40), rows: 9, columns: 40, group: 40, with: Self.tables[0])
        let fine = QuantizedRows(numbers.floats(9 * 40), rows: 9, columns: 40, group: 32, with: Self.tables[0])
        for table in Self.tables {
            var whole = Guarded(9 * 75)
            var parts = Guarded(9 * 75)
            for isFine in [false, true] {
                for panels in [0..<5] {
                    whole.write {
                        layer.product(table, isFine ? fine : input, fourBit: isFine, panels: panels, into: $0)
                    }
                }
                for panels in [3..<5, 0..<1, 1..<3, 2..<2] {
                    parts.write {
                        layer.product(table, isFine ? fine : input, fourBit: isFine, panels: panels, into: $0)
                    }
                }
                #expect(whole.values == parts.values && parts.isIntact, "\(Self.name(table))")
            }
        }
    }

    @Test func productsAreNearTheOnesInFullPrecision() {
        var numbers = Numbers(seed: 11)
        let (rows, outputs, inputs) = (12, 64, 896)
        let layer = QuantizedLayer(outputs: outputs, inputs: inputs, numbers: &numbers)
        let x = numbers.floats(rows * inputs)
        var exact = [Float](repeating: 0, count: rows * outputs)
        for r in 0..<rows {
            for n in 0..<outputs {
                let sum = (0..<inputs).reduce(0.0) {
                    $0 + Double(x[r * inputs + $1]) * Double(layer.weights[n * inputs + $1])
                }
                exact[r * outputs + n] = Float(sum)
            }
        }
        let whole = QuantizedRows(x, rows: rows, columns: inputs, group: inputs, with: Self.tables[0])
        let fine = QuantizedRows(x, rows: rows, columns: inputs, group: 32, with: Self.tables[0])
        for table in Self.tables {
            var out = Guarded(rows * outputs)
            out.write { layer.product(table, whole, fourBit: false, panels: 0..<4, into: $0) }
            #expect(cosine(out.values, exact) > 0.9999, "\(Self.name(table)) i8")
            out.write { layer.product(table, fine, fourBit: true, panels: 0..<4, into: $0) }
            #expect(cosine(out.values, exact) > 0.995, "\(Self.name(table)) i4")
        }
    }

    @Test func gelu() {
        // One weight of 127 * 1/127 and one activation: the product is the activation exactly.
        let x = (-1200...1200).map { Float($0) / 150 } + [-1e9, -1e4, -90, 90, 1e4, 1e9]
        let exact = x.map { 0.5 * Double($0) * (1 + erf(Double($0) / 2.0.squareRoot())) }
        var layer = QuantizedLayer(weights: [1], outputs: 1, inputs: 1)
        layer.scales[0] = 1 / 127
        let input = QuantizedRows(x, rows: x.count, columns: 1, group: 32, with: Self.tables[0])
        for table in Self.tables {
            var out = Guarded(x.count)
            out.write { layer.product8(table, input, bias: [0], residual: nil, gelu: true, into: $0) }
            let worst = zip(out.values, exact).map { abs(Double($0) - $1) / max(1, abs($1)) }.max() ?? 1
            #expect(worst < 2e-4, "\(Self.name(table)): \(worst)")
        }
    }

    /// Tables whose attention rounds its factors.
    static var roundingTables: [fv_quant_kernels] { tables.filter { $0.attention != nil } }

    @Test(
        .enabled(if: !roundingTables.isEmpty, "no kernels here round in attention"), arguments: [32, 40, 64, 96, 128])
    func attentionThatRoundsIsNearTheOneInFloat32(headDim: Int) throws {
        let reference = try #require(fv_f32_kernels_for(FV_ISA_SCALAR)).pointee
        var numbers = Numbers(seed: UInt64(headDim) + 78)
        for (queries, keys) in [(1, 20), (15, 15), (16, 16), (17, 40), (32, 32), (33, 257), (64, 64), (100, 300)] {
            // Rows lie apart by more than they are wide; a few weights are nearly all of a sum, or none.
            let apart = headDim + 3
            for scale in [Float(1), 8, 64] {
                let query = numbers.floats(queries * apart, scale: scale)
                let key = numbers.floats(keys * apart)
                let value = numbers.floats(keys * apart)
                for firstVisible in [keys, keys - queries + 1] {
                    var shape = fv_attention(
                        queries: Int32(queries), keys: Int32(keys), head_dim: Int32(headDim),
                        first_visible: Int32(firstVisible), scale: 1 / Float(headDim).squareRoot(), ld_query: apart,
                        ld_key: apart, ld_value: apart, ld_out: headDim)
                    var scratch = [Float](repeating: .nan, count: fv_attention_scratch(Int32(keys), Int32(headDim)))
                    var expected = Guarded(queries * headDim)
                    expected.write { reference.attention(&shape, query, key, value, $0, &scratch) }
                    let largest = expected.values.reduce(0) { max($0, abs($1)) }
                    for table in Self.roundingTables {
                        scratch = [Float](repeating: .nan, count: scratch.count)
                        var got = Guarded(queries * headDim)
                        got.write { table.attention(&shape, query, key, value, $0, &scratch) }
                        let worst = zip(got.values, expected.values).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                        #expect(
                            worst <= 1e-2 * largest && got.isIntact && got.values.allSatisfy(\.isFinite),
                            "\(Self.name(table)) \(queries) x \(keys) from \(firstVisible): \(worst) of \(largest)")
                    }
                }
            }
        }
    }

    @Test func noSumOverflows() {
        let inputs = Int(FV_QUANT_MAX_INPUTS)
        let values = [Int8](repeating: 127, count: inputs) + [Int8](repeating: -127, count: inputs)
        var layer = QuantizedLayer(weights: [1, 1], outputs: 2, inputs: 1)
        layer.replace(values, outputs: 2, inputs: inputs)
        let x = [Float](repeating: 127, count: inputs) + [Float](repeating: -127, count: inputs)
        let input = QuantizedRows(x, rows: 2, columns: inputs, group: inputs, with: Self.tables[0])
        let sum = Float(127 * 127 * inputs)
        for table in Self.tables {
            var out = Guarded(4)
            out.write { layer.product8(table, input, bias: nil, residual: nil, gelu: false, into: $0) }
            #expect(
                difference(out.values, [sum, -sum, -sum, sum]) < 1e-6 && out.isIntact,
                "\(Self.name(table)) \(out.values)")
        }
    }

    private func compare(
        _ what: String, count: Int, gelu: Bool, _ run: (fv_quant_kernels, UnsafeMutablePointer<Float>) -> Void
    ) {
        var expected = Guarded(count)
        expected.write { run(Self.tables[0], $0) }
        #expect(expected.isIntact, "scalar \(what)")
        for table in Self.tables.dropFirst() {
            var got = Guarded(count)
            got.write { run(table, $0) }
            #expect(got.isIntact, "\(Self.name(table)) \(what) wrote outside its output")
            let apart = difference(got.values, expected.values)
            #expect(apart <= (gelu ? 2e-4 : 2e-6), "\(Self.name(table)) \(what): \(apart)")
        }
    }

    private func cosine(_ a: [Float], _ b: [Float]) -> Double {
        func dot(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
        return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
    }
}
