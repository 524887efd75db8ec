#include "heap.h"

#include <malloc.h>

void fv_give_back_unused_memory(void) {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
