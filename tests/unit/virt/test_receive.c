/* Disks that a live migration copies into, and what the source tells of its own, with real qemu-img
 * on two temporary folders: two hosts. */
#include "virt/disk/disks.h"
#include "virt/disk/disks_priv.h"

#include "tool.h"
#include "util/fs.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1024 * 1024)
#define UUID "0f5e5a8c-3b7c-4b62-9a53-0d9c5a5ed1a7"
#define IMAGE "505d6221-7feb-4a34-8eb4-7e98c30dc857"

typedef struct Fixture {
    char *here, *there;         /* instances_path of the source and of the destination */
    char *dir_here, *dir_there; /* of the instance */
    Disks *disks_here, *disks_there;
    char *base_name; /* of the image */
    unsigned fetched_images, fetched_files;
    DvErrorCode image_fails; /* 0: it does not */
    GPtrArray *facts;
} Fixture;

static char *in(const char *folder, const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static bool has(const char *folder, const char *name)
{
    g_autofree char *path = in(folder, name);

    return dv_exists(path);
}

static Disks *disks_at(const char *folder)
{
    return disks_new(&(DisksConfig){.instances_path = folder,
                                    .base_dir_name = "_base",
                                    .images_type = "qcow2",
                                    .force_raw_images = true,
                                    .deep_inspection = true});
}

/* qemu-io's command is one argument with spaces in it. */
static void write_pattern(const char *path, const char *format, unsigned byte, const char *where)
{
    g_autofree char *command = g_strdup_printf("write -P %u %s", byte, where);
    const char *argv[] = {"qemu-io", "-f", format, "-c", command, path, NULL};
    g_autoptr(GError) err = NULL;
    g_autofree char *out = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = argv}, &out, &err))
        fail_msg("%s", err->message);
}

/* A base file, 2 MiB of one byte. */
static void make_base(const char *instances, const char *name, unsigned byte)
{
    g_autofree char *folder = in(instances, "_base");
    g_autofree char *path = in(folder, name);

    assert_true(dv_mkdirs(folder, 0755, NULL));
    tool("qemu-img create -q -f raw %s 2M", path);
    write_pattern(path, "raw", byte, "0 2M");
}

static bool reads(const char *path, unsigned byte, const char *where)
{
    g_autofree char *command = g_strdup_printf("read -P %u %s", byte, where);
    const char *argv[] = {"qemu-io", "-f", "qcow2", "-c", command, path, NULL};
    g_autofree char *out = NULL;

    return dv_spawn(&(DvSpawn){.argv = argv}, &out, NULL) && !strstr(out, "verification failed");
}

static void overlay(const Fixture *f, const char *name, const char *base, const char *size)
{
    tool("qemu-img create -q -f qcow2 -F raw -b %s/_base/%s %s/%s %s", f->here, base, f->dir_here,
         name, size);
}

static VirtDisk disk(const Fixture *f, const char *target, const char *name, const char *format)
{
    return (VirtDisk){
        .target = g_strdup(target), .path = in(f->dir_here, name), .format = g_strdup(format)};
}

static void take_facts(Fixture *f, const VirtDisk *disks, size_t count)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func((GDestroyNotify)virt_disk_free);
    g_autoptr(GError) err = NULL;

    for (size_t i = 0; i < count; i++)
        g_ptr_array_add(list, g_memdup2(&disks[i], sizeof(disks[i])));
    if (!disks_facts_of(list, NULL, &f->facts, &err))
        fail_msg("%s", err->message);
}

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->here = g_dir_make_tmp("receive-here-XXXXXX", NULL);
    f->there = g_dir_make_tmp("receive-there-XXXXXX", NULL);
    f->disks_here = disks_at(f->here);
    f->disks_there = disks_at(f->there);
    f->dir_here = disks_instance_dir(f->disks_here, UUID);
    f->dir_there = disks_instance_dir(f->disks_there, UUID);
    f->base_name = g_compute_checksum_for_string(G_CHECKSUM_SHA1, IMAGE, -1);
    assert_true(dv_mkdirs(f->dir_here, 0755, NULL));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    if (f->facts)
        g_ptr_array_unref(f->facts);
    disks_free(f->disks_here);
    disks_free(f->disks_there);
    assert_true(dv_remove_tree(f->here, NULL));
    assert_true(dv_remove_tree(f->there, NULL));
    g_free(f->here);
    g_free(f->there);
    g_free(f->dir_here);
    g_free(f->dir_there);
    g_free(f->base_name);
    g_free(f);
    return 0;
}

/* ---- glance and the source host ---- */

