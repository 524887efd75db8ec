import CaptionService
import Foundation
import Sidecars
import Testing

@Suite struct ServiceMetricsTests {
    let folder: ScratchFolder

    init() throws { folder = try ScratchFolder() }

    private var watch: String { "[[watch]]\npath = \"\(folder.path)\"\nname = \"ga\\\"te\"\n" }

    /// The value of a sample, by its whole name with labels.
    private func value(_ name: String, _ text: String) -> Double? {
        text.split(separator: "\n").first { $0.hasPrefix(name + " ") }.flatMap { Double($0.dropFirst(name.count + 1)) }
    }

    @Test(.timeLimit(.minutes(1))) func resultsAreCountedByWhatTheySay() async throws {
        let engine = StubEngine { tasks, bytes throws(EngineError) in
            let text = StubEngine.text(bytes)
            guard text != "bad" else { throw EngineError(.picture, "No.", pictureCode: "jpeg_truncated") }
            return StubEngine.report(tasks, caption: text)
        }
        for index in 0..<3 { try folder.drop("\(index)", "\(index).jpg") }
        try folder.drop("bad", "bad.jpg")
        try await withDaemon(watch, engine: engine) { daemon in
            _ = await daemon.next(4)
            await daemon.settled()
            let text = daemon.daemon.metricsText()
            #expect(value(#"fastvlm_frames_total{source="watch:ga\"te",outcome="ok"}"#, text) == 3)
            #expect(value(#"fastvlm_frames_total{source="watch:ga\"te",outcome="refused"}"#, text) == 1)
            #expect(value(#"fastvlm_frames_received_total{source="watch:ga\"te"}"#, text) == 4)
            #expect(value(#"fastvlm_refusals_total{code="jpeg_truncated"}"#, text) == 1)
            #expect(value("fastvlm_generated_tokens_total", text) == 9)
            #expect(value(#"fastvlm_resolution_frames_total{pixels="256"}"#, text) == 3)
            // 12.3 ms each, as the stub says.
            #expect(value(#"fastvlm_phase_seconds_count{phase="vision"}"#, text) == 3)
            #expect(value(#"fastvlm_phase_seconds_bucket{phase="vision",le="0.01"}"#, text) == 0)
            #expect(value(#"fastvlm_phase_seconds_bucket{phase="vision",le="0.025"}"#, text) == 3)
            // Each range counts those below it too.
            #expect(value(#"fastvlm_phase_seconds_bucket{phase="vision",le="120"}"#, text) == 3)
            #expect(value(#"fastvlm_phase_seconds_bucket{phase="vision",le="+Inf"}"#, text) == 3)
            let sum = try #require(value(#"fastvlm_phase_seconds_sum{phase="vision"}"#, text))
            #expect(abs(sum - 0.0369) < 1e-9)
            #expect((value("fastvlm_resident_memory_bytes", text) ?? 0) > 1e6)
            #expect((value("fastvlm_allocated_memory_bytes", text) ?? 0) > 1e5)
            try await check(text)
        }
    }

    /// Holds every scrape against received = ended + pending while pictures come and go.
    @Test(.timeLimit(.minutes(2))) func everyFrameIsAccountedForAtEveryScrape() async throws {
        let engine = StubEngine { tasks, bytes throws(EngineError) in
            await Task.yield()
            guard StubEngine.text(bytes).hasSuffix("7") == false else {
                throw EngineError(.picture, "No.", pictureCode: "not_an_image")
            }
            return StubEngine.report(tasks, caption: "x")
        }
        try await withDaemon(watch, engine: engine) { daemon in
            let files = folder
            let writing = Task {
                for index in 0..<600 {
                    try files.drop("\(index)", "\(index % 200).jpg")
                    if index % 50 == 3 {
                        try? FileManager.default.removeItem(atPath: "\(files.path)/\(index % 200).jpg")
                    }
                }
            }
            var scrapes = 0
            var sawPending = false
            while true {
                let isLast = writing.isCancelled || daemon.daemon.status.count("ok") >= 150
                let text = daemon.daemon.metricsText()
                var (received, ended, pending) = (0.0, 0.0, 0.0)
                for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                    let number = line.split(separator: " ").last.flatMap { Double($0) } ?? .nan
                    if line.hasPrefix("fastvlm_frames_received_total{") { received += number }
                    if line.hasPrefix("fastvlm_frames_total{") { ended += number }
                    if line.hasPrefix("fastvlm_frames_pending{") { pending += number }
                }
                #expect(received == ended + pending)
                scrapes += 1
                sawPending = sawPending || pending > 0
                if isLast, scrapes > 200 { break }
                await Task.yield()
            }
            #expect(sawPending)
            try await writing.value
        }
    }

    /// `promtool check metrics`, where there is one.
    private func check(_ text: String) async throws {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool") else { return }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/promtool")
        process.arguments = ["check", "metrics"]
        let place = URL(filePath: folder.path)
        let (input, output) = (place.appending(path: "metrics.txt"), place.appending(path: "said.txt"))
        try Data(text.utf8).write(to: input)
        try Data().write(to: output)
        let writing = try FileHandle(forWritingTo: output)
        process.standardInput = try FileHandle(forReadingFrom: input)
        process.standardOutput = writing
        process.standardError = writing
        let (end, ended) = AsyncStream.makeStream(of: Int32.self)
        process.terminationHandler = { ended.yield($0.terminationStatus) }
        try process.run()
        let status = await end.first { _ in true }
        let said = try Data(contentsOf: output)
        #expect(status == 0, "\(String(decoding: said, as: UTF8.self))\n\(text)")
        #expect(said.isEmpty, "\(String(decoding: said, as: UTF8.self))")
    }
}
