/* Disks that are set aside, copied, grown and put back, and the files of a rescue, with real
 * qemu-img on a temporary folder. */
#include "virt/disk/disks.h"
#include "virt/disk/disks_priv.h"

#include "tool.h"
#include "util/fs.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1024 * 1024)
#define UUID "0f5e5a8c-3b7c-4b62-9a53-0d9c5a5ed1a7"

typedef struct Fixture {
    char *folder, *dir, *aside;
    Disks *disks;
    DvCtx *ctx;
} Fixture;

static char *in(const char *folder, const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static void put(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = in(folder, name);

    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static bool has(const char *folder, const char *name)
{
    g_autofree char *path = in(folder, name);

    return dv_exists(path);
}

static void holds(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = in(folder, name);
    g_autofree char *is = NULL;

    assert_true(g_file_get_contents(path, &is, NULL, NULL));
    assert_string_equal(is, text);
}

static void create(const Fixture *f, const char *args, const char *name, const char *size)
{
    g_autofree char *path = in(f->dir, name);

    tool("qemu-img create -q %s %s %s", args, path, size);
}

/* As a host that began with raw images and went over to qcow2 has it. */
static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    const DisksConfig config = {.images_type = "default", .use_cow_images = true};
    DisksConfig mine = config;
    g_autofree char *info = NULL;

    f->folder = g_dir_make_tmp("disk-move-XXXXXX", NULL);
    mine.instances_path = f->folder;
    f->disks = disks_new(&mine);
    f->ctx = dv_ctx_new_admin();
    f->dir = disks_instance_dir(f->disks, UUID);
    f->aside = g_strconcat(f->dir, "_resize", NULL);
    assert_true(dv_mkdirs(f->dir, 0755, NULL));
    create(f, "-f qcow2", "disk", "8M");
    create(f, "-f raw", "disk.eph0", "4M");
    create(f, "-f raw", "disk.swap", "1M");
    put(f->dir, "disk.config", "the first boot's password");
    put(f->dir, "console.log", "old boot");
    info = g_strdup_printf("{\"%s/disk\": \"qcow2\", \"%s/disk.eph0\": \"raw\", "
                           "\"%s/disk.swap\": \"raw\"}",
                           f->dir, f->dir, f->dir);
    put(f->dir, "disk.info", info);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    disks_free(f->disks);
    dv_ctx_unref(f->ctx);
    assert_true(dv_remove_tree(f->folder, NULL));
    g_free(f->folder);
    g_free(f->dir);
    g_free(f->aside);
    g_free(f);
    return 0;
}

/* ---- facts ---- */

static void facts_come_from_disk_info_and_headers(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GPtrArray) disks = NULL;
    const DiskFacts *disk;

    assert_true(disks_facts(f->disks, UUID, &disks, NULL));
    assert_int_equal(disks->len, 3);
    disk = disks->pdata[0];
    assert_true(g_str_has_suffix(disk->path, "/disk"));
    assert_int_equal(disk->format, DISK_FORMAT_QCOW2);
    assert_int_equal(disk->virtual_bytes, 8 * MIB);
    assert_null(disk->backing_file);
    disk = disks->pdata[1];
    assert_int_equal(disk->format, DISK_FORMAT_RAW);
    assert_int_equal(disk->virtual_bytes, 4 * MIB);
}

/* A guest can write any header into a raw disk. */
static void a_header_in_a_raw_disk_is_content(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *path = in(f->dir, "disk.eph0");
    struct stat st;

    tool("qemu-img create -q -f qcow2 %s 1T", path);
    assert_int_equal(stat(path, &st), 0);
    assert_true(disks_facts(f->disks, UUID, &disks, NULL));
    assert_int_equal(((const DiskFacts *)disks->pdata[1])->virtual_bytes, st.st_size);
}

/* ---- aside and back ---- */

static void set_aside(const Fixture *f)
{
    g_autoptr(GError) err = NULL;

    if (!disks_set_aside(f->disks, f->ctx, UUID, &err))
        fail_msg("%s", err->message);
}

static void copies_are_what_moves_along(void **state)
{
    const Fixture *f = *state;

    set_aside(f);
    assert_true(has(f->dir, "disk"));
    assert_true(has(f->dir, "disk.eph0"));
    assert_true(has(f->dir, "disk.info"));
    holds(f->dir, "disk.config", "the first boot's password");
    assert_false(has(f->dir, "disk.swap"));
    assert_true(has(f->aside, "disk.swap"));
    assert_true(has(f->aside, "console.log"));
}

