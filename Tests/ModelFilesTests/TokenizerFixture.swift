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
        added.append(Added(id: base + 4, content: "cafe\u{301} noir", isSpecial: false, isNormalized: true))
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
        m a ¿ o Ċ b ĉ ! Ġ Ġ s t l i i n t e o n Ġ li t h Ġli b e r Ġlib s p p r e d e a n o r t i e n r i ĠĠ ĠĠ Ġ th
        s e te st l e c l / b . c o o / in / test . h cl u i c a l clu de ti on .h pp Ġth e oo st /b oost .c pp i s
        /in clude o m o f o p a r Ġ O s i c e t a / c Ġ A a m / s / m . Ċ h t i l Ġ c Ġ T Ġ a o u Ġ p / p Ġ an Ġ I
        Ġ S d i g ht en se op y - - Ġ L r o Ġ m e x a t ri ght Ġ s = = Ġ C Ġ of t r Ġ f Ġ P o c v e g e i t opy right
        Ġ w ic ense u n i le t o Ġan d si on N T Ġ in Ġ b in g a s i th I T te r Ġ F / f H E Ġ G A R a re Ġ B p le
        n o Ġ W Ġ D e s / a / de / ex t y b u d oc Ċ Ċ Ġ or Ġ to ta il v er ĠO R t w a p ĠĠĠĠ ĠĠĠĠ E S c h e d ile s
        ri bu : Ċ c t ĠA N Ġ ( of tw oftw are p l a tion / h /de tail om e -- -- I N Ġ M am ple o l u b ĠO F L icense
        a te == == Ġ re i m u m S E /c on di st O R C opyright _ c p i g r l o _ p Ġth is ri t _ f P L s s dist ribu
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
        TokenizerGolden("a'many '\u{17F}o", [64, 493, 274, 88, 476, 129, 257]),
        TokenizerGolden("a!\nb\nb?\r\n", [64, 479, 65, 198, 65, 30, 484]),
        TokenizerGolden("a\t!", [64, 197, 0]),
        TokenizerGolden(
            "x's'SS '\u{17F}o it's I'll WE'LL 're",
            [87, 464, 465, 50, 476, 129, 257, 220, 349, 464, 326, 470, 375, 36, 472, 476, 272]),
        TokenizerGolden("12 a1 3.1", [16, 17, 321, 16, 220, 18, 13, 16]),
        TokenizerGolden("!?!\n\n !\r\n\n", [477, 0, 384, 480, 201, 384]),
        TokenizerGolden("\ta\t\ta\t", [485, 197, 485, 197]),
        TokenizerGolden("a  a \n a\n\n  \n \n", [64, 220, 321, 481, 321, 384, 260, 198, 481]),
        TokenizerGolden("a\u{A0}a \u{A0} a", [64, 494, 64, 220, 494, 321]),
        TokenizerGolden("   a   ", [260, 321, 491]),
        TokenizerGolden("aaaaaaaaaaaaaaaaaaaaaaaaa aaa", [492, 462, 64, 321, 460]),
        TokenizerGolden("\u{E9} e\u{301} \u{200B}\u{1F44D}", [487, 220, 487, 220, 496, 498, 235]),
        TokenizerGolden("Describe the image.", [35, 377, 66, 278, 65, 68, 297, 220, 72, 256, 348, 13]),
        TokenizerGolden(
            "What does the display read?\nAnswer with a number.",
            [
                54, 71, 337, 220, 67, 78, 377, 297, 220, 67, 301, 404, 64, 88, 419, 64, 67, 30, 198, 32, 77, 82, 86,
                269, 441, 321, 220, 77, 421, 65, 269, 13,
            ]),
        TokenizerGolden(
            "  leading and trailing  ", [220, 220, 283, 64, 67, 361, 356, 220, 343, 64, 72, 262, 77, 70, 260]),
        TokenizerGolden(
            "tabs\tand\r\nnewlines\n\n\n", [310, 65, 82, 197, 274, 67, 484, 77, 68, 86, 262, 77, 377, 384, 198]),
        TokenizerGolden(" \n \n x", [481, 481, 220, 87]),
        TokenizerGolden(
            "I'm, you're, WE'LL, they'd've '\u{17F}o",
            [40, 493, 11, 220, 88, 322, 468, 11, 375, 36, 472, 11, 297, 88, 6, 67, 6, 347, 476, 129, 257]),
        TokenizerGolden("na\u{EF}ve caf\u{E9}", [77, 64, 127, 107, 347, 319, 64, 69, 487]),
        TokenizerGolden("e\u{301} and e\u{301}\u{327}", [487, 356, 220, 132, 102, 136, 223]),
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
            [498, 102, 495, 235, 498, 102, 495, 235, 498, 100, 495, 235, 498, 99, 220, 497, 248, 245]),
        TokenizerGolden("\u{200B} zero \u{FEFF}", [496, 220, 89, 269, 78, 220, 171, 119, 123]),
        TokenizerGolden("\u{0}\u{1} control", [188, 189, 319, 265, 83, 334, 75]),
        TokenizerGolden("!?!?...---===\r\n\r\nend", [477, 477, 13, 13, 13, 332, 12, 340, 28, 484, 484, 277, 67]),
        TokenizerGolden(
            "<|im_start|>user\nhello<|im_end|>\n",
            [500, 84, 82, 269, 198, 71, 68, 75, 430, 501, 198],
            plain: [
                27, 91, 420, 62, 261, 306, 83, 91, 29, 84, 82, 269, 198, 71, 68, 75, 430, 27, 91, 420, 62, 277,
                67, 91, 29, 198,
            ]),
        TokenizerGolden(
            "<|im_<|im_start|>|><|endoftext|>a",
            [27, 91, 420, 62, 500, 91, 29, 499, 64],
            plain: [
                27, 91, 420, 62, 27, 91, 420, 62, 261, 306, 83, 91, 29, 91, 29, 27, 91, 277, 67, 304, 264, 87,
                83, 91, 29, 64,
            ]),
        TokenizerGolden("a <tool>the<tool> cafe\u{301} noir.", [64, 220, 502, 267, 68, 502, 220, 503, 13]),
        TokenizerGolden("the the the", [267, 68, 297, 297]),
        TokenizerGolden("   the\n   the", [260, 297, 198, 260, 297]),
        TokenizerGolden(" ", [220]),
        TokenizerGolden(" \n", [481]),
        TokenizerGolden(
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            [492, 492, 492, 492, 461, 460]),
        TokenizerGolden("the the the the there", [267, 68, 297, 297, 297, 280, 269, 68]),
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
