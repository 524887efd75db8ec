import Kernels
import ModelFiles

/// Runs ``Qwen2`` over a growing sequence.
final class Qwen2Decoder {
    let cache: KVCache
    private let model: Qwen2
    private var angles: RotaryAngles
    private var storage = FloatStorage(count: 0)
    private let logits: Matrix

    init(_ model: Qwen2) {
        self.model = model
        let text = model.configuration
        cache = KVCache(layers: text.layerCount, width: text.keyValueHeadCount * text.headDim)
        angles = RotaryAngles(positions: 0, headDim: text.headDim, theta: text.ropeTheta)
        logits = Matrix(rows: 1, columns: text.vocabularySize)
    }

    /// Makes room for a sequence of `positions`. Throws where the model was not made for so many.
    func reserve(_ positions: Int) throws(FastVLMError) {
        let text = model.configuration
        guard positions <= text.maxPositions else {
            throw FastVLMError(
                .contextTooLong,
                "Cannot run a sequence of \(positions) tokens: the model was made for at most \(text.maxPositions). "
                    + "Shorten the question or lower the token limit.")
        }
        cache.reserve(positions)
        if angles.positions < positions {
            angles = RotaryAngles(positions: cache.capacity, headDim: text.headDim, theta: text.ropeTheta)
        }
    }

    /// The embeddings of `ids`, one row each.
    func embed(_ ids: [Int], compute: Compute, into rows: Matrix) {
        compute.gather(ids, from: model.embedding, into: rows)
    }

    /// Appends `input` `[rows, hidden]`, one row or more, to the sequence, for which room was reserved. Its content is lost.
    ///
    /// - Parameter checkpoint: Called between layers; what it throws leaves the sequence as it was.
    /// - Returns: The logits `[vocabulary]` after the last row, valid until the next call.
    func append(
        _ input: Matrix, compute: Compute, checkpoint: () throws(FastVLMError) -> Void
    ) throws(FastVLMError) -> Matrix {
        let text = model.configuration
        let count = input.rows
        precondition(count > 0, "nothing to append")
        let epsilon = Float(text.rmsNormEpsilon)
        let start = cache.length
        let added = start..<start + count
        let all = 0..<start + count
        let hidden = text.hiddenSize
        let queries = text.headCount * text.headDim
        let needed = count * (2 * hidden + 2 * queries + 2 * text.intermediateSize)
        if storage.count < needed { storage = FloatStorage(count: needed) }
        var offset = 0
        func matrix(_ columns: Int) -> Matrix {
            defer { offset += count * columns }
            return Matrix(storage, offset: offset, rows: count, columns: columns)
        }
        let normed = matrix(hidden)
        let middles = matrix(hidden)
        let queryRows = matrix(queries)
        let attendedRows = matrix(queries)
        let gates = matrix(text.intermediateSize)
        let ups = matrix(text.intermediateSize)
        for (index, layer) in model.layers.enumerated() {
            try checkpoint()
            // Of the last layer, later positions need the keys and values alone, and the output head the last row.
            let isCut = index == model.layers.count - 1 && count > 1
            let wanted = isCut ? count - 1..<count : 0..<count
            let (x, middle) = (input.rows(wanted), middles.rows(wanted))
            let (query, attended) = (queryRows.rows(wanted), attendedRows.rows(wanted))
            let (gate, up) = (gates.rows(wanted), ups.rows(wanted))
            let key = cache.keys(index, added)
            let queryTask = LinearTask(layer.query, into: query)
            let keyAndValue = [
                LinearTask(layer.key, into: key), LinearTask(layer.value, into: cache.values(index, added)),
            ]
            compute.linear(
                rmsNorm: input, weight: layer.attentionNorm, epsilon: epsilon, through: normed,
                isCut ? keyAndValue : [queryTask] + keyAndValue)
            if isCut { compute.linear(normed.rows(wanted), [queryTask]) }
            compute.rope(query, angles: angles, firstPosition: start + wanted.lowerBound, headDim: text.headDim)
            compute.rope(key, angles: angles, firstPosition: start, headDim: text.headDim)
            compute.causalAttention(
                query, keys: cache.keys(index, all), values: cache.values(index, all), headDim: text.headDim,
                mayRound: layer.key.element.isQuantized, into: attended)
            compute.linear(attended, layer.output, into: middle, ending: LinearEnding(residual: x))
            compute.gatedMLP(
                rmsNorm: middle, weight: layer.mlpNorm, epsilon: epsilon, through: normed.rows(wanted),
                gate: LinearTask(layer.gate, into: gate), up: LinearTask(layer.up, into: up),
                LinearTask(layer.down, into: x, ending: LinearEnding(residual: middle)))
        }
        cache.advance(count)
        let last = normed.rows(0..<1)
        compute.rmsNorm(input.rows(count - 1..<count), weight: model.norm, epsilon: epsilon, into: last)
        compute.linear(last, model.head, into: logits)
        return logits
    }
}
