/* Contexts: what nova sends is understood, kept and passed on; ours has every key of nova's. */
#include "golden.h"

#include "rpc/context.h"

#include <string.h>

/* The golden context as members of a message, next to one that is none of its business. */
static json_t *message_of(const char *name)
{
    json_auto_t *context = golden(name);
    json_t *inner = json_pack("{s:s}", "method", "m");
    const char *key;
    json_t *value;

    json_object_foreach(context, key, value)
    {
        g_autofree char *member = g_strconcat("_context_", key, NULL);

        json_object_set(inner, member, value);
    }
    return inner;
}

static DvCtx *read_ok(json_t *inner)
{
    g_autoptr(GError) err = NULL;
    DvCtx *ctx = rpc_context_read(inner, &err);

    if (!ctx)
        fail_msg("%s", err->message);
    return ctx;
}

static const char *text_at(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void user_context_is_read(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = message_of("context_user");
    g_autoptr(DvCtx) ctx = read_ok(inner);

    assert_string_equal(ctx->request_id, "req-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
    assert_string_equal(ctx->user_id, "0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    assert_string_equal(ctx->project_id, "f9e8d7c6b5a493827160f5e4d3c2b1a0");
    assert_string_equal(ctx->user_name, "demo");
    assert_string_equal(ctx->auth_token, "TOKEN");
    assert_string_equal(ctx->read_deleted, "no");
    assert_null(ctx->global_request_id);
    assert_false(ctx->is_admin);
    assert_int_equal(json_object_size(inner), 1); /* taken out of the message */
}

static void received_context_is_passed_on_unchanged(void **state G_GNUC_UNUSED)
{
    json_auto_t *want = message_of("context_user");
    json_auto_t *inner = NULL;
    g_autoptr(DvCtx) ctx = NULL;
    json_auto_t *got = NULL;

    json_object_set_new(want, "_context_a_key_of_next_year", json_pack("{s:[i]}", "x", 1));
    inner = json_deep_copy(want);
    ctx = read_ok(inner);
    got = rpc_context_write(ctx);
    json_object_del(want, "method");
    assert_true(json_equal(got, want));
}

static void elevated_copy_adds_the_role_once(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = message_of("context_user");
    g_autoptr(DvCtx) ctx = read_ok(inner);
    g_autoptr(DvCtx) elevated = dv_ctx_elevated(ctx);
    json_auto_t *before = NULL;
    json_auto_t *got = rpc_context_write(elevated);
    json_t *roles = json_object_get(got, "_context_roles");

    assert_int_equal(json_array_size(roles), 3);
    assert_string_equal(json_string_value(json_array_get(roles, 2)), "admin");
    assert_true(json_is_true(json_object_get(got, "_context_is_admin")));
    /* the original is not touched */
    before = rpc_context_write(ctx);
    assert_int_equal(json_array_size(json_object_get(before, "_context_roles")), 2);
    assert_true(json_is_false(json_object_get(before, "_context_is_admin")));
}

static void a_role_that_is_there_is_not_added(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = message_of("context_user");
    g_autoptr(DvCtx) ctx = NULL;
    g_autoptr(DvCtx) elevated = NULL;
    json_auto_t *got = NULL;

    json_object_set_new(inner, "_context_roles", json_pack("[s, s]", "Admin", "member"));
    ctx = read_ok(inner);
    elevated = dv_ctx_elevated(ctx);
    got = rpc_context_write(elevated);
    assert_int_equal(json_array_size(json_object_get(got, "_context_roles")), 2);
}

static void read_deleted_of_a_copy_wins(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = message_of("context_user");
    g_autoptr(DvCtx) ctx = read_ok(inner);
    g_autoptr(DvCtx) copy = dv_ctx_with_read_deleted(ctx, "yes");
    json_auto_t *got = rpc_context_write(copy);

    assert_string_equal(text_at(got, "_context_read_deleted"), "yes");
    assert_string_equal(text_at(got, "_context_auth_token"), "TOKEN");
}

/* Same keys, and the same values except what is new each time. */
static void own_admin_context_equals_novas(void **state G_GNUC_UNUSED)
{
    json_auto_t *want = message_of("context_admin");
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    json_auto_t *got = rpc_context_write(ctx);

    json_object_del(want, "method");
    assert_true(g_str_has_prefix(text_at(got, "_context_request_id"), "req-"));
    assert_int_equal(strlen(text_at(got, "_context_timestamp")),
                     strlen("2026-01-02T03:04:05.678901"));
    json_object_set(got, "_context_request_id", json_object_get(want, "_context_request_id"));
    json_object_set(got, "_context_timestamp", json_object_get(want, "_context_timestamp"));
    assert_true(json_equal(got, want));
}

static void no_context_is_an_admin_context(void **state G_GNUC_UNUSED)
{
    json_auto_t *got = rpc_context_write(NULL);

    assert_true(json_is_true(json_object_get(got, "_context_is_admin")));
    assert_true(g_str_has_prefix(text_at(got, "_context_request_id"), "req-"));
}

static void missing_members_get_defaults(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = json_pack("{s:s, s:s}", "_context_user", "u1", "_context_project", "p1");
    g_autoptr(DvCtx) ctx = read_ok(inner);

    assert_true(g_str_has_prefix(ctx->request_id, "req-"));
    assert_string_equal(ctx->read_deleted, "no");
    assert_string_equal(ctx->user_id, "u1");
    assert_string_equal(ctx->project_id, "p1");
    assert_false(ctx->is_admin);
}

static void null_is_admin_looks_at_the_roles(void **state G_GNUC_UNUSED)
{
    json_auto_t *admin = json_pack("{s:n, s:[s]}", "_context_is_admin", "_context_roles", "admin");
    json_auto_t *member = json_pack("{s:n, s:[s]}", "_context_is_admin", "_context_roles",
                                    "member");
    g_autoptr(DvCtx) one = read_ok(admin);
    g_autoptr(DvCtx) two = read_ok(member);

    assert_true(one->is_admin);
    assert_false(two->is_admin);
}

static void wrong_types_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "{\"_context_is_admin\": \"yes\"}", "{\"_context_roles\": \"admin\"}",
        "{\"_context_request_id\": 7}",     "{\"_context_auth_token\": {}}",
        "{\"_context_read_deleted\": []}",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_auto_t *inner = json_loads(texts[i], 0, NULL);
        g_autoptr(GError) err = NULL;

        assert_null(rpc_context_read(inner, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
        assert_non_null(strstr(err->message, "context"));
    }
}

static void public_context_has_no_token(void **state G_GNUC_UNUSED)
{
    json_auto_t *inner = message_of("context_user");
    g_autoptr(DvCtx) ctx = read_ok(inner);
    json_auto_t *got = rpc_context_write_public(ctx);
    g_autofree char *text = json_dumps(got, 0);

    assert_null(strstr(text, "TOKEN"));
    assert_null(json_object_get(got, "_context_service_catalog"));
    assert_string_equal(text_at(got, "_context_user_name"), "demo");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_context_is_read),
        cmocka_unit_test(received_context_is_passed_on_unchanged),
        cmocka_unit_test(elevated_copy_adds_the_role_once),
        cmocka_unit_test(a_role_that_is_there_is_not_added),
        cmocka_unit_test(read_deleted_of_a_copy_wins),
        cmocka_unit_test(own_admin_context_equals_novas),
        cmocka_unit_test(no_context_is_an_admin_context),
        cmocka_unit_test(missing_members_get_defaults),
        cmocka_unit_test(null_is_admin_looks_at_the_roles),
        cmocka_unit_test(wrong_types_are_refused),
        cmocka_unit_test(public_context_has_no_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
