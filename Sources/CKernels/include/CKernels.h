#ifndef FASTVLM_CKERNELS_H
#define FASTVLM_CKERNELS_H

#include "isa.h"

#endif
