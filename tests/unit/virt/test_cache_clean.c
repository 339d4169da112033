/* Upkeep of the image cache on real qcow2 files: what is in use stays, what is old and unused goes.
 */
#include "virt/disk/disks_priv.h"

#include "util/clock.h"
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
#define IMAGE "505d6221-7feb-4a34-8eb4-7e98c30dc857"
#define DAY_S 86400

typedef struct Fixture {
    char *folder, *sha1;
    DisksConfig config;
    Disks *disks;
} Fixture;

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->folder = g_dir_make_tmp("cache-XXXXXX", NULL);
    f->sha1 = g_compute_checksum_for_string(G_CHECKSUM_SHA1, IMAGE, -1);
    f->config = (DisksConfig){.instances_path = f->folder,
                              .remove_unused_bases = true,
                              .unused_age_s = DAY_S,
                              .unused_resized_age_s = 3600};
    f->disks = disks_new(&f->config);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    disks_free(f->disks);
    dv_remove_tree(f->folder, NULL);
    g_free(f->folder);
    g_free(f->sha1);
    g_free(f);
    return 0;
}

static char *base_path(const Fixture *f, const char *name)
{
    return g_build_filename(f->folder, "_base", name, NULL);
}

/* A base file that was last used `age_s` ago. */
static void make_base(Fixture *f, const char *name, int64_t age_s)
{
    g_autofree char *path = base_path(f, name);
    g_autofree char *folder = g_path_get_dirname(path);
    struct timespec then = {.tv_sec = dv_clock_wall_ms(dv_clock_real()) / 1000 - age_s};

    assert_true(dv_mkdirs(folder, 0755, NULL));
    assert_true(dv_write_file(path, "base", 4, 0644, NULL));
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
}

static void make_disk(Fixture *f, const char *folder, const char *disk, const char *base)
{
    g_autofree char *dir = g_build_filename(f->folder, folder, NULL);
    g_autofree char *path = g_build_filename(dir, disk, NULL);
    g_autofree char *backing = base_path(f, base);
    g_autofree char *options = g_strdup_printf("backing_file=%s,backing_fmt=raw", backing);
    const char *const argv[] = {"qemu-img", "create", "-q", "-u", "-f", "qcow2",
                                "-o",       options,  path, "1M", NULL};
    g_autoptr(GError) err = NULL;

    assert_true(dv_mkdirs(dir, 0755, NULL));
    if (!dv_spawn(&(DvSpawn){.argv = argv}, NULL, &err))
        fail_msg("%s", err->message);
}

static void say_format(Fixture *f, const char *folder, const char *disk, const char *format)
{
    g_autoptr(GHashTable) formats = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *dir = g_build_filename(f->folder, folder, NULL);
    g_autofree char *path = g_build_filename(dir, disk, NULL);

    g_hash_table_insert(formats, path, (gpointer)format);
    assert_true(disk_info_write(dir, formats, NULL));
}

static CacheCleaning clean(Fixture *f, const char *image)
{
    const char *const images[] = {image, NULL};
    CacheCleaning done = {99, 99, 99};
    g_autoptr(GError) err = NULL;

    if (!disks_cache_clean(f->disks, NULL, images, &done, &err))
        fail_msg("%s", err->message);
    return done;
}

static bool is_there(const Fixture *f, const char *name)
{
    g_autofree char *path = base_path(f, name);

    return dv_exists(path);
}

static int64_t age_of(const Fixture *f, const char *name)
{
    g_autofree char *path = base_path(f, name);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return dv_clock_wall_ms(dv_clock_real()) / 1000 - (int64_t)st.st_mtim.tv_sec;
}

static void nothing_cached_is_nothing_to_do(void **state)
{
    CacheCleaning done = clean(*state, NULL);

    assert_int_equal(done.in_use + done.unused + done.removed, 0);
}

static void an_old_image_of_nobody_goes(void **state)
{
    Fixture *f = *state;
    CacheCleaning done;

    make_base(f, f->sha1, DAY_S + 10);
    done = clean(f, NULL);
    assert_int_equal(done.removed, 1);
    assert_false(is_there(f, f->sha1));
}

