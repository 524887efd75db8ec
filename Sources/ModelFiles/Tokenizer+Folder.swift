/// `vocab.json`, `merges.txt`, `added_tokens.json` and `tokenizer_config.json`: the older form, as in Apple's folders.
extension Tokenizer {
    /// Most bytes of `vocab.json`, of `merges.txt` and of the two small files; Qwen2's first have 3 MB and 1.7 MB.
    static let maximumVocabularyFileByteCount = 32 << 20
    static let maximumAddedFileByteCount = 4 << 20

    private static let supportedClasses = ["Qwen2Tokenizer", "Qwen2TokenizerFast"]

    static func read(folder directory: String) throws(ModelFileError) -> Tokenizer {
        let path = directory + "/vocab.json"
        guard fileExists(path) else {
            throw ModelFileError(
                .fileNotFound,
                "Cannot read the tokenizer of '\(directory)': neither 'tokenizer.json' nor 'vocab.json' is there. "
                    + "Fetch the checkpoint again.")
        }
        let configuration = try readConfiguration(directory + "/tokenizer_config.json")
        var reader = TokenizerReader(source: TokenizerSource("the tokenizer of '\(directory)'"))
        var scanner = JSONScanner(
            try OpenedFile.contents(of: path, limit: maximumVocabularyFileByteCount), subject: "'\(path)'",
            code: .tokenizerInvalid)
        try reader.readVocabulary(&scanner)
        try scanner.end()
        try reader.readMerges(
            lines: OpenedFile.contents(of: directory + "/merges.txt", limit: maximumVocabularyFileByteCount))
        return try reader.tokenizer(added: readAddedTokens(directory, configuration, source: reader.source))
    }

    /// The tokens of `added_tokens.json`, which gives their ids, and of `tokenizer_config.json`, which gives their
    /// flags; either may be without some. A token without flags is special: text from outside never becomes it.
    private static func readAddedTokens(
        _ directory: String, _ configuration: TokenizerConfiguration, source: TokenizerSource
    ) throws(ModelFileError) -> [TokenizerAddedToken] {
        var tokens: [Int: TokenizerAddedToken] = [:]
        for (key, entry) in configuration.addedTokensDecoder ?? [:] {
            guard let id = Int(key), String(id) == key else {
                throw source.invalid("added_tokens_decoder has the key '\(key)', expected an id")
            }
            tokens[id] = try entry.token(id: id, source: source)
        }
        let path = directory + "/added_tokens.json"
        if fileExists(path) {
            let json = try OpenedFile.contents(of: path, limit: maximumAddedFileByteCount)
            var scanner = JSONScanner(json, subject: "'\(path)'", code: .tokenizerInvalid)
            var seen: Set<Int> = []
            try scanner.object { scanner, content throws(ModelFileError) in
                let id = try scanner.unsigned()
                guard seen.insert(id).inserted else { throw source.invalid("two added tokens have the id \(id)") }
                if let other = tokens[id], other.content != content {
                    throw source.invalid(
                        "the added token \(id) is '\(content)' in added_tokens.json and '\(other.content)' in "
                            + "tokenizer_config.json")
                }
                if tokens[id] == nil {
                    tokens[id] = TokenizerAddedToken(id: id, content: content, isSpecial: true, isNormalized: false)
                }
            }
            try scanner.end()
        }
        return tokens.values.sorted { $0.id < $1.id }
    }

    private static func readConfiguration(_ path: String) throws(ModelFileError) -> TokenizerConfiguration {
        let source = TokenizerSource("'\(path)'")
        let configuration: TokenizerConfiguration = try decodeJSON(
            OpenedFile.contents(of: path, limit: maximumAddedFileByteCount), subject: source.subject,
            code: .tokenizerInvalid)
        guard let name = configuration.tokenizerClass, supportedClasses.contains(name) else {
            throw source.unsupported(
                "tokenizer_class is \(configuration.tokenizerClass ?? "missing")",
                expected: supportedClasses.joined(separator: " or "))
        }
        guard configuration.addPrefixSpace != true else {
            throw source.unsupported("add_prefix_space is true", expected: "false")
        }
        return configuration
    }
}

/// `tokenizer_config.json`, as far as it matters here.
private struct TokenizerConfiguration: Decodable {
    let tokenizerClass: String?
    let addPrefixSpace: Bool?
    let addedTokensDecoder: [String: TokenizerAddedEntry]?
}
