import Glibc
import ModelFiles
import Testing

@Suite struct TokenizerFileTests {
    let fixture = TokenizerFixture()

    /// Expects that reading `files` fails with `code` and a message that contains `words`.
    private func expectRefusal(
        _ code: ModelFileError.Code, _ words: String, of files: [String: String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let folder = try TokenizerFolder(files)
        do {
            _ = try folder.tokenizer()
            Issue.record("it was read, expected \(words)", sourceLocation: sourceLocation)
        } catch let error as ModelFileError {
            #expect(error.code == code, sourceLocation: sourceLocation)
            #expect(error.message.contains(words), "got: \(error.message)", sourceLocation: sourceLocation)
            #expect(error.message.contains(folder.path), "got: \(error.message)", sourceLocation: sourceLocation)
        }
    }

    private func expectRefusal(
        _ code: ModelFileError.Code, _ words: String, sourceLocation: SourceLocation = #_sourceLocation,
        _ change: (inout TokenizerFixture) -> Void
    ) throws {
        var changed = fixture
        change(&changed)
        try expectRefusal(code, words, of: ["tokenizer.json": changed.tokenizerJSON], sourceLocation: sourceLocation)
        try expectRefusal(code, words, of: changed.folder, sourceLocation: sourceLocation)
    }

    /// Expects that `tokenizer.json` is refused after `text` in it became `other`.
    private func expectRefusal(
        _ code: ModelFileError.Code, _ words: String, replacing text: String, with other: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let json = fixture.tokenizerJSON
        try #require(json.contains(text), sourceLocation: sourceLocation)
        try expectRefusal(
            code, words, of: ["tokenizer.json": json.replacing(text, with: other, maxReplacements: 1)],
            sourceLocation: sourceLocation)
    }

    // MARK: - Both forms

    @Test func refusesContradictions() throws {
        try expectRefusal(.tokenizerInvalid, "two tokens have the id 3") { $0.vocabulary[7].id = 3 }
        try expectRefusal(.tokenizerInvalid, "two tokens have the id 297") { $0.added[0].id = 297 }
        try expectRefusal(.tokenizerInvalid, "have the same text") { $0.vocabulary.append(("!", 700)) }
        try expectRefusal(.tokenizerInvalid, "has no token, expected one for each of the 256 bytes") {
            $0.merges = []
            $0.vocabulary = $0.vocabulary.filter { $0.text != "Z" && $0.id < 256 }
        }
        try expectRefusal(.tokenizerInvalid, "merge 243 joins 'q' and 'Z'") { $0.merges.append(("q", "Z")) }
        try expectRefusal(.tokenizerInvalid, "merge 0 joins 'zz' and 'q'") { $0.merges[0] = ("zz", "q") }
        try expectRefusal(.tokenizerInvalid, "merges 3 and 243 join the same pair") { $0.merges.append($0.merges[3]) }
        try expectRefusal(.tokenizerInvalid, "the part 'q日'") { $0.merges[5] = ("q日", "q") }
        try expectRefusal(.tokenizerInvalid, "the part ''") { $0.merges[5] = ("", "q") }
        try expectRefusal(.tokenizerInvalid, "has a character that stands for no byte") {
            $0.vocabulary.append(("日本", 700))
        }
        try expectRefusal(.tokenizerInvalid, "in the vocabulary it has 700") { $0.vocabulary.append(("<tool>", 700)) }
        try expectRefusal(.tokenizerUnsupported, "no token that ends an answer") {
            $0.added.removeAll { $0.content == "<|im_end|>" || $0.content == "<|endoftext|>" }
        }
        try expectRefusal(.tokenizerUnsupported, "lstrip of the added token '<tool>' is true") {
            $0.added[3].more = #""lstrip": true"#
        }
        try expectRefusal(.tokenizerInvalid, "1048576, expected at most 1048575") { $0.added[3].id = 1 << 20 }
        try expectRefusal(.tokenizerInvalid, "0 bytes, expected 1 to 4096") { $0.added[3].content = "" }
        try expectRefusal(.tokenizerInvalid, "4097 bytes, expected 1 to 4096") {
            $0.vocabulary.append((String(repeating: "q", count: 4_097), 700))
        }
    }

    @Test func acceptsAddedTokensThatTheVocabularyHasToo() throws {
        var fixture = fixture
        fixture.vocabulary.append(("<tool>", 502))
        fixture.vocabulary.append(("日本", 504))
        fixture.added.append(.init(id: 504, content: "日本", isSpecial: false))
        for files in [["tokenizer.json": fixture.tokenizerJSON], fixture.folder] {
            let tokenizer = try TokenizerFolder(files).tokenizer()
            #expect(tokenizer.encode("<tool>日本", parsingSpecialTokens: false) == [502, 504])
            #expect(tokenizer.decode([502, 504], skippingSpecialTokens: true) == "<tool>日本")
        }
    }

    @Test func refusesWhatIsNotAFile() throws {
        try expectRefusal(.fileNotFound, "neither 'tokenizer.json' nor 'vocab.json' is there", of: [:])
        #expect { try Tokenizer(directory: "/nonexistent") } throws: {
            ($0 as? ModelFileError)?.code == .fileNotFound
        }
        let folder = try TokenizerFolder([:])
        let path = folder.path + "/tokenizer.json"
        try #require(mkfifo(path, 0o600) == 0)
        defer { unlink(path) }
        #expect { try folder.tokenizer() } throws: { ($0 as? ModelFileError)?.code == .notARegularFile }
    }

