// What the thread sanitizer has to know of Swift's runtime, which is built without it. Tests/Sanitizers/run loads this in
// front of that runtime.
//
// Mutex: where nobody waits, taking and leaving it are atomic operations in our own code, which the sanitizer sees; where
// somebody does, they are calls into the runtime, and whatever stands behind a mutex that was ever waited for would be told
// as a race.
//
// Copies on write: who asks whether storage is his alone, and then writes to it, comes after all who have let go of it.
// Who lets go last takes it apart, after the others too. The counting is the runtime's, so that every copy that was taken under a mutex and read outside would be told as a race
// with the next change.
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self
// Callers of these may expect that more registers than usual keep their content.
#define KEEPING __attribute__((preserve_most))

void __tsan_acquire(void *) __attribute__((weak));
void __tsan_release(void *) __attribute__((weak));

static void acquire(void *object)
{
    if (object && __tsan_acquire) __tsan_acquire(object);
}

size_t swift_retainCount(void *) __attribute__((weak));

static void release(void *object)
{
    // Not what has no count.
    if ((intptr_t)object <= 0) return;
    __tsan_release(object);
    // The last to let go takes it apart, after all the others.
    if (swift_retainCount(object) == 1) __tsan_acquire(object);
}

// The runtime's own function behind `name`, looked up once.
#define ORIGINAL(type, name)                                                                                            \
    static type original;                                                                                               \
    type found = __atomic_load_n(&original, __ATOMIC_RELAXED);                                                          \
    if (!found) {                                                                                                       \
        found = (type)dlsym(RTLD_NEXT, name);                                                                           \
        if (!found) abort();                                                                                            \
        __atomic_store_n(&original, found, __ATOMIC_RELAXED);                                                           \
    }

// Synchronization._MutexHandle._lockSlow(UInt32), ._tryLockSlow() and ._unlockSlow().
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

typedef SWIFT void (*lock_function)(uint32_t, SELF);
typedef SWIFT _Bool (*try_function)(SELF);
typedef SWIFT void (*unlock_function)(SELF);

SWIFT void lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void lock_slow(uint32_t thread, SELF)
{
    ORIGINAL(lock_function, LOCK);
    found(thread, self);
    acquire(self);
}

SWIFT _Bool try_lock_slow(SELF) __asm__(TRY);
SWIFT _Bool try_lock_slow(SELF)
{
    ORIGINAL(try_function, TRY);
    _Bool taken = found(self);
    if (taken) acquire(self);
    return taken;
}

SWIFT void unlock_slow(SELF) __asm__(UNLOCK);
SWIFT void unlock_slow(SELF)
{
    ORIGINAL(unlock_function, UNLOCK);
    if (__tsan_release) __tsan_release(self);
    found(self);
}

typedef _Bool (*unique_function)(void *);

_Bool swift_isUniquelyReferenced_native(void *object)
{
    ORIGINAL(unique_function, "swift_isUniquelyReferenced_native");
    _Bool unique = found(object);
    if (unique) acquire(object);
    return unique;
}

_Bool swift_isUniquelyReferenced_nonNull_native(void *object)
{
    ORIGINAL(unique_function, "swift_isUniquelyReferenced_nonNull_native");
    _Bool unique = found(object);
    if (unique) acquire(object);
    return unique;
}

// Letting go has a place for instruments in the runtime, through which its own calls go too.
static void (*counted_release)(void *);
static void (*counted_release_n)(void *, uint32_t);

static KEEPING void watched_release(void *object)
{
    release(object);
    counted_release(object);
}

static KEEPING void watched_release_n(void *object, uint32_t count)
{
    release(object);
    counted_release_n(object, count);
}

__attribute__((constructor)) static void watch(void)
{
    void (**one)(void *) = dlsym(RTLD_DEFAULT, "_swift_release");
    void (**several)(void *, uint32_t) = dlsym(RTLD_DEFAULT, "_swift_release_n");
    _Bool *on = dlsym(RTLD_DEFAULT, "_swift_enableSwizzlingOfAllocationAndRefCountingFunctions_forInstrumentsOnly");
    // Other programs have no such runtime.
    if (!one || !several || !on || !__tsan_release || !swift_retainCount) return;
    counted_release = *one;
    counted_release_n = *several;
    *one = (void (*)(void *))watched_release;
    *several = (void (*)(void *, uint32_t))watched_release_n;
    *on = 1;
}
