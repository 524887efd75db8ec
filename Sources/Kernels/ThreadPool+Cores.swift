internal import Glibc

extension ThreadPool {
    /// Cores that this process may run on: what `taskset` and a service's `CPUAffinity=` leave of the machine's.
    public static var availableCores: Int {
        var set = cpu_set_t()
        guard sched_getaffinity(0, MemoryLayout<cpu_set_t>.size, &set) == 0 else {
            return max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        }
        let count = withUnsafeBytes(of: &set) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
        return max(1, count)
    }
}
