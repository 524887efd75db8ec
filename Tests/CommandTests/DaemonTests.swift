import Foundation
import Testing

/// `fastvlmd` at work: pictures in, sidecars out.
@Suite struct DaemonTests {
    let folder: TemporaryFolder
    static let quick = ["--model", House.model, "--resolution", "64", "--max-tokens", "4"]

    init() throws {
        folder = try TemporaryFolder()
    }

    private func start(_ arguments: String...) throws -> ProgramProcess {
        try ProgramProcess(Program.fastvlmd.path, ["--watch", folder.path] + arguments)
    }

    /// Ends `daemon` by SIGTERM and holds what every good end has in common.
    private func stop(_ daemon: ProgramProcess, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        daemon.send(SIGTERM)
        let ending = try await daemon.ending(within: .seconds(30))
        #expect(ending.status == 0, "\(ending.errors)", sourceLocation: sourceLocation)
        #expect(ending.output == "", sourceLocation: sourceLocation)
        // Names in the log are shown, never obeyed, and each line is one event's.
        #expect(!ending.errorBytes.contains(0x1B), sourceLocation: sourceLocation)
        for line in ending.errorLines {
            #expect(line.contains(" fastvlmd: "), "\(line)", sourceLocation: sourceLocation)
        }
    }

    /// Holds that each of `items` has one sidecar that is right.
    private func expectDone(_ items: [PictureBatch.Item], sourceLocation: SourceLocation = #_sourceLocation)
        async throws
    {
        let sidecars = try folder.readSidecars()
        #expect(sidecars.count == items.count, sourceLocation: sourceLocation)
        #expect(folder.temporaries == [], sourceLocation: sourceLocation)
        let captions = try await Self.captions()
        for item in items {
            let found = sidecars.filter { item.hasSidecar($0.path) }
            let name = String(decoding: item.file, as: UTF8.self)
            #expect(found.count == 1, "\(name)", sourceLocation: sourceLocation)
            guard let document = found.first?.document else { continue }
            try document.expectOK(item.picture, pixels: 64, sourceLocation: sourceLocation)
            #expect(document["source.file"] == name, sourceLocation: sourceLocation)
            let hexadecimal: String? = document["source.file_bytes"]
            let isText = String(validating: item.file, as: UTF8.self) != nil
            #expect(hexadecimal == (isText ? nil : item.file.hexadecimal), sourceLocation: sourceLocation)
            #expect(document.caption == captions[item.picture.name], sourceLocation: sourceLocation)
            #expect(document["resolution.reason"] == "fixed", sourceLocation: sourceLocation)
        }
    }

    /// What the person's command says about each picture.
    private static func captions() async throws -> [String: String] {
        let pictures = House.pictures
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["caption", "--json"] + quick + pictures.map(\.path)
        ).ending()
        let captions = try ending.outputLines.map { try Sidecar($0).caption ?? "" }
        return Dictionary(zip(pictures.map(\.name), captions)) { first, _ in first }
    }

    @Test func everyPictureHasOneSidecarWhetherItCameBeforeOrAfterTheStart() async throws {
        let (early, late) = (PictureBatch("early"), PictureBatch("late"))
        try early.write(to: folder)
        try folder.write("No picture at all.", to: "notes.txt")
        try folder.write(House.china.bytes(), to: ".hidden.jpg")
        try folder.write(House.china.bytes(), to: "unfinished.jpg.part")
        let daemon = try start("--model", House.model, "--resolution", "64", "--max-tokens", "4")
        try await eventually("the pictures that were there have sidecars") { folder.sidecars().count >= 20 }
        try late.deliver(to: folder)
        try await eventually("the pictures that came later have sidecars") { folder.sidecars().count >= 40 }
        // What has no end as yet may still grow: it waits a minute, while others pass it.
        try folder.write("Not a picture as yet.", to: "text.jpg")
        try folder.write(House.china.bytes(), to: "after.jpg")
        try await eventually("a picture that came after it has a sidecar") {
            folder.read("after.jpg.fastvlm.json") != nil
        }
        #expect(folder.read("text.jpg.fastvlm.json") == nil)
        try folder.remove(Array("after.jpg".utf8))
        try folder.remove(Array("after.jpg.fastvlm.json".utf8))
        try await stop(daemon)
        try await expectDone(early.items + late.items)

        // A second start finds nothing to do.
        let before = folder.sidecars().map { folder.version(of: $0) }
        let second = try start("--model", House.model, "--resolution", "64", "--max-tokens", "4")
        try folder.write(House.flower.bytes(), to: "last.jpg")
        try await eventually("a new picture has its sidecar") { folder.read("last.jpg.fastvlm.json") != nil }
        try await stop(second)
        #expect(!second.errorsSoFar.contains("early"))
        try folder.remove(Array("last.jpg.fastvlm.json".utf8))
        #expect(folder.sidecars().map { folder.version(of: $0) } == before)
    }