    @Test func refusesFilesBeyondTheLimit() throws {
        let limits = [
            "tokenizer.json": 64 << 20, "vocab.json": 32 << 20, "merges.txt": 32 << 20, "added_tokens.json": 4 << 20,
            "tokenizer_config.json": 4 << 20,
        ]
        for (name, limit) in limits {
            var files = fixture.folder
            files[name] = name == "tokenizer.json" ? fixture.tokenizerJSON : files[name]
            let folder = try TokenizerFolder(files)
            try #require(truncate(folder.path + "/" + name, off_t(limit + 1)) == 0)
            #expect("\(name)") { try folder.tokenizer() } throws: { ($0 as? ModelFileError)?.code == .fileTooLarge }
        }
    }

    // MARK: - tokenizer.json

    @Test func refusesATokenizerOfAnotherKind() throws {
        let cases = [
            (#""type": "BPE""#, #""type": "Unigram""#, #"model.type is "Unigram""#),
            (#""dropout": null"#, #""dropout": 0.1"#, "model.dropout is 0.1"),
            (#""dropout": null"#, #""ignore_merges": true"#, "model.ignore_merges is true"),
            (#""dropout": null"#, #""end_of_word_suffix": "</w>""#, #"model.end_of_word_suffix is "</w>""#),
            (#""dropout": null"#, #""continuing_subword_prefix": "_""#, "model.continuing_subword_prefix is"),
            (#""type": "NFC""#, #""type": "NFKC""#, "normalizer is NFKC, expected NFC"),
            (#"{"type": "NFC"}"#, "null", "normalizer is null, expected NFC"),
            (#""type": "Split""#, #""type": "Digits""#, #"pre_tokenizer is Sequence of ["Digits", "ByteLevel"]"#),
            (#"\\p{N}|"#, #"\\p{N}{1,3}|"#, "the pattern of pre_tokenizer is"),
            (#""Regex":"#, #""String":"#, "the pattern of pre_tokenizer is 'not a Regex'"),
            (#""Isolated""#, #""Removed""#, "Split is Removed"),
            (#""invert": false"#, #""invert": true"#, "or inverted"),
            (#""add_prefix_space": false"#, #""add_prefix_space": true"#, "adds a prefix space"),
            (#""use_regex": false"#, #""use_regex": true"#, "uses its own pattern"),
            (#""decoder": {"type": "ByteLevel""#, #""decoder": {"type": "Metaspace""#, "decoder is Metaspace"),
        ]
        for (text, other, words) in cases {
            try expectRefusal(.tokenizerUnsupported, words, replacing: text, with: other)
        }
    }

    @Test func refusesMalformedJSON() throws {
        let cases = [
            (#""model": {"#, #""model": ["#, "expected"),
            (#""vocab": {"#, #""vocabulary": {"#, "'model.vocab' is missing"),
            (#""merges": ["#, #""merged": ["#, "'model.merges' is missing"),
            (#""type": "BPE", "#, "", "'model.type' is missing"),
            (#""model":"#, #""modell":"#, "'model' is missing"),
            (#"["s", "t"]"#, #"["s", "t", "u"]"#, "a merge of 3 parts, expected 2"),
            (#"["s", "t"]"#, #"["s"]"#, "a merge of 1 parts, expected 2"),
            (#"["s", "t"]"#, #""st""#, "has one part, expected 2"),
            (#"["s", "t"]"#, "7", "expected '['"),
            (#""!": 0"#, #""!": "0""#, "expected a whole number"),
            (#""!": 0"#, #""!": -1"#, "expected a whole number"),
            (#""!": 0"#, #""!": 0.5"#, "found a fraction"),
            (#""!": 0"#, #""": 0"#, "token 0 has 0 bytes"),
            (#""!": 0"#, #""!": 99999999999999999999"#, "does not fit"),
            (#""id": 499, "#, "", "the added token '<|endoftext|>' has no id"),
            (#""id": 499"#, #""id": "499""#, "wrong type"),
            (#""special": true"#, #""special": 1"#, "wrong type"),
            (#""added_tokens": ["#, #""added_tokens": [1, "#, "wrong type"),
            (#""normalizer": {"#, #""normalizer": null, "normalizer": {"#, "'normalizer' is there twice"),
            (#""model": {"#, #""model": {"type": "BPE", "#, "'model.type' is there twice"),
            (#""decoder": {"#, #""decoder": 7, "x": {"#, "decoder"),
        ]
        for (text, other, words) in cases {
            try expectRefusal(.tokenizerInvalid, words, replacing: text, with: other)
        }
        let twice = fixture.tokenizerJSON + "{}"
        try expectRefusal(.tokenizerInvalid, "unexpected text after the document", of: ["tokenizer.json": twice])
        for name in ["vocab.json", "added_tokens.json"] {
            var files = fixture.folder
            files[name]? += "{}"
            try expectRefusal(.tokenizerInvalid, "unexpected text after the document", of: files)
        }
    }

    @Test func acceptsOlderMergesAndAnyOrder() throws {
        let merges = fixture.merges.map { "\"\($0.left) \($0.right)\"" }.joined(separator: ",")
        let model = #"{"model": {"merges": [\#(merges)], "vocab": \#(fixture.vocabularyJSON), "type": "BPE"},"#
        let tokens = fixture.added.map {
            #"{"content": "\#($0.content)", "id": \#($0.id), "special": \#($0.isSpecial)}"#
        }
        let json = model + fixture.pipeline + #", "added_tokens": [\#(tokens.joined(separator: ","))]}"#
        let tokenizer = try TokenizerFolder(["tokenizer.json": json]).tokenizer()
        for golden in TokenizerGolden.all {
            #expect(tokenizer.encode(golden.text, parsingSpecialTokens: true) == golden.ids)
        }
    }

    /// Cut anywhere, `tokenizer.json` is refused.
    @Test func refusesTruncation() throws {
        let json = Array(fixture.tokenizerJSON.utf8)
        for count in stride(from: 0, to: json.count, by: 97) {
            let text = String(decoding: json[..<count], as: UTF8.self)
            try expectRefusal(.tokenizerInvalid, "Cannot read", of: ["tokenizer.json": text])
        }
    }

    @Test func survivesRandomDamage() throws {
        let json = Array(fixture.tokenizerJSON.utf8)
        let seed = UInt64.random(in: 0 ... .max)
        var random = TokenizerRandom(seed: seed)
        let marks = Array("{}[]\":,\\0129eu \n\u{0}é<|".utf8)
        for _ in 0..<300 {
            var damaged = json
            for _ in 0..<3 {
                let place = Int.random(in: 0..<damaged.count, using: &random)
                damaged[place] = marks.randomElement(using: &random) ?? 0
            }
            let folder = try TokenizerFolder(["tokenizer.json": String(decoding: damaged, as: UTF8.self)])
            if let tokenizer = try? folder.tokenizer() {
                let ids = tokenizer.encode("the software's é", parsingSpecialTokens: true)
                #expect(tokenizer.decode(ids, skippingSpecialTokens: false) == "the software's é", "seed \(seed)")
            }
        }
    }

    // MARK: - The older form

    @Test func refusesAnIncompleteFolder() throws {
        for name in ["merges.txt", "tokenizer_config.json"] {
            var files = fixture.folder
            files[name] = nil
            try expectRefusal(.fileNotFound, name, of: files)
        }
        var files = fixture.folder
        files["merges.txt"] = "#version: 0.2\ns t\nnothing\n"
        try expectRefusal(.tokenizerInvalid, "merge 1 has one part, expected 2", of: files)
        files["merges.txt"] = "s t u\n"
        try expectRefusal(.tokenizerInvalid, "the part 't u'", of: files)
    }

    @Test func refusesConfigurationsOfOtherKinds() throws {
        let cases = [
            (#""tokenizer_class": "LlamaTokenizer""#, "tokenizer_class is LlamaTokenizer"),
            (#""errors": "replace""#, "tokenizer_class is missing"),
            (#""tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": true"#, "add_prefix_space is true"),
        ]
        for (configuration, words) in cases {
            var changed = fixture
            changed.configuration = configuration
            try expectRefusal(.tokenizerUnsupported, words, of: changed.folder)
        }
        var files = fixture.folder
        files["tokenizer_config.json"] = fixture.configurationJSON.replacing(#""499":"#, with: #""0499":"#)
        try expectRefusal(.tokenizerInvalid, "the key '0499', expected an id", of: files)
        files = fixture.folder
        files["added_tokens.json"] = #"{"<|other|>": 499}"#
        try expectRefusal(.tokenizerInvalid, "is '<|other|>' in added_tokens.json and '<|endoftext|>'", of: files)
        files["added_tokens.json"] = #"{"<a>": 600, "<b>": 600}"#
        try expectRefusal(.tokenizerInvalid, "two added tokens have the id 600", of: files)
    }

    @Test func takesAddedTokensFromEitherFile() throws {
        var files = fixture.folder
        files["added_tokens.json"] = nil
        #expect(try TokenizerFolder(files).tokenizer().specialTokens.count == 3)
        files = fixture.folder
        files["tokenizer_config.json"] = #"{"tokenizer_class": "Qwen2TokenizerFast"}"#
        let tokenizer = try TokenizerFolder(files).tokenizer()
        // Without flags all are special: text from outside never becomes one.
        #expect(tokenizer.specialTokens.count == 5)
        #expect(!tokenizer.encode("<tool>", parsingSpecialTokens: false).contains(502))
    }
}
