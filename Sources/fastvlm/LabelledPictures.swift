internal import FoundationEssentials
internal import LatencyBudget
internal import UntrustedJSON

/// Pictures with questions whose right answers are known: a folder that `scenes.py` wrote, or one like it.
///
/// `labels.jsonl` has one picture a line, unknown fields are ignored:
///
///     {"file": "00000.jpg", "scene": {"lamps": [{"color": "red", "on": true}]},
///      "questions": [{"type": "display", "question": "What does the display read?", "answer": "48.2", "needs": "text"}]}
///
/// `scene` may be missing. `needs` is what a question needs of a picture, `text`, `counting`, `presence` or `general`;
/// where it is missing, the types of the panel reader's questions have their own and all others are general.
struct LabelledPictures {
    struct Picture: Decodable {
        var file: String
        var questions: [Question]
        var scene: Scene?
    }

    struct Question: Decodable {
        var type: String
        var question: String
        var answer: String
        private var needs: QuestionType?

        /// What it needs of a picture.
        var need: QuestionType {
            if let needs { return needs }
            switch type {
            case "display", "gauge", "word": return .text
            case "count": return .counting
            case "panel", "lamp": return .presence
            default: return .general
            }
        }
    }

    struct Scene: Decodable {
        var lamps: [Lamp]?
    }

    struct Lamp: Decodable {
        var color: String
        var on: Bool
    }

    let folder: String
    private(set) var pictures: [Picture]

    /// Reads the labels of the first `limit` pictures; nil for all.
    init(folder: String, skip: Int = 0, limit: Int?) throws(CommandFailure) {
        let path = folder + "/labels.jsonl"
        var pictures: [Picture] = []
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw CommandFailure(
                .setup,
                "Cannot read the labels '\(path)': they are missing or not readable by this user. A dataset is a folder "
                    + "with pictures and labels.jsonl; etc/demo-model/scenes.py makes one.")
        }
        let decoder = JSONDecoder()
        var skipped = 0
        for (index, line) in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if let limit, pictures.count >= limit { break }
            guard line.contains(where: { $0 > 0x20 }) else { continue }
            skipped += 1
            guard skipped > skip else { continue }
            do {
                let picture = try decoder.decode(Picture.self, fromUntrusted: line)
                guard picture.questions.allSatisfy({ !$0.question.isEmpty }) else { throw Unusable() }
                pictures.append(picture)
            } catch {
                throw CommandFailure(
                    .setup,
                    "Cannot read the labels '\(path)': line \(index + 1) is no picture, expected for example {\"file\": "
                        + "\"00000.jpg\", \"questions\": [{\"type\": \"display\", \"question\": \"What does the display "
                        + "read?\", \"answer\": \"48.2\"}]}.")
            }
        }
        guard pictures.contains(where: { !$0.questions.isEmpty }) else {
            throw CommandFailure(.setup, "Cannot use the labels '\(path)': there is no question in them.")
        }
        self.folder = folder
        self.pictures = pictures
    }

    private struct Unusable: Error {}

    /// Leaves the questions of other types out, and the pictures that have none of these.
    mutating func keep(_ types: [String]) throws(CommandFailure) {
        let known = Set(pictures.flatMap { $0.questions.map(\.type) })
        if let unknown = types.first(where: { !known.contains($0) }) {
            throw CommandFailure(
                .usage,
                "Cannot keep questions of type '\(unknown)': the dataset has "
                    + known.sorted().joined(separator: ", ") + ".")
        }
        for index in pictures.indices { pictures[index].questions.removeAll { !types.contains($0.type) } }
        pictures.removeAll { $0.questions.isEmpty }
    }

    /// Where `picture` lies.
    func path(of picture: Picture) -> String { folder + "/" + picture.file }
}

extension LabelledPictures.Picture {
    /// The rows in which an answer to `question` counts: its type's and, for a lamp of which the scene tells the state,
    /// that state's.
    func kinds(of question: LabelledPictures.Question) -> [String] {
        guard question.type == "lamp", let lamps = scene?.lamps else { return [question.type] }
        let states = Set(lamps.filter { question.question.contains(" \($0.color) ") }.map(\.on))
        return ["lamp", states.isEmpty ? "lamp absent" : states.contains(true) ? "lamp on" : "lamp off"]
    }
}
