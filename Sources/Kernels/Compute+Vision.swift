internal import CKernels
internal import Glibc

/// The layers of a ConvFFN: depthwise 7x7 (BatchNorm folded), 1x1 to four times the channels, GELU, 1x1 back.
public struct ConvFFNWeights: Sendable {
    public let depthwise: DepthwiseWeights
    public let expand: LinearWeights
    public let contract: LinearWeights

    public init(depthwise: DepthwiseWeights, expand: LinearWeights, contract: LinearWeights) {
        self.depthwise = depthwise
        self.expand = expand
        self.contract = contract
    }
}

extension Compute {
    /// A depthwise convolution of `input` into `output`, with GELU after the bias if asked.
    public func depthwise(_ input: FeatureMap, _ weights: DepthwiseWeights, into output: FeatureMap, gelu: Bool = false)
    {
        precondition(
            input.channels == weights.channels && output.channels == weights.channels * weights.multiplier
                && output.height == weights.outputSize(input.height) && output.width == weights.outputSize(input.width),
            "depthwise shapes")
        split(output.height, grain: max(1, 4096 / max(output.width * output.channels, 1))) { rows, _ in
            depthwise(
                input, weights, rows: rows, into: output.pixels.base(row: rows.lowerBound * output.width), gelu: gelu)
        }
    }

    /// Output rows `rows` on the calling thread, written from `out` on. `firstRow` is the row of the input
    /// that `input` begins with where it is a window, and `height` is then the whole input's.
    func depthwise(
        _ input: FeatureMap, _ weights: DepthwiseWeights, rows: Range<Int>, into out: UnsafeMutablePointer<Float>,
        gelu: Bool,
        firstRow: Int = 0, height: Int? = nil
    ) {
        var shape = fv_depthwise(
            kernel: Int32(weights.kernel), stride: Int32(weights.stride), multiplier: Int32(weights.multiplier),
            channels: Int32(weights.channels), in_height: Int32(height ?? input.height), in_width: Int32(input.width),
            in_first_row: Int32(firstRow), gelu: gelu ? 1 : 0)
        // Unsafe: C reads weights and biases during the call only; their numbers were checked when they were made.
        weights.values.withUnsafeBufferPointer { values in
            weights.bias.withUnsafeBufferPointer { bias in
                kernels.depthwise(
                    &shape, input.pixels.base, values.baseAddress, bias.baseAddress, out, Int32(rows.lowerBound),
                    Int32(rows.upperBound))
            }
        }
    }

    /// FastViTHD's stem: 3x3 stride 2 from RGB, depthwise 3x3 stride 2, 1x1, GELU after each.
    ///
    /// - Parameters:
    ///   - picture: `[height, width, 3]`, 0...1.
    ///   - first: `[27, channels]`, row `(ky*3 + kx)*3 + colour`.
    ///   - firstBias: `[channels]`.
    ///   - output: `[height/4, width/4, channels]`, each size rounded up twice.
    public func stem(
        _ picture: FeatureMap, first: [Float], firstBias: [Float], depthwise second: DepthwiseWeights,
        pointwise: LinearWeights,
        into output: FeatureMap
    ) {
        let channels = second.channels
        let height = (picture.height + 1) / 2
        let width = (picture.width + 1) / 2
        precondition(
            picture.channels == 3 && first.count == 27 * channels && firstBias.count == channels, "stem shapes")
        precondition(
            output.height == second.outputSize(height) && output.width == second.outputSize(width)
                && output.channels == pointwise.outputs, "stem output")
        // The half-resolution map would be the model's largest by far: only the rows that a tile of the
        // output needs ever exist, in each thread's scratch.
        let tile = 4
        let windowRows = tile * 2 + 1
        let windowCount = windowRows * width * channels
        let memory = scratch(windowCount + tile * output.width * channels)
        pool.loop((output.height + tile - 1) / tile) { index, worker in
            let rows = index * tile..<min((index + 1) * tile, output.height)
            let window = max(0, rows.lowerBound * 2 - 1)..<min(height, rows.upperBound * 2)
            first.withUnsafeBufferPointer { weights in
                firstBias.withUnsafeBufferPointer { bias in
                    kernels.stem(
                        picture.pixels.base, Int32(picture.height), Int32(picture.width), Int32(channels),
                        weights.baseAddress,
                        bias.baseAddress, memory[worker].base, Int32(window.lowerBound), Int32(window.upperBound))
                }
            }
            let half = FeatureMap(memory[worker], height: window.count, width: width, channels: channels)
            let middle = Matrix(memory[worker], offset: windowCount, rows: rows.count * output.width, columns: channels)
            depthwise(
                half, second, rows: rows, into: middle.base, gelu: true, firstRow: window.lowerBound, height: height)
            let pixels = rows.lowerBound * output.width..<rows.upperBound * output.width
            product(middle, pointwise, into: output.pixels.rows(pixels), LinearEnding(gelu: true), worker: worker)
        }
    }

