extension CheckpointLayout {
    /// The encoder's widths and depths, read from the names and shapes of its tensors, so that a smaller encoder of
    /// the same family loads too.
    ///
    /// Only what the architecture needs is looked at; that every tensor is there and has the right shape is checked
    /// when it is loaded.
    func encoder(in files: CheckpointFiles) throws(ModelFileError) -> ModelConfiguration.Vision {
        let stages = try family == .apple ? appleStages(in: files) : transformersStages(in: files)
        guard !stages.isEmpty else {
            throw ModelFileError(
                .layoutUnknown,
                "Cannot open the checkpoint '\(files.directory)': no encoder stage under '\(visionPrefix)'.")
        }
        var vision = ModelConfiguration.Vision(
            embedDims: [], depths: stages.map(\.depth), attentionStages: stages.map(\.hasAttention),
            positionStages: stages.map(\.hasPosition), squeezeWidth: 0)
        for stage in stages.indices {
            let contract = storedName(of: .block(stage: stage, index: 0, .ffnContract), in: vision) + ".weight"
            vision.embedDims.append(try rows(of: contract, in: files))
        }
        let expand = storedName(of: .block(stage: 0, index: 0, .ffnExpand), in: vision) + ".weight"
        let width = vision.embedDims[0]
        let hidden = try rows(of: expand, in: files)
        guard width > 0, hidden.isMultiple(of: width) else {
            throw ModelFileError(
                .tensorShapeMismatch,
                "Cannot load tensor '\(expand)' from '\(files.path(of: expand))': \(hidden) rows, expected a multiple "
                    + "of \(width).")
        }
        vision.ffnExpansion = hidden / width
        vision.squeezeWidth = try rows(of: storedName(of: .squeezeReduce, in: vision) + ".weight", in: files)
        return vision
    }

    /// What the names say of one stage.
    private struct Stage {
        var depth = 0
        var hasAttention = false
        var hasPosition = false

        /// Notes a tensor of block `index`.
        mutating func note(block index: Int, _ rest: Substring) {
            depth = max(depth, index + 1)
            hasAttention = hasAttention || rest.hasPrefix("token_mixer.qkv.")
        }
    }

    /// Largest index that a name may carry: keeps lists small whatever a file says.
    private static var maximumIndex: Int { 1_000 }

    /// Apple's flat `network.N`: blocks, then (downsampling, perhaps a positional convolution, blocks) again and again.
    private func appleStages(in files: CheckpointFiles) throws(ModelFileError) -> [Stage] {
        enum Kind { case blocks, downsample, position }
        var kinds: [Int: Kind] = [:]
        var blocks: [Int: Stage] = [:]
        for name in files.names {
            guard let (index, rest) = indexed(name, after: visionPrefix + "network.") else { continue }
            if rest.hasPrefix("proj.") {
                kinds[index] = .downsample
            } else if rest.hasPrefix("reparam_conv.") {
                kinds[index] = .position
            } else if let (block, rest) = indexed(String(rest), after: "") {
                kinds[index] = .blocks
                blocks[index, default: Stage()].note(block: block, rest)
            }
        }
        var stages: [Stage] = []
        var next = 0
        while next < kinds.count {
            if !stages.isEmpty {
                guard kinds[next] == .downsample else { throw disorder(next, files) }
                next += 1
            }
            let hasPosition = kinds[next] == .position
            next += hasPosition ? 1 : 0
            guard kinds[next] == .blocks, var stage = blocks[next] else { throw disorder(next, files) }
            stage.hasPosition = hasPosition
            stages.append(stage)
            next += 1
        }
        return stages
    }

    private func disorder(_ index: Int, _ files: CheckpointFiles) -> ModelFileError {
        ModelFileError(
            .layoutUnknown,
            "Cannot open the checkpoint '\(files.directory)': '\(visionPrefix)network.\(index)' is missing or not what "
                + "FastViTHD has there.")
    }

    private func transformersStages(in files: CheckpointFiles) throws(ModelFileError) -> [Stage] {
        var stages: [Int: Stage] = [:]
        for name in files.names {
            guard let (index, rest) = indexed(name, after: visionPrefix + "stages.") else { continue }
            if rest.hasPrefix("pos_emb.") {
                stages[index, default: Stage()].hasPosition = true
            } else if rest.hasPrefix("blocks."), let (block, rest) = indexed(String(rest), after: "blocks.") {
                stages[index, default: Stage()].note(block: block, rest)
            }
        }
        var ordered: [Stage] = []
        for index in 0..<stages.count {
            guard let stage = stages[index], stage.depth > 0 else {
                throw ModelFileError(
                    .layoutUnknown,
                    "Cannot open the checkpoint '\(files.directory)': '\(visionPrefix)stages.\(index).blocks' is "
                        + "missing.")
            }
            ordered.append(stage)
        }
        return ordered
    }

    /// `prefix` + N + "." + rest -> (N, rest).
    private func indexed(_ name: String, after prefix: String) -> (Int, Substring)? {
        guard name.hasPrefix(prefix) else { return nil }
        let tail = name.dropFirst(prefix.count)
        guard let dot = tail.firstIndex(of: "."), let index = Int(tail[..<dot]), (0...Self.maximumIndex).contains(index)
        else { return nil }
        return (index, tail[tail.index(after: dot)...])
    }

    private func rows(of name: String, in files: CheckpointFiles) throws(ModelFileError) -> Int {
        let shape = try files.tensor(name).shape
        guard let first = shape.first, shape.count == 2 || shape.count == 4 else {
            throw ModelFileError(
                .tensorShapeMismatch,
                "Cannot load tensor '\(name)' from '\(files.path(of: name))': shape \(shape), expected a matrix.")
        }
        return first
    }
}
