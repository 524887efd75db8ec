#ifndef FASTVLM_CLIBJPEG_SHIM_H
#define FASTVLM_CLIBJPEG_SHIM_H
#include <stdio.h>  // jpeglib.h uses FILE and size_t without including them
#include <jpeglib.h>
#include <jerror.h>
#endif
