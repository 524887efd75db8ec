internal import FoundationEssentials
internal import UntrustedJSON

// The keys of the contract are spelled here, for the document itself, and in SidecarParts.swift, for its parts, and
// nowhere else; the order of the cases is their order in the document.

extension SidecarDocument: Codable {
    private enum CodingKeys: String, CodingKey {
        case schema, status, code, reason, source, caption, answers, model, resolution, budget, timings, health
        case finishReason = "finish_reason"
        case created, generator
    }

    private enum StatusWord: String, Codable {
        case ok, refused, expired
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Self.schema, forKey: .schema)
        switch status {
        case .ok: try container.encode(StatusWord.ok, forKey: .status)
        case .expired: try container.encode(StatusWord.expired, forKey: .status)
        case .refused(let code, let reason):
            try container.encode(StatusWord.refused, forKey: .status)
            try container.encode(code, forKey: .code)
            try container.encode(reason, forKey: .reason)
        }
        try container.encode(source, forKey: .source)
        try container.encodeIfPresent(caption, forKey: .caption)
        if !answers.isEmpty { try container.encode(answers, forKey: .answers) }
        try container.encodeIfPresent(model, forKey: .model)
        try container.encodeIfPresent(resolution, forKey: .resolution)
        try container.encodeIfPresent(budget, forKey: .budget)
        try container.encodeIfPresent(timings, forKey: .timings)
        try container.encodeIfPresent(health, forKey: .health)
        try container.encodeIfPresent(finishReason, forKey: .finishReason)
        try container.encode(created, forKey: .created)
        try container.encode(generator, forKey: .generator)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let schema = try container.decode(String.self, forKey: .schema)
        guard schema == Self.schema else {
            throw DecodingError.dataCorruptedError(
                forKey: .schema, in: container, debugDescription: "'\(schema)', expected '\(Self.schema)'")
        }
        let status: Status
        switch try container.decode(StatusWord.self, forKey: .status) {
        case .ok: status = .ok
        case .expired: status = .expired
        case .refused:
            status = .refused(
                code: try container.decode(String.self, forKey: .code),
                reason: try container.decode(String.self, forKey: .reason))
        }
        self.init(
            status: status,
            source: try container.decode(Source.self, forKey: .source),
            caption: try container.decodeIfPresent(String.self, forKey: .caption),
            answers: try container.decodeIfPresent([Answer].self, forKey: .answers) ?? [],
            model: try container.decodeIfPresent(Model.self, forKey: .model),
            resolution: try container.decodeIfPresent(Resolution.self, forKey: .resolution),
            budget: try container.decodeIfPresent(Budget.self, forKey: .budget),
            timings: try container.decodeIfPresent(Timings.self, forKey: .timings),
            health: try container.decodeIfPresent(Health.self, forKey: .health),
            finishReason: try container.decodeIfPresent(String.self, forKey: .finishReason),
            created: try container.decode(Timestamp.self, forKey: .created),
            generator: try container.decode(String.self, forKey: .generator))
    }

    /// The document as readable JSON in the contract's order, with a line feed at its end.
    ///
    /// - Throws: `invalid` if a number in it is not finite.
    public func json() throws(SidecarError) -> [UInt8] {
        try Self.encoded(self, .readable)
    }

    /// The document as JSON on one line without a line feed, for streams of one document a line.
    ///
    /// - Throws: as `json()`.
    public func compactJSON() throws(SidecarError) -> [UInt8] {
        try Self.encoded(self, .compact)
    }

    /// Reads a document; keys it does not know are ignored.
    ///
    /// - Throws: `invalid` if it is no JSON or does not keep the contract.
    public init(json: [UInt8]) throws(SidecarError) {
        do {
            self = try JSONDecoder().decode(SidecarDocument.self, fromUntrusted: json)
        } catch {
            throw SidecarError(.invalid, "Cannot read the sidecar: \(error).")
        }
    }

    private static func encoded(_ document: SidecarDocument, _ style: JSONText.Style) throws(SidecarError) -> [UInt8] {
        do {
            return try JSONText.encode(document, style)
        } catch {
            throw SidecarError(.invalid, "Cannot write the sidecar as JSON: \(error).")
        }
    }
}
