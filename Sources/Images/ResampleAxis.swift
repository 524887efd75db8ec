internal import CImageCodecs

/// One axis of an antialiased bicubic resampling: for each target sample, the source samples it is made of.
///
/// The arithmetic is that of Pillow's `Image.resize(BICUBIC)`, in the same order, so that results are the same to the
/// bit: the kernel with a = -0.5 is widened by the scale when shrinking, its samples are normalized in double and then
/// rounded to 22 fractional bits.
struct ResampleAxis {
    private(set) var first: [Int32] = []
    private(set) var count: [Int32] = []
    private(set) var weights: [Int32] = []
    let stride: Int

    /// - Parameters:
    ///   - source: samples of the whole source line, the padding included.
    ///   - target: samples of the whole target line.
    ///   - window: the target samples that are wanted.
    ///   - stored: the source samples that exist. All others are black, and left out: black adds nothing to a sum.
    init(source: Int, target: Int, window: Range<Int>, stored: Range<Int>) {
        let scale = Double(source) / Double(target)
        let widening = max(scale, 1)
        let support = 2 * widening
        stride = source == target ? 1 : min(Int(support.rounded(.up)) * 2 + 1, stored.count)
        first.reserveCapacity(window.count)
        count.reserveCapacity(window.count)
        weights.reserveCapacity(window.count * stride)

        var samples: [Double] = []
        for i in window {
            var start = i
            samples.removeAll(keepingCapacity: true)
            if source == target {
                samples.append(1)  // Pillow leaves such a line alone
            } else {
                let center = (Double(i) + 0.5) * scale
                start = max(0, Int(center - support + 0.5))
                let end = min(source, Int(center + support + 0.5))
                var sum = 0.0
                for j in start..<max(start, end) {
                    let weight = Self.bicubic((Double(j) - center + 0.5) * (1 / widening))
                    samples.append(weight)
                    sum += weight
                }
                if sum != 0 {
                    for k in samples.indices { samples[k] /= sum }
                }
            }
            append(samples, from: start, stored: stored)
        }
    }

    /// Keeps the samples that exist; `first` counts from the first of those.
    private mutating func append(_ samples: [Double], from start: Int, stored: Range<Int>) {
        let kept = (start..<(start + samples.count)).clamped(to: stored)
        first.append(Int32(kept.isEmpty ? 0 : kept.lowerBound - stored.lowerBound))
        count.append(Int32(kept.count))
        for k in 0..<stride {
            guard k < kept.count else {
                weights.append(0)
                continue
            }
            weights.append(Self.fixedPoint(samples[kept.lowerBound + k - start]))
        }
    }

    private static func fixedPoint(_ weight: Double) -> Int32 {
        let scaled = weight * Double(1 << FV_RESAMPLE_BITS)
        return Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
    }

    /// Keys' cubic convolution kernel with a = -0.5, zero from 2 on.
    private static func bicubic(_ distance: Double) -> Double {
        let a = -0.5
        let x = abs(distance)
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }
}
