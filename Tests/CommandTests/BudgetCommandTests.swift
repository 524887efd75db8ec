import Foundation
import Testing

/// `fastvlm bench budget` as a person or a script runs it, with the bundled model and its pictures.
@Suite struct BudgetCommandTests {
    private typealias Object = [String: Any]

    private func objects(_ text: String) throws -> [Object] {
        try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? Object, "\($0)")
        }
    }

    private func budget(_ folder: TemporaryFolder, _ more: String...) async throws -> Ending {
        try await ProgramProcess(
            Program.fastvlm.path,
            ["bench", "budget", "--model", Demo.model, "--pictures", Demo.pictures, "--state", folder.path] + more
        ).ending()
    }

    @Test func everyFrameIsLoggedAndALaterPartCarriesOn() async throws {
        let folder = try TemporaryFolder()
        let log = folder["frames.jsonl"]
        let first = try await budget(folder, "--budgets", "60000,50000", "--frames", "6", "--json", "--log", log)
        try #require(first.status == 0, "\(first.errors)")
        let rows = try objects(first.output)
        let kept = rows.filter { $0["work"] as? String == "budget_kept" }
        #expect(kept.compactMap { $0["budget_ms"] as? Double } == [50000, 60000])
        for row in kept {
            #expect(row["phase"] as? String == "quiet")
            #expect(row["frames"] as? Int == 6 && row["started"] as? Int == 6)
            #expect(row["missed"] as? Int == 0 && row["miss_share"] as? Double == 0)
        }
        let errors = rows.filter { $0["work"] as? String == "prediction_error" }
        #expect(
            errors.compactMap { $0["phase"] as? String }
                == ["decode", "preprocess", "vision", "prefill", "generate", "total"])
        #expect(errors.allSatisfy { $0["frames"] as? Int == 12 })
        // The profile was kept: the second part need not measure the device.
        #expect(folder.names().contains { $0.hasPrefix("profile-") })
        let second = try await budget(folder, "--budgets", "60000", "--frames", "3", "--json", "--log", log)
        try #require(second.status == 0, "\(second.errors)")
        let all = try objects(second.output).filter { $0["work"] as? String == "budget_kept" }
        #expect(all.compactMap { $0["frames"] as? Int } == [6, 9])
        let frames = try objects(String(decoding: folder.read("frames.jsonl") ?? [], as: UTF8.self))
        #expect(frames.compactMap { $0["part"] as? Int } == [Int](repeating: 0, count: 12) + [1, 1, 1])
        for frame in frames {
            let measured = try #require(frame["measured"] as? Object)
            let predicted = try #require(frame["predicted"] as? Object)
            for phase in ["decode_ms", "preprocess_ms", "vision_ms", "prefill_ms"] {
                #expect(try #require(measured[phase] as? Double) > 0)
                #expect(try #require(predicted[phase] as? Double) > 0)
            }
        }
    }

    @Test func whatNoTimeIsLeftForIsMissedOrNotStarted() async throws {
        let folder = try TemporaryFolder()
        let ending = try await budget(folder, "--budgets", "1", "--frames", "20", "--json")
        try #require(ending.status == 0, "\(ending.errors)")
        let row = try #require(try objects(ending.output).first { $0["work"] as? String == "budget_kept" })
        let started = try #require(row["started"] as? Int)
        #expect(row["frames"] as? Int == 20)
        #expect(started < 20)
        #expect(row["missed"] as? Int == started)
    }

    @Test func besideOtherProgramsItSaysHowTheResolutionFollowed() async throws {
        let folder = try TemporaryFolder()
        let ending = try await budget(folder, "--budgets", "60000", "--frames", "9", "--hogs", "1", "--json")
        try #require(ending.status == 0, "\(ending.errors)")
        let rows = try objects(ending.output)
        let kept = rows.filter { $0["work"] as? String == "budget_kept" }
        #expect(kept.compactMap { $0["phase"] as? String } == ["before", "hog", "after", "hog run"])
        #expect(kept.compactMap { $0["frames"] as? Int } == [3, 3, 3, 9])
        let followed = try #require(rows.first { $0["work"] as? String == "budget_followed" })
        // There is time enough for the best resolution all along.
        #expect(followed["before"] as? Int == followed["after"] as? Int)
        #expect(followed["frames_down"] == nil)
    }

    @Test func followingIsReadFromTheLog() async throws {
        let folder = try TemporaryFolder()
        func frames(part: Int, _ sides: [(phase: String, [Int])]) -> String {
            sides.flatMap { phase, sides in sides.map { (phase, $0) } }.enumerated().map { index, frame in
                // The first frame beside the hog is slower than predicted, in one part the second too; in another it is
                // given up.
                let isSlow = frame.0 == "hog" && part < 2 && (frame.1 != 320 || index < 11 + part)
                let isGivenUp = frame.0 == "hog" && part == 2 && index == 10
                func times(_ name: String, _ vision: Double) -> String {
                    #""\#(name)":{"decode_ms":1,"preprocess_ms":1,"vision_ms":\#(vision),"prefill_ms":1,"generate_ms":1},"#
                }
                let times = isGivenUp ? "" : times("measured", isSlow ? 7.2 : 6.8) + times("predicted", 6)
                let isMet = !isGivenUp && (part != 1 || frame.0 != "hog" || frame.1 < 320)
                return """
                    {"budget_ms":60000,"part":\(part),"frame":\(index),"phase":"\(frame.0)","ms":1,"resolution":\(frame.1),\
                    \(times)"reason":"\(isGivenUp ? "given_up" : "budget")","met":\(isMet),"tokens":\(isGivenUp ? 0 : 8)}\n
                    """
            }.joined()
        }
        let hog = [320, 320] + [Int](repeating: 256, count: 8)
        try folder.write(
            // Up to what it was before, and later above it, where it stays.
            frames(
                part: 0,
                [
                    ("before", [Int](repeating: 320, count: 10)), ("hog", hog),
                    ("after", [256, 256, 256] + [320, 320] + [Int](repeating: 384, count: 20)),
                ])
                // Never as high again as it was.
                + frames(
                    part: 1,
                    [
                        ("before", [Int](repeating: 384, count: 10)), ("hog", hog),
                        ("after", [256] + [Int](repeating: 320, count: 20)),
                    ])
                // Time just enough for either of two, before, beside and after.
                + frames(
                    part: 2,
                    [
                        ("before", [384, 384, 320, 384, 384, 320, 384, 384, 320, 384]),
                        ("hog", [384, 320, 256, 320, 320] + [192, 256, 192, 256, 192, 256, 192, 192, 256, 128]),
                        ("after", [192, 256, 256, 320, 256] + [320, 384, 384, 320, 384, 384]),
                    ]), to: "frames.jsonl")
        let ending = try await budget(
            folder, "--budgets", "60000", "--frames", "3", "--json", "--log", folder["frames.jsonl"])
        try #require(ending.status == 0, "\(ending.errors)")
        let followed = try objects(ending.output).filter { $0["work"] as? String == "budget_followed" }
        #expect(followed.compactMap { $0["frames_down"] as? Int } == [2, 2, 2])
        #expect(followed.compactMap { $0["missed_down"] as? Int } == [0, 2, 1])
        #expect(followed.compactMap { $0["slowed_down"] as? Int } == [1, 2, 1])
        #expect(followed.compactMap { $0["frames_up"] as? Int } == [3, 1, 3])
        #expect(followed.compactMap { $0["after"] as? Int } == [384, 320, 384])
        #expect(followed.compactMap { $0["beside"] as? Int } == [256, 256, 192])
    }

    @Test func whatCannotBeMeasuredIsSaid() async throws {
        let folder = try TemporaryFolder()
        try await budget(folder, "--frames", "2").expectWrongUsage("--frames is 2")
        try await budget(folder, "--hogs", "65").expectWrongUsage("--hogs is 65")
        try await budget(folder, "--budgets", "0").expectWrongUsage("--budgets holds 0")
        try await budget(folder, "--pictures", folder["none"]).expectOneError(3, folder["none"], "no JPEG or PNG")
        try folder.write("{}\n", to: "other.jsonl")
        try await budget(folder, "--budgets", "60000", "--frames", "3", "--log", folder["other.jsonl"])
            .expectOneError(3, "other.jsonl", "Remove it")
    }
}
