import CaptionService
import FastVLM
import LatencyBudget
import ModelFiles
import Sidecars
import Testing

/// Questions whose answers have a type, from the configuration to the sidecar.
@Suite struct TypedQuestionTests {
    private func configuration(_ question: String) throws -> DaemonConfiguration {
        try DaemonConfiguration(
            toml: """
                [model]
                path = "/m.fastvlm"
                [[watch]]
                path = "/a"
                [[watch.questions]]
                id = "q"
                question = "What?"
                \(question)
                """, file: "test.toml")
    }

    @Test func typesAreReadAndPrinted() throws {
        for (line, type) in [
            ("", AnswerType.text), ("type = \"text\"", .text), ("type = \"boolean\"", .boolean),
            ("type = \"integer\"", .integer), ("type = \"number\"", .number),
            ("type = \"choice\"\noptions = [\"open\", \"half open\"]", .choice(["open", "half open"])),
        ] {
            let configuration = try configuration(line)
            #expect(configuration.watches[0].tasks.questions == [.init(id: "q", text: "What?", type: type)])
            #expect(try DaemonConfiguration(toml: configuration.toml, file: "printed") == configuration)
        }
    }

    @Test(arguments: [
        ("type = \"bool\"", "\"boolean\" or"), ("type = 1", "\"choice\""), ("type = \"choice\"", "0 options"),
        ("options = [\"a\", \"b\"]", "'choice' alone"), ("type = \"boolean\"\noptions = []", "'choice' alone"),
        ("type = \"choice\"\noptions = [\"a\"]", "1 options"),
        ("type = \"choice\"\noptions = [\"a\", \"a\"]", "each once"),
        ("type = \"choice\"\noptions = [\"a\", \" b\"]", "white space"),
        ("type = \"choice\"\noptions = [1, 2]", "array of strings"),
    ])
    func anotherTypeOrOtherOptionsAreRefused(_ lines: String, _ words: String) throws {
        let error = #expect(throws: ConfigurationError.self) { try configuration(lines) }
        #expect(error?.code == .invalidValue)
        #expect(
            error?.message.contains("watch[0].questions[0]") == true && error?.message.contains(words) == true,
            "\(error?.message ?? "")")
        var tasks = PictureTasks()
        tasks.questions = [.init(id: "q", text: "?", type: .choice(["a"]))]
        #expect(throws: ConfigurationError.self) { try tasks.validate(subject: "it", place: "here") }
    }

    @Test func theSidecarHasTheAnswersAsTheirTypes() throws {
        let project = BudgetedModelTests.project
        let reader = try PictureReader(
            try FastVLMModel(path: project + "/etc/demo-model/panel-reader.fastvlm"), threads: 2)
        var tasks = PictureTasks()
        tasks.prompt = ""
        tasks.questions = [
            .init(id: "panel", text: "Is there a panel?", type: .boolean),
            .init(id: "lit", text: "How many lamps are lit?", type: .integer),
            .init(id: "display", text: "What does the display read?", type: .number),
            .init(
                id: "word", text: "What word is on the panel?", type: .choice(["PUMP", "TANK", "There is no word."])),
            .init(id: "free", text: "Is there a panel?"),
        ]
        let bytes = try PictureFile(path: project + "/etc/demo-model/pictures/scene-4242-0.jpg").bytes
        var heard: [Int: String] = [:]
        let report = try reader.run(tasks, on: bytes, onText: { heard[$0, default: ""] += $1 })
        let document = SidecarDocument(
            report, tasks: tasks, model: ModelFacts(reader.model), source: .init(), total: 1, health: nil)
        #expect(document.answers.map(\.type) == ["boolean", "integer", "number", "choice", "text"])
        #expect(document.answers[0].answer == .boolean(true))
        #expect(document.answers[4].answer == .string("yes") && document.answers[4].confidence == nil)
        for answer in document.answers.dropLast() {
            #expect((0...1).contains(try #require(answer.confidence)))
        }
        let text = String(decoding: try document.compactJSON(), as: UTF8.self)
        #expect(text.contains(#""type":"boolean","answer":true,"confidence":"#), "\(text)")
        #expect(text.contains(#""type":"integer","answer":"#) && !text.contains(#""answer":null"#))
        #expect(report.answers.enumerated().allSatisfy { heard[$0] == $1.text })
        #expect(report.answers.allSatisfy { $0.finishReason == "stop" && $0.generatedTokens > 0 })
        #expect(report.timings.prefill > 0 && report.timings.generate > 0 && report.timings.firstToken > 0)
        #expect(try SidecarDocument(json: document.json()) == document)
    }

    @Test func theLadderIsHeldAgainstWhatTheQuestionsNeed() throws {
        let folder = try ScratchFolder()
        let store = ProfileStore(directory: folder.path, identity: DeviceProfile.someIdentity)
        try store.save(.instant(DeviceProfile.someIdentity, resolutions: [64, 128, 256]))
        let ladder = try Ladder([
            .init(Rung(pixels: 64), utility: Utility(general: 1, counting: 1, presence: 9)),
            .init(Rung(pixels: 128), utility: Utility(general: 2, counting: 9, presence: 8)),
            .init(Rung(pixels: 256), utility: Utility(general: 3, counting: 8, presence: 7)),
        ])
        let planner = FramePlanner(ladder: ladder, store: store, logger: .silent)
        func pixels(_ prompt: String, _ types: [AnswerType]) throws -> Int {
            var tasks = PictureTasks()
            tasks.budget = 600_000
            tasks.prompt = prompt
            tasks.questions = types.enumerated().map { .init(id: "\($0)", text: "?", type: $1) }
            let frame = FramePlanner.Frame(tasks: tasks, arrival: .now, textTokens: 10, defaultResolution: 256)
            return try #require(planner.plan(frame).plan).resolution
        }
        #expect(try pixels("", [.boolean, .boolean]) == 64)
        #expect(try pixels("", [.integer]) == 128)
        // Counting needs more of a picture than seeing whether something is there.
        #expect(try pixels("", [.integer, .boolean]) == 128)
        #expect(try pixels("What is there?", [.boolean]) == 256)
        #expect(try pixels("", [.text]) == 256 && pixels("What is there?", []) == 256)
    }

    @Test func aTypedAnswerIsWholeEvenWhenTimeIsOver() throws {
        let folder = try ScratchFolder()
        let reader = try PictureReader(
            try FastVLMModel(path: BudgetedModelTests.project + "/etc/tiny-model/random-tiny.fastvlm"), threads: 2)
        let store = ProfileStore(directory: folder.path, identity: DeviceProfile.someIdentity)
        let ladder = try Ladder(reader.model.prepared.identity)
        try store.save(.instant(DeviceProfile.someIdentity, resolutions: ladder.steps.map(\.rung.width)))
        let planner = FramePlanner(ladder: ladder, store: store, logger: .silent)
        var tasks = PictureTasks()
        tasks.budget = 1
        tasks.whenLate = .bestEffort
        tasks.prompt = ""
        tasks.questions = [.init(id: "n", text: "How many?", type: .number), .init(id: "b", text: "?", type: .boolean)]
        let frame = FramePlanner.Frame(tasks: tasks, arrival: .now, textTokens: 10, defaultResolution: 256)
        let plan = try #require(planner.plan(frame).plan)
        let bytes = try PictureFile(path: BudgetedModelTests.project + "/etc/photographs/china.jpg").bytes
        let report = try reader.run(tasks, on: bytes, plan: plan)
        guard case .number = report.answers[0].value, case .boolean = report.answers[1].value else {
            Issue.record("\(report.answers)")
            return
        }
    }
}
