/* Call-monitor heartbeats. */
#include "golden.h"

#include "rpc/watch.h"

#include <stdatomic.h>

static void half_the_timeout_and_nothing_below_two(void **state G_GNUC_UNUSED)
{
    assert_int_equal(rpc_watch_period_ms(60), 30000);
    assert_int_equal(rpc_watch_period_ms(3), 1500);
    assert_int_equal(rpc_watch_period_ms(2), 1000);
    assert_int_equal(rpc_watch_period_ms(1), 0);
    assert_int_equal(rpc_watch_period_ms(0), 0);
    assert_int_equal(rpc_watch_period_ms(-7), 0);
    assert_true(rpc_watch_period_ms(INT64_MAX) > 0);
}

static void count(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void no_timeout_means_no_watch(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvTimer) timer = dv_timer_new();
    atomic_int beats = 0;

    assert_int_equal(rpc_watch_start(timer, 0, count, &beats), 0);
    assert_int_equal(rpc_watch_start(NULL, 60, count, &beats), 0);
    rpc_watch_stop(timer, 0);
}

static void beats_come_until_stopped(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvTimer) timer = dv_timer_new();
    atomic_int beats = 0;
    uint64_t id = rpc_watch_start(timer, 2, count, &beats);
    int64_t limit_ms = dv_now_ms() + 20000;
    int seen;

    assert_int_not_equal(id, 0);
    while (atomic_load(&beats) < 2 && dv_now_ms() < limit_ms)
        g_usleep(20000);
    rpc_watch_stop(timer, id);
    seen = atomic_load(&beats);
    assert_true(seen >= 2);
    g_usleep(1200000); /* longer than a period: a watch that went on would show */
    assert_int_equal(atomic_load(&beats), seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_the_timeout_and_nothing_below_two),
        cmocka_unit_test(no_timeout_means_no_watch),
        cmocka_unit_test(beats_come_until_stopped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