static bool fetch_image(void *arg, int fd, GError **err)
{
    Fixture *f = arg;
    g_autofree char *data = g_malloc(2 * MIB);

    f->fetched_images++;
    if (f->image_fails)
        return dv_fail(err, f->image_fails, "told to fail");
    memset(data, 7, 2 * MIB);
    return dv_write_all(fd, data, 2 * MIB, err);
}

static bool fetch_file(void *arg, const char *there, const char *here, GError **err)
{
    Fixture *f = arg;

    f->fetched_files++;
    return dv_exists(there) ? disk_copy_file(there, here, err)
                            : dv_fail(err, DV_E_NOT_FOUND, "no %s", there);
}

static int receive(Fixture *f, bool with_files, bool shared, GError **err)
{
    const ImageSource image = {.id = IMAGE, .disk_format = "raw", .fetch = fetch_image, .arg = f};
    const ImageSource kernel = {
        .id = "kernel-id", .disk_format = "aki", .fetch = fetch_image, .arg = f};
    const DiskReceive what = {.uuid = UUID,
                              .disks = f->facts,
                              .shared = shared,
                              .image = &image,
                              .kernel = shared ? &kernel : NULL,
                              .fetch = with_files ? fetch_file : NULL,
                              .fetch_arg = f};
    g_autoptr(GError) cause = NULL;

    if (disks_receive(f->disks_there, NULL, &what, &cause))
        return 0;
    if (err)
        *err = g_error_copy(cause);
    return cause->code;
}

/* ---- what the source tells ---- */

static void facts_are_of_the_files_of_the_definition(void **state)
{
    Fixture *f = *state;
    static const char *const volumes[] = {"vdc", NULL};
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    VirtDisk disks[] = {
        {(char *)"vda", in(f->dir_here, "disk"), (char *)"qcow2", NULL, false, false, false, false},
        {(char *)"vdb", NULL, (char *)"raw", NULL, false, false, false, false},
        {(char *)"vdc", (char *)"/nfs/volume", (char *)"raw", NULL, false, false, false, false},
        {(char *)"vdd", (char *)"/dev/vg/x", (char *)"raw", NULL, true, false, false, false},
    };
    const DiskFacts *facts;

    make_base(f->here, f->base_name, 7);
    overlay(f, "disk", f->base_name, "8M");
    for (size_t i = 0; i < G_N_ELEMENTS(disks); i++)
        g_ptr_array_add(list, &disks[i]);
    assert_true(disks_facts_of(list, volumes, &f->facts, NULL));
    assert_int_equal(f->facts->len, 1);
    facts = g_ptr_array_index(f->facts, 0);
    assert_string_equal(facts->path, disks[0].path);
    assert_string_equal(facts->backing_file, f->base_name);
    assert_int_equal(facts->virtual_bytes, 8 * MIB);
    assert_true(facts->allocated_bytes < MIB);
    g_free(disks[0].path);
}

/* ---- what the destination makes ---- */

static void root_disk_stands_on_the_image(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = in(f->dir_there, "disk");
    g_autofree char *base = NULL;
    g_autofree char *wanted = g_strdup_printf("%s/_base/%s", f->there, f->base_name);
    g_autoptr(GHashTable) formats = NULL;
    DiskSpec made = {.path = path};
    uint64_t size = 0;
    VirtDisk root;

    make_base(f->here, f->base_name, 7);
    overlay(f, "disk", f->base_name, "8M");
    root = disk(f, "vda", "disk", "qcow2");
    take_facts(f, &root, 1);
    assert_int_equal(receive(f, false, false, NULL), 0);
    assert_int_equal(f->fetched_images, 1);
    assert_true(disk_backing_read(&made, NULL));
    base = made.backing_path;
    assert_string_equal(base, wanted);
    assert_int_equal(made.backing_format, DISK_FORMAT_RAW);
    assert_true(disk_virtual_size(path, DISK_FORMAT_QCOW2, &size, NULL));
    assert_int_equal(size, 8 * MIB);
    assert_true(reads(path, 7, "0 2M"));
    assert_true(has(f->dir_there, "console.log"));
    assert_true(disk_info_read(f->dir_there, &formats, NULL));
    assert_string_equal(g_hash_table_lookup(formats, path), "qcow2");
    assert_true(disks_is_receiving(f->disks_there, UUID));
}

