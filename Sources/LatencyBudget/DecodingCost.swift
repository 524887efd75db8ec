/// What decoding a picture takes on an idle device, learned from frame to frame: so much for each byte of the file and
/// so much for each pixel that comes out, `ms = perByte * bytes + perPixel * pixels`.
///
/// Pictures of the same size differ several times over in their bytes, and at a lower rung the bytes are the same while
/// the pixels are few: no curve of the size alone meets both. A Kalman filter of two terms for each coding, on relative
/// errors; one that is far out moves the terms no more than one at three standard deviations does. Of fixed size.
struct DecodingCost: Sendable, Equatable {
    /// One picture at one rung.
    struct Work: Sendable, Equatable {
        var coding: EncodedPicture.Coding
        var bytes: Double
        var pixels: Double

        init(_ picture: EncodedPicture, at rung: Rung) {
            coding = picture.coding
            bytes = picture.bytes
            pixels = picture.decodedPixels(for: rung)
        }
    }

    private var jpeg = TwoTermFilter()
    private var png = TwoTermFilter()

    /// ms on an idle device; nil before a first picture of this coding.
    func callAsFunction(_ work: Work) -> Double? {
        work.coding == .jpeg ? jpeg.expected(work) : png.expected(work)
    }

    /// Takes in that `work` took `milliseconds`, with the device's slowdown taken out; what is no time is ignored.
    mutating func observe(_ work: Work, took milliseconds: Double) {
        guard milliseconds > 0, milliseconds < 3_600_000, work.bytes > 0, work.pixels > 0 else { return }
        if work.coding == .jpeg {
            jpeg.observe(work, milliseconds)
        } else {
            png.observe(work, milliseconds)
        }
    }
}

/// ms for a byte and for a pixel, with their covariance.
private struct TwoTermFilter: Sendable, Equatable {
    private var terms = SIMD2<Double>(repeating: 0)
    /// Of the terms: byte, pixel, and both together.
    private var variance = SIMD2<Double>(repeating: 0)
    private var covariance = 0.0
    /// Variance of a picture around its prediction, relative.
    private var noise = 0.1 * 0.1
    private var observations = 0

    /// What a middling processor takes: only their proportion matters, until the second picture.
    private static let usual = SIMD2(1.2e-5, 6e-6)
    private static let leastNoise = 0.02 * 0.02
    private static let mostNoise = 0.4 * 0.4
    /// What a term moves by itself from picture to picture, relative.
    private static let wander = 0.004 * 0.004

    func expected(_ work: DecodingCost.Work) -> Double? {
        observations > 0 ? terms[0] * work.bytes + terms[1] * work.pixels : nil
    }

    mutating func observe(_ work: DecodingCost.Work, _ milliseconds: Double) {
        let size = SIMD2(work.bytes, work.pixels)
        guard let expected = expected(work), expected > 0 else {
            // The first picture says how fast the device is; how that is shared between the terms is still open.
            terms = Self.usual * (milliseconds / (Self.usual * size).sum())
            variance = 0.25 * terms * terms
            observations = 1
            return
        }
        variance += Self.wander * terms * terms
        let row = size / expected
        let gain = SIMD2(
            variance[0] * row[0] + covariance * row[1], covariance * row[0] + variance[1] * row[1])
        let doubt = (row * gain).sum()
        let spread = doubt + noise
        let error = milliseconds / expected - 1
        let most = 3 * spread.squareRoot()
        let step = gain / spread
        terms += step * error.bounded(to: -most...most)
        // A term below nothing is one that the other has to stand in for.
        terms.replace(with: 0.02 * Self.usual * (expected / (Self.usual * size).sum()), where: terms .< 0)
        covariance -= step[0] * gain[1]
        variance -= step * gain
        variance.replace(with: 0, where: variance .< 0)
        let excess = min(error * error, most * most) - doubt
        noise = (noise + 0.05 * (max(0, excess) - noise)).bounded(to: Self.leastNoise...Self.mostNoise)
        observations = min(observations + 1, 1_000_000)
    }
}
