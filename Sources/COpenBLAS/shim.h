#ifndef FASTVLM_COPENBLAS_SHIM_H
#define FASTVLM_COPENBLAS_SHIM_H

// Only OpenBLAS's types are taken from its header. The library itself is not linked: Kernels loads it
// on first use, because OPENBLAS_CORETYPE can only be corrected before it is loaded, and because a
// model that runs on our own kernels should not pay for its buffers.
#include <cblas.h>

typedef __typeof__(&cblas_sgemm) fastvlm_cblas_sgemm_fn;
typedef __typeof__(&openblas_set_num_threads) fastvlm_openblas_set_num_threads_fn;
typedef __typeof__(&openblas_get_corename) fastvlm_openblas_get_corename_fn;
typedef __typeof__(&openblas_get_config) fastvlm_openblas_get_config_fn;

#endif
