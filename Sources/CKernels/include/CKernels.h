#ifndef FASTVLM_CKERNELS_H
#define FASTVLM_CKERNELS_H

#include "f32_kernels.h"
#include "heap.h"
#include "isa.h"
#include "peak.h"
#include "quant_kernels.h"
#include "thread_pool.h"

#endif