static void a_young_one_stays_and_ages(void **state)
{
    Fixture *f = *state;
    CacheCleaning done;

    make_base(f, f->sha1, DAY_S / 2);
    done = clean(f, NULL);
    assert_int_equal(done.unused, 1);
    assert_int_equal(done.removed, 0);
    assert_true(age_of(f, f->sha1) >= DAY_S / 2);
}

/* Its instance may be on another host that shares this folder, or about to be made here. */
static void the_image_of_an_instance_stays_and_is_marked(void **state)
{
    Fixture *f = *state;
    CacheCleaning done;

    make_base(f, f->sha1, 10 * DAY_S);
    done = clean(f, IMAGE);
    assert_int_equal(done.in_use, 1);
    assert_int_equal(done.removed, 0);
    assert_true(age_of(f, f->sha1) < 100);
}

/* The disk tells, whatever the database says. */
static void what_a_disk_stands_on_stays(void **state)
{
    Fixture *f = *state;

    make_base(f, f->sha1, 10 * DAY_S);
    make_base(f, "swap_512", 10 * DAY_S);
    make_base(f, "swap_1024", 10 * DAY_S);
    make_base(f, "ephemeral_1_0706d66", 10 * DAY_S);
    make_disk(f, UUID, "disk", f->sha1);
    make_disk(f, UUID, "disk.eph0", "ephemeral_1_0706d66");
    make_disk(f, UUID "_resize", "disk.swap", "swap_512");
    clean(f, NULL);
    assert_true(is_there(f, f->sha1));
    assert_true(is_there(f, "swap_512"));
    assert_true(is_there(f, "ephemeral_1_0706d66"));
    assert_false(is_there(f, "swap_1024"));
}

static void resized_images_have_an_age_of_their_own(void **state)
{
    Fixture *f = *state;
    g_autofree char *old = g_strconcat(f->sha1, "_10737418240", NULL);
    g_autofree char *young = g_strconcat(f->sha1, "_20", NULL);

    make_base(f, f->sha1, 2 * 3600);
    make_base(f, old, 2 * 3600);
    make_base(f, young, 60);
    clean(f, NULL);
    assert_true(is_there(f, f->sha1));
    assert_false(is_there(f, old));
    assert_true(is_there(f, young));
    make_base(f, old, 2 * 3600);
    clean(f, IMAGE);
    assert_true(is_there(f, old));
}

static void files_of_other_names_are_not_ours(void **state)
{
    static const char *const names[] = {
        "README", "swap_", "swap_5x", "ephemeral_1_long-tag", "ephemeral_x_0706d66", "lost+found"};
    Fixture *f = *state;
    g_autofree char *part = g_strconcat(f->sha1, ".part", NULL);

    make_base(f, part, 100 * DAY_S);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        make_base(f, names[i], 100 * DAY_S);
    assert_int_equal(clean(f, NULL).removed, 0);
    assert_true(is_there(f, part));
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        assert_true(is_there(f, names[i]));
}

static void nothing_goes_unless_the_operator_wants_it(void **state)
{
    Fixture *f = *state;

    f->config.remove_unused_bases = false;
    disks_free(f->disks);
    f->disks = disks_new(&f->config);
    make_base(f, f->sha1, 10 * DAY_S);
    assert_int_equal(clean(f, NULL).removed, 0);
    assert_true(is_there(f, f->sha1));
}

static void a_disk_that_cannot_be_read_keeps_everything(void **state)
{
    const char *const none[] = {NULL};
    Fixture *f = *state;
    g_autofree char *path = g_build_filename(f->folder, UUID, "disk", NULL);
    CacheCleaning done = {0};
    g_autoptr(GError) err = NULL;

    make_base(f, f->sha1, 10 * DAY_S);
    make_disk(f, UUID, "disk", f->sha1);
    say_format(f, UUID, "disk", "qcow2");
    assert_int_equal(truncate(path, 100), 0);
    assert_false(disks_cache_clean(f->disks, NULL, none, &done, &err));
    assert_true(is_there(f, f->sha1));
}

