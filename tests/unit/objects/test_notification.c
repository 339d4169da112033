/* Payloads of notifications: what nova makes of the same instances (goldens, written by
 * tests/interop/notifications), exceptions as Python prints them, and audit periods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "interop/notification_input.h"
#include "util/clock.h"

static json_t *load_goldens(void)
{
    json_error_t why;
    json_t *cases = json_load_file("tests/unit/objects/data/notifications.json", 0, &why);

    if (!cases)
        fail_msg("%s:%d: %s", why.source, why.line, why.text);
    return cases;
}

/* Says which members differ. */
static void assert_same(const char *name, json_t *want, json_t *got)
{
    const char *key;
    json_t *value;

    json_object_foreach(want, key, value)
    {
        if (!json_equal(value, json_object_get(got, key))) {
            g_autofree char *w = json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);
            g_autofree char *g = json_dumps(json_object_get(got, key),
                                            JSON_ENCODE_ANY | JSON_SORT_KEYS);

            fail_msg("%s: %s: want %s, got %s", name, key, w, g ? g : "nothing");
        }
    }
    assert_int_equal(json_object_size(want), json_object_size(got));
}

static void payloads_are_those_of_nova(void **state G_GNUC_UNUSED)
{
    json_t *cases = load_goldens();
    json_t *one;
    size_t i;

    assert_true(json_array_size(cases) >= 6);
    json_array_foreach(cases, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        json_t *nova = json_object_get(one, "nova");
        json_t *answer = notification_answer(json_object_get(one, "question"), NULL);
        const char *kind;
        json_t *want;

        assert_non_null(answer);
        json_object_foreach(nova, kind, want)
        {
            json_t *got = json_object_get(answer, kind);
            json_t *data = json_object_get(want, "nova_object.data");

            if (data)
                assert_same(name, data, json_object_get(got, "nova_object.data"));
            assert_same(name, want, got);
        }
        json_decref(answer);
    }
    json_decref(cases);
}

/* ---- exceptions ---- */

typedef struct Told {
    json_t *unversioned, *versioned;
} Told;

static Told tell(const NotificationFault *fault)
{
    g_autoptr(Ovo) instance = ovo_new("Instance", "2.7");
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    const Notification n = {.instance = instance, .ctx = ctx, .fault = fault};

    return (Told){notification_unversioned(&n), notification_versioned(&n, PAYLOAD_ACTION)};
}

static void told_done(Told *told)
{
    json_decref(told->unversioned);
    json_decref(told->versioned);
}

static const char *text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void an_exception_of_nova_prints_its_fields(void **state G_GNUC_UNUSED)
{
    const NotificationFault fault = {"ImageNotFound", "Image it's \"a\\b\"\n\x01", "nova.exception",
                                     "create", 404};
    Told told = tell(&fault);
    const json_t *data = json_object_get(told.versioned, "nova_object.data");

    assert_string_equal(text_at(told.unversioned, "exception"),
                        "{'kwargs': {'code': 404}, 'message': 'Image it\\'s \"a\\\\b\"\\n\\x01', "
                        "'class': 'ImageNotFound'}");
    assert_int_equal(json_integer_value(json_object_get(told.unversioned, "code")), 404);
    data = json_object_get(json_object_get(data, "fault"), "nova_object.data");
    assert_string_equal(text_at(data, "exception"), "ImageNotFound");
    assert_string_equal(text_at(data, "module_name"), "nova.exception");
    assert_string_equal(text_at(data, "function_name"), "create");
    told_done(&told);
}

static void another_exception_prints_as_a_call(void **state G_GNUC_UNUSED)
{
    const NotificationFault fault = {"ValueError", "it's", "builtins", "create", 0};
    Told told = tell(&fault);

    assert_string_equal(text_at(told.unversioned, "exception"), "ValueError(\"it's\")");
    assert_string_equal(text_at(told.unversioned, "message"), "it's");
    assert_int_equal(json_integer_value(json_object_get(told.unversioned, "code")), 500);
    told_done(&told);
}

/* What another service left out, or wrote as something else, is null and no crash. */
static void a_bare_instance_has_a_payload(void **state G_GNUC_UNUSED)
{
    Told told = tell(NULL);
    const json_t *data = json_object_get(told.versioned, "nova_object.data");

    assert_true(json_is_null(json_object_get(data, "uuid")));
    assert_true(json_is_null(json_object_get(data, "fault")));
    assert_true(json_is_null(json_object_get(data, "power_state")));
    assert_true(json_is_array(json_object_get(data, "ip_addresses")));
    assert_string_equal(text_at(told.unversioned, "created_at"), "None");
    told_done(&told);
}

/* ---- audit periods ---- */

static void assert_period(const char *unit, const char *now, const char *begin, const char *end)
{
    int64_t now_ms = 0, begin_ms = 0, end_ms = 0;
    g_autofree char *got_begin = NULL;
    g_autofree char *got_end = NULL;

    assert_true(dv_time_parse(now, &now_ms));
    assert_true(notification_period(unit, now_ms, &begin_ms, &end_ms));
    got_begin = dv_time_object(begin_ms);
    got_end = dv_time_object(end_ms);
    assert_string_equal(got_begin, begin);
    assert_string_equal(got_end, end);
}

static void periods_end_before_now(void **state G_GNUC_UNUSED)
{
    assert_period("month", "2026-01-15T00:00:00Z", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z");
    assert_period("month@20", "2026-01-15T00:00:00Z", "2025-11-20T00:00:00Z",
                  "2025-12-20T00:00:00Z");
    assert_period("day@6", "2026-03-01T05:59:59Z", "2026-02-27T06:00:00Z", "2026-02-28T06:00:00Z");
    assert_period("hour", "2026-03-01T00:00:00Z", "2026-02-28T22:00:00Z", "2026-02-28T23:00:00Z");
    assert_period("year@3", "2026-03-01T00:00:01Z", "2025-03-01T00:00:00Z", "2026-03-01T00:00:00Z");
}

static void wrong_periods_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const wrong[] = {"",        "week",    "day@",    "day@24", "month@32",
                                        "year@13", "hour@60", "hour@-1", "@3",     "month@1x"};
    int64_t begin_ms, end_ms;

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        if (notification_period(wrong[i], 0, &begin_ms, &end_ms))
            fail_msg("'%s' is taken", wrong[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_are_those_of_nova),
        cmocka_unit_test(an_exception_of_nova_prints_its_fields),
        cmocka_unit_test(another_exception_prints_as_a_call),
        cmocka_unit_test(a_bare_instance_has_a_payload),
        cmocka_unit_test(periods_end_before_now),
        cmocka_unit_test(wrong_periods_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
