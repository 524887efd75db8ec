internal import Kernels

/// Every tensor of a packed file with its place, decided before the first byte is written.
struct PackedModelPlan: Sendable {
    /// Where a tensor's bytes come from.
    enum Content: Sendable {
        case zeros
        case bytes([UInt8])
        case values([Float])
        /// Converted to the entry's element, each row multiplied by its scale if there is one.
        case floats(TensorView, rowScale: [Float]?)
        /// Quantized panel by panel, each row and each column multiplied by its scale first if there is one.
        case panels(TensorView, MatrixStorage, rowScale: [Float]?, columnScale: [Float]?)
        /// The scales that quantizing the entry before gave.
        case scales
    }

    struct Entry: Sendable {
        let name: String
        let element: TensorElement
        let shape: [Int]
        let content: Content
        /// In the data section.
        let range: Range<Int>
    }

    private(set) var entries: [Entry] = []
    private var end = 0

    /// Plans the file for `model` with matrices of `precision`.
    ///
    /// - Throws: `packUnsupported` for a precision that this program does not write, or for a model whose matrices are
    ///   no longer floats.
    ///
    /// - Parameter statistics: Of the input of each ConvFFN's expansion, by that matrix's name without `.weight`.
    init(
        _ model: PreparedModel, precision: ModelPrecision, statistics: [String: ChannelStatistics]
    ) throws(ModelFileError) {
        var equalized: [String: EqualizedExpansion] = [:]
        guard PackedModel.writablePrecisions.contains(precision) else {
            let known = PackedModel.writablePrecisions.map(\.rawValue).joined(separator: ", ")
            throw ModelFileError(
                .packUnsupported,
                "Cannot pack '\(model.source.path)' as \(precision.rawValue): this program packs \(known).")
        }
        for prepared in model.configuration.preparedTensors(hasHead: !model.sharesEmbedding) {
            if prepared.kind == .layerScale {
                // Folded here, or in the source already.
                guard prepared.part.storage(in: precision) == .float(.bf16), model.optionalTensor(prepared.name) != nil
                else { continue }
            }
            let view = try model.tensor(prepared.name)
            guard view.element.isFloat else {
                throw ModelFileError(
                    .packUnsupported,
                    "Cannot pack '\(model.source.path)': tensor '\(view.name)' is \(view.element.rawValue), expected "
                        + "floats. Pack the checkpoint that it was made from.")
            }
            if case .block(let stage, let index, let part) = prepared.part, part == .ffnConv || part == .ffnExpand {
                let names = [ModelPart.BlockPart.ffnConv, .ffnExpand].map {
                    ModelPart.block(stage: stage, index: index, $0).preparedName
                }
                if let known = statistics[names[1]],
                    ModelPart.block(stage: stage, index: index, .ffnExpand).storage(in: precision) == .int8
                {
                    let changed: EqualizedExpansion
                    if let before = equalized[names[1]] {
                        changed = before
                    } else {
                        changed = try Self.equalize(model, names[0], names[1], known)
                    }
                    equalized[names[1]] = changed
                    switch (part, prepared.suffix) {
                    case (.ffnConv, .weight):
                        add(prepared.name, .f32, view.shape, .values(changed.depthwiseWeight))
                        continue
                    case (.ffnConv, _):
                        add(prepared.name, .f32, view.shape, .values(changed.depthwiseBias))
                        continue
                    case (_, .bias):
                        add(prepared.name, .f32, view.shape, .values(changed.expansionBias))
                        equalized[names[1]] = nil
                        continue
                    default: break
                    }
                }
            }
            guard prepared.isMatrix else {
                add(prepared.name, .f32, view.shape, .floats(view, rowScale: nil))
                continue
            }
            let storage = prepared.part.storage(in: precision)
            var scale: [Float]?
            if prepared.kind == .matrix(scaled: true), storage != .float(.bf16) {
                scale = try model.optionalTensor(prepared.scaleName)?.floats()
            }
            let (outputs, inputs) = (view.shape[0], view.shape[1])
            switch storage {
            case .float(let element):
                add(prepared.name, element, view.shape, .floats(view, rowScale: scale))
            case .int8, .int4:
                guard inputs <= WeightPacking.maximumInputs else {
                    throw ModelFileError(
                        .packUnsupported,
                        "Cannot pack '\(view.name)' as \(precision.rawValue): \(inputs) inputs, expected at most "
                            + "\(WeightPacking.maximumInputs).")
                }
                let shape = storage.shape(outputs: outputs, inputs: inputs)
                add(
                    prepared.name, storage == .int8 ? .i8 : .u8, shape,
                    .panels(view, storage, rowScale: scale, columnScale: equalized[prepared.part.preparedName]?.stretch)
                )
                if storage == .int8 {
                    add(prepared.scaleName, .f32, [outputs], .scales)
                } else {
                    let scales = WeightPacking.int4ScaleShape(outputs: outputs, inputs: inputs)
                    add(prepared.groupScaleName, .f16, scales, .scales)
                }
            }
        }
        let tokenizer = model.tokenizer.compactBytes()
        add(PackedModel.tokenizerName, .u8, [tokenizer.count], .bytes(tokenizer))
    }

