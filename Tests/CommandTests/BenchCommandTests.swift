import Foundation
import Testing

/// `fastvlm bench` as a person or a script runs it.
@Suite struct BenchCommandTests {
    private static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
    private static let model = "\(root)/etc/tiny-model/random-tiny.fastvlm"

    private struct Outcome {
        let status: Int32
        let output: String
        let errors: String

        /// Each line of the output as a JSON object.
        func objects() throws -> [[String: Any]] {
            try output.split(separator: "\n").map {
                try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
            }
        }
    }

    private static let scratch: URL = {
        let folder = FileManager.default.temporaryDirectory.appending(path: "fastvlm-bench-\(UUID().uuidString)")
        try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }()

    private func file(_ text: String = "") throws -> String {
        let file = Self.scratch.appending(path: UUID().uuidString)
        try Data(text.utf8).write(to: file)
        return file.path
    }

    private func bench(_ arguments: String..., environment: [String: String] = [:]) throws -> Outcome {
        let process = Process()
        // Beside the tests; `FASTVLM_PROGRAMS` names another folder.
        let folder =
            ProcessInfo.processInfo.environment["FASTVLM_PROGRAMS"].map { URL(filePath: $0) }
            ?? URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        process.executableURL = folder.appending(path: "fastvlm")
        process.arguments = ["bench"] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        // Files, which no output can fill.
        let (output, errors) = (try file(), try file())
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return Outcome(
            status: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }

    // MARK: - Rows

    @Test func everyKindOfWorkHasARowWithTheKeysThatOtherRuntimesHave() throws {
        let outcome = try bench(
            "--model", Self.model, "--resolutions", "64,128", "--runs", "2", "--threads", "1,2", "--tokens", "3",
            "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let rows = try outcome.objects()
        for threads in [1, 2] {
            func ours(_ work: String) -> [[String: Any]] {
                rows.filter { $0["work"] as? String == work && $0["threads"] as? Int == threads }
            }
            for work in ["vision", "frame"] {
                #expect(ours(work).compactMap { $0["resolution"] as? Int } == [64, 128], "\(work)")
            }
            #expect(ours("prefill").compactMap { $0["tokens"] as? Int } == [31, 34])
            #expect(ours("generate").compactMap { $0["tokens"] as? Int } == [8, 16, 32, 64, 128])
            let decode = try #require(ours("decode").first)
            for key in ["tokens_per_s", "weights_mb", "bandwidth_gb_s", "bandwidth_share"] {
                let value = try #require(decode[key] as? Double, "\(key)")
                #expect(value > 0, "\(key)")
            }
            let frame = try #require(ours("frame").last)
            let first = try #require(frame["ttft_ms"] as? Double)
            let whole = try #require(frame["median_ms"] as? Double)
            #expect(first > 0 && first <= whole)
            let said = try #require(frame["tokens"] as? Int)
            #expect((1...3).contains(said))
            #expect(ours("kernel").contains { ($0["kernel"] as? String)?.hasPrefix("decode head") == true })
        }
        for row in rows {
            #expect(row["runtime"] as? String == "fastvlmd")
            #expect((row["model"] as? String)?.hasPrefix("sha256:") == true)
            let peak = try #require(row["peak_rss_mb"] as? Int)
            #expect(peak > 0)
            #expect(
                row["version"] as? String != nil && row["isa"] as? String != nil && row["precision"] as? String != nil)
            if let median = row["median_ms"] as? Double, let late = row["p95_ms"] as? Double { #expect(late >= median) }
        }
        // Nothing but rows, and no progress bar where nobody watches.
        #expect(outcome.errors.isEmpty)
    }

    @Test func aPictureThatIsNoneIsRefused() throws {
        let outcome = try bench(
            "--model", Self.model, "--only", "frame", "--image", try file("no picture"), "--resolutions", "64")
        #expect(outcome.status == 1)
        #expect(outcome.errors.hasPrefix("fastvlm: Cannot decode the picture"), "\(outcome.errors)")
    }

    @Test(arguments: [
        ("--only", "vision,speed", "--only holds 'speed'."), ("--threads", "two", "--threads holds 'two'."),
        ("--threads", "", "--threads is empty."), ("--runs", "0", "--runs is 0, expected 1 to 1000."),
    ])
    func badOptionsAreWrongUsage(_ option: String, _ value: String, _ message: String) throws {
        let outcome = try bench("--model", Self.model, option, value)
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains(message), "\(outcome.errors)")
    }

    // MARK: - Instruction sets

    @Test func aForcedInstructionSetIsTheOneThatRuns() throws {
        let outcome = try bench(
            "--model", Self.model, "--only", "vision,prefill", "--resolutions", "64", "--runs", "1", "--json",
            environment: ["FASTVLM_ISA": "scalar"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        let rows = try outcome.objects()
        #expect(rows.count == 2)
        #expect(rows.allSatisfy { $0["isa"] as? String == "scalar" })
    }

    @Test(arguments: ["avx-512", "Scalar", " "])
    func aMisspeltInstructionSetIsAClearError(_ name: String) throws {
        let outcome = try bench(
            "--model", Self.model, "--only", "vision", "--resolutions", "64", environment: ["FASTVLM_ISA": name])
        #expect(outcome.status == 3)
        #expect(outcome.output.isEmpty)
        #expect(
            outcome.errors.hasPrefix(
                "fastvlm: Cannot compute with FASTVLM_ISA='\(name)': there is no such instruction set."),
            "\(outcome.errors)")
    }

    // MARK: - Comparing and drawing

    private static let ours = """
        {"runtime":"fastvlmd","precision":"int8","work":"vision","resolution":512,"median_ms":90,"threads":2}
        {"runtime":"fastvlmd","precision":"int8","work":"vision","resolution":512,"median_ms":80,"threads":2}
        {"runtime":"fastvlmd","precision":"int8","work":"vision","resolution":512,"median_ms":100,"threads":2}
        {"runtime":"fastvlmd","precision":"int8","work":"decode","median_ms":12.5,"tokens_per_s":80,"threads":2}
        {"runtime":"fastvlmd","precision":"int8","work":"generate","tokens":8,"median_ms":100,"threads":2}
        {"runtime":"fastvlmd","precision":"int8","work":"prefill","tokens":46,"median_ms":30,"threads":2}

        """

    private static let peers = """
        {"runtime": "slow", "precision": "f32", "work": "vision", "resolution": 512, "median_ms": 360.0, "peak_rss_mb": 9}
        {"runtime": "quick", "precision": "int8", "work": "vision", "resolution": 512, "median_ms": 45.0, "peak_rss_mb": 9}
        {"runtime": "quick", "precision": "int8", "work": "vision", "resolution": 256, "median_ms": 1.0, "peak_rss_mb": 9}
        {"runtime": "slow", "precision": "f32", "work": "decode", "tokens_per_s": 40.0, "peak_rss_mb": 9}
        {"runtime": "slow", "precision": "f32", "work": "generate", "tokens": 8, "median_ms": 1, "peak_rss_mb": 9}

        """

    @Test func ratiosSayHowManyTimesFasterWeAre() throws {
        let outcome = try bench("--rows", try file(Self.ours), "--against", try file(Self.peers), "--json")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let pairs = try outcome.objects()
        let told = pairs.map { "\($0["work"] ?? "") \($0["peer"] ?? "") \($0["ratio"] ?? "") \($0["best_peer"] ?? "")" }
        #expect(
            told.map { $0.replacing("true", with: "1").replacing("false", with: "0") } == [
                "vision slow 4 0", "vision quick 0.5 1", "decode slow 2 1",
            ])
        #expect(pairs.allSatisfy { $0["threads"] as? Int == 2 })
    }

    @Test func theTableMarksTheFastestPeer() throws {
        let outcome = try bench("--rows", try file(Self.ours), "--against", try file(Self.peers))
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[1].contains("512 px") && lines[1].contains("90.0 ms") && lines[1].hasSuffix("4.0 x"))
        #expect(lines[2].contains("quick int8") && lines[2].hasSuffix("0.5 x  * fastest peer"))
        #expect(lines[3].contains("80.0 tokens/s") && lines[3].hasSuffix("2.0 x  * fastest peer"))
    }

