/* Disks that came from another host, put right on a temporary folder with real qemu-img; and the
 * questions about where an instance's disks are. */
#include "virt/disk/disks.h"
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)
#define UUID "0f5e5a8c-3b7c-4b62-9a53-0d9c5a5ed1a7"
#define THEIRS "/srv/other/instances/" UUID
#define BASE "da39a3ee5e6b4b0d3255bfef95601890afd80709"

typedef struct Fixture {
    char *folder, *dir, *base;
    Disks *disks;
    DvCtx *ctx;
    GPtrArray *told;
} Fixture;

static void tool(const char *line)
{
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = (const char *const *)argv}, &out, &err))
        fail_msg("%s: %s", line, err->message);
}

static int set_up_with(void **state, const char *images_type)
{
    Fixture *f = g_new0(Fixture, 1);
    DisksConfig config = {.images_type = images_type, .use_cow_images = true};
    g_autofree char *cache = NULL;

    f->folder = g_dir_make_tmp("disk-arrive-XXXXXX", NULL);
    config.instances_path = f->folder;
    f->disks = disks_new(&config);
    f->ctx = dv_ctx_new_admin();
    f->dir = disks_instance_dir(f->disks, UUID);
    f->told = g_ptr_array_new_with_free_func((GDestroyNotify)disk_facts_free);
    cache = g_build_filename(f->folder, "_base", NULL);
    f->base = g_build_filename(cache, BASE, NULL);
    assert_true(dv_mkdirs(f->dir, 0755, NULL));
    assert_true(dv_mkdirs(cache, 0755, NULL));
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, "default");
}

static int set_up_raw(void **state)
{
    return set_up_with(state, "raw");
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    disks_free(f->disks);
    dv_ctx_unref(f->ctx);
    g_ptr_array_unref(f->told);
    assert_true(dv_remove_tree(f->folder, NULL));
    g_free(f->folder);
    g_free(f->dir);
    g_free(f->base);
    g_free(f);
    return 0;
}

