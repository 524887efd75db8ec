import FoundationEssentials
import Testing
import UntrustedJSON

@Suite struct UntrustedJSONTests {
    /// Any value, of any depth.
    private indirect enum Anything: Decodable, Equatable {
        case list([Anything]), text(String)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else {
                self = .list(try container.decode([Anything].self))
            }
        }
    }

    private func decode(_ json: String) throws -> Anything {
        try JSONDecoder().decode(Anything.self, fromUntrusted: Array(json.utf8))
    }

    /// At 513 and nothing after it, Foundation alone ends the process.
    @Test(
        arguments: [1, 2, 64, 65, 511, 512, 513, 514, 10_000], ["[", "{\"a\":", "[[{\"a\":", "[\"]\",", "[\"\\\"\","])
    func openBracketsWithoutEndAreRefused(count: Int, opening: String) {
        for end in ["", "{", "[", "\"", " ", "1"] {
            #expect(throws: DecodingError.self) { try decode(String(repeating: opening, count: count) + end) }
        }
    }

    @Test func aDocumentMayBeAsDeepAsIsSaid() throws {
        let depth = JSONDecoder.deepestNesting
        let deepest = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        #expect(throws: Never.self) { try decode(deepest) }
        #expect(throws: DecodingError.self) { try decode("[\(deepest)]") }
        // One beside another is not deeper.
        #expect(throws: Never.self) { try decode("[" + String(repeating: "[],", count: 1000) + "[]]") }
    }

    @Test(arguments: ["", #"\""#, #"\\"#, #"\\\""#]) func bracketsInStringsAreText(start: String) throws {
        let brackets = String(repeating: "[", count: 1000)
        guard case .list(let items) = try decode("[\"\(start)\(brackets)\"]"), case .text(let found) = items.first
        else {
            Issue.record("no text after '\(start)'")
            return
        }
        #expect(found.hasSuffix(brackets))
    }
}
