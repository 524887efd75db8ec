extension SidecarDocument {
    /// The picture the result belongs to.
    public struct Source: Sendable, Equatable {
        /// The picture's name without folders, byte for byte as the file system has it; nil for a frame without a
        /// file. In JSON, `file` holds it as text, with U+FFFD for what is not UTF-8; only then `file_bytes` holds
        /// all its bytes, two hexadecimal digits each, so that nothing is lost.
        public var file: [UInt8]?
        /// 64 lowercase hexadecimal digits; nil if the content was not read to its end.
        public var sha256: String?
        public var bytes: Int?
        /// Pixels; nil if the picture's header could not be read.
        public var width: Int?
        public var height: Int?
        /// The file's modification time.
        public var modified: Timestamp?
        /// Where the frame came from, such as `watch:gate`.
        public var origin: String?

        public init(
            file: [UInt8]? = nil, sha256: String? = nil, bytes: Int? = nil, width: Int? = nil, height: Int? = nil,
            modified: Timestamp? = nil, origin: String? = nil
        ) {
            self.file = file
            self.sha256 = sha256
            self.bytes = bytes
            self.width = width
            self.height = height
            self.modified = modified
            self.origin = origin
        }
    }

    /// The answer to one question.
    public struct Answer: Sendable, Equatable {
        public enum Value: Sendable, Equatable {
            case boolean(Bool)
            case number(Double)
            case string(String)
        }

        /// The question's name in the configuration.
        public var id: String
        public var question: String
        /// The kind of answer that was asked for: `boolean`, `integer`, `number`, `choice` or `text`.
        public var type: String
        /// Nil if the model gave none of that type.
        public var answer: Value?
        /// The probability that the model gave to the answer among all of its type, 0 to 1, kept to four decimals; nil for
        /// text.
        public var confidence: Double?

        public init(id: String, question: String, type: String, answer: Value?, confidence: Double? = nil) {
            self.id = id
            self.question = question
            self.type = type
            self.answer = answer
            self.confidence = confidence.map { $0.isFinite ? ($0 * 10_000).rounded() / 10_000 : 0 }
        }
    }

    public struct Model: Sendable, Equatable, Codable {
        public var name: String
        /// `sha256:` and 64 hexadecimal digits.
        public var digest: String
        /// The precision of the weights in memory, such as `int8`.
        public var precision: String

        public init(name: String, digest: String, precision: String) {
            self.name = name
            self.digest = digest
            self.precision = precision
        }
    }

    /// What the picture was seen at, and why.
    public struct Resolution: Sendable, Equatable {
        /// Width and height of the square that was seen, in pixels.
        public var pixels: Int
        public var visualTokens: Int
        /// Tiles that the square was cut into and that were seen after an overview; nil if it was seen in one piece.
        public var tiles: Int?
        /// `budget`, `fixed`, `memory`, …
        public var reason: String

        public init(pixels: Int, visualTokens: Int, tiles: Int? = nil, reason: String) {
            self.pixels = pixels
            self.tiles = tiles
            self.visualTokens = visualTokens
            self.reason = reason
        }
    }

    /// The time there was, the time the plan expected to need, and whether the result kept within it.
    public struct Budget: Sendable, Equatable {
        public var milliseconds: Milliseconds
        public var predicted: Milliseconds?
        public var met: Bool

        public init(milliseconds: Milliseconds, predicted: Milliseconds? = nil, met: Bool) {
            self.milliseconds = milliseconds
            self.predicted = predicted
            self.met = met
        }
    }

    /// Where the time went.
    public struct Timings: Sendable, Equatable {
        public var queued: Milliseconds?
        public var decode: Milliseconds?
        public var preprocess: Milliseconds?
        public var vision: Milliseconds?
        public var prefill: Milliseconds?
        /// From the start of the work to the first token.
        public var ttft: Milliseconds?
        public var generate: Milliseconds?
        public var total: Milliseconds?
        public var promptTokens: Int?
        public var generatedTokens: Int?

        public init(
            queued: Milliseconds? = nil, decode: Milliseconds? = nil, preprocess: Milliseconds? = nil,
            vision: Milliseconds? = nil, prefill: Milliseconds? = nil, ttft: Milliseconds? = nil,
            generate: Milliseconds? = nil, total: Milliseconds? = nil, promptTokens: Int? = nil,
            generatedTokens: Int? = nil
        ) {
            self.queued = queued
            self.decode = decode
            self.preprocess = preprocess
            self.vision = vision
            self.prefill = prefill
            self.ttft = ttft
            self.generate = generate
            self.total = total
            self.promptTokens = promptTokens
            self.generatedTokens = generatedTokens
        }
    }

    /// The daemon's state while the result was made.
    public struct Health: Sendable, Equatable {
        /// Resident memory in MiB.
        public var rss: Int?
        /// Frames that were waiting.
        public var queue: Int?
        /// Degrees Celsius.
        public var temperature: Double?
        public var throttled: Bool?
        /// What does not work as it should, one stable word each.
        public var degraded: [String]

        public init(
            rss: Int? = nil, queue: Int? = nil, temperature: Double? = nil, throttled: Bool? = nil,
            degraded: [String] = []
        ) {
            self.rss = rss
            self.queue = queue
            self.temperature = temperature.map { $0.isFinite ? ($0 * 10).rounded() / 10 : 0 }
            self.throttled = throttled
            self.degraded = degraded
        }
    }
}

