internal import CKernels

/// Memory that the process holds and does not use.
public enum UnusedMemory {
    /// Has the process hold little of it from now on, though enough for the next frame to find what the last one needed;
    /// to be called before there are threads.
    public static func limit() { fv_limit_heap() }

    /// Returns the pages of freed allocations to the system. Takes some milliseconds where there is much.
    public static func giveBack() { fv_give_back_unused_memory() }
}

/// Memory that the process has allocated and uses.
public enum AllocatedMemory {
    /// Bytes, without what the heap keeps for later and without what is mapped from files; nil where the C library does not
    /// say. Unlike resident memory it does not depend on how what is free lies between what is not.
    public static var bytes: Int? {
        let bytes = fv_allocated_memory()
        return bytes > 0 ? Int(clamping: bytes) : nil
    }
}
