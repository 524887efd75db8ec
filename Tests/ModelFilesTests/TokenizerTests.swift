import ModelFiles
import Testing

@Suite struct TokenizerTests {
    let fixture = TokenizerFixture()

    @Test(arguments: TokenizerGolden.all)
    func givesTheIDsOfTheTokenizersLibrary(_ golden: TokenizerGolden) throws {
        let tokenizer = try fixture.tokenizer()
        #expect(tokenizer.encode(golden.text, parsingSpecialTokens: true) == golden.ids)
        #expect(tokenizer.encode(golden.text, parsingSpecialTokens: false) == golden.plain)
    }

    @Test func readsTheSameFromAllForms() throws {
        let single = try fixture.tokenizer()
        let folder = try TokenizerFolder(fixture.folder).tokenizer()
        let compact = try Tokenizer(compact: single.compactBytes())
        for tokenizer in [folder, compact] {
            for golden in TokenizerGolden.all {
                #expect(tokenizer.encode(golden.text, parsingSpecialTokens: true) == golden.ids)
                #expect(tokenizer.encode(golden.text, parsingSpecialTokens: false) == golden.plain)
            }
            #expect(tokenizer.compactBytes() == single.compactBytes())
            #expect(tokenizer.specialTokens == single.specialTokens)
            #expect(tokenizer.stopTokens == single.stopTokens)
        }
    }

