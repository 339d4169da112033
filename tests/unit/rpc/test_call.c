/* Reply waiters: woken by their reply, held by heartbeats, ended by deadlines and by stopping. */
#include "golden.h"

#include "rpc/call_priv.h"
#include "util/thread.h"

#include <string.h>

enum { LONG_MS = 20000 };

static RpcReplyView reply_to(const char *msg_id)
{
    return (RpcReplyView){.msg_id = msg_id, .ending = true};
}

static void a_reply_ends_the_wait(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    RpcReplyView reply = reply_to("m1");
    json_auto_t *got = NULL;

    assert_true(rpc_calls_deliver(calls, &reply, json_string("hello")));
    assert_true(rpc_calls_wait(calls, wait, &got, NULL, NULL));
    assert_string_equal(json_string_value(got), "hello");
    assert_int_equal(rpc_calls_count(calls), 0);
    rpc_calls_free(calls);
}

static void no_result_is_null(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    RpcReplyView reply = reply_to("m1");
    json_auto_t *got = NULL;

    rpc_calls_deliver(calls, &reply, NULL);
    assert_true(rpc_calls_wait(calls, wait, &got, NULL, NULL));
    assert_true(json_is_null(got));
    rpc_calls_free(calls);
}

static void unknown_replies_are_nobodys(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcReplyView reply = reply_to("nobody");

    assert_false(rpc_calls_deliver(calls, &reply, NULL));
    rpc_calls_free(calls);
}

static void the_second_reply_changes_nothing(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    RpcReplyView reply = reply_to("m1");
    json_auto_t *got = NULL;

    rpc_calls_deliver(calls, &reply, json_integer(1));
    rpc_calls_deliver(calls, &reply, json_integer(2));
    rpc_calls_fail(calls, "m1", DV_E_UNAVAILABLE, "late");
    assert_true(rpc_calls_wait(calls, wait, &got, NULL, NULL));
    assert_int_equal(json_integer_value(got), 1);
    rpc_calls_free(calls);
}

static void failures_carry_what_the_peer_said(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    RpcReplyView reply = reply_to("m1");
    g_auto(RpcRemote) remote = {0};
    g_autoptr(GError) err = NULL;
    json_t *got = NULL;

    reply.failure = "{\"class\": \"InstanceNotFound\", \"module\": \"nova.exception\", "
                    "\"message\": \"gone\"}";
    reply.failure_length = strlen(reply.failure);
    rpc_calls_deliver(calls, &reply, NULL);
    assert_false(rpc_calls_wait(calls, wait, &got, &remote, &err));
    assert_int_equal(dv_code(err), DV_E_REMOTE);
    assert_string_equal(remote.class_name, "InstanceNotFound");
    assert_string_equal(remote.message, "gone");
    assert_null(got);
    rpc_calls_free(calls);
}

