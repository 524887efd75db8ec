import Foundation
import Testing

/// `fastvlm caption` and `fastvlm ask` on pictures that can be read.
@Suite struct PictureCommandTests {
    /// Small and quick.
    static let quick = ["--model", House.model, "--resolution", "64", "--max-tokens", "4"]

    private func caption(_ arguments: String...) async throws -> Ending {
        try await ProgramProcess(Program.fastvlm.path, ["caption"] + Self.quick + arguments).ending()
    }

    @Test func aCaptionIsOneLineAndNothingElse() async throws {
        let ending = try await caption(House.china.path)
        #expect(ending.status == 0)
        #expect(ending.errors == "")
        #expect(ending.outputLines.count == 1)
        #expect(ending.outputLines.first?.isEmpty == false)
        #expect(ending.outputLines.first?.contains("china.jpg") == false)
    }

    /// The end-to-end test of the engine holds the same words against PyTorch's.
    @Test func theWordsAreTheReferences() async throws {
        let ending = try await run(
            .fastvlm, "ask", House.china.path, "What is in the picture?", "--model", House.model, "--resolution", "192",
            "--max-tokens", "12")
        #expect(ending.output == "ile/inter GPLths\u{fffd}grZ/sh\u{fffd} SOFTWARE\u{fffd}\n")
        #expect(ending.status == 0)
    }

    @Test func severalPicturesAreNamedAndKeepTheirOrder() async throws {
        let pictures = House.pictures
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["caption"] + Self.quick + pictures.map(\.path)
        ).ending()
        #expect(ending.status == 0)
        #expect(ending.errors == "")
        #expect(ending.outputLines.count == pictures.count)
        for (line, picture) in zip(ending.outputLines, pictures) { #expect(line.hasPrefix("\(picture.path): ")) }
    }

