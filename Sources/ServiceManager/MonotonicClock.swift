internal import Glibc

/// The clock that the service manager compares with.
enum MonotonicClock {
    /// Microseconds on `CLOCK_MONOTONIC`.
    static var microseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(clamping: time.tv_sec) * 1_000_000 + UInt64(clamping: time.tv_nsec / 1000)
    }
}
