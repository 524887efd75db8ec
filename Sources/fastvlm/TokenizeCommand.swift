internal import ArgumentParser
internal import FoundationEssentials
internal import ModelFiles
internal import UntrustedJSON

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Turn texts into token ids, or ids into texts, a line at a time.",
        discussion: """
            Reads a JSON string a line and prints an array of ids; with --decode reads an array of ids a line and \
            prints a JSON string.
            """)

    @OptionGroup var model: ModelArguments

    @Flag(help: "Turn ids into texts.")
    var decode = false

    @Flag(inversion: .prefixedNo, help: "Read the spellings of special tokens as those tokens.")
    var special = true

    func run() throws {
        let tokenizer = try model.tokenizer()
        var lines = StandardInput()
        var number = 0
        while let line = try lines.next() {
            number += 1
            guard !line.isEmpty else { continue }
            Console.line(try translate(line, number: number, tokenizer))
        }
    }

    private func translate(_ line: [UInt8], number: Int, _ tokenizer: Tokenizer) throws(CommandFailure) -> String {
        guard decode else {
            let text: String = try parse(line, number: number, expected: "a JSON string")
            let ids = tokenizer.encode(text, parsingSpecialTokens: special)
            return "[" + ids.map(String.init).joined(separator: ", ") + "]"
        }
        let ids: [Int] = try parse(line, number: number, expected: "a JSON array of ids")
        if let unknown = ids.first(where: { !tokenizer.isKnown($0) }) {
            throw CommandFailure(.inputsRefused, "Cannot decode line \(number): the tokenizer has no id \(unknown).")
        }
        let text = tokenizer.decode(ids, skippingSpecialTokens: false)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        guard let data = try? encoder.encode(text) else {
            throw CommandFailure(.inputsRefused, "Cannot print line \(number) as JSON.")
        }
        return String(decoding: data, as: UTF8.self)
    }

    private func parse<Value: Decodable>(
        _ line: [UInt8], number: Int, expected: String
    ) throws(CommandFailure) -> Value {
        do {
            return try JSONDecoder().decode(Value.self, fromUntrusted: line)
        } catch {
            throw CommandFailure(.inputsRefused, "Cannot read line \(number): expected \(expected).")
        }
    }
}
