#include "heap.h"

#include <malloc.h>

void fv_share_arenas(void) {
#if defined(__GLIBC__)
    mallopt(M_ARENA_MAX, 2);
#endif
}

void fv_give_back_unused_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