/* In folders of its own; a link, and what lies deeper than swtpm puts anything, stays behind. */
static void the_state_of_a_tpm_moves_along(void **state)
{
    static const char file[] = "swtpm/" UUID "/tpm2/tpm2-00.permall";
    Fixture *f = *state;
    g_autofree char *version = in(f->dir, "swtpm/" UUID "/tpm2/deeper");
    g_autofree char *link = in(f->dir, "swtpm/link");
    g_auto(GStrv) names = NULL;
    size_t found = 0;

    assert_true(dv_mkdirs(version, 0755, NULL));
    put(f->dir, file, "state");
    put(version, "file", "deeper");
    assert_int_equal(symlink("/etc", link), 0);
    set_aside(f);
    holds(f->dir, file, "state");
    holds(f->aside, file, "state");
    assert_false(has(f->dir, "swtpm/" UUID "/tpm2/deeper"));
    assert_true(disks_names_aside(f->disks, UUID, &names, NULL));
    for (size_t i = 0; names[i]; i++)
        found += g_str_has_prefix(names[i], "swtpm/");
    assert_int_equal(found, 1);
    assert_true(g_strv_contains((const char *const *)names, file));
}

static void what_an_earlier_move_left_aside_goes(void **state)
{
    const Fixture *f = *state;

    assert_true(dv_mkdirs(f->aside, 0755, NULL));
    put(f->aside, "disk.eph7", "of another time");
    set_aside(f);
    assert_false(has(f->aside, "disk.eph7"));
    assert_true(has(f->aside, "disk"));
}

static void taking_back_undoes_everything(void **state)
{
    const Fixture *f = *state;

    set_aside(f);
    put(f->dir, "disk.eph0", "changed by the new guest");
    assert_true(disks_take_back(f->disks, f->ctx, UUID, NULL));
    assert_false(dv_exists(f->aside));
    holds(f->dir, "console.log", "old boot");
    assert_true(has(f->dir, "disk.swap"));
    {
        g_autofree char *path = in(f->dir, "disk.eph0");
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 4 * MIB);
    }
}

/* A revert that is done twice, or whose source never began, must not lose the only disks. */
static void taking_back_nothing_keeps_what_is_there(void **state)
{
    const Fixture *f = *state;

    assert_true(disks_take_back(f->disks, f->ctx, UUID, NULL));
    assert_true(has(f->dir, "disk"));
    set_aside(f);
    assert_true(disks_take_back(f->disks, f->ctx, UUID, NULL));
    assert_true(disks_take_back(f->disks, f->ctx, UUID, NULL));
    assert_true(has(f->dir, "disk"));
}

static void forgetting_keeps_the_copies(void **state)
{
    const Fixture *f = *state;

    set_aside(f);
    assert_true(disks_forget_aside(f->disks, f->ctx, UUID, NULL));
    assert_false(dv_exists(f->aside));
    assert_true(has(f->dir, "disk"));
    assert_true(disks_forget_aside(f->disks, f->ctx, UUID, NULL));
}

static void copies_that_fail_leave_the_directory_as_it_was(void **state)
{
    const Fixture *f = *state;
    g_autofree char *bad = in(f->dir, "disk.eph1");
    g_autoptr(GError) err = NULL;

    assert_int_equal(symlink("/nowhere/at/all", bad), 0);
    assert_false(disks_set_aside(f->disks, f->ctx, UUID, &err));
    assert_non_null(err);
    assert_false(dv_exists(f->aside));
    assert_true(has(f->dir, "disk"));
    holds(f->dir, "console.log", "old boot");
}

static void an_instance_without_a_directory_is_an_error(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    assert_true(dv_remove_tree(f->dir, NULL));
    assert_false(disks_set_aside(f->disks, f->ctx, UUID, &err));
    assert_false(dv_exists(f->dir));
    assert_false(disks_set_aside(f->disks, f->ctx, "../etc", NULL));
}

/* ---- growing ---- */

static void want(GuestSpec *spec, const Fixture *f, DiskRole role, const char *name,
                 DiskFormat format, uint64_t size_bytes)
{
    DiskSpec *disk = guest_spec_add_disk(spec, role);

    disk->path = in(f->dir, name);
    disk->format = format;
    disk->size_bytes = size_bytes;
}

static uint64_t virtual_size(const Fixture *f, unsigned index)
{
    g_autoptr(GPtrArray) disks = NULL;

    assert_true(disks_facts(f->disks, UUID, &disks, NULL));
    return ((const DiskFacts *)disks->pdata[index])->virtual_bytes;
}

static void disks_grow_and_never_shrink(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(GError) err = NULL;

    want(spec, f, DISK_ROLE_ROOT, "disk", DISK_FORMAT_QCOW2, 16 * MIB);
    want(spec, f, DISK_ROLE_EPHEMERAL, "disk.eph0", DISK_FORMAT_RAW, 2 * MIB);
    want(spec, f, DISK_ROLE_SWAP, "disk.swap", DISK_FORMAT_RAW, 8 * MIB);
    if (!disks_grow(f->disks, f->ctx, spec, &err))
        fail_msg("%s", err->message);
    assert_int_equal(virtual_size(f, 0), 16 * MIB);
    assert_int_equal(virtual_size(f, 1), 4 * MIB);
    assert_int_equal(virtual_size(f, 2), 1 * MIB);
}

