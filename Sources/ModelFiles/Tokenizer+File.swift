/// `tokenizer.json`: one document with everything.
extension Tokenizer {
    /// Most bytes of `tokenizer.json`; Qwen2's has 11 MB.
    static let maximumFileByteCount = 64 << 20

    static func read(file path: String) throws(ModelFileError) -> Tokenizer {
        let source = TokenizerSource("'\(path)'")
        let json = try OpenedFile.contents(of: path, limit: maximumFileByteCount)
        var scanner = JSONScanner(json, subject: source.subject, code: .tokenizerInvalid)
        var reader = TokenizerReader(source: source)
        var added: [TokenizerAddedEntry]?
        var settings: [String: [UInt8]] = [:]
        var hasModel = false
        try scanner.object { scanner, key throws(ModelFileError) in
            switch key {
            case "added_tokens":
                guard added == nil else { throw source.invalid("'added_tokens' is there twice") }
                added = try decodeJSON(
                    scanner.rawValue(), subject: "added_tokens of \(source.subject)", code: .tokenizerInvalid)
            case "normalizer", "pre_tokenizer", "decoder":
                guard try settings.updateValue(scanner.rawValue(), forKey: key) == nil else {
                    throw source.invalid("'\(key)' is there twice")
                }
            case "model":
                guard !hasModel else { throw source.invalid("'model' is there twice") }
                hasModel = true
                try readModel(&scanner, into: &reader)
            default: try scanner.skipValue()
            }
        }
        try scanner.end()
        guard hasModel else { throw source.invalid("'model' is missing") }
        try checkSteps(settings, source: source)
        var tokens: [TokenizerAddedToken] = []
        for entry in added ?? [] {
            guard let id = entry.id else { throw source.invalid("the added token '\(entry.content)' has no id") }
            tokens.append(try entry.token(id: id, source: source))
        }
        return try reader.tokenizer(added: tokens)
    }

    private static func readModel(
        _ scanner: inout JSONScanner, into reader: inout TokenizerReader
    ) throws(ModelFileError) {
        let source = reader.source
        /// What each setting must be, if it is there. Others have no effect where every byte has a token.
        let allowed: [String: [String]] = [
            "type": [#""BPE""#], "dropout": ["null", "0.0"], "continuing_subword_prefix": ["null", #""""#],
            "end_of_word_suffix": ["null", #""""#], "ignore_merges": ["false"],
        ]
        var seen: Set<String> = []
        try scanner.object { scanner, key throws(ModelFileError) in
            guard seen.insert(key).inserted else { throw source.invalid("'model.\(key)' is there twice") }
            switch key {
            case "vocab": try reader.readVocabulary(&scanner)
            case "merges": try reader.readMerges(&scanner)
            default:
                let value = String(decoding: try scanner.rawValue(), as: UTF8.self)
                if let allowed = allowed[key], !allowed.contains(value) {
                    throw source.unsupported(
                        "model.\(key) is \(value.prefix(100))", expected: allowed.joined(separator: " or "))
                }
            }
        }
        for key in ["type", "vocab", "merges"] where !seen.contains(key) {
            throw source.invalid("'model.\(key)' is missing")
        }
    }

    /// Checks that what happens before and after merging is what this tokenizer does. What a `post_processor` puts around
    /// a text has no say: a prompt's frame is the template's.
    private static func checkSteps(
        _ settings: [String: [UInt8]], source: TokenizerSource
    ) throws(ModelFileError) {
        func step(_ key: String) throws(ModelFileError) -> TokenizerStep? {
            guard let json = settings[key], json != Array("null".utf8) else { return nil }
            let step: TokenizerStep = try decodeJSON(
                json, subject: "\(key) of \(source.subject)", code: .tokenizerInvalid)
            return step
        }
        let normalizer = try step("normalizer")
        guard normalizer?.type == "NFC" else {
            throw source.unsupported("normalizer is \(normalizer?.type ?? "null")", expected: "NFC")
        }
        let splitter = try step("pre_tokenizer")
        let steps = splitter?.pretokenizers ?? []
        guard splitter?.type == "Sequence", steps.map(\.type) == ["Split", "ByteLevel"] else {
            let found = splitter.map { "\($0.type) of \(steps.map(\.type))" } ?? "null"
            throw source.unsupported("pre_tokenizer is \(found)", expected: "a Sequence of Split and ByteLevel")
        }
        guard steps[0].pattern?.regex == TokenizerSplitter.pattern else {
            throw source.unsupported(
                "the pattern of pre_tokenizer is '\(steps[0].pattern?.regex ?? "not a Regex")'",
                expected: "'\(TokenizerSplitter.pattern)'")
        }
        guard steps[0].behavior == "Isolated", steps[0].invert != true else {
            throw source.unsupported(
                "pre_tokenizer's Split is \(steps[0].behavior ?? "missing") or inverted", expected: "Isolated")
        }
        guard steps[1].addPrefixSpace == false, steps[1].useRegex == false else {
            throw source.unsupported(
                "pre_tokenizer's ByteLevel adds a prefix space or uses its own pattern", expected: "neither")
        }
        let decoder = try step("decoder")
        guard decoder?.type == "ByteLevel" else {
            throw source.unsupported("decoder is \(decoder?.type ?? "null")", expected: "ByteLevel")
        }
    }
}

/// One step of `tokenizer.json` around merging, as far as it matters here.
private struct TokenizerStep: Decodable {
    struct Pattern: Decodable {
        let regex: String?

        enum CodingKeys: String, CodingKey {
            case regex = "Regex"
        }
    }

    let type: String
    let pretokenizers: [TokenizerStep]?
    let pattern: Pattern?
    let behavior: String?
    let invert: Bool?
    let addPrefixSpace: Bool?
    let useRegex: Bool?
}

/// An added token in `tokenizer.json` (with an id), or in `tokenizer_config.json`.
struct TokenizerAddedEntry: Decodable {
    let id: Int?
    let content: String
    let singleWord: Bool?
    let lstrip: Bool?
    let rstrip: Bool?
    let normalized: Bool?
    let special: Bool?

    /// The token. A flag that is not stated is off; `normalized` is on for what is not special.
    ///
    /// - Throws: `tokenizerUnsupported` for a token that takes its surroundings into account.
    func token(id: Int, source: TokenizerSource) throws(ModelFileError) -> TokenizerAddedToken {
        let unsupported = [("single_word", singleWord), ("lstrip", lstrip), ("rstrip", rstrip)]
        if let (name, _) = unsupported.first(where: { $0.1 == true }) {
            throw source.unsupported("\(name) of the added token '\(content)' is true", expected: "false")
        }
        let isSpecial = special ?? false
        return TokenizerAddedToken(
            id: id, content: content, isSpecial: isSpecial, isNormalized: normalized ?? !isSpecial)
    }
}
