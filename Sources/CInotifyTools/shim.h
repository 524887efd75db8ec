#ifndef FASTVLM_CINOTIFYTOOLS_SHIM_H
#define FASTVLM_CINOTIFYTOOLS_SHIM_H
#include <inotifytools/inotify.h>
#include <inotifytools/inotifytools.h>

#include <errno.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* O_PATH: glibc shows it only to those who ask for GNU extensions, which Swift's importer does not. */
static inline int fastvlm_o_path(void) { return 010000000; }

/* openat2 that stays beneath `folder` and follows no link: glibc has no wrapper for it, and Swift cannot call the
   variadic syscall(). Returns the descriptor, or -1 with errno set. */
static inline int fastvlm_open_beneath(int folder, const char *path, int flags) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = (uint64_t)(unsigned int)flags;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

/* The magic number of the file system that `descriptor` lies on, or -1: Swift's Glibc leaves statfs out. */
static inline int64_t fastvlm_file_system(int descriptor) {
    struct statfs status;
    if (fstatfs(descriptor, &status) != 0) return -1;
    return (int64_t)(uint32_t)status.f_type;
}

/* Copies an event's name, without its zeros, into `name` and returns its length: Swift does not import the flexible
   array at the event's end. */
static inline size_t fastvlm_event_name(const struct inotify_event *event, unsigned char *name, size_t capacity) {
    size_t length = strnlen(event->name, event->len);
    if (length > capacity) length = capacity;
    memcpy(name, event->name, length);
    return length;
}
#endif
