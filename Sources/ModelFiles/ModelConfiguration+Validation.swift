extension ModelConfiguration {
    /// Checks every value against the range in which the engine's arithmetic is sound.
    ///
    /// - Parameter subject: where the values come from, for messages.
    /// - Throws: `configurationInvalid` with the name, the value and the allowed range of the first wrong one.
    func validate(subject: String) throws(ModelFileError) {
        let check = RangeCheck(subject: subject)
        try check("hidden_size", text.hiddenSize, 1...65_536)
        try check("intermediate_size", text.intermediateSize, 1...1_048_576)
        try check("num_hidden_layers", text.layerCount, 1...1_024)
        try check("num_attention_heads", text.headCount, 1...1_024)
        try check("num_key_value_heads", text.keyValueHeadCount, 1...text.headCount)
        try check("head_dim", text.headDim, 2...1_024)
        try check("vocab_size", text.vocabularySize, 1...16_777_216)
        try check("max_position_embeddings", text.maxPositions, 1...16_777_216)
        try check("rope_theta", text.ropeTheta, 1...1e12)
        try check("rms_norm_eps", text.rmsNormEpsilon, 1e-12...0.1)
        guard text.headCount.isMultiple(of: text.keyValueHeadCount) else {
            throw check.failure(
                "num_key_value_heads is \(text.keyValueHeadCount), expected a divisor of num_attention_heads "
                    + "(\(text.headCount))")
        }
        guard text.headDim.isMultiple(of: 2) else {
            throw check.failure("head_dim is \(text.headDim), expected an even number")
        }
        try validateVision(check)
    }

    private func validateVision(_ check: RangeCheck) throws(ModelFileError) {
        try check("encoder stages", vision.stageCount, 1...8)
        let counts = [vision.depths.count, vision.attentionStages.count, vision.positionStages.count]
        guard counts.allSatisfy({ $0 == vision.stageCount }) else {
            throw check.failure("the encoder's lists have \(counts) entries, expected \(vision.stageCount) each")
        }
        try check("encoder head_dim", vision.headDim, 1...1_024)
        try check("encoder ffn_expansion", vision.ffnExpansion, 1...64)
        try check("encoder squeeze_width", vision.squeezeWidth, 1...65_536)
        for stage in 0..<vision.stageCount {
            let width = vision.embedDims[stage]
            try check("encoder embed_dims[\(stage)]", width, 1...65_536)
            try check("encoder depths[\(stage)]", vision.depths[stage], 1...512)
            if vision.attentionStages[stage], !width.isMultiple(of: vision.headDim) {
                throw check.failure(
                    "encoder embed_dims[\(stage)] is \(width), expected a multiple of its head_dim "
                        + "(\(vision.headDim)) in an attention stage")
            }
        }
        // Each downsampling doubles the channels: two outputs for each input channel.
        for stage in 1..<max(1, vision.stageCount) where vision.embedDims[stage] != 2 * vision.embedDims[stage - 1] {
            throw check.failure(
                "encoder embed_dims[\(stage)] is \(vision.embedDims[stage]), expected \(2 * vision.embedDims[stage - 1]) "
                    + "(twice the stage before)")
        }
    }
}

/// Range checks that share the words of their message.
struct RangeCheck {
    let subject: String

    func callAsFunction(_ key: String, _ value: Int, _ range: ClosedRange<Int>) throws(ModelFileError) {
        guard range.contains(value) else {
            throw failure("\(key) is \(value), expected \(range.lowerBound) to \(range.upperBound)")
        }
    }

    func callAsFunction(_ key: String, _ value: Double, _ range: ClosedRange<Double>) throws(ModelFileError) {
        guard range.contains(value) else {
            throw failure("\(key) is \(value), expected \(range.lowerBound) to \(range.upperBound)")
        }
    }

    func failure(_ problem: String) -> ModelFileError {
        ModelFileError(.configurationInvalid, "Cannot use the configuration of \(subject): \(problem).")
    }
}
