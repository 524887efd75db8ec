internal import CKernels

extension ThreadPool {
    /// Cores that this process may run on: what `taskset` and a service's `CPUAffinity=` leave of the machine's.
    public static var availableCores: Int { Int(fv_available_cores()) }
}
