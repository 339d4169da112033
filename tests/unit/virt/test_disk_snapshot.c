/* Flat images of root disks, made by the real qemu-img: what they hold, and what is refused. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define UUID "11111111-2222-4333-8444-555555555555"

typedef struct Fixture {
    char *folder, *dir, *base, *disk;
    DisksConfig config;
    Disks *disks;
} Fixture;

static void tool(const char *const *argv)
{
    g_autoptr(GError) err = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = argv}, NULL, &err))
        fail_msg("%s", err->message);
}

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->folder = g_dir_make_tmp("snapshot-XXXXXX", NULL);
    f->dir = g_build_filename(f->folder, UUID, NULL);
    f->base = g_build_filename(f->folder, "_base", "base", NULL);
    f->disk = g_build_filename(f->dir, "disk", NULL);
    f->config = (DisksConfig){.instances_path = f->folder, .use_cow_images = true};
    f->disks = disks_new(&f->config);
    assert_true(dv_mkdirs(f->dir, 0755, NULL));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    disks_free(f->disks);
    dv_remove_tree(f->folder, NULL);
    g_free(f->folder);
    g_free(f->dir);
    g_free(f->base);
    g_free(f->disk);
    g_free(f);
    return 0;
}

static void reopen(Fixture *f)
{
    disks_free(f->disks);
    f->disks = disks_new(&f->config);
}

static void say_format(Fixture *f, const char *format)
{
    g_autoptr(GHashTable) formats = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_insert(formats, f->disk, (gpointer)format);
    assert_true(disk_info_write(f->dir, formats, NULL));
}

/* A base of 8 MiB with data, and above it a disk of 32 MiB with data of its own. */
static void make_overlay(Fixture *f)
{
    g_autofree char *folder = g_path_get_dirname(f->base);
    g_autofree char *options = g_strdup_printf("backing_file=%s,backing_fmt=raw", f->base);

    assert_true(dv_mkdirs(folder, 0755, NULL));
    tool((const char *const[]){"qemu-img", "create", "-q", "-f", "raw", f->base, "8M", NULL});
    tool((const char *const[]){"qemu-io", "-f", "raw", "-c", "write -P 0x11 0 2M", f->base, NULL});
    tool((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-o", options, f->disk,
                               "32M", NULL});
    tool((const char *const[]){"qemu-io", "-c", "write -P 0x22 1M 2M", f->disk, NULL});
    say_format(f, "qcow2");
}

static void make_raw(Fixture *f)
{
    tool((const char *const[]){"qemu-img", "create", "-q", "-f", "raw", f->disk, "8M", NULL});
    tool((const char *const[]){"qemu-io", "-f", "raw", "-c", "write -P 0x33 0 1M", f->disk, NULL});
    say_format(f, "raw");
}

static DiskSnapshot open_snapshot(Fixture *f)
{
    DiskSnapshot snapshot = {0};
    g_autoptr(GError) err = NULL;

    if (!disks_snapshot_open(f->disks, UUID, &snapshot, &err))
        fail_msg("%s", err->message);
    return snapshot;
}

static void extract(Fixture *f, const DiskSnapshot *snapshot, bool from_delta)
{
    g_autoptr(GError) err = NULL;

    if (!disks_snapshot_extract(f->disks, snapshot, from_delta, &err))
        fail_msg("%s", err->message);
}

static ImageFacts facts_of(const char *path)
{
    dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    ImageFacts facts = {0};
    g_autoptr(GError) err = NULL;

    /* image_inspect refuses backing files: that it does not is half of what is tested. */
    if (!image_inspect(fd, &facts, &err))
        fail_msg("%s", err->message);
    return facts;
}

static void compare(const char *a, const char *a_format, const char *b, const char *b_format)
{
    tool((const char *const[]){"qemu-img", "compare", "-f", a_format, "-F", b_format, a, b, NULL});
}

static void the_image_of_a_guest_that_is_off_has_no_base(void **state)
{
    Fixture *f = *state;
    DiskSnapshot snapshot;
    ImageFacts facts;

    make_overlay(f);
    snapshot = open_snapshot(f);
    assert_string_equal(snapshot.image_format, "qcow2");
    extract(f, &snapshot, false);
    facts = facts_of(snapshot.image_path);
    assert_int_equal(facts.format, IMAGE_QCOW2);
    assert_int_equal(facts.virtual_bytes, 32 << 20);
    compare(f->disk, "qcow2", snapshot.image_path, "qcow2");
    disks_snapshot_close(NULL, &snapshot);
}

