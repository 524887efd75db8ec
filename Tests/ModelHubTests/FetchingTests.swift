import Digests
import Foundation
import HubServer
import ModelHub
import Testing

/// What comes from a hub, whole or in parts.
@Suite struct FetchingTests {
    let harness: HubHarness

    init() throws { harness = try HubHarness() }

    @Test func aCheckpointComesWholeAndCheckedAndGoesWhenItIsPacked() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let (folder, files) = try await harness.fetch(shelf, from: server)
        #expect(files.map(\.name) == ["config.json", "LICENSE", "tokenizer.json", "model.safetensors"])
        for file in files {
            let content = shelf.files[file.name] ?? []
            #expect(file.sha256 == SHA256.hex(content) && file.byteCount == content.count)
            #expect(try Data(contentsOf: URL(filePath: "\(folder.path)/\(file.name)")) == Data(content))
            #expect(file.check.name == (file.name == "model.safetensors" ? "sha256" : "git_blob"))
        }
        #expect(server.requests.allSatisfy { $0.headers["user-agent"] == "fastvlm-tests" })
        #expect(server.requests.allSatisfy { $0.headers["authorization"] == nil })
        #expect(!server.requests.contains { $0.target.contains("README") })
        folder.remove()
        #expect(harness.left == [])
    }

    @Test func whatIsSaidOfAModelIsShownBeforeAnythingIsFetched() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let (model, licence) = try await harness.withHub(server) { hub in
            let model = try await hub.model(
                try HubRepository(shelf.repository), revision: "a/bc")
            return (model, try await hub.licenceText(of: model))
        }
        #expect(model.commit == shelf.commit && model.licence == "made-up-1.0" && !model.isGated)
        #expect(model.byteCount == 1_000_000 + 2 + 12 + 18)
        #expect(licence == "Do what is right.\n")
        #expect(
            server.requests.map(\.target) == [
                "/api/models/panels/reader/revision/a%2Fbc?blobs=true", shelf.path(of: "LICENSE"),
            ])
    }

    @Test func aCutConnectionIsGoneOnFromWhereItBroke() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, count in
            var reply = shelf.reply(to: request)
            if request.target.hasSuffix("model.safetensors"), count < 3 { reply.cutAfter = 200_000 }
            return reply
        }
        let (folder, files) = try await harness.fetch(shelf, from: server, retries: 1)
        #expect(files.last?.byteCount == 1_000_000)
        // Each request starts where the one before ended; what was still under way when the connection broke is lost.
        let asked = server.requests(for: "model.safetensors")
        let starts = asked.map { $0.headers["range"].flatMap { Int($0.dropFirst("bytes=".count).dropLast()) } ?? 0 }
        #expect(starts.count == 4 && starts.first == 0)
        #expect(zip(starts, starts.dropFirst()).allSatisfy { $0 < $1 && $1 <= $0 + 200_000 }, "\(starts)")
        #expect(asked.dropFirst().allSatisfy { $0.headers["if-range"] == shelf.tag(of: "model.safetensors") })
        #expect(harness.pauses.count == 3)
        folder.remove()
    }

    @Test func aStoppedCommandIsGoneOnByTheNext() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, count in
            var reply = shelf.reply(to: request)
            if request.target.hasSuffix("model.safetensors"), count == 0 { reply.cutAfter = 700_000 }
            return reply
        }
        await expectHubError(.unreachable) { try await harness.fetch(shelf, from: server, retries: 0) }
        let kept = try harness.size(of: "model.safetensors.part")
        #expect((1...700_000).contains(kept))
        let before = server.requests.count
        try await harness.fetch(shelf, from: server, retries: 0)
        // The description, and of the files only the rest of one.
        #expect(server.requests.count == before + 2)
        #expect(server.requests.last?.headers["range"] == "bytes=\(kept)-")
    }

    @Test(arguments: [true, false]) func aChangedFileStartsAnew(heedsIfRange: Bool) async throws {
        let (old, new) = (HubHarness.shelf(seed: 1), HubHarness.shelf(seed: 2))
        let shelf = Shared(old)
        let server = try await HubServer { request, count in
            var request = request
            if !heedsIfRange {
                request = HubServer.Request(
                    target: request.target, headers: request.headers.filter { $0.key != "if-range" })
            }
            var reply = shelf.now.reply(to: request)
            if request.target.hasSuffix("model.safetensors"), count == 0 { reply.cutAfter = 700_000 }
            return reply
        }
        await expectHubError(.unreachable) { try await harness.fetch(old, from: server, retries: 0) }
        shelf.now = new
        let (folder, files) = try await harness.fetch(new, from: server, retries: 1)
        #expect(files.last?.sha256 == SHA256.hex(new.files["model.safetensors"] ?? []))
        #expect(
            try Data(contentsOf: URL(filePath: folder.path + "/model.safetensors"))
                == Data(new.files["model.safetensors"] ?? []))
        // Asked for the rest once; what came instead was seen at once, not after it had all come.
        #expect(harness.pauses.count == (heedsIfRange ? 0 : 1))
        #expect(server.requests(for: "model.safetensors").count == (heedsIfRange ? 2 : 3))
    }

    @Test func whatLiesOfAnotherCommitGoes() async throws {
        var shelf = HubHarness.shelf()
        let shared = Shared(shelf)
        let server = try await HubServer { request, _ in
            var reply = shared.now.reply(to: request)
            if request.target.hasSuffix("model.safetensors") { reply.cutAfter = 10_000 }
            return reply
        }
        await expectHubError(.unreachable) { try await harness.fetch(shelf, from: server, retries: 0) }
        shelf.commit = String(repeating: "0", count: 40)
        shared.now = shelf
        await expectHubError(.unreachable) { try await harness.fetch(shelf, from: server, retries: 0) }
        #expect(harness.left.count(where: { $0 == "model.safetensors.part" }) == 1)
    }

    @Test func aServerThatAlwaysStartsAnewIsGivenUp() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, _ in
            var reply = shelf.reply(to: HubServer.Request(target: request.target, headers: [:]))
            reply.headers["etag"] = "W/\"weak\""
            if request.target.hasSuffix("model.safetensors") { reply.cutAfter = 10_000 }
            return reply
        }
        await expectHubError(.unreachable) { try await harness.fetch(shelf, from: server, retries: 3) }
        // As many as may fail, and one more for each that came further than all before.
        #expect((4...10).contains(server.requests(for: "model.safetensors").count))
        #expect(server.requests.allSatisfy { $0.headers["range"] == nil })
    }

    @Test func twoCommandsDoNotFetchTheSame() async throws {
        let shelf = HubHarness.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let first = try await harness.fetch(shelf, from: server)
        await expectHubError(.cacheInUse, "panels/reader") { try await harness.fetch(shelf, from: server) }
        first.folder.remove()
    }

    @Test func manySmallFilesOfWeightsAreAllFetched() async throws {
        var shelf = HubHarness.shelf()
        shelf.files["model.safetensors"] = nil
        shelf.files["model.safetensors.index.json"] = Array("{}".utf8)
        for index in 1...3 { shelf.files["model-0000\(index)-of-00003.safetensors"] = HubHarness.bytes(1_000, seed: 7) }
        let server = try await HubServer { [shelf] request, _ in shelf.reply(to: request) }
        let files = try await harness.fetch(shelf, from: server).files
        #expect(
            files.map(\.name).suffix(4) == [
                "model.safetensors.index.json", "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                "model-00003-of-00003.safetensors",
            ])
    }

    @Test func theCacheIsWhereThePersonKeepsCaches() throws {
        #expect(try FetchFolder.cache(["XDG_CACHE_HOME": "/c", "HOME": "/h"]) == "/c")
        #expect(try FetchFolder.cache(["XDG_CACHE_HOME": "c", "HOME": "/h"]) == "/h/.cache")
        #expect(throws: HubError.self) { try FetchFolder.cache([:]) }
    }
}
