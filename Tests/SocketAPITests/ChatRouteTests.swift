import CaptionService
import Foundation
import SocketAPI
import Testing

@Suite struct ChatRouteTests {
    private static func request(
        _ text: String? = "What is it?", detail: String? = nil, more: String = "", type: String = "image/jpeg",
        picture: [UInt8]
    ) -> String {
        let detail = detail.map { ",\"detail\":\"\($0)\"" } ?? ""
        let text = text.map { "{\"type\":\"text\",\"text\":\"\($0)\"}," } ?? ""
        let url = "data:\(type);base64,\(Data(picture).base64EncodedString())"
        return
            "{\"model\":\"stub\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":"
            + "[\(text){\"type\":\"image_url\",\"image_url\":{\"url\":\"\(url)\"\(detail)}}]}]\(more)}"
    }

    @Test(.timeLimit(.minutes(1))) func aQuestionIsAnsweredInOpenAIsShape() async throws {
        try await withAPI { api in
            let answer = try await api.chat(
                Self.request(
                    more: ",\"max_tokens\":50,\"temperature\":0.5,\"top_p\":0.9,\"seed\":3", picture: Pictures.china))
            #expect(answer.status == 200)
            let json = try answer.json
            #expect(json["object"] as? String == "chat.completion" && json["model"] as? String == "stub")
            let choice = try #require((json["choices"] as? [[String: any Sendable]])?.first)
            #expect(choice["finish_reason"] as? String == "stop")
            #expect((choice["message"] as? [String: any Sendable])?["content"] as? String == "One two three.")
            let usage = try #require(json["usage"] as? [String: Int])
            #expect(usage == ["prompt_tokens": 40, "completion_tokens": 3, "total_tokens": 43])
            #expect((json["timings"] as? [String: any Sendable])?["total_ms"] != nil)
            let tasks = try #require(api.engine.asked.tasks.first)
            #expect(tasks.prompt == "Be brief.\nWhat is it?" && tasks.maxTokens == 50 && tasks.temperature == 0.5)
            #expect(tasks.topP == 0.9 && tasks.seed == 3 && tasks.resolution == nil)
            #expect(api.engine.asked.pictures == [try Pictures.china])
        }
    }

    @Test(.timeLimit(.minutes(1))) func aStreamedAnswerComesInPiecesAndEndsWithDone() async throws {
        try await withAPI { api in
            let answer = try await api.chat(
                Self.request(more: ",\"stream\":true,\"stream_options\":{\"include_usage\":true}", picture: [1, 2, 3]))
            #expect(answer.status == 200 && answer.headers["content-type"] == "text/event-stream")
            let events = answer.text.split(separator: "\n").filter { $0.hasPrefix("data: ") }.map { $0.dropFirst(6) }
            #expect(events.last == "[DONE]")
            let chunks = try events.dropLast().map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: any Sendable])
            }
            let choices = chunks.compactMap { ($0["choices"] as? [[String: any Sendable]])?.first }
            let said = choices.compactMap { ($0["delta"] as? [String: any Sendable])?["content"] as? String }
            #expect(said == ["", "One", " two", " three."])
            #expect(choices.last?["finish_reason"] as? String == "stop")
            #expect((chunks.last?["usage"] as? [String: Int])?["total_tokens"] == 43)
        }
    }

    @Test(.timeLimit(.minutes(1)), arguments: [("low", 256), ("high", 1024), ("auto", nil)])
    func detailChoosesTheResolution(detail: String, pixels: Int?) async throws {
        try await withAPI { api in
            let answer = try await api.chat(Self.request(nil, detail: detail, type: "image/png", picture: [1]))
            #expect(answer.status == 200)
            #expect(api.engine.asked.tasks.map(\.resolution) == [pixels])
            #expect(api.engine.asked.tasks.map(\.prompt) == ["Be brief."])
        }
    }

    @Test(.timeLimit(.minutes(1))) func onlyThePictureMayBeLarge() async throws {
        try await withAPI { api in
            let large = [UInt8](repeating: 5, count: 4 << 20)
            #expect(try await api.chat(Self.request(picture: large)).status == 200)
            #expect(api.engine.asked.pictures == [large])
            let deep = String(repeating: "[", count: 17) + String(repeating: "]", count: 17)
            let tooDeep = try await api.chat("{\"messages\":\(deep)}")
            #expect(tooDeep.status == 413 && tooDeep.code == "json_too_large")
            // Slashes may be escaped in JSON.
            let escaped = Self.request(picture: [255, 255, 255, 254]).replacing("/", with: "\\/")
            #expect(try await api.chat(escaped).status == 200)
            #expect(api.engine.asked.pictures.last == [255, 255, 255, 254])
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            ("\"n\":2", "unsupported_parameter"), ("\"tools\":[{}]", "unsupported_parameter"),
            ("\"response_format\":{\"type\":\"grammar\"}", "unsupported_parameter"),
            ("\"stop\":\"x\"", "unsupported_parameter"), ("\"temperature\":3", "invalid_parameter"),
            ("\"max_tokens\":0", "invalid_parameter"), ("\"top_p\":-1", "invalid_parameter"),
            ("\"budget_ms\":0", "invalid_parameter"), ("\"max_tokens\":\"many\"", "invalid_json"),
        ])
    func whatCannotBeDoneIsSaid(field: String, code: String) async throws {
        try await withAPI { api in
            let answer = try await api.chat(Self.request(more: ",\(field)", picture: [1]))
            #expect(answer.status == 400 && answer.code == code, "\(answer.text)")
        }
    }

    @Test(.timeLimit(.minutes(1))) func aConversationIsRefused() async throws {
        try await withAPI { api in
            let answer = try await api.chat("{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}")
            #expect(answer.code == "unsupported_parameter")
        }
    }

    @Test(.timeLimit(.minutes(1))) func whatFailsBeforeTheFirstWordIsAProblemAlsoWhenStreamed() async throws {
        try await withAPI(engine: StubEngine(failure: EngineError(.picture, "Broken.", pictureCode: "jpeg_corrupt"))) {
            api in
            let answer = try await api.chat(Self.request(more: ",\"stream\":true", picture: [1]))
            #expect(answer.status == 422 && answer.code == "picture_refused")
        }
    }
}
