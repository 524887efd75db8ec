import Digests
internal import Kernels

extension PackedModel {
    /// Writes `model` as one file at `path`, which appears there whole and durable or not at all.
    ///
    /// Tensors go from the mapped source to the file in pieces of about a megabyte, so that a model of any size packs
    /// in a few megabytes of memory.
    /// - Parameters:
    ///   - path: ends in `.fastvlm`; its folder exists.
    ///   - precision: `f32` or `bf16`. A matrix that is stored so already keeps its exact values, except that `f32`
    ///     folds layer scales into the rows.
    ///   - identity: name, ladder of resolutions, prompt template and licence. The default is the model's own.
    ///   - statistics: for quantized precisions, of the input of each ConvFFN's expansion, by that matrix's name without
    ///     `.weight` (`FastVLMModel.calibrate`). The default is none: more is lost.
    ///   - replacing: whether a file at `path` may be replaced. The default is false.
    ///   - progress: called after each piece; returns false to stop. The default never stops.
    /// - Throws: `optionInvalid`, `packUnsupported`, `tensorValueInvalid` for a weight that is not a number or too large,
    ///   `destinationExists`, `destinationIsSource`, `destinationInvalid`, `noSpace`, `writeFailed`, `cancelled`.
    @discardableResult
    public static func write(
        from model: PreparedModel, to path: String, precision: ModelPrecision, identity: ModelIdentity? = nil,
        statistics: [String: ChannelStatistics] = [:], replacing: Bool = false,
        progress: (Progress) -> Bool = { _ in true }
    ) throws(ModelFileError) -> Summary {
        let identity = identity ?? model.identity
        try identity.validate(subject: "the identity for '\(path)'", code: .optionInvalid)
        let plan = try PackedModelPlan(model, precision: precision, statistics: statistics)
        let preamble = PackedModelPreamble(version: version)
        let header = try plan.header(
            preamble, PackedModelMetadata(model, precision: precision, identity: identity))
        guard !model.isMapped(at: path) else {
            throw ModelFileError(
                .destinationIsSource, "Cannot write '\(path)': the model is read from it. Choose another name.")
        }
        let total = header.count + plan.byteCount
        var writer = PackedModelWriter(
            output: try PackedModelOutput(path: path, byteCount: total, isReplacing: replacing), byteCount: total)
        let digest = try writer.run(plan, header: header, preamble: preamble, progress: progress)
        return Summary(path: path, digest: digest, precision: precision, byteCount: total)
    }
}

/// Streams a plan into a file and its digest.
private struct PackedModelWriter {
    private let output: PackedModelOutput
    private var hasher = SHA256()
    private let byteCount: Int
    private var written = 0
    /// Of the last quantized matrix, as they are to be stored.
    private var scales: [UInt8] = []

    /// Floats that are converted at once: 1 MiB.
    private static let pieceCount = 1 << 18

    init(output: PackedModelOutput, byteCount: Int) {
        self.output = output
        self.byteCount = byteCount
    }

    /// Writes everything; returns the digest as `sha256:…`.
    mutating func run(
        _ plan: PackedModelPlan, header: [UInt8], preamble: PackedModelPreamble,
        progress: (PackedModel.Progress) -> Bool
    ) throws(ModelFileError) -> String {
        try write(header, progress)
        for entry in plan.entries {
            switch entry.content {
            case .zeros: try write([UInt8](repeating: 0, count: entry.range.count), progress)
            case .bytes(let bytes): try write(bytes, progress)
            case .floats(let view, let rowScale): try write(view, as: entry.element, rowScale: rowScale, progress)
            case .values(let values): try write(values.span.bytes, progress)
            case .panels(let view, let storage, let rowScale, let columnScale):
                try writePanels(view, as: storage, rowScale: rowScale, columnScale: columnScale, progress)
            case .scales:
                try write(scales, progress)
                scales = []
            }
        }
        let digest = SHA256.hexadecimal(hasher.finish())
        try output.overwrite(Array(digest.utf8), at: preamble.digestRange.lowerBound)
        try output.commit()
        return "sha256:" + digest
    }

    private mutating func write(
        _ bytes: [UInt8], _ progress: (PackedModel.Progress) -> Bool
    ) throws(ModelFileError) {
        try write(bytes.span.bytes, progress)
    }

    private mutating func write(
        _ bytes: RawSpan, _ progress: (PackedModel.Progress) -> Bool
    ) throws(ModelFileError) {
        // Unsafe: a span lends its bytes for the time of the call.
        bytes.withUnsafeBytes { hasher.update($0) }
        try bytes.withUnsafeBytes { bytes throws(ModelFileError) in try output.write(bytes) }
        written += bytes.byteCount
        guard progress(PackedModel.Progress(completedBytes: written, totalBytes: byteCount)) else {
            throw ModelFileError(
                .cancelled, "Cannot write '\(output.path)': stopped on request. Nothing is left of it.")
        }
    }

