import LatencyBudget
import Testing

@Suite struct TokenGovernorTests {
    private func governor(
        _ time: Double, step: Double = 50, minimum: Int = 4, limit: Int = 100, finishesMinimum: Bool = false
    ) -> TokenGovernor {
        TokenGovernor(
            deadline: 1000 + time, now: 1000, step: step, deviation: 0.05, minimum: minimum, limit: limit,
            finishesMinimum: finishesMinimum)
    }

    /// Runs until it is stopped; each token takes `step`.
    private func run(
        _ governor: inout TokenGovernor, step: Double, sentence: Int = .max
    ) -> (tokens: Int, end: Double, stop: TokenGovernor.Stop?) {
        var now = 1000.0
        for _ in 0..<1000 {
            if case .stop(let stop) = governor.advance(
                now: now, endsSentence: (governor.tokens + 1) % sentence == 0)
            {
                return (governor.tokens, now, stop)
            }
            now += step
        }
        return (governor.tokens, now, nil)
    }

    @Test func endsBeforeTheDeadline() {
        var answer = governor(1000)
        let (tokens, end, stop) = run(&answer, step: 50)
        #expect(stop == .deadline)
        #expect((19...21).contains(tokens))
        #expect(end <= 2000)
    }

    @Test func followsStepsThatAreSlowerThanExpected() {
        var answer = governor(1000)
        let (tokens, end, stop) = run(&answer, step: 120)
        #expect(stop == .deadline)
        #expect(tokens >= 7)
        #expect(end <= 2000)
    }

    @Test func theLimitEndsTheAnswer() {
        var answer = governor(.infinity, limit: 17)
        let (tokens, _, stop) = run(&answer, step: 50)
        #expect(tokens == 17)
        #expect(stop == .limit)
    }

    @Test func endsWithASentenceWhereAnotherDoesNotFit() {
        var answer = governor(1000)
        let (tokens, _, stop) = run(&answer, step: 50, sentence: 11)
        #expect(tokens == 11)
        #expect(stop == .sentence)
        #expect(answer.wholeSentences == 11)

        var longer = governor(1400)
        let (more, _, reason) = run(&longer, step: 50, sentence: 11)
        #expect(more == 22)
        #expect(reason == .sentence)
    }

    @Test func aSentenceThatWasCutSaysWhereItBegan() {
        var answer = governor(1000, minimum: 1)
        var now = 1000.0
        // A short sentence, then one that is far longer than it looked.
        for token in 1... {
            if case .stop(let stop) = answer.advance(now: now, endsSentence: token == 5) {
                #expect(stop == .deadline)
                break
            }
            now += 50
        }
        #expect(answer.wholeSentences == 5)
        #expect(answer.tokens > 15)
    }

    @Test func theShortestUsefulAnswerIsFinishedOnlyAsBestEffort() {
        var strict = governor(100, minimum: 10)
        #expect(run(&strict, step: 50).tokens < 4)
        var late = governor(100, minimum: 10, finishesMinimum: true)
        let (tokens, _, stop) = run(&late, step: 50)
        #expect(tokens == 10)
        #expect(stop == .deadline)
    }

    @Test func aClockThatIsSetBackGivesNoMoreTime() {
        var answer = governor(1000)
        var now = 1000.0
        var tokens = 0
        while case .proceed = answer.advance(now: now), tokens < 1000 {
            tokens += 1
            now += tokens == 5 ? -3e11 : 50
        }
        #expect((18...22).contains(tokens))
    }

    @Test func aClockThatIsSetAheadEndsTheAnswer() {
        var answer = governor(1000)
        #expect(answer.advance(now: 1000) == .proceed)
        #expect(answer.advance(now: 3e11) == .stop(.deadline))
    }

    @Test func oneStallIsNoNewSpeed() {
        var answer = governor(1000)
        var now = 1000.0
        var tokens = 0
        while case .proceed = answer.advance(now: now), tokens < 1000 {
            tokens += 1
            now += tokens == 10 ? 440 : 50
        }
        // The stall leaves 110 ms, time for one more.
        #expect(tokens == 11)
    }
}
