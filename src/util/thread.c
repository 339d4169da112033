/* Locks, conditions and named threads; see thread.h. */
#include "util/thread.h"

#include <assert.h>
#include <signal.h>
#include <time.h>

#ifdef DV_PTHREAD_LOCKS

void dv_mutex_init(DvMutex *mutex)
{
    pthread_mutex_init(&mutex->m, NULL);
}

void dv_mutex_done(DvMutex *mutex)
{
    pthread_mutex_destroy(&mutex->m);
}

void dv_lock(DvMutex *mutex) DV_NO_ANALYSIS
{
    int rc = pthread_mutex_lock(&mutex->m);

    assert(rc == 0);
    (void)rc;
}

void dv_unlock(DvMutex *mutex) DV_NO_ANALYSIS
{
    int rc = pthread_mutex_unlock(&mutex->m);

    assert(rc == 0);
    (void)rc;
}

/* The clock of dv_now_ms, so that deadlines do not move with the wall clock. */
void dv_cond_init(DvCond *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&cond->c, &attr);
    pthread_condattr_destroy(&attr);
}

void dv_cond_done(DvCond *cond)
{
    pthread_cond_destroy(&cond->c);
}

void dv_cond_signal(DvCond *cond)
{
    pthread_cond_signal(&cond->c);
}

void dv_cond_broadcast(DvCond *cond)
{
    pthread_cond_broadcast(&cond->c);
}

void dv_cond_wait(DvCond *cond, DvMutex *mutex)
{
    pthread_cond_wait(&cond->c, &mutex->m);
}

gboolean dv_cond_wait_until(DvCond *cond, DvMutex *mutex, int64_t deadline_ms)
{
    struct timespec at = {.tv_sec = (time_t)(deadline_ms / 1000),
                          .tv_nsec = (long)(deadline_ms % 1000) * 1000000};

    if (deadline_ms < 0)
        at = (struct timespec){.tv_sec = 0};
    return pthread_cond_timedwait(&cond->c, &mutex->m, &at) == 0;
}

#else

void dv_mutex_init(DvMutex *mutex)
{
    g_mutex_init(&mutex->m);
}

void dv_mutex_done(DvMutex *mutex)
{
    g_mutex_clear(&mutex->m);
}

void dv_lock(DvMutex *mutex) DV_NO_ANALYSIS
{
    g_mutex_lock(&mutex->m);
}

void dv_unlock(DvMutex *mutex) DV_NO_ANALYSIS
{
    g_mutex_unlock(&mutex->m);
}

void dv_cond_init(DvCond *cond)
{
    g_cond_init(&cond->c);
}

void dv_cond_done(DvCond *cond)
{
    g_cond_clear(&cond->c);
}

void dv_cond_signal(DvCond *cond)
{
    g_cond_signal(&cond->c);
}

void dv_cond_broadcast(DvCond *cond)
{
    g_cond_broadcast(&cond->c);
}

void dv_cond_wait(DvCond *cond, DvMutex *mutex)
{
    g_cond_wait(&cond->c, &mutex->m);
}

gboolean dv_cond_wait_until(DvCond *cond, DvMutex *mutex, int64_t deadline_ms)
{
    return g_cond_wait_until(&cond->c, &mutex->m, CLAMP(deadline_ms, 0, G_MAXINT64 / 1000) * 1000);
}

#endif

GThread *dv_thread_new(const char *name, GThreadFunc fn, void *arg)
{
    sigset_t all;
    sigset_t before;
    GThread *thread;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = g_thread_new(name, fn, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
}
