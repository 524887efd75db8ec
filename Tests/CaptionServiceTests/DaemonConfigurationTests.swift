import CaptionService
import FoundationEssentials
import LatencyBudget
import Testing

@Suite struct DaemonConfigurationTests {
    static let minimal = """
        [model]
        path = "/m.fastvlm"
        [[watch]]
        path = "/srv/cameras/gate"
        """

    private func failure(_ toml: String) -> ConfigurationError? {
        do {
            _ = try DaemonConfiguration(toml: toml, file: "test.toml")
            return nil
        } catch {
            return error
        }
    }

    @Test func theLeastThatIsNeededTakesEveryDefault() throws {
        let configuration = try DaemonConfiguration(toml: Self.minimal, file: "test.toml")
        #expect(configuration.models == [DaemonConfiguration.Model(path: "/m.fastvlm")])
        #expect(configuration.watches == [DaemonConfiguration.Watch(path: "/srv/cameras/gate")])
        #expect(configuration.watches[0].name == "gate")
        #expect(configuration.watches[0].tasks.prompt == "Describe the image.")
    }

    @Test func aFolderOverridesTheDefaults() throws {
        let configuration = try DaemonConfiguration(
            toml: """
                [model]
                path = "/m.fastvlm"
                threads = 3
                [defaults]
                prompt = "What is there?"
                resolution = 512
                [[defaults.questions]]
                id = "lamp"
                question = "Is the lamp on?"
                [[watch]]
                path = "/a"
                [[watch]]
                path = "/b"
                name = "yard"
                recursive = false
                include = ["*.JPG"]
                exclude = ["tmp*"]
                prompt = ""
                max_tokens = 20
                temperature = 1
                top_p = 0.5
                seed = 7
                [[watch.questions]]
                id = "gate"
                question = "Is the gate open?"
                """, file: "test.toml")
        #expect(configuration.models.map(\.threads) == [3])
        let (first, second) = (configuration.watches[0], configuration.watches[1])
        #expect(first.tasks.prompt == "What is there?" && first.tasks.resolution == 512)
        #expect(first.tasks.questions == [PictureTasks.Question(id: "lamp", text: "Is the lamp on?")])
        #expect(second.name == "yard" && !second.recursive && second.include == ["*.JPG"] && second.exclude == ["tmp*"])
        #expect(second.tasks.prompt.isEmpty && second.tasks.resolution == 512 && second.tasks.maxTokens == 20)
        #expect(second.tasks.temperature == 1 && second.tasks.topP == 0.5 && second.tasks.seed == 7)
        #expect(second.tasks.questions == [PictureTasks.Question(id: "gate", text: "Is the gate open?")])
        #expect(try DaemonConfiguration(toml: configuration.toml, file: "printed") == configuration)
    }

    @Test func severalModelsAndWhoAsksThem() throws {
        let configuration = try DaemonConfiguration(
            toml: """
                [[model]]
                path = "/models/FastVLM 0.5B.fastvlm"
                [[model]]
                path = "/models/large.fastvlm"
                name = "thorough"
                threads = 2
                keep_alive = 300
                [[model]]
                path = "/models/small"
                keep_alive = "always"
                [defaults]
                model = "thorough"
                [socket]
                model = "default"
                [[watch]]
                path = "/a"
                [[watch]]
                path = "/b"
                model = "FastVLM-0.5B"
                """, file: "test.toml")
        #expect(configuration.models.map(\.key) == ["FastVLM-0.5B", "thorough", "small"])
        #expect(configuration.models.map(\.keepAlive) == [.always, .after(.seconds(300)), .always])
        #expect(configuration.models.map(\.threads) == [0, 2, 0])
        #expect(configuration.watches.map(\.tasks.model) == ["thorough", "FastVLM-0.5B"])
        #expect(configuration.socket?.tasks.model == "default")
        #expect(try DaemonConfiguration(toml: configuration.toml, file: "printed") == configuration)
    }

