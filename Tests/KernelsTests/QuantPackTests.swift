import CKernels
import Testing

/// Packed weights: what a row becomes and what may be packed.
@Suite struct QuantPackTests {
    @Test(arguments: [(1, 1), (15, 31), (16, 32), (17, 33), (50, 100)])
    func packedRowsComeBack(outputs: Int, inputs: Int) {
        var numbers = Numbers(seed: UInt64(outputs))
        let layer = QuantizedLayer(outputs: outputs, inputs: inputs, numbers: &numbers)
        for n in 0..<outputs {
            let row = Array(layer.weights[n * inputs..<(n + 1) * inputs])
            let largest = row.map(abs).max() ?? 0
            #expect(layer.scales[n] == largest / 127)
            #expect(zip(layer.unpacked8(row: n), row).allSatisfy { abs($0 - $1) <= largest / 127 * 0.5001 })
            let four = layer.unpacked4(row: n)
            for first in stride(from: 0, to: inputs, by: 32) {
                let group = first..<min(first + 32, inputs)
                let limit = (row[group].map(abs).max() ?? 0) / 7
                #expect(group.allSatisfy { abs(four[$0] - row[$0]) <= limit }, "row \(n), group at \(first)")
            }
        }
    }

    @Test func fourBitScalesAreChosenForTheLeastError() {
        // Plain rounding to the largest magnitude over 7 is the error to beat.
        var numbers = Numbers(seed: 3)
        let (outputs, inputs) = (32, 256)
        let layer = QuantizedLayer(outputs: outputs, inputs: inputs, numbers: &numbers)
        var chosen = 0.0
        var plain = 0.0
        for n in 0..<outputs {
            let row = Array(layer.weights[n * inputs..<(n + 1) * inputs])
            let four = layer.unpacked4(row: n)
            for first in stride(from: 0, to: inputs, by: 32) {
                let scale = (row[first..<first + 32].map(abs).max() ?? 0) / 7
                for k in first..<first + 32 {
                    let rounded = (row[k] / scale).rounded() * scale
                    plain += Double((rounded - row[k]) * (rounded - row[k]))
                    chosen += Double((four[k] - row[k]) * (four[k] - row[k]))
                }
            }
        }
        #expect(chosen < plain * 0.9, "\(chosen) against \(plain)")
    }

    @Test func weightsOfAllMagnitudesPack() {
        for scale in [Float(0), 1e-38, 1e-8, 1e-3, 1, 6e4, 1e6, 3e38] {
            var row = (0..<64).map { Float($0 - 31) / 32 * scale }
            row[5] = .nan
            row[6] = .infinity
            let layer = QuantizedLayer(weights: row, outputs: 1, inputs: 64)
            #expect(layer.unpacked8(row: 0).allSatisfy { $0.isFinite })
            let four = layer.unpacked4(row: 0)
            #expect(four.allSatisfy { $0.isFinite } && four[5] == 0 && four[6] == 0)
            if scale >= 1e-3 && scale <= 1e6 { #expect(abs(four[40] - row[40]) <= scale / 10 && four[20] != 0) }
        }
    }

    @Test func sizesThatCannotBePackedAreRefused() {
        let most = Int32(FV_QUANT_MAX_INPUTS)
        #expect(fv_i8_weights_bytes(16, most) == 16 * Int(most))
        #expect(fv_i8_weights_bytes(17, 33) == 32 * 64)
        #expect(fv_i4_nibbles_bytes(17, 33) == 32 * 32 && fv_i4_scales_bytes(17, 33) == 32 * 2 * 2)
        let refused: [(Int32, Int32)] = [(0, 4), (4, 0), (-1, 4), (4, -1), (4, most + 1), (4, Int32.max)]
        for (outputs, inputs) in refused {
            #expect(fv_i8_weights_bytes(outputs, inputs) == 0)
            #expect(fv_i4_nibbles_bytes(outputs, inputs) == 0 && fv_i4_scales_bytes(outputs, inputs) == 0)
        }
        #expect(fv_i8_weights_bytes(Int32.max, 32) == (Int(Int32.max) + 1) * 32)
        #expect(fv_quant_panels(Int32.max) == 1 << 27)
    }
}
