/* Versioned objects as views on JSON: what is accepted, read, written and counted as a change. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "objects/ovo.h"

#define PRIM(name, version, data, changes)                                   \
    "{\"nova_object.name\":\"" name "\",\"nova_object.namespace\":\"nova\"," \
    "\"nova_object.version\":\"" version "\",\"nova_object.data\":" data     \
    ",\"nova_object.changes\":" changes "}"

static Ovo *parse(const char *text)
{
    g_autoptr(GError) err = NULL;
    Ovo *ovo = ovo_parse(text, NULL, &err);

    if (!ovo)
        fail_msg("%s", err->message);
    return ovo;
}

static void assert_refused(const char *text, const char *name, const char *why)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) ovo = ovo_parse(text, name, &err);

    assert_null(ovo);
    assert_true(dv_is(err, DV_E_BAD_INPUT));
    if (!strstr(err->message, why))
        fail_msg("'%s' does not say '%s'", err->message, why);
}

static void a_primitive_says_what_it_is(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("Instance", "2.7", "{}", "[]"));

    assert_string_equal(ovo_name(ovo), "Instance");
    assert_string_equal(ovo_version(ovo), "2.7");
    assert_true(ovo_version_at_least(ovo, 2, 7));
    assert_true(ovo_version_at_least(ovo, 1, 9));
    assert_false(ovo_version_at_least(ovo, 2, 8));
    assert_false(ovo_version_at_least(ovo, 3, 0));
}

static void minor_versions_are_numbers(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("ImageMetaProps", "1.34.1", "{}", "[]"));

    assert_true(ovo_version_at_least(ovo, 1, 9));
    assert_false(ovo_version_at_least(ovo, 1, 35));
}

static void what_is_no_primitive_is_refused(void **state G_GNUC_UNUSED)
{
    assert_refused("{}", NULL, "no object primitive");
    assert_refused("[]", NULL, "no object primitive");
    assert_refused("{\"nova_object.name\":7}", NULL, "no object primitive");
    assert_refused("{", NULL, "object text");
    assert_refused(PRIM("Flavor", "1.2", "{}", "[]"), "Instance", "want a Instance, got a Flavor");
    assert_refused(PRIM("Flavor", "1", "{}", "[]"), NULL, "version");
    assert_refused(PRIM("Flavor", "1.2.3.4", "{}", "[]"), NULL, "version");
    assert_refused(PRIM("Flavor", "1.2b", "{}", "[]"), NULL, "version");
    assert_refused(PRIM("Flavor", "1.99999999999", "{}", "[]"), NULL, "version");
    assert_refused(PRIM("Flavor", "1.2", "[]", "[]"), NULL, "no data");
    assert_refused(PRIM("Flavor", "1.2", "null", "[]"), NULL, "no data");
    assert_refused(PRIM("Flavor", "1.2", "{}", "{}"), NULL, "change list");
    assert_refused(PRIM("Flavor", "1.2", "{}", "[1]"), NULL, "change list");
}

static void nothing_at_all_is_refused(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;

    assert_null(ovo_take(NULL, "Instance", &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT));
    assert_null(ovo_view_dict(NULL, NULL));
}

static char *nested_arrays(int depth)
{
    GString *text = g_string_new("{\"x\":");

    for (int i = 0; i < depth; i++)
        g_string_append_c(text, '[');
    for (int i = 0; i < depth; i++)
        g_string_append_c(text, ']');
    g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

static void deep_nesting_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *shallow = nested_arrays(90);
    g_autofree char *deep = nested_arrays(110);
    g_autofree char *good = g_strdup_printf(PRIM("A", "1.0", "%s", "[]"), shallow);
    g_autofree char *bad = g_strdup_printf(PRIM("A", "1.0", "%s", "[]"), deep);
    g_autofree char *absurd_data = nested_arrays(100000);
    g_autofree char *absurd = g_strdup_printf(PRIM("A", "1.0", "%s", "[]"), absurd_data);
    g_autoptr(Ovo) ovo = parse(good);

    assert_true(ovo_has(ovo, "x"));
    assert_refused(bad, NULL, "nested deeper");
    assert_refused(absurd, NULL, "depth");
}

static void unset_null_and_value_differ(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("Instance", "2.7", "{\"a\":null,\"b\":1}", "[]"));

    assert_true(ovo_has(ovo, "a"));
    assert_false(ovo_has_value(ovo, "a"));
    assert_true(ovo_has_value(ovo, "b"));
    assert_false(ovo_has(ovo, "c"));
}

static void numbers_are_read_as_oslo_coerces_them(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("X", "1.0",
                                    "{\"i\":7,\"s\":\"-42\",\"r\":512.0,\"f\":1.5,\"t\":\"2.25\","
                                    "\"bad\":\"7x\",\"neg\":-1,\"empty\":\"\",\"inf\":\"inf\"}",
                                    "[]"));
    g_autoptr(GError) err = NULL;
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;

    assert_true(ovo_i64(ovo, "i", &i, NULL) && i == 7);
    assert_true(ovo_i64(ovo, "s", &i, NULL) && i == -42);
    assert_true(ovo_i64(ovo, "r", &i, NULL) && i == 512);
    assert_false(ovo_i64(ovo, "f", &i, NULL));
    assert_false(ovo_i64(ovo, "bad", &i, NULL));
    assert_true(ovo_u64(ovo, "i", &u, NULL) && u == 7);
    assert_false(ovo_u64(ovo, "neg", &u, &err));
    assert_string_equal(err->message, "X.neg: want an unsigned integer");
    assert_true(ovo_double(ovo, "f", &d, NULL) && d == 1.5);
    assert_true(ovo_double(ovo, "t", &d, NULL) && d == 2.25);
    assert_true(ovo_double(ovo, "i", &d, NULL) && d == 7);
    assert_false(ovo_double(ovo, "empty", &d, NULL));
    assert_false(ovo_double(ovo, "inf", &d, NULL));
    assert_int_equal(ovo_i64_or(ovo, "bad", 3), 3);
    assert_int_equal(ovo_i64_or(ovo, "gone", 4), 4);
    assert_true(ovo_double_or(ovo, "bad", 0.5) == 0.5);
}

static void booleans_are_read_from_words_too(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(
        "{\"nova_object.name\":\"X\",\"nova_object.version\":\"1.0\",\"nova_object.data\":"
        "{\"t\":true,\"f\":false,\"one\":1,\"zero\":0,\"yes\":\"Yes\",\"off\":\"OFF\","
        "\"odd\":\"maybe\",\"nil\":null}}");
    bool b = false;

    assert_true(ovo_bool(ovo, "t", &b, NULL) && b);
    assert_true(ovo_bool(ovo, "f", &b, NULL) && !b);
    assert_true(ovo_bool(ovo, "one", &b, NULL) && b);
    assert_true(ovo_bool(ovo, "zero", &b, NULL) && !b);
    assert_true(ovo_bool(ovo, "yes", &b, NULL) && b);
    assert_true(ovo_bool(ovo, "off", &b, NULL) && !b);
    assert_false(ovo_bool(ovo, "odd", &b, NULL));
    assert_false(ovo_bool(ovo, "nil", &b, NULL));
    assert_true(ovo_bool_or(ovo, "odd", true));
}

static void strings_are_strings_only(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("Instance", "2.7", "{\"uuid\":\"u\",\"id\":1}", "[]"));
    g_autoptr(GError) err = NULL;
    const char *text = NULL;

    assert_true(ovo_str(ovo, "uuid", &text, NULL));
    assert_string_equal(text, "u");
    assert_false(ovo_str(ovo, "id", &text, &err));
    assert_string_equal(err->message, "Instance.id: want a string");
    assert_string_equal(text, "u");
    assert_string_equal(ovo_str_or(ovo, "id", "-"), "-");
    assert_null(ovo_str_or(ovo, "host", NULL));
}

static void a_setter_marks_only_what_is_new(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("Instance", "2.7", "{\"a\":\"x\",\"n\":1,\"z\":null}", "[]"));

    ovo_set_str(ovo, "a", "x");
    ovo_set_i64(ovo, "n", 1);
    ovo_set_null(ovo, "z");
    assert_false(ovo_any_changed(ovo));
    ovo_set_str(ovo, "a", "y");
    ovo_set_str(ovo, "new", NULL);
    assert_true(ovo_changed(ovo, "a"));
    assert_true(ovo_changed(ovo, "new"));
    assert_false(ovo_changed(ovo, "n"));
    assert_string_equal(ovo_str_or(ovo, "a", NULL), "y");
    ovo_unset(ovo, "a");
    assert_false(ovo_has(ovo, "a"));
    assert_false(ovo_changed(ovo, "a"));
    ovo_reset_changes(ovo);
    assert_false(ovo_any_changed(ovo));
}

static void a_change_in_a_child_is_a_change_of_the_parent(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo)
        ovo = parse(PRIM("Instance", "2.7",
                         "{\"uuid\":\"u\",\"info_cache\":" PRIM(
                             "InstanceInfoCache", "1.5", "{\"network_info\":\"[]\"}", "[]") "}",
                         "[]"));
    g_autoptr(Ovo) cache = ovo_child(ovo, "info_cache");

    assert_string_equal(ovo_name(cache), "InstanceInfoCache");
    assert_false(ovo_any_changed(ovo));
    ovo_set_str(cache, "network_info", "[1]");
    assert_true(ovo_changed(ovo, "info_cache"));
    assert_true(ovo_any_changed(ovo));
    assert_false(ovo_changed(ovo, "uuid"));
    ovo_reset_changes(ovo);
    assert_false(ovo_any_changed(cache));
}

static void a_list_object_is_dirty_through_its_elements(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) list = parse(
        PRIM("InstanceList", "2.6",
             "{\"objects\":[" PRIM("Instance", "2.7", "{\"uuid\":\"u\"}", "[]") "]}", "[]"));
    g_autoptr(Ovo) first = ovo_at(list, NULL, 0);

    assert_int_equal(ovo_count(list, NULL), 1);
    assert_null(ovo_at(list, NULL, 1));
    assert_false(ovo_any_changed(list));
    ovo_set_str(first, "host", "h");
    assert_true(ovo_changed(list, "objects"));
}

static void dict_entries_are_set_and_removed(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(
        PRIM("Instance", "2.7", "{\"system_metadata\":{\"b\":\"2\",\"a\":null}}", "[]"));
    g_autoptr(GPtrArray) keys = ovo_dict_keys(ovo, "system_metadata");
    g_autoptr(GPtrArray) none = ovo_dict_keys(ovo, "gone");

    assert_int_equal(keys->len, 2);
    assert_string_equal(keys->pdata[0], "a");
    assert_int_equal(none->len, 0);
    assert_string_equal(ovo_dict_str(ovo, "system_metadata", "b"), "2");
    assert_null(ovo_dict_str(ovo, "system_metadata", "a"));
    ovo_dict_set(ovo, "system_metadata", "b", "2");
    ovo_dict_set(ovo, "system_metadata", "gone", NULL);
    assert_false(ovo_any_changed(ovo));
    ovo_dict_set(ovo, "system_metadata", "a", NULL);
    assert_true(ovo_changed(ovo, "system_metadata"));
    ovo_dict_set(ovo, "metadata", "k", "v");
    assert_string_equal(ovo_dict_str(ovo, "metadata", "k"), "v");
    assert_true(ovo_changed(ovo, "metadata"));
}

static void bytes_that_are_no_text_are_replaced(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = ovo_new("InstanceFault", "1.2");
    g_autofree char *text = NULL;

    ovo_set_str(ovo, "message", "bad \xff byte");
    ovo_dict_set(ovo, "d", "k\xfe", "v\xfd");
    assert_string_equal(ovo_str_or(ovo, "message", NULL), "bad \xef\xbf\xbd byte");
    text = ovo_text(ovo);
    assert_true(g_utf8_validate(text, -1, NULL));
}

static void lists_are_built_and_read(void **state G_GNUC_UNUSED)
{
    static const char *const uuids[] = {"a", "b", NULL};
    g_autoptr(Ovo) list = ovo_new("InstanceList", "2.6");
    g_autoptr(Ovo) item = ovo_new("Instance", "2.7");
    g_autoptr(Ovo) dict = ovo_new_dict();

    ovo_append(list, NULL, item);
    ovo_append(list, NULL, item);
    assert_int_equal(ovo_count(list, NULL), 2);
    assert_true(ovo_changed(list, "objects"));
    ovo_set_strv(dict, "uuid", uuids);
    assert_int_equal(ovo_count(dict, "uuid"), 2);
    assert_string_equal(ovo_str_at(dict, "uuid", 1), "b");
    assert_null(ovo_str_at(dict, "uuid", 2));
    assert_null(ovo_name(dict));
    assert_false(ovo_any_changed(dict));
}

/* nova loads lazily: what is read later is no wish to save it. */
static void what_is_loaded_is_no_change(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = ovo_new("Instance", "2.7");
    g_autoptr(Ovo) read = ovo_new("Instance", "2.7");

    ovo_set_str(read, "key_name", "mine");
    ovo_load_from(ovo, "key_name", read);
    assert_string_equal(ovo_str_or(ovo, "key_name", ""), "mine");
    assert_false(ovo_changed(ovo, "key_name"));
    ovo_load_from(ovo, "user_data", read); /* which does not have it */
    assert_false(ovo_has(ovo, "user_data"));
}

