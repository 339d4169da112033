/* disk.info: the formats of an instance's disks, as nova's Python writes and reads them. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void disk_info_is_read_as_python_writes_it(void **state G_GNUC_UNUSED)
{
    g_autoptr(GHashTable) table = NULL;

    assert_true(disk_info_parse(
        " {\"/a/\\u00e4\\\"\\\\ b\": \"raw\", \"\\ud83d\\ude00\" : \"qcow2\"}\n", &table, NULL));
    assert_string_equal(g_hash_table_lookup(table, "/a/\xc3\xa4\"\\ b"), "raw");
    assert_string_equal(g_hash_table_lookup(table, "\xf0\x9f\x98\x80"), "qcow2");
    assert_int_equal(g_hash_table_size(table), 2);
}

static void broken_disk_info_is_refused(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "[]",
        "{",
        "{\"a\"}",
        "{\"a\": 1}",
        "{\"a\": \"b\",}",
        "{\"a\": \"b}",
        "{\"a\": \"b\"} x",
        "{\"\\x\": \"b\"}",
        "{\"\\u12\": \"b\"}",
        "{\"\\ud800\": \"b\"}",
        "{\"\\u0000\": \"b\"}",
        "{\"\xff\": \"b\"}",
        "{\"a\\",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GHashTable) table = NULL;
        g_autoptr(GError) err = NULL;

        if (disk_info_parse(texts[i], &table, &err))
            fail_msg("accepted: %s", texts[i]);
        assert_int_equal(dv_code(err), DV_E_INVALID_DISK);
    }
}

static void disk_info_survives_a_round_trip(void **state G_GNUC_UNUSED)
{
    g_autofree char *folder = g_dir_make_tmp("disk-info-XXXXXX", NULL);
    g_autoptr(GHashTable) table = NULL, again = NULL, none = NULL;

    assert_true(disk_info_parse("{\"/a \\u0001\\\"\\\\\": \"raw\"}", &table, NULL));
    assert_true(disk_info_write(folder, table, NULL));
    assert_true(disk_info_read(folder, &again, NULL));
    assert_string_equal(g_hash_table_lookup(again, "/a \x01\"\\"), "raw");
    assert_true(disk_info_read("/nonexistent", &none, NULL));
    assert_int_equal(g_hash_table_size(none), 0);
    assert_true(dv_remove_tree(folder, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_info_is_read_as_python_writes_it),
        cmocka_unit_test(broken_disk_info_is_refused),
        cmocka_unit_test(disk_info_survives_a_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
