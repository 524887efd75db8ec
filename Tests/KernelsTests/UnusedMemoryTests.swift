import Kernels
import Testing

@Suite(.serialized) struct UnusedMemoryTests {
    /// Small blocks lie in the heap, large ones in mappings of their own.
    @Test(arguments: [(count: 8192, size: 1024), (count: 1, size: 8 << 20)])
    func whatIsAllocatedCountsUntilItIsFreed(_ blocks: (count: Int, size: Int)) throws {
        let before = try #require(AllocatedMemory.bytes)
        let size = 8 << 20
        let allocations = (0..<blocks.count).map { _ in
            UnsafeMutableRawBufferPointer.allocate(byteCount: blocks.size, alignment: 8)
        }
        let between = try #require(AllocatedMemory.bytes)
        for allocation in allocations { allocation.deallocate() }
        let after = try #require(AllocatedMemory.bytes)
        // Other threads of the test's process may allocate a little meanwhile.
        #expect((size..<size + size / 4).contains(between - before), "\(between - before)")
        #expect(abs(after - before) < size / 4, "\(after - before)")
    }
}
