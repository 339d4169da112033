/* Threads with names, and locks that clang checks (-Wthread-safety).
 *
 * A field that more than one thread reaches states its rule in a comment: [lock], [const], [atomic]
 * or [thread: name]; fields under a lock also carry DV_GUARDED_BY, functions that need it
 * DV_REQUIRES. Locks are leaves: none is held across RPC, REST, libvirt or disk. */
#pragma once

#include <glib.h>
#include <stdint.h>

/* GLib's locks are bare futexes, which ThreadSanitizer cannot see through: under it, and only
 * there, ours are pthread's. Elsewhere not, because pthread_cond_signal of glibc 2.25 to 2.40
 * (Debian 12 has 2.36) can lose a wakeup (sourceware bug 25847), which a process that runs for
 * years would meet. */
#if defined(__SANITIZE_THREAD__)
#define DV_PTHREAD_LOCKS
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DV_PTHREAD_LOCKS
#endif
#endif
#ifdef DV_PTHREAD_LOCKS
#include <pthread.h>
#endif

#if defined(__clang__)
#define DV_TSA(x) __attribute__((x))
#else
#define DV_TSA(x)
#endif
#define DV_CAPABILITY(name) DV_TSA(capability(name))
/* Documentation only: clang before 20 cannot name another member of a C struct here. The checking
 * is that of DV_REQUIRES on the functions. */
#define DV_GUARDED_BY(l)
#define DV_REQUIRES(...) DV_TSA(requires_capability(__VA_ARGS__))
#define DV_ACQUIRE(...) DV_TSA(acquire_capability(__VA_ARGS__))
#define DV_RELEASE(...) DV_TSA(release_capability(__VA_ARGS__))
#define DV_EXCLUDES(...) DV_TSA(locks_excluded(__VA_ARGS__))
#define DV_NO_ANALYSIS DV_TSA(no_thread_safety_analysis)

typedef struct DV_CAPABILITY("mutex") DvMutex {
#ifdef DV_PTHREAD_LOCKS
    pthread_mutex_t m;
#else
    GMutex m;
#endif
} DvMutex;

typedef struct DvCond {
#ifdef DV_PTHREAD_LOCKS
    pthread_cond_t c;
#else
    GCond c;
#endif
} DvCond;

void dv_mutex_init(DvMutex *mutex);
void dv_mutex_done(DvMutex *mutex);
void dv_lock(DvMutex *mutex) DV_ACQUIRE(mutex);
void dv_unlock(DvMutex *mutex) DV_RELEASE(mutex);

void dv_cond_init(DvCond *cond);
void dv_cond_done(DvCond *cond);
void dv_cond_signal(DvCond *cond);
void dv_cond_broadcast(DvCond *cond);
void dv_cond_wait(DvCond *cond, DvMutex *mutex) DV_REQUIRES(mutex);
/* Waits until `deadline_ms` (dv_now_ms time base); FALSE when it passed. */
gboolean dv_cond_wait_until(DvCond *cond, DvMutex *mutex, int64_t deadline_ms) DV_REQUIRES(mutex);

/* Starts a thread with all signals blocked (main alone takes them). Join it with g_thread_join. */
GThread *dv_thread_new(const char *name, GThreadFunc fn, void *arg);
