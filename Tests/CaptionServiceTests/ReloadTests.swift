import CaptionService
import FoundationEssentials
import Sidecars
import Synchronization
import Testing

@Suite struct ReloadTests {
    let gate: ScratchFolder
    let yard: ScratchFolder

    init() throws {
        gate = try ScratchFolder()
        yard = try ScratchFolder()
    }

    private func watch(_ folder: ScratchFolder, _ name: String, _ more: String = "") -> String {
        "[[watch]]\npath = \"\(folder.path)\"\nname = \"\(name)\"\n\(more)\n"
    }

    @Test(.timeLimit(.minutes(1))) func foldersComeAndGo() async throws {
        try gate.drop("g1", "g1.jpg")
        try yard.drop("y1", "y1.jpg")
        try await withDaemon(watch(gate, "gate")) { daemon in
            #expect(await daemon.next(1).map(\.document.caption) == ["g1"])
            try daemon.write(watch(gate, "gate") + watch(yard, "yard"))
            await daemon.daemon.hangUp()
            #expect(await daemon.next(1).map(\.document.caption) == ["y1"])
            try daemon.write(watch(yard, "yard"))
            await daemon.daemon.hangUp()
            try gate.drop("g2", "g2.jpg")
            try yard.drop("y2", "y2.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["y2"])
            #expect(!gate.hasSidecar("g2.jpg"))
            await daemon.settled()
            let status = daemon.daemon.status
            #expect(status.folders.map(\.name) == ["gate", "yard"])
            #expect(status.folders.map(\.path) == ["", yard.path])
            #expect(status.count("ok") == 3)
            // It is watched again, and what came meanwhile is found.
            try daemon.write(watch(gate, "gate") + watch(yard, "yard"))
            await daemon.daemon.hangUp()
            #expect(await daemon.next(1).map(\.document.caption) == ["g2"])
        }
    }

    @Test(.timeLimit(.minutes(1))) func thePictureInWorkIsFinishedAsItWasBegun() async throws {
        let (started, begin) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let engine = StubEngine { tasks, bytes in
            begin.yield()
            if StubEngine.text(bytes) == "g1" { for await _ in released { break } }
            return StubEngine.report(tasks, caption: tasks.prompt)
        }
        try gate.drop("g1", "g1.jpg")
        try await withDaemon(watch(gate, "gate", "prompt = \"first\""), engine: engine) { daemon in
            for await _ in started { break }
            try daemon.write(watch(gate, "gate", "prompt = \"second\""))
            await daemon.daemon.hangUp()
            try gate.drop("g2", "g2.jpg")
            release.finish()
            #expect(await daemon.next(2).map(\.document.caption) == ["first", "second"])
        }
        // Also where its folder is not watched any more.
        try gate.drop("g1", "g3.jpg")
        let (again, letGo) = AsyncStream.makeStream(of: Void.self)
        let (taken, take) = AsyncStream.makeStream(of: Void.self)
        let slow = StubEngine { tasks, bytes in
            take.yield()
            for await _ in again { break }
            return StubEngine.report(tasks, caption: "kept")
        }
        try await withDaemon(watch(gate, "gate"), engine: slow) { daemon in
            for await _ in taken { break }
            try daemon.write(watch(yard, "yard"))
            await daemon.daemon.hangUp()
            letGo.finish()
            #expect(await daemon.next(1).map(\.document.caption) == ["kept"])
        }
    }

    @Test(.timeLimit(.minutes(1))) func aBadFileKeepsTheOldOneAndIsSaid() async throws {
        try await withDaemon(watch(gate, "gate")) { daemon in
            for bad in ["nonsense", "[[watch]]\npath = \"relative\"", watch(gate, "gate", "colour = 1"), ""] {
                try daemon.write(bad)
                await daemon.daemon.hangUp()
                #expect(daemon.daemon.status.configuration.problem != nil, "\(bad)")
                #expect(daemon.daemon.status.summary.contains("configuration not used"))
            }
            try FileManager.default.removeItem(atPath: daemon.file)
            await daemon.daemon.hangUp()
            #expect(daemon.daemon.status.configuration.problem?.contains("missing") == true)
            try gate.drop("a", "a.jpg")
            #expect(await daemon.next(1).map(\.document.caption) == ["a"])
            try daemon.write(watch(gate, "gate"))
            await daemon.daemon.hangUp()
            #expect(daemon.daemon.status.configuration.problem == nil)
            #expect(daemon.daemon.metricsText().contains("fastvlm_reloads_total{result=\"refused\"} 5\n"))
            #expect(daemon.daemon.metricsText().contains("fastvlm_reloads_total{result=\"ok\"} 1\n"))
        }
    }

    @Test(.timeLimit(.minutes(1))) func whatWaitsForTheNextStartIsSaid() async throws {
        try await withDaemon(watch(gate, "gate")) { daemon in
            try daemon.write(watch(gate, "gate", "budget_ms = 500"))
            await daemon.daemon.hangUp()
            #expect(daemon.daemon.status.degraded == ["restart_needed"])
            try daemon.write(watch(gate, "gate"))
            await daemon.daemon.hangUp()
            #expect(daemon.daemon.status.degraded == [])
        }
    }

    /// Good and bad files by turns, folders that come and go, while pictures arrive: none is lost and none is done twice.
    @Test(.timeLimit(.minutes(5))) func aThousandReloadsLoseNothing() async throws {
        let runs = Mutex<[String: Int]>([:])
        let engine = StubEngine { tasks, bytes in
            runs.withLock { $0[StubEngine.text(bytes), default: 0] += 1 }
            return StubEngine.report(tasks, caption: StubEngine.text(bytes))
        }
        let both = watch(gate, "gate") + watch(yard, "yard")
        try await withDaemon(both, engine: engine) { daemon in
            for round in 0..<1000 {
                switch round % 5 {
                case 0: try daemon.write(watch(gate, "gate"))
                case 1: try daemon.write("[[watch]]\npath = 3")
                case 2: try daemon.write(both)
                case 3: try daemon.write("= broken")
                default:
                    try daemon.write(
                        watch(gate, "gate", "prompt = \"\(round)\"") + watch(yard, "yard", "recursive = false"))
                }
                if round % 10 == 0 {
                    try gate.drop("gate \(round)", "\(round).jpg")
                    try yard.drop("yard \(round)", "\(round).jpg")
                }
                await daemon.daemon.hangUp()
            }
            try daemon.write(both)
            await daemon.daemon.hangUp()
            let results = await daemon.next(200)
            #expect(Set(results.map { "\($0.folder)/\($0.path)" }).count == 200)
            await daemon.settled()
            for source in daemon.daemon.frames { #expect(source.isConserved, "\(source)") }
            #expect(daemon.daemon.status.configuration.problem == nil)
        }
        for round in stride(from: 0, to: 1000, by: 10) {
            #expect(try gate.document("\(round).jpg").caption == "gate \(round)")
            #expect(try yard.document("\(round).jpg").caption == "yard \(round)")
        }
        #expect(runs.withLock { $0.values.allSatisfy { $0 == 1 } })
    }
}
