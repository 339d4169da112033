/* Pools: bounded, in order, idle without threads, and stoppable. */
#include "util/clock.h"
#include "util/pool_priv.h"
#include "util/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A gate that jobs stand at until it opens, and what was seen of them. */
typedef struct Gate {
    DvMutex lock;
    DvCond changed;
    bool open;
    int inside, most, done, dropped;
    GString *order;
} Gate;

static Gate *gate_new(void)
{
    Gate *gate = g_new0(Gate, 1);

    dv_mutex_init(&gate->lock);
    dv_cond_init(&gate->changed);
    gate->order = g_string_new(NULL);
    return gate;
}

static void gate_free(Gate *gate)
{
    dv_mutex_done(&gate->lock);
    dv_cond_done(&gate->changed);
    g_string_free(gate->order, TRUE);
    g_free(gate);
}

static void gate_set_open(Gate *gate)
{
    dv_lock(&gate->lock);
    gate->open = true;
    dv_cond_broadcast(&gate->changed);
    dv_unlock(&gate->lock);
}

static void gate_wait_inside(Gate *gate, int n)
{
    dv_lock(&gate->lock);
    while (gate->inside < n)
        dv_cond_wait(&gate->changed, &gate->lock);
    dv_unlock(&gate->lock);
}

static void gate_wait_done(Gate *gate, int n)
{
    dv_lock(&gate->lock);
    while (gate->done < n)
        dv_cond_wait(&gate->changed, &gate->lock);
    dv_unlock(&gate->lock);
}

static void stand_at_gate(void *arg)
{
    Gate *gate = arg;

    dv_lock(&gate->lock);
    gate->inside++;
    gate->most = MAX(gate->most, gate->inside);
    dv_cond_broadcast(&gate->changed);
    while (!gate->open)
        dv_cond_wait(&gate->changed, &gate->lock);
    gate->inside--;
    gate->done++;
    dv_cond_broadcast(&gate->changed);
    dv_unlock(&gate->lock);
}

static void drop(void *arg)
{
    Gate *gate = arg;

    dv_lock(&gate->lock);
    gate->dropped++;
    dv_unlock(&gate->lock);
}

static void no_more_workers_than_allowed(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();
    g_autoptr(DvPool) pool = dv_pool_new("build", 3);

    for (int i = 0; i < 10; i++)
        dv_pool_submit(pool, stand_at_gate, gate, NULL);
    gate_wait_inside(gate, 3);
    assert_int_equal(dv_pool_running(pool), 3);
    assert_int_equal(dv_pool_queued(pool), 7);
    gate_set_open(gate);
    gate_wait_done(gate, 10);
    assert_int_equal(gate->most, 3);
    assert_true(dv_pool_stop(pool, dv_now_ms() + 60000));
    gate_free(gate);
}

static void zero_is_unlimited(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();
    g_autoptr(DvPool) pool = dv_pool_new("any", 0);

    for (int i = 0; i < 20; i++)
        dv_pool_submit(pool, stand_at_gate, gate, NULL);
    gate_wait_inside(gate, 20);
    gate_set_open(gate);
    assert_true(dv_pool_stop(pool, dv_now_ms() + 60000));
    assert_int_equal(gate->done, 20);
    gate_free(gate);
}

typedef struct Letter {
    Gate *gate;
    char letter;
} Letter;

static void write_letter(void *arg)
{
    Letter *letter = arg;

    dv_lock(&letter->gate->lock);
    g_string_append_c(letter->gate->order, letter->letter);
    letter->gate->done++;
    dv_cond_broadcast(&letter->gate->changed);
    dv_unlock(&letter->gate->lock);
    g_free(letter);
}

static void jobs_start_in_the_order_they_came(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();
    g_autoptr(DvPool) pool = dv_pool_new("one", 1);

    for (char c = 'a'; c <= 'z'; c++) {
        Letter *letter = g_new(Letter, 1);

        *letter = (Letter){gate, c};
        dv_pool_submit(pool, write_letter, letter, g_free);
    }
    gate_wait_done(gate, 26);
    assert_string_equal(gate->order->str, "abcdefghijklmnopqrstuvwxyz");
    assert_true(dv_pool_stop(pool, dv_now_ms() + 60000));
    gate_free(gate);
}

static void a_stop_drops_what_waits_and_waits_for_what_runs(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();
    DvPool *pool = dv_pool_new("stop", 1);

    for (int i = 0; i < 5; i++)
        dv_pool_submit(pool, stand_at_gate, gate, drop);
    gate_wait_inside(gate, 1);
    assert_false(dv_pool_stop(pool, dv_now_ms() + 20)); /* one still runs */
    assert_int_equal(gate->dropped, 4);
    dv_pool_submit(pool, stand_at_gate, gate, drop); /* too late */
    assert_int_equal(gate->dropped, 5);
    gate_set_open(gate);
    assert_true(dv_pool_stop(pool, dv_now_ms() + 60000));
    assert_int_equal(gate->done, 1);
    dv_pool_free(pool);
    gate_free(gate);
}

static unsigned threads_named(const char *name)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    const char *id = NULL;
    unsigned n = 0;

    while ((id = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename("/proc/self/task", id, "comm", NULL);
        g_autofree char *comm = NULL;

        if (g_file_get_contents(path, &comm, NULL, NULL))
            n += strcmp(g_strchomp(comm), name) == 0;
    }
    return n;
}

static void idle_workers_end(void **state G_GNUC_UNUSED)
{
    Gate *gate = gate_new();
    g_autoptr(DvPool) pool = dv_pool_new("idler", 4);

    dv_pool_set_idle_ms(pool, 1);
    gate_set_open(gate);
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 4; i++)
            dv_pool_submit(pool, stand_at_gate, gate, NULL);
        gate_wait_done(gate, 4 * round);
        for (int i = 0; threads_named("idler") > 0; i++) {
            assert_true(i < 6000);
            g_usleep(10000);
        }
    }
    gate_free(gate);
}

static void freeing_without_jobs_is_fine(void **state G_GNUC_UNUSED)
{
    dv_pool_free(dv_pool_new("unused", 2));
    dv_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_workers_than_allowed),
        cmocka_unit_test(zero_is_unlimited),
        cmocka_unit_test(jobs_start_in_the_order_they_came),
        cmocka_unit_test(a_stop_drops_what_waits_and_waits_for_what_runs),
        cmocka_unit_test(idle_workers_end),
        cmocka_unit_test(freeing_without_jobs_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