    @Test(arguments: [
        ("[[model]]\npath = \"/a/m\"\n[[model]]\npath = \"/b/m.fastvlm\"", ConfigurationError.Code.conflict, "'m'"),
        ("[[model]]\npath = \"/a\"\nname = \"a b\"", .invalidValue, "model.name is 'a b'"),
        ("[[model]]\npath = \"/a\"\nname = \"default\"", .invalidValue, "not 'default'"),
        ("[[model]]\npath = \"/a\"\n[[model]]", .missingKey, "model[1].path"),
        ("[model]\npath = \"/a\"\nkeep_alive = 0", .invalidValue, "from 1 to 604800, or \"always\""),
        ("[model]\npath = \"/a\"\nkeep_alive = \"never\"", .invalidValue, "from 1 to 604800, or \"always\""),
        (
            "[model]\npath = \"/a\"\n[defaults]\nmodel = \"b\"", .invalidValue,
            "watch[0].model is 'b', expected one of 'a'"
        ),
        ("[model]\npath = \"/a\"\n[socket]\nmodel = \"b\"", .invalidValue, "socket.model is 'b', expected one of 'a'"),
        ("model = []", .missingKey, "there is no [model]"), ("model = 3", .invalidValue, "model is 3"),
    ])
    func modelsThatCannotBeAreRefused(toml: String, code: ConfigurationError.Code, problem: String) throws {
        let error = try #require(failure(toml + "\n[[watch]]\npath = \"/w\""))
        #expect(error.code == code && error.message.contains(problem), "\(error.message)")
    }

    @Test func eachFolderHasItsBudgetAndItsWayToBeLate() throws {
        let configuration = try DaemonConfiguration(
            toml: """
                [model]
                path = "/m.fastvlm"
                [budget]
                miss_target = 0.05
                [defaults]
                budget_ms = 800
                when_late = "best_effort"
                resolution = 512
                [[watch]]
                path = "/a"
                [[watch]]
                path = "/b"
                budget_ms = 1500.5
                when_late = "expired"
                resolution = "auto"
                [[watch]]
                path = "/c"
                resolution = "off"
                """, file: "test.toml")
        let tasks = configuration.watches.map(\.tasks)
        #expect(configuration.budget.missTarget == 0.05)
        #expect(tasks.map(\.budget) == [800, 1500.5, 800])
        #expect(tasks.map(\.whenLate) == [.bestEffort, .expired, .bestEffort])
        #expect(tasks.map(\.resolution) == [512, nil, nil] && tasks.map(\.followsBudget) == [true, true, false])
        #expect(try DaemonConfiguration(toml: configuration.toml, file: "printed") == configuration)
    }

    @Test func theSocketHasItsOwnTable() throws {
        let configuration = try DaemonConfiguration(
            toml: """
                [model]
                path = "/m.fastvlm"
                [defaults]
                budget_ms = 800
                [socket]
                path = "/run/x/api.sock"
                allow_users = ["camera", "1000"]
                allow_groups = ["video"]
                spool = "/var/spool/fastvlmd"
                prompt = "What is there?"
                """, file: "test.toml")
        let socket = try #require(configuration.socket)
        #expect(socket.path == "/run/x/api.sock" && socket.spool == "/var/spool/fastvlmd")
        #expect(socket.allowedUsers == ["camera", "1000"] && socket.allowedGroups == ["video"])
        #expect(socket.tasks.prompt == "What is there?" && socket.tasks.budget == 800)
        #expect(configuration.watches.isEmpty)
        #expect(try DaemonConfiguration(toml: configuration.toml, file: "printed") == configuration)
    }

    @Test(arguments: [
        ("path = \"api.sock\"", "socket.path"), ("path = \"/\(String(repeating: "x", count: 100))\"", "100 bytes"),
        ("spool = \"here\"", "socket.spool"), ("allow_users = [\"\"]", "socket.allow_users"),
        ("allow_groups = 5", "socket.allow_groups"), ("max_tokens = 0", "socket.max_tokens"),
    ])
    func aSocketThatCannotBeIsRefused(line: String, key: String) throws {
        let error = try #require(failure(Self.minimal + "\n[socket]\n" + line + "\n"))
        #expect(error.code == .invalidValue && error.message.contains(key), "\(error.message)")
    }

