#include "heap.h"

#include <malloc.h>

// A block of a picture or a layer; above what texts and messages need.
enum { OWN_MAPPING = 256 << 10, ARENAS = 2 };

void fv_keep_heap_small(void) {
#if defined(__GLIBC__)
    mallopt(M_ARENA_MAX, ARENAS);
    // Set, it stays there: of itself it would grow to 32 MiB with the first large block that is freed.
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
#endif
}

void fv_give_back_unused_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
