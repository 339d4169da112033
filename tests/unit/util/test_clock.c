/* Clocks that a test owns, and the two time formats of the wire. */
#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOON_MS 1767323045678 /* 2026-01-02T03:04:05.678Z */

static void objects_have_whole_seconds_and_a_z(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = dv_time_object(NOON_MS);

    assert_string_equal(text, "2026-01-02T03:04:05Z");
}

static void contexts_have_microseconds_and_no_zone(void **state G_GNUC_UNUSED)
{
    g_autofree char *text = dv_time_context(NOON_MS);

    assert_string_equal(text, "2026-01-02T03:04:05.678000");
}

static void both_forms_are_read_back(void **state G_GNUC_UNUSED)
{
    int64_t ms = 0;

    assert_true(dv_time_parse("2026-01-02T03:04:05Z", &ms));
    assert_int_equal(ms, NOON_MS / 1000 * 1000);
    assert_true(dv_time_parse("2026-01-02T03:04:05.678901", &ms));
    assert_int_equal(ms, NOON_MS);
    assert_true(dv_time_parse("2026-01-02T03:04:05+00:00", &ms));
    assert_int_equal(ms, NOON_MS / 1000 * 1000);
}

static void other_text_is_refused(void **state G_GNUC_UNUSED)
{
    int64_t ms = 7;

    assert_false(dv_time_parse("yesterday", &ms));
    assert_false(dv_time_parse("", &ms));
    assert_false(dv_time_parse(NULL, &ms));
    assert_false(dv_time_parse("2026-13-02T03:04:05Z", &ms));
    assert_int_equal(ms, 7);
}

static int64_t fixed_now(void *self)
{
    return *(int64_t *)self;
}

static int64_t fixed_wall(void *self)
{
    return *(int64_t *)self + 1000;
}

static void a_clock_can_be_a_fake(void **state G_GNUC_UNUSED)
{
    int64_t now = 5;
    DvClock clock = {fixed_now, fixed_wall, &now};

    assert_int_equal(dv_clock_now_ms(&clock), 5);
    now = 6;
    assert_int_equal(dv_clock_now_ms(&clock), 6);
    assert_int_equal(dv_clock_wall_ms(&clock), 1006);
}

static void the_real_clock_does_not_go_back(void **state G_GNUC_UNUSED)
{
    int64_t a = dv_now_ms();
    int64_t b = dv_clock_now_ms(dv_clock_real());

    assert_true(b >= a);
    assert_true(dv_clock_wall_ms(dv_clock_real()) > NOON_MS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_have_whole_seconds_and_a_z),
        cmocka_unit_test(contexts_have_microseconds_and_no_zone),
        cmocka_unit_test(both_forms_are_read_back),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(a_clock_can_be_a_fake),
        cmocka_unit_test(the_real_clock_does_not_go_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
