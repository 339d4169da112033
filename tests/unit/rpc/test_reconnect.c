/* Reconnect pacing: every host in turn, full jitter, growing ceiling. */
#include "golden.h"

#include "rpc/reconnect.h"

static const RpcConfig defaults = {
    .reconnect_delay_s = 1.0,
    .retry_interval_s = 1,
    .retry_backoff_s = 2,
    .interval_max_s = 30,
};

static void every_host_is_tried_before_one_again(void **state G_GNUC_UNUSED)
{
    for (guint32 seed = 0; seed < 20; seed++) {
        g_autoptr(RpcReconnect) r = rpc_reconnect_new(&defaults, 5, g_rand_new_with_seed(seed));
        size_t first[5];

        for (int round = 0; round < 3; round++) {
            unsigned seen = 0;

            for (int i = 0; i < 5; i++) {
                size_t host = rpc_reconnect_host(r);

                if (round == 0)
                    first[i] = host;
                assert_int_equal(host, first[i]); /* the same order each round */
                seen |= 1u << host;
                rpc_reconnect_failed(r);
            }
            assert_int_equal(seen, 31);
        }
    }
}

static void different_agents_start_at_different_hosts(void **state G_GNUC_UNUSED)
{
    unsigned starts[3] = {0};

    for (guint32 seed = 0; seed < 300; seed++) {
        g_autoptr(RpcReconnect) r = rpc_reconnect_new(&defaults, 3, g_rand_new_with_seed(seed));

        starts[rpc_reconnect_host(r)]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(starts[i], 60, 140);
}

static void waits_grow_to_the_maximum_and_no_further(void **state G_GNUC_UNUSED)
{
    int64_t most[40] = {0};

    for (guint32 seed = 0; seed < 500; seed++) {
        g_autoptr(RpcReconnect) r = rpc_reconnect_new(&defaults, 1, g_rand_new_with_seed(seed));

        for (int i = 0; i < 40; i++) {
            int64_t wait_ms = rpc_reconnect_failed(r);

            most[i] = MAX(most[i], wait_ms);
        }
    }
    assert_in_range(most[0], 900, 1000);
    assert_in_range(most[1], 3600, 4000); /* 1 + 1 + 2 s */
    assert_in_range(most[5], 10800, 12000);
    assert_in_range(most[39], 29000, 30000);
}

static void jitter_is_full(void **state G_GNUC_UNUSED)
{
    unsigned below = 0;

    for (guint32 seed = 0; seed < 1000; seed++) {
        g_autoptr(RpcReconnect) r = rpc_reconnect_new(&defaults, 1, g_rand_new_with_seed(seed));

        if (rpc_reconnect_failed(r) < 500)
            below++;
    }
    assert_in_range(below, 400, 600);
}

static void success_starts_afresh(void **state G_GNUC_UNUSED)
{
    g_autoptr(RpcReconnect) r = rpc_reconnect_new(&defaults, 1, g_rand_new_with_seed(1));

    for (int i = 0; i < 30; i++)
        rpc_reconnect_failed(r);
    rpc_reconnect_succeeded(r);
    assert_in_range(rpc_reconnect_failed(r), 0, 1000);
}

static void splay_widens_the_first_wait(void **state G_GNUC_UNUSED)
{
    RpcConfig config = defaults;
    int64_t most = 0;

    config.reconnect_splay_s = 9;
    for (guint32 seed = 0; seed < 200; seed++) {
        g_autoptr(RpcReconnect) r = rpc_reconnect_new(&config, 1, g_rand_new_with_seed(seed));
        int64_t wait_ms = rpc_reconnect_failed(r);

        most = MAX(most, wait_ms);
    }
    assert_in_range(most, 9000, 10000);
}

static void no_delay_configured_means_none_at_first(void **state G_GNUC_UNUSED)
{
    RpcConfig config = {0};
    g_autoptr(RpcReconnect) r = rpc_reconnect_new(&config, 2, g_rand_new_with_seed(1));

    assert_int_equal(rpc_reconnect_failed(r), 0);
    assert_int_equal(rpc_reconnect_failed(r), 0);
}

static void shuffle_picks_any_host(void **state G_GNUC_UNUSED)
{
    RpcConfig config = defaults;
    g_autoptr(RpcReconnect) r = NULL;
    unsigned repeats = 0;
    size_t last;

    config.failover_shuffle = true;
    r = rpc_reconnect_new(&config, 3, g_rand_new_with_seed(3));
    last = rpc_reconnect_host(r);
    for (int i = 0; i < 300; i++) {
        rpc_reconnect_failed(r);
        assert_in_range(rpc_reconnect_host(r), 0, 2);
        if (rpc_reconnect_host(r) == last)
            repeats++;
        last = rpc_reconnect_host(r);
    }
    assert_in_range(repeats, 60, 140);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_host_is_tried_before_one_again),
        cmocka_unit_test(different_agents_start_at_different_hosts),
        cmocka_unit_test(waits_grow_to_the_maximum_and_no_further),
        cmocka_unit_test(jitter_is_full),
        cmocka_unit_test(success_starts_afresh),
        cmocka_unit_test(splay_widens_the_first_wait),
        cmocka_unit_test(no_delay_configured_means_none_at_first),
        cmocka_unit_test(shuffle_picks_any_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
