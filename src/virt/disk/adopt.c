/* Disks that are there already, of a guest that is defined anew: where they are, what they are, and
 * what they need beside them.
 *
 * A disk's content is the guest's and is not asked for its format. What the guest cannot have
 * written is made again when it is gone: console.log, and base files of the image cache. A disk
 * itself is never made again, since an empty one would hide a loss.
 * Sources    nova virt/libvirt/driver.py _create_images_and_backing (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

bool disk_read_format(GHashTable *formats, DiskSpec *disk, GError **err)
{
    const char *format = g_hash_table_lookup(formats, disk->path);

    if (!format && disk->role == DISK_ROLE_CONFIG)
        format = "raw";
    if (!disk_format_parse(format, &disk->format))
        return dv_fail(err, DV_E_INVALID_DISK, "disk.info does not say the format of %s",
                       disk->path);
    return disk->format == DISK_FORMAT_RAW || disk_backing_read(disk, err);
}

/* By the base file's name, as nova tells them apart. */
static bool make_base(const Disks *disks, const DvCtx *ctx, const char *os_type, DiskSpec *disk,
                      const ImageSource *image, DiskBase *out, GError **err)
{
    g_autofree char *name = g_path_get_basename(disk->backing_path);

    if (g_str_has_prefix(name, "ephemeral_")) {
        g_autofree char *fs = g_strdup(disk_ephemeral_fs(disks, disk, os_type));

        g_free(disk->fs_format);
        disk->fs_format = g_steal_pointer(&fs);
        return disk_cache_generated(disks, name, disk, disk_fill_ephemeral, out, err);
    }
    if (g_str_has_prefix(name, "swap_"))
        return disk_cache_generated(disks, name, disk, disk_fill_swap, out, err);
    if (!disk_is_base_of(name, image))
        return dv_fail(err, DV_E_INVALID_DISK, "its base file %s is gone", disk->backing_path);
    return disk_cache_image(disks, ctx, image, 0, out, err);
}

static bool ensure_base(const Disks *disks, const DvCtx *ctx, const char *os_type, DiskSpec *disk,
                        const ImageSource *image, GError **err)
{
    g_autofree char *folder = NULL;
    g_auto(DiskBase) base = {0};

    if (!disk->backing_path || dv_exists(disk->backing_path))
        return true;
    folder = g_path_get_dirname(disk->backing_path);
    if (!g_str_equal(folder, disks->base_path))
        return dv_fail(err, DV_E_INVALID_DISK, "its base file %s is gone", disk->backing_path);
    dv_warning(ctx, "base file %s is gone and is made again", disk->backing_path);
    if (!make_base(disks, ctx, os_type, disk, image, &base, err))
        return false;
    return base.format == disk->backing_format ||
           dv_fail(err, DV_E_INVALID_DISK, "its base file %s is %s now", disk->backing_path,
                   disk_format_name(base.format));
}

bool disks_adopt(Disks *disks, const DvCtx *ctx, GuestSpec *spec, const ImageSource *image,
                 GError **err)
{
    g_autofree char *dir = NULL;
    g_autoptr(GHashTable) formats = NULL;

    if (!disk_uuid_ok(spec->uuid, err))
        return false;
    dir = disks_instance_dir(disks, spec->uuid);
    if (!dv_mkdirs(dir, DISK_DIR_MODE, err) || !disk_ensure_console_log(dir, err) ||
        !disk_info_read(dir, &formats, err))
        return false;
    disk_name_all(spec, dir);
    for (guint i = 0; i < spec->disks->len; i++) {
        DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if (!dv_exists(disk->path))
            return dv_fail(err, DV_E_INVALID_DISK, "disk %s is missing", disk->path);
        if (!disk_read_format(formats, disk, err) ||
            !ensure_base(disks, ctx, spec->os_type, disk, image, err))
            return dv_within(err, "disk %s", disk->path);
    }
    return true;
}
