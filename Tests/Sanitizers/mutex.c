// What the thread sanitizer has to know of Swift's Mutex. Where nobody waits, taking and leaving it are atomic operations in
// our own code, which the sanitizer sees; where somebody does, they are calls into Swift's runtime, which is built without
// it, and everything behind a mutex that was ever waited for would be told as a race. Tests/Sanitizers/run loads this in front of
// that runtime.
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));

// Synchronization._MutexHandle._lockSlow(UInt32), ._tryLockSlow() and ._unlockSlow().
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

static void *original(const char *name)
{
    void *address = dlsym(RTLD_NEXT, name);
    if (!address) abort();
    return address;
}

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void lock_slow(uint32_t thread, SELF)
{
    ((SWIFT void (*)(uint32_t, SELF))original(LOCK))(thread, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT _Bool try_lock_slow(SELF) __asm__(TRY);
SWIFT _Bool try_lock_slow(SELF)
{
    _Bool taken = ((SWIFT _Bool (*)(SELF))original(TRY))(self);
    if (taken && __tsan_acquire) __tsan_acquire(self);
    return taken;
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF)
{
    if (__tsan_release) __tsan_release(self);
    ((SWIFT void (*)(SELF))original(UNLOCK))(self);
}
