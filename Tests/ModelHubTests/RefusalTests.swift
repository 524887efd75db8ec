import Foundation
import HubServer
import ModelHub
import Testing

/// What a hub may not do, and what is said where it does.
@Suite struct RefusalTests {
    let harness: HubHarness

    init() throws { harness = try HubHarness() }

    private func server(_ shelf: Shelf) async throws -> HubServer {
        try await HubServer { request, _ in shelf.reply(to: request) }
    }

    @Test(arguments: [
        ("model.safetensors", String(repeating: "0", count: 64), "sha256"),
        ("config.json", String(repeating: "0", count: 40), "git_blob"),
    ]) func aFileWithAnotherDigestIsNotKept(_ name: String, _ digest: String, _ kind: String) async throws {
        var shelf = HubHarness.shelf()
        shelf.saidDigests[name] = digest
        let server = try await server(shelf)
        await expectHubError(.digestMismatch, name, kind, digest) { try await harness.fetch(shelf, from: server) }
        #expect(!harness.left.contains(name) && !harness.left.contains(name + ".part"))
        #expect(server.requests(for: name).count == 1)
    }

    @Test func aLicenceThatIsNotTheOneIsNotShown() async throws {
        for (said, code) in [("digest", HubError.Code.digestMismatch), ("size", .sizeMismatch)] {
            var shelf = HubHarness.shelf()
            if said == "digest" { shelf.saidDigests["LICENSE"] = String(repeating: "0", count: 40) }
            if said == "size" { shelf.saidSizes["LICENSE"] = 19 }
            let server = try await server(shelf)
            await expectHubError(code, "LICENSE") {
                _ = try await harness.withHub(server) { hub in
                    try await hub.licenceText(
                        of: try await hub.model(try HubRepository("panels/reader"), revision: "main"))
                }
            }
        }
    }

