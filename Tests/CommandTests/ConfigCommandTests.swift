import Foundation
import Testing

/// `fastvlm config check`, and the daemon on the same files.
@Suite struct ConfigCommandTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    @Test func theSampleIsRightAndItsEffectIsAConfigurationToo() async throws {
        let first = try await run(.fastvlm, "config", "check", House.sampleConfiguration)
        #expect(first.status == 0)
        #expect(first.errors == "")
        for line in ["path = '/srv/cameras'", "name = 'cameras'", "max_tokens = 240", "recursive = true", "seed = 0"] {
            #expect(first.outputLines.contains(line), "\(line)")
        }
        try folder.write(first.outputBytes, to: "effective.toml")
        let second = try await run(.fastvlm, "config", "check", folder["effective.toml"])
        #expect(second.status == 0)
        #expect(second.output == first.output)
    }

    @Test func aFileThatIsTooLargeIsNotEvenRead() async throws {
        try folder.write(String(repeating: "#", count: 1 << 20) + "\n", to: "large.toml")
        let ending = try await run(.fastvlm, "config", "check", folder["large.toml"])
        #expect(ending.status == 3 && ending.errors.contains("expected at most 1048576"), "\(ending.errors)")
    }

    @Test func everyKeyHasItsEffect() async throws {
        try folder.write(
            """
            [model]
            path = "/m"
            threads = 3
            [sidecars]
            directory = "/s"
            [defaults]
            resolution = 128
            [[watch]]
            path = "/a"
            [[watch]]
            path = "/b"
            name = "gate"
            recursive = false
            include = ["*.jpg"]
            exclude = ["old"]
            prompt = ""
            resolution = 192
            max_tokens = 7
            temperature = 0.5
            top_p = 0.25
            seed = 9
            [[watch.questions]]
            id = "lamp"
            question = "Is it on?"
            """, to: "all.toml")
        let ending = try await run(.fastvlm, "config", "check", folder["all.toml"])
        #expect(ending.status == 0, "\(ending.errors)")
        for line in [
            "threads = 3", "directory = '/s'", "resolution = 128", "name = 'a'", "name = 'gate'", "recursive = false",
            "include = [ '*.jpg' ]", "exclude = [ 'old' ]", "prompt = ''", "resolution = 192", "max_tokens = 7",
            "temperature = 0.5", "top_p = 0.25", "seed = 9", "id = 'lamp'", "question = 'Is it on?'",
        ] {
            #expect(
                ending.outputLines.contains { $0.trimmingCharacters(in: .whitespaces) == line },
                "\(line): \(ending.output)")
        }
    }

    static let bad: [(String, [String])] = [
        ("", ["[model]"]), ("[model\n", ["line 1"]), ("[model]\npath = 3\n", ["model.path is 3", "expected a string"]),
        ("[model]\npath = \"/m\"\n", ["no folder to watch", "[[watch]]"]),
        ("[model]\npath = \"/m\"\n[[watch]]\n", ["watch[0].path is missing"]),
        ("[model]\npath = \"/m\"\n[[watch]]\npath = \"a\"\n", ["watch[0].path is 'a'", "an absolute path"]),
        ("[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\nfps = 3\n", ["unknown key watch[0].fps", "max_tokens"]),
        ("[model]\npath = \"/m\"\n[wach]\n[[watch]]\npath = \"/a\"\n", ["unknown key wach", "watch"]),
        ("[model]\npath = \"/m\"\nthreads = 257\n[[watch]]\npath = \"/a\"\n", ["model.threads is 257", "0 to 256"]),
        (
            "[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\nresolution = 63\n",
            ["watch[0].resolution is 63", "64 to 4096"]
        ),
        (
            "[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\nrecursive = 1\n",
            ["watch[0].recursive is 1", "true or false"]
        ),
        (
            "[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\n[[watch]]\npath = \"/b/a\"\n",
            ["two watched folders are called 'a'"]
        ),
        ("[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\n[[watch]]\npath = \"/a/b\"\n", ["'/a/b' lies in '/a'"]),
        ("[model]\npath = \"/m\"\n[[watch]]\npath = \"/a\"\nprompt = \"\"\n", ["there is nothing to do"]),
        (
            "[model]\npath = \"/m\"\n[sidecars]\ndirectory = \"s\"\n[[watch]]\npath = \"/a\"\n",
            ["sidecars.directory is 's'"]
        ),
    ]

    @Test(arguments: bad) func aBadFileIsRefusedByBothPrograms(_ text: String, _ words: [String]) async throws {
        try folder.write(text, to: "bad.toml")
        let checked = try await run(.fastvlm, "config", "check", folder["bad.toml"])
        let started = try await run(.fastvlmd, "--config", folder["bad.toml"])
        for word in words + ["Cannot ", folder["bad.toml"]] {
            checked.expectOneError(3, word)
            started.expectOneError(3, word, from: .fastvlmd)
        }
    }

    @Test func whatCannotBeReadIsRefused() async throws {
        try folder.write([0x61, 0xFF], to: "latin.toml")
        try folder.makeFolder("folder.toml")
        try folder.write(String(repeating: "#", count: 1 << 20 + 1), to: "long.toml")
        for name in ["missing.toml", "latin.toml", "folder.toml", "long.toml"] {
            (try await run(.fastvlm, "config", "check", folder[name])).expectOneError(3, "Cannot read", folder[name])
            (try await run(.fastvlmd, "--config", folder[name])).expectOneError(3, folder[name], from: .fastvlmd)
        }
    }
}
