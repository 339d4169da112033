/* Files: bounded reads, whole writes, trees that are removed without leaving them. */
#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder;

static char *in_folder(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static void put(const char *name, const char *text)
{
    g_autofree char *path = in_folder(name);

    assert_true(dv_write_file(path, text, strlen(text), 0600, NULL));
}

static void what_was_written_is_read_back(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("a");
    g_autofree char *text = NULL;
    struct stat st;
    size_t length = 0;

    assert_true(dv_write_file(path, "ab\0c", 4, 0640, NULL));
    assert_true(dv_read_file(path, 4, &text, &length, NULL));
    assert_int_equal(length, 4);
    assert_memory_equal(text, "ab\0c", 5);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void a_file_over_the_limit_is_refused(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("big");
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    put("big", "12345");
    assert_false(dv_read_file(path, 4, &text, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    assert_null(text);
}

static void a_missing_file_is_not_found(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("missing");
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    assert_false(dv_read_file(path, 4, &text, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_NOT_FOUND);
    assert_non_null(strstr(err->message, path));
}

static void a_write_replaces_all_or_nothing(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("w");
    g_autofree char *bad = in_folder("no/such/folder/w");
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(GDir) dir = NULL;
    const char *name = NULL;

    put("w", "first, and long");
    put("w", "second");
    assert_true(dv_read_file(path, 100, &text, NULL, NULL));
    assert_string_equal(text, "second");
    assert_false(dv_write_file(bad, "x", 1, 0600, &err));
    assert_int_equal(dv_code(err), DV_E_NOT_FOUND);
    dir = g_dir_open(folder, 0, NULL);
    while ((name = g_dir_read_name(dir)))
        assert_false(g_str_has_prefix(name, "w.")); /* no temporary is left */
}

static void a_full_device_is_no_space(void **state G_GNUC_UNUSED)
{
    dv_autofd int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    g_autoptr(GError) err = NULL;

    assert_true(fd >= 0);
    assert_false(dv_write_all(fd, "x", 1, &err));
    assert_int_equal(dv_code(err), DV_E_NO_SPACE);
}

static void the_tail_is_the_end_of_the_file(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("console");
    g_autofree char *tail = NULL;
    g_autofree char *all = NULL;
    g_autofree char *none = NULL;
    size_t length = 0;

    put("console", "0123456789");
    assert_true(dv_read_tail(path, 3, &tail, &length, NULL));
    assert_string_equal(tail, "789");
    assert_true(dv_read_tail(path, 100, &all, &length, NULL));
    assert_int_equal(length, 10);
    assert_true(dv_read_tail(path, 0, &none, &length, NULL));
    assert_string_equal(none, "");
}

static void folders_are_made_with_their_parents(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("x/y/z");
    g_autofree char *under_file = in_folder("a/below");
    g_autoptr(GError) err = NULL;

    assert_true(dv_mkdirs(path, 0755, NULL));
    assert_true(dv_mkdirs(path, 0755, NULL));
    assert_true(dv_exists(path));
    put("a", "file");
    assert_false(dv_mkdirs(under_file, 0755, &err));
}

static void a_tree_is_removed_without_following_links(void **state G_GNUC_UNUSED)
{
    g_autofree char *tree = in_folder("tree");
    g_autofree char *deep = in_folder("tree/d1/d2");
    g_autofree char *link_to_dir = in_folder("tree/d1/link");
    g_autofree char *kept_dir = in_folder("kept");
    g_autofree char *kept = in_folder("kept/file");

    assert_true(dv_mkdirs(deep, 0755, NULL));
    assert_true(dv_mkdirs(kept_dir, 0755, NULL));
    put("kept/file", "precious");
    put("tree/d1/d2/f", "x");
    assert_int_equal(symlink(kept_dir, link_to_dir), 0);
    assert_true(dv_remove_tree(tree, NULL));
    assert_false(dv_exists(tree));
    assert_true(dv_exists(kept));
    assert_true(dv_remove_tree(tree, NULL)); /* absent is success */
    assert_true(dv_remove_tree(kept, NULL)); /* a file */
    assert_false(dv_exists(kept));
}

static void a_dangling_link_exists(void **state G_GNUC_UNUSED)
{
    g_autofree char *path = in_folder("dangling");

    assert_int_equal(symlink("/nowhere", path), 0);
    assert_true(dv_exists(path));
    assert_true(dv_remove_tree(path, NULL));
    assert_false(dv_exists(path));
}

static void usage_is_that_of_the_file_system(void **state G_GNUC_UNUSED)
{
    uint64_t total = 0;
    uint64_t unused = 0;
    g_autoptr(GError) err = NULL;

    assert_true(dv_fs_usage(folder, &total, &unused, NULL));
    assert_true(total > 0 && unused <= total);
    assert_false(dv_fs_usage("/nowhere/at/all", &total, &unused, &err));
    assert_int_equal(dv_code(err), DV_E_NOT_FOUND);
}

static void leaving_the_scope_closes_and_keeps_errno(void **state G_GNUC_UNUSED)
{
    int number = -1;

    {
        dv_autofd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        number = fd;
        assert_true(fd >= 0);
        errno = ENOSPC;
    }
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(fcntl(number, F_GETFD), -1);
}

static int make_folder(void **state G_GNUC_UNUSED)
{
    folder = g_dir_make_tmp("drover-fs-XXXXXX", NULL);
    return folder ? 0 : -1;
}

static int remove_folder(void **state G_GNUC_UNUSED)
{
    bool ok = dv_remove_tree(folder, NULL);

    g_free(folder);
    return ok ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_file_over_the_limit_is_refused),
        cmocka_unit_test(a_missing_file_is_not_found),
        cmocka_unit_test(a_write_replaces_all_or_nothing),
        cmocka_unit_test(a_full_device_is_no_space),
        cmocka_unit_test(the_tail_is_the_end_of_the_file),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(a_tree_is_removed_without_following_links),
        cmocka_unit_test(a_dangling_link_exists),
        cmocka_unit_test(usage_is_that_of_the_file_system),
        cmocka_unit_test(leaving_the_scope_closes_and_keeps_errno),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
