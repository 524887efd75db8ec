import CaptionService
import FastVLM
import Foundation
import Sidecars
import SocketAPI
import Testing

/// Answers of a type, over every way in.
@Suite struct TypedAnswerTests {
    private static func chat(_ format: String, text: String? = "Look.", more: String = "") throws -> String {
        let text = text.map { "{\"type\":\"text\",\"text\":\"\($0)\"}," } ?? ""
        let url = "data:image/jpeg;base64,\(Data(try Pictures.china).base64EncodedString())"
        return
            "{\"messages\":[{\"role\":\"user\",\"content\":[\(text){\"type\":\"image_url\",\"image_url\":{\"url\":\"\(url)\"}}]}],"
            + "\"response_format\":\(format)\(more)}"
    }

    /// As OpenAI's client makes it of a class, and with a bracket in a string.
    private static let panel = """
        {"type": "json_schema", "json_schema": {"name": "panel", "strict": true, "schema": {"title": "{Panel\\"", "type":
        "object", "properties": {"zulu": {"type": "boolean", "title": "Zulu", "description": "Is the red lamp on?"},
        "count": {"type": "integer"}, "level": {"type": "number"}, "alpha": {"type": "string"},
        "colour": {"enum": ["red", "gr\\"een"], "type": "string"}}, "required": ["zulu"], "additionalProperties": false}}}
        """

    private static let object = #"{"zulu":true,"count":-42,"level":2.5,"alpha":"One two three.","colour":"gr\"een"}"#

    @Test(.timeLimit(.minutes(1))) func aSchemaIsAnsweredByAnObjectInItsOrderWithConfidence() async throws {
        try await withAPI { api in
            let answer = try await api.chat(Self.chat(Self.panel))
            #expect(answer.status == 200, "\(answer.text)")
            let json = try answer.json
            let choice = try #require((json["choices"] as? [[String: any Sendable]])?.first)
            #expect((choice["message"] as? [String: any Sendable])?["content"] as? String == Self.object)
            let answers = try #require(json["answers"] as? [[String: any Sendable]])
            #expect(answers.map { $0["id"] as? String } == ["zulu", "count", "level", "alpha", "colour"])
            #expect(answers.map { $0["type"] as? String } == ["boolean", "integer", "number", "text", "choice"])
            #expect(answers.map { $0["confidence"] as? Double } == [0.75, 0.75, 0.75, nil, 0.75])
            #expect(answers[1]["answer"] as? Int == -42)
            let tasks = try #require(api.engine.asked.tasks.first)
            #expect(tasks.prompt.isEmpty)
            #expect(
                tasks.questions.map(\.text) == [
                    "Look.\nIs the red lamp on?", "Look.\ncount", "Look.\nlevel", "Look.\nalpha", "Look.\ncolour",
                ])
            #expect(tasks.questions.last?.type == .choice(["red", "gr\"een"]))
        }
    }

    @Test(.timeLimit(.minutes(1))) func aStreamedObjectIsTheSame() async throws {
        try await withAPI { api in
            let answer = try await api.chat(Self.chat(Self.panel, more: ",\"stream\":true"))
            let chunks = try answer.text.split(separator: "\n").filter { $0.hasPrefix("data: {") }.map {
                try #require(
                    try JSONSerialization.jsonObject(with: Data($0.dropFirst(6).utf8)) as? [String: any Sendable])
            }
            let said = chunks.compactMap { ($0["choices"] as? [[String: any Sendable]])?.first?["delta"] }
                .compactMap { ($0 as? [String: any Sendable])?["content"] as? String }
            #expect(said.joined() == Self.object)
            #expect((chunks.last?["answers"] as? [[String: any Sendable]])?.count == 5)
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: [("Look.", "Look."), (nil, "answer")])
    func anyObjectHoldsWhatIsSaid(text: String?, question: String) async throws {
        try await withAPI { api in
            let answer = try await api.chat(Self.chat("{\"type\":\"json_object\"}", text: text))
            let choice = try #require((try answer.json["choices"] as? [[String: any Sendable]])?.first)
            #expect(
                (choice["message"] as? [String: any Sendable])?["content"] as? String == #"{"answer":"One two three."}"#
            )
            #expect(api.engine.asked.tasks.first?.questions.map(\.text) == [question])
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            ("{\"type\":\"json_schema\"}", "invalid_json"),
            ("{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"array\"}}}", "unsupported_parameter"),
            (
                "{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\"}}}}}",
                "unsupported_parameter"
            ), ("{}", "invalid_json"),
            ("{\"type\":\"json_schema\",\"json_schema\":{\"schema\":5}}", "unsupported_parameter"),
        ])
    func aFormThatCannotBeKeptIsRefused(format: String, code: String) async throws {
        try await withAPI { api in
            let answer = try await api.chat(Self.chat(format))
            #expect(answer.status == 400 && answer.code == code, "\(answer.text)")
            #expect(api.engine.asked.tasks.isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aFrameMayBringItsOwnQuestions() async throws {
        try await withAPI(configure: { $0.tasks.questions = [.init(id: "usual", text: "?")] }) { api in
            let target =
                "/v1/frames?ask=lamp:boolean:Is+it+on%3F&ask=c:choice(red%7Cgreen):Which:one%3F&ask=n:text:What%3F"
            let document = try SidecarDocument(json: try await api.post(target, Pictures.china).body)
            #expect(document.caption == nil && document.answers.map(\.id) == ["lamp", "c", "n"])
            #expect(document.answers.map(\.answer) == [.boolean(true), .string("green"), .string("One two three.")])
            #expect(document.answers.map(\.confidence) == [0.75, 0.75, nil])
            #expect(document.answers.map(\.question) == ["Is it on?", "Which:one?", "What?"])
            let both = try SidecarDocument(
                json: try await api.post("/v1/frames?prompt=Hm&ask=a:integer:b", Pictures.china).body)
            #expect(both.caption == "One two three." && both.answers.map(\.answer) == [.number(-42)])
            let usual = try SidecarDocument(json: try await api.post("/v1/frames", Pictures.china).body)
            #expect(usual.answers.map(\.id) == ["usual"] && usual.caption != nil)
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "lamp", "lamp:boolean", "lamp:boolean:", "lamp:maybe:x", ":boolean:x", "a:choice:x", "a:choice(b):x",
            "a:choice(b%7Cb):x", "a:text:x&ask=a:text:y",
        ])
    func aQuestionThatCannotBeReadIsRefused(question: String) async throws {
        try await withAPI { api in
            let answer = try await api.post("/v1/frames?ask=\(question)", Pictures.china)
            #expect(answer.status == 400 && answer.code == "invalid_parameter", "\(answer.text)")
            #expect(api.engine.asked.tasks.isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(1))) func theSourceStandsInThePromptsOfTheConfigurationAndNowhereElse() async throws {
        try await withAPI(configure: { $0.tasks.prompt = "From {source}: {{what}}?" }) { api in
            _ = try await api.post("/v1/frames?source=gate", Pictures.china)
            _ = try await api.post("/v1/frames?source=gate&prompt=Is+it+%7Bsource%7D%3F", Pictures.china)
            #expect(api.engine.asked.tasks.map(\.prompt) == ["From gate: {what}?", "Is it {source}?"])
        }
    }
}