static void a_copy_stands_alone(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("X", "1.0", "{\"a\":1}", "[]"));
    g_autoptr(Ovo) copy = ovo_copy(ovo);
    g_autoptr(Ovo) dict = ovo_new_dict();
    g_autoptr(Ovo) dict_copy = NULL;

    ovo_set_i64(copy, "a", 2);
    assert_int_equal(ovo_i64_or(ovo, "a", 0), 1);
    ovo_set_child(dict, "x", ovo);
    dict_copy = ovo_copy(dict);
    assert_null(ovo_name(dict_copy));
    assert_true(ovo_has_value(dict_copy, "x"));
}

static void a_malformed_child_is_no_child(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(
        PRIM("X", "1.0",
             "{\"a\":{\"nova_object.name\":\"Y\"},\"b\":[1],\"c\":null,\"d\":{\"k\":1}}", "[]"));
    g_autoptr(Ovo) dict = ovo_child(ovo, "d");

    assert_null(ovo_child(ovo, "a"));
    assert_null(ovo_child(ovo, "b"));
    assert_null(ovo_child(ovo, "c"));
    assert_null(ovo_at(ovo, "b", 0));
    assert_non_null(dict);
}

static void updates_replace_fields_and_the_change_list(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) ovo = parse(PRIM("Instance", "2.7", "{\"a\":1,\"b\":2}", "[\"a\"]"));
    json_auto_t *updates = json_loads(
        "{\"a\":5,\"compute_id\":9,\"obj_what_changed\":[\"b\",\"nope\"]}", 0, NULL);
    json_auto_t *bad = json_loads("{\"obj_what_changed\":7}", 0, NULL);

    assert_true(ovo_apply_updates(ovo, updates, NULL));
    assert_int_equal(ovo_i64_or(ovo, "a", 0), 5);
    assert_int_equal(ovo_i64_or(ovo, "compute_id", 0), 9);
    assert_false(ovo_has(ovo, "obj_what_changed"));
    assert_false(ovo_changed(ovo, "a"));
    assert_true(ovo_changed(ovo, "b"));
    assert_false(ovo_changed(ovo, "nope"));
    assert_false(ovo_apply_updates(ovo, bad, NULL));
    assert_false(ovo_apply_updates(ovo, NULL, NULL));
}

