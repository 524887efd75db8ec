import CaptionService
import Foundation
import Sidecars
import Testing

@Suite struct SeveralModelsTests {
    private static let models = [
        DaemonConfiguration.Model(path: "small"), DaemonConfiguration.Model(path: "large", name: "thorough"),
    ]

    private struct Listed: Decodable {
        struct Model: Decodable {
            var id: String
            var name: String
            var state: String
            var loaded: Bool
        }
        var data: [Model]
    }

    private func listed(_ api: RunningAPI) async throws -> [Listed.Model] {
        try JSONDecoder().decode(Listed.self, from: Data(try await api.get("/v1/models").body)).data
    }

    private func chat(_ model: String) throws -> String {
        let picture = Data(try Pictures.china).base64EncodedString()
        return """
            {\(model)"messages": [{"role": "user", "content": [{"type": "image_url",
             "image_url": {"url": "data:image/jpeg;base64,\(picture)"}}]}]}
            """
    }

    @Test(.timeLimit(.minutes(1))) func requestsNameTheirModelAndTheListSaysWhichOneIsLoaded() async throws {
        try await withAPI(models: Self.models, hasSpool: true) { api in
            #expect(try await listed(api).map(\.id) == ["small", "thorough"])
            #expect(try await listed(api).map(\.state) == ["unloaded", "unloaded"])
            let picture = try Pictures.china
            for (query, name, loaded) in [
                ("", "small", [true, false]), ("?model=thorough", "large", [false, true]),
                ("?model=large", "large", [false, true]), ("?model=default", "small", [true, false]),
            ] {
                let answer = try await api.post("/v1/frames\(query)", picture)
                #expect(answer.status == 200, "\(query)")
                #expect(try SidecarDocument(json: answer.body).model?.name == name, "\(query)")
                #expect(try await listed(api).map(\.loaded) == loaded, "\(query)")
            }
            for (model, id) in [
                ("", "small"), ("\"model\": \"sha256:large\",", "thorough"), ("\"model\": \"default\",", "small"),
            ] {
                let answer = try await api.chat(try chat(model))
                #expect(answer.status == 200 && answer.text.contains("\"model\":\"\(id)\""), "\(answer.text)")
            }
            let kept = try await api.post(
                "/v1/frames?model=thorough&source=gate", picture, more: "Prefer: respond-async\n")
            #expect(kept.status == 202)
            let note = try #require(api.folder.names.first { $0.hasSuffix(".request.json") })
            let text = try String(contentsOfFile: "\(api.folder.path)/\(note)", encoding: .utf8)
            #expect(text.contains("\"model\":\"thorough\""))
        }
    }

    @Test(.timeLimit(.minutes(1))) func aModelThatThereIsNotIsSaidBeforeThePictureIsTaken() async throws {
        try await withAPI(models: Self.models, hasSpool: true) { api in
            let picture = try Pictures.china
            for answer in [
                try await api.post("/v1/frames?model=third", picture),
                try await api.post("/v1/frames?model=third", picture, more: "Prefer: respond-async\n"),
                try await api.post("/v1/streams/gate?model=third", Pictures.small(1)),
                try await api.chat(try chat("\"model\": \"third\",")),
            ] {
                #expect(answer.status == 404 && answer.text.contains("\"model_not_found\""), "\(answer.text)")
                #expect(answer.text.contains("There is no model 'third'."))
            }
            #expect(api.engine.asked.tasks.isEmpty)
            #expect(!api.folder.names.contains { $0.hasSuffix(".jpg") })
        }
    }

    @Test(.timeLimit(.minutes(1))) func aModelThatCannotBeLoadedIsTheDaemonsFault() async throws {
        try await withAPI(models: Self.models, missing: ["large"]) { api in
            let answer = try await api.post("/v1/frames?model=thorough", try Pictures.china)
            #expect(answer.status == 500 && answer.text.contains("\"engine_failed\""), "\(answer.text)")
            #expect(!answer.text.contains("is gone"))
            #expect(try await listed(api).map(\.state) == ["unloaded", "unavailable"])
            #expect(try await api.post("/v1/frames", try Pictures.china).status == 200)
        }
    }
}
