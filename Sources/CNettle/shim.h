#ifndef FASTVLM_CNETTLE_SHIM_H
#define FASTVLM_CNETTLE_SHIM_H
#include <nettle/sha1.h>
#include <nettle/sha2.h>
#endif
