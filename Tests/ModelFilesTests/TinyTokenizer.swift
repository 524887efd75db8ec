import ModelFiles

/// A byte-level vocabulary of 263 ids in the public files' forms: 256 bytes, four merges, three special tokens.
enum TinyTokenizer {
    static let tokenCount = 263

    /// False while the program has no tokenizer.
    static var isRead: Bool {
        guard let folder = try? TemporaryFolder(), (try? write(to: folder, layout: .apple)) != nil else { return true }
        return (try? Tokenizer(directory: folder.path).tokenCount) != 0
    }

    private static let merges = [("t", "h"), ("th", "e"), ("a", "n"), ("Ġ", "the")]
    private static let special = ["<|endoftext|>": 260, "<|im_start|>": 261, "<|im_end|>": 262]

    /// Writes the files of Apple's layout, or `tokenizer.json`.
    static func write(to folder: TemporaryFolder, layout: TinyCheckpoint.Layout) throws {
        switch layout {
        case .apple:
            try folder.write(vocabulary, to: "vocab.json")
            try folder.write(
                "#version: 0.2\n" + merges.map { "\($0) \($1)\n" }.joined(), to: "merges.txt")
            let added = special.sorted { $0.value < $1.value }.map { "\"\($0.key)\": \($0.value)" }
            try folder.write("{\(added.joined(separator: ", "))}", to: "added_tokens.json")
        case .transformers:
            let added = special.sorted { $0.value < $1.value }.map(addedToken)
            let pairs = merges.map { "[\"\($0)\", \"\($1)\"]" }
            try folder.write(
                """
                {"version": "1.0", "truncation": null, "padding": null,
                "added_tokens": [\(added.joined(separator: ", "))],
                "normalizer": {"type": "NFC"},
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                  {"type": "Split", "pattern": {"Regex": "\(pattern)"}, "behavior": "Isolated", "invert": false},
                  {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
                "post_processor": null,
                "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
                "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": \(vocabulary), "merges": [\(pairs.joined(separator: ", "))]}}
                """, to: "tokenizer.json")
        }
        let decoder = special.sorted { $0.value < $1.value }.map {
            "\"\($0.value)\": {\"content\": \"\($0.key)\", \"lstrip\": false, \"normalized\": false, "
                + "\"rstrip\": false, \"single_word\": false, \"special\": true}"
        }
        try folder.write(
            """
            {"add_prefix_space": false, "added_tokens_decoder": {\(decoder.joined(separator: ", "))},
            "bos_token": null, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": null,
            "tokenizer_class": "Qwen2Tokenizer"}
            """, to: "tokenizer_config.json")
    }

    /// The pattern of Qwen2's pre-tokenizer, as it stands in JSON.
    private static let pattern =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
        + "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

    private static var vocabulary: String {
        // GPT-2's map: printable bytes stand for themselves, the others for U+0100 on, in order.
        let printable = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        let others = (0...0xFF).filter { !printable.contains($0) }.indices.map { 0x100 + $0 }
        let pieces = (printable + others).compactMap(UnicodeScalar.init).map { String(Character($0)) }
        let all = pieces + merges.map { $0 + $1 }
        let entries = all.enumerated().map { id, piece in
            let escaped = piece == "\"" || piece == "\\" ? "\\" + piece : piece
            return "\"\(escaped)\": \(id)"
        }
        return "{\(entries.joined(separator: ", "))}"
    }

    private static func addedToken(_ content: String, _ id: Int) -> String {
        "{\"id\": \(id), \"content\": \"\(content)\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
            + "\"normalized\": false, \"special\": true}"
    }
}
