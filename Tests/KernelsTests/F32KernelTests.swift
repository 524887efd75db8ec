import CKernels
import Glibc
import Testing

/// Every float32 kernel of every instruction set that runs here against the scalar reference, over sizes
/// around the vector length and with outputs between canaries.
@Suite struct F32KernelTests {
    static let reference = fv_f32_kernels_for(FV_ISA_SCALAR).pointee
    static let widths = [1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 96, 100]

    func compare(
        _ what: String, count: Int, tolerance: Float = 2e-6,
        _ run: (fv_f32_kernels, UnsafeMutablePointer<Float>) -> Void
    ) {
        var expected = Guarded(count)
        expected.write { run(Self.reference, $0) }
        #expect(expected.isIntact, "scalar \(what) wrote outside its output")
        for isa in vectorSets {
            var got = Guarded(count)
            got.write { run(fv_f32_kernels_for(isa).pointee, $0) }
            #expect(got.isIntact, "\(name(isa)) \(what) wrote outside its output")
            let apart = difference(got.values, expected.values)
            #expect(apart <= tolerance, "\(name(isa)) \(what): \(apart)")
        }
    }

    @Test(arguments: [(3, 1, 1), (7, 1, 1), (3, 2, 1), (7, 2, 2), (3, 1, 2)])
    func depthwise(kernel: Int, stride: Int, multiplier: Int) {
        var numbers = Numbers(seed: UInt64(kernel * 100 + stride * 10 + multiplier))
        for channels in [1, 5, 8, 16, 20, 33, 48] {
            for (height, width) in [(1, 1), (2, 3), (5, 4), (7, 9), (8, 17), (13, 26)] {
                let input = numbers.floats(height * width * channels)
                let weights = numbers.floats(multiplier * kernel * kernel * channels)
                let bias = numbers.floats(channels * multiplier)
                let outHeight = (height + stride - 1) / stride
                let outWidth = (width + stride - 1) / stride
                for gelu in [Int32(0), 1] {
                    for rows in Set([0..<outHeight, outHeight / 2..<outHeight]) {
                        compare(
                            "depthwise \(kernel)x\(kernel) s\(stride) m\(multiplier) \(height)x\(width)x\(channels) rows \(rows)",
                            count: rows.count * outWidth * channels * multiplier
                        ) { kernels, out in
                            var shape = fv_depthwise(
                                kernel: Int32(kernel), stride: Int32(stride), multiplier: Int32(multiplier),
                                channels: Int32(channels), in_height: Int32(height), in_width: Int32(width),
                                in_first_row: 0,
                                gelu: gelu)
                            kernels.depthwise(
                                &shape, input, weights, bias, out, Int32(rows.lowerBound), Int32(rows.upperBound))
                        }
                    }
                }
            }
        }
    }

    @Test func depthwiseOverAWindowOfTheInput() {
        var numbers = Numbers(seed: 5)
        let (height, width, channels) = (12, 6, 17)
        let input = numbers.floats(height * width * channels)
        let weights = numbers.floats(9 * channels)
        let bias = numbers.floats(channels)
        for isa in [FV_ISA_SCALAR] + vectorSets {
            let kernels = fv_f32_kernels_for(isa).pointee
            var shape = fv_depthwise(
                kernel: 3, stride: 2, multiplier: 1, channels: Int32(channels), in_height: Int32(height),
                in_width: Int32(width), in_first_row: 0, gelu: 0)
            var whole = Guarded(2 * 3 * channels)
            whole.write { kernels.depthwise(&shape, input, weights, bias, $0, 2, 4) }
            shape.in_first_row = 3
            let window = Array(input[3 * width * channels..<8 * width * channels])
            var part = Guarded(2 * 3 * channels)
            part.write { kernels.depthwise(&shape, window, weights, bias, $0, 2, 4) }
            #expect(whole.values == part.values && part.isIntact, "\(name(isa))")
        }
    }