    @Test(arguments: [
        ("prompt = \"What is at {source}?\"", nil),
        ("prompt = \"{file}?\"", "socket.prompt holds '{file}', expected {source}"),
        ("[[socket.questions]]\nid = \"a\"\nquestion = \"{modified}\"", "socket.questions.question holds '{modified}'"),
        ("spool_mb = 5\nspool_frames = 7\nspool_hours = 2", nil), ("spool_mb = 0", "spool_mb"),
        ("spool_frames = 1000001", "spool_frames"), ("spool_hours = 9000", "spool_hours"),
    ])
    func whatASocketMayBeTold(line: String, problem: String?) throws {
        let text = "[model]\npath = \"/m\"\n[socket]\nspool = \"/s\"\n\(line)\n"
        guard let problem else {
            let configuration = try DaemonConfiguration(toml: text, file: "x")
            #expect(try DaemonConfiguration(toml: configuration.toml, file: "y") == configuration)
            let limits = try #require(configuration.socket).spoolLimits
            if line.contains("spool_mb") {
                #expect(limits.bytes == 5_000_000 && limits.frames == 7 && limits.keepsFinished == .seconds(7200))
            }
            return
        }
        let error = #expect(throws: ConfigurationError.self) { try DaemonConfiguration(toml: text, file: "x") }
        #expect(error?.message.contains(problem) == true, "\(error?.message ?? "")")
    }

    @Test func theSpoolIsAWatchedFolderOfItsOwn() {
        let watch = "[model]\npath = \"/m\"\n[socket]\nspool = \"/s/spool\"\n[[watch]]\npath = "
        #expect(failure(watch + "\"/s\"")?.code == .conflict)
        #expect(failure(watch + "\"/other/spool\"")?.code == .conflict)
        #expect(failure(watch + "\"/other\"") == nil)
        #expect(failure("[model]\npath = \"/m\"\n[socket]\ncolour = 1")?.code == .unknownKey)
    }