    /// Writes `view` as `element`, row r multiplied by `rowScale[r]`.
    private mutating func write(
        _ view: TensorView, as element: TensorElement, rowScale: [Float]?,
        _ progress: (PackedModel.Progress) -> Bool
    ) throws(ModelFileError) {
        view.advise(.sequential)
        let columns = view.shape.count > 1 ? max(1, view.count / max(1, view.shape[0])) : max(1, view.count)
        let rowsAtOnce = max(1, Self.pieceCount / columns)
        var floats = [Float](repeating: 0, count: min(view.count, rowsAtOnce * columns))
        var halves = [UInt16](repeating: 0, count: element == .f32 ? 0 : floats.count)
        for start in stride(from: 0, to: view.count, by: max(1, floats.count)) {
            let count = min(floats.count, view.count - start)
            floats.withUnsafeMutableBufferPointer { target in
                guard let base = target.baseAddress else { return }
                FloatConversion.widen(
                    view.element, view.baseAddress + start * view.element.byteCount, count: count, into: base)
                guard let rowScale else { return }
                for index in 0..<count { base[index] *= rowScale[(start + index) / columns] }
            }
            // The pages of a large tensor must not pile up in memory.
            view.advise(.done)
            try check(floats[..<count], as: element, of: view, from: start)
            if element == .f32 {
                try write(floats.span.extracting(first: count).bytes, progress)
            } else {
                FloatConversion.narrowToBFloat16(floats, count: count, into: &halves)
                try write(halves.span.extracting(first: count).bytes, progress)
            }
        }
    }

    /// Writes `view` `[outputs, inputs]` in quantized panels, row r multiplied by `rowScale[r]` and column c by `columnScale[c]`
    /// first, and keeps the scales.
    private mutating func writePanels(
        _ view: TensorView, as storage: MatrixStorage, rowScale: [Float]?, columnScale: [Float]?,
        _ progress: (PackedModel.Progress) -> Bool
    ) throws(ModelFileError) {
        view.advise(.sequential)
        let (outputs, inputs) = (view.shape[0], view.shape[1])
        let panelsAtOnce = max(1, Self.pieceCount / (WeightPacking.panel * max(inputs, 1)))
        let rowsAtOnce = panelsAtOnce * WeightPacking.panel
        var floats = [Float](repeating: 0, count: min(outputs, rowsAtOnce) * inputs)
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: outputs, by: rowsAtOnce) {
            let rows = min(rowsAtOnce, outputs - start)
            floats.withUnsafeMutableBufferPointer { target in
                guard let base = target.baseAddress else { return }
                FloatConversion.widen(
                    view.element, view.baseAddress + start * inputs * view.element.byteCount, count: rows * inputs,
                    into: base)
                if let rowScale { for index in 0..<rows * inputs { base[index] *= rowScale[start + index / inputs] } }
                if let columnScale { for index in 0..<rows * inputs { base[index] *= columnScale[index % inputs] } }
            }
            view.advise(.done)
            try check(floats[..<(rows * inputs)], as: .f32, of: view, from: start * inputs)
            bytes.removeAll(keepingCapacity: true)
            for first in stride(from: 0, to: rows, by: WeightPacking.panel) {
                let panel = floats[first * inputs..<min(first + WeightPacking.panel, rows) * inputs]
                if storage == .int8 {
                    let packed = WeightPacking.int8Panel(panel, inputs: inputs)
                    bytes.append(contentsOf: packed.values.lazy.map { UInt8(bitPattern: $0) })
                    packed.scales.withUnsafeBytes { scales.append(contentsOf: $0) }
                } else {
                    let packed = WeightPacking.int4Panel(panel, inputs: inputs)
                    bytes.append(contentsOf: packed.nibbles)
                    packed.scales.withUnsafeBytes { scales.append(contentsOf: $0) }
                }
            }
            try write(bytes, progress)
        }
    }

    /// Throws unless every value is finite, also when it is stored as `element`.
    private func check(
        _ values: ArraySlice<Float>, as element: TensorElement, of view: TensorView, from start: Int
    ) throws(ModelFileError) {
        let limit: Float = element == .f32 ? .greatestFiniteMagnitude : FloatConversion.greatestBFloat16
        guard !values.allSatisfy({ $0.magnitude <= limit }),
            let index = values.firstIndex(where: { !($0.magnitude <= limit) })
        else { return }
        throw ModelFileError(
            .tensorValueInvalid,
            "Cannot pack tensor '\(view.name)': value \(values[index]) at \(start + index), expected at most \(limit). "
                + "The checkpoint is damaged; fetch it again.")
    }
}
