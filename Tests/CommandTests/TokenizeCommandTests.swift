import Foundation
import Testing

/// `fastvlm tokenize`, on a vocabulary of which the `tokenizers` library gave the ids.
@Suite struct TokenizeCommandTests {
    private func tokenize(_ input: [UInt8], _ arguments: String...) async throws -> Ending {
        try await ProgramProcess(
            Program.fastvlm.path, ["tokenize", "--model", House.model] + arguments, input: input
        ).ending()
    }

    private func tokenize(_ input: String, _ arguments: String...) async throws -> Ending {
        try await ProgramProcess(
            Program.fastvlm.path, ["tokenize", "--model", House.model] + arguments, input: Array(input.utf8)
        ).ending()
    }

    @Test func aLineOfTextGivesALineOfIds() async throws {
        let ending = try await tokenize("\"hello\"\n\"hello <|im_start|>\"\n\"\"\n")
        #expect(ending.status == 0)
        #expect(ending.errors == "")
        #expect(ending.outputLines == ["[71, 520, 426]", "[71, 520, 426, 220, 1001]", "[]"])
    }

    @Test func specialTokensAreTextIfAskedFor() async throws {
        let ending = try await tokenize("\"hello <|im_start|>\"\n", "--no-special")
        #expect(ending.status == 0)
        #expect(ending.output == "[71, 520, 426, 458, 91, 416, 792, 688, 91, 29]\n")
    }

    @Test(arguments: ["--special", "--no-special"]) func decodingIsTheInverse(_ special: String) async throws {
        let texts = [
            "hello", "  two  blanks", "tab\tand \"quotes\" and \\", "line\nline\r\n", "道可道，非常道", "🧑‍🚀 e\u{301}", "a/b",
            "<|im_end|><|endoftext|>", "\u{0}\u{1b}", "1234567890", String(repeating: "long ", count: 5_000),
        ]
        let lines = try texts.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) + "\n" }
        let ids = try await tokenize(lines.joined(), special)
        #expect(ids.status == 0)
        #expect(ids.outputLines.count == texts.count)
        let back = try await tokenize(ids.output, "--decode")
        #expect(back.status == 0)
        #expect(back.errors == "")
        let decoded = try back.outputLines.map { try JSONDecoder().decode(String.self, from: Data($0.utf8)) }
        // The tokenizer composes what it reads.
        #expect(decoded == texts.map(\.precomposedStringWithCanonicalMapping))
    }

    @Test func emptyLinesAndOtherLineEndsAreAllowed() async throws {
        let ending = try await tokenize("\"hello\"\r\n\r\n\n\n\"hello\"")
        #expect(ending.status == 0)
        #expect(ending.output == "[71, 520, 426]\n[71, 520, 426]\n")
        #expect(try await tokenize("").output == "")
    }

    /// What came before the bad line has been answered, as a stream's reader expects.
    @Test(arguments: ["hello", "[1]", "{}", "\"open", "\"a\" \"b\"", "null", "12"])
    func aLineThatIsNoStringEndsItWithItsNumber(_ line: String) async throws {
        let ending = try await tokenize("\"hello\"\n\(line)\n\"never\"\n")
        #expect(ending.status == 1)
        #expect(ending.output == "[71, 520, 426]\n")
        #expect(ending.errors == "fastvlm: Cannot read line 2: expected a JSON string.\n")
    }

    @Test func bytesThatAreNotUTF8AreRefusedNotRepaired() async throws {
        let ending = try await tokenize(Array("\"a".utf8) + [0xFF, 0xFE] + Array("\"\n".utf8))
        ending.expectOneError(1, "Cannot read line 1: expected a JSON string")
    }

    @Test(arguments: ["\"1\"", "1", "[1.5]", "[\"a\"]", "[1", "[1] [2]", "[99999999999999999999]", "[null]"])
    func aLineThatIsNoArrayOfIdsEndsIt(_ line: String) async throws {
        (try await tokenize("\(line)\n", "--decode"))
            .expectOneError(1, "Cannot read line 1: expected a JSON array of ids")
    }

    @Test(arguments: ["1003", "1023", "-1", "9223372036854775807"])
    func anIdThatNoTokenHasIsRefused(_ id: String) async throws {
        (try await tokenize("[1, \(id), 2]\n", "--decode"))
            .expectOneError(1, "Cannot decode line 1: the tokenizer has no id \(id)")
    }

    @Test func inputAndOutputThatFailAreNoSuccess() async throws {
        let folder = try TemporaryFolder()
        let shell = [
            "-c", "exec \"$0\" tokenize --model \"$1\" < \"$2\"", Program.fastvlm.path, House.model, folder.path,
        ]
        try await ProgramProcess("/bin/sh", shell).ending()
            .expectOneError(1, "Cannot read standard input", "Is a directory")
        try await ProgramProcess(
            Program.fastvlm.path, ["tokenize", "--model", House.model], input: Array("\"a\"\n".utf8),
            output: "/dev/full"
        ).ending().expectOneError(1, "Cannot write to standard output", "No space left on device")
    }

    @Test func aReaderThatStopsEndsItQuietly() async throws {
        let input = String(repeating: "\"hello\"\n", count: 50_000)
        let shell = [
            "-c", "\"$0\" tokenize --model \"$1\" | head -n 1; exit ${PIPESTATUS[0]}", Program.fastvlm.path,
            House.model,
        ]
        let ending = try await ProgramProcess("/bin/bash", shell, input: Array(input.utf8)).ending()
        #expect(ending.status == 0)
        #expect(ending.output == "[71, 520, 426]\n")
        #expect(ending.errors == "")
    }
}
