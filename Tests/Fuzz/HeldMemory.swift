import Glibc

/// What a target holds while it runs, counted at every allocation: an input must not make it hold more than its size allows,
/// and all of them together nothing afterwards.
///
/// One thread runs the targets; what other threads allocate meanwhile is counted as theirs.
enum HeldMemory {
    // Invariant: only the one thread that runs the targets reads and writes these. Allocations call
    // back, where a lock or an actor, which may allocate, has no place.
    nonisolated(unsafe) private static var isCounting = false
    nonisolated(unsafe) private static var held = 0
    nonisolated(unsafe) private static var limit = 0
    nonisolated(unsafe) private static var kept = 0

    /// Bytes that all runs together may leave behind: what the runtime and the libraries make once.
    private static let keptLimit = 8 << 20

    /// Has the sanitizer call back at every allocation. Once, before the first input.
    static func watch() {
        _ = installHooks(
            { _, count in
                guard HeldMemory.isCounting else { return }
                HeldMemory.held += count
                if HeldMemory.held > HeldMemory.limit { HeldMemory.refuse() }
            },
            { start in
                guard HeldMemory.isCounting, let start else { return }
                HeldMemory.held -= allocatedSize(start)
            })
    }

    /// Runs `body`, and ends the process as a crash where it holds more than `limit` bytes at once, or leaks unless it may.
    static func atMost(_ limit: Int, mayLeak: Bool = false, _ body: () -> Void) {
        held = 0
        Self.limit = limit
        isCounting = true
        body()
        isCounting = false
        if !mayLeak { kept += held }
        guard kept < keptLimit else { fatalError("\(kept) bytes were not freed") }
    }

    private static func refuse() {
        isCounting = false
        fatalError("\(held) bytes are held at once, at most \(limit) are allowed for this input")
    }
}

/// Of the address sanitizer.
@_silgen_name("__sanitizer_install_malloc_and_free_hooks")
private func installHooks(
    _ allocated: @convention(c) (UnsafeRawPointer?, Int) -> Void, _ freed: @convention(c) (UnsafeRawPointer?) -> Void
) -> CInt

@_silgen_name("__sanitizer_get_allocated_size")
private func allocatedSize(_ start: UnsafeRawPointer) -> Int
