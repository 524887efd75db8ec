import FastVLM
import Foundation
import Testing

@Suite struct JSONAnswerSchemaTests {
    private func schema(_ json: String) throws -> JSONAnswerSchema { try JSONAnswerSchema(json: Array(json.utf8)) }

    @Test func theFieldsAreThePropertiesInTheirOrder() throws {
        let schema = try schema(
            """
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "gate", "type": "object",
             "properties": {"open": {"type": "boolean", "description": "Is the gate open?"},
                            "cars": {"type": "integer"}, "height": {"type": "number", "title": "m"},
                            "colour": {"enum": ["red", "blue"]}, "side": {"type": "string", "enum": ["left", "right"]},
                            "note": {"type": "string"}},
             "required": ["open", "cars"], "additionalProperties": false}
            """)
        #expect(
            schema.fields == [
                .init(name: "open", type: .boolean, question: "Is the gate open?"), .init(name: "cars", type: .integer),
                .init(name: "height", type: .number), .init(name: "colour", type: .choice(["red", "blue"])),
                .init(name: "side", type: .choice(["left", "right"])), .init(name: "note", type: .text),
            ])
        #expect(schema.question(for: schema.fields[0], after: "Look.") == "Look.\nIs the gate open?")
        #expect(schema.question(for: schema.fields[1], after: "") == "cars")
    }

    @Test(arguments: [
        ("", "expected"), ("[]", "expected"), ("{}", "\"type\": \"object\""), (#"{"type": "array"}"#, "'object'"),
        (#"{"type": "object"}"#, "0 fields"), (#"{"type": "object", "properties": {}}"#, "0 fields"),
        (#"{"type": "object", "properties": {"a": {}}}"#, "the type of 'a' is missing"),
        (#"{"type": "object", "properties": {"a": {"type": "object"}}}"#, "the type of 'a' is 'object'"),
        (#"{"type": "object", "properties": {"a": {"type": ["string", "null"]}}}"#, "not one word"),
        (#"{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}"#, "'minimum' of 'a'"),
        (
            #"{"type": "object", "properties": {"a": {"type": "integer", "enum": ["x", "y"]}}}"#,
            "'integer' with options"
        ),
        (#"{"type": "object", "properties": {"a": {"enum": ["x"]}}}"#, "1 options"),
        (#"{"type": "object", "properties": {"a": {"enum": [1, 2]}}}"#, "not a string"),
        (#"{"type": "object", "properties": {"": {"type": "boolean"}}}"#, "1 to 64 bytes"),
        (#"{"type": "object", "properties": {"a": {"type": "boolean"}, "a": {"type": "boolean"}}}"#, "twice"),
        (#"{"type": "object", "properties": {"a": {"type": "boolean"}}} x"#, "after the document"),
        (#"{"type": "object", "oneOf": [], "properties": {"a": {"type": "boolean"}}}"#, "'oneOf'"),
    ])
    func whatCannotBeKeptIsRefused(_ json: String, _ words: String) throws {
        let error = #expect(throws: FastVLMError.self) { try schema(json) }
        #expect(error?.code == .answerType)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func aHugeSchemaIsRefused() {
        #expect(throws: FastVLMError.self) { try JSONAnswerSchema(json: [UInt8](repeating: 32, count: 1 << 17)) }
        #expect(throws: FastVLMError.self) {
            try JSONAnswerSchema((0..<65).map { .init(name: "\($0)", type: .boolean) })
        }
        let deep = String(repeating: "[", count: 40_000)
        #expect(throws: FastVLMError.self) { try schema("{\"title\": \(deep)") }
    }

    /// The model's weights are random: whatever it wants to say, what is written is an object of the form.
    @Test(arguments: 0..<8) func everyAnswerIsAnObjectOfTheForm(_ seed: Int) throws {
        let session = try TinyModel.session()
        let picture = try session.encode(seed % 2 == 0 ? "china" : "flower", 64)
        let schema = try JSONAnswerSchema([
            .init(name: "\"quoted\"\\ 道", type: .text, question: "What is there?"), .init(name: "open", type: .boolean),
            .init(name: "count", type: .integer), .init(name: "much", type: .number),
            .init(name: "side", type: .choice(["\"left\"", "right \\ wrong"])),
        ])
        var streamed = ""
        let options = GenerationOptions(maxTokens: 40, temperature: 2, seed: UInt64(seed))
        let answer = try session.answer(
            "Picture \(seed)", about: picture, as: schema, options: options, onField: { streamed += $0 })
        #expect(streamed == answer.json)
        #expect(answer.json == schema.object(answer.answers.map(\.value)))
        let parsed = try JSONSerialization.jsonObject(with: Data(answer.json.utf8)) as? [String: Any]
        let object = try #require(parsed)
        #expect(Set(object.keys) == Set(schema.fields.map(\.name)))
        #expect(object["open"] is Bool && object["count"] is Int && object["much"] is Double)
        #expect(["\"left\"", "right \\ wrong"].contains(object["side"] as? String))
        #expect(answer.answers[0].value == (object["\"quoted\"\\ 道"] as? String).map { .text($0) })
        #expect(answer.steps == answer.answers.reduce(0) { $0 + $1.steps } && answer.promptTokens > picture.tokens)
    }

    @Test func controlCharactersInATextAreEscaped() throws {
        let schema = try JSONAnswerSchema([.init(name: "a", type: .text)])
        let text = "\"\\\n\r\t\u{1}\u{7f}\u{2028}é"
        let object = try JSONSerialization.jsonObject(with: Data(schema.object([.text(text)]).utf8)) as? [String: Any]
        #expect(object?["a"] as? String == text)
    }
}
