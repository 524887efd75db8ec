#ifndef FASTVLM_PEAK_H
#define FASTVLM_PEAK_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

// What the machine could do at most: the instructions of the products, on registers alone. Nothing of the
// model runs here; these are what its kernels are held against.

// Multiplies and adds 8-bit numbers into 32-bit sums `rounds` times with the instructions of `isa`'s product,
// and returns how many operations that was, a multiplication and an addition being two; 0 for
// FV_ISA_SCALAR, whose instructions the compiler chooses, and where this processor lacks them.
uint64_t fv_peak_i8(fv_isa isa, int64_t rounds);

// The same with float32.
uint64_t fv_peak_f32(fv_isa isa, int64_t rounds);

// Reads `bytes` bytes from `memory` once, in order, and returns a number that depends on all of them.
uint64_t fv_read_memory(const void *memory, size_t bytes);

#endif
