#include "heap.h"

#include <malloc.h>

void fv_limit_heap(void) {
#if defined(__GLIBC__)
    mallopt(M_ARENA_MAX, 2);
    // What a frame frees, the next one asks for again: its pages are kept, up to this much, instead of being returned and
    // filled with zeros each time. Larger allocations go back at once.
    mallopt(M_MMAP_THRESHOLD, 16 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

unsigned long long fv_allocated_memory(void) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    return (unsigned long long)info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

void fv_give_back_unused_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
