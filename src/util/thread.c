/* Locks, conditions and named threads; see thread.h. */
#include "util/thread.h"

#include <signal.h>

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
    return g_cond_wait_until(&cond->c, &mutex->m, deadline_ms * 1000);
}

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
