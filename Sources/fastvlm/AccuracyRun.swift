internal import CaptionService
internal import FastVLM
internal import LatencyBudget
internal import ModelFiles

/// One model's answers to all questions about labelled pictures at one resolution.
struct AccuracyRun {
    let name: String
    let digest: String
    let precision: String
    let threads: Int
    let resolution: Int
    private(set) var table = AccuracyTable()
    /// Of each picture, ms from the file to the end of one answer.
    private var times: [Double] = []
    /// Pictures that cannot be read, with the reason.
    private(set) var refused: [(file: String, reason: String)] = []

    init(_ reader: PictureReader, resolution: Int) {
        let model = reader.model.prepared
        (name, digest, precision) = (model.name, model.digest, model.precision.rawValue)
        threads = reader.threads
        self.resolution = resolution
    }

    /// Asks everything about every picture, each of which is encoded once for all of its questions.
    ///
    /// - Parameters:
    ///   - maxTokens: The most of an answer; one that is cut there is compared as it is.
    ///   - answered: Told of each answer.
    ///   - progress: Told of each picture.
    mutating func run(
        _ reader: PictureReader, on dataset: LabelledPictures, maxTokens: Int, answered: (AnswerRow) throws -> Void,
        progress: () -> Void
    ) throws {
        for picture in dataset.pictures {
            if !picture.questions.isEmpty {
                guard let report = try report(reader, picture, of: dataset, maxTokens) else { continue }
                for (question, reply) in zip(picture.questions, report.answers) {
                    let isRight = reply.text == question.answer
                    table.add(isRight, question, of: picture)
                    try answered(
                        AnswerRow(
                            file: picture.file, resolution: resolution, type: question.type,
                            question: question.question,
                            answer: reply.text, right: isRight, model: digest, precision: precision))
                }
            }
            progress()
        }
    }

    /// Nil for a picture that cannot be read.
    private mutating func report(
        _ reader: PictureReader, _ picture: LabelledPictures.Picture, of dataset: LabelledPictures, _ maxTokens: Int
    ) throws(EngineError) -> PictureReport? {
        var tasks = PictureTasks()
        tasks.prompt = ""
        tasks.questions = picture.questions.map { PictureTasks.Question(id: $0.type, text: $0.question) }
        tasks.resolution = resolution
        tasks.maxTokens = maxTokens
        do {
            let report = try reader.run(tasks, on: try PictureFile(path: dataset.path(of: picture)).bytes)
            times.append(report.timings.firstToken + report.timings.generate / Double(picture.questions.count))
            return report
        } catch {
            guard error.code == .picture else { throw error }
            refused.append((picture.file, error.message))
            return nil
        }
    }

    /// Of one picture with one answer of middling length; 0 of none.
    var medianMs: Double { times.isEmpty ? 0 : times.sorted()[times.count / 2] }

    var rows: [AccuracyRow] {
        (table.kinds.map { ($0, table[$0]) } + [("all", table.all)]).map { kind, score in
            AccuracyRow(score, type: kind, of: self, medianMs: medianMs)
        }
    }

    /// What the model's package is to say of this resolution; nil where nothing was answered.
    var utility: ResolutionAccuracy? {
        table.utility(.general).map { general in
            ResolutionAccuracy(
                pixels: resolution, general: general, text: table.utility(.text), counting: table.utility(.counting),
                presence: table.utility(.presence))
        }
    }
}
