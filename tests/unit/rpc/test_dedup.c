/* Duplicate suppression, the negative cache of reply queues and the log limit. */
#include "golden.h"

#include "rpc/absent.h"
#include "rpc/dedup.h"
#include "rpc/ids.h"
#include "rpc/limit.h"

#include <string.h>

static void an_id_is_a_duplicate_the_second_time(void **state G_GNUC_UNUSED)
{
    RpcDedup dedup = {0};

    assert_false(rpc_dedup_seen(&dedup, "a"));
    assert_true(rpc_dedup_seen(&dedup, "a"));
    assert_false(rpc_dedup_seen(&dedup, "b"));
    assert_true(rpc_dedup_seen(&dedup, "a"));
}

static void the_seventeenth_pushes_out_the_first(void **state G_GNUC_UNUSED)
{
    RpcDedup dedup = {0};
    char id[8];

    for (int i = 0; i < 16; i++) {
        g_snprintf(id, sizeof id, "%d", i);
        assert_false(rpc_dedup_seen(&dedup, id));
    }
    assert_true(rpc_dedup_seen(&dedup, "0"));
    assert_false(rpc_dedup_seen(&dedup, "16"));
    assert_true(rpc_dedup_seen(&dedup, "1"));
    assert_false(rpc_dedup_seen(&dedup, "0"));
}

static void messages_without_a_usable_id_are_never_duplicates(void **state G_GNUC_UNUSED)
{
    RpcDedup dedup = {0};
    g_autofree char *overlong = g_strnfill(100, 'x');

    for (int i = 0; i < 2; i++) {
        assert_false(rpc_dedup_seen(&dedup, NULL));
        assert_false(rpc_dedup_seen(&dedup, ""));
        assert_false(rpc_dedup_seen(&dedup, overlong));
    }
}

static void ids_are_32_hex_digits_and_differ(void **state G_GNUC_UNUSED)
{
    char one[RPC_ID_BYTES];
    char two[RPC_ID_BYTES];

    rpc_id_new(one);
    rpc_id_new(two);
    assert_int_equal(strlen(one), 32);
    assert_int_equal(strspn(one, "0123456789abcdef"), 32);
    assert_string_not_equal(one, two);
}

static void absent_queues_are_known_for_a_minute(void **state G_GNUC_UNUSED)
{
    RpcAbsent *absent = rpc_absent_new();

    rpc_absent_add(absent, "q", 1000);
    assert_true(rpc_absent_has(absent, "q", 1000 + RPC_ABSENT_MS - 1));
    assert_false(rpc_absent_has(absent, "other", 2000));
    assert_false(rpc_absent_has(absent, "q", 1000 + RPC_ABSENT_MS));
    rpc_absent_add(absent, "q", 100000);
    assert_true(rpc_absent_has(absent, "q", 100001));
    rpc_absent_free(absent);
}

static void absent_queues_are_bounded_in_number(void **state G_GNUC_UNUSED)
{
    RpcAbsent *absent = rpc_absent_new();
    char name[16];

    for (int i = 0; i <= RPC_ABSENT_ENTRIES; i++) {
        g_snprintf(name, sizeof name, "q%d", i);
        rpc_absent_add(absent, name, 0);
        rpc_absent_add(absent, name, 0); /* known already: no second entry */
    }
    assert_false(rpc_absent_has(absent, "q0", 1));
    assert_true(rpc_absent_has(absent, "q1", 1));
    assert_true(rpc_absent_has(absent, name, 1));
    rpc_absent_free(absent);
}

static void log_lines_are_limited_and_counted(void **state G_GNUC_UNUSED)
{
    RpcLimit limit = {0};
    unsigned suppressed = 99;

    for (int i = 0; i < RPC_LIMIT_LINES; i++)
        assert_true(rpc_limit_pass(&limit, 50, &suppressed));
    assert_int_equal(suppressed, 0);
    for (int i = 0; i < 7; i++)
        assert_false(rpc_limit_pass(&limit, 60, &suppressed));
    assert_true(rpc_limit_pass(&limit, 50 + RPC_LIMIT_WINDOW_MS, &suppressed));
    assert_int_equal(suppressed, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_is_a_duplicate_the_second_time),
        cmocka_unit_test(the_seventeenth_pushes_out_the_first),
        cmocka_unit_test(messages_without_a_usable_id_are_never_duplicates),
        cmocka_unit_test(ids_are_32_hex_digits_and_differ),
        cmocka_unit_test(absent_queues_are_known_for_a_minute),
        cmocka_unit_test(absent_queues_are_bounded_in_number),
        cmocka_unit_test(log_lines_are_limited_and_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