    private static func equalize(
        _ model: PreparedModel, _ convolution: String, _ expansion: String, _ statistics: ChannelStatistics
    ) throws(ModelFileError) -> EqualizedExpansion {
        try EqualizedExpansion(
            depthwiseWeight: try model.tensor(convolution + ".weight").floats(),
            depthwiseBias: try model.tensor(convolution + ".bias").floats(),
            expansion: try model.tensor(expansion + ".weight"),
            expansionBias: try model.tensor(expansion + ".bias").floats(), statistics: statistics)
    }

    /// Bytes of the data section.
    var byteCount: Int { end }

    /// Adds a tensor at the next aligned place.
    private mutating func add(_ name: String, _ element: TensorElement, _ shape: [Int], _ content: Content) {
        let gap = (PackedModel.alignment - end % PackedModel.alignment) % PackedModel.alignment
        if gap > 0 {
            place("\(PackedModel.paddingPrefix)\(entries.count)", .u8, [gap], .zeros)
        }
        place(name, element, shape, content)
    }

    private mutating func place(_ name: String, _ element: TensorElement, _ shape: [Int], _ content: Content) {
        let byteCount = shape.reduce(element.byteCount, *)
        entries.append(
            Entry(name: name, element: element, shape: shape, content: content, range: end..<(end + byteCount)))
        end += byteCount
    }

    /// The first bytes of the file, up to the data: the length and the header, with zeros for the digest.
    ///
    /// - Throws: `optionInvalid` if the header is larger than a reader accepts.
    func header(_ preamble: PackedModelPreamble, _ metadata: PackedModelMetadata) throws(ModelFileError) -> [UInt8] {
        var text = preamble.text + "\"" + (try metadata.text()) + "}"
        for entry in entries {
            text += ",\"\(entry.name)\":{\"dtype\":\"\(entry.element.rawValue)\",\"shape\":["
            text += entry.shape.map(String.init).joined(separator: ",")
            text += "],\"data_offsets\":[\(entry.range.lowerBound),\(entry.range.upperBound)]}"
        }
        text += "}"
        var bytes = [UInt8](repeating: 0, count: 8) + Array(text.utf8)
        while !bytes.count.isMultiple(of: PackedModel.alignment) { bytes.append(UInt8(ascii: " ")) }
        let length = bytes.count - 8
        guard length <= SafetensorsHeader.maximumByteCount, entries.count <= SafetensorsHeader.maximumTensorCount else {
            throw ModelFileError(
                .optionInvalid,
                "Cannot pack '\(metadata.sourceName)': the header would have \(length) bytes for \(entries.count) "
                    + "tensors, expected at most \(SafetensorsHeader.maximumByteCount) for "
                    + "\(SafetensorsHeader.maximumTensorCount). Shorten the licence text.")
        }
        for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
        return bytes
    }
}