static void raw_and_whole_disks_are_empty_and_as_large(void **state)
{
    Fixture *f = *state;
    VirtDisk disks[2];
    g_autofree char *raw = in(f->dir_there, "disk");
    g_autofree char *flat = in(f->dir_there, "disk.eph0");
    uint64_t raw_size = 0, flat_size = 0;
    struct stat st;

    tool("qemu-img create -q -f raw %s/disk 5M", f->dir_here);
    tool("qemu-img create -q -f qcow2 %s/disk.eph0 6M", f->dir_here);
    disks[0] = disk(f, "vda", "disk", "raw");
    disks[1] = disk(f, "vdb", "disk.eph0", "qcow2");
    take_facts(f, disks, 2);
    assert_int_equal(receive(f, false, false, NULL), 0);
    assert_true(disk_virtual_size(raw, DISK_FORMAT_RAW, &raw_size, NULL));
    assert_true(disk_virtual_size(flat, DISK_FORMAT_QCOW2, &flat_size, NULL));
    assert_int_equal(raw_size, 5 * MIB);
    assert_int_equal(flat_size, 6 * MIB);
    assert_int_equal(stat(raw, &st), 0);
    assert_true(st.st_blocks * 512 < (int64_t)MIB);
    assert_int_equal(f->fetched_images, 0);
}

/* Two hosts that made a file system each have two: the guest must find the source's. */
static void disk_on_another_hosts_file_system_reads_the_same(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = in(f->dir_there, "disk.eph0");
    VirtDisk eph;

    make_base(f->here, "ephemeral_1_0706d66", 3);
    make_base(f->there, "ephemeral_1_0706d66", 4);
    overlay(f, "disk.eph0", "ephemeral_1_0706d66", "2M");
    eph = disk(f, "vdb", "disk.eph0", "qcow2");
    take_facts(f, &eph, 1);
    assert_int_equal(receive(f, true, false, NULL), 0);
    assert_int_equal(f->fetched_files, 1);
    assert_true(reads(path, 3, "0 2M"));
    assert_false(has(f->dir_there, "base.incoming"));
    /* The base of this host's other guests is as it was. */
    overlay(f, "other", "ephemeral_1_0706d66", "2M");
    tool("qemu-img rebase -q -u -f qcow2 -F raw -b %s/_base/ephemeral_1_0706d66 %s/other", f->there,
         f->dir_here);
    {
        g_autofree char *other = in(f->dir_here, "other");

        assert_true(reads(other, 4, "0 2M"));
    }
}

static void missing_base_is_copied_from_the_source(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = in(f->dir_there, "disk");
    g_autofree char *base_dir = in(f->there, "_base");
    VirtDisk root;

    /* An image that the guest was unshelved from: not the instance's, and gone. */
    make_base(f->here, "1111111111111111111111111111111111111111", 9);
    overlay(f, "disk", "1111111111111111111111111111111111111111", "4M");
    root = disk(f, "vda", "disk", "qcow2");
    take_facts(f, &root, 1);
    assert_int_equal(receive(f, false, false, NULL), DV_E_MIGRATION_PRECHECK);
    assert_false(dv_exists(f->dir_there));
    assert_int_equal(receive(f, true, false, NULL), 0);
    assert_int_equal(f->fetched_images, 0);
    assert_true(reads(path, 9, "0 2M"));
    assert_true(has(base_dir, "1111111111111111111111111111111111111111"));
    assert_false(has(base_dir, f->base_name)); /* nothing passes for the image */
}

static void image_gone_from_glance_is_copied_from_the_source(void **state)
{
    Fixture *f = *state;
    g_autofree char *path = in(f->dir_there, "disk");
    VirtDisk root;

    make_base(f->here, f->base_name, 7);
    overlay(f, "disk", f->base_name, "4M");
    root = disk(f, "vda", "disk", "qcow2");
    take_facts(f, &root, 1);
    f->image_fails = DV_E_IMAGE_NOT_FOUND;
    assert_int_equal(receive(f, false, false, NULL), DV_E_IMAGE_NOT_FOUND);
    assert_false(dv_exists(f->dir_there));
    assert_int_equal(receive(f, true, false, NULL), 0);
    assert_true(reads(path, 7, "0 2M"));
}

static void swap_is_made_anew(void **state)
{
    Fixture *f = *state;
    g_autofree char *base_dir = in(f->there, "_base");
    VirtDisk swap;

    make_base(f->here, "swap_2", 5);
    overlay(f, "disk.swap", "swap_2", "2M");
    swap = disk(f, "vdb", "disk.swap", "qcow2");
    take_facts(f, &swap, 1);
    assert_int_equal(receive(f, false, false, NULL), 0);
    assert_int_equal(f->fetched_files, 0);
    assert_true(has(base_dir, "swap_2"));
}