/* The delta stands on the disk's base: a copy of the top layer into it makes it the disk. */
static void a_delta_is_an_empty_disk_on_the_same_base(void **state)
{
    Fixture *f = *state;
    DiskSnapshot snapshot;
    DiskSpec delta = {0};
    g_autoptr(GError) err = NULL;

    make_overlay(f);
    snapshot = open_snapshot(f);
    if (!disks_snapshot_delta(&snapshot, &err))
        fail_msg("%s", err->message);
    delta.path = snapshot.delta_path;
    assert_true(disk_backing_read(&delta, NULL));
    assert_string_equal(delta.backing_path, f->base);
    assert_int_equal(delta.backing_format, DISK_FORMAT_RAW);
    g_free(delta.backing_path);
    tool((const char *const[]){"qemu-io", "-c", "write -P 0x22 1M 2M", snapshot.delta_path, NULL});
    compare(f->disk, "qcow2", snapshot.delta_path, "qcow2");
    extract(f, &snapshot, true);
    compare(f->disk, "qcow2", snapshot.image_path, "qcow2");
    assert_int_equal(facts_of(snapshot.image_path).format, IMAGE_QCOW2);
    assert_false(dv_exists(snapshot.delta_path));
    disks_snapshot_close(NULL, &snapshot);
}

static void a_raw_disk_has_a_delta_without_base(void **state)
{
    Fixture *f = *state;
    DiskSnapshot snapshot;

    make_raw(f);
    snapshot = open_snapshot(f);
    assert_string_equal(snapshot.image_format, "raw");
    assert_true(disks_snapshot_delta(&snapshot, NULL));
    assert_int_equal(facts_of(snapshot.delta_path).virtual_bytes, 8 << 20);
    extract(f, &snapshot, false);
    compare(f->disk, "raw", snapshot.image_path, "raw");
    disks_snapshot_close(NULL, &snapshot);
}

static void the_configured_format_is_made(void **state)
{
    static const struct {
        const char *name;
        ImageFormat format;
    } rows[] = {
        {"raw", IMAGE_RAW}, {"qcow2", IMAGE_QCOW2}, {"vdi", IMAGE_VDI}, {"vmdk", IMAGE_VMDK}};
    Fixture *f = *state;

    make_overlay(f);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        DiskSnapshot snapshot;

        f->config.snapshot_image_format = rows[i].name;
        reopen(f);
        snapshot = open_snapshot(f);
        assert_string_equal(snapshot.image_format, rows[i].name);
        extract(f, &snapshot, false);
        assert_int_equal(facts_of(snapshot.image_path).format, rows[i].format);
        compare(f->disk, "qcow2", snapshot.image_path, rows[i].name);
        disks_snapshot_close(NULL, &snapshot);
    }
}

static off_t size_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void compression_makes_it_smaller(void **state)
{
    Fixture *f = *state;
    DiskSnapshot plain, compressed;

    make_overlay(f);
    plain = open_snapshot(f);
    extract(f, &plain, false);
    f->config.snapshot_compression = true;
    reopen(f);
    compressed = open_snapshot(f);
    extract(f, &compressed, false);
    assert_true(size_of(compressed.image_path) < size_of(plain.image_path) / 2);
    compare(f->disk, "qcow2", compressed.image_path, "qcow2");
    disks_snapshot_close(NULL, &plain);
    disks_snapshot_close(NULL, &compressed);
}

static void the_folder_goes_and_can_be_passed_through_until_then(void **state)
{
    Fixture *f = *state;
    DiskSnapshot snapshot;
    g_autofree char *folder = NULL;
    g_autofree char *parent = g_build_filename(f->folder, "snapshots", NULL);
    struct stat st;

    make_raw(f);
    snapshot = open_snapshot(f);
    folder = g_strdup(snapshot.folder);
    assert_true(g_str_has_prefix(folder, parent));
    assert_int_equal(stat(folder, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0701);
    assert_true(dv_write_file(snapshot.image_path, "x", 1, 0644, NULL));
    disks_snapshot_close(NULL, &snapshot);
    assert_false(dv_exists(folder));
    assert_null(snapshot.folder);
}

static void a_disk_of_unknown_format_is_refused(void **state)
{
    Fixture *f = *state;
    DiskSnapshot snapshot = {0};
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    assert_false(disks_snapshot_open(f->disks, UUID, &snapshot, &e1));
    assert_int_equal(e1->code, DV_E_NOT_FOUND);
    assert_true(dv_write_file(f->disk, "x", 1, 0644, NULL));
    assert_false(disks_snapshot_open(f->disks, UUID, &snapshot, &e2));
    assert_int_equal(e2->code, DV_E_INVALID_DISK);
}

static void a_disk_that_is_not_what_disk_info_says_is_refused(void **state)
{
    Fixture *f = *state;
    DiskSnapshot snapshot;
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;

    make_raw(f);
    say_format(f, "qcow2");
    snapshot = open_snapshot(f);
    assert_false(disks_snapshot_delta(&snapshot, &e1));
    assert_false(disks_snapshot_extract(f->disks, &snapshot, false, &e2));
    disks_snapshot_close(NULL, &snapshot);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_image_of_a_guest_that_is_off_has_no_base),
        T(a_delta_is_an_empty_disk_on_the_same_base),
        T(a_raw_disk_has_a_delta_without_base),
        T(the_configured_format_is_made),
        T(compression_makes_it_smaller),
        T(the_folder_goes_and_can_be_passed_through_until_then),
        T(a_disk_of_unknown_format_is_refused),
        T(a_disk_that_is_not_what_disk_info_says_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
