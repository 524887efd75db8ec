#ifndef FASTVLM_HEAP_H
#define FASTVLM_HEAP_H

// Has the heap hold little that is not in use, for a process that runs for months: few arenas, and large blocks in mappings
// of their own, which go back when they are freed. To be called before there are threads.
void fv_keep_heap_small(void);

// Returns the pages of freed allocations to the system; takes some milliseconds where there is much.
void fv_give_back_unused_memory(void);

#endif
