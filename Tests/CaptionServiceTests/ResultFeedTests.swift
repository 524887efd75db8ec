import CaptionService
import FoundationEssentials
import Sidecars
import Testing

@Suite struct ResultFeedTests {
    private func document(_ caption: String, origin: String = "watch:gate") -> SidecarDocument {
        SidecarDocument(
            status: .ok, source: .init(origin: origin), caption: caption, created: Timestamp(milliseconds: 0),
            generator: "test")
    }

    private func caption(_ event: ResultListener.Event?) throws -> String? {
        guard case .result(let line) = event else { return nil }
        #expect(!line.contains(10))
        return try SidecarDocument(json: line).caption
    }

    @Test(.timeLimit(.minutes(1))) func everyListenerHearsEveryResultInOrder() async throws {
        let feed = ResultFeed()
        let listeners = (0..<3).map { _ in feed.listen() }
        for index in 0..<20 { feed.publish(document("\(index)")) }
        for listener in listeners {
            for index in 0..<20 { #expect(try caption(await listener.next()) == "\(index)") }
        }
        // Those who wait are woken.
        let waiting = Task { await listeners[0].next() }
        while !waiting.isCancelled {
            try await Task.sleep(for: .milliseconds(5))
            break
        }
        feed.publish(document("woken"))
        #expect(try caption(await waiting.value) == "woken")
    }

    @Test(.timeLimit(.minutes(1))) func aSlowListenerLosesTheOldestAndIsToldHowMany() async throws {
        let feed = ResultFeed(capacity: 4)
        let slow = feed.listen()
        for index in 0..<11 { feed.publish(document("\(index)")) }
        #expect(await slow.next() == .lost(7))
        for index in 7..<11 { #expect(try caption(await slow.next()) == "\(index)") }
        feed.publish(document("new"))
        #expect(try caption(await slow.next()) == "new")
        // Many times over, so that the buffer goes round.
        for round in 0..<50 {
            for index in 0..<6 { feed.publish(document("\(round).\(index)")) }
            #expect(await slow.next() == .lost(2))
            for index in 2..<6 { #expect(try caption(await slow.next()) == "\(round).\(index)") }
        }
    }

    @Test(.timeLimit(.minutes(1))) func aListenerMayWantOneSourceOnly() async throws {
        let feed = ResultFeed()
        let (whole, part, other) = (
            feed.listen(source: "stream:gate"), feed.listen(source: "gate"), feed.listen(source: "yard")
        )
        for origin in ["watch:gate", "stream:gate", "stream:gateway"] { feed.publish(document(origin, origin: origin)) }
        feed.close()
        #expect(try caption(await whole.next()) == "stream:gate")
        #expect(await whole.next() == nil)
        #expect(try caption(await part.next()) == "watch:gate")
        #expect(try caption(await part.next()) == "stream:gate")
        #expect(await part.next() == nil)
        #expect(await other.next() == nil)
        #expect(feed.listenerCount == 0)
        #expect(await feed.listen().next() == nil)
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledListenerEnds() async throws {
        let feed = ResultFeed()
        let listener = feed.listen()
        let task = Task { await listener.next() }
        task.cancel()
        #expect(await task.value == nil)
        listener.stop()
        #expect(feed.listenerCount == 0)
    }
}
