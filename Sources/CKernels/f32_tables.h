#ifndef FASTVLM_F32_TABLES_H
#define FASTVLM_F32_TABLES_H

#include "f32_kernels.h"

extern const fv_f32_kernels fv_f32_kernels__scalar;
extern const fv_f32_kernels fv_f32_kernels__avx2;
extern const fv_f32_kernels fv_f32_kernels__avx512;
extern const fv_f32_kernels fv_f32_kernels__neon;

#endif