static void a_raw_disk_with_a_qcow2_header_grows_as_raw(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autofree char *path = in(f->dir, "disk.eph0");
    struct stat st;

    tool("qemu-img create -q -f qcow2 %s 64M", path);
    want(spec, f, DISK_ROLE_EPHEMERAL, "disk.eph0", DISK_FORMAT_RAW, 6 * MIB);
    assert_true(disks_grow(f->disks, f->ctx, spec, NULL));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 6 * MIB);
}

/* ---- rescue ---- */

static void the_kept_description_comes_back(void **state)
{
    const Fixture *f = *state;
    g_autofree char *text = NULL;

    assert_true(disks_kept_guest(f->disks, UUID, &text, NULL));
    assert_null(text);
    assert_true(disks_keep_guest(f->disks, UUID, "<domain/>", NULL));
    holds(f->dir, "unrescue.xml", "<domain/>");
    assert_true(disks_kept_guest(f->disks, UUID, &text, NULL));
    assert_string_equal(text, "<domain/>");
}

static void the_end_of_a_rescue_takes_only_its_own_files(void **state)
{
    const Fixture *f = *state;

    put(f->dir, "disk.rescue", "x");
    put(f->dir, "disk.config.rescue", "x");
    put(f->dir, "kernel.rescue", "x");
    put(f->dir, "unrescue.xml", "<domain/>");
    assert_true(disks_end_rescue(f->disks, UUID, false, NULL));
    assert_false(has(f->dir, "disk.rescue"));
    assert_false(has(f->dir, "disk.config.rescue"));
    assert_false(has(f->dir, "kernel.rescue"));
    assert_true(has(f->dir, "unrescue.xml"));
    assert_true(disks_end_rescue(f->disks, UUID, true, NULL));
    assert_false(has(f->dir, "unrescue.xml"));
    assert_true(has(f->dir, "disk"));
    assert_true(has(f->dir, "disk.config"));
}

/* ---- directories that hosts may share ---- */

static void what_is_there_is_told_from_an_empty_directory(void **state)
{
    const Fixture *f = *state;
    g_autofree char *disk = in(f->dir, "disk");

    assert_int_equal(disks_presence(f->disks, UUID), DISKS_PRESENT);
    assert_int_equal(unlink(disk), 0);
    assert_int_equal(disks_presence(f->disks, UUID), DISKS_EMPTY);
    assert_true(disks_remove(f->disks, f->ctx, UUID, NULL));
    assert_int_equal(disks_presence(f->disks, UUID), DISKS_ABSENT);
}

static void a_mark_stays_until_it_is_taken_away(void **state)
{
    const Fixture *f = *state;

    assert_false(disks_are_marked(f->disks, UUID));
    assert_true(disks_mark_made(f->disks, UUID, NULL));
    assert_true(disks_are_marked(f->disks, UUID));
    assert_int_equal(disks_presence(f->disks, UUID), DISKS_PRESENT);
    disks_unmark_made(f->disks, f->ctx, UUID);
    assert_false(disks_are_marked(f->disks, UUID));
    assert_true(has(f->dir, "disk"));
}

static void what_is_set_aside_is_listed_and_described(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GPtrArray) before = NULL;
    g_autoptr(GPtrArray) aside = NULL;
    g_auto(GStrv) none = NULL;
    g_auto(GStrv) uuids = NULL;

    assert_true(disks_list_aside(f->disks, &none, NULL));
    assert_null(none[0]);
    assert_true(disks_facts(f->disks, UUID, &before, NULL));
    assert_true(disks_rename_aside(f->disks, UUID, NULL));
    assert_true(disks_list_aside(f->disks, &uuids, NULL));
    assert_string_equal(uuids[0], UUID);
    assert_null(uuids[1]);
    assert_true(disks_facts_aside(f->disks, UUID, &aside, NULL));
    assert_true(before->len > 0);
    assert_int_equal(aside->len, before->len);
    for (guint i = 0; i < aside->len; i++) {
        const DiskFacts *is = g_ptr_array_index(aside, i);
        const DiskFacts *was = g_ptr_array_index(before, i);

        assert_string_equal(is->path, was->path);
        assert_int_equal(is->virtual_bytes, was->virtual_bytes);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(facts_come_from_disk_info_and_headers),
        T(a_header_in_a_raw_disk_is_content),
        T(copies_are_what_moves_along),
        T(the_state_of_a_tpm_moves_along),
        T(what_an_earlier_move_left_aside_goes),
        T(taking_back_undoes_everything),
        T(taking_back_nothing_keeps_what_is_there),
        T(forgetting_keeps_the_copies),
        T(copies_that_fail_leave_the_directory_as_it_was),
        T(an_instance_without_a_directory_is_an_error),
        T(disks_grow_and_never_shrink),
        T(a_raw_disk_with_a_qcow2_header_grows_as_raw),
        T(the_kept_description_comes_back),
        T(the_end_of_a_rescue_takes_only_its_own_files),
        T(what_is_there_is_told_from_an_empty_directory),
        T(a_mark_stays_until_it_is_taken_away),
        T(what_is_set_aside_is_listed_and_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
