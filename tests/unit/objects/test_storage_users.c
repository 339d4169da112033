/* The registry of storage users: text that nova wrote is understood, and nova understands ours. */
#include "objects/storage_users.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define NOW_MS 1795680000250
#define NOW_S (NOW_MS / 1000)
#define DAY_S 86400

static void the_first_host_makes_the_registry(void **state)
{
    g_auto(GStrv) recent = NULL;
    g_autofree char *text = storage_users_note(NULL, "cmp1", NOW_MS, &recent);
    json_t *json = json_loads(text, 0, NULL);

    (void)state;
    assert_int_equal(json_object_size(json), 1);
    assert_true(json_number_value(json_object_get(json, "cmp1")) == (double)NOW_MS / 1000);
    assert_string_equal(recent[0], "cmp1");
    assert_null(recent[1]);
    json_decref(json);
}

static void hosts_of_the_last_day_count(void **state)
{
    g_autofree char *before = g_strdup_printf("{\"cmp1\": %.6f, \"cmp2\": %.6f, \"old\": %d}",
                                              (double)NOW_S - 100, (double)NOW_S - DAY_S + 10,
                                              (int)(NOW_S - DAY_S - 10));
    g_auto(GStrv) recent = NULL;
    g_autofree char *text = storage_users_note(before, "cmp1", NOW_MS, &recent);
    json_t *json = json_loads(text, 0, NULL);

    (void)state;
    assert_int_equal(g_strv_length(recent), 2);
    assert_true(g_strv_contains((const char *const *)recent, "cmp1"));
    assert_true(g_strv_contains((const char *const *)recent, "cmp2"));
    /* nova keeps hosts that are long gone in the file, so we do. */
    assert_int_equal(json_object_size(json), 3);
    assert_true(json_number_value(json_object_get(json, "cmp1")) > (double)NOW_S);
    json_decref(json);
}

static void what_is_no_registry_is_replaced(void **state)
{
    static const char *const texts[] = {"", "{", "[1]", "null", "{\"cmp2\": \"soon\"}"};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_auto(GStrv) recent = NULL;
        g_autofree char *text = storage_users_note(texts[i], "cmp1", NOW_MS, &recent);

        assert_int_equal(g_strv_length(recent), 1);
        assert_string_equal(recent[0], "cmp1");
        assert_non_null(strstr(text, "\"cmp1\": 1795680000.25"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_host_makes_the_registry),
        cmocka_unit_test(hosts_of_the_last_day_count),
        cmocka_unit_test(what_is_no_registry_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