    @Test func aDamagedRemainderIsFetchedAgainFromTheFirstByte() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, count in
            var reply = shelf.reply(to: request)
            if request.target.hasSuffix("model.safetensors"), count == 0 {
                reply.cutAfter = 500_000
                reply.body[17] ^= 1
            }
            return reply
        }
        await expectHubError(.unreachable) { try await harness.fetch(shelf, from: server, retries: 0) }
        let kept = try harness.size(of: "model.safetensors.part")
        #expect(try await harness.fetch(shelf, from: server).files.count == 4)
        #expect(server.requests(for: "model.safetensors").map { $0.headers["range"] } == [nil, "bytes=\(kept)-", nil])
    }

    @Test(arguments: [999_999, 1_000_001, 0]) func aFileOfAnotherSizeIsRefused(_ said: Int) async throws {
        var shelf = HubHarness.shelf()
        shelf.saidSizes["model.safetensors"] = said
        let server = try await server(shelf)
        await expectHubError(said == 0 ? .digestMismatch : .sizeMismatch, "model.safetensors") {
            try await harness.fetch(shelf, from: server)
        }
    }

    @Test func aBodyWithoutALengthIsCutOffAtTheSize() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, _ in
            var reply = shelf.reply(to: request)
            if request.target.hasSuffix("model.safetensors") {
                reply.headers["transfer-encoding"] = "chunked"
                reply.body += reply.body
            }
            return reply
        }
        await expectHubError(.sizeMismatch, "more") { try await harness.fetch(shelf, from: server) }
    }

    @Test func whatIsTooLargeIsRefusedBeforeAnythingIsFetched() async throws {
        var shelf = HubHarness.shelf()
        for (name, size) in [
            ("model.safetensors", 64 << 30 + 1), ("config.json", 64 << 20 + 1), ("LICENSE", 1 << 20 + 1),
        ] {
            shelf.saidSizes = [name: size]
            let server = try await server(shelf)
            await expectHubError(.tooLarge, name) { try await harness.fetch(shelf, from: server) }
            #expect(server.requests.count == 1)
        }
        let server = try await HubServer { _, _ in HubServer.Reply(body: [UInt8](repeating: 32, count: 9 << 20)) }
        await expectHubError(.tooLarge) { try await harness.fetch(shelf, from: server) }
    }

    @Test func whatDoesNotFitOnTheDiskIsNotBegun() async throws {
        var shelf = HubHarness.shelf()
        shelf.files["model.safetensors"] = nil
        shelf.files["model.safetensors.index.json"] = Array("{}".utf8)
        for index in 0..<900 {
            shelf.files["s\(index).safetensors"] = [1]
            shelf.saidSizes["s\(index).safetensors"] = 60 << 30
        }
        let server = try await server(shelf)
        await expectHubError(.noSpace, "XDG_CACHE_HOME") { try await harness.fetch(shelf, from: server) }
        #expect(server.requests.count == 1)
    }

    @Test(arguments: [
        "../evil.safetensors", "/etc/passwd", "a/../../b", "..", "a//b", "./a", "a\\\\b", "a\\u0000b", "a\\nb", "",
        String(repeating: "x", count: 300),
    ]) func aNameThatLeavesTheFolderIsRefused(_ name: String) async throws {
        var shelf = HubHarness.shelf()
        shelf.saidNames = [name]
        let server = try await server(shelf)
        await expectHubError(.nameRefused) { try await harness.fetch(shelf, from: server) }
        #expect(server.requests.count == 1 && harness.left == [])
    }

    @Test func whatIsNoCheckpointIsSaid() async throws {
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            var shelf = HubHarness.shelf()
            shelf.files[name] = nil
            let server = try await server(shelf)
            await expectHubError(.incomplete, name) { try await harness.fetch(shelf, from: server) }
        }
        for text in [
            "", "[]", "{\"sha\":\"main\",\"siblings\":[]}", "{\"siblings\":[]}", String(repeating: "[", count: 100_000),
        ] {
            let server = try await HubServer { _, _ in HubServer.Reply(body: Array(text.utf8)) }
            await expectHubError(.replyInvalid) { try await harness.fetch(HubHarness.shelf(), from: server) }
        }
    }

    @Test func whoHasToLogInIsTold() async throws {
        for status in [401, 403] {
            let server = try await HubServer { _, _ in HubServer.Reply(status) }
            await expectHubError(.loginNeeded, "accept the licence", "HF_TOKEN", "\(status)") {
                try await harness.fetch(HubHarness.shelf(), from: server)
            }
            await expectHubError(.loginNeeded, "HF_TOKEN is set") {
                try await harness.fetch(HubHarness.shelf(), from: server, token: "hf_x")
            }
            #expect(server.requests.count == 2)
        }
        #expect(harness.pauses == [])
    }

    @Test func whatIsNotThereIsSaid() async throws {
        let server = try await HubServer { _, _ in HubServer.Reply(404) }
        await expectHubError(.notFound, "panels/reader", "--revision") {
            try await harness.fetch(HubHarness.shelf(), from: server)
        }
        #expect(server.requests.count == 1)
    }

    @Test func aBusyHubIsAskedAgainAfterThePauseThatItWants() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, count in
            switch count {
            case 0: HubServer.Reply(429, headers: ["retry-after": "7"])
            case 1: HubServer.Reply(503)
            default: shelf.reply(to: request)
            }
        }
        let model = try await harness.withHub(server) {
            try await $0.model(try HubRepository(shelf.repository), revision: "main")
        }
        #expect(model.commit == shelf.commit)
        #expect(harness.pauses.count == 2)
        #expect(harness.pauses.first == .seconds(7))
        #expect(harness.pauses.dropFirst().allSatisfy { (.milliseconds(1_500)...(.milliseconds(2_500))).contains($0) })
    }

    @Test func aHubThatStaysBusyIsLeftAlone() async throws {
        var status = 500
        let server = try await HubServer { [status] _, _ in HubServer.Reply(status) }
        await expectHubError(.busy, "500") { try await harness.fetch(HubHarness.shelf(), from: server) }
        #expect(server.requests.count == 6)
        status = 429
        let patient = try await HubServer { [status] _, _ in HubServer.Reply(status, headers: ["retry-after": "3600"]) }
        await expectHubError(.busy, "3600 seconds") { try await harness.fetch(HubHarness.shelf(), from: patient) }
        #expect(patient.requests.count == 1)
    }

    @Test func aTokenIsForTheHubAlone() async throws {
        let shelf = HubHarness.shelf()
        let port = Shared(0)
        let server = try await HubServer { request, _ in
            if request.target.hasSuffix("resolve/\(shelf.commit)/model.safetensors"), !request.target.hasPrefix("/cdn")
            {
                return .redirect("http://localhost:\(port.now)/cdn\(request.target)")
            }
            if request.target.hasSuffix("/config.json"), !request.target.contains("moved") {
                return .redirect("/moved\(request.target)", status: 307)
            }
            let target = request.target.replacing(/^\/(cdn|moved)/, with: "")
            return shelf.reply(to: HubServer.Request(target: target, headers: request.headers))
        }
        port.now = server.port
        try await harness.fetch(shelf, from: server, token: "hf_secret")
        let (elsewhere, here) = (
            server.requests.filter { $0.target.hasPrefix("/cdn") },
            server.requests.filter { !$0.target.hasPrefix("/cdn") }
        )
        #expect(elsewhere.count == 1 && elsewhere.allSatisfy { $0.headers["authorization"] == nil })
        #expect(here.contains { $0.target.hasPrefix("/moved") })
        #expect(here.allSatisfy { $0.headers["authorization"] == "Bearer hf_secret" })
    }

    @Test(arguments: [
        "http://192.0.2.1/x", "ftp://127.0.0.1/x", "http://u:p@127.0.0.1/x", "file:///etc/passwd",
        "http://localhost.example/",
    ]) func aRedirectToWhatIsNotSafeIsRefused(_ location: String) async throws {
        let server = try await HubServer { _, _ in .redirect(location) }
        await expectHubError(.redirectRefused) { try await harness.fetch(HubHarness.shelf(), from: server) }
    }

    @Test func aCircleOfRedirectsEnds() async throws {
        let server = try await HubServer { request, _ in .redirect(request.target) }
        await expectHubError(.redirectRefused) { try await harness.fetch(HubHarness.shelf(), from: server) }
        #expect(server.requests.count == 9)
    }

    @Test func onlySafeAddressesAreHubs() async throws {
        for text in [
            "https://hub.example", "https://hub.example:8443/mirror/", "http://127.0.0.1:80", "http://[::1]:9",
        ] {
            #expect(throws: Never.self, "\(text)") { try HubAddress(text) }
        }
        #expect(try HubAddress("https://hub.example/").text == "https://hub.example")
        for text in [
            "http://hub.example", "http://127.0.0.1.example", "hub.example", "", "https://", "https://u:p@hub.example",
            "https://hub.example?x=1", "file:///x", "http://0.0.0.0",
        ] { #expect(throws: HubError.self, "\(text)") { try HubAddress(text) } }
        for text in ["x", "a/b/c", "../b", "a/..", "a/b?c", "a/-b", "/b", "a/"] {
            #expect(throws: HubError.self, "\(text)") { try HubRepository(text) }
        }
        let server = try await HubServer { _, _ in HubServer.Reply(404) }
        await expectHubError(.tokenInvalid) {
            try await harness.fetch(HubHarness.shelf(), from: server, token: "a\r\nx-evil: b")
        }
        #expect(server.requests.count == 0)
    }

    @Test func nobodyAtTheOtherEndIsSaid() async throws {
        let server = try await HubServer { _, _ in HubServer.Reply(404) }
        let address = try HubAddress("http://127.0.0.1:1")
        await expectHubError(.unreachable, "127.0.0.1", "Check the network") {
            var pace = HubPace()
            pace.pauses = []
            _ = try await ModelHub.withHub(at: address, pace: pace) {
                try await $0.model(try HubRepository("a/b"), revision: "main")
            }
        }
        #expect(server.requests.count == 0)
    }
}
