/// How patiently a hub is asked.
package struct HubPace: Sendable {
    /// Failures in a row that may pass, each with the pause after it; one more is the end.
    package var pauses: [Duration] = [.seconds(1), .seconds(2), .seconds(4), .seconds(8), .seconds(16)]
    /// The longest pause that a hub may ask for.
    package var longestPause = Duration.seconds(300)
    /// For a connection.
    package var connectMilliseconds: Int64 = 15_000
    /// For the head of a reply, and between two pieces of its body.
    package var readMilliseconds: Int64 = 60_000
    /// Waits; tests note the pause instead.
    package var wait: @Sendable (Duration) async -> Void = { try? await Task.sleep(for: $0) }

    package init() {}

    /// Runs `attempt` until it succeeds, fails for good, or has failed too often without progress in between.
    func persist<Outcome>(
        _ attempt: () async throws(AttemptFailure) -> Outcome
    ) async throws(HubError) -> Outcome {
        var failures = 0
        while true {
            let failure: AttemptFailure
            do {
                return try await attempt()
            } catch {
                failure = error
            }
            if failure.hasProgressed { failures = 0 }
            guard failure.mayPass, failures < pauses.count, !Task.isCancelled else { throw failure.error }
            // Many who were sent away at once shall not come back at once.
            let own = pauses[failures] * Double.random(in: 0.75...1.25)
            let asked = failure.pause ?? .zero
            guard asked <= longestPause else {
                throw HubError(
                    failure.error.code,
                    failure.error.message + " It asks to be left alone for \(asked.components.seconds) seconds.")
            }
            failures += 1
            await wait(max(own, asked))
        }
    }
}
