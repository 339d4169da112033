/* Root disks and what they stand on, disks that are there already, and the folders of instances,
 * with real qemu-img on a temporary folder. */
#include "disks_fixture.h"

#include "util/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- root disk ---- */

static void a_root_disk_is_an_overlay_on_the_converted_base(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    g_autofree char *base = base_path(f, ""), *part = base_path(f, ".part");
    g_autofree char *converted = base_path(f, ".converted"), *info = NULL, *text = NULL;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *info_path = g_build_filename(dir, "disk.info", NULL), *want = NULL;
    struct stat st;

    create(f);
    want = g_build_filename(dir, "disk", NULL);
    assert_string_equal(root->path, want);
    assert_int_equal(root->format, DISK_FORMAT_QCOW2);
    assert_string_equal(root->backing_path, base);
    assert_int_equal(root->backing_format, DISK_FORMAT_RAW);
    info = info_of(root->path, "qcow2");
    says(info, "virtual size: 1 GiB");
    says(info, "backing file: %s", base);
    says(info, "backing file format: raw");
    assert_int_equal(stat(base, &st), 0);
    assert_int_equal(st.st_size, 32 * MIB);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_false(dv_exists(part));
    assert_false(dv_exists(converted));
    assert_true(g_file_get_contents(info_path, &text, NULL, NULL));
    g_free(want);
    want = g_strdup_printf("{\"%s\": \"qcow2\"}\n", root->path);
    assert_string_equal(text, want);
}

static void the_second_guest_of_an_image_does_not_fetch_it(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, 0);

    create(f);
    g_free(f->spec->uuid);
    f->spec->uuid = g_strdup(OTHER_UUID);
    g_clear_pointer(&root->path, g_free);
    create(f);
    assert_true(strstr(root->path, OTHER_UUID) != NULL);
    assert_int_equal(f->fetches, 1);
}

static void a_size_of_0_is_the_image_s(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, 0);
    g_autofree char *info = NULL;

    create(f);
    info = info_of(root->path, "qcow2");
    says(info, "virtual size: 32 MiB");
}

static void a_qcow2_base_stays_qcow2_without_force_raw(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    g_autofree char *info = NULL;

    start(f, (DisksConfig){.images_type = "qcow2"});
    make_source(f, "-f qcow2 -o cluster_size=128k", "32M");
    create(f);
    assert_int_equal(root->backing_format, DISK_FORMAT_QCOW2);
    info = info_of(root->path, "qcow2");
    says(info, "backing file format: qcow2");
    says(info, "cluster_size: 131072");
}

static void a_flat_root_disk_is_a_grown_sparse_copy(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, 64 * MIB);
    g_autofree char *base = base_path(f, "");
    struct stat st;
    int fd;

    start(f, (DisksConfig){.images_type = "raw", .force_raw_images = true});
    f->image.disk_format = "raw";
    make_source(f, "-f raw", "32M");
    fd = open(f->source, O_WRONLY);
    assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
    assert_int_equal(pwrite(fd, "middle", 6, 20 * MIB), 6);
    assert_int_equal(pwrite(fd, "end", 3, 32 * MIB - 3), 3);
    close(fd);
    create(f);
    assert_int_equal(root->format, DISK_FORMAT_RAW);
    assert_null(root->backing_path);
    assert_int_equal(stat(root->path, &st), 0);
    assert_int_equal(st.st_size, 64 * MIB);
    tool("cmp -n %" G_GUINT64_FORMAT " %s %s", 32 * MIB, base, root->path);
}

static void a_flat_copy_keeps_holes(void **state)
{
    Fixture *f = *state;
    g_autofree char *copy = g_build_filename(f->folder, "copy", NULL);
    struct stat st;
    int fd;

    make_source(f, "-f raw", "64M");
    fd = open(f->source, O_WRONLY);
    assert_int_equal(pwrite(fd, "middle", 6, 20 * MIB), 6);
    close(fd);
    assert_true(disk_copy_file(f->source, copy, NULL));
    assert_int_equal(stat(copy, &st), 0);
    assert_int_equal(st.st_size, 64 * MIB);
    assert_true((uint64_t)st.st_blocks * 512 < MIB);
    tool("cmp %s %s", f->source, copy);
}

