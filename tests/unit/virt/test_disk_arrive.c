/* Disks that came from another host, put right on a temporary folder with real qemu-img; and the
 * questions about where an instance's disks are. */
#include "virt/disk/disks.h"
#include "virt/disk/disks_priv.h"

#include "tool.h"
#include "util/fs.h"

#include <string.h>
#include <unistd.h>

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

    tool("qemu-img create -q %s %s 8M", args, path);
}

static void tell(const Fixture *f, const char *name, DiskFormat format)
{
    DiskFacts *facts = g_new0(DiskFacts, 1);

    facts->path = g_strconcat(THEIRS "/", name, NULL);
    facts->format = format;
    g_ptr_array_add(f->told, facts);
}

/* The source's base file, as it is handed over. */
static bool fetch_base(void *arg, const char *there, const char *here, GError **err)
{
    if (!arg || !g_str_has_prefix(there, "/srv/other/"))
        return dv_fail(err, DV_E_NOT_FOUND, "no %s", there);
    return disk_copy_file(arg, here, err);
}

static bool try_arrive(const Fixture *f, const char *source_base, GError **err)
{
    const DiskArrival arrival = {
        .uuid = UUID, .told = f->told, .fetch = fetch_base, .fetch_arg = (void *)source_base};

    return disks_arrived(f->disks, f->ctx, &arrival, err);
}

static void arrive_with(const Fixture *f, const char *source_base)
{
    g_autoptr(GError) err = NULL;

    if (!try_arrive(f, source_base, &err))
        fail_msg("%s", err->message);
}

