/* Lanes: order within a key, independence between keys, nothing lost when pools stop. */
#include "util/clock.h"
#include "util/lanes.h"
#include "util/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { KEYS = 8, JOBS = 200 };

typedef struct Key {
    atomic_int inside;
    int next; /* no lock: the lane is the lock, and TSan checks it */
    atomic_int overlaps, disorders;
} Key;

typedef struct Job {
    Key *key;
    int number;
} Job;

static atomic_int done;
static atomic_int dropped;

static void run_job(void *arg)
{
    Job *job = arg;

    if (atomic_fetch_add(&job->key->inside, 1) != 0)
        atomic_fetch_add(&job->key->overlaps, 1);
    if (job->key->next++ != job->number)
        atomic_fetch_add(&job->key->disorders, 1);
    atomic_fetch_sub(&job->key->inside, 1);
    atomic_fetch_add(&done, 1);
    g_free(job);
}

static void drop_job(void *arg)
{
    atomic_fetch_add(&dropped, 1);
    g_free(arg);
}

static void wait_until(const atomic_int *value, int want)
{
    for (int i = 0; atomic_load(value) < want; i++) {
        assert_true(i < 12000);
        g_usleep(5000);
    }
}

static void one_job_per_key_at_a_time_and_in_order(void **state G_GNUC_UNUSED)
{
    DvPool *pools[] = {dv_pool_new("general", 4), dv_pool_new("build", 2)};
    DvLanes *lanes = dv_lanes_new();
    Key keys[KEYS] = {0};

    atomic_store(&done, 0);
    for (int n = 0; n < JOBS; n++)
        for (int k = 0; k < KEYS; k++) {
            g_autofree char *name = g_strdup_printf("instance-%d", k);
            Job *job = g_new(Job, 1);

            *job = (Job){&keys[k], n};
            dv_lanes_submit(lanes, name, pools[n % 2], run_job, job, drop_job);
        }
    wait_until(&done, KEYS * JOBS);
    for (int i = 0; i < 2; i++)
        assert_true(dv_pool_stop(pools[i], dv_now_ms() + 60000));
    for (int k = 0; k < KEYS; k++) {
        assert_int_equal(keys[k].overlaps, 0);
        assert_int_equal(keys[k].disorders, 0);
        assert_int_equal(keys[k].next, JOBS);
    }
    assert_int_equal(dv_lanes_depth(lanes, "instance-0"), 0);
    dv_lanes_free(lanes);
    for (int i = 0; i < 2; i++)
        dv_pool_free(pools[i]);
}

typedef struct Gate {
    DvMutex lock;
    DvCond changed;
    bool open, entered;
} Gate;

static void stand_at_gate(void *arg)
{
    Gate *gate = arg;

    dv_lock(&gate->lock);
    gate->entered = true;
    dv_cond_broadcast(&gate->changed);
    while (!gate->open)
        dv_cond_wait(&gate->changed, &gate->lock);
    dv_unlock(&gate->lock);
}

static void gate_init(Gate *gate)
{
    *gate = (Gate){.open = false};
    dv_mutex_init(&gate->lock);
    dv_cond_init(&gate->changed);
}

static void gate_wait_entered(Gate *gate)
{
    dv_lock(&gate->lock);
    while (!gate->entered)
        dv_cond_wait(&gate->changed, &gate->lock);
    dv_unlock(&gate->lock);
}

static void gate_set_open(Gate *gate)
{
    dv_lock(&gate->lock);
    gate->open = true;
    dv_cond_broadcast(&gate->changed);
    dv_unlock(&gate->lock);
}

static void a_blocked_lane_holds_one_worker_only(void **state G_GNUC_UNUSED)
{
    DvPool *pool = dv_pool_new("general", 2);
    DvLanes *lanes = dv_lanes_new();
    Key slow = {0};
    Key other = {0};
    Gate gate;

    gate_init(&gate);
    atomic_store(&done, 0);
    dv_lanes_submit(lanes, "slow", pool, stand_at_gate, &gate, NULL);
    gate_wait_entered(&gate);
    for (int n = 0; n < 10; n++) {
        Job *job = g_new(Job, 1);

        *job = (Job){&slow, n};
        dv_lanes_submit(lanes, "slow", pool, run_job, job, drop_job);
    }
    assert_int_equal(dv_lanes_depth(lanes, "slow"), 11);
    for (int n = 0; n < 10; n++) {
        Job *job = g_new(Job, 1);

        *job = (Job){&other, n};
        dv_lanes_submit(lanes, "other", pool, run_job, job, drop_job);
    }
    wait_until(&done, 10); /* all of "other", while "slow" stands */
    assert_int_equal(slow.next, 0);
    gate_set_open(&gate);
    wait_until(&done, 20);
    assert_true(dv_pool_stop(pool, dv_now_ms() + 60000));
    dv_lanes_free(lanes);
    dv_pool_free(pool);
}

static void a_stopping_pool_drops_the_whole_lane(void **state G_GNUC_UNUSED)
{
    DvPool *pool = dv_pool_new("general", 1);
    DvLanes *lanes = dv_lanes_new();
    Key key = {0};
    Gate gate;

    gate_init(&gate);
    atomic_store(&done, 0);
    atomic_store(&dropped, 0);
    dv_lanes_submit(lanes, "first", pool, stand_at_gate, &gate, NULL);
    gate_wait_entered(&gate);
    for (int n = 0; n < 5; n++) {
        Job *job = g_new(Job, 1);

        *job = (Job){&key, n};
        dv_lanes_submit(lanes, n % 2 ? "first" : "second", pool, run_job, job, drop_job);
    }
    assert_false(dv_pool_stop(pool, dv_now_ms()));
    assert_int_equal(atomic_load(&dropped), 3); /* "second": its head and all behind it */
    gate_set_open(&gate);
    assert_true(dv_pool_stop(pool, dv_now_ms() + 60000));
    assert_int_equal(atomic_load(&dropped), 5);
    assert_int_equal(atomic_load(&done), 0);
    assert_int_equal(dv_lanes_depth(lanes, "first"), 0);
    dv_lanes_free(lanes);
    dv_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_job_per_key_at_a_time_and_in_order),
        cmocka_unit_test(a_blocked_lane_holds_one_worker_only),
        cmocka_unit_test(a_stopping_pool_drops_the_whole_lane),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
