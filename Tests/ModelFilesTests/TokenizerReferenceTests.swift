import FoundationEssentials
import Glibc
import ModelFiles
import Testing

/// The folder with Qwen2's own vocabulary: `FASTVLM_REFERENCE`, or `shared/reference` beside the repository.
private let reference: String? = {
    let repository = "\(#filePath)".split(separator: "/").dropLast(3)
    var places = ["/" + repository.dropLast().joined(separator: "/") + "/shared/reference"]
    if let stated = getenv("FASTVLM_REFERENCE") { places.insert(String(cString: stated), at: 0) }
    return places.first { access($0 + "/qwen2-tokenizer/tokenizer.json", R_OK) == 0 }
}()

/// True in a build whose speed means something.
private var isOptimized: Bool {
    #if DEBUG
        false
    #else
        true
    #endif
}

@Suite(.enabled(if: reference != nil, "FASTVLM_REFERENCE names no folder with the reference tokenizers"))
struct TokenizerReferenceTests {
    private struct Line: Decodable {
        let text: String
        let ids: [Int]
        let decoded: String
    }

    private let folder: String

    init() throws {
        folder = try #require(reference)
    }

    /// Qwen2's tokenizer from `tokenizer.json`, from the older four files, and from its compact form.
    private func tokenizers() throws -> [Tokenizer] {
        let single = try Tokenizer(directory: folder + "/qwen2-tokenizer")
        var files: [String: String] = [:]
        for name in ["vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"] {
            let data = try Data(contentsOf: URL(filePath: folder + "/qwen2-tokenizer/" + name))
            files[name] = String(decoding: data, as: UTF8.self)
        }
        let older = try TokenizerFolder(files)
        return [single, try older.tokenizer(), try Tokenizer(compact: single.compactBytes())]
    }

    @Test func givesTheGoldenIDsAndTextsFromEveryForm() throws {
        let data = try Data(contentsOf: URL(filePath: folder + "/tokenizer-golden.jsonl"))
        let lines = try data.split(separator: UInt8(ascii: "\n")).map { try JSONDecoder().decode(Line.self, from: $0) }
        #expect(lines.count > 30)
        for tokenizer in try tokenizers() {
            #expect(tokenizer.tokenCount == 151_646)
            #expect(tokenizer.stopTokens == [151_643, 151_645])
            for line in lines {
                #expect(tokenizer.encode(line.text, parsingSpecialTokens: true) == line.ids)
                #expect(
                    Array(tokenizer.decode(line.ids, skippingSpecialTokens: false).utf8) == Array(line.decoded.utf8))
            }
        }
    }

    @Test func framesAQuestionAsTheReferenceDoes() throws {
        let tokenizer = try Tokenizer(directory: folder + "/qwen2-tokenizer")
        let template = PromptTemplate()
        let prompt = template.promptTokens(question: "Describe the image.", tokenizer: tokenizer)
        let before = [151_644, 8_948, 198, 2_610, 525, 264, 10_950, 17_847, 13, 151_645, 198, 151_644, 872, 198]
        #expect(prompt.before == before)
        #expect(template.fixedPrefixTokens(tokenizer: tokenizer) == before)
        #expect(prompt.after == [198, 74_785, 279, 2_168, 13, 151_645, 198, 151_644, 77_091, 198])
    }

    @Test(.enabled(if: isOptimized, "speed is measured in release builds"))
    func readsQuickly() throws {
        var tokenizer: Tokenizer?
        let json = try Self.cpuSeconds { tokenizer = try Tokenizer(directory: folder + "/qwen2-tokenizer") }
        #expect(json < 0.5)
        let bytes = try #require(tokenizer).compactBytes()
        #expect(bytes.count < 1_000_000)
        #expect(try Self.cpuSeconds { tokenizer = try Tokenizer(compact: bytes) } < 0.06)
    }

    /// One piece of a megabyte, and a megabyte of many pieces: no text takes quadratic time.
    @Test(.enabled(if: isOptimized, "speed is measured in release builds"))
    func encodesAMegabyteInLessThanASecond() throws {
        let tokenizer = try Tokenizer(directory: folder + "/qwen2-tokenizer")
        let units = [
            "a", " ", "\n", " \n", "'", "<", "<|im_", "1", "é", "e\u{301}", "\u{301}", "👩‍👩‍👧‍👦", "日本語のテキスト",
            "abcdefghijklmnopqrstuvwxyz", "The quick brown fox jumps over the lazy dog. ",
        ]
        for unit in units {
            let text = String(repeating: unit, count: (1 << 20) / unit.utf8.count)
            var ids: [Int] = []
            let seconds = Self.cpuSeconds { ids = tokenizer.encode(text, parsingSpecialTokens: true) }
            #expect(seconds < 1, "\(unit.debugDescription)")
            #expect(tokenizer.decode(ids, skippingSpecialTokens: false) == text, "\(unit.debugDescription)")
        }
    }

    /// Processor time of this thread, which other work on the machine does not change.
    private static func cpuSeconds(_ work: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        }
        let start = now()
        try work()
        return now() - start
    }
}
