/// A cost in ms that grows smoothly with a size: `constant + linear x + quadratic x^2`, bent at measured sizes so
/// that it meets what was measured there.
public struct CostCurve: Sendable, Equatable, Codable {
    /// Measured over computed at one size.
    public struct Correction: Sendable, Equatable, Codable {
        public var size: Double
        public var ratio: Double

        public init(size: Double, ratio: Double) {
            self.size = size
            self.ratio = ratio
        }
    }

    public var constant: Double
    public var linear: Double
    public var quadratic: Double
    /// Ascending by size; between two the ratio runs straight, beyond the ends it stays.
    public var corrections: [Correction]

    public init(constant: Double = 0, linear: Double = 0, quadratic: Double = 0, corrections: [Correction] = []) {
        self.constant = constant
        self.linear = linear
        self.quadratic = quadratic
        self.corrections = corrections
    }

    /// The cost at `size`, ms; at least 0, and 0 for a size that is not a number.
    public func callAsFunction(_ size: Double) -> Double {
        ((constant + linear * size + quadratic * size * size) * ratio(at: size)).asDuration
    }

    private func ratio(at size: Double) -> Double {
        guard var low = corrections.first else { return 1 }
        for high in corrections {
            if size < high.size {
                guard high.size > low.size else { return high.ratio }
                return low.ratio + (high.ratio - low.ratio) * (size - low.size) / (high.size - low.size)
            }
            low = high
        }
        return low.ratio
    }

    /// What was measured at one size.
    struct Sample {
        var size: Double
        var milliseconds: Double
    }

    /// Terms that a curve may have.
    enum Shape {
        case line
        case parabola
    }

    /// The curve with the smallest squared relative error that has no negative term, then bent to meet the samples.
    ///
    /// Samples of the same size are averaged. With fewer sizes than terms the simplest curve is taken, the linear
    /// term first: a cost that doubles with its size is the best guess from one measurement.
    static func fit(_ samples: [Sample], _ shape: Shape) -> CostCurve {
        let merged = merge(samples)
        guard !merged.isEmpty else { return CostCurve() }
        // Sizes are scaled to 0...1 so that the sums stay well conditioned.
        let scale = max(merged[merged.count - 1].size, 1)
        let subsets: [[Int]] =
            switch shape {
            case .line: [[1], [0], [0, 1]]
            case .parabola: [[1], [0], [2], [0, 1], [1, 2], [0, 2], [0, 1, 2]]
            }
        var best: (error: Double, terms: [Double]) = (.infinity, [0, 0, 0])
        for subset in subsets where subset.count <= merged.count {
            guard let terms = leastSquares(merged, powers: subset, scale: scale), terms.allSatisfy({ $0 >= 0 }) else {
                continue
            }
            let error = merged.reduce(0.0) { sum, sample in
                let x = sample.size / scale
                let miss = (terms[0] + terms[1] * x + terms[2] * x * x) / sample.milliseconds - 1
                return sum + miss * miss
            }
            // A further term has to earn its place.
            if error < best.error - 1e-12 { best = (error, terms) }
        }
        var curve = CostCurve(
            constant: best.terms[0], linear: best.terms[1] / scale, quadratic: best.terms[2] / (scale * scale))
        let ratios = merged.map { sample in
            let computed = curve(sample.size)
            return Correction(size: sample.size, ratio: computed > 0 ? sample.milliseconds / computed : 1)
        }
        curve.corrections = ratios
        return curve
    }

    private static func merge(_ samples: [Sample]) -> [Sample] {
        var merged: [(sample: Sample, count: Double)] = []
        for sample in samples.sorted(by: { $0.size < $1.size }) {
            if let last = merged.last, last.sample.size == sample.size {
                let sum = last.sample.milliseconds * last.count + sample.milliseconds
                merged[merged.count - 1] = (
                    Sample(size: sample.size, milliseconds: sum / (last.count + 1)), last.count + 1
                )
            } else {
                merged.append((sample, 1))
            }
        }
        return merged.map(\.sample)
    }

    /// Coefficients of x^0, x^1, x^2 (x = size / scale), those of `powers` only, weighted by 1 / milliseconds^2.
    private static func leastSquares(_ samples: [Sample], powers: [Int], scale: Double) -> [Double]? {
        let n = powers.count
        var matrix = [[Double]](repeating: [Double](repeating: 0, count: n + 1), count: n)
        for sample in samples {
            let x = sample.size / scale
            let columns = powers.map { ([1, x, x * x] as [Double])[$0] / sample.milliseconds }
            for row in 0..<n {
                for column in 0..<n { matrix[row][column] += columns[row] * columns[column] }
                matrix[row][n] += columns[row]
            }
        }
        for pivot in 0..<n {
            guard let best = (pivot..<n).max(by: { abs(matrix[$0][pivot]) < abs(matrix[$1][pivot]) }),
                abs(matrix[best][pivot]) > 1e-18
            else { return nil }
            matrix.swapAt(pivot, best)
            for row in 0..<n where row != pivot {
                let factor = matrix[row][pivot] / matrix[pivot][pivot]
                for column in pivot...n { matrix[row][column] -= factor * matrix[pivot][column] }
            }
        }
        var terms: [Double] = [0, 0, 0]
        for (row, power) in powers.enumerated() { terms[power] = matrix[row][n] / matrix[row][row] }
        return terms.allSatisfy(\.isFinite) ? terms : nil
    }
}