static void a_save_sends_identity_and_changes(void **state G_GNUC_UNUSED)
{
    static const char *const keep[] = {"uuid", "id", NULL};
    g_autoptr(Ovo) ovo = parse(PRIM("Instance", "2.8",
                                    "{\"uuid\":\"u\",\"id\":1,\"host\":\"h\",\"f\":" PRIM(
                                        "Flavor", "1.2", "{\"name\":\"n\"}", "[\"name\"]") "}",
                                    "[]"));
    json_auto_t *prim = NULL;
    json_t *data, *changes;

    ovo_set_str(ovo, "vm_state", "active");
    prim = ovo_save_json(ovo, keep);
    data = json_object_get(prim, "nova_object.data");
    changes = json_object_get(prim, "nova_object.changes");
    assert_string_equal(json_string_value(json_object_get(prim, "nova_object.version")), "2.8");
    assert_int_equal(json_object_size(data), 4);
    assert_null(json_object_get(data, "host"));
    assert_non_null(json_object_get(data, "f"));
    assert_int_equal(json_array_size(changes), 2);
}

static void fields_we_do_not_know_survive(void **state G_GNUC_UNUSED)
{
    static const char text[] = PRIM(
        "Instance", "2.99", "{\"uuid\":\"u\",\"of_the_future\":{\"x\":[1,2,{\"y\":null}]}}", "[]");
    g_autoptr(Ovo) ovo = parse(text);
    g_autofree char *out = ovo_text(ovo);

    assert_string_equal(out, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_primitive_says_what_it_is),
        cmocka_unit_test(minor_versions_are_numbers),
        cmocka_unit_test(what_is_no_primitive_is_refused),
        cmocka_unit_test(nothing_at_all_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(unset_null_and_value_differ),
        cmocka_unit_test(numbers_are_read_as_oslo_coerces_them),
        cmocka_unit_test(booleans_are_read_from_words_too),
        cmocka_unit_test(strings_are_strings_only),
        cmocka_unit_test(a_setter_marks_only_what_is_new),
        cmocka_unit_test(a_change_in_a_child_is_a_change_of_the_parent),
        cmocka_unit_test(a_list_object_is_dirty_through_its_elements),
        cmocka_unit_test(dict_entries_are_set_and_removed),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(lists_are_built_and_read),
        cmocka_unit_test(what_is_loaded_is_no_change),
        cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(a_malformed_child_is_no_child),
        cmocka_unit_test(updates_replace_fields_and_the_change_list),
        cmocka_unit_test(a_save_sends_identity_and_changes),
        cmocka_unit_test(fields_we_do_not_know_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