static void preallocation_takes_the_space(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, 40 * MIB);
    struct stat st;

    start(f, (DisksConfig){.images_type = "default",
                           .force_raw_images = true,
                           .preallocate_images = "space"});
    create(f);
    assert_int_equal(stat(root->path, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= 40 * MIB);
}

static void an_existing_disk_is_adopted_by_disk_info(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    g_autofree char *base = base_path(f, ""), *before = NULL, *after = NULL;
    gsize length = 0;

    create(f);
    assert_true(g_file_get_contents(root->path, &before, &length, NULL));
    root->format = DISK_FORMAT_RAW;
    g_clear_pointer(&root->backing_path, g_free);
    create(f);
    assert_int_equal(root->format, DISK_FORMAT_QCOW2);
    assert_string_equal(root->backing_path, base);
    assert_int_equal(root->backing_format, DISK_FORMAT_RAW);
    assert_true(g_file_get_contents(root->path, &after, &length, NULL));
    assert_memory_equal(before, after, length);
}

/* A guest may write a qcow2 header into its raw disk; only disk.info decides. */
static void an_existing_disk_that_disk_info_does_not_know_is_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *path = g_build_filename(dir, "disk", NULL);
    g_autoptr(GError) err = NULL;

    add_disk(f, DISK_ROLE_ROOT, GIB);
    assert_true(dv_mkdirs(dir, 0755, NULL));
    assert_true(g_file_set_contents(path, "QFI\xfb", 4, NULL));
    assert_false(disks_create(f->disks, f->ctx, f->spec, &f->image, NULL, 0, &err));
    assert_int_equal(dv_code(err), DV_E_INVALID_DISK);
    assert_true(dv_exists(path)); /* what we did not make is not undone */
}

/* ---- adoption ---- */

static void forget_layout(DiskSpec *disk)
{
    g_clear_pointer(&disk->path, g_free);
    g_clear_pointer(&disk->backing_path, g_free);
    disk->format = DISK_FORMAT_RAW;
}

static void adoption_finds_what_a_boot_made(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    DiskSpec *swap = add_disk(f, DISK_ROLE_SWAP, 16 * MIB);
    g_autofree char *base = base_path(f, ""), *path = NULL;
    g_autoptr(GError) err = NULL;

    create(f);
    path = g_strdup(root->path);
    forget_layout(root);
    forget_layout(swap);
    if (!disks_adopt(f->disks, f->ctx, f->spec, NULL, &err))
        fail_msg("%s", err->message);
    assert_string_equal(root->path, path);
    assert_int_equal(root->format, DISK_FORMAT_QCOW2);
    assert_string_equal(root->backing_path, base);
    assert_true(g_str_has_suffix(swap->path, "/disk.swap"));
    assert_true(g_str_has_suffix(swap->backing_path, "/swap_16"));
}

static void adoption_makes_again_what_the_guest_cannot_have_written(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    DiskSpec *swap = add_disk(f, DISK_ROLE_SWAP, 16 * MIB);
    g_autofree char *base = base_path(f, ""), *swap_base = NULL, *log = NULL;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autoptr(GError) err = NULL;

    create(f);
    swap_base = g_strdup(swap->backing_path);
    log = g_build_filename(dir, "console.log", NULL);
    assert_int_equal(unlink(base), 0);
    assert_int_equal(unlink(swap_base), 0);
    assert_int_equal(unlink(log), 0);
    if (!disks_adopt(f->disks, f->ctx, f->spec, &f->image, &err))
        fail_msg("%s", err->message);
    assert_true(dv_exists(base) && dv_exists(swap_base) && dv_exists(log));
    assert_int_equal(root->backing_format, DISK_FORMAT_RAW);
    /* Without the image, or with another one, there is nothing to make it of. */
    assert_int_equal(unlink(base), 0);
    assert_false(disks_adopt(f->disks, f->ctx, f->spec, NULL, &err));
    assert_int_equal(dv_code(err), DV_E_INVALID_DISK);
    g_clear_error(&err);
    f->image.id = "another-image";
    assert_false(disks_adopt(f->disks, f->ctx, f->spec, &f->image, &err));
    assert_int_equal(dv_code(err), DV_E_INVALID_DISK);
    assert_false(dv_exists(base));
}

