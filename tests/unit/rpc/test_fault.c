/* Failure strings in both directions. */
#include "golden.h"

#include "rpc/fault.h"

#include <string.h>

static void golden_failures_are_read(void **state G_GNUC_UNUSED)
{
    static const char *const rows[][3] = {
        {"failure_string_decoded", "InstanceNotFound", "nova.exception"},
        {"failure_unexpected_task_state", "UnexpectedTaskStateError", "nova.exception"},
        {"failure_builtin", "NotImplementedError", "builtins"},
        {"failure_unsupported_version", "UnsupportedVersion", "oslo_messaging.rpc.dispatcher"},
        {"failure_no_such_method", "NoSuchMethod", "oslo_messaging.rpc.dispatcher"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_auto_t *failure = golden(rows[i][0]);
        g_autofree char *text = json_dumps(failure, 0);
        g_auto(RpcRemote) remote = {0};

        assert_true(rpc_fault_read(text, strlen(text), &remote, NULL));
        assert_string_equal(remote.class_name, rows[i][1]);
        assert_string_equal(remote.module, rows[i][2]);
        assert_string_equal(remote.message, json_string_value(json_object_get(failure, "message")));
    }
}

static void what_we_write_has_the_members_python_wants(void **state G_GNUC_UNUSED)
{
    const RpcFault fault = {.class_name = "InstanceNotFound",
                            .module = "nova.exception",
                            .message = "Instance 6f70 could not be found.",
                            .code = 404};
    g_autofree char *text = rpc_fault_write(&fault);
    json_auto_t *got = json_loads(text, 0, NULL);
    json_auto_t *want = json_pack("{s:s, s:s, s:s, s:[], s:[s], s:{s:i}}", "class",
                                  "InstanceNotFound", "module", "nova.exception", "message",
                                  "Instance 6f70 could not be found.", "tb", "args",
                                  "Instance 6f70 could not be found.", "kwargs", "code", 404);

    assert_true(json_equal(got, want));
}

static void no_code_means_empty_kwargs(void **state G_GNUC_UNUSED)
{
    const RpcFault fault = {.class_name = "ValueError", .module = "builtins", .message = "x"};
    g_autofree char *text = rpc_fault_write(&fault);
    json_auto_t *got = json_loads(text, 0, NULL);

    assert_int_equal(json_object_size(json_object_get(got, "kwargs")), 0);
    assert_true(json_is_object(json_object_get(got, "kwargs")));
}

static void secrets_and_bad_utf8_do_not_leave(void **state G_GNUC_UNUSED)
{
    const RpcFault fault = {.class_name = "ValueError",
                            .module = "builtins",
                            .message = "login with password=hunter2 failed \xff"};
    g_autofree char *text = rpc_fault_write(&fault);
    json_auto_t *got = json_loads(text, 0, NULL);

    assert_non_null(got);
    assert_null(strstr(text, "hunter2"));
}

static void remote_suffixes_are_taken_off(void **state G_GNUC_UNUSED)
{
    static const char text[] = "{\"class\": \"InstanceNotFound_Remote\", \"module\": "
                               "\"nova.exception_Remote\", \"message\": \"m\"}";
    g_auto(RpcRemote) remote = {0};

    assert_true(rpc_fault_read(text, strlen(text), &remote, NULL));
    assert_string_equal(remote.class_name, "InstanceNotFound");
    assert_string_equal(remote.module, "nova.exception");
}

static void garbage_is_refused(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "", "{", "[]", "\"text\"", "{\"message\": \"m\"}", "{\"class\": 7}"};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_auto(RpcRemote) remote = {0};
        g_autoptr(GError) err = NULL;

        assert_false(rpc_fault_read(texts[i], strlen(texts[i]), &remote, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
        assert_null(remote.class_name);
    }
}

static void missing_module_and_message_are_empty(void **state G_GNUC_UNUSED)
{
    static const char text[] = "{\"class\": \"X\", \"message\": 5}";
    g_auto(RpcRemote) remote = {0};

    assert_true(rpc_fault_read(text, strlen(text), &remote, NULL));
    assert_string_equal(remote.module, "");
    assert_string_equal(remote.message, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_failures_are_read),
        cmocka_unit_test(what_we_write_has_the_members_python_wants),
        cmocka_unit_test(no_code_means_empty_kwargs),
        cmocka_unit_test(secrets_and_bad_utf8_do_not_leave),
        cmocka_unit_test(remote_suffixes_are_taken_off),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(missing_module_and_message_are_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