    /// Between two stages: 7x7 stride 2 with two outputs a channel, GELU, 1x1, GELU.
    ///
    /// - Parameter hidden: Storage for maps with few pixels, whose layers run one after the other: pixels * channels floats.
    public func downsample(
        _ input: FeatureMap, depthwise first: DepthwiseWeights, pointwise: LinearWeights, into output: FeatureMap,
        hidden: FloatStorage
    ) {
        precondition(
            first.multiplier * first.channels == pointwise.inputs && pointwise.outputs == output.channels
                && output.height == first.outputSize(input.height) && output.width == first.outputSize(input.width),
            "downsampling shapes")
        guard pointwise.fitsTiles, tilesPay(output, weightCount: pointwise.inputs * pointwise.outputs) else {
            let middle = FeatureMap(hidden, height: output.height, width: output.width, channels: pointwise.inputs)
            depthwise(input, first, into: middle, gelu: true)
            return linear(middle.pixels, pointwise, into: output.pixels, ending: LinearEnding(gelu: true))
        }
        tiles(output, channels: pointwise.inputs, floats: pointwise.inputs) { rows, pixels, worker, memory in
            let middle = Matrix(memory, rows: pixels.count, columns: pointwise.inputs)
            depthwise(input, first, rows: rows, into: middle.base, gelu: true)
            product(middle, pointwise, into: output.pixels.rows(pixels), LinearEnding(gelu: true), worker: worker)
        }
    }

    /// `output = input + scale * contract(gelu(expand(depthwise(input))))`; `output` is another map than `input`.
    ///
    /// - Parameter hidden: Storage for maps with few pixels, whose layers run one after the other:
    ///   pixels * (channels + expanded channels) floats.
    public func convFFN(_ input: FeatureMap, _ weights: ConvFFNWeights, into output: FeatureMap, hidden: FloatStorage) {
        let channels = input.channels
        let wide = weights.expand.outputs
        precondition(output.pixels.base != input.pixels.base, "a ConvFFN cannot run in place: its windows overlap")
        precondition(weights.expand.inputs == channels && weights.contract.inputs == wide, "ConvFFN shapes")
        let tilesPay = tilesPay(output, weightCount: channels * wide)
        // 8-bit weights pass through in a quarter of the time, and the wide map is as large as of floats.
        let bandsPay = tilesPay || output.pixels.rows * channels * 8 >= channels * wide
        if bandsPay, weights.expand.scalesWholeRows, weights.contract.scalesWholeRows {
            quantizedConvFFN(input, weights, into: output)
        } else if tilesPay, weights.expand.fitsTiles, weights.contract.fitsTiles {
            tiles(output, channels: channels, floats: channels + wide) { rows, pixels, worker, memory in
                let middle = Matrix(memory, rows: pixels.count, columns: channels)
                let expanded = Matrix(memory, offset: pixels.count * channels, rows: pixels.count, columns: wide)
                depthwise(input, weights.depthwise, rows: rows, into: middle.base, gelu: false)
                product(middle, weights.expand, into: expanded, LinearEnding(gelu: true), worker: worker)
                let residual = LinearEnding(residual: input.pixels.rows(pixels))
                product(expanded, weights.contract, into: output.pixels.rows(pixels), residual, worker: worker)
            }
        } else {
            let count = input.pixels.rows
            let middle = FeatureMap(hidden, height: input.height, width: input.width, channels: channels)
            let expanded = Matrix(hidden, offset: count * channels, rows: count, columns: wide)
            depthwise(input, weights.depthwise, into: middle)
            linear(middle.pixels, weights.expand, into: expanded, ending: LinearEnding(gelu: true))
            linear(expanded, weights.contract, into: output.pixels, ending: LinearEnding(residual: input.pixels))
        }
    }

