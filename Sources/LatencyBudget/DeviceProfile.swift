/// What was measured on one device with one model, and what it was measured with.
///
/// `Codable` as one JSON object; a field that is missing is an error, one that is unknown is ignored.
public struct DeviceProfile: Sendable, Equatable, Codable {
    /// What a profile holds for: it is stale wherever one of these differs.
    public struct Identity: Sendable, Equatable, Codable {
        /// The processor as the system names it.
        public var device: String
        /// The model file's digest, `sha256:…`.
        public var modelDigest: String
        public var threads: Int
        /// The kernels that were chosen, such as `avx512`.
        public var kernels: String
        /// The program's version: another one may compute faster.
        public var version: String

        public init(device: String, modelDigest: String, threads: Int, kernels: String, version: String) {
            self.device = device
            self.modelDigest = modelDigest
            self.threads = threads
            self.kernels = kernels
            self.version = version
        }

        private enum CodingKeys: String, CodingKey {
            case device
            case modelDigest = "model_digest"
            case threads, kernels, version
        }
    }

    /// The phases of a frame at one rung; the median of `samples` runs each.
    public struct Point: Sendable, Equatable, Codable {
        public var rung: Rung
        /// Pixels of the picture that was decoded.
        public var sourcePixels: Double
        /// Prompt tokens besides the picture's.
        public var textTokens: Int
        public var decode: Double
        public var preprocess: Double
        /// Encoder and projector, all passes.
        public var vision: Double
        public var prefill: Double
        public var samples: Int

        public init(
            rung: Rung, sourcePixels: Double, textTokens: Int, decode: Double, preprocess: Double, vision: Double,
            prefill: Double, samples: Int
        ) {
            self.rung = rung
            self.sourcePixels = sourcePixels
            self.textTokens = textTokens
            self.decode = decode
            self.preprocess = preprocess
            self.vision = vision
            self.prefill = prefill
            self.samples = samples
        }

        private enum CodingKeys: String, CodingKey {
            case rung
            case sourcePixels = "source_pixels"
            case textTokens = "text_tokens"
            case decode = "decode_ms"
            case preprocess = "preprocess_ms"
            case vision = "vision_ms"
            case prefill = "prefill_ms"
            case samples
        }
    }

    /// One token's step after `context` tokens.
    public struct TokenPoint: Sendable, Equatable, Codable {
        public var context: Int
        public var milliseconds: Double

        public init(context: Int, milliseconds: Double) {
            self.context = context
            self.milliseconds = milliseconds
        }

        private enum CodingKeys: String, CodingKey {
            case context
            case milliseconds = "ms"
        }
    }

    public static let schema = "fastvlm.profile/1"

    public var schema: String
    public var identity: Identity
    public var points: [Point]
    public var tokenPoints: [TokenPoint]

    public init(identity: Identity, points: [Point], tokenPoints: [TokenPoint]) {
        schema = Self.schema
        self.identity = identity
        self.points = points
        self.tokenPoints = tokenPoints
    }

    private enum CodingKeys: String, CodingKey {
        case schema, identity, points
        case tokenPoints = "token_points"
    }

    /// Why a profile has to be measured again.
    public enum Staleness: String, Sendable, Codable, CaseIterable {
        case schema, device
        case modelDigest = "model_digest"
        case threads, kernels, version
        /// A rung of the ladder that was never measured.
        case rungs
        /// Something that was measured cannot be a time.
        case values
    }

    /// Every reason to measure again; empty where the profile holds for `identity` and `ladder`.
    public func staleness(for identity: Identity, ladder: Ladder) -> [Staleness] {
        var reasons: [Staleness] = []
        if schema != Self.schema { reasons.append(.schema) }
        if self.identity.device != identity.device { reasons.append(.device) }
        if self.identity.modelDigest != identity.modelDigest { reasons.append(.modelDigest) }
        if self.identity.threads != identity.threads { reasons.append(.threads) }
        if self.identity.kernels != identity.kernels { reasons.append(.kernels) }
        if self.identity.version != identity.version { reasons.append(.version) }
        if !ladder.steps.allSatisfy({ step in points.contains { $0.rung == step.rung } }) { reasons.append(.rungs) }
        if (try? costModel()) == nil { reasons.append(.values) }
        return reasons
    }

    /// Fits the cost model.
    ///
    /// - Throws: ``LatencyBudgetError/Code/profileIncomplete`` without a point or without a token point,
    ///   ``LatencyBudgetError/Code/profileInvalid`` for a value that cannot be a time or a size.
    public func costModel() throws(LatencyBudgetError) -> CostModel {
        guard !points.isEmpty, !tokenPoints.isEmpty else {
            throw LatencyBudgetError(
                .profileIncomplete,
                "Cannot predict from the profile of '\(identity.device)': \(points.count) rungs and "
                    + "\(tokenPoints.count) token times, expected at least 1 of each. Run `fastvlm calibrate`.")
        }
        guard points.count <= 1024, tokenPoints.count <= 1024 else {
            throw LatencyBudgetError(
                .profileInvalid,
                "Cannot predict from the profile of '\(identity.device)': \(points.count) rungs and "
                    + "\(tokenPoints.count) token times, expected at most 1024 of each. Run `fastvlm calibrate`.")
        }
        for point in points {
            try point.rung.validate()
            try check(point.decode, "decode_ms", of: point.rung.description, least: 0)
            try check(point.preprocess, "preprocess_ms", of: point.rung.description, least: 0)
            try check(point.vision, "vision_ms", of: point.rung.description, least: 1e-6)
            try check(point.prefill, "prefill_ms", of: point.rung.description, least: 1e-6)
            try check(point.sourcePixels, "source_pixels", of: point.rung.description, least: 1)
            try check(Double(point.textTokens), "text_tokens", of: point.rung.description, least: 0)
        }
        for point in tokenPoints {
            try check(Double(point.context), "context", of: "a token", least: 0)
            try check(point.milliseconds, "ms", of: "a token after \(point.context)", least: 1e-6)
        }
        func curve(
            _ shape: CostCurve.Shape, _ size: (Point) -> Double, _ time: (Point) -> Double
        ) -> CostCurve {
            CostCurve.fit(
                points.compactMap { time($0) > 0 ? CostCurve.Sample(size: size($0), milliseconds: time($0)) : nil },
                shape)
        }
        let pass = { (rung: Rung) in Double(rung.passWidth) * Double(rung.passHeight) }
        return CostModel(
            decode: curve(.line, \.sourcePixels, \.decode),
            preprocess: curve(.line, { pass($0.rung) * Double($0.rung.encoderPasses) }, \.preprocess),
            // Linear but for the attention of the last two stages, which grows with the square.
            encode: curve(.parabola, { pass($0.rung) }, { $0.vision / Double($0.rung.encoderPasses) }),
            prefill: curve(.parabola, { Double($0.rung.visualTokens + $0.textTokens) }, \.prefill),
            perToken: CostCurve.fit(
                tokenPoints.map { CostCurve.Sample(size: Double($0.context), milliseconds: $0.milliseconds) }, .line))
    }

    private func check(
        _ value: Double, _ field: String, of subject: String, least: Double
    ) throws(LatencyBudgetError) {
        guard value.isFinite, value >= least, value <= 1e9 else {
            throw LatencyBudgetError(
                .profileInvalid,
                "Cannot predict from the profile of '\(identity.device)': \(field) of \(subject) is \(value), expected "
                    + "\(least) to 1e9. Run `fastvlm calibrate`.")
        }
    }
}