static void arrive(const Fixture *f)
{
    arrive_with(f, NULL);
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

/* A raw file of 4 MiB that begins with a text. */
static char *make_base(const Fixture *f, const char *name, const char *text)
{
    char *path = g_build_filename(f->folder, name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    tool("truncate -s 4M %s", path);
    return path;
}

static void send_overlay(const Fixture *f)
{
    make_disk(f, "-u -f qcow2 -F raw -b /srv/other/instances/_base/" BASE, "disk");
    put(f, "disk.info", "{\"" THEIRS "/disk\": \"qcow2\"}");
}

static void assert_begins(const Fixture *f, const char *text)
{
    g_autofree char *path = in_dir(f, "disk");
    g_autofree char *raw = in_dir(f, "as-raw");
    g_autofree char *content = NULL;

    tool("qemu-img convert -f qcow2 -O raw %s %s", path, raw);
    assert_true(g_file_get_contents(raw, &content, NULL, NULL));
    assert_string_equal(content, text);
}

static void an_overlay_comes_to_stand_on_our_base(void **state)
{
    const Fixture *f = *state;
    g_autofree char *theirs = make_base(f, "theirs", "a file system");
    g_autofree char *path = in_dir(f, "disk");
    DiskSpec disk = {.path = path};

    send_overlay(f);
    arrive_with(f, theirs);
    assert_true(disk_backing_read(&disk, NULL));
    assert_string_equal(disk.backing_path, f->base);
    assert_int_equal(disk.backing_format, DISK_FORMAT_RAW);
    assert_begins(f, "a file system");
    g_free(disk.backing_path);
}

/* As with ephemeral disks: each host has made a file system of its own. */
static void a_base_of_the_same_name_is_not_taken_for_the_same(void **state)
{
    const Fixture *f = *state;
    g_autofree char *theirs = make_base(f, "theirs", "their file system");
    g_autofree char *ours = make_base(f, "_base/" BASE, "our file system");
    g_autofree char *path = in_dir(f, "disk");
    g_autofree char *left = in_dir(f, "base.incoming");
    g_autofree char *kept = NULL;
    DiskSpec disk = {.path = path};

    send_overlay(f);
    arrive_with(f, theirs);
    assert_true(disk_backing_read(&disk, NULL));
    assert_string_equal(disk.backing_path, ours);
    g_free(disk.backing_path);
    assert_begins(f, "their file system");
    assert_format(f, "disk", "qcow2");
    assert_true(g_file_get_contents(ours, &kept, NULL, NULL));
    assert_string_equal(kept, "our file system");
    assert_false(dv_exists(left));
}

static void a_base_that_cannot_be_had_is_an_error(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    send_overlay(f);
    assert_false(try_arrive(f, NULL, &err));
    assert_int_equal(err->code, DV_E_NOT_FOUND);
}

static void a_base_without_a_name_is_refused(void **state)
{
    const Fixture *f = *state;
    g_autofree char *theirs = make_base(f, "theirs", "a file system");
    g_autoptr(GError) err = NULL;

    make_disk(f, "-u -f qcow2 -F raw -b /srv/other/..", "disk");
    put(f, "disk.info", "{\"" THEIRS "/disk\": \"qcow2\"}");
    assert_false(try_arrive(f, theirs, &err));
    assert_int_equal(err->code, DV_E_INVALID_DISK);
}

static void shared_bases_are_taken_as_they_are(void **state)
{
    const Fixture *f = *state;
    const DiskArrival arrival = {.uuid = UUID, .told = f->told, .shared = true};

    send_overlay(f);
    assert_true(disks_arrived(f->disks, f->ctx, &arrival, NULL));
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
    assert_false(try_arrive(f, NULL, &err));
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

/* A disk on the base of its image goes as it is; one on a file system of this host's own does not.
 */
static void what_stands_on_our_own_base_is_copied_whole(void **state)
{
    const Fixture *f = *state;
    g_autofree char *on_base = g_strdup_printf("-f qcow2 -F raw -b %s", f->base);
    g_autoptr(GPtrArray) facts = NULL;
    g_autofree char *info = NULL;
    g_autofree char *root = NULL;
    g_autofree char *ephemeral = NULL;
    DiskSpec flat = {0};

    tool("qemu-img create -q -f raw %s 4M", f->base);
    make_disk(f, on_base, "disk");
    make_disk(f, on_base, "disk.eph0");
    info = g_strdup_printf("{\"%s/disk\": \"qcow2\", \"%s/disk.eph0\": \"qcow2\"}", f->dir, f->dir);
    put(f, "disk.info", info);
    assert_true(disks_facts(f->disks, UUID, &facts, NULL));
    assert_true(disks_rename_aside(f->disks, UUID, NULL));
    g_free(((DiskFacts *)facts->pdata[1])->backing_file);
    ((DiskFacts *)facts->pdata[1])->backing_file = g_strdup("ephemeral_1_40d1d2c");
    /* the base's name is that of the empty id */
    assert_true(disks_flatten_aside(f->disks, f->ctx, UUID, "", facts, NULL));
    root = disks_aside_file(f->disks, UUID, "disk");
    ephemeral = disks_aside_file(f->disks, UUID, "disk.eph0");
    assert_true(g_str_has_suffix(root, "_resize/disk"));
    assert_false(g_str_has_suffix(ephemeral, "_resize/disk.eph0"));
    assert_string_equal(((DiskFacts *)facts->pdata[0])->backing_file, BASE);
    assert_null(((DiskFacts *)facts->pdata[1])->backing_file);
    flat.path = ephemeral;
    assert_true(disk_backing_read(&flat, NULL));
    assert_null(flat.backing_path);
    disks_unflatten_aside(f->disks, f->ctx, UUID);
    assert_false(dv_exists(ephemeral));
}

static void without_its_image_a_disk_is_copied_whole(void **state)
{
    const Fixture *f = *state;
    g_autofree char *on_base = g_strdup_printf("-f qcow2 -F raw -b %s", f->base);
    g_autofree char *info = NULL;
    g_autofree char *root = NULL;
    g_autoptr(GPtrArray) facts = NULL;

    tool("qemu-img create -q -f raw %s 4M", f->base);
    make_disk(f, on_base, "disk");
    info = g_strdup_printf("{\"%s/disk\": \"qcow2\"}", f->dir);
    put(f, "disk.info", info);
    assert_true(disks_facts(f->disks, UUID, &facts, NULL));
    assert_true(disks_rename_aside(f->disks, UUID, NULL));
    assert_true(disks_flatten_aside(f->disks, f->ctx, UUID, NULL, facts, NULL));
    root = disks_aside_file(f->disks, UUID, "disk");
    assert_false(g_str_has_suffix(root, "_resize/disk"));
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
        TEST(a_base_of_the_same_name_is_not_taken_for_the_same),
        TEST(a_base_that_cannot_be_had_is_an_error),
        TEST(a_base_without_a_name_is_refused),
        TEST(shared_bases_are_taken_as_they_are),
        TEST(raw_disks_become_what_the_host_makes),
        cmocka_unit_test_setup_teardown(a_host_of_raw_disks_leaves_them_as_they_are, set_up_raw,
                                        tear_down),
        TEST(a_damaged_overlay_is_refused),
        TEST(a_probe_is_a_file_of_the_moment),
        TEST(without_a_directory_there_is_nothing_to_ask_for),
        TEST(dropping_leaves_what_was_set_aside),
        TEST(what_moves_along_is_named),
        TEST(what_stands_on_our_own_base_is_copied_whole),
        TEST(without_its_image_a_disk_is_copied_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
