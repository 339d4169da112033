/* An instance whose disks are made on a temporary folder, and an image that "glance" sends, for the
 * tests of disks. Include it once in a test program. */
#pragma once

#include "virt/disk/disks.h"
#include "virt/disk/disks_priv.h"

#include "tool.h"
#include "util/fs.h"

#include <string.h>
#include <unistd.h>

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)
#define UUID "0f5e5a8c-3b7c-4b62-9a53-0d9c5a5ed1a7"
#define OTHER_UUID "1f5e5a8c-3b7c-4b62-9a53-0d9c5a5ed1a7"
#define IMAGE_ID "505d6221-7feb-4a34-8eb4-7e98c30dc857"

typedef struct Fixture {
    char *folder;
    char *source; /* the image's file, what "glance" sends */
    Disks *disks;
    DvCtx *ctx;
    GuestSpec *spec;
    ImageSource image;
    gint fetches;
    bool fetch_fails;
} Fixture;

static inline void G_GNUC_PRINTF(2, 3) says(const char *text, const char *fmt, ...)
{
    g_autofree char *want = NULL;
    va_list args;

    va_start(args, fmt);
    want = g_strdup_vprintf(fmt, args);
    va_end(args);
    if (!strstr(text, want))
        fail_msg("'%s' is not in:\n%s", want, text);
}

static inline bool fetch(void *arg, int fd, GError **err)
{
    Fixture *f = arg;
    g_autofree char *data = NULL;
    gsize length = 0;

    g_atomic_int_inc(&f->fetches);
    if (f->fetch_fails)
        return dv_fail(err, DV_E_IMAGE_NOT_FOUND, "glance: no such image");
    assert_true(g_file_get_contents(f->source, &data, &length, NULL));
    return dv_write_all(fd, data, length, err);
}

static inline void make_source(Fixture *f, const char *args, const char *size)
{
    (void)unlink(f->source);
    tool("qemu-img create -q %s %s %s", args, f->source, size);
}

static inline void start(Fixture *f, DisksConfig config)
{
    disks_free(f->disks);
    config.instances_path = f->folder;
    config.deep_inspection = true;
    config.use_cow_images = true;
    f->disks = disks_new(&config);
}

static inline int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->folder = g_dir_make_tmp("drover,disks-XXXXXX", NULL); /* a comma must do no harm */
    f->source = g_build_filename(f->folder, "image", NULL);
    f->ctx = dv_ctx_new_admin();
    f->spec = guest_spec_new();
    f->spec->uuid = g_strdup(UUID);
    f->image = (ImageSource){.id = IMAGE_ID, .disk_format = "qcow2", .fetch = fetch, .arg = f};
    start(f, (DisksConfig){.images_type = "default", .force_raw_images = true});
    make_source(f, "-f qcow2", "32M");
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    Fixture *f = *state;

    disks_free(f->disks);
    guest_spec_free(f->spec);
    dv_ctx_unref(f->ctx);
    assert_true(dv_remove_tree(f->folder, NULL));
    g_free(f->folder);
    g_free(f->source);
    g_free(f);
    return 0;
}

static inline DiskSpec *add_disk(Fixture *f, DiskRole role, uint64_t size_bytes)
{
    DiskSpec *disk = guest_spec_add_disk(f->spec, role);

    disk->size_bytes = size_bytes;
    return disk;
}

static inline void create(Fixture *f)
{
    g_autoptr(GError) err = NULL;

    if (!disks_create(f->disks, f->ctx, f->spec, &f->image, NULL, 0, &err))
        fail_msg("disks_create: %s", err->message);
}

static inline void refuses(Fixture *f, DvErrorCode code)
{
    g_autofree char *dir = disks_instance_dir(f->disks, UUID);
    g_autofree char *disk = g_build_filename(dir, "disk", NULL);
    g_autoptr(GError) err = NULL;

    assert_false(disks_create(f->disks, f->ctx, f->spec, &f->image, NULL, 0, &err));
    if (dv_code(err) != code)
        fail_msg("not the code %d: %s", (int)code, err->message);
    assert_false(dv_exists(disk));
}

static inline char *base_path(const Fixture *f, const char *suffix)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA1, IMAGE_ID, -1);

    return g_strdup_printf("%s/_base/%s%s", f->folder, sum, suffix);
}

static inline unsigned files_in(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    unsigned n = 0;

    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

static inline char *info_of(const char *path, const char *format)
{
    return output_of("qemu-img info -U -f %s %s", format, path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
