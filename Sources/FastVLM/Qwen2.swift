import Kernels
import ModelFiles

/// The weights of the Qwen2 decoder (`Qwen2ForCausalLM` in transformers): pre-norm blocks of grouped-query
/// attention with rotary positions and SwiGLU.
struct Qwen2: Sendable {
    struct Layer: Sendable {
        let attentionNorm: [Float]
        let query: LinearWeights
        let key: LinearWeights
        let value: LinearWeights
        let output: LinearWeights
        let mlpNorm: [Float]
        let gate: LinearWeights
        let up: LinearWeights
        let down: LinearWeights
    }

    let configuration: ModelConfiguration.Text
    let embedding: LinearWeights
    let layers: [Layer]
    let norm: [Float]
    /// The output head; the embedding where they are shared.
    let head: LinearWeights

    init(_ model: PreparedModel) throws(ModelFileError) {
        let text = model.configuration.text
        let hidden = text.hiddenSize
        let queries = text.headCount * text.headDim
        let keys = text.keyValueHeadCount * text.headDim
        configuration = text
        embedding = try model.linear("text.embedding", outputs: text.vocabularySize, inputs: hidden)
        var layers: [Layer] = []
        for index in 0..<text.layerCount {
            let name = "text.layers.\(index)"
            layers.append(
                Layer(
                    attentionNorm: try model.vector("\(name).attention.norm.weight", count: hidden),
                    query: try model.linear("\(name).attention.q", outputs: queries, inputs: hidden),
                    key: try model.linear("\(name).attention.k", outputs: keys, inputs: hidden),
                    value: try model.linear("\(name).attention.v", outputs: keys, inputs: hidden),
                    output: try model.linear("\(name).attention.o", outputs: hidden, inputs: queries),
                    mlpNorm: try model.vector("\(name).mlp.norm.weight", count: hidden),
                    gate: try model.linear("\(name).mlp.gate", outputs: text.intermediateSize, inputs: hidden),
                    up: try model.linear("\(name).mlp.up", outputs: text.intermediateSize, inputs: hidden),
                    down: try model.linear("\(name).mlp.down", outputs: hidden, inputs: text.intermediateSize)))
        }
        self.layers = layers
        norm = try model.vector("text.norm.weight", count: hidden)
        head =
            model.optionalTensor("text.head.weight") == nil
            ? embedding : try model.linear("text.head", outputs: text.vocabularySize, inputs: hidden)
    }
}