static void config_drive_comes_along_whole(void **state)
{
    Fixture *f = *state;
    g_autofree char *there = in(f->dir_there, "disk.config");
    g_autofree char *here = in(f->dir_here, "disk.config");
    g_autofree char *text = NULL;
    VirtDisk config;

    assert_true(dv_write_file(here, "an ISO", 6, 0644, NULL));
    config = disk(f, "hda", "disk.config", "raw");
    take_facts(f, &config, 1);
    assert_int_equal(receive(f, true, false, NULL), 0);
    assert_true(dv_read_file(there, 100, &text, NULL, NULL));
    assert_string_equal(text, "an ISO");
}

static void shared_disks_are_not_made(void **state)
{
    Fixture *f = *state;
    VirtDisk root;

    make_base(f->here, f->base_name, 7);
    overlay(f, "disk", f->base_name, "4M");
    root = disk(f, "vda", "disk", "qcow2");
    take_facts(f, &root, 1);
    assert_int_equal(receive(f, false, true, NULL), 0);
    assert_false(has(f->dir_there, "disk"));
    assert_true(has(f->dir_there, "kernel"));
    assert_true(has(f->dir_there, "console.log"));
    assert_int_equal(f->fetched_images, 1); /* the kernel */
}

/* ---- what it refuses, and takes back ---- */

static void directory_that_is_there_is_refused_and_kept(void **state)
{
    Fixture *f = *state;
    g_autofree char *disk_there = in(f->dir_there, "disk");

    f->facts = g_ptr_array_new();
    assert_true(dv_mkdirs(f->dir_there, 0755, NULL));
    assert_true(dv_write_file(disk_there, "precious", 8, 0644, NULL));
    assert_int_equal(receive(f, true, false, NULL), DV_E_DISK_EXISTS);
    assert_true(dv_exists(disk_there));
    /* It is no migration's, so that the end of one takes nothing away. */
    assert_false(disks_is_receiving(f->disks_there, UUID));
    assert_true(disks_receive_undo(f->disks_there, NULL, UUID, NULL));
    assert_true(dv_exists(disk_there));
}

static void undo_removes_what_was_made_until_the_guest_arrives(void **state)
{
    Fixture *f = *state;

    f->facts = g_ptr_array_new();
    assert_int_equal(receive(f, true, false, NULL), 0);
    assert_true(disks_receive_undo(f->disks_there, NULL, UUID, NULL));
    assert_false(dv_exists(f->dir_there));
    assert_true(disks_receive_undo(f->disks_there, NULL, UUID, NULL));
    assert_int_equal(receive(f, true, false, NULL), 0);
    assert_true(disks_receive_done(f->disks_there, UUID, NULL));
    assert_true(disks_receive_done(f->disks_there, UUID, NULL));
    assert_true(disks_receive_undo(f->disks_there, NULL, UUID, NULL));
    assert_true(dv_exists(f->dir_there));
}

static void refuse_facts(Fixture *f, const char *path, const char *backing)
{
    DiskFacts *facts = g_new0(DiskFacts, 1);

    f->facts = g_ptr_array_new_with_free_func((GDestroyNotify)disk_facts_free);
    facts->path = g_strdup(path);
    facts->format = DISK_FORMAT_QCOW2;
    facts->backing_file = g_strdup(backing);
    facts->virtual_bytes = 4 * MIB;
    g_ptr_array_add(f->facts, facts);
    assert_int_equal(receive(f, true, false, NULL), DV_E_INVALID_DISK);
    assert_false(dv_exists(f->dir_there));
    g_clear_pointer(&f->facts, g_ptr_array_unref);
}

static void names_from_the_source_lead_nowhere_else(void **state)
{
    Fixture *f = *state;

    refuse_facts(f, "/i/u/disk", "../../etc/passwd");
    refuse_facts(f, "/i/u/disk", "..");
    refuse_facts(f, "/i/u/disk", "");
    refuse_facts(f, "/i/u/console.log", "base");
    refuse_facts(f, "/i/u/disk.info", "base");
    refuse_facts(f, "", "base");
}

#define DISK_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(facts_are_of_the_files_of_the_definition),
        DISK_TEST(root_disk_stands_on_the_image),
        DISK_TEST(raw_and_whole_disks_are_empty_and_as_large),
        DISK_TEST(disk_on_another_hosts_file_system_reads_the_same),
        DISK_TEST(missing_base_is_copied_from_the_source),
        DISK_TEST(image_gone_from_glance_is_copied_from_the_source),
        DISK_TEST(swap_is_made_anew),
        DISK_TEST(config_drive_comes_along_whole),
        DISK_TEST(shared_disks_are_not_made),
        DISK_TEST(directory_that_is_there_is_refused_and_kept),
        DISK_TEST(undo_removes_what_was_made_until_the_guest_arrives),
        DISK_TEST(names_from_the_source_lead_nowhere_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