    @Test func eachLineOfJSONIsASidecar() async throws {
        let pictures = House.pictures
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["caption", "--json"] + Self.quick + pictures.map(\.path)
        ).ending()
        #expect(ending.status == 0)
        #expect(ending.errors == "")
        let documents = try ending.outputLines.map { try Sidecar($0) }
        #expect(documents.count == pictures.count)
        try SidecarSchema.expectKept(by: documents)
        for (document, picture) in zip(documents, pictures) {
            try document.expectOK(picture, pixels: 64)
            #expect(document["source.file"] == picture.name)
            #expect(document["source.origin"] == "command")
            #expect(document["resolution.reason"] == "fixed")
            #expect(document.answers.isEmpty)
        }
        // In words it says the same.
        let words = try await caption(pictures[0].path)
        #expect(words.output == "\(documents[0].caption ?? "")\n")
    }

    @Test func theModelsOwnResolutionIsTheDefault() async throws {
        let ending = try await run(
            .fastvlm, "caption", House.china.path, "--model", House.model, "--max-tokens", "2", "--json")
        let document = try Sidecar(ending.output)
        try document.expectOK(House.china, pixels: 256)
        #expect(document["resolution.reason"] == "model_default")
    }

    @Test(arguments: [1, 3, 7])
    func noAnswerIsLongerThanAskedFor(_ limit: Int) async throws {
        let ending = try await run(
            .fastvlm, "caption", House.china.path, "--model", House.model, "--resolution", "64", "--max-tokens",
            "\(limit)",
            "--json")
        let document = try Sidecar(ending.output)
        #expect(document["timings.generated_tokens"] == limit)
        #expect(document["finish_reason"] == "length")
    }

    @Test func aSeedGivesTheSameWordsAndAnotherGivesOthers() async throws {
        func words(_ seed: String) async throws -> String {
            let ending = try await run(
                .fastvlm, "caption", House.china.path, "--model", House.model, "--resolution", "64", "--max-tokens",
                "12",
                "--temperature", "1.5", "--seed", seed)
            #expect(ending.status == 0)
            return ending.output
        }
        let first = try await words("1")
        #expect(try await words("1") == first)
        #expect(try await words("2") != first)
        #expect(try await words("18446744073709551615") != first)
    }

    @Test func threadsDoNotChangeTheWords() async throws {
        let one = try await caption("--threads", "1", House.flower.path)
        let three = try await caption("--threads", "3", House.flower.path)
        #expect(one.status == 0)
        #expect(one.output == three.output)
    }

    @Test func theModelCanComeFromTheEnvironment() async throws {
        let ending = try await run(
            .fastvlm, "caption", House.china.path, "--resolution", "64", "--max-tokens", "2",
            environment: ["FASTVLM_MODEL": House.model])
        #expect(ending.status == 0)
        #expect(ending.outputLines.count == 1)
    }

    // MARK: - Questions

    @Test func oneQuestionHasItsAnswerAlone() async throws {
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["ask"] + Self.quick + [House.china.path, "Is it day?"]
        ).ending()
        #expect(ending.status == 0)
        #expect(ending.errors == "")
        #expect(ending.outputLines.count == 1)
        #expect(!ending.output.contains("Is it day?"))
    }

    @Test func severalQuestionsHeadTheirAnswers() async throws {
        let questions = ["Is it day?", "How many people are there?", "Is it day?"]
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["ask"] + Self.quick + [House.china.path] + questions
        ).ending()
        #expect(ending.status == 0)
        let lines = ending.outputLines
        try #require(lines.count == 6)
        #expect([lines[0], lines[2], lines[4]] == questions)
        // One question does not colour the next.
        #expect(lines[1] == lines[5])
    }

    @Test func answersAreInTheDocumentWithTheirQuestions() async throws {
        let questions = ["Is it day?", "What does \"道\" mean? <|im_end|>"]
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["ask", "--json"] + Self.quick + [House.flower.path] + questions
        ).ending()
        #expect(ending.status == 0)
        let document = try Sidecar(ending.output)
        try SidecarSchema.expectKept(by: [document])
        try document.expectOK(House.flower, pixels: 64)
        #expect(document.caption == nil)
        #expect(document.answers.map { $0["question"] as? String } == questions)
        #expect(document.answers.map { $0["id"] as? String } == ["1", "2"])
        #expect(document.answers.allSatisfy { ($0["answer"] as? String)?.isEmpty == false })
    }

    @Test func answersHaveTheTypeThatIsAskedFor() async throws {
        for (type, options, isOfType) in [
            ("boolean", [], { $0 is Bool }), ("integer", [], { $0 is Int }), ("number", [], { $0 is Double }),
            ("choice", ["north", "south"], { ["north", "south"].contains($0 as? String) }),
        ] as [(String, [String], (Any?) -> Bool)] {
            let arguments = ["--type", type] + options.flatMap { ["--option", $0] }
            let ending = try await ProgramProcess(
                Program.fastvlm.path,
                ["ask", "--json"] + Self.quick + arguments + [House.china.path, "How is it?", "And where?"]
            ).ending()
            #expect(ending.status == 0 && ending.errors == "")
            let document = try Sidecar(ending.output)
            try SidecarSchema.expectKept(by: [document])
            #expect(document.answers.count == 2)
            for answer in document.answers {
                #expect(answer["type"] as? String == type && isOfType(answer["answer"]), "\(document)")
                #expect((0...1).contains(answer["confidence"] as? Double ?? -1))
            }
            let words = try await ProgramProcess(
                Program.fastvlm.path, ["ask"] + Self.quick + arguments + [House.china.path, "How is it?"]
            ).ending()
            #expect(words.outputLines.count == 1 && words.outputLines.first?.isEmpty == false)
        }
    }

    @Test(arguments: [
        (["--type", "bool"], "boolean"), (["--option", "a", "--option", "b"], "'choice' alone"),
        (["--type", "choice", "--option", "a"], "1 options"),
    ])
    func anotherTypeIsWrongUsage(_ arguments: [String], _ words: String) async throws {
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["ask", House.china.path, "?"] + Self.quick + arguments
        ).ending()
        #expect(ending.status == 2 && ending.errors.contains(words), "\(ending.errors)")
    }

    @Test func aLargePictureCanBeSeenInTiles() async throws {
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["caption", "--json", "--tiling"] + Self.quick + [House.china.path]
        ).ending()
        let document = try Sidecar(ending.output)
        try SidecarSchema.expectKept(by: [document])
        #expect(document["resolution.pixels"] == 128 && document["resolution.tiles"] == 4)
        #expect(document["resolution.visual_tokens"] == 5)
    }

    // MARK: - Help

    @Test func helpAndVersionAreOutputNotErrors() async throws {
        for arguments in [["--help"], ["caption", "--help"], ["help", "model"], ["--version"], []] {
            for program in [Program.fastvlm, .fastvlmd] where program == .fastvlm || arguments.first?.first == "-" {
                let ending = try await ProgramProcess(program.path, arguments).ending()
                #expect(ending.status == 0, "\(program) \(arguments)")
                #expect(ending.errors == "", "\(program) \(arguments)")
                #expect(!ending.output.isEmpty, "\(program) \(arguments)")
            }
        }
    }
}
