/// Mean and standard deviation of each channel of an activation, over the pixels of a calibration picture.
public struct ChannelStatistics: Sendable, Equatable {
    public var mean: [Float]
    public var deviation: [Float]

    public init(mean: [Float], deviation: [Float]) {
        self.mean = mean
        self.deviation = deviation
    }
}

/// A ConvFFN's first steps changed so that 8 bits lose less, with the same result.
///
/// Nothing nonlinear stands between the depthwise convolution and the expansion, so each channel between them may be
/// moved and stretched: `W (S^-1 (x - m)) S + (b + W m) = W x + b`. Moved by its mean, it uses its scale for what
/// differs between pixels; stretched, every channel uses as much of the row's one scale as its weights deserve
/// (cross-layer equalization, arXiv 1906.04721; SmoothQuant, arXiv 2211.10438).
struct EqualizedExpansion {
    /// The depthwise weights `[taps, channels]`, divided by the stretch.
    let depthwiseWeight: [Float]
    let depthwiseBias: [Float]
    let expansionBias: [Float]
    /// The factor of each column of the expansion.
    let stretch: [Float]

    /// How far a channel's values reach, in standard deviations.
    private static let reach: Float = 4

    /// - Parameters:
    ///   - expansion: `[outputs, channels]`.
    ///   - statistics: Of the depthwise convolution's output.
    init(
        depthwiseWeight: [Float], depthwiseBias: [Float], expansion: TensorView, expansionBias: [Float],
        statistics: ChannelStatistics
    ) throws(ModelFileError) {
        let channels = depthwiseBias.count
        let weight = try expansion.floats()
        var largest = [Float](repeating: 0, count: channels)
        var bias = expansionBias
        for output in bias.indices {
            var moved = 0.0
            for channel in 0..<channels {
                let value = weight[output * channels + channel]
                largest[channel] = max(largest[channel], value.magnitude)
                moved += Double(value) * Double(statistics.mean[channel])
            }
            bias[output] += Float(moved)
        }
        var stretch = (0..<channels).map { channel -> Float in
            let ratio = Self.reach * statistics.deviation[channel] / max(largest[channel], 1e-12)
            return max(ratio, 1e-12).squareRoot()
        }
        // Around 1, so that nothing grows or shrinks as a whole; a dead channel must not be stretched without end.
        let middle = stretch.sorted()[channels / 2]
        stretch = stretch.map { min(max($0 / max(middle, 1e-12), 1 / 64), 64) }
        self.depthwiseWeight = depthwiseWeight.enumerated().map { $1 / stretch[$0 % channels] }
        self.depthwiseBias = (0..<channels).map { (depthwiseBias[$0] - statistics.mean[$0]) / stretch[$0] }
        self.expansionBias = bias
        self.stretch = stretch
    }
}