static void adoption_makes_no_disk(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    g_autoptr(GError) err = NULL;

    create(f);
    assert_int_equal(unlink(root->path), 0);
    assert_false(disks_adopt(f->disks, f->ctx, f->spec, &f->image, &err));
    assert_int_equal(dv_code(err), DV_E_INVALID_DISK);
    assert_false(dv_exists(root->path));
}

/* ---- refusals ---- */

static void a_cached_image_larger_than_the_flavor_s_disk_is_refused(void **state)
{
    Fixture *f = *state;

    assert_true(disks_cache_image(f->disks, f->ctx, &f->image, NULL, NULL, NULL));
    add_disk(f, DISK_ROLE_ROOT, 16 * MIB);
    refuses(f, DV_E_IMAGE_TOO_LARGE);
}

static void an_image_larger_than_the_flavor_s_disk_is_refused(void **state)
{
    Fixture *f = *state;

    g_autofree char *base_folder = g_build_filename(f->folder, "_base", NULL);

    add_disk(f, DISK_ROLE_ROOT, 16 * MIB);
    refuses(f, DV_E_IMAGE_TOO_LARGE);
    assert_int_equal(f->fetches, 1);
    assert_int_equal(files_in(base_folder), 0); /* and is not converted */
    f->image.id = "another";
    f->image.size_bytes = 17 * MIB; /* known before the download */
    refuses(f, DV_E_IMAGE_TOO_LARGE);
    assert_int_equal(f->fetches, 1);
}

static void hostile_images_leave_nothing_behind(void **state)
{
    static const struct {
        const char *args, *disk_format;
    } rows[] = {
        {"-f qcow2 -u -F raw -b /etc/shadow", "qcow2"},
        {"-f qcow2 -u -F raw -b /etc/shadow", "raw"},
        {"-f qcow2", "raw"},
        {"-f raw", "qcow2"},
        {"-f qed", "qed"},
        {"-f vmdk -o subformat=monolithicFlat", "vmdk"},
        {"-f vmdk", "vmdk"}, /* no type is allowed here */
    };
    Fixture *f = *state;
    g_autofree char *base_folder = g_build_filename(f->folder, "_base", NULL);

    add_disk(f, DISK_ROLE_ROOT, GIB);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        make_source(f, rows[i].args, "32M");
        f->image.disk_format = rows[i].disk_format;
        refuses(f, DV_E_IMAGE_UNACCEPTABLE);
        assert_int_equal(files_in(base_folder), 0);
    }
}

/* qcow2 inside qcow2: what comes out of the conversion must not be an image again. */
static void a_disk_that_looks_like_an_image_once_converted_is_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *inner = g_build_filename(f->folder, "inner", NULL);
    g_autofree char *base_folder = g_build_filename(f->folder, "_base", NULL);

    tool("qemu-img create -q -f qcow2 -u -F raw -b /etc/shadow %s 1M", inner);
    (void)unlink(f->source);
    tool("qemu-img convert -f raw -O qcow2 %s %s", inner, f->source);
    add_disk(f, DISK_ROLE_ROOT, GIB);
    refuses(f, DV_E_IMAGE_UNACCEPTABLE);
    assert_int_equal(files_in(base_folder), 0);
}

