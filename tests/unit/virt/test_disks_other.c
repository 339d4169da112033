/* What an instance has beside its root disk, with real genisoimage and mkfs on a temporary folder:
 * ephemeral and swap disks, the config drive, kernels. */
#include "disks_fixture.h"

#include <sys/stat.h>

/* ---- ephemeral and swap disks ---- */

static void ephemeral_and_swap_disks_are_overlays_on_shared_bases(void **state)
{
    Fixture *f = *state;
    DiskSpec *root = add_disk(f, DISK_ROLE_ROOT, GIB);
    DiskSpec *first = add_disk(f, DISK_ROLE_EPHEMERAL, GIB);
    DiskSpec *second = add_disk(f, DISK_ROLE_EPHEMERAL, GIB);
    DiskSpec *swap = add_disk(f, DISK_ROLE_SWAP, 64 * MIB);
    g_autofree char *text = NULL;

    first->fs_label = g_strdup("ephemeral0");
    second->fs_label = g_strdup("ephemeral1");
    f->spec->os_type = g_strdup("linux");
    create(f);
    assert_true(g_str_has_suffix(root->path, "/disk"));
    assert_true(g_str_has_suffix(first->path, "/disk.eph0"));
    assert_true(g_str_has_suffix(second->path, "/disk.eph1"));
    assert_true(g_str_has_suffix(swap->path, "/disk.swap"));
    /* md5("ext4") */
    assert_true(g_str_has_suffix(first->backing_path, "/_base/ephemeral_1_40d1d2c"));
    assert_string_not_equal(first->backing_path, second->backing_path);
    assert_true(g_str_has_suffix(swap->backing_path, "/_base/swap_64"));
    text = output_of("blkid -p -o value -s LABEL -s TYPE %s %s", first->backing_path,
                     second->backing_path);
    assert_string_equal(text, "ephemeral0\next4\nephemeral1\next4\n");
    g_free(text);
    text = output_of("blkid -p -o value -s TYPE %s", swap->backing_path);
    assert_string_equal(text, "swap\n");
}

static void flat_ephemeral_disks_are_made_in_place(void **state)
{
    Fixture *f = *state;
    DiskSpec *disk = add_disk(f, DISK_ROLE_EPHEMERAL, 40 * MIB);
    g_autofree char *base_folder = g_build_filename(f->folder, "_base", NULL);
    g_autofree char *text = NULL;

    start(f, (DisksConfig){.images_type = "flat", .default_ephemeral_format = "vfat"});
    create(f);
    assert_int_equal(disk->format, DISK_FORMAT_RAW);
    assert_null(disk->backing_path);
    assert_int_equal(files_in(base_folder), 0);
    text = output_of("blkid -p -o value -s LABEL -s TYPE %s", disk->path);
    assert_string_equal(text, "ephemeral0\nvfat\n");
}

/* ---- the config drive ---- */

static const ConfigDriveFile files[] = {
    {"openstack/latest/meta_data.json", "{\"uuid\": \"x\"}", 13},
    {"openstack/latest/user_data", "\x00\x01\xff", 3},
    {"ec2/2009-04-04/meta-data.json", "{}", 2},
};

static DiskSpec *create_config(Fixture *f)
{
    DiskSpec *disk = add_disk(f, DISK_ROLE_CONFIG, 0);
    g_autoptr(GError) err = NULL;

    if (!disks_create(f->disks, f->ctx, f->spec, NULL, files, G_N_ELEMENTS(files), &err))
        fail_msg("config drive: %s", err->message);
    assert_int_equal(disk->format, DISK_FORMAT_RAW);
    assert_true(g_str_has_suffix(disk->path, "/disk.config"));
    return disk;
}

static void the_config_drive_is_an_iso_with_the_files(void **state)
{
    Fixture *f = *state;
    DiskSpec *disk = create_config(f);
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *text = NULL;

    text = output_of("isoinfo -d -i %s", disk->path);
    says(text, "Volume id: config-2");
    says(text, "Publisher id: drover");
    g_free(text);
    text = output_of("isoinfo -R -i %s -x /openstack/latest/meta_data.json", disk->path);
    assert_string_equal(text, "{\"uuid\": \"x\"}");
    g_free(text);
    text = output_of("isoinfo -J -i %s -x /ec2/2009-04-04/meta-data.json", disk->path);
    assert_string_equal(text, "{}");
    assert_int_equal(files_in(dir), 3); /* disk.config, disk.info, console.log */
}

static void the_config_drive_can_be_vfat(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = NULL;
    struct stat st;
    DiskSpec *disk;

    start(f, (DisksConfig){.images_type = "default", .config_drive_format = "vfat"});
    disk = create_config(f);
    assert_int_equal(stat(disk->path, &st), 0);
    assert_int_equal(st.st_size, 64 * MIB);
    text = output_of("blkid -p -o value -s LABEL -s TYPE %s", disk->path);
    assert_string_equal(text, "config-2\nvfat\n");
    g_free(text);
    text = output_of("mtype -i %s ::/openstack/latest/meta_data.json", disk->path);
    assert_string_equal(text, "{\"uuid\": \"x\"}");
}

static void config_drive_names_that_lead_out_are_refused(void **state)
{
    static const char *const names[] = {"../x", "/etc/x", "a/../../x", "", "a//b"};
    Fixture *f = *state;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);

    add_disk(f, DISK_ROLE_CONFIG, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        ConfigDriveFile file = {names[i], "x", 1};
        g_autoptr(GError) err = NULL;

        assert_false(disks_create(f->disks, f->ctx, f->spec, NULL, &file, 1, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
        assert_int_equal(files_in(dir), 1); /* console.log */
    }
}

/* ---- kernels ---- */

static void a_kernel_is_cached_and_copied_as_it_is(void **state)
{
    Fixture *f = *state;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *kernel = g_build_filename(dir, "kernel", NULL);
    g_autofree char *other = g_build_filename(dir, "other", NULL);

    assert_true(disks_prepare_dir(f->disks, f->ctx, UUID, NULL));
    assert_true(disks_fetch_plain(f->disks, f->ctx, &f->image, kernel, NULL));
    assert_true(disks_fetch_plain(f->disks, f->ctx, &f->image, other, NULL));
    assert_int_equal(f->fetches, 1);
    tool("cmp %s %s", f->source, kernel);
}

/* A kernel is not inspected; the same image as a disk is. */
static void a_hostile_kernel_does_not_become_a_disk(void **state)
{
    Fixture *f = *state;
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *kernel = g_build_filename(dir, "kernel", NULL);

    f->image.disk_format = "raw";
    assert_true(disks_prepare_dir(f->disks, f->ctx, UUID, NULL));
    assert_true(disks_fetch_plain(f->disks, f->ctx, &f->image, kernel, NULL));
    add_disk(f, DISK_ROLE_ROOT, GIB);
    refuses(f, DV_E_IMAGE_UNACCEPTABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ephemeral_and_swap_disks_are_overlays_on_shared_bases),
        TEST(flat_ephemeral_disks_are_made_in_place),
        TEST(the_config_drive_is_an_iso_with_the_files),
        TEST(the_config_drive_can_be_vfat),
        TEST(config_drive_names_that_lead_out_are_refused),
        TEST(a_kernel_is_cached_and_copied_as_it_is),
        TEST(a_hostile_kernel_does_not_become_a_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
