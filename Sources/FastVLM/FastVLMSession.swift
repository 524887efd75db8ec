public import Kernels
import ModelFiles

/// One conversation with a model at a time: a picture, then any number of questions about it.
///
/// A session belongs to one thread. It keeps the keys and values of what it has read, so that a second
/// question about a picture costs only its own tokens.
public final class FastVLMSession {
    public let model: FastVLMModel
    private let compute: Compute
    private let decoder: Qwen2Decoder
    private var encoder: FastViTHDEncoder?
    /// What each position of the decoder's cache holds.
    private var cached: [Position] = []
    private var pictures = 0
    /// Made for the first answer that is not text.
    private(set) lazy var tokenIndex = model.prepared.tokenizer.makeTokenIndex()

    /// What stands at one position of a sequence.
    enum Position: Equatable {
        case token(Int)
        /// Row `row` of the picture that was encoded as number `picture`.
        case visual(picture: Int, row: Int)
    }

    /// A picture as the decoder reads it: one row of `rows` `[tokens, hidden]` for each visual token.
    public struct EncodedPicture {
        /// The projector's output, row-major over the feature map.
        public let rows: Matrix
        fileprivate let number: Int
        /// Decoder positions that the picture takes.
        public var tokens: Int { rows.rows }
    }

    /// - Parameters:
    ///   - pool: Threads to compute on, which several sessions may share.
    ///   - instructionSet: The kernels to use. The default is the best that this processor runs.
    public init(
        _ model: FastVLMModel, pool: ThreadPool, instructionSet: InstructionSet = .best
    ) throws(FastVLMError) {
        self.model = model
        do {
            compute = try Compute(pool: pool, instructionSet: instructionSet)
        } catch {
            throw FastVLMError(.resources, error.message)
        }
        decoder = Qwen2Decoder(model.decoder)
    }

    /// Encodes a picture in one piece: FastViTHD, then the projector.
    ///
    /// - Parameters:
    ///   - pixels: `[height, width, 3]`, RGB, 0...1. Sides that are no multiples of 64 are as good as the next ones: the map
    ///     has `ceil(height / 64) x ceil(width / 64)` rows, row-major.
    ///   - isCancelled: Asked between the encoder's blocks; `true` ends the run with ``FastVLMError/Code/cancelled``.
    ///   - mayGoOn: Asked between the encoder's blocks, with the share of its work that is done, 0...1; `false` ends the
    ///     run with ``FastVLMError/Code/cancelled``.
    ///   - observe: Receives each part's output, for traces.
    public func encode(
        _ pixels: [Float], height: Int, width: Int, isCancelled: () -> Bool = { false },
        mayGoOn: (_ done: Double) -> Bool = { _ in true },
        observe: ((String, FeatureMap) -> Void)? = nil
    ) throws(FastVLMError) -> EncodedPicture {
        try encode(
            views: [pixels], height: height, width: width, isCancelled: isCancelled, mayGoOn: mayGoOn, observe: observe)
    }

    /// Encodes a picture that is seen in several views of one size, one after the other: an overview and then its tiles, row
    /// by row (arXiv 2412.13303, section 4.2). The decoder reads their rows in that order.
    ///
    /// - Parameters:
    ///   - views: One or more, each `[height, width, 3]`, RGB, 0...1.
    ///   - mayGoOn: As for one view; the share is that of all views.
    ///   - observe: As for one view; names of what belongs to tile *n*, from 0 on, begin with `tile`*n*`.`.
    public func encode(
        views: [[Float]], height: Int, width: Int, isCancelled: () -> Bool = { false },
        mayGoOn: (_ done: Double) -> Bool = { _ in true },
        observe: ((String, FeatureMap) -> Void)? = nil
    ) throws(FastVLMError) -> EncodedPicture {
        for pixels in views {
            precondition(pixels.count == height * width * 3, "\(pixels.count) values for \(height) x \(width) pixels")
        }
        if encoder?.height != height || encoder?.width != width {
            // The old plan's memory goes before the new one's comes.
            encoder = nil
        }
        let encoder = self.encoder ?? FastViTHDEncoder(model.encoder, height: height, width: width)
        self.encoder = encoder
        let picture = FeatureMap(height: height, width: width, channels: 3)
        let tokens = FastVLMModel.visualTokens(height: height, width: width)
        let middle = Matrix(rows: tokens, columns: model.projector.first.outputs)
        let rows = Matrix(rows: tokens * views.count, columns: model.projector.second.outputs)
        for (number, pixels) in views.enumerated() {
            picture.pixels.set(pixels)
            let map = try encoder.run(
                picture, compute: compute,
                checkpoint: { (done) throws(FastVLMError) in
                    try Self.check { isCancelled() || !mayGoOn((Double(number) + done) / Double(views.count)) }
                },
                observe: observe.map { observe in
                    { name, map in observe(number == 0 ? name : "tile\(number - 1).\(name)", map) }
                })
            compute.linear(map.pixels, model.projector.first, into: middle, ending: LinearEnding(gelu: true))
            compute.linear(
                middle, model.projector.second, into: rows.rows(number * tokens..<(number + 1) * tokens))
        }
        pictures += 1
        return EncodedPicture(rows: rows, number: pictures)
    }