static void a_cached_base_that_became_unacceptable_is_refused(void **state)
{
    Fixture *f = *state;
    g_autofree char *base = base_path(f, "");
    g_autofree char *base_folder = g_build_filename(f->folder, "_base", NULL);

    assert_true(dv_mkdirs(base_folder, 0755, NULL));
    tool("qemu-img create -q -f qcow2 -u -F raw -b /etc/shadow %s 1M", base);
    add_disk(f, DISK_ROLE_ROOT, GIB);
    refuses(f, DV_E_IMAGE_UNACCEPTABLE);
    assert_int_equal(f->fetches, 0);
}

static void a_failed_fetch_keeps_its_code_and_leaves_nothing(void **state)
{
    Fixture *f = *state;
    g_autofree char *base_folder = g_build_filename(f->folder, "_base", NULL);

    add_disk(f, DISK_ROLE_ROOT, GIB);
    f->fetch_fails = true;
    refuses(f, DV_E_IMAGE_NOT_FOUND);
    assert_int_equal(files_in(base_folder), 0);
    f->fetch_fails = false;
    create(f);
}

static void a_later_failure_removes_the_earlier_disks(void **state)
{
    Fixture *f = *state;
    DiskSpec *ephemeral;

    add_disk(f, DISK_ROLE_ROOT, GIB);
    ephemeral = add_disk(f, DISK_ROLE_EPHEMERAL, GIB);
    ephemeral->fs_format = g_strdup("nosuchfs");
    refuses(f, DV_E_IO);
}

static void uuids_that_are_paths_are_refused(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    assert_false(disks_remove(f->disks, f->ctx, "../" UUID, &err));
    assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    assert_false(disks_prepare_dir(f->disks, f->ctx, "", NULL));
    assert_false(disks_remove(f->disks, f->ctx, "..", NULL));
}

/* ---- ten at once ---- */

static gpointer cache_one(gpointer arg)
{
    Fixture *f = arg;
    g_autofree char *path = NULL;
    uint64_t bytes = 0;

    return GINT_TO_POINTER(disks_cache_image(f->disks, f->ctx, &f->image, &path, &bytes, NULL) &&
                           bytes == 32 * MIB);
}

static void many_boots_of_one_image_fetch_it_once(void **state)
{
    Fixture *f = *state;
    GThread *threads[8];

    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = dv_thread_new("cache", cache_one, f);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        assert_true(GPOINTER_TO_INT(g_thread_join(threads[i])));
    assert_int_equal(f->fetches, 1);
}

/* nova holds record locks on the same files: they must exclude ours. */
static void a_lock_of_nova_is_respected(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = g_strdup_printf("%s/locks/nova-abc", f->folder);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    g_auto(DiskLock) lock = {-1};
    int fd;

    assert_true(disk_lock_take(&lock, f->disks, "abc", DISK_LOCK_USE, NULL));
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_SETLK, &range) < 0 && (errno == EAGAIN || errno == EACCES));
    disk_lock_drop(&lock);
    assert_int_equal(fcntl(fd, F_SETLK, &range), 0);
    close(fd);
}

/* ---- directories ---- */

static void an_instance_directory_is_made_listed_and_removed(void **state)
{
    Fixture *f = *state;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *log = g_build_filename(dir, "console.log", NULL);
    g_autofree char *resize = g_strdup_printf("%s_resize", dir);
    g_auto(GStrv) uuids = NULL, after = NULL;
    g_autoptr(GError) err = NULL;
    struct stat st;

    assert_true(disks_prepare_dir(f->disks, f->ctx, UUID, NULL));
    assert_true(dv_exists(log));
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    assert_true(disks_prepare_dir(f->disks, f->ctx, UUID, NULL)); /* still empty */
    add_disk(f, DISK_ROLE_ROOT, GIB);
    create(f);
    assert_false(disks_prepare_dir(f->disks, f->ctx, UUID, &err));
    assert_int_equal(dv_code(err), DV_E_DISK_EXISTS);
    assert_true(dv_mkdirs(resize, 0755, NULL));
    assert_true(disks_list(f->disks, &uuids, NULL));
    assert_string_equal(uuids[0], UUID);
    assert_null(uuids[1]);
    assert_true(disks_remove(f->disks, f->ctx, UUID, NULL));
    assert_false(dv_exists(dir));
    assert_false(dv_exists(resize));
    assert_true(disks_remove(f->disks, f->ctx, UUID, NULL)); /* absent is success */
    assert_true(disks_list(f->disks, &after, NULL));
    assert_null(after[0]);
}

