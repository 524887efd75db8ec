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

    /// Inputs whose 8-bit activations share a scale.
    static let activationGroup = 128

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
        // Trained decoders have a few activations far above the rest; a whole row on one scale would lose the others.
        func linear(_ name: String, _ outputs: Int, _ inputs: Int) throws(ModelFileError) -> LinearWeights {
            var weights = try model.linear(name, outputs: outputs, inputs: inputs)
            if inputs.isMultiple(of: Self.activationGroup) { weights.activationGroup = Self.activationGroup }
            return weights
        }
        embedding = try linear("text.embedding", text.vocabularySize, hidden)
        var layers: [Layer] = []
        for index in 0..<text.layerCount {
            let name = "text.layers.\(index)"
            layers.append(
                Layer(
                    attentionNorm: try model.vector("\(name).attention.norm.weight", count: hidden),
                    query: try linear("\(name).attention.q", queries, hidden),
                    key: try linear("\(name).attention.k", keys, hidden),
                    value: try linear("\(name).attention.v", keys, hidden),
                    output: try linear("\(name).attention.o", hidden, queries),
                    mlpNorm: try model.vector("\(name).mlp.norm.weight", count: hidden),
                    gate: try linear("\(name).mlp.gate", text.intermediateSize, hidden),
                    up: try linear("\(name).mlp.up", text.intermediateSize, hidden),
                    down: try linear("\(name).mlp.down", hidden, text.intermediateSize)))
        }
        self.layers = layers
        norm = try model.vector("text.norm.weight", count: hidden)
        head =
            model.optionalTensor("text.head.weight") == nil
            ? embedding : try linear("text.head", text.vocabularySize, hidden)
    }
}
