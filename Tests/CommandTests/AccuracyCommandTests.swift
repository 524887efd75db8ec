import Foundation
import Testing

/// `fastvlm bench accuracy` as a person or a script runs it, with the bundled model and its pictures.
@Suite struct AccuracyCommandTests {
    /// One object of the labels: a picture with its questions.
    private typealias Object = [String: Any]

    private func objects(_ text: String) throws -> [Object] {
        try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? Object, "\($0)")
        }
    }

    private func objects(at path: String) throws -> [Object] {
        try objects(try String(contentsOfFile: path, encoding: .utf8))
    }

    private func line(_ object: Object) throws -> String {
        String(decoding: try JSONSerialization.data(withJSONObject: object, options: .sortedKeys), as: UTF8.self)
    }

    /// A dataset of the bundled pictures in which every answer is the one that `change` makes of the model's own at 128
    /// pixels; `change` also gets the question's number.
    private func dataset(in folder: TemporaryFolder, _ change: (Int, String) -> String) async throws -> String {
        let answers = folder["answers.jsonl"]
        let ending = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions", "128",
            "--answers", answers)
        try #require(ending.status == 0, "\(ending.errors)")
        var said: [String: String] = [:]
        for row in try objects(at: answers) {
            let key = "\(try #require(row["file"] as? String)) \(try #require(row["question"] as? String))"
            said[key] = row["answer"] as? String
        }
        try folder.makeFolder("set")
        var lines: [String] = []
        var number = 0
        for var picture in try objects(at: Demo.pictures + "/labels.jsonl") {
            let file = try #require(picture["file"] as? String)
            try FileManager.default.copyItem(atPath: "\(Demo.pictures)/\(file)", toPath: folder["set/\(file)"])
            picture["questions"] = try (picture["questions"] as? [Object] ?? []).map { question in
                var question = question
                let asked = try #require(question["question"] as? String)
                question["answer"] = change(number, try #require(said["\(file) \(asked)"]))
                number += 1
                return question
            }
            lines.append(try line(picture))
        }
        try folder.write(lines.joined(separator: "\n"), to: "set/labels.jsonl")
        return folder["set"]
    }

    // MARK: - Answers

    /// At these sizes a JPEG is decoded in full, as the training framework's side does.
    @Test(arguments: [256, 320, 384])
    func answersAreTheTrainingFrameworks(pixels: Int) async throws {
        let folder = try TemporaryFolder()
        let ending = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions",
            "\(pixels)", "--answers", folder["answers.jsonl"])
        try #require(ending.status == 0, "\(ending.errors)")
        let expected = try objects(at: Demo.pictures + "/reference-answers.jsonl")
            .filter { $0["resolution"] as? Int == pixels }
        let ours = try objects(at: folder["answers.jsonl"])
        try #require(expected.count > 40 && ours.count == expected.count)
        for (mine, theirs) in zip(ours, expected) {
            try #require(mine["file"] as? String == theirs["file"] as? String)
            try #require(mine["question"] as? String == theirs["question"] as? String)
            #expect(mine["answer"] as? String == theirs["answer"] as? String, "\(mine)")
            #expect(mine["right"] as? Bool == theirs["right"] as? Bool, "\(mine)")
        }
    }

    // MARK: - Counting

    @Test func everyAnswerThatIsExpectedCountsAndNoOther() async throws {
        let folder = try TemporaryFolder()
        let wrong: Set<Int> = [0, 3, 7]
        let dataset = try await dataset(in: folder) { wrong.contains($0) ? $1 + " " : $1 }
        let ending = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", dataset, "--model", Demo.model, "--resolutions", "128,192",
            "--json")
        try #require(ending.status == 0, "\(ending.errors)")
        let rows = try objects(ending.output)
        let all = try #require(rows.first { $0["type"] as? String == "all" && $0["resolution"] as? Int == 128 })
        let count = try #require(all["count"] as? Int)
        #expect(all["right"] as? Int == count - wrong.count)
        #expect(rows.contains { $0["resolution"] as? Int == 192 })
        for row in rows {
            let (low, share, high) = (row["low"] as? Double, row["accuracy"] as? Double, row["high"] as? Double)
            #expect(try #require(low) <= #require(share) && #require(share) <= #require(high), "\(row)")
            #expect(try #require(high) - #require(low) > 0.01, "few answers leave much open: \(row)")
            #expect(try #require(row["median_ms"] as? Double) > 0)
        }
        // A lamp's states are parts of its type, which counts once.
        func counted(_ type: String) -> Int {
            rows.first { $0["type"] as? String == type && $0["resolution"] as? Int == 128 }?["count"] as? Int ?? 0
        }
        #expect(counted("lamp") == counted("lamp on") + counted("lamp off") + counted("lamp absent"))
        let types = ["caption", "panel", "display", "lamp", "count", "gauge", "word"]
        #expect(types.map(counted).reduce(0, +) == count)
    }

    @Test func onlyWhatIsWantedIsAsked() async throws {
        let ending = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions", "128",
            "--limit", "2", "--types", "panel,display", "--json")
        try #require(ending.status == 0, "\(ending.errors)")
        let rows = try objects(ending.output)
        #expect(rows.compactMap { $0["type"] as? String } == ["panel", "display", "all"])
        #expect(rows.compactMap { $0["count"] as? Int } == [2, 2, 4])
    }

    @Test func whatWasMeasuredBecomesTheModelsLadder() async throws {
        let folder = try TemporaryFolder()
        let measured = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions",
            "192,128", "--ladder", folder["ladder.json"], "--plot", folder["accuracy.svg"])
        try #require(measured.status == 0, "\(measured.errors)")
        #expect(measured.output.contains("128 px") && measured.output.contains("display"))
        #expect(String(decoding: folder.read("accuracy.svg") ?? [], as: UTF8.self).hasPrefix("<svg"))
        let packed = try await run(
            .fastvlm, "model", "pack", Demo.model, "--ladder", folder["ladder.json"], "--out", folder["m.fastvlm"])
        try #require(packed.status == 0, "\(packed.errors)")
        let ladder = try #require(
            try JSONSerialization.jsonObject(with: Data(folder.read("ladder.json") ?? [])) as? [Object])
        #expect(ladder.compactMap { $0["pixels"] as? Int } == [128, 192])
        let inspected = try await run(.fastvlm, "model", "inspect", "--json", folder["m.fastvlm"])
        let stated = try #require(try objects(inspected.output).first?["accuracy"] as? [Object])
        for (written, kept) in zip(ladder, stated) {
            for key in ["pixels", "general", "text", "counting", "presence"] {
                let value = try #require(written[key] as? Double, "\(key)")
                #expect(value == kept[key] as? Double, "\(key)")
                #expect((0...384).contains(value))
            }
        }
        let text = try await run(.fastvlm, "model", "inspect", folder["m.fastvlm"])
        #expect(text.outputLines.contains { $0.hasPrefix("accuracy") && $0.contains("128 px: general ") })
        // And it is what is simulated.
        let simulated = try await run(
            .fastvlm, "simulate", "--model", folder["m.fastvlm"], "--scenario", "steady", "--frames", "200")
        #expect(simulated.status == 0, "\(simulated.errors)")
        #expect(simulated.output.contains("192") && !simulated.output.contains("1024"), "\(simulated.output)")
    }

    // MARK: - Budgets

    @Test func aBudgetThatIsWideIsKeptAndOneThatIsNoneIsNot() async throws {
        let ending = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions",
            "128,192", "--types", "panel", "--budgets", "60000,1", "--json")
        try #require(ending.status == 0, "\(ending.errors)")
        let rows = try objects(ending.output)
        #expect(rows.compactMap { $0["way"] as? String } == ["planner", "128", "192", "planner", "128", "192"])
        for row in rows {
            let isWide = row["budget_ms"] as? Double == 60000
            #expect(row["in_time"] as? Double == (isWide ? 1 : 0), "\(row)")
            #expect(row["count"] as? Int == 5)
            if isWide { #expect(row["accuracy"] as? Double == row["accuracy_at_any_time"] as? Double) }
            if !isWide { #expect(row["accuracy"] as? Double == 0) }
        }
    }

    @Test func aMeasurementWithBudgetsCanBeTakenInParts() async throws {
        let folder = try TemporaryFolder()
        func part(_ more: String...) async throws -> Ending {
            try await ProgramProcess(
                Program.fastvlm.path,
                [
                    "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions", "128",
                    "--types", "panel", "--budgets", "60000", "--json", "--log", folder["frames.jsonl"],
                ] + more
            ).ending()
        }
        let first = try await part("--limit", "2")
        #expect(try objects(first.output).compactMap { $0["count"] as? Int } == [2, 2])
        let second = try await part("--skip", "2")
        try #require(second.status == 0, "\(second.errors)")
        #expect(try objects(second.output).compactMap { $0["count"] as? Int } == [5, 5])
        #expect(try objects(at: folder["frames.jsonl"]).count == 10)
        // The five pictures at once come to the same answers.
        let whole = try await run(
            .fastvlm, "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions", "128",
            "--types", "panel", "--budgets", "60000", "--json")
        func right(_ ending: Ending) throws -> [Double] {
            try objects(ending.output).compactMap { $0["accuracy_at_any_time"] as? Double }
        }
        #expect(try right(whole) == right(second))
        // Other budgets are another measurement.
        try await part("--budgets", "50000").expectOneError(3, "planner 60000", "Give the same ones")
        try await part("--skip=-1").expectWrongUsage("--skip is -1")
    }

    /// `planner` and `fixed` are the questions that only they get right, of 400; the fixed resolution takes 10 ms.
    @Test(arguments: [(40, 8, 11.0), (8, 40, 11.0), (20, 22, 11.0), (8, 40, 9.0)])
    func thePlannerIsHeldAgainstWhatIsAsFast(planner: Int, fixed: Int, time: Double) async throws {
        let folder = try TemporaryFolder()
        var lines = ""
        for index in 0..<400 {
            for way in ["128", "planner 60000.0"] {
                // Every other question is right for both; of the others each way has its own.
                let isOwn = way == "128" ? index < 2 * fixed : index >= 400 - 2 * planner
                let milliseconds = way == "128" ? 10 : time
                lines += #"{"ms":\#(milliseconds),"reason":"budget","resolution":128,"#
                lines += #""right":\#(index % 2 == 0 || isOwn),"type":"panel","way":"\#(way)"}"# + "\n"
            }
        }
        func report(_ more: String...) async throws -> Ending {
            try folder.write(lines, to: "frames.jsonl")
            let ending = try await ProgramProcess(
                Program.fastvlm.path,
                [
                    "bench", "accuracy", "--dataset", Demo.pictures, "--model", Demo.model, "--resolutions", "128",
                    "--types", "panel", "--limit", "1", "--budgets", "60000", "--log", folder["frames.jsonl"],
                ] + more
            ).ending()
            try #require(ending.status == 0, "\(ending.errors)")
            return ending
        }
        let row = try #require(try objects(try await report("--json").output).first { $0["way"] as? String == "128" })
        let lead = try #require(row["lead"] as? Double)
        let (low, high) = (try #require(row["lead_low"] as? Double), try #require(row["lead_high"] as? Double))
        #expect(abs(lead - Double(planner - fixed) / 401) < 1e-4)
        // Of d questions that differ, by chance: 1.96 times the root of d, in 400.
        let half = 1.96 * (Double(planner + fixed) / 400 - lead * lead).squareRoot() / 20
        #expect(abs((high - low) / 2 - half) < 0.003)
        #expect(low < lead && lead < high)
        let text = try await report().output
        #expect(text.contains("planner's lead"))
        let isBeaten = fixed > planner + 20 && time > 10
        #expect(text.contains("but 128 px measurably oftener in as little time") == isBeaten, "\(text)")
        #expect(text.contains("no fixed resolution is measurably better") == (!isBeaten && time > 10), "\(text)")
        #expect(text.contains("and no fixed resolution is as fast") == (time < 10), "\(text)")

        // One frame is lost: what was right for one is compared with another picture from there on.
        lines = lines.split(separator: "\n").dropLast().joined(separator: "\n") + "\n"
        let broken = try await report().output
        #expect(broken.contains("begin a new log") == (time > 10), "\(broken)")
        #expect(!broken.contains("measurably"))
    }

    @Test func anAnswerWithinABudgetSaysWhatBecameOfIt() async throws {
        let folder = try TemporaryFolder()
        let ending = try await run(
            .fastvlm, "ask", "--model", Demo.model, "--json", "--budget-ms", "60000",
            "\(Demo.pictures)/scene-4242-0.jpg", "Is there a panel?", environment: ["STATE_DIRECTORY": folder.path])
        try #require(ending.status == 0, "\(ending.errors)")
        let document = try #require(try objects(ending.output).first)
        let budget = try #require(document["budget"] as? Object)
        #expect(budget["ms"] as? Double == 60000)
        #expect(budget["met"] as? Bool == true)
        #expect((document["resolution"] as? Object)?["reason"] as? String == "learning")
    }

    // MARK: - What cannot be measured

    @Test func whatCannotBeMeasuredIsSaid() async throws {
        let folder = try TemporaryFolder()
        func accuracy(_ dataset: String, _ more: String...) async throws -> Ending {
            try await ProgramProcess(
                Program.fastvlm.path,
                ["bench", "accuracy", "--dataset", dataset, "--model", Demo.model, "--resolutions", "128"] + more
            ).ending()
        }
        try await accuracy(folder["none"]).expectOneError(3, "none/labels.jsonl", "scenes.py")
        try folder.makeFolder("broken")
        try folder.write("{\"file\": \"a.jpg\", \"questions\": []}\n{\"file\": 1}\n", to: "broken/labels.jsonl")
        try await accuracy(folder["broken"]).expectOneError(3, "line 2", "broken/labels.jsonl")
        try folder.makeFolder("empty")
        try folder.write("\n", to: "empty/labels.jsonl")
        try await accuracy(folder["empty"]).expectOneError(3, "no question")
        try await accuracy(Demo.pictures, "--types", "colour").expectOneError(2, "'colour'", "display")
        try await accuracy(Demo.pictures, "--budgets", "0").expectWrongUsage("--budgets holds 0")
        try await accuracy(Demo.pictures, "--limit", "0").expectWrongUsage("--limit is 0")
        try await accuracy(Demo.pictures, "--model", "other", "--ladder", folder["l"]).expectWrongUsage("--ladder")

        // One picture that is missing is named; the others are measured.
        try folder.makeFolder("holes")
        let first = Demo.pictures + "/scene-4242-0.jpg"
        try FileManager.default.copyItem(atPath: first, toPath: folder["holes/scene-4242-0.jpg"])
        let labels = try String(contentsOfFile: Demo.pictures + "/labels.jsonl", encoding: .utf8)
        try folder.write(labels, to: "holes/labels.jsonl")
        let ending = try await accuracy(folder["holes"], "--types", "panel", "--json")
        #expect(ending.status == 1)
        #expect(ending.errors.contains("scene-4242-7.jpg"))
        #expect(try objects(ending.output).last?["count"] as? Int == 1)
    }
}

/// The model and the pictures that come with the program.
enum Demo {
    static let folder = House.sampleConfiguration.replacingOccurrences(of: "fastvlmd.toml", with: "demo-model")
    static let model = folder + "/panel-reader.fastvlm"
    static let pictures = folder + "/pictures"
    static let names = [0, 1, 4, 6, 7].map { "scene-4242-\($0).jpg" }
}