    /// Answers `question` about `picture`.
    ///
    /// - Parameters:
    ///   - forced: Ids to follow instead of choosing, for traces: generation runs along them and ends with them.
    ///   - isCancelled: Asked between layers and tokens; `true` ends the run with ``FastVLMError/Code/cancelled``.
    ///   - observe: Receives the logits `[vocabulary]` at each generated position, as computed.
    ///   - onText: Receives text as it is said, whole characters only (possibly empty), once for each token;
    ///     `false` ends the answer there.
    public func answer(
        _ question: String, about picture: EncodedPicture, options: GenerationOptions = .init(), forced: [Int]? = nil,
        isCancelled: () -> Bool = { false }, observe: (([Float]) -> Void)? = nil,
        onText: (String) -> Bool = { _ in true }
    ) throws(FastVLMError) -> Generation {
        func checkpoint() throws(FastVLMError) { try Self.check(isCancelled) }
        let tokenizer = model.prepared.tokenizer
        let sequence = sequence(question, picture)
        let limit = max(0, forced?.count ?? options.maxTokens)
        try decoder.reserve(sequence.count + limit)
        let reused = reusable(sequence)
        // One buffer for all tokens: there are as many logits as the vocabulary has entries.
        var logits: [Float] = []
        try prefill(sequence, from: reused, picture: picture, checkpoint: checkpoint).copy(into: &logits)

        var sampler = Sampler(options, unknown: model.unknownTokens)
        var stream = tokenizer.makeStreamDecoder(skippingSpecialTokens: true)
        var tokens: [Int] = []
        var text = ""
        var reason = FinishReason.length
        let row = Matrix(rows: 1, columns: model.decoder.configuration.hiddenSize)
        while tokens.count < limit {
            try checkpoint()
            observe?(logits)
            let token = forced?[tokens.count] ?? sampler.next(&logits)
            tokens.append(token)
            if forced == nil, tokenizer.stopTokens.contains(token) {
                reason = .stop
                break
            }
            let piece = stream.push(token)
            text += piece
            if !onText(piece) || tokens.count == limit { break }
            decoder.embed([token], compute: compute, into: row)
            try extend(row, [.token(token)], checkpoint: checkpoint).copy(into: &logits)
        }
        let rest = stream.finish()
        if !rest.isEmpty {
            text += rest
            _ = onText(rest)
        }
        return Generation(
            text: text, tokens: tokens, promptTokens: sequence.count, cachedTokens: reused, finishReason: reason)
    }

    /// What the decoder reads before it answers `question`.
    func sequence(_ question: String, _ picture: EncodedPicture) -> [Position] {
        let prompt = model.prepared.promptTemplate.promptTokens(
            question: question, tokenizer: model.prepared.tokenizer)
        return prompt.before.map(Position.token)
            + (0..<picture.tokens).map { .visual(picture: picture.number, row: $0) }
            + prompt.after.map(Position.token)
    }

    /// The logits after `sequence`, and how many of its positions were in the cache.
    func logits(
        after sequence: [Position], about picture: EncodedPicture, checkpoint: () throws(FastVLMError) -> Void
    ) throws(FastVLMError) -> (logits: [Float], reused: Int) {
        try decoder.reserve(sequence.count)
        let reused = reusable(sequence)
        return (try prefill(sequence, from: reused, picture: picture, checkpoint: checkpoint).values(), reused)
    }

    /// Forgets everything that was read, so that the next question is answered from the start.
    public func forget() {
        cached = []
        decoder.cache.truncate(to: 0)
    }

    /// The prompt's ids around the picture, with `imageToken` in its place.
    public func promptTokens(_ question: String, imageToken: Int) -> [Int] {
        let prompt = model.prepared.promptTemplate.promptTokens(question: question, tokenizer: model.prepared.tokenizer)
        return prompt.before + [imageToken] + prompt.after
    }

    static func check(_ isCancelled: () -> Bool) throws(FastVLMError) {
        if isCancelled() { throw FastVLMError(.cancelled, "The inference was given up: its caller asked for it.") }
    }

    /// Keeps what the cache shares with `sequence`, all but its last position, whose logits are wanted.
    private func reusable(_ sequence: [Position]) -> Int {
        let shared = zip(cached, sequence).prefix { $0 == $1 }.count
        let kept = min(shared, sequence.count - 1)
        cached.removeSubrange(kept...)
        decoder.cache.truncate(to: kept)
        return kept
    }

    /// Reads `sequence` from position `start` on and returns the logits after its last position, valid until the next call.
    private func prefill(
        _ sequence: [Position], from start: Int, picture: EncodedPicture, checkpoint: () throws(FastVLMError) -> Void
    ) throws(FastVLMError) -> Matrix {
        let added = sequence[start...]
        let input = Matrix(rows: added.count, columns: model.decoder.configuration.hiddenSize)
        for (row, position) in added.enumerated() {
            switch position {
            case .token(let id): decoder.embed([id], compute: compute, into: input.rows(row..<row + 1))
            case .visual(_, let visual): input.rows(row..<row + 1).set(picture.rows.rows(visual..<visual + 1))
            }
        }
        return try extend(input, Array(added), checkpoint: checkpoint)
    }

    private func extend(
        _ input: Matrix, _ positions: [Position], checkpoint: () throws(FastVLMError) -> Void
    ) throws(FastVLMError) -> Matrix {
        let logits = try decoder.append(input, compute: compute, checkpoint: checkpoint)
        cached += positions
        return logits
    }
}