    @Test func anUnknownKeyIsNamedWithTheKnownOnes() throws {
        let error = try #require(failure(Self.minimal + "\npromt = \"typo\"\n"))
        #expect(error.code == .unknownKey)
        #expect(
            error.message.contains("watch[0].promt") && error.message.contains("prompt")
                && error.message.contains("test.toml"))
        #expect(failure("colour = 1\n" + Self.minimal)?.code == .unknownKey)
        #expect(failure(Self.minimal.replacing("path = \"/m", with: "speed = 1\npath = \"/m"))?.code == .unknownKey)
    }

    @Test(arguments: [
        ("max_tokens = 0", "watch[0].max_tokens", "1 to 4096"),
        ("max_tokens = \"many\"", "watch[0].max_tokens", "1 to 4096"),
        ("resolution = 63", "watch[0].resolution", "64 to 4096"),
        ("resolution = \"of\"", "watch[0].resolution", "\"off\""),
        ("budget_ms = 0", "watch[0].budget_ms", "1.0 to 3600000.0"), ("budget_ms = -5", "watch[0].budget_ms", "1.0 to"),
        ("budget_ms = inf", "watch[0].budget_ms", "1.0 to"), ("budget_ms = nan", "watch[0].budget_ms", "1.0 to"),
        ("when_late = \"skip\"", "watch[0].when_late", "\"best_effort\""),
        ("[budget]\nmiss_target = 0.9", "budget.miss_target", "0.001 to 0.5"),
        ("[budget]\nprofile_directory = \"here\"", "budget.profile_directory", "absolute"),
        ("temperature = 2.5", "watch[0].temperature", "0.0 to 2.0"),
        ("top_p = 0", "watch[0].top_p", "to 1.0"), ("recursive = 1", "watch[0].recursive", "true or false"),
        ("include = \"*.jpg\"", "watch[0].include", "array of strings"),
        ("name = \"a/b\"", "watch[0].name", "without '/'"), ("seed = -1", "watch[0].seed", "from 0"),
    ])
    func aValueOutOfRangeIsNamedWithItsRange(line: String, key: String, range: String) throws {
        let error = try #require(failure(Self.minimal + "\n" + line + "\n"))
        #expect(error.code == .invalidValue)
        #expect(error.message.contains(key) && error.message.contains(range), "\(error.message)")
    }

    @Test func whatIsMissingIsSaid() {
        #expect(failure("")?.code == .missingKey)
        #expect(failure("[model]\npath = \"/m\"")?.code == .missingKey)
        #expect(failure("[[watch]]\npath = \"/a\"")?.code == .missingKey)
        #expect(failure("[model]\n[[watch]]\npath = \"/a\"")?.code == .missingKey)
    }

    @Test func conflictsAreRefused() {
        let two = { (a: String, b: String) in
            "[model]\npath = \"/m\"\n[[watch]]\npath = \"\(a)\"\n[[watch]]\npath = \"\(b)\"\n"
        }
        #expect(failure(two("/a/x", "/b/x"))?.code == .conflict)
        #expect(failure(two("/a", "/a/b"))?.code == .conflict)
        #expect(failure(two("/a/b/", "/a"))?.code == .conflict)
        #expect(failure(two("/a", "/ab")) == nil)
        #expect(failure(Self.minimal + "\nprompt = \"\"")?.code == .conflict)
        let twice = "\n[[watch.questions]]\nid = \"a\"\nquestion = \"x\"\n"
        #expect(failure(Self.minimal + twice + twice)?.code == .conflict)
        #expect(failure(Self.minimal.replacing("/srv", with: "srv"))?.code == .invalidValue)
    }

    @Test func whatIsNotTOMLIsSaidWithItsPlace() throws {
        let error = try #require(failure("[model\npath = 1"))
        #expect(error.code == .syntax && error.message.contains("line 1"), "\(error.message)")
    }

    @Test func anUnreadableFileIsRefused() {
        let error = #expect(throws: ConfigurationError.self) { try DaemonConfiguration(file: "/nonexistent/x.toml") }
        #expect(error?.code == .unreadable)
    }

    /// The sample is the reference for people: its comments must show the real keys and defaults.
    @Test func theSampleShowsEveryKeyWithItsDefault() throws {
        let path = #filePath.replacing(
            "Tests/CaptionServiceTests/DaemonConfigurationTests.swift", with: "etc/fastvlmd.toml")
        let sample = try String(contentsOfFile: path, encoding: .utf8)
        let plain = try DaemonConfiguration(toml: sample, file: "sample")
        #expect(plain.watches == [DaemonConfiguration.Watch(path: "/srv/cameras")])
        let uncommented = sample.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("#") && !line.hasPrefix("# ") ? String(line.dropFirst()) : String(line)
        }.joined(separator: "\n")
        var full = try DaemonConfiguration(toml: uncommented, file: "uncommented sample")
        #expect(full.sidecars.directory == "/var/lib/fastvlmd/sidecars")
        #expect(full.watches[0].tasks.budget == 800)
        #expect(full.budget.profileDirectory == "/var/lib/fastvlmd")
        #expect(full.watches[0].tasks.questions.map(\.id) == ["lamp"])
        #expect(full.socket?.path == "/run/fastvlmd/api.sock" && full.socket?.spool == "/var/lib/fastvlmd/spool")
        // What has no default in the file is taken out; the rest must equal the defaults.
        full.sidecars.directory = nil
        full.socket = nil
        full.budget.profileDirectory = nil
        #expect(full.status.file == "/run/fastvlmd/status.json")
        full.status.file = nil
        #expect(full.watches[0].sidecars == .folder("/srv/results/cameras"))
        full.watches[0].sidecars = .common
        #expect(full.models[0].name == "model" && full.watches[0].tasks.model == "model")
        full.models[0].name = nil
        full.watches[0].tasks.model = nil
        full.watches[0].tasks.budget = nil
        full.watches[0].tasks.questions = []
        #expect(full == plain)
        // Every key that is printed is explained in the sample.
        for line in full.toml.split(separator: "\n") {
            guard let key = line.split(separator: " ").first, line.contains(" = ") else { continue }
            #expect(sample.contains("\(key) = "), "\(key) is not in the sample")
        }
    }

    /// The parser ends the process at these: they must not reach it.
    @Test(arguments: ["[[", "[[\n[budget]", "[", "[=]", "[ \u{e9}]", "[[ #", "[\r\n", "[\0"])
    func aTableWithoutANameIsRefusedWithItsLine(header: String) {
        let error = #expect(throws: ConfigurationError.self) {
            try DaemonConfiguration(toml: "[model]\npath = \"m\"\n\(header)\n", file: "x.toml")
        }
        #expect(error?.message.contains("'x.toml'") == true && error?.message.contains("line 3") == true)
    }
}
