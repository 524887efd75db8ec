import ModelFiles
import Testing

@Suite struct TokenizerCompactTests {
    let tokenizer: Tokenizer
    let bytes: [UInt8]

    init() throws {
        tokenizer = try TokenizerFixture().tokenizer()
        bytes = tokenizer.compactBytes()
    }

    @Test func isSmall() {
        #expect(bytes.count < 3_000)
    }

    @Test func keepsPiecesThatNoMergeGivesInTime() throws {
        var fixture = TokenizerFixture()
        fixture.merges.reverse()
        fixture.vocabulary.append(("unmerged", 700))
        fixture.vocabulary.append(("<tool>", 502))
        fixture.added[2].content = "inc"
        fixture.added[2].id = 701
        fixture.vocabulary.append(("inc", 701))
        let tokenizer = try fixture.tokenizer()
        let again = try Tokenizer(compact: tokenizer.compactBytes())
        #expect(again.compactBytes() == tokenizer.compactBytes())
        #expect(again.tokenCount == 702)
        for id in 0..<tokenizer.tokenCount {
            #expect(
                again.decode([id], skippingSpecialTokens: false) == tokenizer.decode([id], skippingSpecialTokens: false)
            )
            #expect(again.isKnown(id) == tokenizer.isKnown(id))
        }
        #expect(again.specialTokens == tokenizer.specialTokens)
    }

    @Test func refusesEveryTruncation() {
        for count in 0..<bytes.count {
            #expect(throws: ModelFileError.self) { try Tokenizer(compact: Array(bytes.prefix(count))) }
            #expect(throws: ModelFileError.self) { try Tokenizer(compact: Self.sealed(bytes.prefix(count))) }
        }
    }

    @Test func refusesDamage() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = TokenizerRandom(seed: seed)
        for _ in 0..<500 {
            var damaged = bytes
            let place = Int.random(in: 0..<bytes.count, using: &random)
            damaged[place] ^= UInt8.random(in: 1...255, using: &random)
            #expect(throws: ModelFileError.self, "byte \(place), seed \(seed)") { try Tokenizer(compact: damaged) }
        }
    }

    /// With a checksum that matches, damage is refused or gives another tokenizer that works.
    @Test func survivesDamageUnderAMatchingChecksum() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = TokenizerRandom(seed: seed)
        var refused = 0
        for _ in 0..<3_000 {
            var damaged = Array(bytes.dropLast(8))
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let place = Int.random(in: 5..<damaged.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: damaged.remove(at: place)
                case 1: damaged.insert(UInt8.random(in: 0...255, using: &random), at: place)
                default: damaged[place] = UInt8.random(in: 0...255, using: &random)
                }
            }
            guard let tokenizer = try? Tokenizer(compact: Self.sealed(damaged[...], whole: false)) else {
                refused += 1
                continue
            }
            let text = "<|im_start|>the software's\n\n  é 12 👍"
            let ids = tokenizer.encode(text, parsingSpecialTokens: true)
            #expect(tokenizer.decode(ids, skippingSpecialTokens: false) == text, "seed \(seed)")
            #expect((try? Tokenizer(compact: tokenizer.compactBytes())) != nil, "seed \(seed)")
        }
        #expect(refused > 1_000)
    }

    @Test func refusesANewerVersion() {
        var newer = bytes
        newer[4] = 2
        #expect { try Tokenizer(compact: newer) } throws: { ($0 as? ModelFileError)?.code == .newerVersion }
        newer[4] = 0
        #expect { try Tokenizer(compact: Self.sealed(newer[...])) } throws: {
            ($0 as? ModelFileError)?.code == .tokenizerInvalid
        }
    }

    @Test func refusesCountsThatTheBytesCannotHold() {
        let lie: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x7F]
        let head = Array(bytes[..<5])
        for counts in [lie + [0, 0], [0] + lie + [0], [0, 0] + lie, [0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
            let form = head + counts + [UInt8](repeating: 0, count: 100)
            #expect { try Tokenizer(compact: Self.sealed(form[...], whole: false)) } throws: {
                ($0 as? ModelFileError)?.code == .tokenizerInvalid
            }
        }
    }

    @Test func refusesAddedTokensThatLie() {
        // The count of added tokens stands after two counts of two bytes; one more token follows the last.
        #expect(bytes[9] == 5)
        var form = Array(bytes.dropLast(8))
        form[9] = 6
        let cases: [([UInt8], String)] = [
            ([0xBC, 0x05, 8, 1, 0x71], "the added token 700 has flags 8"),
            ([0xBC, 0x05, 4, 0], "different texts"), ([0xBC, 0x05, 4, 1, 0x71], "different texts"),
            ([0x40, 4, 1, 0x71], "different texts"), ([0x40, 0, 1, 0x71], "two tokens have the id 64"),
            ([0xBC, 0x05, 0, 0], "0 bytes"), ([0xBC, 0x05, 0, 2, 0xC3, 0x28], "is not UTF-8"),
            ([0xBC, 0x05, 0, 9, 0x71], "it ends too early"), ([0xBC, 0x05, 0, 1, 0x71, 0], "unexpected bytes after"),
        ]
        for (token, words) in cases {
            #expect("\(words)") { try Tokenizer(compact: Self.sealed((form + token)[...], whole: false)) } throws: {
                ($0 as? ModelFileError)?.message.contains(words) == true
            }
        }
        #expect(throws: Never.self) {
            try Tokenizer(compact: Self.sealed((form + [0xBC, 0x05, 0, 1, 0x71])[...], whole: false))
        }
    }

    /// Doubling a piece thirty times would ask for a gigabyte.
    @Test func refusesPiecesThatGrowWithoutEnd() {
        var form = Array(bytes[..<5]) + [1, 30, 0, 0, 1, 0x61]
        for id in 0..<30 { form += [id == 0 ? 2 : 0, UInt8(id), UInt8(id)] }
        #expect { try Tokenizer(compact: Self.sealed(form[...], whole: false)) } throws: {
            ($0 as? ModelFileError)?.message.contains("bytes, expected 1 to 4096") == true
        }
    }

    @Test func refusesTooManyBytesInTotal() {
        let merges = 9_000
        var form = Array(bytes[..<5]) + [1, UInt8(merges & 0x7F) | 0x80, UInt8(merges >> 7), 0, 0, 1, 0x61]
        for id in 0..<merges {
            // Twelve times doubled, then always the two halves of 4,096 bytes.
            let half = UInt8(min(id, 11))
            form += [id == 0 ? 2 : 0, half, half]
        }
        #expect { try Tokenizer(compact: Self.sealed(form[...], whole: false)) } throws: {
            ($0 as? ModelFileError)?.message.contains("more than 33554432 bytes in total") == true
        }
    }

    /// `form` with a checksum that matches: in place of its last eight bytes, or after them.
    private static func sealed(_ form: ArraySlice<UInt8>, whole: Bool = true) -> [UInt8] {
        let content = Array(whole ? form.dropLast(8) : form)
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in content { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        return content + (0..<8).map { UInt8(truncatingIfNeeded: hash >> (8 * UInt64($0))) }
    }
}
