import CaptionService
import FoundationEssentials
import FrameSources
import Sidecars
import Testing

@Suite struct FolderPolicyTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    /// Lets the clock that files are stamped with go on: within one of its ticks nothing is before anything.
    private func aTick() async throws { try await Task.sleep(for: .milliseconds(50)) }

    private func watch(_ more: String) -> String { "[[watch]]\npath = \"\(folder.path)\"\nname = \"gate\"\n\(more)\n" }

    @Test(.timeLimit(.minutes(1))) func newLeavesAloneWhatWasThere() async throws {
        try folder.drop("old", "old.jpg")
        try await aTick()
        try await withDaemon(watch("reprocess = \"new\"")) { daemon in
            try folder.drop("new", "new.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["new"])
            // Not by a later scan either; and what is moved in counts as new, however old its content is.
            await daemon.daemon.hangUp()
            try FileManager.default.moveItem(atPath: folder.path + "/old.jpg", toPath: folder.path + "/moved.jpg")
            #expect(await daemon.next(1).map(\.path.description) == ["moved.jpg"])
        }
        #expect(!folder.hasSidecar("old.jpg"))
    }

    @Test(.timeLimit(.minutes(1))) func missingLeavesAloneWhatChanged() async throws {
        try folder.drop("first", "a.jpg")
        try await withDaemon(watch("reprocess = \"missing\"")) { daemon in
            #expect(await daemon.next(1).map(\.document.caption) == ["first"])
            try folder.drop("second, longer", "a.jpg")
            try folder.drop("b", "b.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["b"])
        }
        #expect(try folder.document("a.jpg").caption == "first")
        try await withDaemon(watch("reprocess = \"changed\"")) { daemon in
            #expect(await daemon.next(1).map(\.document.caption) == ["second, longer"])
        }
    }

    @Test(.timeLimit(.minutes(1))) func eachFolderMayHaveItsPlaceForResults() async throws {
        let (common, own) = (try ScratchFolder(), try ScratchFolder())
        let other = try ScratchFolder()
        try folder.drop("a", "deep/a.jpg")
        try other.drop("b", "b.jpg")
        let text = """
            [sidecars]
            directory = "\(common.path)"
            \(watch("sidecars = \"\(own.path)\""))
            [[watch]]
            path = "\(other.path)"
            name = "other"
            sidecars = "beside"
            """
        try await withDaemon(text) { daemon in _ = await daemon.next(2) }
        #expect(try folder.document("deep/a.jpg", under: own.path).caption == "a")
        #expect(try other.document("b.jpg").caption == "b")
        #expect(common.names.filter { $0.hasSuffix(".json") } == [])
    }

    @Test(.timeLimit(.minutes(1))) func ofALiveFolderTheNewestFramesWin() async throws {
        let (started, begin) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let engine = StubEngine { tasks, bytes in
            begin.yield()
            if StubEngine.text(bytes) == "first" { for await _ in released { break } }
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        try folder.drop("before", "before.jpg")
        try await aTick()
        try await withDaemon(watch("mode = \"live\"\nkeep_newest = 2"), engine: engine) { daemon in
            try folder.drop("first", "first.jpg")
            for await _ in started { break }
            for index in 0..<8 { try folder.drop("\(index)", "\(index).jpg") }
            while daemon.daemon.frames[0].received < 9 { try await Task.sleep(for: .milliseconds(5)) }
            release.finish()
            #expect(await daemon.next(3).map(\.document.caption) == ["first", "7", "6"])
            // A scan does not bring back what was dropped.
            await daemon.daemon.hangUp()
            try folder.drop("last", "last.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["last"])
            await daemon.settled()
            let frames = daemon.daemon.frames[0]
            #expect(frames.outcomes["dropped"] == 6 && frames.outcomes["ok"] == 4)
            #expect(frames.isConserved)
        }
        #expect(!folder.hasSidecar("before.jpg") && !folder.hasSidecar("0.jpg"))
    }

    @Test func policiesAreReadCheckedAndPrinted() throws {
        func read(_ text: String) throws -> DaemonConfiguration {
            try DaemonConfiguration(
                toml: "[model]\npath = \"/m\"\n[status]\nfile = \"/run/x/s.json\"\n[[watch]]\npath = \"/a\"\n\(text)",
                file: "t")
        }
        let live = try read("mode = \"live\"\nkeep_newest = 3\nsidecars = \"/results\"")
        #expect(live.watches[0].mode == .live && live.watches[0].keepNewest == 3 && live.watches[0].reprocess == .new)
        #expect(live.watches[0].sidecars == .folder("/results") && live.status.file == "/run/x/s.json")
        #expect(try DaemonConfiguration(toml: live.toml, file: "printed") == live)
        let plain = try read("")
        #expect(plain.watches[0].mode == .durable && plain.watches[0].reprocess == .changed)
        for (text, key) in [
            ("mode = \"dead\"", "watch[0].mode"), ("keep_newest = 3", "watch[0].keep_newest"),
            ("mode = \"live\"\nkeep_newest = 65", "watch[0].keep_newest"),
            ("reprocess = \"all\"", "watch[0].reprocess"),
            ("sidecars = \"here\"", "watch[0].sidecars"),
            ("sidecars = \"/r\"\n[[watch]]\npath = \"/b\"\nsidecars = \"/r\"", "'/r'"),
        ] {
            let error = #expect(throws: ConfigurationError.self, "\(text)") { try read(text) }
            #expect(error?.message.contains(key) == true, "\(error?.message ?? "")")
        }
    }
}