    @Test func aPictureThatChangesIsDoneAgain() async throws {
        try folder.write(House.china.bytes(), to: "gate.jpg")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--watch", folder.path] + Self.quick)
        func digest() -> String? {
            folder.read("gate.jpg.fastvlm.json").flatMap { try? Sidecar($0)["source.sha256"] }
        }
        let (china, flower) = (try SHA256Sum.of(House.china), try SHA256Sum.of(House.flower))
        try await eventually("the first picture is done") { digest() == china }
        try folder.write(House.flower.bytes(), to: "gate.jpg")
        try await eventually("the second picture is done") { digest() == flower }
        try await stop(daemon)
        #expect(folder.names() == ["gate.jpg", "gate.jpg.fastvlm.json"])
    }

    /// At SIGHUP, all folders are looked through.
    @Test func aSidecarThatWasRemovedIsMadeAgainAtSIGHUP() async throws {
        try folder.write(House.china.bytes(), to: "gate.jpg")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--watch", folder.path] + Self.quick)
        try await eventually("it is done") { folder.read("gate.jpg.fastvlm.json") != nil }
        try folder.remove(Array("gate.jpg.fastvlm.json".utf8))
        daemon.send(SIGHUP)
        try await eventually("it is done again") { folder.read("gate.jpg.fastvlm.json") != nil }
        try await stop(daemon)
    }

    @Test func aRefusedPictureIsSaidSoInItsSidecar() async throws {
        // Its end is there, its middle is not.
        let bytes = try House.china.bytes()
        try folder.write(Array(bytes.prefix(1_000)) + [0xFF, 0xD9], to: "broken.jpg")
        try folder.write(Array(try House.pictures[6].bytes().suffix(2_000)), to: "headless.png")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--watch", folder.path] + Self.quick)
        try await eventually("both have sidecars") { folder.sidecars().count == 2 }
        try await stop(daemon)
        let sidecars = try folder.readSidecars().map(\.document)
        #expect(sidecars.count == 2)
        for document in sidecars { #expect(document["status"] == "refused", "\(document)") }
        for document in sidecars { #expect((document["reason"] ?? "").hasPrefix("Cannot "), "\(document)") }
        sidecars.last?.expectRefused("not_an_image", "expected JPEG or PNG")
    }

    @Test func aForeignFileAtTheSidecarsNameIsLeftAlone() async throws {
        try folder.write(House.china.bytes(), to: "gate.jpg")
        try folder.write("{\"mine\": true}", to: "gate.jpg.fastvlm.json")
        try folder.write(House.flower.bytes(), to: "yard.jpg")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--watch", folder.path] + Self.quick)
        try await eventually("the other is done") { folder.read("yard.jpg.fastvlm.json") != nil }
        try await eventually("it is said") { daemon.errorsSoFar.contains("no sidecar of ours") }
        try await stop(daemon)
        #expect(folder.read("gate.jpg.fastvlm.json") == Array("{\"mine\": true}".utf8))
        #expect(folder.temporaries == [])
    }

    // MARK: - Ends

    private static let longCount = 60

    /// Starts on pictures of many words each, and waits until one is done: then the next is in work.
    private func startLongWork() async throws -> ProgramProcess {
        let daemon = try start("--model", House.model, "--resolution", "256", "--max-tokens", "500")
        let before = folder.sidecars().count
        try await eventually("one more is done") { folder.sidecars().count > before }
        return daemon
    }

    private func writeLongWork() throws -> [String] {
        let names = (1...Self.longCount).map { "\($0).jpg" }
        for name in names { try folder.write(House.china.bytes(), to: name) }
        return names
    }

    @Test func SIGTERMInTheMiddleLosesNothing() async throws {
        let names = try writeLongWork()
        let daemon = try await startLongWork()
        try await stop(daemon)
        let done = try folder.readSidecars()
        #expect((1..<Self.longCount).contains(done.count), "too quick to be in the middle: \(done.count) were done")
        #expect(folder.temporaries == [])
        let before = done.map { folder.version(of: $0.path) }
        let second = try start("--model", House.model, "--resolution", "64", "--max-tokens", "4")
        try await eventually("the others are done") { folder.sidecars().count == Self.longCount }
        try await stop(second)
        #expect(done.map { folder.version(of: $0.path) } == before)
        #expect(folder.names() == (names + names.map { $0 + ".fastvlm.json" }).sorted())
        _ = try folder.readSidecars()
    }

    @Test func SIGKILLLeavesNoHalfWrittenSidecar() async throws {
        _ = try writeLongWork()
        for _ in 0..<2 {
            let daemon = try await startLongWork()
            daemon.send(SIGKILL)
            #expect(try await daemon.ending().status == -SIGKILL)
            _ = try folder.readSidecars()
        }
        // What a commit that was cut off leaves.
        try folder.write("{\"schema\":", to: ".fastvlm-0123456789abcdef.tmp")
        let last = try start("--model", House.model, "--resolution", "64", "--max-tokens", "4")
        try await eventually("all are done") { folder.sidecars().count == Self.longCount }
        try await stop(last)
        #expect(try folder.readSidecars().allSatisfy { $0.document["status"] == "ok" })
        #expect(folder.files().count == 2 * Self.longCount)
    }
}

extension [UInt8] {
    /// Two hexadecimal digits a byte.
    fileprivate var hexadecimal: String {
        map { byte in [byte >> 4, byte & 15].map { String($0, radix: 16) }.joined() }.joined()
    }
}
