#ifndef FASTVLM_HEAP_H
#define FASTVLM_HEAP_H

// Has all threads share two arenas: of itself the heap would grow one for nearly each, and each keeps what was freed in it.
// And has it keep what was freed, up to 16 MB of it, for the next frame. To be called before there are threads.
void fv_limit_heap(void);

// Returns the pages of freed allocations to the system; takes some milliseconds where there is much.
void fv_give_back_unused_memory(void);

// Bytes that are allocated and not freed, in all arenas and mappings of their own; 0 where the C library does not say.
unsigned long long fv_allocated_memory(void);

#endif
