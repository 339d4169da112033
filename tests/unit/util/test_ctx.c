/* Request contexts: copies differ in one thing only, and what is attached lives as long as they. */
#include "util/ctx.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void admin_context_has_a_fresh_request_id(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvCtx) a = dv_ctx_new_admin();
    g_autoptr(DvCtx) b = dv_ctx_new_admin();

    assert_true(a->is_admin);
    assert_null(a->user_id);
    assert_true(g_str_has_prefix(a->request_id, "req-"));
    assert_int_equal(strlen(a->request_id), 4 + 36);
    assert_string_not_equal(a->request_id, b->request_id);
    assert_string_equal(a->read_deleted, "no");
}

static void copies_change_one_thing(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    g_autoptr(DvCtx) with = NULL;
    g_autoptr(DvCtx) deleted = NULL;

    ctx->project_id = g_strdup("p1");
    with = dv_ctx_with_instance(ctx, "6f70");
    deleted = dv_ctx_with_read_deleted(with, "yes");
    assert_string_equal(with->request_id, ctx->request_id);
    assert_string_equal(with->project_id, "p1");
    assert_string_equal(with->instance_uuid, "6f70");
    assert_null(ctx->instance_uuid);
    assert_string_equal(deleted->read_deleted, "yes");
    assert_string_equal(deleted->instance_uuid, "6f70");
    assert_string_equal(with->read_deleted, "no");
}

static void elevation_leaves_the_original_alone(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvCtx) user = dv_ctx_new_blank();
    g_autoptr(DvCtx) admin = NULL;

    user->request_id = g_strdup("req-1");
    admin = dv_ctx_elevated(user);
    assert_true(admin->is_admin && admin->elevated);
    assert_false(user->is_admin || user->elevated);
}

static void rest_calls_carry_the_global_id_when_there_is_one(void **state G_GNUC_UNUSED)
{
    g_autoptr(DvCtx) ctx = dv_ctx_new_blank();

    ctx->request_id = g_strdup("req-1");
    assert_string_equal(dv_ctx_rest_request_id(ctx), "req-1");
    ctx->global_request_id = g_strdup("req-g");
    assert_string_equal(dv_ctx_rest_request_id(ctx), "req-g");
    assert_null(dv_ctx_rest_request_id(NULL));
}

static void *count_ref(void *wire)
{
    ++*(int *)wire;
    return wire;
}

static void count_unref(void *wire)
{
    --*(int *)wire;
}

static void the_wire_form_is_shared_by_copies(void **state G_GNUC_UNUSED)
{
    int refs = 1;
    DvCtx *ctx = dv_ctx_new_blank();
    DvCtx *copy = NULL;

    ctx->request_id = g_strdup("req-1");
    ctx->wire = &refs;
    ctx->wire_ref = count_ref;
    ctx->wire_unref = count_unref;
    copy = dv_ctx_with_instance(ctx, "x");
    assert_int_equal(refs, 2);
    dv_ctx_unref(dv_ctx_ref(ctx)); /* not the last */
    assert_int_equal(refs, 2);
    dv_ctx_unref(ctx);
    dv_ctx_unref(copy);
    assert_int_equal(refs, 0);
    dv_ctx_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admin_context_has_a_fresh_request_id),
        cmocka_unit_test(copies_change_one_thing),
        cmocka_unit_test(elevation_leaves_the_original_alone),
        cmocka_unit_test(rest_calls_carry_the_global_id_when_there_is_one),
        cmocka_unit_test(the_wire_form_is_shared_by_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
