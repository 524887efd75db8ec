import Foundation
import Testing

/// `fastvlm demo`, the first thing that a newcomer runs.
@Suite struct DemoCommandTests {
    @Test func everyPictureIsShownWithItsResultAndTheSidecarsStay() async throws {
        let folder = try TemporaryFolder()
        let start = ContinuousClock.now
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["demo", "--keep", folder["demo"], "--budget-ms", "30000"],
            environment: ["FASTVLM_DEMO_MODEL": Demo.folder]
        ).ending()
        try #require(ending.status == 0, "\(ending.errors)")
        #expect(ContinuousClock.now - start < .seconds(30))
        #expect(ending.errors == "")
        for name in Demo.names {
            let sidecar = "demo/pictures/\(name).fastvlm.json"
            let bytes = try #require(folder.read(sidecar), "\(name)")
            #expect(ending.output.contains("\n\(name)\n"))
            #expect(ending.output.contains(folder[sidecar]), "where it lies")
            let document = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
            let caption = try #require(document["caption"] as? String)
            #expect(ending.output.contains("  \(caption)\n"))
            let resolution = try #require(document["resolution"] as? [String: Any])
            #expect(ending.output.contains("\(try #require(resolution["pixels"] as? Int)) px: "))
            #expect((document["budget"] as? [String: Any])?["met"] as? Bool == true)
            #expect((document["answers"] as? [Any])?.count == 3)
        }
        #expect(ending.output.contains("What does the display read?"))
        #expect(ending.output.contains("of 30000, in time."))
    }

    @Test func aScriptGetsOneDocumentALine() async throws {
        let folder = try TemporaryFolder()
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["demo", "--json", "--threads", "1"],
            environment: ["FASTVLM_DEMO_MODEL": Demo.folder, "TMPDIR": folder.path]
        ).ending()
        try #require(ending.status == 0, "\(ending.errors)")
        let names = try ending.outputLines.map { line in
            let document = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            return try #require((document["source"] as? [String: Any])?["file"] as? String)
        }
        #expect(names == Demo.names)
        // By default the results stay in a folder for temporary files, whose name is told.
        let sidecars = folder.names().filter { $0.hasSuffix(".fastvlm.json") }
        #expect(sidecars.count == Demo.names.count)
        #expect(ending.errors.contains(folder.path + "/fastvlm-demo."))
    }

    @Test func whereNoModelIsThatIsSaidOnce() async throws {
        let folder = try TemporaryFolder()
        let none = try await ProgramProcess(
            Program.fastvlm.path, ["demo"], environment: ["FASTVLM_DEMO_MODEL": folder["none"], "TMPDIR": folder.path]
        ).ending()
        none.expectOneError(3, "bundled model", folder["none"])
        #expect(folder.files().isEmpty, "nothing is left behind")
        // A program that lies somewhere else altogether.
        try FileManager.default.copyItem(atPath: Program.fastvlm.path, toPath: folder["fastvlm"])
        let lost = try await ProgramProcess(folder["fastvlm"], ["demo"], environment: ["TMPDIR": folder.path]).ending()
        lost.expectOneError(3, "bundled model", "share/fastvlmd/demo-model", "--model")
        // Beside an installed program it is found.
        try folder.makeFolder("usr/bin")
        try folder.makeFolder("usr/share/fastvlmd/demo-model/pictures")
        try FileManager.default.copyItem(atPath: Program.fastvlm.path, toPath: folder["usr/bin/fastvlm"])
        for place in ["", "pictures/"] {
            let names = try FileManager.default.contentsOfDirectory(atPath: "\(Demo.folder)/\(place)")
            for name in names where name.hasSuffix(".fastvlm") || !place.isEmpty {
                try FileManager.default.copyItem(
                    atPath: "\(Demo.folder)/\(place)\(name)",
                    toPath: folder["usr/share/fastvlmd/demo-model/\(place)\(name)"])
            }
        }
        let installed = try await ProgramProcess(
            folder["usr/bin/fastvlm"], ["demo", "--keep", folder["kept"]]
        ).ending()
        #expect(installed.status == 0, "\(installed.errors)")
    }

    @Test func aFolderThatHoldsSomethingIsLeftAlone() async throws {
        let folder = try TemporaryFolder()
        try folder.write("mine", to: "note.txt")
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["demo", "--keep", folder.path], environment: ["FASTVLM_DEMO_MODEL": Demo.folder]
        ).ending()
        ending.expectOneError(2, "not empty", folder.path)
        #expect(folder.names() == ["note.txt"])
    }

    @Test func anotherModelShowsTheSamePictures() async throws {
        let folder = try TemporaryFolder()
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["demo", "--model", House.model, "--keep", folder["demo"]],
            environment: ["FASTVLM_DEMO_MODEL": Demo.folder]
        ).ending()
        try #require(ending.status == 0, "\(ending.errors)")
        #expect(ending.output.contains("random-tiny"))
        #expect(folder.names().filter { $0.hasSuffix(".fastvlm.json") }.count == Demo.names.count)
    }
}
