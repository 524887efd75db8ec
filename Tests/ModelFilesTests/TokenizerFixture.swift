import Glibc
import ModelFiles
import Testing

/// A tokenizer of 500 ids in its public forms, to be changed before it is written.
///
/// The vocabulary is the 256 bytes and one token for each merge. Some merges join what the pattern must keep apart, so
/// that a wrong cut shows in the ids.
struct TokenizerFixture {
    var vocabulary: [(text: String, id: Int)]
    var merges: [(left: String, right: String)]
    var added: [Added]
    var pipeline = Self.pipeline
    var model = #""type": "BPE", "dropout": null, "unk_token": null"#
    var configuration = #""tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": false"#

    struct Added {
        var id: Int
        var content: String
        var isSpecial = true
        var isNormalized = false
        var more = #""single_word": false, "lstrip": false, "rstrip": false"#
    }

    init() {
        let bytes = (0..<256).map { UInt32($0) }
        let printable = bytes.filter { (0x21...0x7E).contains($0) || (0xA1...0xFF).contains($0) && $0 != 0xAD }
        let characters = printable + (0..<UInt32(256 - printable.count)).map { 0x100 + $0 }
        let words = Self.mergeText.split { $0 == " " || $0 == "\n" }.map(String.init)
        merges = stride(from: 0, to: words.count - 1, by: 2).map { (words[$0], words[$0 + 1]) }
        let texts = characters.compactMap(Unicode.Scalar.init).map { String(Character($0)) } + merges.map(+)
        vocabulary = texts.enumerated().map { ($0.element, $0.offset) }
        let base = vocabulary.count
        added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].enumerated().map {
            Added(id: base + $0.offset, content: $0.element)
        }
        added.append(Added(id: base + 3, content: "<tool>", isSpecial: false))
        added.append(Added(id: base + 4, content: "caf\u{E9} noir", isSpecial: false, isNormalized: true))
    }

    // MARK: - The files

    var vocabularyJSON: String {
        "{" + vocabulary.map { "\(Self.quote($0.text)): \($0.id)" }.joined(separator: ", ") + "}"
    }

    var mergeLines: String {
        "#version: 0.2\n" + merges.map { "\($0.left) \($0.right)\n" }.joined()
    }

    var addedTokensJSON: String {
        "{" + added.map { "\(Self.quote($0.content)): \($0.id)" }.joined(separator: ", ") + "}"
    }

    var configurationJSON: String {
        let tokens = added.map { "\"\($0.id)\": {\(Self.fields($0))}" }.joined(separator: ", ")
        return "{\(configuration), \"added_tokens_decoder\": {\(tokens)}}"
    }

    var tokenizerJSON: String {
        let tokens = added.map { "{\"id\": \($0.id), \(Self.fields($0))}" }.joined(separator: ", ")
        let merges = merges.map { "[\(Self.quote($0.left)), \(Self.quote($0.right))]" }.joined(separator: ", ")
        return """
            {"version": "1.0", "added_tokens": [\(tokens)], \(pipeline),
             "model": {\(model), "vocab": \(vocabularyJSON), "merges": [\(merges)]}}
            """
    }

    /// The files of a folder in the older form.
    var folder: [String: String] {
        [
            "vocab.json": vocabularyJSON, "merges.txt": mergeLines, "added_tokens.json": addedTokensJSON,
            "tokenizer_config.json": configurationJSON,
        ]
    }

    /// The tokenizer of `tokenizer.json`.
    func tokenizer() throws -> Tokenizer {
        try TokenizerFolder(["tokenizer.json": tokenizerJSON]).tokenizer()
    }

    private static func fields(_ token: Added) -> String {
        "\"content\": \(quote(token.content)), \"special\": \(token.isSpecial), "
            + "\"normalized\": \(token.isNormalized), \(token.more)"
    }

    private static func quote(_ text: String) -> String {
        let escaped = text.unicodeScalars.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }
        return "\"" + escaped.joined() + "\""
    }

    static let pipeline = #"""
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
          {"type": "Split", "behavior": "Isolated", "invert": false, "pattern": {"Regex":
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
          }},
          {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}
        """#

    private static let mergeText = """
        Ġ Ġ s t l i i n t e o n Ġ li t h Ġli b e r Ġlib s p p r e d e a n o r t i e n r i ĠĠ ĠĠ Ġ th s e te st l e
        c l / b . c o o / in / test . h cl u i c a l clu de ti on .h pp Ġth e oo st /b oost .c pp i s /in clude o m
        o f o p a r Ġ O s i c e t a / c Ġ A a m / s / m . Ċ h t i l Ġ c Ġ T Ġ a o u Ġ p / p Ġ an Ġ I Ġ S d i g ht
        en se op y - - Ġ L r o Ġ m e x a t ri ght Ġ s = = Ġ C Ġ of t r Ġ f Ġ P o c v e g e i t opy right Ġ w ic ense
        u n i le t o Ġan d si on N T Ġ in Ġ b in g a s i th I T te r Ġ F / f H E Ġ G A R a re Ġ B p le n o Ġ W Ġ D
        e s / a / de / ex t y b u d oc Ċ Ċ Ġ or Ġ to ta il v er ĠO R t w a p ĠĠĠĠ ĠĠĠĠ E S c h e d ile s ri bu : Ċ
        c t ĠA N Ġ ( of tw oftw are p l a tion / h /de tail om e -- -- I N Ġ M am ple o l u b ĠO F L icense a te
        == == Ġ re i m u m S E /c on di st O R C opyright _ c p i g r l o _ p Ġth is ri t _ f P L s s dist ribu
        /ex ample Ġ no tion s Ġw ith ĠI N Ġ N p e u l F iles / ge ĠT HE / doc U T Ġ R li c d er Ġ is m s tr y /ge ome
        pi rit /s pirit a a aa aa aaaa aaaa 1 2 ' s ' S ' t ' r ' re l l ' ll ' L 'L L Å ¿ ' Å¿ s S Ġ ' ! ? ? ! ! Ċ
        Ġ ! Ġ Ċ ĠĊ Ġ ĠĊĠ Ċ č Ċ ĉ a ĉ ĉ Ã © Ġ 1 3 . . 1 ĠĠ Ġ aaaaaaaa aaaaaaaa ' m Â ł â Ģ âĢ ĭ ð Ł ðŁ ĳ
        """
}

/// A temporary folder with the files of a tokenizer; removed with its last owner.
final class TokenizerFolder {
    let path: String
    private let names: [String]

    init(_ files: [String: String]) throws {
        var template = Array("/tmp/fastvlm-tokenizer-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        names = Array(files.keys)
        for (name, content) in files {
            let bytes = Array(content.utf8)
            let file = try #require(fopen(path + "/" + name, "w"))
            defer { fclose(file) }
            try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        }
    }

    deinit {
        for name in names { unlink(path + "/" + name) }
        rmdir(path)
    }

    func tokenizer() throws -> Tokenizer { try Tokenizer(directory: path) }
}

/// A text and its ids, as the `tokenizers` library 0.23.3 gives them for the fixture.
struct TokenizerGolden: Sendable, CustomTestStringConvertible {
    let text: String
    let ids: [Int]

    /// With special tokens as text.
    let plain: [Int]

    init(_ text: String, _ ids: [Int], plain: [Int]? = nil) {
        self.text = text
        self.ids = ids
        self.plain = plain ?? ids
    }

    var testDescription: String { text.debugDescription }

    static let all: [TokenizerGolden] = [
        TokenizerGolden("", []),
        TokenizerGolden(
            "x's'SS '\u{17F}o it's I'll WE'LL 're",
            [87, 460, 461, 50, 472, 469, 78, 220, 345, 460, 322, 466, 371, 36, 468, 472, 268]),
        TokenizerGolden("12 a1 3.1", [16, 17, 317, 16, 220, 18, 13, 16]),
        TokenizerGolden("!?!\n\n !\r\n\n", [473, 0, 380, 476, 201, 380]),
        TokenizerGolden("\ta\t\ta\t", [481, 197, 481, 197]),
        TokenizerGolden("a  a \n a\n\n  \n \n", [64, 220, 317, 477, 317, 380, 256, 198, 477]),
        TokenizerGolden("a\u{A0}a \u{A0} a", [64, 490, 64, 220, 490, 317]),
        TokenizerGolden("   a   ", [256, 317, 487]),
        TokenizerGolden("aaaaaaaaaaaaaaaaaaaaaaaaa aaa", [488, 458, 64, 317, 456]),
        TokenizerGolden("\u{E9} e\u{301} \u{200B}\u{1F44D}", [483, 220, 483, 220, 492, 494, 235]),
        TokenizerGolden("Describe the image.", [35, 373, 66, 274, 65, 68, 293, 220, 416, 64, 344, 13]),
        TokenizerGolden(
            "What does the display read?\nAnswer with a number.",
            [
                54, 71, 333, 220, 67, 78, 373, 293, 220, 67, 297, 400, 64, 88, 415, 64, 67, 30, 198, 32, 77, 82, 86,
                265, 437, 317, 220, 77, 417, 65, 265, 13,
            ]),
        TokenizerGolden(
            "  leading and trailing  ", [220, 220, 279, 64, 67, 357, 352, 220, 339, 64, 72, 258, 77, 70, 256]),
        TokenizerGolden(
            "tabs\tand\r\nnewlines\n\n\n", [306, 65, 82, 197, 270, 67, 480, 77, 68, 86, 258, 77, 373, 380, 198]),
        TokenizerGolden(" \n \n x", [477, 477, 220, 87]),
        TokenizerGolden(
            "I'm, you're, WE'LL, they'd've '\u{17F}o",
            [40, 489, 11, 220, 88, 318, 464, 11, 371, 36, 468, 11, 293, 88, 6, 67, 6, 343, 472, 469, 78]),
        TokenizerGolden("na\u{EF}ve caf\u{E9}", [77, 64, 127, 107, 343, 315, 64, 69, 483]),
        TokenizerGolden("e\u{301} and e\u{301}\u{327}", [483, 352, 220, 132, 102, 136, 223]),
        TokenizerGolden("\u{1100}\u{1161}\u{11A8} \u{AC00}\u{11A8}", [166, 108, 223, 220, 166, 108, 223]),
        TokenizerGolden("\u{340}\u{F81}", [156, 121, 109, 156, 122, 222, 136, 222]),
        TokenizerGolden(
            "\u{65E5}\u{672C}\u{8A9E}\u{3001}\u{D55C}\u{AD6D}\u{C5B4}",
            [
                162, 245, 98, 162, 250, 105, 164, 103, 252, 159, 222, 223, 169, 243, 250, 166, 113, 255, 168, 244,
                112,
            ]),
        TokenizerGolden(
            "\u{1F469}\u{200D}\u{1F469}\u{200D}\u{1F467}\u{200D}\u{1F466} \u{1F697}",
            [494, 102, 491, 235, 494, 102, 491, 235, 494, 100, 491, 235, 494, 99, 220, 493, 248, 245]),
        TokenizerGolden("\u{200B} zero \u{FEFF}", [492, 220, 89, 265, 78, 220, 171, 119, 123]),
        TokenizerGolden("\u{0}\u{1} control", [188, 189, 315, 261, 83, 330, 75]),
        TokenizerGolden("!?!?...---===\r\n\r\nend", [473, 473, 13, 13, 13, 328, 12, 336, 28, 480, 480, 273, 67]),
        TokenizerGolden(
            "<|im_start|>user\nhello<|im_end|>\n",
            [496, 84, 82, 265, 198, 71, 68, 75, 426, 497, 198],
            plain: [
                27, 91, 416, 62, 257, 302, 83, 91, 29, 84, 82, 265, 198, 71, 68, 75, 426, 27, 91, 416, 62, 273,
                67, 91, 29, 198,
            ]),
        TokenizerGolden(
            "<|im_<|im_start|>|><|endoftext|>a",
            [27, 91, 416, 62, 496, 91, 29, 495, 64],
            plain: [
                27, 91, 416, 62, 27, 91, 416, 62, 257, 302, 83, 91, 29, 91, 29, 27, 91, 273, 67, 300, 260, 87,
                83, 91, 29, 64,
            ]),
        TokenizerGolden("a <tool>the<tool> cafe\u{301} noir.", [64, 220, 498, 263, 68, 498, 220, 499, 13]),
        TokenizerGolden("the the the", [263, 68, 293, 293]),
        TokenizerGolden("   the\n   the", [256, 293, 198, 256, 293]),
        TokenizerGolden(" ", [220]),
        TokenizerGolden(" \n", [477]),
        TokenizerGolden(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            [488, 488, 488, 488, 457, 456]),
        TokenizerGolden("the the the the there", [263, 68, 293, 293, 293, 276, 265, 68]),
    ]
}

/// A repeatable source of random numbers (SplitMix64).
struct TokenizerRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
        return value ^ value >> 31
    }
}
