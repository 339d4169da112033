/* Serving, without a broker: messages are handed to a server as rpc-listen would, and what it wants
 * to publish is taken from the sender's mailbox. */
#include "golden.h"

#include "rpc/rpc_priv.h"
#include "rpc/sender_priv.h"
#include "rpc/server.h"

#include <string.h>

static const int boot_row = 1;
static const int ping_row = 2;
static const RpcMethod manager_methods[] = {{"build_and_run_instance", &boot_row},
                                            {"_hidden", &boot_row}};
static const RpcMethod proxy_methods[] = {{"build_and_run_instance", &boot_row},
                                          {"only_in_five", &boot_row}};
static const RpcMethod base_methods[] = {{"ping", &ping_row}};
static const RpcEndpoint endpoints[] = {
    {NULL, "6.1", manager_methods, 2},
    {NULL, "5.13", proxy_methods, 2},
    {"baseapi", "1.1", base_methods, 1},
};

/* ---- matching ---- */

static void versions_are_compatible_as_in_oslo(void **state G_GNUC_UNUSED)
{
    assert_true(rpc_version_compatible("6.1", "6.1"));
    assert_true(rpc_version_compatible("6.1", "6.0"));
    assert_false(rpc_version_compatible("6.1", "6.2"));
    assert_false(rpc_version_compatible("6.1", "5.1"));
    assert_false(rpc_version_compatible("6.1", "7.0"));
    assert_true(rpc_version_compatible("5.13", "5.4"));
    assert_true(rpc_version_compatible("1.1", "1.1.0"));
    assert_false(rpc_version_compatible("1.1", "1.1.1"));
    assert_true(rpc_version_compatible("1.1.2", "1.1.1"));
    assert_true(rpc_version_compatible("1.2", "1.1.9"));
}

