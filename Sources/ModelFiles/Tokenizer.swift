/// Qwen2's byte-level byte pair encoding: text to ids and back.
///
/// Text is put into normalization form C, cut by `TokenizerSplitter`, and each stretch is merged by `BytePairEncoder`.
/// No prefix space is added and no token is: what frames a question is `PromptTemplate`'s.
public struct Tokenizer: Sendable {
    let vocabulary: TokenizerVocabulary
    let encoder: BytePairEncoder
    let addedTokens: TokenizerAddedTokens

    /// The ids of the tokens that steer the model, by their text: `<|im_start|>` and so on.
    public let specialTokens: [String: Int]

    /// The ids that end an answer: `<|im_end|>` and `<|endoftext|>`, as far as the tokenizer has them as special tokens.
    public let stopTokens: Set<Int>

    /// The texts of `stopTokens`.
    static let stopTokenTexts = ["<|im_end|>", "<|endoftext|>"]

    /// Reads the tokenizer of the checkpoint folder `directory`: `tokenizer.json`, or else `vocab.json`, `merges.txt`,
    /// `added_tokens.json` and `tokenizer_config.json`.
    ///
    /// - Throws: `fileNotFound`, `fileTooLarge` and the other errors of a file; `tokenizerInvalid` for what is damaged
    ///   or contradicts itself; `tokenizerUnsupported` for a tokenizer of another kind.
    public init(directory: String) throws(ModelFileError) {
        let single = directory + "/tokenizer.json"
        self = fileExists(single) ? try Self.read(file: single) : try Self.read(folder: directory)
    }

    /// - Parameters:
    ///   - vocabulary: the tokens that merging can give.
    ///   - merges: rules between ids of `vocabulary`.
    ///   - added: tokens beside it, or marked as pieces of it.
    /// - Throws: `tokenizerInvalid` for two tokens with one id or one text, and as `BytePairEncoder.init`.
    init(
        vocabulary: TokenizerVocabulary, merges: [BytePairMerge], added: [TokenizerAddedToken], source: TokenizerSource
    ) throws(ModelFileError) {
        var vocabulary = vocabulary
        encoder = try BytePairEncoder(merges: merges, vocabulary: vocabulary, source: source)
        guard added.count <= TokenizerAddedTokens.maximumCount else {
            throw source.invalid("\(added.count) added tokens, expected at most \(TokenizerAddedTokens.maximumCount)")
        }
        var ids: [String: Int] = [:]
        for token in added {
            let content = Array(token.content.utf8)
            if let other = ids.updateValue(token.id, forKey: token.content) {
                throw source.invalid("the added tokens \(other) and \(token.id) have the same text")
            }
            guard token.isPiece else {
                try vocabulary.define(token.id, as: content, in: source)
                continue
            }
            guard vocabulary.isKnown(token.id), vocabulary.bytes(of: token.id).elementsEqual(content) else {
                throw source.invalid("the added token \(token.id) and that of the vocabulary have different texts")
            }
        }
        self.vocabulary = vocabulary
        addedTokens = TokenizerAddedTokens(added)
        let special = ids.filter { [addedTokens] in addedTokens.special.contains($0.value) }
        specialTokens = special
        stopTokens = Set(Self.stopTokenTexts.compactMap { special[$0] })
        guard !stopTokens.isEmpty else {
            throw source.unsupported(
                "it has no token that ends an answer",
                expected: Self.stopTokenTexts.joined(separator: " or ") + " as a special token")
        }
    }

    // MARK: - Ids

    /// The largest id + 1. Ids below it may be unknown; a model's embedding may have more rows.
    public var tokenCount: Int { vocabulary.tokenCount }

    /// True if the tokenizer has a token with the id `id`: a model must never say another.
    public func isKnown(_ id: Int) -> Bool { vocabulary.isKnown(id) }

    /// The id of the token with exactly the text `text`, in plain UTF-8 (" the", not "Ġthe").
    public func id(of text: String) -> Int? { vocabulary.id(of: Array(text.utf8)) }

    // MARK: - Text

    /// The ids of `text`.
    ///
    /// - Parameter parsingSpecialTokens: true only for text of our own: a template. With false, special tokens in the
    ///   text are text like any other. Added tokens that are not special, words of the vocabulary, are found always.
    public func encode(_ text: String, parsingSpecialTokens: Bool) -> [Int] {
        encode([Part(text, parsingSpecialTokens: parsingSpecialTokens)])
    }

    /// The text of `ids`. Unknown ids have no text; bytes that are not UTF-8 are U+FFFD.
    public func decode(_ ids: [Int], skippingSpecialTokens: Bool) -> String {
        var bytes: [UInt8] = []
        for id in ids where !skippingSpecialTokens || !addedTokens.special.contains(id) {
            bytes.append(contentsOf: vocabulary.bytes(of: id))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A decoder for ids that come one by one.
    public func makeStreamDecoder(skippingSpecialTokens: Bool) -> TokenStreamDecoder {
        TokenStreamDecoder(vocabulary: vocabulary, skipped: skippingSpecialTokens ? addedTokens.special : [])
    }
}

extension Tokenizer {
    /// A part of a text, with its own answer to whether special tokens in it count.
    struct Part {
        let text: String
        let parsingSpecialTokens: Bool

        init(_ text: String, parsingSpecialTokens: Bool) {
            self.text = text
            self.parsingSpecialTokens = parsingSpecialTokens
        }
    }

    /// The ids of `parts`, as of one text: where two parts meet, tokens may span them.
    func encode(_ parts: [Part]) -> [Int] {
        var ids: [Int] = []
        var workspace = BytePairEncoder.Workspace()
        var text: [UInt8] = []
        for part in parts {
            let matcher = part.parsingSpecialTokens ? addedTokens.everywhere : addedTokens.inPlainText
            matcher.split(Array(part.text.utf8)) { stretch in
                text.append(contentsOf: stretch)
            } match: { id in
                encodeText(text, workspace: &workspace, into: &ids)
                text.removeAll(keepingCapacity: true)
                ids.append(id)
            }
        }
        encodeText(text, workspace: &workspace, into: &ids)
        return ids
    }

    /// Appends the ids of `text`, in which no special token counts.
    private func encodeText(_ text: [UInt8], workspace: inout BytePairEncoder.Workspace, into ids: inout [Int]) {
        addedTokens.normalized.split(TokenizerNormalization.nfc(text)) { stretch in
            let stretch = Array(stretch)
            var splitter = TokenizerSplitter(stretch)
            while let range = splitter.next() {
                encoder.encode(stretch[range], workspace: &workspace, into: &ids)
            }
        } match: { id in
            ids.append(id)
        }
    }
}