/// A span of time in milliseconds, kept to one decimal; what is not a number becomes 0.
public struct Milliseconds: Sendable, Hashable, Codable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
    public let value: Double

    public init(_ milliseconds: Double) {
        value = milliseconds.isFinite ? (milliseconds * 10).rounded() / 10 : 0
    }

    public init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(Double(seconds) * 1000 + Double(attoseconds) / 1e15)
    }

    public init(floatLiteral value: Double) { self.init(value) }
    public init(integerLiteral value: Int) { self.init(Double(value)) }

    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(Double.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}

extension SidecarDocument.Source: Codable {
    private enum CodingKeys: String, CodingKey {
        case file
        case fileBytes = "file_bytes"
        case sha256, bytes, width, height, modified, origin
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if let file {
            let text = String(decoding: file, as: UTF8.self)
            try container.encode(text, forKey: .file)
            if !file.elementsEqual(text.utf8) {
                try container.encode(Hexadecimal.text(file), forKey: .fileBytes)
            }
        }
        try container.encodeIfPresent(sha256, forKey: .sha256)
        try container.encodeIfPresent(bytes, forKey: .bytes)
        try container.encodeIfPresent(width, forKey: .width)
        try container.encodeIfPresent(height, forKey: .height)
        try container.encodeIfPresent(modified, forKey: .modified)
        try container.encodeIfPresent(origin, forKey: .origin)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        var file = try container.decodeIfPresent(String.self, forKey: .file).map { Array($0.utf8) }
        if let digits = try container.decodeIfPresent(String.self, forKey: .fileBytes) {
            guard let exact = Hexadecimal.bytes(digits) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .fileBytes, in: container, debugDescription: "expected pairs of hexadecimal digits")
            }
            file = exact
        }
        self.init(
            file: file,
            sha256: try container.decodeIfPresent(String.self, forKey: .sha256),
            bytes: try container.decodeIfPresent(Int.self, forKey: .bytes),
            width: try container.decodeIfPresent(Int.self, forKey: .width),
            height: try container.decodeIfPresent(Int.self, forKey: .height),
            modified: try container.decodeIfPresent(Timestamp.self, forKey: .modified),
            origin: try container.decodeIfPresent(String.self, forKey: .origin))
    }
}

extension SidecarDocument.Answer: Codable {
    private enum CodingKeys: String, CodingKey {
        case id, question, type, answer, confidence
    }
}

extension SidecarDocument.Answer.Value: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else {
            self = .string(try container.decode(String.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .boolean(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value.cut(toBytes: SidecarDocument.captionLimit))
        }
    }
}

extension SidecarDocument.Resolution: Codable {
    private enum CodingKeys: String, CodingKey {
        case pixels
        case visualTokens = "visual_tokens"
        case tiles, reason
    }
}

extension SidecarDocument.Budget: Codable {
    private enum CodingKeys: String, CodingKey {
        case milliseconds = "ms"
        case predicted = "predicted_ms"
        case met
    }
}

extension SidecarDocument.Timings: Codable {
    private enum CodingKeys: String, CodingKey {
        case queued = "queued_ms"
        case decode = "decode_ms"
        case preprocess = "preprocess_ms"
        case vision = "vision_ms"
        case prefill = "prefill_ms"
        case ttft = "ttft_ms"
        case generate = "generate_ms"
        case total = "total_ms"
        case promptTokens = "prompt_tokens"
        case generatedTokens = "generated_tokens"
    }
}

extension SidecarDocument.Health: Codable {
    private enum CodingKeys: String, CodingKey {
        case rss = "rss_mb"
        case queue
        case temperature = "temperature_c"
        case throttled, degraded
    }
}
