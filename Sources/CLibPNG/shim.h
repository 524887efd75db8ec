#ifndef FASTVLM_CLIBPNG_SHIM_H
#define FASTVLM_CLIBPNG_SHIM_H
#include <png.h>
#endif