/* A guest writes what it likes into a raw disk: that keeps a file at most, and stops nothing. */
static void a_raw_disk_that_plays_qcow2_harms_nobody(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = g_build_filename(f->folder, UUID "_resize", "disk", NULL);

    make_base(f, f->sha1, 10 * DAY_S);
    make_base(f, "swap_512", 10 * DAY_S);
    make_disk(f, UUID "_resize", "disk", f->sha1);
    say_format(f, UUID "_resize", "disk", "raw");
    clean(f, NULL);
    assert_true(is_there(f, f->sha1));
    assert_false(is_there(f, "swap_512"));
    assert_int_equal(truncate(path, 100), 0);
    make_base(f, f->sha1, 10 * DAY_S);
    clean(f, NULL);
    assert_false(is_there(f, f->sha1));
}

static gpointer clean_in_thread(gpointer arg)
{
    const char *const none[] = {NULL};
    Fixture *f = arg;
    CacheCleaning done = {0};

    return GINT_TO_POINTER(disks_cache_clean(f->disks, NULL, none, &done, NULL) ? 1 : 0);
}

/* A boot holds the lock while it makes its disk; its use is seen by the time of the file. */
static void a_file_that_is_taken_meanwhile_stays(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = base_path(f, f->sha1);
    g_auto(DiskLock) lock = {-1};
    GThread *thread;

    make_base(f, f->sha1, 10 * DAY_S);
    assert_true(disk_lock_take(&lock, f->disks, f->sha1, DISK_LOCK_USE, NULL));
    thread = g_thread_new("cleaner", clean_in_thread, f);
    g_usleep(200 * 1000); /* it has seen an old file by now, and waits for the lock */
    assert_true(dv_exists(path));
    disk_base_touch(path);
    disk_lock_drop(&lock);
    assert_int_equal(GPOINTER_TO_INT(g_thread_join(thread)), 1);
    assert_true(is_there(f, f->sha1));
}

static void an_image_that_is_asked_for_counts_as_used(void **state)
{
    Fixture *f = *state;

    assert_false(disks_cache_has(f->disks, IMAGE));
    make_base(f, f->sha1, 10 * DAY_S);
    assert_true(disks_cache_has(f->disks, IMAGE));
    assert_true(age_of(f, f->sha1) < 100);
}

/* ---- the registry ---- */

static char *append(void *arg, const char *text)
{
    return g_strconcat(text ? text : "", arg, NULL);
}

static gpointer append_often(gpointer arg)
{
    Fixture *f = arg;

    for (int i = 0; i < 20; i++)
        assert_true(disks_registry_edit(f->disks, append, (void *)"x", NULL));
    return NULL;
}

static void the_registry_is_edited_by_one_at_a_time(void **state)
{
    Fixture *f = *state;
    GThread *threads[4];
    g_autofree char *path = g_build_filename(f->folder, "compute_nodes", NULL);
    g_autofree char *lock = g_build_filename(f->folder, "locks", "nova-storage-registry-lock",
                                             NULL);
    g_autofree char *text = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("editor", append_often, f);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    assert_true(dv_read_file(path, 1000, &text, NULL, NULL));
    assert_int_equal(strlen(text), 80);
    assert_true(dv_exists(lock));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_cached_is_nothing_to_do),
        T(an_old_image_of_nobody_goes),
        T(a_young_one_stays_and_ages),
        T(the_image_of_an_instance_stays_and_is_marked),
        T(what_a_disk_stands_on_stays),
        T(resized_images_have_an_age_of_their_own),
        T(files_of_other_names_are_not_ours),
        T(nothing_goes_unless_the_operator_wants_it),
        T(a_disk_that_cannot_be_read_keeps_everything),
        T(a_raw_disk_that_plays_qcow2_harms_nobody),
        T(a_file_that_is_taken_meanwhile_stays),
        T(an_image_that_is_asked_for_counts_as_used),
        T(the_registry_is_edited_by_one_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
