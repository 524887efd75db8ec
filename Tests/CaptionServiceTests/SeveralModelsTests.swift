import CaptionService
import FoundationEssentials
import Logging
import Sidecars
import Testing

/// The daemon with several models.
@Suite struct SeveralModelsTests {
    let gate: ScratchFolder
    let yard: ScratchFolder

    init() throws {
        gate = try ScratchFolder()
        yard = try ScratchFolder()
    }

    private func model(_ path: String, _ more: String = "") -> String { "[[model]]\npath = \"\(path)\"\n\(more)\n" }

    private func watch(_ folder: ScratchFolder, _ name: String, _ more: String = "") -> String {
        "[[watch]]\npath = \"\(folder.path)\"\nname = \"\(name)\"\n\(more)\n"
    }

    private func shelf(_ source: StubModels) -> (DaemonConfiguration) async throws -> ModelShelf {
        { configuration in
            let shelf = ModelShelf(source: source, logger: .silent)
            try await shelf.replace(with: configuration.models)
            return shelf
        }
    }

    @Test(.timeLimit(.minutes(1))) func eachFolderHasItsModelAndTheyAreNotExchangedForEveryPicture() async throws {
        let source = StubModels()
        for index in 0..<20 { try (index % 2 == 0 ? gate : yard).drop("\(index)", "\(index).jpg") }
        let text = model("/m/one") + model("/m/two") + watch(gate, "gate") + watch(yard, "yard", "model = \"two\"")
        try await withDaemon(text, models: shelf(source)) { daemon in
            for result in await daemon.next(20) {
                #expect(result.document.model?.name == (result.folder == "gate" ? "one" : "two"))
            }
            #expect(source.mostAlive == 1)
            // A scan of a folder may be late, and then its model has to come again.
            #expect(source.loads.count <= 4, "\(source.loads)")
            let text = daemon.daemon.metricsText()
            let (last, first) = source.loads.last == "one" ? ("one", "two") : ("two", "one")
            #expect(text.contains("fastvlm_model_loaded{model=\"\(last)\"} 1\n"))
            #expect(text.contains("fastvlm_model_loaded{model=\"\(first)\"} 0\n"))
        }
    }

