internal import Glibc

/// The natural logarithm.
func logarithm(_ x: Double) -> Double { log(x) }

/// e to the power of `x`.
func exponential(_ x: Double) -> Double { exp(x) }

/// The cosine of `x` in radians.
func cosine(_ x: Double) -> Double { cos(x) }

extension Double {
    /// A time that can be reckoned with: not NaN, and not below zero.
    var asDuration: Double { self > 0 ? self : 0 }

    /// Rounds down into the range of counts, whatever the value is.
    func asCount(atMost limit: Int) -> Int {
        guard self > 0 else { return 0 }
        return self < Double(limit) ? Int(self) : max(0, limit)
    }
}