    @Test func peersOfOtherWorkAreNoComparison() throws {
        let outcome = try bench(
            "--rows", try file(Self.ours), "--against",
            try file(#"{"runtime": "x", "precision": "f32", "work": "vision", "resolution": 64, "median_ms": 1}"#))
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("no row there has the work and size of one of ours"), "\(outcome.errors)")
    }

    @Test(arguments: [
        "{", "[1]", #"{"runtime": "x"}"#, #"{"runtime":"x","precision":"y","work":"vision","median_ms":"fast"}"#,
    ])
    func aLineThatIsNoRowIsNamed(_ line: String) throws {
        let outcome = try bench("--rows", try file(Self.ours + line), "--against", try file(Self.peers))
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("Cannot read line 7 of"), "\(outcome.errors)")
    }

    @Test func costIsDrawnWithTheModelsArithmetic() throws {
        let svg = Self.scratch.appending(path: UUID().uuidString).path
        let outcome = try bench("--rows", try file(Self.ours), "--plot", svg, "--model", Self.model)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let text = try String(contentsOfFile: svg, encoding: .utf8)
        for title in ["Encoder and projector", "Prompt", "Generation"] {
            #expect(text.contains(">\(title)<"), "\(title)")
        }
        // One dot a size, however often it was measured, and one for the legend of each chart.
        #expect(text.split(separator: "<circle").count - 1 == 3 + 3)
        #expect(text.contains("GOP/s<") && text.contains(">int8 on 2, "))
    }

    @Test func aPlotOfNothingIsRefused() throws {
        let outcome = try bench(
            "--rows", try file(#"{"runtime":"fastvlmd","precision":"int8","work":"decode","tokens_per_s":80}"#),
            "--plot",
            Self.scratch.appending(path: "never.svg").path, "--model", Self.model)
        #expect(outcome.status == 2)
        #expect(!FileManager.default.fileExists(atPath: Self.scratch.appending(path: "never.svg").path))
    }
}
