/// Whether a frame's model may have the next turn, so that models are not exchanged for every frame.
///
/// The rule: while frames of the model that had the last turn wait, those of another model wait too, until the one has had its
/// turns for 5 s, and for four times as long as the other takes to load. So at most a fifth of the time goes into loading, and
/// nobody waits for longer than that and the frame in work.
struct ModelStint: Sendable {
    /// The model of the last turn; nil before the first.
    private(set) var model: String?
    private var since = ContinuousClock.now
    /// The least that a model has its turns for while others wait.
    private let shortest: Duration
    /// How many times as long as the other takes to load.
    private static let worth = 4

    init(shortest: Duration) { self.shortest = shortest }

    /// A frame of `model` has the turn from `now` on.
    mutating func turn(_ model: String, _ now: ContinuousClock.Instant) {
        guard model != self.model else { return }
        self.model = model
        since = now
    }

    /// Whether a frame of `model`, which takes `loading` to load, may come before one of the last turn's model.
    func admits(_ model: String, loading: Duration, _ now: ContinuousClock.Instant) -> Bool {
        self.model == nil || model == self.model || now - since >= max(shortest, loading * Self.worth)
    }
}