    @Test func stem() {
        var numbers = Numbers(seed: 7)
        for channels in [1, 8, 16, 17, 40, 96] {
            for (height, width) in [(1, 1), (2, 2), (3, 5), (8, 8), (9, 14), (16, 23)] {
                let input = numbers.floats(height * width * 3)
                let weights = numbers.floats(27 * channels)
                let bias = numbers.floats(channels)
                let rows = (height + 1) / 2
                compare("stem \(height)x\(width) -> \(channels)", count: rows * ((width + 1) / 2) * channels) {
                    $0.stem(input, Int32(height), Int32(width), Int32(channels), weights, bias, $1, 0, Int32(rows))
                }
            }
        }
    }

    @Test(arguments: widths)
    func finishesOfAProduct(columns: Int) {
        var numbers = Numbers(seed: UInt64(columns))
        let rows = 3
        let ld = columns + 5
        let sums = numbers.floats(rows * ld, scale: 4)
        let scale = numbers.floats(columns)
        let bias = numbers.floats(columns)
        let residual = numbers.floats(rows * ld)
        for parts in 0..<16 {
            compare("finish \(columns) parts \(parts)", count: rows * columns) { kernels, out in
                scale.withUnsafeBufferPointer { scale in
                    bias.withUnsafeBufferPointer { bias in
                        residual.withUnsafeBufferPointer { residual in
                            var ending = fv_ending(
                                scale: parts & 1 != 0 ? scale.baseAddress : nil,
                                bias: parts & 2 != 0 ? bias.baseAddress : nil,
                                residual: parts & 4 != 0 ? residual.baseAddress : nil, ld_residual: ld,
                                gelu: parts & 8 != 0 ? 1 : 0)
                            kernels.finish(sums, ld, &ending, out, columns, Int32(rows), Int32(columns))
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: widths)
    func norms(columns: Int) {
        var numbers = Numbers(seed: UInt64(columns) + 1000)
        let x = numbers.floats(4 * columns, scale: 30)
        let weight = numbers.floats(columns)
        let bias = numbers.floats(columns)
        compare("layer_norm \(columns)", count: 4 * columns, tolerance: 1e-5) {
            $0.layer_norm(x, columns, weight, bias, 1e-5, $1, columns, 4, Int32(columns))
        }
        compare("rms_norm \(columns)", count: 4 * columns) {
            $0.rms_norm(x, columns, weight, 1e-6, $1, columns, 4, Int32(columns))
        }
        compare("column_sums \(columns)", count: columns) { kernels, out in
            for c in 0..<columns { out[c] = 0.5 }
            kernels.column_sums(x, columns, out, 4, Int32(columns))
        }
        compare("scale_gelu \(columns)", count: 4 * columns) { kernels, out in
            out.update(from: x, count: 4 * columns)
            kernels.scale_gelu(out, columns, weight, 4, Int32(columns))
        }
        compare("silu_multiply \(columns)", count: 4 * columns) { kernels, out in
            out.update(from: x, count: 4 * columns)
            kernels.silu_multiply(out, x, 4 * columns)
        }
    }

    @Test func extremesOfTheActivations() {
        // Far out the approximations must saturate, not overflow.
        let x: [Float] = [-1e30, -1000, -90, -20, -5, -1e-6, 0, 1e-6, 5, 20, 90, 1000, 6e4, 1e30]
        let ones = [Float](repeating: 1, count: x.count)
        compare("gelu", count: x.count, tolerance: 1e-30) { kernels, out in
            out.update(from: x, count: x.count)
            kernels.scale_gelu(out, x.count, ones, 1, Int32(x.count))
        }
        compare("silu", count: x.count, tolerance: 1e-6) { kernels, out in
            out.update(from: x, count: x.count)
            kernels.silu_multiply(out, ones, x.count)
        }
    }

    @Test func gelu() {
        // Against erf in double precision: the whole range that matters, densely.
        let x = (-60_000...60_000).map { Float($0) / 10_000 }
        let exact = x.map { 0.5 * Double($0) * (1 + erf(Double($0) / 2.0.squareRoot())) }
        let ones = [Float](repeating: 1, count: x.count)
        for isa in vectorSets {
            var out = Guarded(x.count)
            out.write {
                $0.update(from: x, count: x.count)
                fv_f32_kernels_for(isa).pointee.scale_gelu($0, x.count, ones, 1, Int32(x.count))
            }
            let worst = zip(out.values, exact).map { abs(Double($0) - $1) }.max() ?? 1
            #expect(worst < 2e-6, "\(name(isa))")
        }
    }

    @Test(arguments: [2, 4, 16, 32, 64, 80, 128])
    func rope(headDim: Int) {
        var numbers = Numbers(seed: UInt64(headDim))
        let x = numbers.floats(3 * 2 * headDim)
        let cosines = numbers.floats(3 * headDim / 2)
        let sines = numbers.floats(3 * headDim / 2)
        compare("rope \(headDim)", count: x.count) { kernels, out in
            out.update(from: x, count: x.count)
            kernels.rope(out, 2 * headDim, cosines, sines, 3, 2, Int32(headDim))
        }
    }

    @Test(arguments: [8, 16, 32, 40, 64, 128])
    func attention(headDim: Int) {
        var numbers = Numbers(seed: UInt64(headDim) + 77)
        for (queries, keys) in [(1, 1), (1, 37), (5, 5), (6, 64), (9, 130), (33, 257)] {
            let query = numbers.floats(queries * headDim, scale: 3)
            let key = numbers.floats(keys * headDim)
            let value = numbers.floats(keys * headDim)
            for firstVisible in [keys, keys - queries + 1] {
                compare(
                    "attention \(queries) x \(keys) x \(headDim) from \(firstVisible)", count: queries * headDim,
                    tolerance: 5e-6
                ) {
                    kernels, out in
                    var shape = fv_attention(
                        queries: Int32(queries), keys: Int32(keys), head_dim: Int32(headDim),
                        first_visible: Int32(firstVisible),
                        scale: 0.3, ld_query: headDim, ld_key: headDim, ld_value: headDim, ld_out: headDim)
                    var scratch = [Float](repeating: .nan, count: fv_attention_scratch(Int32(keys), Int32(headDim)))
                    kernels.attention(&shape, query, key, value, out, &scratch)
                }
            }
        }
    }

    @Test(arguments: [FV_F32, FV_F16, FV_BF16])
    func matrixTimesVector(element: fv_element) {
        var numbers = Numbers(seed: UInt64(element.rawValue) + 9)
        for columns in [1, 15, 16, 17, 32, 33, 64, 100, 896] {
            let rows = 11
            let x = numbers.floats(columns)
            let weights = stored(numbers.floats(rows * columns), as: element)
            compare("gemv \(columns)", count: rows, tolerance: 1e-5) {
                $0.gemv(weights, element, x, $1, 0, Int32(rows), Int32(columns))
            }
        }
    }

    @Test func everyHalfExpandsExactly() {
        let halves = (0..<UInt16.max).map { $0 }
        for element in [FV_F16, FV_BF16] {
            for isa in [FV_ISA_SCALAR] + vectorSets {
                var out = Guarded(halves.count)
                out.write { fv_f32_kernels_for(isa).pointee.expand(halves, element, $0, halves.count) }
                #expect(out.isIntact)
                let expected = halves.map {
                    element == FV_F16 ? Float(Float16(bitPattern: $0)) : Float(bitPattern: UInt32($0) << 16)
                }
                let wrong = zip(out.values, expected).filter {
                    $0.bitPattern != $1.bitPattern && !($0.isNaN && $1.isNaN)
                }
                #expect(wrong.isEmpty, "\(name(isa)) \(element): \(wrong.prefix(3))")
            }
        }
    }

    func stored(_ values: [Float], as element: fv_element) -> [UInt8] {
        values.flatMap { value in
            switch element {
            case FV_F32: withUnsafeBytes(of: value, Array.init)
            case FV_F16: withUnsafeBytes(of: Float16(value), Array.init)
            default: withUnsafeBytes(of: UInt16(truncatingIfNeeded: value.bitPattern >> 16), Array.init)
            }
        }
    }
}
