import Foundation
import HubServer
import Testing

/// `fastvlm model pull` from a server on this machine that plays the hub and has the panel reader's own checkpoint.
@Suite struct ModelPullTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static func shelf() throws -> Shelf {
        var shelf = try Shelf(folder: House.demoCheckpoint)
        shelf.files["LICENSE"] = Array("Look, but do not touch.\n".utf8)
        return shelf
    }

    private func pull(
        _ shelf: Shelf, from server: HubServer, _ arguments: String..., to name: String = "model.fastvlm",
        environment: [String: String] = [:]
    ) async throws -> Ending {
        try await ProgramProcess(
            Program.fastvlm.path,
            ["model", "pull", shelf.repository, "--endpoint", server.address, "--out", folder[name]] + arguments,
            environment: ["XDG_CACHE_HOME": folder["cache"], "HF_TOKEN": "", "SSL_CERT_FILE": ""].merging(environment) {
                $1
            }
        ).ending(within: .seconds(300))
    }

    private func words(_ model: String) async throws -> String {
        let ending = try await run(
            .fastvlm, "caption", House.demoPicture, "--model", model, "--resolution", "128", "--max-tokens", "40")
        #expect(ending.status == 0, "\(ending.errors)")
        return ending.output
    }

    @Test func aFetchedCheckpointIsPackedAndDescribesPictures() async throws {
        let shelf = try Self.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let ending = try await pull(shelf, from: server, "--accept-licence")
        #expect(ending.status == 0, "\(ending.errors)")
        #expect(ending.errors == "")
        for words in ["panels/reader", shelf.commit, "made-up-1.0", "Look, but do not touch.", "6.7 MB"] {
            #expect(ending.output.contains(words), "\(words)")
        }
        #expect(folder.names().filter { !$0.hasSuffix("/lock") } == ["model.fastvlm"])

        #expect(try await run(.fastvlm, "model", "verify", folder["model.fastvlm"]).status == 0)
        _ = try await run(.fastvlm, "model", "pack", House.demoCheckpoint, "--out", folder["direct.fastvlm"])
        let said = try await words(folder["model.fastvlm"])
        #expect(said.count > 20)
        #expect(try await said == words(folder["direct.fastvlm"]))

        let inspected = try await run(.fastvlm, "model", "inspect", "--json", folder["model.fastvlm"])
        let model = try #require(
            try JSONSerialization.jsonObject(with: Data(inspected.output.utf8)) as? [String: Any])
        #expect(model["name"] as? String == "reader" && model["licence"] as? String == "made-up-1.0")
        #expect(model["licence_text"] as? String == "Look, but do not touch.\n")
        let origin = try #require(model["origin"] as? [String: Any])
        #expect(origin["source"] as? String == "\(server.address)/panels/reader")
        #expect(origin["revision"] as? String == shelf.commit && origin["licence_accepted"] as? Bool == true)
        let files = try #require(origin["files"] as? [[String: Any]])
        #expect(files.count == 8)
        let weights = files.first { $0["name"] as? String == "model.safetensors" }
        #expect(weights?["byte_count"] as? Int == shelf.files["model.safetensors"]?.count)
        #expect(weights?["checked_by"] as? String == "sha256" && (weights?["sha256"] as? String)?.count == 64)
        // It stays known where the model came from.
        _ = try await run(
            .fastvlm, "model", "pack", folder["model.fastvlm"], "--precision", "int8", "--out", folder["int8.fastvlm"])
        let small = try await run(.fastvlm, "model", "inspect", folder["int8.fastvlm"])
        #expect(small.output.contains("\(server.address)/panels/reader at \(shelf.commit)"))
        #expect(small.output.contains("its licence was shown and accepted"))
    }

    @Test func withoutAnAcceptedLicenceNothingLargeIsFetched() async throws {
        let shelf = try Self.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let ending = try await pull(shelf, from: server)
        #expect(ending.status == 2)
        #expect(ending.output.contains("Look, but do not touch."))
        #expect(ending.errors.contains("--accept-licence") && ending.errorLines.count == 1)
        #expect(server.requests.map(\.target).suffix(1) == [shelf.path(of: "LICENSE")])
        #expect(folder.names() == [])
    }

    @Test(
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script"),
            "there is no 'script' to make a terminal"),
        arguments: [("no", 3), ("", 3), ("yes", 0), ("Y", 0)])
    func aPersonAtATerminalIsAsked(_ word: String, _ status: Int32) async throws {
        let shelf = try Self.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let command = [
            Program.fastvlm.path, "model", "pull", shelf.repository, "--endpoint", server.address, "--out",
            folder["model.fastvlm"],
        ].joined(separator: " ")
        let ending = try await ProgramProcess(
            "/usr/bin/script", ["-qec", command, "/dev/null"], input: Array((word + "\n").utf8),
            environment: ["XDG_CACHE_HOME": folder["cache"], "HF_TOKEN": "", "SSL_CERT_FILE": ""]
        ).ending(within: .seconds(300))
        #expect(ending.status == status, "\(ending.output)")
        #expect(ending.output.contains("Do you accept this licence? [y/N]"))
        #expect(ending.output.contains("was not accepted. Nothing was fetched.") == (status != 0))
        #expect(server.requests.contains { $0.target.hasSuffix(".safetensors") } == (status == 0))
    }

    @Test func whatGoesWrongIsOneClearError() async throws {
        let shelf = try Self.shelf()
        let server = try await HubServer { request, _ in
            request.headers["authorization"] == "Bearer hf_right" ? shelf.reply(to: request) : HubServer.Reply(401)
        }
        (try await pull(shelf, from: server, "--accept-licence")).expectOneError(3, "accept the licence", "HF_TOKEN")
        let ending = try await pull(shelf, from: server, "--accept-licence", environment: ["HF_TOKEN": "hf_right"])
        #expect(ending.status == 0, "\(ending.errors)")
        (try await pull(shelf, from: server, "--accept-licence")).expectOneError(3, "already", "--replace")
        (try await pull(shelf, from: server, to: "model.bin")).expectOneError(2, ".fastvlm")
        (try await pull(shelf, from: server, to: "none/m.fastvlm")).expectOneError(3, "folder")
        (try await pull(shelf, from: server, "--endpoint", "http://hub.example", to: "m.fastvlm"))
            .expectOneError(2, "plain http")
        var other = shelf
        other.repository = "reader"
        (try await pull(other, from: server, to: "m.fastvlm")).expectOneError(2, "OWNER/NAME")
    }

    @Test func aModelOfAnotherKindIsNotFetched() async throws {
        var shelf = try Self.shelf()
        shelf.files["config.json"] = Array("{\"model_type\":\"other\"}".utf8)
        let server = try await HubServer { [shelf] request, _ in shelf.reply(to: request) }
        (try await pull(shelf, from: server, "--accept-licence")).expectOneError(3, "model_type", "Nothing was fetched")
        #expect(!server.requests.contains { $0.target.hasSuffix(".safetensors") })
        #expect(folder.names() == [])
    }

    /// What is broken is only found out when it is all there: it stays for the person to look at.
    @Test func whatCannotBePackedIsKeptAndSaid() async throws {
        var shelf = try Self.shelf()
        shelf.files["model.safetensors"] = Array(repeating: 7, count: 100)
        let server = try await HubServer { [shelf] request, _ in shelf.reply(to: request) }
        let ending = try await pull(shelf, from: server, "--accept-licence", "--json")
        #expect(ending.status == 3 && ending.output == "")
        #expect(ending.errors.contains("What was fetched is kept in '\(folder["cache"])/fastvlm/pull/"))
        #expect(folder.names().contains { $0.hasSuffix("/model.safetensors") })
        #expect(!folder.names().contains("model.fastvlm"))
    }

    /// On a disk of 256 KiB that only the program sees.
    @Test(.enabled(if: SmallDisk.isAvailable, "file systems cannot be mounted here: a full disk is not tried"))
    func aDiskThatIsTooSmallIsSaidBeforeItIsFull() async throws {
        let shelf = try Self.shelf()
        let server = try await HubServer { request, _ in shelf.reply(to: request) }
        let disk = try SmallDisk()
        let ending = try await disk.run(
            .fastvlm,
            [
                "model", "pull", shelf.repository, "--endpoint", server.address, "--accept-licence", "--json", "--out",
                "m.fastvlm",
            ], environment: ["XDG_CACHE_HOME": disk.path])
        #expect(ending.status == 3 && ending.errors.contains("only"), "\(ending.errors)")
        #expect(!server.requests.contains { $0.target.hasSuffix(".safetensors") })
    }

    /// Not what was linked, but what the program itself holds: the client's own words.
    @Test func theDaemonHasNoNetworkCode() throws {
        for (program, holds) in [(Program.fastvlm, true), (.fastvlmd, false)] {
            let bytes = try Data(contentsOf: URL(filePath: program.path), options: .mappedIfSafe)
            #expect((bytes.range(of: Data("accept-licence".utf8)) != nil) == holds, "\(program)")
            #expect((bytes.range(of: Data("AsyncHTTPClient".utf8)) != nil) == holds, "\(program)")
        }
    }
}
