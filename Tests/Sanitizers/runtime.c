// What the thread sanitizer has to know of Swift's runtime, which is built without it. Tests/Sanitizers/run loads this in
// front of that runtime.
//
// Mutex: where nobody waits, taking and leaving it are atomic operations in our own code, which the sanitizer sees; where
// somebody does, they are calls into the runtime, and whatever stands behind a mutex that was ever waited for would be told
// as a race.
//
// Copies on write: who asks whether storage is his alone, and then writes to it, comes after all who have let go of it.
// Who lets go last takes it apart, after the others too. The counting is the runtime's, so that every copy that was taken under a mutex and read outside would be told as a race
// with the next change. What the runtime lets go of by itself (the parts of what is taken apart, generic values) is not seen
// here: such places are named in `suppressions`.
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
    if ((intptr_t)object <= 0 || !__tsan_release || !swift_retainCount) return;
    __tsan_release(object);
    // The last to let go takes it apart, after all the others.
    if (swift_retainCount(object) == 1) acquire(object);
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

typedef void (*release_function)(void *);
typedef void (*release_n_function)(void *, uint32_t);

KEEPING void swift_release(void *object)
{
    ORIGINAL(release_function, "swift_release");
    release(object);
    found(object);
}

KEEPING void swift_release_n(void *object, uint32_t count)
{
    ORIGINAL(release_n_function, "swift_release_n");
    release(object);
    found(object, count);
}
