#ifndef FASTVLM_CINOTIFYTOOLS_SHIM_H
#define FASTVLM_CINOTIFYTOOLS_SHIM_H
#include <inotifytools/inotify.h>
#include <inotifytools/inotifytools.h>
#endif
