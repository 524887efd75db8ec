#ifndef FASTVLM_HEAP_H
#define FASTVLM_HEAP_H

// Returns the pages of freed allocations to the system; takes some milliseconds where there is much.
void fv_give_back_unused_memory(void);

#endif