    @Test(.timeLimit(.minutes(1))) func anIdleDaemonIsReadyWithoutItsModel() async throws {
        let source = StubModels()
        var shelf: ModelShelf?
        let make: (DaemonConfiguration) async throws -> ModelShelf = { configuration in
            let made = ModelShelf(source: source, logger: .silent)
            var models = configuration.models
            models[0].keepAlive = .after(.milliseconds(20))
            try await made.replace(with: models)
            shelf = made
            return made
        }
        try await withDaemon(watch(gate, "gate"), models: make) { daemon in
            try gate.drop("a", "a.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["unused: a"])
            await daemon.settled()
            try await eventually { source.alive == 0 }
            let status = daemon.daemon.status
            #expect(status.models?.map(\.state) == ["unloaded"] && status.models?.map(\.loads) == [1])
            #expect(status.model.name == "unused")
            #expect(status.summary.hasPrefix("Idle, model unloaded. Watching 1 folder: 1 done"))
            #expect(status.degraded == [] && daemon.daemon.isReady)
            #expect(daemon.daemon.metricsText().contains("fastvlm_model_loaded{model=\"unused\"} 0\n"))
            #expect(
                daemon.daemon.metricsText().contains("fastvlm_model_loads_total{model=\"unused\",result=\"ok\"} 1\n"))
            try gate.drop("b", "b.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["unused: b"])
            #expect(source.loads.count == 2 && shelf?.standings.map(\.loads) == [2])
        }
    }

    @Test(.timeLimit(.minutes(1))) func picturesWaitForAModelThatCannotBeLoadedAndOthersDoNot() async throws {
        let source = StubModels()
        source.fail("two", 2)
        try yard.drop("y", "y.jpg")
        let text = model("/m/one") + model("/m/two") + watch(gate, "gate") + watch(yard, "yard", "model = \"two\"")
        try await withDaemon(text, models: shelf(source)) { daemon in
            try await eventually { daemon.daemon.status.degraded == ["model_unavailable"] }
            #expect(!yard.hasSidecar("y.jpg"))
            try gate.drop("g", "g.jpg")
            let results = await daemon.next(2)
            #expect(results.map(\.document.caption) == ["one: g", "two: y"])
            #expect(results[0].document.health?.degraded == ["model_unavailable"])
            #expect(results[1].document.status == .ok)
            await daemon.settled()
            #expect(daemon.daemon.status.degraded == [])
            #expect(daemon.daemon.status.models?.map(\.failures) == [0, 2])
            #expect(daemon.daemon.metricsText().contains("{model=\"two\",result=\"failed\"} 2\n"))
        }
    }

    /// Bringing a model into memory may well be what the process is ended for.
    @Test(.timeLimit(.minutes(1))) func anEndOfTheProcessWhileAModelLoadsIsNotThePicturesFault() async throws {
        let state = try ScratchFolder()
        let journal = Collected<String>()
        let folder = state.path
        @Sendable func lastLine() -> String {
            let text = try? String(contentsOfFile: "\(folder)/\(InFlightJournal.fileName)", encoding: .utf8)
            return text?.split(separator: "\n").last.map(String.init) ?? ""
        }
        let source = StubModels(onLoad: { _ in journal.add(lastLine()) }, onRun: { _, _ in journal.add(lastLine()) })
        let shelf = ModelShelf(source: source, logger: .silent)
        let configuration = DaemonConfiguration(
            model: .init(path: "/m/one"), watches: [DaemonConfiguration.Watch(path: gate.path, name: "gate")])
        try await shelf.replace(with: configuration.models)
        let (stream, continuation) = AsyncStream.makeStream(of: CommittedResult.self)
        let service = try FolderCaptionService(
            configuration, answerer: FrameAnswerer(models: shelf),
            journal: InFlightJournal(directory: state.path, logger: .silent), logger: .silent,
            onCommit: { continuation.yield($0) })
        try gate.drop("a", "a.jpg")
        try await whileRunning(service.run) { for await _ in stream { break } }
        #expect(journal.all.count == 2 && journal.all[0] == "pause" && journal.all[1] == "resume", "\(journal.all)")
    }

    @Test(.timeLimit(.minutes(1))) func modelsComeAndGoWithTheConfiguration() async throws {
        let source = StubModels()
        let (one, two) = (model("/m/one"), model("/m/two", "name = \"other\""))
        try await withDaemon(one + watch(gate, "gate"), models: shelf(source)) { daemon in
            func reload(_ text: String) async throws {
                try daemon.write(text)
                await daemon.daemon.hangUp()
            }
            func answer(_ name: String) async throws -> String? {
                try gate.drop(name, "\(name).jpg")
                return await daemon.next(1).first?.document.caption
            }
            #expect(try await answer("a") == "one: a")
            // Added, and asked.
            try await reload(one + two + watch(gate, "gate", "model = \"other\""))
            #expect(try await answer("b") == "two: b")
            #expect(daemon.daemon.status.models?.map(\.id) == ["one", "other"])
            // Bad ones change nothing.
            let good = daemon.daemon.answerer.models.standings
            for bad in [
                model("/m/broken") + watch(gate, "gate"), one + one + watch(gate, "gate"),
                one + two + watch(gate, "gate", "model = \"third\""),
                one + watch(gate, "gate") + watch(yard, "gate"),
                one + two + model("/m/four") + "[[watch]]\npath = \"\(gate.path)/a.jpg\"\n",
            ] {
                try await reload(bad)
                #expect(daemon.daemon.status.configuration.problem != nil, "\(bad)")
                #expect(daemon.daemon.answerer.models.standings == good)
            }
            // Another file under the same name.
            try await reload(one + model("/m/three", "name = \"other\"") + watch(gate, "gate", "model = \"other\""))
            #expect(daemon.daemon.status.configuration.problem == nil)
            #expect(try await answer("c") == "three: c")
            #expect(source.alive == 1)
            // Another file at the same place.
            source.exchange("three", digest: "sha256:new")
            try await reload(one + model("/m/three", "name = \"other\"") + watch(gate, "gate", "model = \"other\""))
            try gate.drop("d", "d.jpg")
            #expect(await daemon.next(1).first?.document.model?.digest == "sha256:new")
            // Gone.
            try await reload(one + watch(gate, "gate"))
            #expect(daemon.daemon.status.models?.map(\.id) == ["one"])
            try await eventually { source.alive == 0 }
            #expect(try await answer("e") == "one: e")
            #expect(source.mostAlive == 1)
        }
    }
}
