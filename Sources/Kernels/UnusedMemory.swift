internal import CKernels

/// Memory that the process holds and does not use.
public enum UnusedMemory {
    /// Returns the pages of freed allocations to the system. Takes some milliseconds where there is much.
    public static func giveBack() { fv_give_back_unused_memory() }
}
