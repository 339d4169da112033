/* Threads with names and without signals; conditions with deadlines. */
#include "util/clock.h"
#include "util/thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Seen {
    char name[16];
    bool term_blocked;
} Seen;

static void *look(void *arg)
{
    Seen *seen = arg;
    sigset_t mask;

    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    seen->term_blocked = sigismember(&mask, SIGTERM) == 1;
    return NULL;
}

static void threads_have_their_name_and_block_signals(void **state G_GNUC_UNUSED)
{
    Seen seen = {"", false};
    sigset_t mask;

    g_thread_join(dv_thread_new("rpc-listen", look, &seen));
    assert_string_equal(seen.name, "rpc-listen");
    assert_true(seen.term_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM)); /* ours is as before */
}

typedef struct Box {
    DvMutex lock;
    DvCond changed;
    int value;
} Box;

static void *count_up(void *arg)
{
    Box *box = arg;

    for (int i = 0; i < 1000; i++) {
        dv_lock(&box->lock);
        box->value++;
        dv_cond_broadcast(&box->changed);
        dv_unlock(&box->lock);
    }
    return NULL;
}

static void a_wait_sees_what_the_other_thread_did(void **state G_GNUC_UNUSED)
{
    Box box = {.value = 0};
    GThread *threads[2];

    dv_mutex_init(&box.lock);
    dv_cond_init(&box.changed);
    for (int i = 0; i < 2; i++)
        threads[i] = dv_thread_new("counter", count_up, &box);
    dv_lock(&box.lock);
    while (box.value < 2000)
        dv_cond_wait(&box.changed, &box.lock);
    dv_unlock(&box.lock);
    for (int i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    assert_int_equal(box.value, 2000);
    dv_cond_done(&box.changed);
    dv_mutex_done(&box.lock);
}

static void a_wait_ends_at_its_deadline(void **state G_GNUC_UNUSED)
{
    Box box = {.value = 0};
    int64_t deadline = dv_now_ms() + 20;

    dv_mutex_init(&box.lock);
    dv_cond_init(&box.changed);
    dv_lock(&box.lock);
    while (dv_cond_wait_until(&box.changed, &box.lock, deadline))
        ; /* spurious */
    dv_unlock(&box.lock);
    assert_true(dv_now_ms() >= deadline);
    dv_cond_done(&box.changed);
    dv_mutex_done(&box.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_have_their_name_and_block_signals),
        cmocka_unit_test(a_wait_sees_what_the_other_thread_did),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