    /// LayerNorm over the channels of each pixel.
    public func layerNorm(_ x: Matrix, weight: [Float], bias: [Float], epsilon: Float, into out: Matrix) {
        precondition(
            weight.count == x.columns && bias.count == x.columns && out.columns == x.columns, "LayerNorm shapes")
        split(x.rows, grain: 16) { rows, _ in
            kernels.layer_norm(
                x.rows(rows).base, x.columns, weight, bias, epsilon, out.rows(rows).base, out.columns,
                Int32(rows.count),
                Int32(x.columns))
        }
    }

    /// Attention of all pixels to all pixels: `qkv` `[pixels, 3 * channels]` (queries, keys, values, each by
    /// heads) into `out` `[pixels, channels]`.
    ///
    /// - Parameter mayRound: Whether factors may be rounded to bfloat16 where that is faster: beside quantized products.
    public func selfAttention(_ qkv: Matrix, headDim: Int, mayRound: Bool, into out: Matrix) {
        let channels = out.columns
        precondition(qkv.columns == 3 * channels && channels % headDim == 0 && qkv.rows == out.rows, "attention shapes")
        let memory = scratch(fv_attention_scratch(Int32(qkv.rows), Int32(headDim)))
        let heads = channels / headDim
        let attend = attention(mayRound: mayRound)
        pool.loop(heads) { head, worker in
            var shape = fv_attention(
                queries: Int32(qkv.rows), keys: Int32(qkv.rows), head_dim: Int32(headDim),
                first_visible: Int32(qkv.rows),
                scale: 1 / Float(headDim).squareRoot(), ld_query: qkv.columns, ld_key: qkv.columns,
                ld_value: qkv.columns,
                ld_out: channels)
            let query = qkv.base + head * headDim
            attend(
                &shape, query, query + channels, query + 2 * channels, out.base + head * headDim, memory[worker].base)
        }
    }

    /// Squeeze-excite and GELU in place: `x *= sigmoid(expand(relu(reduce(mean over pixels))))`, then GELU.
    public func squeezeExciteGELU(_ map: FeatureMap, reduce: LinearWeights, expand: LinearWeights) {
        let channels = map.channels
        let mean = Matrix(rows: 1, columns: channels)
        mean.set([Float](repeating: 0, count: channels))
        kernels.column_sums(map.pixels.base, channels, mean.base, Int32(map.pixels.rows), Int32(channels))
        mean.set(mean.values().map { $0 / Float(map.pixels.rows) })
        let squeezed = Matrix(rows: 1, columns: reduce.outputs)
        linear(mean, reduce, into: squeezed)
        squeezed.set(squeezed.values().map { max($0, 0) })
        linear(squeezed, expand, into: mean)
        let factor = mean.values().map { 1 / (1 + expf(-$0)) }
        split(map.pixels.rows, grain: 16) { rows, _ in
            kernels.scale_gelu(map.pixels.rows(rows).base, channels, factor, Int32(rows.count), Int32(channels))
        }
    }

    /// Whether a map has so many pixels, for a layer with `weightCount` weights, that each thread had better
    /// take tiles of pixels through all layers (the wide map stays in cache) than share each layer's outputs
    /// (every weight is read once).
    private func tilesPay(_ map: FeatureMap, weightCount: Int) -> Bool {
        map.pixels.rows * map.channels * 4 >= weightCount
    }

    /// Runs `body(rows, pixels, worker, scratch)` over the rows of `map` in tiles whose `floats` a pixel fit a core's cache.
    private func tiles(
        _ map: FeatureMap, channels: Int, floats: Int, _ body: (Range<Int>, Range<Int>, Int, FloatStorage) -> Void
    ) {
        let cached = 192 * 1024
        let most = (map.height + pool.threads - 1) / pool.threads
        let rows = max(1, min(most, max(cached / max(floats, 1), 128) / max(map.width, 1)))
        let memory = scratch(rows * map.width * floats)
        pool.loop((map.height + rows - 1) / rows) { tile, worker in
            let rows = tile * rows..<min((tile + 1) * rows, map.height)
            body(rows, rows.lowerBound * map.width..<rows.upperBound * map.width, worker, memory[worker])
        }
    }
}

extension Matrix {
    func base(row: Int) -> UnsafeMutablePointer<Float> { base + row * columns }
}