static void what_is_no_version_is_not_compatible(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {"",     "6",    "6.",   "6.x",  "6.0.0.0",
                                        "-6.0", "6.-1", " 6.0", "6.0 ", "99999999999999999999.0"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_false(rpc_version_compatible("6.1", texts[i]));
}

static RpcMatch match(const char *ns, const char *version, const char *method)
{
    const RpcEndpoint *endpoint = NULL;
    const RpcMethod *found = NULL;

    return rpc_endpoint_match(endpoints, G_N_ELEMENTS(endpoints), ns, version, method, &endpoint,
                              &found);
}

static void endpoints_match_by_namespace_version_and_method(void **state G_GNUC_UNUSED)
{
    assert_int_equal(match(NULL, "6.0", "build_and_run_instance"), RPC_MATCH_FOUND);
    assert_int_equal(match(NULL, "5.0", "only_in_five"), RPC_MATCH_FOUND);
    assert_int_equal(match(NULL, "6.0", "only_in_five"), RPC_MATCH_NO_METHOD);
    assert_int_equal(match(NULL, "6.0", "ping"), RPC_MATCH_NO_METHOD);
    assert_int_equal(match("baseapi", "1.0", "ping"), RPC_MATCH_FOUND);
    assert_int_equal(match("baseapi", "6.0", "ping"), RPC_MATCH_NO_VERSION);
    assert_int_equal(match("other", "1.0", "ping"), RPC_MATCH_NO_VERSION);
    assert_int_equal(match(NULL, "7.0", "build_and_run_instance"), RPC_MATCH_NO_VERSION);
    assert_int_equal(match(NULL, "6.0", "_hidden"), RPC_MATCH_NO_METHOD);
}

/* ---- a server without a broker ---- */

typedef struct Bench {
    DvTimer *timer;
    Rpc *rpc;
    RpcServer *server;
    RpcRequest *got; /* the last request, not answered yet */
    int handled;
} Bench;

static void handler(void *self, RpcRequest *request)
{
    Bench *bench = self;

    bench->got = request;
    bench->handled++;
}

static int setup(void **state)
{
    Bench *bench = g_new0(Bench, 1);
    const RpcConfig config = {
        .transport_url = "rabbit://u:p@localhost/",
        .control_exchange = "nova",
        .transient_queues_ttl_s = 1800,
        .missing_consumer_retry_s = 60,
        .response_timeout_ms = 60000,
        .ping_enabled = true,
    };

    bench->timer = dv_timer_new();
    bench->rpc = rpc_new(&config, bench->timer, NULL);
    bench->server = rpc_serve(bench->rpc, "compute", "host1", endpoints, G_N_ELEMENTS(endpoints),
                              handler, bench, NULL);
    *state = bench;
    return bench->server ? 0 : -1;
}

static int teardown(void **state)
{
    Bench *bench = *state;

    rpc_free(bench->rpc);
    dv_timer_free(bench->timer);
    g_free(bench);
    return 0;
}

static void deliver_text(Bench *bench, const char *text)
{
    g_auto(RpcLinkEvent)
        event = {.type = RPC_LINK_DELIVERY, .body = g_strdup(text), .length = strlen(text)};

    rpc_server_message(bench->server, &event);
}

/* `members` is stolen. */
static void deliver(Bench *bench, json_t *members)
{
    json_auto_t *inner = members;
    size_t length = 0;
    g_autofree char *body = rpc_envelope_write(inner, &length);

    deliver_text(bench, body);
}

static json_t *call_of(const char *method, const char *version, const char *unique_id)
{
    return json_pack("{s:s, s:s, s:{s:i}, s:s, s:s, s:n, s:s, s:s, s:b}", "method", method,
                     "version", version, "args", "a", 1, "_msg_id", "m1", "_reply_q", "reply_q1",
                     "_timeout", "_unique_id", unique_id, "_context_request_id", "req-1",
                     "_context_is_admin", 0);
}

/* The next reply that would be published; its key must be the reply queue. */
static json_t *reply_taken(Bench *bench)
{
    RpcOut *out = rpc_sender_take(bench->rpc->sender);
    json_t *inner;

    assert_non_null(out);
    assert_string_equal(out->routing_key, "reply_q1");
    assert_string_equal(out->exchange.name, "");
    assert_null(out->exchange.type);
    assert_true(out->mandatory && out->reply);
    inner = rpc_envelope_read(out->body, out->length, NULL);
    assert_non_null(inner);
    assert_string_equal(json_string_value(json_object_get(inner, "_msg_id")), "m1");
    rpc_out_free(out);
    return inner;
}

static void nothing_published(Bench *bench)
{
    assert_null(rpc_sender_take(bench->rpc->sender));
}

static void want_failure(Bench *bench, const char *class_name, const char *module, const char *text)
{
    json_auto_t *reply = reply_taken(bench);
    json_auto_t *failure = json_loads(json_string_value(json_object_get(reply, "failure")), 0,
                                      NULL);

    assert_true(json_is_true(json_object_get(reply, "ending")));
    assert_string_equal(json_string_value(json_object_get(failure, "class")), class_name);
    assert_string_equal(json_string_value(json_object_get(failure, "module")), module);
    if (!strstr(json_string_value(json_object_get(failure, "message")), text))
        fail_msg("'%s' is not in the message", text);
}

static void a_call_reaches_the_handler_and_its_reply_the_caller(void **state)
{
    Bench *bench = *state;
    json_auto_t *reply = NULL;

    deliver(bench, call_of("build_and_run_instance", "6.0", "u1"));
    assert_int_equal(bench->handled, 1);
    assert_string_equal(rpc_request_method(bench->got), "build_and_run_instance");
    assert_string_equal(rpc_request_version(bench->got), "6.0");
    assert_ptr_equal(rpc_request_endpoint(bench->got), &endpoints[0]);
    assert_ptr_equal(rpc_request_row(bench->got), &boot_row);
    assert_string_equal(rpc_request_ctx(bench->got)->request_id, "req-1");
    assert_int_equal(json_integer_value(json_object_get(rpc_request_args(bench->got), "a")), 1);
    assert_true(rpc_request_is_call(bench->got));
    rpc_request_reply(bench->got, json_string("done"));
    reply = reply_taken(bench);
    assert_string_equal(json_string_value(json_object_get(reply, "result")), "done");
    assert_true(json_is_null(json_object_get(reply, "failure")));
    assert_true(json_is_true(json_object_get(reply, "ending")));
    nothing_published(bench);
}

static void the_newest_matching_endpoint_comes_first(void **state)
{
    Bench *bench = *state;

    deliver(bench, call_of("build_and_run_instance", "5.3", "u1"));
    assert_ptr_equal(rpc_request_endpoint(bench->got), &endpoints[1]);
    rpc_request_reply(bench->got, NULL);
}

static void a_failure_reaches_the_caller(void **state)
{
    Bench *bench = *state;
    const RpcFault fault = {"InstanceNotFound", "nova.exception", "no such vm", 404};

    deliver(bench, call_of("build_and_run_instance", "6.0", "u1"));
    rpc_request_fail(bench->got, &fault);
    want_failure(bench, "InstanceNotFound", "nova.exception", "no such vm");
    nothing_published(bench);
}

static void a_cast_is_not_answered(void **state)
{
    Bench *bench = *state;
    const RpcFault fault = {"ValueError", "builtins", "x", 0};

    deliver(bench, json_pack("{s:s, s:s}", "method", "build_and_run_instance", "version", "6.0"));
    assert_false(rpc_request_is_call(bench->got));
    assert_true(json_is_object(rpc_request_args(bench->got)));
    rpc_request_reply(bench->got, json_string("ignored"));
    deliver(bench, json_pack("{s:s, s:s}", "method", "build_and_run_instance", "version", "6.0"));
    rpc_request_fail(bench->got, &fault);
    assert_int_equal(bench->handled, 2);
    nothing_published(bench);
}

static void unknown_methods_and_versions_are_answered_for_the_handler(void **state)
{
    Bench *bench = *state;

    deliver(bench, call_of("foo", "6.0", "u1"));
    want_failure(bench, "NoSuchMethod", "oslo_messaging.rpc.dispatcher",
                 "Endpoint does not support RPC method foo");
    deliver(bench, call_of("foo", "7.0", "u2"));
    want_failure(bench, "UnsupportedVersion", "oslo_messaging.rpc.dispatcher",
                 "Endpoint does not support RPC version 7.0. Attempted method: foo");
    deliver(bench, json_pack("{s:s, s:s}", "method", "foo", "version", "6.0"));
    nothing_published(bench);
    assert_int_equal(bench->handled, 0);
}

static void the_second_copy_is_ignored(void **state)
{
    Bench *bench = *state;

    deliver(bench, call_of("build_and_run_instance", "6.0", "u1"));
    rpc_request_reply(bench->got, NULL);
    deliver(bench, call_of("build_and_run_instance", "6.0", "u1"));
    assert_int_equal(bench->handled, 1);
    json_decref(reply_taken(bench));
    nothing_published(bench);
}

static void ping_is_answered_without_the_handler(void **state)
{
    Bench *bench = *state;
    json_auto_t *reply = NULL;

    deliver(bench, call_of("oslo_rpc_server_ping", "1.0", "u1"));
    reply = reply_taken(bench);
    assert_string_equal(json_string_value(json_object_get(reply, "result")), "pong");
    assert_int_equal(bench->handled, 0);
}

static void garbage_is_dropped(void **state)
{
    static const char *const texts[] = {"",
                                        "nonsense",
                                        "[]",
                                        "{}",
                                        "{\"oslo.version\": \"2.0\", \"oslo.message\": \"{\"}",
                                        "{\"method\": 5}",
                                        "{\"method\": \"build_and_run_instance\", \"args\": []}"};
    Bench *bench = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        deliver_text(bench, texts[i]);
    assert_int_equal(bench->handled, 0);
    nothing_published(bench);
}

static void unreadable_calls_get_a_failure(void **state)
{
    Bench *bench = *state;
    json_t *broken = call_of("build_and_run_instance", "6.0", "u1");

    json_object_set_new(broken, "args", json_string("x"));
    deliver(bench, broken);
    want_failure(bench, "ValueError", "builtins", "args");
    broken = call_of("build_and_run_instance", "6.0", "u2");
    json_object_set_new(broken, "_context_is_admin", json_string("x"));
    deliver(bench, broken);
    want_failure(bench, "ValueError", "builtins", "is_admin");
    assert_int_equal(bench->handled, 0);
}

static void unwritable_results_become_no_crash(void **state)
{
    Bench *bench = *state;

    deliver(bench, call_of("build_and_run_instance", "6.0", "u1"));
    /* jansson refuses NaN when it makes the value, so nothing but null can arrive here */
    rpc_request_reply(bench->got, json_real(0.0 / 0.0));
    json_decref(reply_taken(bench));
}

static void monitored_calls_beat_until_answered(void **state)
{
    Bench *bench = *state;
    json_t *call = call_of("build_and_run_instance", "6.0", "u1");
    int64_t limit_ms = dv_now_ms() + 20000;
    RpcOut *out = NULL;
    json_auto_t *beat = NULL;

    json_object_set_new(call, "_timeout", json_integer(2));
    deliver(bench, call);
    while (!(out = rpc_sender_take(bench->rpc->sender)) && dv_now_ms() < limit_ms)
        g_usleep(20000);
    assert_non_null(out);
    assert_true(out->once);
    beat = rpc_envelope_read(out->body, out->length, NULL);
    assert_true(json_is_false(json_object_get(beat, "ending")));
    assert_true(json_is_null(json_object_get(beat, "result")));
    rpc_out_free(out);
    rpc_request_reply(bench->got, json_true());
    while ((out = rpc_sender_take(bench->rpc->sender)))
        rpc_out_free(out);
    g_usleep(1200000); /* longer than a period */
    nothing_published(bench);
}

#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_compatible_as_in_oslo),
        cmocka_unit_test(what_is_no_version_is_not_compatible),
        cmocka_unit_test(endpoints_match_by_namespace_version_and_method),
        WITH_BENCH(a_call_reaches_the_handler_and_its_reply_the_caller),
        WITH_BENCH(the_newest_matching_endpoint_comes_first),
        WITH_BENCH(a_failure_reaches_the_caller),
        WITH_BENCH(a_cast_is_not_answered),
        WITH_BENCH(unknown_methods_and_versions_are_answered_for_the_handler),
        WITH_BENCH(the_second_copy_is_ignored),
        WITH_BENCH(ping_is_answered_without_the_handler),
        WITH_BENCH(garbage_is_dropped),
        WITH_BENCH(unreadable_calls_get_a_failure),
        WITH_BENCH(unwritable_results_become_no_crash),
        WITH_BENCH(monitored_calls_beat_until_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