/* ---- usage ---- */

static void growth_is_virtual_minus_allocated(void **state)
{
    static const char *const nobody[] = {OTHER_UUID, NULL};
    static const char *const mine[] = {OTHER_UUID, UUID, NULL};
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, 10 * GIB);
    DiskSpec *swap = add_disk(f, DISK_ROLE_SWAP, 64 * MIB);
    uint64_t bytes = 0, want;
    struct stat a, b;

    assert_true(disks_overcommit_of(f->disks, mine, &bytes, NULL));
    assert_true(bytes == 0);
    create(f);
    assert_int_equal(stat(root->path, &a), 0);
    assert_int_equal(stat(swap->path, &b), 0);
    want = 10 * GIB + 64 * MIB - (uint64_t)(a.st_blocks + b.st_blocks) * 512;
    assert_true(disks_overcommit_of(f->disks, mine, &bytes, NULL));
    assert_true(bytes == want);
    assert_true(disks_overcommit_of(f->disks, nobody, &bytes, NULL));
    assert_true(bytes == 0);
}

static void sparse_raw_disks_count_their_holes(void **state)
{
    static const char *const mine[] = {UUID, NULL};
    Fixture *f = *state;
    uint64_t bytes = 0;

    start(f, (DisksConfig){.images_type = "raw", .force_raw_images = true});
    add_disk(f, DISK_ROLE_ROOT, 100 * MIB);
    create(f);
    assert_true(disks_overcommit_of(f->disks, mine, &bytes, NULL));
    assert_true(bytes > 90 * MIB && bytes <= 100 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_root_disk_is_an_overlay_on_the_converted_base),
        TEST(the_second_guest_of_an_image_does_not_fetch_it),
        TEST(a_size_of_0_is_the_image_s),
        TEST(a_qcow2_base_stays_qcow2_without_force_raw),
        TEST(a_flat_root_disk_is_a_grown_sparse_copy),
        TEST(a_flat_copy_keeps_holes),
        TEST(preallocation_takes_the_space),
        TEST(an_existing_disk_is_adopted_by_disk_info),
        TEST(adoption_finds_what_a_boot_made),
        TEST(adoption_makes_again_what_the_guest_cannot_have_written),
        TEST(adoption_makes_no_disk),
        TEST(an_existing_disk_that_disk_info_does_not_know_is_refused),
        TEST(an_image_larger_than_the_flavor_s_disk_is_refused),
        TEST(a_cached_image_larger_than_the_flavor_s_disk_is_refused),
        TEST(hostile_images_leave_nothing_behind),
        TEST(a_disk_that_looks_like_an_image_once_converted_is_refused),
        TEST(a_cached_base_that_became_unacceptable_is_refused),
        TEST(a_failed_fetch_keeps_its_code_and_leaves_nothing),
        TEST(a_later_failure_removes_the_earlier_disks),
        TEST(uuids_that_are_paths_are_refused),
        TEST(many_boots_of_one_image_fetch_it_once),
        TEST(a_lock_of_nova_is_respected),
        TEST(an_instance_directory_is_made_listed_and_removed),
        TEST(growth_is_virtual_minus_allocated),
        TEST(sparse_raw_disks_count_their_holes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
