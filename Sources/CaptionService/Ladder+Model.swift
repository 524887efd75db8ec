package import FastVLM
public import LatencyBudget
public import ModelFiles

extension Ladder {
    /// The model's resolutions that can be run, with the accuracy that its package states, and without one with what is published of the
    /// family.
    public init(_ identity: ModelIdentity) throws(LatencyBudgetError) {
        guard let accuracy = identity.accuracy else {
            self = try .published(resolutions: identity.resolutions.filter(PictureTasks.resolutionRange.contains))
            return
        }
        try self.init(
            accuracy.filter { PictureTasks.resolutionRange.contains($0.passPixels) }.map { measured in
                Step(
                    Rung(
                        width: measured.pixels, height: measured.pixels, columns: measured.tiles ?? 1,
                        rows: measured.tiles ?? 1),
                    utility: Utility(
                        general: measured.general, text: measured.text, counting: measured.counting,
                        presence: measured.presence))
            })
    }
}

extension FastVLMModel {
    /// Tokens of the prompts of `tasks` besides the picture's that are read anew for each picture: what stands before the
    /// picture is the same for all of them and stays in the cache.
    package func textTokens(of tasks: PictureTasks) -> Int {
        let questions = (tasks.prompt.isEmpty ? [] : [tasks.prompt]) + tasks.questions.map(\.text)
        return questions.reduce(0) { sum, question in
            sum + prepared.promptTemplate.promptTokens(question: question, tokenizer: prepared.tokenizer).after.count
        }
    }
}
