internal import Kernels

extension PreparedModel {
    /// Opens a packed file: checks everything but the digest, reads no weights.
    static func openPacked(_ path: String) throws(ModelFileError) -> PreparedModel {
        try openPacked(PackedModelFile(path: path))
    }

    static func openPacked(_ packed: PackedModelFile) throws(ModelFileError) -> PreparedModel {
        let metadata = packed.metadata
        let configuration = metadata.configuration
        let hasHead = packed.file.contains(PreparedTensor.headName)
        // Each has tensors of its own: what a small file can only lie about is not listed.
        let repeated = configuration.vision.depths.reduce(configuration.text.layerCount, +)
        guard repeated <= packed.file.names.count else {
            throw ModelFileError(
                .tensorMissing,
                "Cannot open '\(packed.path)': its configuration has \(repeated) blocks and layers, the file only "
                    + "\(packed.file.names.count) tensors. Pack the model again, or fetch it again.")
        }
        var tensors: [TensorView] = []
        for prepared in configuration.preparedTensors(hasHead: hasHead) {
            // A layer scale may be folded into its matrix.
            if prepared.kind == .layerScale, !packed.file.contains(prepared.name) { continue }
            let tensor = try packed.tensor(prepared)
            tensors.append(tensor)
            if prepared.isMatrix { tensors += try packed.scales(of: prepared, stored: tensor) }
        }
        // A scaled matrix that is quantized has brought its scale already.
        var names = Set<String>()
        tensors.removeAll { !names.insert($0.name).inserted }
        let used = Set(tensors.map(\.name))
        return try PreparedModel(
            configuration: configuration, tokenizer: packed.tokenizer(), identity: metadata.identity,
            source: .packedFile(packed.path), precision: metadata.precision,
            digest: "sha256:" + packed.preamble.digest, tensors: tensors,
            unusedTensors: packed.file.names.filter {
                !used.contains($0) && $0 != PackedModel.tokenizerName && !$0.hasPrefix(PackedModel.paddingPrefix)
            })
    }
}

/// A packed file whose header and metadata have been checked.
struct PackedModelFile: Sendable {
    let preamble: PackedModelPreamble
    let metadata: PackedModelMetadata
    let file: SafetensorsFile

    var path: String { file.path }

    /// Maps the file at `path`.
    ///
    /// - Throws: those of `MappedFile`, `PackedModelPreamble`, `SafetensorsFile` and `PackedModelMetadata`.
    init(path: String) throws(ModelFileError) {
        try self.init(MappedFile(path: path))
    }

    init(_ mapped: MappedFile) throws(ModelFileError) {
        preamble = try PackedModelPreamble(mapped.bytes, path: mapped.path)
        file = try SafetensorsFile(file: mapped)
        metadata = try PackedModelMetadata(file.metadata, path: mapped.path)
    }

    /// The tensor that `prepared` describes: of the right shape and element, at a multiple of 64 bytes.
    func tensor(_ prepared: PreparedTensor) throws(ModelFileError) -> TensorView {
        let view = try file.tensor(prepared.name)
        var shape = prepared.shape
        if prepared.isMatrix {
            guard let storage = MatrixStorage(view.element) else {
                throw failure(
                    view.name, .tensorElementMismatch,
                    "element \(view.element.rawValue), expected F32, F16, BF16, I8 or U8")
            }
            shape = storage.shape(outputs: prepared.shape[0], inputs: prepared.shape[1])
        }
        let tensor = try checked(view, shape: shape)
        guard prepared.isMatrix || view.element == .f32 else {
            throw failure(view.name, .tensorElementMismatch, "element \(view.element.rawValue), expected F32")
        }
        return tensor
    }

    /// The scales of a matrix that is quantized; none of one that is not.
    func scales(of prepared: PreparedTensor, stored: TensorView) throws(ModelFileError) -> [TensorView] {
        let (outputs, inputs) = (prepared.shape[0], prepared.shape[1])
        let (name, element, shape): (String, TensorElement, [Int])
        switch MatrixStorage(stored.element) {
        case .int8: (name, element, shape) = (prepared.scaleName, .f32, [outputs])
        case .int4:
            (name, element, shape) = (
                prepared.groupScaleName, .f16, WeightPacking.int4ScaleShape(outputs: outputs, inputs: inputs)
            )
        case .float, nil: return []
        }
        guard inputs <= WeightPacking.maximumInputs else {
            throw failure(
                stored.name, .tensorShapeMismatch,
                "\(inputs) inputs of quantized weights, expected at most \(WeightPacking.maximumInputs)")
        }
        let view = try file.tensor(name)
        guard view.element == element else {
            throw failure(
                name, .tensorElementMismatch, "element \(view.element.rawValue), expected \(element.rawValue)")
        }
        return [try checked(view, shape: shape)]
    }

    private func checked(_ view: TensorView, shape: [Int]) throws(ModelFileError) -> TensorView {
        guard view.shape == shape else {
            throw failure(view.name, .tensorShapeMismatch, "shape \(view.shape), expected \(shape)")
        }
        guard Int(bitPattern: view.baseAddress).isMultiple(of: PackedModel.alignment) else {
            throw failure(
                view.name, .offsetsInvalid,
                "its place is not a multiple of \(PackedModel.alignment) bytes: another program has rewritten the file")
        }
        return view
    }

    func tokenizer() throws(ModelFileError) -> Tokenizer {
        let view = try file.tensor(PackedModel.tokenizerName)
        guard view.element == .u8, view.shape.count == 1 else {
            throw failure(
                view.name, .tensorElementMismatch, "\(view.element.rawValue) \(view.shape), expected U8 [bytes]")
        }
        // Unsafe: the mapped bytes are copied within the call.
        return try Tokenizer(compact: view.withUnsafeBytes { Array($0) })
    }

    private func failure(_ name: String, _ code: ModelFileError.Code, _ problem: String) -> ModelFileError {
        ModelFileError(
            code,
            "Cannot load tensor '\(name)' from '\(path)': \(problem). Run 'fastvlm model verify', or pack it again.")
    }
}
