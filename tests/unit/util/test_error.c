/* Errors: one code, chosen once, and text that grows from the right. */
#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fail_sets_code_and_text(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_false(dv_fail(&err, DV_E_NO_CAPACITY, "want %d MiB", 512));
    assert_int_equal(dv_code(err), DV_E_NO_CAPACITY);
    assert_string_equal(err->message, "want 512 MiB");
}

static void within_adds_context_in_front_and_keeps_the_code(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    dv_fail(&err, DV_E_HYPERVISOR, "unknown machine type pc-9");
    dv_within(&err, "define guest");
    assert_false(dv_within(&err, "booting %s", "6f70"));
    assert_string_equal(err->message, "booting 6f70: define guest: unknown machine type pc-9");
    assert_int_equal(dv_code(err), DV_E_HYPERVISOR);
}

static void context_may_hold_percent_signs(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    dv_fail(&err, DV_E_IO, "%s", "100%s full");
    dv_within(&err, "%s", "disk %d");
    assert_string_equal(err->message, "disk %d: 100%s full");
}

static void nobody_needs_to_want_the_reason(void **state G_GNUC_UNUSED)
{
    GError *none = NULL;

    assert_false(dv_fail(NULL, DV_E_IO, "gone"));
    assert_false(dv_within(NULL, "somewhere"));
    assert_false(dv_within(&none, "nothing happened"));
    assert_null(none);
}

static void foreign_and_missing_errors_are_internal(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) foreign = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOENT, "x");

    assert_int_equal(dv_code(NULL), DV_E_INTERNAL);
    assert_int_equal(dv_code(foreign), DV_E_INTERNAL);
    assert_false(dv_is(NULL, DV_E_INTERNAL));
    assert_true(dv_is(foreign, DV_E_INTERNAL));
}

static void ignore_clears(void **state G_GNUC_UNUSED)
{
    GError *err = NULL;

    dv_fail(&err, DV_E_NOT_FOUND, "x");
    dv_ignore(&err);
    assert_null(err);
    dv_ignore(&err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_sets_code_and_text),
        cmocka_unit_test(within_adds_context_in_front_and_keeps_the_code),
        cmocka_unit_test(context_may_hold_percent_signs),
        cmocka_unit_test(nobody_needs_to_want_the_reason),
        cmocka_unit_test(foreign_and_missing_errors_are_internal),
        cmocka_unit_test(ignore_clears),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
