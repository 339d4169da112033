/* nova's list of an instance's disks: written as nova reads it, read as nova writes it. */
#include "agent/disk_list.h"

#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* As nova-compute sent it with finish_resize. */
#define RECORDED                                                                                \
    "[{\"type\": \"qcow2\", \"path\": \"/var/lib/nova/instances/u/disk\", \"virt_disk_size\": " \
    "1073741824, \"backing_file\": \"f1b9\", \"disk_size\": 540672, "                           \
    "\"over_committed_disk_size\": "                                                            \
    "1073201152}, {\"type\": \"raw\", \"path\": \"/var/lib/nova/instances/u/disk.config\", "    \
    "\"virt_disk_size\": 468992, \"backing_file\": \"\", \"disk_size\": 471040, "               \
    "\"over_committed_disk_size\": 0}]"

static void what_nova_wrote_is_read(void **state G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) disks = disk_list_read(RECORDED, &err);
    const DiskFacts *disk;

    if (!disks)
        fail_msg("%s", err->message);
    assert_int_equal(disks->len, 2);
    disk = disks->pdata[0];
    assert_string_equal(disk->path, "/var/lib/nova/instances/u/disk");
    assert_int_equal(disk->format, DISK_FORMAT_QCOW2);
    assert_string_equal(disk->backing_file, "f1b9");
    assert_int_equal(disk->virtual_bytes, 1073741824);
    assert_int_equal(disk->allocated_bytes, 540672);
    disk = disks->pdata[1];
    assert_int_equal(disk->format, DISK_FORMAT_RAW);
    assert_null(disk->backing_file);
}

static void what_is_written_reads_the_same(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) disks = disk_list_read(RECORDED, NULL);
    g_autofree char *text = disk_list_write(disks);
    g_autoptr(GPtrArray) again = disk_list_read(text, NULL);
    g_autofree char *twice = disk_list_write(again);

    assert_string_equal(text, twice);
    assert_non_null(strstr(text, "\"over_committed_disk_size\":1073201152"));
    assert_non_null(strstr(text, "\"over_committed_disk_size\":0"));
    assert_non_null(strstr(text, "\"backing_file\":\"\""));
}

static void other_formats_are_left_out(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) disks = disk_list_read("[{\"type\": \"ploop\", \"path\": \"/x\"}]", NULL);

    assert_int_equal(disks->len, 0);
}

static void what_is_no_list_is_refused(void **state G_GNUC_UNUSED)
{
    static const char *const bad[] = {
        "",
        "[",
        "[3]",
        "[{\"type\": \"raw\"}]",
        "[{\"path\": \"/x\"}]",
        "[{\"type\": 3, \"path\": 4}]",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        if (disk_list_read(bad[i], &err))
            fail_msg("'%s' was read", bad[i]);
        assert_int_equal(err->code, DV_E_BAD_INPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nova_wrote_is_read),
        cmocka_unit_test(what_is_written_reads_the_same),
        cmocka_unit_test(other_formats_are_left_out),
        cmocka_unit_test(what_is_no_list_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
