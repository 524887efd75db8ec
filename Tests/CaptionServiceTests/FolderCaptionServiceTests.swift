import CaptionService
import FoundationEssentials
import FrameSources
import Sidecars
import Synchronization
import Testing

@Suite struct FolderCaptionServiceTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    @Test(.timeLimit(.minutes(1))) func picturesFromBeforeAndAfterTheStartGetTheirSidecars() async throws {
        for index in 0..<20 { try folder.drop("early \(index)", "early-\(index).jpg") }
        try await withService(on: folder) { service in
            _ = try await service.next(20)
            for index in 0..<20 { try folder.drop("late \(index)", "a/b\(index % 3)/late-\(index).PNG") }
            _ = try await service.next(20)
        }
        for index in 0..<20 {
            #expect(try folder.document("early-\(index).jpg").caption == "early \(index)")
            #expect(try folder.document("a/b\(index % 3)/late-\(index).PNG").caption == "late \(index)")
        }
        #expect(folder.names.count { $0.hasSuffix(".fastvlm.json") } == 40)
        #expect(!folder.names.contains { $0.hasSuffix(".tmp") })
    }

    @Test(.timeLimit(.minutes(1))) func theSidecarSaysWhatWasAskedAndWhereThePictureCameFrom() async throws {
        try folder.drop("a cat", "cat.jpg")
        try await withService(
            on: folder,
            configure: {
                $0.watches[0].tasks.questions = [.init(id: "lamp", text: "Is it on?")]
                $0.watches[0].tasks.resolution = 256
            }
        ) { service in
            _ = try await service.next(1)
        }
        let document = try folder.document("cat.jpg")
        #expect(document.status == .ok)
        #expect(document.caption == "a cat")
        #expect(
            document.answers == [
                .init(id: "lamp", question: "Is it on?", type: "text", answer: .string("answer to Is it on?"))
            ])
        #expect(document.source.file == Array("cat.jpg".utf8) && document.source.origin == "watch:gate")
        #expect(document.source.bytes == 7 && document.source.width == 640 && document.source.height == 480)
        // sha256sum of "a cat\xff\xd9".
        #expect(document.source.sha256 == "cfa9f4ab658472a8cec4c08fe99120788fc66f9709e8d8b4a5944ce294655ef1")
        #expect(document.model?.name == "stub")
        #expect(document.resolution == .init(pixels: 256, visualTokens: 16, reason: "fixed"))
        #expect(document.timings?.vision == 12.3 && document.timings?.generatedTokens == 6)
        #expect((document.timings?.queued?.value ?? -1) >= 0)
        #expect((document.health?.rss ?? 0) > 0)
        #expect(document.finishReason == "stop")
    }

    @Test(.timeLimit(.minutes(1))) func aPictureThatCannotBeReadIsRefusedWithItsCode() async throws {
        let engine = StubEngine { _, _ throws(EngineError) in
            throw EngineError(.picture, "Cannot decode the picture: it is text.", pictureCode: "not_an_image")
        }
        try folder.drop("words", "words.jpg")
        try await withService(on: folder, engine: engine) { service in _ = try await service.next(1) }
        let document = try folder.document("words.jpg")
        #expect(document.status == .refused(code: "not_an_image", reason: "Cannot decode the picture: it is text."))
        #expect(document.caption == nil && document.source.sha256 != nil)
    }

    @Test(.timeLimit(.minutes(1))) func aFaultOfTheMachineNeverBlamesThePicture() async throws {
        let calls = Atomic(0)
        let engine = StubEngine { tasks, bytes throws(EngineError) in
            guard calls.add(1, ordering: .relaxed).newValue > 1 else { throw EngineError(.resources, "No memory.") }
            return StubEngine.report(tasks, caption: "second try")
        }
        try folder.drop("x", "x.jpg")
        try await withService(on: folder, engine: engine) { service in
            let results = try await service.next(1)
            #expect(results[0].document.caption == "second try")
        }
        #expect(try folder.document("x.jpg").status == .ok)
        #expect(calls.load(ordering: .relaxed) == 2)
    }

    @Test(.timeLimit(.minutes(1))) func aPictureReplacedWhileItIsReadGetsTheSidecarOfItsLastContent() async throws {
        let place = folder
        let engine = StubEngine { tasks, bytes in
            if StubEngine.text(bytes) == "first" { try? place.drop("second", "x.jpg") }
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        try folder.drop("first", "x.jpg")
        try await withService(on: folder, engine: engine) { service in
            let results = try await service.next(1)
            #expect(results[0].document.caption == "second")
        }
        #expect(try folder.document("x.jpg").caption == "second")
    }

    @Test(.timeLimit(.minutes(1))) func aShutdownFinishesThePictureAtHandAndLeavesTheRest() async throws {
        let (started, begin) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let engine = StubEngine { tasks, bytes in
            begin.yield()
            for await _ in released { break }
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        for index in 0..<3 { try folder.drop("\(index)", "\(index).jpg") }
        try await withService(on: folder, engine: engine) { _ in
            for await _ in started { break }
            // The shutdown follows at once; the engine answers only after it.
            Task {
                try? await Task.sleep(for: .milliseconds(50))
                release.finish()
            }
        }
        #expect(folder.names.count { $0.hasSuffix(".fastvlm.json") } == 1)
        // The next start does the rest, and nothing twice.
        try await withService(on: folder) { service in _ = try await service.next(2) }
        #expect(folder.names.count { $0.hasSuffix(".fastvlm.json") } == 3)
    }

    @Test(.timeLimit(.minutes(1))) func aForeignFileAtTheSidecarsNameIsNeverTouched() async throws {
        let foreign = URL(filePath: folder.path).appending(path: "x.jpg.fastvlm.json")
        try Data("mine".utf8).write(to: foreign)
        try folder.drop("x", "x.jpg")
        try folder.drop("y", "y.jpg")
        try await withService(on: folder) { service in _ = try await service.next(1) }
        #expect(try Data(contentsOf: foreign) == Data("mine".utf8))
        #expect(folder.hasSidecar("y.jpg"))
    }

    @Test(.timeLimit(.minutes(1))) func sidecarsCanLieInAFolderOfTheirOwn() async throws {
        let results = try ScratchFolder()
        try folder.drop("deep", "a/b/x.jpg")
        try await withService(on: folder, configure: { $0.sidecars.directory = results.path }) { service in
            _ = try await service.next(1)
        }
        #expect(try folder.document("a/b/x.jpg", under: results.path + "/gate").caption == "deep")
        #expect(folder.names == ["a", "a/b", "a/b/x.jpg"])
        // It is found there again.
        try folder.drop("second", "y.jpg")
        try await withService(on: folder, configure: { $0.sidecars.directory = results.path }) { service in
            let result = try await service.next(1)
            #expect(result[0].document.caption == "second")
        }
    }

    @Test(.timeLimit(.minutes(1))) func namesDecideWhatIsTaken() async throws {
        try folder.drop("no", "skip.jpg")
        try folder.drop("no", "private/x.jpg")
        try folder.drop("no", "notes.txt")
        try folder.drop("yes", "cam-1.JPG")
        try await withService(
            on: folder,
            configure: {
                $0.watches[0].include = ["cam-*"]
                $0.watches[0].exclude = ["private"]
            }
        ) { service in
            _ = try await service.next(1)
        }
        #expect(folder.names.filter { $0.hasSuffix(".json") } == ["cam-1.JPG.fastvlm.json"])
    }

    @Test func aFolderThatMustBeThereIsMissed() async throws {
        let error = await #expect(throws: DaemonError.self) {
            try await withService(on: folder, configure: { $0.watches[0].path += "/none" }) { _ in }
        }
        #expect(error?.code == .folder)
        #expect(error?.message.contains("/none") == true)
    }
}
