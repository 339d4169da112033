/* Objects of a real cloud: read, written again unchanged, and dirty exactly where nova says so.
 * Data: tests/wire/data/objects.jsonl, made by tests/wire/collect.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "objects/ovo.h"
#include "objects/versions.h"

#define DATA "tests/wire/data/objects.jsonl"

typedef void (*CheckFn)(const json_t *object, const json_t *dirty, const char *where);

static void for_each_object(CheckFn check)
{
    FILE *file = fopen(DATA, "r");
    char *line = NULL;
    size_t size = 0, n = 0;

    assert_non_null(file);
    while (getline(&line, &size, file) > 0) {
        json_auto_t *record = json_loads(line, 0, NULL);
        const json_t *object = json_object_get(record, "object");
        g_autofree char *where = g_strdup_printf(
            "line %zu: %s", ++n, json_string_value(json_object_get(object, "nova_object.name")));

        assert_non_null(record);
        check(object, json_object_get(record, "dirty"), where);
    }
    free(line);
    fclose(file);
    assert_in_range(n, 50, 10000);
}

static Ovo *read_object(const json_t *object, const char *where)
{
    g_autoptr(GError) err = NULL;
    Ovo *ovo = ovo_take(json_deep_copy(object), NULL, &err);

    if (!ovo)
        fail_msg("%s: %s", where, err->message);
    return ovo;
}

static void check_round_trip(const json_t *object, const json_t *dirty G_GNUC_UNUSED,
                             const char *where)
{
    g_autoptr(Ovo) ovo = read_object(object, where);
    g_autofree char *text = ovo_text(ovo);
    json_auto_t *again = json_loads(text, 0, NULL);

    if (!json_equal(object, again))
        fail_msg("%s: changed by reading and writing", where);
}

static void every_object_survives_a_round_trip(void **state G_GNUC_UNUSED)
{
    for_each_object(check_round_trip);
}

static bool listed(const json_t *list, const char *name)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item) if (g_str_equal(json_string_value(item), name)) return true;
    return false;
}

static void check_dirty(const json_t *object, const json_t *dirty, const char *where)
{
    g_autoptr(Ovo) ovo = read_object(object, where);
    const char *field;
    json_t *value;

    json_object_foreach(json_object_get(object, "nova_object.data"), field,
                        value) if (ovo_changed(ovo, field) != listed(dirty, field))
        fail_msg("%s: %s is %s for nova", where, field,
                 listed(dirty, field) ? "changed" : "unchanged");
    assert_int_equal(ovo_any_changed(ovo), json_array_size(dirty) > 0);
    ovo_reset_changes(ovo);
    assert_false(ovo_any_changed(ovo));
}

static void what_changed_is_what_nova_says(void **state G_GNUC_UNUSED)
{
    for_each_object(check_dirty);
}

/* Checks obj and all objects below it against the version table. */
static void check_versions(const json_t *value, const char *where)
{
    const char *name = json_string_value(json_object_get(value, "nova_object.name"));
    const char *key;
    json_t *item;
    size_t i;

    if (name) {
        const char *version = json_string_value(json_object_get(value, "nova_object.version"));
        const char *known = ovo_version_of(NOVA_ZED, name);

        if (!known)
            fail_msg("%s: class %s is not in the table", where, name);
        /* What API and database stored under an older release keeps its label. */
        if (g_strcmp0(version, known) != 0 && strcmp(name, "InstanceNUMACell") != 0)
            fail_msg("%s: %s is at %s, the table says %s", where, name, version, known);
    }
    json_array_foreach(value, i, item) check_versions(item, where);
    json_object_foreach((json_t *)(uintptr_t)value, key, item) check_versions(item, where);
}

static void check_object_versions(const json_t *object, const json_t *dirty G_GNUC_UNUSED,
                                  const char *where)
{
    check_versions(object, where);
}

static void the_table_knows_what_a_cloud_of_zed_sends(void **state G_GNUC_UNUSED)
{
    for_each_object(check_object_versions);
}

/* Every nested object is reachable through the accessors. */
static void check_children(const json_t *object, const json_t *dirty G_GNUC_UNUSED,
                           const char *where)
{
    g_autoptr(Ovo) ovo = read_object(object, where);
    const char *field;
    json_t *value;

    json_object_foreach(json_object_get(object, "nova_object.data"), field, value)
    {
        g_autoptr(Ovo) child = ovo_child(ovo, field);

        assert_int_equal(child != NULL, json_is_object(value));
        assert_int_equal(ovo_count(ovo, field), json_array_size(value));
        assert_true(ovo_has(ovo, field));
        assert_int_equal(ovo_has_value(ovo, field), !json_is_null(value));
        if (json_array_size(value) > 0 && json_is_object(json_array_get(value, 0))) {
            g_autoptr(Ovo) first = ovo_at(ovo, field, 0);

            assert_non_null(first);
            assert_non_null(ovo_name(first));
        }
    }
}

static void every_child_is_reached(void **state G_GNUC_UNUSED)
{
    for_each_object(check_children);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_object_survives_a_round_trip),
        cmocka_unit_test(what_changed_is_what_nova_says),
        cmocka_unit_test(the_table_knows_what_a_cloud_of_zed_sends),
        cmocka_unit_test(every_child_is_reached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