static void unreadable_failures_are_bad_input(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    RpcReplyView reply = reply_to("m1");
    g_autoptr(GError) err = NULL;

    reply.failure = "oops";
    reply.failure_length = 4;
    rpc_calls_deliver(calls, &reply, NULL);
    assert_false(rpc_calls_wait(calls, wait, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    rpc_calls_free(calls);
}

static void silence_ends_at_the_deadline(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + 30, 0);
    g_autoptr(GError) err = NULL;

    assert_false(rpc_calls_wait(calls, wait, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_TIMEOUT);
    assert_int_equal(rpc_calls_count(calls), 0);
    rpc_calls_free(calls);
}

static void a_silent_monitored_peer_ends_it_earlier(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    int64_t started_ms = dv_now_ms();
    RpcWait *wait = rpc_calls_begin(calls, "m1", started_ms + LONG_MS, 30);
    g_autoptr(GError) err = NULL;

    assert_false(rpc_calls_wait(calls, wait, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_TIMEOUT);
    assert_non_null(strstr(err->message, "sign of life"));
    assert_true(dv_now_ms() - started_ms < LONG_MS);
    rpc_calls_free(calls);
}

static void heartbeats_extend_the_wait(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + 3600000, 60000);
    RpcReplyView beat = {.msg_id = "m1"};
    int64_t before_ms = rpc_wait_end_ms(calls, wait);
    int64_t sent_ms;

    assert_in_range(before_ms - dv_now_ms(), 50000, 60000);
    g_usleep(5000);
    sent_ms = dv_now_ms();
    assert_true(rpc_calls_deliver(calls, &beat, NULL));
    assert_true(rpc_wait_end_ms(calls, wait) >= sent_ms + 60000);
    assert_true(rpc_wait_end_ms(calls, wait) > before_ms);
    beat.ending = true;
    rpc_calls_deliver(calls, &beat, NULL);
    assert_true(rpc_calls_wait(calls, wait, NULL, NULL, NULL));
    rpc_calls_free(calls);
}

static void heartbeats_do_not_extend_the_total(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    int64_t total_ms = dv_now_ms() + 50;
    RpcWait *wait = rpc_calls_begin(calls, "m1", total_ms, 60000);
    RpcReplyView beat = {.msg_id = "m1"};
    g_autoptr(GError) err = NULL;

    rpc_calls_deliver(calls, &beat, NULL);
    assert_int_equal(rpc_wait_end_ms(calls, wait), total_ms);
    assert_false(rpc_calls_wait(calls, wait, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_TIMEOUT);
    rpc_calls_free(calls);
}

static void unasked_heartbeats_change_nothing(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + 3600000, 0);
    RpcReplyView beat = {.msg_id = "m1"};
    int64_t before_ms = rpc_wait_end_ms(calls, wait);

    /* without a call monitor a heartbeat changes nothing */
    rpc_calls_deliver(calls, &beat, NULL);
    assert_int_equal(rpc_wait_end_ms(calls, wait), before_ms);
    beat.ending = true;
    rpc_calls_deliver(calls, &beat, NULL);
    assert_true(rpc_calls_wait(calls, wait, NULL, NULL, NULL));
    rpc_calls_free(calls);
}

static void what_cannot_be_sent_fails_at_once(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *wait = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    g_autoptr(GError) err = NULL;

    rpc_calls_fail(calls, "m1", DV_E_UNAVAILABLE, "the broker is away");
    assert_false(rpc_calls_wait(calls, wait, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_UNAVAILABLE);
    rpc_calls_free(calls);
}

static void stopping_ends_all_waits_and_refuses_new_ones(void **state G_GNUC_UNUSED)
{
    RpcCalls *calls = rpc_calls_new();
    RpcWait *one = rpc_calls_begin(calls, "m1", dv_now_ms() + LONG_MS, 0);
    RpcWait *two = rpc_calls_begin(calls, "m2", dv_now_ms() + LONG_MS, 0);
    g_autoptr(GError) err = NULL;

    rpc_calls_cancel(calls);
    assert_false(rpc_calls_wait(calls, one, NULL, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_CANCELLED);
    assert_false(rpc_calls_wait(calls, two, NULL, NULL, NULL));
    assert_null(rpc_calls_begin(calls, "m3", dv_now_ms() + LONG_MS, 0));
    rpc_calls_free(calls);
}

typedef struct Caller {
    RpcCalls *calls;
    RpcWait *wait;
    int number;
    bool right;
} Caller;

static void *wait_for_mine(void *arg)
{
    Caller *caller = arg;
    json_auto_t *got = NULL;

    caller->right = rpc_calls_wait(caller->calls, caller->wait, &got, NULL, NULL) &&
                    json_integer_value(got) == caller->number;
    return NULL;
}

static void many_callers_each_get_their_own(void **state G_GNUC_UNUSED)
{
    enum { CALLERS = 32 };
    RpcCalls *calls = rpc_calls_new();
    Caller callers[CALLERS];
    GThread *threads[CALLERS];
    char id[16];

    for (int i = 0; i < CALLERS; i++) {
        g_snprintf(id, sizeof id, "m%d", i);
        callers[i] = (Caller){calls, rpc_calls_begin(calls, id, dv_now_ms() + LONG_MS, 0), i,
                              false};
        threads[i] = dv_thread_new("caller", wait_for_mine, &callers[i]);
    }
    for (int i = CALLERS - 1; i >= 0; i--) {
        RpcReplyView reply;

        g_snprintf(id, sizeof id, "m%d", i);
        reply = reply_to(id);
        assert_true(rpc_calls_deliver(calls, &reply, json_integer(i)));
    }
    for (int i = 0; i < CALLERS; i++) {
        g_thread_join(threads[i]);
        assert_true(callers[i].right);
    }
    rpc_calls_free(calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_ends_the_wait),
        cmocka_unit_test(no_result_is_null),
        cmocka_unit_test(unknown_replies_are_nobodys),
        cmocka_unit_test(the_second_reply_changes_nothing),
        cmocka_unit_test(failures_carry_what_the_peer_said),
        cmocka_unit_test(unreadable_failures_are_bad_input),
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(a_silent_monitored_peer_ends_it_earlier),
        cmocka_unit_test(heartbeats_extend_the_wait),
        cmocka_unit_test(heartbeats_do_not_extend_the_total),
        cmocka_unit_test(unasked_heartbeats_change_nothing),
        cmocka_unit_test(what_cannot_be_sent_fails_at_once),
        cmocka_unit_test(stopping_ends_all_waits_and_refuses_new_ones),
        cmocka_unit_test(many_callers_each_get_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
