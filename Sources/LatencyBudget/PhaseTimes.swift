/// How long each phase of a frame takes, in ms; the sidecar's `timings` name them the same.
public struct PhaseTimes: Sendable, Equatable, Codable {
    /// From the file's bytes to pixels.
    public var decode: Double
    /// Padding and resizing.
    public var preprocess: Double
    /// The encoder and the projector, every pass.
    public var vision: Double
    /// Up to the first token.
    public var prefill: Double
    /// From the first token to the last.
    public var generate: Double

    public init(
        decode: Double = 0, preprocess: Double = 0, vision: Double = 0, prefill: Double = 0, generate: Double = 0
    ) {
        self.decode = decode
        self.preprocess = preprocess
        self.vision = vision
        self.prefill = prefill
        self.generate = generate
    }

    private enum CodingKeys: String, CodingKey {
        case decode = "decode_ms"
        case preprocess = "preprocess_ms"
        case vision = "vision_ms"
        case prefill = "prefill_ms"
        case generate = "generate_ms"
    }

    /// From the file to the encoder's input, on one thread.
    public var opening: Double { decode + preprocess }

    /// Everything that grows with the picture and is bound by computing.
    public var seeing: Double { decode + preprocess + vision }

    /// Time to the first token.
    public var untilFirstToken: Double { seeing + prefill }

    public var total: Double { seeing + prefill + generate }
}