static char *in_dir(const Fixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

static void put(const Fixture *f, const char *name, const char *text)
{
    g_autofree char *path = in_dir(f, name);

    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void make_disk(const Fixture *f, const char *args, const char *name)
{
    g_autofree char *path = in_dir(f, name);
    g_autofree char *line = g_strdup_printf("qemu-img create -q %s %s 8M", args, path);

    tool(line);
}

static void tell(const Fixture *f, const char *name, DiskFormat format)
{
    DiskFacts *facts = g_new0(DiskFacts, 1);

    facts->path = g_strconcat(THEIRS "/", name, NULL);
    facts->format = format;
    g_ptr_array_add(f->told, facts);
}

static void arrive(const Fixture *f)
{
    g_autoptr(GError) err = NULL;

    if (!disks_arrived(f->disks, f->ctx, UUID, f->told, &err))
        fail_msg("%s", err->message);
}

static char *format_of(const Fixture *f, const char *name)
{
    g_autoptr(GHashTable) formats = NULL;
    g_autofree char *path = in_dir(f, name);

    assert_true(disk_info_read(f->dir, &formats, NULL));
    return g_strdup(g_hash_table_lookup(formats, path));
}

static void assert_format(const Fixture *f, const char *name, const char *format)
{
    g_autofree char *is = format_of(f, name);

    assert_string_equal(is ? is : "nothing", format);
}

static void disk_info_gets_our_paths(void **state)
{
    const Fixture *f = *state;

    make_disk(f, "-f qcow2", "disk");
    put(f, "disk.config", "iso");
    put(f, "disk.info",
        "{\"" THEIRS "/disk\": \"qcow2\", \"" THEIRS "/disk.config\": \"raw\", "
        "\"" THEIRS "/disk.swap\": \"qcow2\"}");
    arrive(f);
    assert_format(f, "disk", "qcow2");
    assert_format(f, "disk.config", "raw");
    assert_format(f, "disk.swap", "nothing"); /* made here, of whatever kind we make */
}

static void what_the_source_told_fills_a_gap(void **state)
{
    const Fixture *f = *state;

    make_disk(f, "-f qcow2", "disk");
    tell(f, "disk", DISK_FORMAT_QCOW2);
    tell(f, "disk.eph0", DISK_FORMAT_QCOW2); /* did not arrive */
    arrive(f);
    assert_format(f, "disk", "qcow2");
    assert_format(f, "disk.eph0", "nothing");
}

/* What the message says must not make a raw disk, in which a guest can write any header, a qcow2.
 */
static void disk_info_counts_more_than_what_was_told(void **state)
{
    const Fixture *f = *state;

    make_disk(f, "-f raw", "disk.eph0");
    put(f, "disk.info", "{\"" THEIRS "/disk.eph0\": \"raw\"}");
    tell(f, "disk.eph0", DISK_FORMAT_QCOW2);
    arrive(f);
    assert_format(f, "disk.eph0", "raw");
}

static void an_overlay_comes_to_stand_on_our_base(void **state)
{
    const Fixture *f = *state;
    g_autofree char *line = g_strdup_printf("qemu-img create -q -f raw %s 4M", f->base);
    g_autofree char *path = in_dir(f, "disk");
    DiskSpec disk = {.path = path};

    tool(line);
    make_disk(f, "-u -f qcow2 -F raw -b /srv/other/instances/_base/" BASE, "disk");
    put(f, "disk.info", "{\"" THEIRS "/disk\": \"qcow2\"}");
    arrive(f);
    assert_true(disk_backing_read(&disk, NULL));
    assert_string_equal(disk.backing_path, f->base);
    assert_int_equal(disk.backing_format, DISK_FORMAT_RAW);
    g_free(disk.backing_path);
}

static void raw_disks_become_what_the_host_makes(void **state)
{
    const Fixture *f = *state;
    uint64_t size = 0;
    g_autofree char *path = in_dir(f, "disk");

    make_disk(f, "-f raw", "disk");
    put(f, "disk.config", "iso");
    put(f, "disk.info", "{\"" THEIRS "/disk\": \"raw\", \"" THEIRS "/disk.config\": \"raw\"}");
    arrive(f);
    assert_format(f, "disk", "qcow2");
    assert_format(f, "disk.config", "raw");
    assert_true(disk_virtual_size(path, DISK_FORMAT_QCOW2, &size, NULL));
    assert_int_equal(size, 8 * MIB);
}

static void a_host_of_raw_disks_leaves_them_as_they_are(void **state)
{
    const Fixture *f = *state;

    make_disk(f, "-f raw", "disk");
    make_disk(f, "-f qcow2", "disk.eph0");
    put(f, "disk.info", "{\"" THEIRS "/disk\": \"raw\", \"" THEIRS "/disk.eph0\": \"qcow2\"}");
    arrive(f);
    assert_format(f, "disk", "raw");
    assert_format(f, "disk.eph0", "qcow2");
}

static void a_damaged_overlay_is_refused(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    put(f, "disk", "QFI\xfb and no more");
    put(f, "disk.info", "{\"" THEIRS "/disk\": \"qcow2\"}");
    assert_false(disks_arrived(f->disks, f->ctx, UUID, NULL, &err));
    assert_int_equal(err->code, DV_E_IMAGE_UNACCEPTABLE);
}

/* ---- where they are ---- */

static void a_probe_is_a_file_of_the_moment(void **state)
{
    const Fixture *f = *state;
    g_autofree char *path = NULL;

    assert_true(disks_probe(f->disks, UUID, &path, NULL));
    assert_true(g_str_has_prefix(path, f->dir));
    assert_true(dv_exists(path));
    assert_int_equal(unlink(path), 0);
}

static void without_a_directory_there_is_nothing_to_ask_for(void **state)
{
    const Fixture *f = *state;
    char *path = (char *)"unset";

    assert_true(dv_remove_tree(f->dir, NULL));
    assert_true(disks_probe(f->disks, UUID, &path, NULL));
    assert_null(path);
}

static void dropping_leaves_what_was_set_aside(void **state)
{
    const Fixture *f = *state;
    g_autofree char *aside = disks_aside_dir(f->disks, UUID);

    put(f, "disk", "here");
    assert_true(dv_mkdirs(aside, 0755, NULL));
    assert_true(disks_drop(f->disks, UUID, NULL));
    assert_false(dv_exists(f->dir));
    assert_true(dv_exists(aside));
    assert_true(disks_drop(f->disks, UUID, NULL));
}

static void what_moves_along_is_named(void **state)
{
    const Fixture *f = *state;
    static const char *const files[] = {"disk",        "disk.info", "disk.eph0",   "disk.swap",
                                        "disk.config", "kernel",    "console.log", "disk.rescue"};
    g_auto(GStrv) names = NULL;
    g_autofree char *text = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        put(f, files[i], "x");
    assert_true(disks_rename_aside(f->disks, UUID, NULL));
    assert_false(dv_exists(f->dir));
    assert_true(disks_names_aside(f->disks, UUID, &names, NULL));
    text = g_strjoinv(" ", names);
    assert_string_equal(text, "disk disk.config disk.eph0 disk.info kernel");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(disk_info_gets_our_paths),
        TEST(what_the_source_told_fills_a_gap),
        cmocka_unit_test_setup_teardown(disk_info_counts_more_than_what_was_told, set_up_raw,
                                        tear_down),
        TEST(an_overlay_comes_to_stand_on_our_base),
        TEST(raw_disks_become_what_the_host_makes),
        cmocka_unit_test_setup_teardown(a_host_of_raw_disks_leaves_them_as_they_are, set_up_raw,
                                        tear_down),
        TEST(a_damaged_overlay_is_refused),
        TEST(a_probe_is_a_file_of_the_moment),
        TEST(without_a_directory_there_is_nothing_to_ask_for),
        TEST(dropping_leaves_what_was_set_aside),
        TEST(what_moves_along_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
