internal import Glibc
package import ModelFiles

/// An answer of a type that was asked for.
public struct TypedAnswer: Sendable, Equatable {
    public let value: AnswerValue

    /// The probability of the answer, 0...1, as the model's own probabilities have it; nil for ``AnswerType/text``.
    ///
    /// Of ``AnswerType/boolean`` and ``AnswerType/choice``: the probability that the model's text begins with the chosen
    /// option, over all ways to write it and to cut it into tokens, divided by the same of all options together. An option
    /// that is the beginning of a longer one counts where the text does not go on to the longer one.
    ///
    /// Of ``AnswerType/integer`` and ``AnswerType/number``: the product of the probabilities of the steps that were taken,
    /// each divided by that of all steps which lead to a number; that the number ends is one of them, and as probable as
    /// everything together that does not go on with it.
    ///
    /// So it says how sure the model is of this answer *provided that it is one of the type*: the share that it would have
    /// given to other words is not in it.
    public let confidence: Double?

    /// Tokens of the whole prompt, the picture's rows included.
    public let promptTokens: Int
    /// Of these, the ones that an earlier question had already left in the cache.
    public let cachedTokens: Int
    /// Times that the decoder was run, for ``AnswerType/text`` the tokens that were said.
    public let steps: Int
    /// ``FinishReason/stop``, but of ``AnswerType/text`` as it came.
    public let finishReason: FinishReason
}

/// The decoder's probabilities of what may come next, seen through an automaton.
package struct NextTokens {
    /// One token that a wanted text may go on with.
    package struct Step {
        package let token: Int
        package let state: Int
        /// Natural logarithm; -infinity for what is impossible or no number.
        package let logProbability: Double
    }

    /// Ascending by id.
    package let steps: [Step]
    /// Logarithm of the probability that none of them comes.
    package let logEnd: Double

    /// - Parameters:
    ///   - logits: `[vocabulary]`.
    ///   - unknown: Rows that no token belongs to.
    package init(_ logits: [Float], unknown: [Int], index: TokenIndex, automaton: ByteAutomaton, state: Int) {
        var largest = -Float.infinity
        for logit in logits where logit > largest { largest = logit }
        var total = 0.0
        for logit in logits where logit.isFinite { total += exp(Double(logit - largest)) }
        for id in unknown where logits[id].isFinite { total -= exp(Double(logits[id] - largest)) }
        let logTotal = total > 0 ? log(total) : .infinity
        var steps: [Step] = []
        for byte in automaton.bytes(after: state) {
            index.forEachToken(beginningWith: byte) { id, bytes in
                guard logits.indices.contains(id), let target = automaton.next(state, bytes) else { return }
                let value = Double(logits[id] - largest) - logTotal
                steps.append(Step(token: id, state: target, logProbability: value.isNaN ? -.infinity : min(0, value)))
            }
        }
        steps.sort { $0.token < $1.token }
        self.steps = steps
        logEnd = log(max(0, 1 - min(1, steps.reduce(0) { $0 + exp($1.logProbability) })))
    }

    /// The likeliest step; where all are impossible, the first.
    package var likeliest: Step? {
        var best = steps.first
        for step in steps where step.logProbability > (best?.logProbability ?? -.infinity) { best = step }
        return best
    }
}

/// `log(exp(a) + exp(b))`.
func logSum(_ a: Double, _ b: Double) -> Double {
    let (large, small) = (max(a, b), min(a, b))
    return small == -.infinity ? large : large + log1p(exp(small - large))
}
