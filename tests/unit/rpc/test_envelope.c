/* Envelopes, requests and replies against what oslo.messaging sends, and against garbage. */
#include "golden.h"

#include "rpc/envelope.h"

#include <string.h>

static json_t *read_text(const char *text, GError **err)
{
    return rpc_envelope_read(text, strlen(text), err);
}

static void refused(const char *text, const char *want)
{
    g_autoptr(GError) err = NULL;
    json_t *inner = read_text(text, &err);

    assert_null(inner);
    assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    if (!strstr(err->message, want))
        fail_msg("got '%s', want '%s'", err->message, want);
}

/* ---- the envelope ---- */

static void golden_envelope_is_read(void **state G_GNUC_UNUSED)
{
    json_auto_t *envelope = golden("envelope_as_published");
    g_autofree char *text = rpc_json_text(envelope, NULL);
    g_autoptr(GError) err = NULL;
    json_auto_t *inner = read_text(text, &err);
    RpcRequestView view;

    assert_non_null(inner);
    assert_true(rpc_request_view(inner, &view, &err));
    assert_string_equal(view.method, "ping");
    assert_string_equal(view.namespace_, "baseapi");
    assert_string_equal(view.version, "1.0");
    assert_string_equal(view.path.msg_id, "00000000000000000000000000000001");
    assert_string_equal(view.path.reply_q, "reply_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_string_equal(view.unique_id, "00000000000000000000000000000002");
    assert_int_equal(view.timeout_s, 0);
    assert_string_equal(json_string_value(json_object_get(view.args, "arg")), "1.21 GigaWatts");
}

static void what_we_write_reads_back_the_same(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = golden("request_object_class_action_versions");
    size_t length = 0;
    g_autofree char *body = NULL;
    json_auto_t *again = NULL;
    json_auto_t *outer = NULL;

    json_object_set_new(inner, "text", json_string("gr\xc3\xbc\xc3\x9f \"q\" \\ \n \x01"));
    body = rpc_envelope_write(inner, &length);
    assert_int_equal(strlen(body), length);
    outer = json_loads(body, 0, NULL);
    assert_int_equal(json_object_size(outer), 2);
    assert_string_equal(json_string_value(json_object_get(outer, "oslo.version")), "2.0");
    assert_true(json_is_string(json_object_get(outer, "oslo.message")));
    again = rpc_envelope_read(body, length, NULL);
    assert_true(json_equal(inner, again));
}

static void plain_message_is_taken_as_it_is(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = read_text("{\"method\": \"m\", \"args\": {}}", NULL);

    assert_string_equal(json_string_value(json_object_get(inner, "method")), "m");
}

static void garbage_is_refused(void **state G_GNUC_UNUSED)
{
    refused("", "not JSON");
    refused("hello", "not JSON");
    refused("{\"a\": 1} x", "not JSON");
    refused("{\"a\": \"\xff\"}", "not JSON");
    refused("[1, 2]", "not a JSON object");
    refused("17", "not a JSON object");
    refused("{\"oslo.version\": \"3.0\", \"oslo.message\": \"{}\"}", "envelope version 3.0");
    refused("{\"oslo.version\": \"2.1\", \"oslo.message\": \"{}\"}", "envelope version 2.1");
    refused("{\"oslo.version\": 2, \"oslo.message\": \"{}\"}", "want strings");
    refused("{\"oslo.version\": \"2.0\", \"oslo.message\": {}}", "want strings");
    refused("{\"oslo.version\": \"2.0\", \"oslo.message\": \"\"}", "oslo.message: not JSON");
    refused("{\"oslo.version\": \"2.0\", \"oslo.message\": \"[]\"}", "not a JSON object");
}

static char *nested(size_t depth)
{
    GString *text = g_string_new("{\"a\": ");

    for (size_t i = 1; i < depth; i++)
        g_string_append_c(text, '[');
    for (size_t i = 1; i < depth; i++)
        g_string_append_c(text, ']');
    g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

static void depth_is_bounded_inside_and_outside(void **state G_GNUC_UNUSED)
{
    g_autofree char *fits = nested(RPC_MAX_DEPTH);
    g_autofree char *deep = nested(RPC_MAX_DEPTH + 1);
    json_auto_t *outer = json_pack("{s:s, s:s}", "oslo.version", "2.0", "oslo.message", deep);
    g_autofree char *wrapped = rpc_json_text(outer, NULL);
    json_auto_t *inner = read_text(fits, NULL);

    assert_non_null(inner);
    refused(deep, "nested deeper than");
    refused(wrapped, "oslo.message: nested deeper than");
}

static void brackets_in_strings_are_not_nesting(void **state G_GNUC_UNUSED)
{
    g_autoptr(GString) text = g_string_new("{\"a\": \"\\\"");
    json_auto_t *inner = NULL;

    for (int i = 0; i < 1000; i++)
        g_string_append_c(text, '[');
    g_string_append(text, "\"}");
    inner = read_text(text->str, NULL);
    assert_non_null(inner);
}

/* ---- requests ---- */

static void golden_request_is_written(void **state G_GNUC_UNUSED)
{
    json_auto_t *want = golden("request_object_class_action_versions");
    json_auto_t *context = json_object();
    json_auto_t *got = NULL;
    const char *key;
    json_t *value;
    RpcRequestView view;

    assert_true(rpc_request_view(want, &view, NULL));
    json_object_foreach(want, key, value)
    {
        if (g_str_has_prefix(key, "_context_"))
            json_object_set(context, key, value);
    }
    got = rpc_request_write(&view, context);
    assert_true(json_equal(got, want));
}

static void casts_carry_no_reply_members(void **state G_GNUC_UNUSED)
{
    const RpcRequestView view = {.method = "m", .version = "6.0", .unique_id = "u"};
    json_auto_t *inner = rpc_request_write(&view, NULL);
    RpcRequestView read;

    assert_null(json_object_get(inner, "_msg_id"));
    assert_null(json_object_get(inner, "_reply_q"));
    assert_null(json_object_get(inner, "_timeout"));
    assert_null(json_object_get(inner, "namespace"));
    assert_true(json_is_object(json_object_get(inner, "args")));
    assert_true(rpc_request_view(inner, &read, NULL));
    assert_null(read.path.msg_id);
}

static void absent_version_is_one_zero(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = json_pack("{s:s}", "method", "m");
    RpcRequestView view;

    assert_true(rpc_request_view(inner, &view, NULL));
    assert_string_equal(view.version, "1.0");
    assert_null(view.args);
}

static void wrong_types_are_refused_by_name(void **state G_GNUC_UNUSED)
{
    static const char *const rows[][2] = {
        {"{\"args\": {}}", "method is missing"},
        {"{\"method\": 1}", "method"},
        {"{\"method\": null}", "method"},
        {"{\"method\": \"m\", \"args\": []}", "args"},
        {"{\"method\": \"m\", \"args\": null}", "args"},
        {"{\"method\": \"m\", \"namespace\": []}", "namespace"},
        {"{\"method\": \"m\", \"version\": 1.0}", "version"},
        {"{\"method\": \"m\", \"_unique_id\": 7}", "_unique_id"},
        {"{\"method\": \"m\", \"_msg_id\": 7, \"_reply_q\": \"q\"}", "_msg_id"},
        {"{\"method\": \"m\", \"_msg_id\": \"x\"}", "_reply_q"},
        {"{\"method\": \"m\", \"_msg_id\": \"x\", \"_reply_q\": \"\"}", "_reply_q"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_auto_t *inner = json_loads(rows[i][0], 0, NULL);
        g_autoptr(GError) err = NULL;
        RpcRequestView view;

        assert_non_null(inner);
        assert_false(rpc_request_view(inner, &view, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
        if (!strstr(err->message, rows[i][1]))
            fail_msg("%s: got '%s'", rows[i][0], err->message);
    }
}

static void overlong_names_are_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *name = g_strnfill(600, 'm');
    json_auto_t *inner = json_pack("{s:s}", "method", name);
    RpcRequestView view;

    assert_false(rpc_request_view(inner, &view, NULL));
}

static void the_return_path_survives_other_errors(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = json_pack("{s:i, s:s, s:s}", "method", 1, "_msg_id", "id", "_reply_q",
                                   "reply_x");
    json_auto_t *half = json_pack("{s:s}", "_msg_id", "id");
    RpcReturnPath path = rpc_return_path(inner);

    assert_string_equal(path.msg_id, "id");
    assert_string_equal(path.reply_q, "reply_x");
    assert_null(rpc_return_path(half).msg_id);
    assert_null(rpc_return_path(NULL).msg_id);
}

static int64_t timeout_of(json_t *value)
{
    json_auto_t *inner = json_pack("{s:s, s:o}", "method", "m", "_timeout", value);
    RpcRequestView view;

    assert_true(rpc_request_view(inner, &view, NULL));
    return view.timeout_s;
}

static void monitor_timeout_is_what_int_takes(void **state G_GNUC_UNUSED)
{
    assert_int_equal(timeout_of(json_integer(60)), 60);
    assert_int_equal(timeout_of(json_real(2.9)), 2);
    assert_int_equal(timeout_of(json_string("30")), 30);
    assert_int_equal(timeout_of(json_null()), 0);
    assert_int_equal(timeout_of(json_string("soon")), 0);
    assert_int_equal(timeout_of(json_integer(-5)), 0);
    assert_int_equal(timeout_of(json_real(1e300)), 0);
    assert_int_equal(timeout_of(json_array()), 0);
}

/* ---- replies ---- */

static void golden_replies_are_read(void **state G_GNUC_UNUSED)
{
    json_auto_t *success = golden("reply_success");
    json_auto_t *beat = golden("reply_heartbeat");
    RpcReplyView view;

    assert_true(rpc_reply_view(success, &view, NULL));
    assert_string_equal(view.msg_id, "00000000000000000000000000000001");
    assert_true(view.ending);
    assert_null(view.failure);
    assert_true(json_is_string(view.result));
    assert_true(rpc_reply_view(beat, &view, NULL));
    assert_false(view.ending);
    assert_null(view.failure);
}

static void golden_replies_are_written(void **state G_GNUC_UNUSED)
{
    static const char *const names[] = {"reply_success", "reply_heartbeat"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        json_auto_t *want = golden(names[i]);
        json_auto_t *got = NULL;
        RpcReplyView view;

        assert_true(rpc_reply_view(want, &view, NULL));
        got = rpc_reply_write(&view);
        assert_true(json_equal(got, want));
    }
}

static void new_replies_get_an_id_and_all_members(void **state G_GNUC_UNUSED)
{
    const RpcReplyView view = {.msg_id = "m", .failure = "{}", .failure_length = 2, .ending = true};
    json_auto_t *reply = rpc_reply_write(&view);

    assert_true(json_is_null(json_object_get(reply, "result")));
    assert_string_equal(json_string_value(json_object_get(reply, "failure")), "{}");
    assert_true(json_is_true(json_object_get(reply, "ending")));
    assert_int_equal(json_string_length(json_object_get(reply, "_unique_id")), 32);
}

static void bad_replies_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {"{\"result\": 1}", "{\"_msg_id\": 5}",
                                        "{\"_msg_id\": \"x\", \"failure\": {}}"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_auto_t *inner = json_loads(texts[i], 0, NULL);
        g_autoptr(GError) err = NULL;
        RpcReplyView view;

        assert_false(rpc_reply_view(inner, &view, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    }
}

static void a_reply_without_ending_is_not_the_end(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = json_pack("{s:s, s:i}", "_msg_id", "x", "result", 1);
    RpcReplyView view;

    assert_true(rpc_reply_view(inner, &view, NULL));
    assert_false(view.ending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_envelope_is_read),
        cmocka_unit_test(what_we_write_reads_back_the_same),
        cmocka_unit_test(plain_message_is_taken_as_it_is),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(depth_is_bounded_inside_and_outside),
        cmocka_unit_test(brackets_in_strings_are_not_nesting),
        cmocka_unit_test(golden_request_is_written),
        cmocka_unit_test(casts_carry_no_reply_members),
        cmocka_unit_test(absent_version_is_one_zero),
        cmocka_unit_test(wrong_types_are_refused_by_name),
        cmocka_unit_test(overlong_names_are_refused),
        cmocka_unit_test(the_return_path_survives_other_errors),
        cmocka_unit_test(monitor_timeout_is_what_int_takes),
        cmocka_unit_test(golden_replies_are_read),
        cmocka_unit_test(golden_replies_are_written),
        cmocka_unit_test(new_replies_get_an_id_and_all_members),
        cmocka_unit_test(bad_replies_are_refused),
        cmocka_unit_test(a_reply_without_ending_is_not_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