    @Test func knowsItsIDs() throws {
        var fixture = fixture
        fixture.added[4].id = 600
        let tokenizer = try fixture.tokenizer()
        #expect(tokenizer.tokenCount == 601)
        #expect(tokenizer.specialTokens == ["<|endoftext|>": 499, "<|im_start|>": 500, "<|im_end|>": 501])
        #expect(tokenizer.stopTokens == [499, 501])
        for id in [0, 255, 498, 499, 502, 600] { #expect(tokenizer.isKnown(id)) }
        for id in [-1, 503, 599, 601, .max, .min] { #expect(!tokenizer.isKnown(id)) }
        #expect(tokenizer.id(of: "<|im_end|>") == 501)
        #expect(tokenizer.id(of: " the") == 297)
        #expect(tokenizer.id(of: "é") == 487)
        #expect(tokenizer.id(of: "Ġthe") == nil)
        #expect(tokenizer.id(of: "") == nil)
    }

    @Test func leavesSpecialTokensOutOfAnswers() throws {
        let tokenizer = try fixture.tokenizer()
        let ids = [500, 297, 501, 502, 503, 10_000, -3, 198]
        #expect(tokenizer.decode(ids, skippingSpecialTokens: true) == " the<tool>café noir\n")
        #expect(tokenizer.decode(ids, skippingSpecialTokens: false) == "<|im_start|> the<|im_end|><tool>café noir\n")
    }

    @Test func normalizesToCanonicalComposition() throws {
        let tokenizer = try fixture.tokenizer()
        // Composition, order of marks, Hangul, singletons, exclusions, and three signs whose class is not their parts'.
        let cases: [(String, [UInt32])] = [
            ("e\u{301}", [0xE9]), ("a\u{301}\u{327}", [0xE1, 0x327]), ("\u{1100}\u{1161}\u{11A8}", [0xAC01]),
            ("\u{AC00}\u{11A8}", [0xAC01]), ("\u{212B}", [0xC5]), ("\u{958}", [0x915, 0x93C]),
            ("\u{1D15E}", [0x1D157, 0x1D165]), ("\u{344}", [0x308, 0x301]), ("\u{340}\u{F81}", [0xF71, 0xF80, 0x300]),
            ("\u{301}\u{F73}", [0xF71, 0xF72, 0x301]), ("\u{301}\u{F75}", [0xF71, 0xF74, 0x301]),
            ("\u{FB01}", [0xFB01]),
        ]
        for (text, normal) in cases {
            let ids = tokenizer.encode(text, parsingSpecialTokens: false)
            #expect(tokenizer.decode(ids, skippingSpecialTokens: false).unicodeScalars.map(\.value) == normal)
        }
    }

    @Test func bringsRandomTextBack() throws {
        #if DEBUG
            let count = 3_000
        #else
            let count = 100_000
        #endif
        let tokenizer = try fixture.tokenizer()
        let seed = UInt64.random(in: 0 ... .max)
        var random = TokenizerRandom(seed: seed)
        for _ in 0..<count {
            let text = Self.randomText(&random)
            let ids = tokenizer.encode(text, parsingSpecialTokens: false)
            let decoded = tokenizer.decode(ids, skippingSpecialTokens: true)
            // Strings are equal if their normal forms are.
            guard decoded == text, tokenizer.encode(decoded, parsingSpecialTokens: false) == ids else {
                Issue.record("\(text.debugDescription) came back as \(decoded.debugDescription), seed \(seed)")
                return
            }
        }
    }

    /// Text of assigned and unassigned characters, many of them ASCII, spaces, marks and parts of special tokens.
    private static func randomText(_ random: inout TokenizerRandom) -> String {
        let ranges: [ClosedRange<UInt32>] = [
            0x20...0x7E, 0...0x7F, 0x80...0x2FF, 0x300...0x36F, 0x400...0xEFF, 0x1000...0x11FF, 0x1E00...0x33FF,
            0x4E00...0x9FFF, 0xAC00...0xD7A3, 0xE000...0xFFFF, 0x10000...0x1FFFF, 0x20000...0x10FFFF,
        ]
        let words = ["<|im_end|>", "'ll", "'S", " ", "  ", "\n", "\r\n", "\u{A0}", "e\u{301}", "👩‍👩‍👧"]
        var text = ""
        for _ in 0..<Int.random(in: 0...24, using: &random) {
            if Bool.random(using: &random), let word = words.randomElement(using: &random) {
                text += word
            } else if let range = ranges.randomElement(using: &random) {
                text.unicodeScalars.append(Unicode.Scalar(UInt32.random(in: range, using: &random)) ?? "a")
            }
        }
        return text
    }

    // MARK: - Streams

    @Test func saysWholeCharactersOnly() throws {
        let tokenizer = try fixture.tokenizer()
        var stream = tokenizer.makeStreamDecoder(skippingSpecialTokens: true)
        // 👍 in the pieces F0 9F 91 and 8D, with a special token between them, then half a character at the end.
        #expect(stream.push(498) == "")
        #expect(stream.push(501) == "")
        #expect(stream.push(235) == "👍")
        #expect(stream.push(64) == "a")
        #expect(stream.push(497) == "")
        #expect(stream.finish() == "\u{FFFD}")
        #expect(stream.finish() == "")
    }

    @Test func saysAtOnceWhatCannotBecomeACharacter() throws {
        let tokenizer = try fixture.tokenizer()
        // Surrogates, above U+10FFFF, and longer forms than need be: their second byte tells.
        for (lead, second) in [(0xED, 0xA0), (0xF4, 0x90), (0xE0, 0x80), (0xF0, 0x80)] as [(UInt8, UInt8)] {
            var stream = tokenizer.makeStreamDecoder(skippingSpecialTokens: true)
            let ids = Self.ids([lead, second])
            #expect(stream.push(ids[0]) == "")
            #expect(stream.push(ids[1]) == "\u{FFFD}\u{FFFD}")
        }
    }

    @Test func replacesBytesThatAreNoCharacter() throws {
        let tokenizer = try fixture.tokenizer()
        // Each maximal part of a character is one U+FFFD (Unicode, table 3-8 and following).
        let cases: [([UInt8], String)] = [
            ([0x61, 0xF1, 0x80, 0x80, 0xE1, 0x80, 0xC2, 0x62, 0x80, 0x63, 0x80, 0xBF, 0x64], "a???b?c??d"),
            ([0xC0, 0xAF, 0xE0, 0x80, 0xBF, 0xF0, 0x81, 0x82, 0x41], "????????A"),
            ([0xED, 0xA0, 0x80, 0xED, 0xBF, 0xBF, 0xED, 0xAF, 0x41], "????????A"),
            ([0xF4, 0x91, 0x92, 0x93, 0xFF, 0x41, 0x80, 0xBF, 0x42], "?????A??B"),
            ([0xE1, 0x80, 0xE2, 0xF0, 0x91, 0x92, 0xF1, 0xBF, 0x41], "????A"),
            ([0xF0, 0x9F, 0x91], "?"), ([0xE2, 0x82, 0xAC], "€"), ([0xC3], "?"), ([0x80], "?"),
        ]
        for (bytes, expected) in cases {
            let text = expected.replacing("?", with: "\u{FFFD}")
            #expect(tokenizer.decode(Self.ids(bytes), skippingSpecialTokens: false) == text)
            #expect(Self.streamed(Self.ids(bytes), tokenizer, skipping: false) == text)
        }
    }

    /// The ids of bytes: the fixture's byte tokens stand in the order of their characters.
    private static func ids(_ bytes: [UInt8]) -> [Int] {
        let printable = (0...255).filter { (0x21...0x7E).contains($0) || (0xA1...0xFF).contains($0) && $0 != 0xAD }
        let order = printable + (0...255).filter { !printable.contains($0) }
        return bytes.compactMap { order.firstIndex(of: Int($0)) }
    }

    @Test func streamsWhatTheWholeGives() throws {
        let tokenizer = try fixture.tokenizer()
        let seed = UInt64.random(in: 0 ... .max)
        var random = TokenizerRandom(seed: seed)
        // Mostly bytes of E0 and above and continuation bytes.
        let bytes = Array(126..<188) + Array(220..<256) + [64, 487, 495, 496, 497, 498, 499, 501, 503, 700]
        for _ in 0..<3_000 {
            let ids = (0..<Int.random(in: 0...12, using: &random)).compactMap { _ in bytes.randomElement(using: &random)
            }
            for skipping in [true, false] {
                let whole = tokenizer.decode(ids, skippingSpecialTokens: skipping)
                let streamed = Self.streamed(ids, tokenizer, skipping: skipping)
                guard Array(whole.utf8) == Array(streamed.utf8) else {
                    Issue.record(
                        "\(ids): whole \(whole.debugDescription), streamed \(streamed.debugDescription), \(seed)")
                    return
                }
            }
        }
    }

    private static func streamed(_ ids: [Int], _ tokenizer: Tokenizer, skipping: Bool) -> String {
        var stream = tokenizer.makeStreamDecoder(skippingSpecialTokens: skipping)
        var scalars = String.UnicodeScalarView()
        for id in ids { scalars.append(contentsOf: stream.push(id).unicodeScalars) }
        scalars.append(contentsOf: stream.finish().unicodeScalars)
        return String(scalars)
    }

    // MARK: - Merging

    @Test func mergesLongPiecesAsShortOnes() throws {
        let tokenizer = try fixture.tokenizer()
        // Beyond 64 bytes a queue takes over: one letter more or less must not change what stands before.
        for count in [1, 15, 16, 63, 64, 65, 66, 127, 1_000] {
            let ids = tokenizer.encode(String(repeating: "a", count: count), parsingSpecialTokens: false)
            let expected =
                Array(repeating: 492, count: count / 16) + (count & 8 != 0 ? [462] : []) + (count & 4 != 0 ? [461] : [])
                + (count & 2 != 0 ? [460] : []) + (count & 1 != 0 ? [64] : [])
            #expect(ids == expected)
        }
        // The same words, each short by itself and joined to one long piece by a letter that merges with nothing.
        let words = ["distribution", "software", "opyright", "ithin", "theses", "testing", "include", "pirit"]
        let joined = words.map { $0 + "Z" }.joined()
        let apart = words.flatMap { tokenizer.encode($0 + "Z", parsingSpecialTokens: false) }
        #expect(joined.utf8.count > 64)
        #expect(tokenizer.encode(joined, parsingSpecialTokens: false) == apart)
    }

    @Test func followsTheOrderOfTheMergesNotTheirLength() throws {
        var fixture = fixture
        fixture.merges.reverse()
        let tokenizer = try fixture.tokenizer()
        // "e n" now comes before "t e", and "aa aa" before "a a", which it needs.
        #expect(try self.fixture.tokenizer().encode("ten", parsingSpecialTokens: false) == [264, 77])
        #expect(tokenizer.encode("ten", parsingSpecialTokens: false) == [83, 277])
        #expect(tokenizer.encode("aaaa", parsingSpecialTokens: false) == [461])
        let compact = try Tokenizer(compact: tokenizer.compactBytes())
        for golden in TokenizerGolden.all {
            #expect(
                compact.encode(golden.text, parsingSpecialTokens: true)
                    == tokenizer.encode(golden.text, parsingSpecialTokens: true))
        }
    }

    // MARK: - Added tokens

    /// As the `tokenizers` library does.
    @Test func findsNormalizedTokensInNormalizedTextOnly() throws {
        var fixture = fixture
        fixture.added.append(.init(id: 504, content: "cafe", isSpecial: false, isNormalized: true))
        fixture.added.append(.init(id: 505, content: "tote", isSpecial: false))
        let tokenizer = try fixture.tokenizer()
        #expect(tokenizer.encode("cafe", parsingSpecialTokens: false) == [504])
        #expect(tokenizer.encode("cafe\u{301}", parsingSpecialTokens: false) == [66, 64, 69, 487])
        #expect(tokenizer.encode("tote\u{301}", parsingSpecialTokens: false) == [505, 136, 223])
    }

    @Test func prefersTheLongestAddedToken() throws {
        var fixture = fixture
        for (offset, content) in ["<tool>s", "<t", "tool", "<tool>sX!"].enumerated() {
            fixture.added.append(.init(id: 504 + offset, content: content, isSpecial: offset == 3))
        }
        let tokenizer = try fixture.tokenizer()
        #expect(tokenizer.encode("<tool>s<tool><toolx", parsingSpecialTokens: false).prefix(3) == [504, 502, 505])
        #expect(tokenizer.encode("<tool>sX!<tool>sX", parsingSpecialTokens: true).prefix(2) == [507, 504])
        #expect(tokenizer.encode("<tool>sX!", parsingSpecialTokens: false).first == 504)
        #expect(tokenizer.encode("tool<", parsingSpecialTokens: false) == [506, 27])
    }
}
