/* Snapshots of root disks: the delta that a running guest is copied to, and the flat image made
 * from it or from the disk of a guest that is off; see disks.h.
 *
 * QEMU copies only what lies above the base file, so the delta has the disk's base and its size; a
 * raw disk has no base and is copied whole. Formats come from disk.info.
 * Sources    nova virt/libvirt/driver.py snapshot, _live_snapshot; utils.py extract_snapshot (Zed).
 */
#include "virt/disk/disks_priv.h"
#include "virt/disk/inspect_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* libvirt opens the delta as another user: it must get through the folder, not look into it. */
#define SNAPSHOT_DIR_MODE 0701

/* The formats of [libvirt] snapshot_image_format, as glance calls them; qemu-img does the same. */
static const char *const image_formats[] = {"raw", "qcow2", "vmdk", "vdi"};

static const char *image_format_of(const Disks *disks, DiskFormat disk_format)
{
    for (size_t i = 0; i < G_N_ELEMENTS(image_formats); i++) {
        if (g_strcmp0(disks->snapshot_format, image_formats[i]) == 0)
            return image_formats[i];
    }
    return disk_format_name(disk_format);
}

static bool find_root(Disks *disks, const char *uuid, DiskSnapshot *out, GError **err)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);
    g_autoptr(GHashTable) formats = NULL;

    out->disk_path = g_build_filename(dir, "disk", NULL);
    if (!dv_exists(out->disk_path))
        return dv_fail(err, DV_E_NOT_FOUND, "the instance has no root disk on this host");
    if (!disk_info_read(dir, &formats, err))
        return false;
    if (!disk_format_parse(g_hash_table_lookup(formats, out->disk_path), &out->format))
        return dv_fail(err, DV_E_INVALID_DISK,
                       "disk.info does not say the format of the root disk");
    return true;
}

/* The folder's name tells whose it is, for the start after a crash. */
static bool make_folder(const Disks *disks, const char *uuid, DiskSnapshot *out, GError **err)
{
    g_autofree char *folder = g_strdup_printf("%s/%s-XXXXXX", disks->snapshots_path, uuid);
    g_autofree char *name = g_uuid_string_random();

    if (!dv_mkdirs(disks->snapshots_path, DISK_DIR_MODE, err))
        return false;
    if (!g_mkdtemp_full(folder, SNAPSHOT_DIR_MODE))
        return dv_fail_errno(err, errno, "creating", folder);
    out->folder = g_steal_pointer(&folder);
    if (chmod(out->folder, SNAPSHOT_DIR_MODE) < 0) /* whatever the umask said */
        return dv_fail_errno(err, errno, "opening up", out->folder);
    out->image_path = g_build_filename(out->folder, name, NULL);
    out->delta_path = g_strdup_printf("%s.delta", out->image_path);
    return true;
}

bool disks_snapshot_open(Disks *disks, const char *uuid, DiskSnapshot *out, GError **err)
{
    DiskSnapshot made = {0};

    if (!disk_uuid_ok(uuid, err))
        return false;
    if (!find_root(disks, uuid, &made, err) || !make_folder(disks, uuid, &made, err)) {
        disks_snapshot_close(NULL, &made);
        return dv_within(err, "snapshot");
    }
    made.image_format = image_format_of(disks, made.format);
    *out = made;
    return true;
}

static bool virtual_size(const DiskSnapshot *snapshot, uint64_t *out, GError **err)
{
    dv_autofd int fd = open(snapshot->disk_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    Qcow2Header header;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return dv_fail_errno(err, errno, "opening", snapshot->disk_path);
    if (snapshot->format == DISK_FORMAT_RAW) {
        *out = (uint64_t)st.st_size;
        return true;
    }
    if (!qcow2_header_of(fd, &header, err))
        return dv_within(err, "%s", snapshot->disk_path);
    *out = header.virtual_bytes;
    return true;
}

bool disks_snapshot_delta(const DiskSnapshot *snapshot, GError **err)
{
    DiskSpec disk = {.path = snapshot->disk_path, .format = snapshot->format};
    uint64_t size = 0;
    bool ok;

    if (!virtual_size(snapshot, &size, err) ||
        (snapshot->format == DISK_FORMAT_QCOW2 && !disk_backing_read(&disk, err)))
        return false;
    ok = disk.backing_path
             ? disk_tool_create_overlay(
                   snapshot->delta_path,
                   &(DiskBase){.path = disk.backing_path, .format = disk.backing_format}, size, err)
             : disk_tool_create_qcow2(snapshot->delta_path, size, err);
    g_free(disk.backing_path);
    return ok;
}

bool disks_snapshot_extract(Disks *disks, const DiskSnapshot *snapshot, bool from_delta,
                            GError **err)
{
    const DiskTarget target = {
        .path = snapshot->image_path,
        .format = snapshot->image_format,
        .compressed = disks->snapshot_compression && g_str_equal(snapshot->image_format, "qcow2"),
    };
    bool ok = from_delta ? disk_tool_convert(snapshot->delta_path, DISK_FORMAT_QCOW2, &target, err)
                         : disk_tool_convert(snapshot->disk_path, snapshot->format, &target, err);

    if (from_delta)
        (void)unlink(snapshot->delta_path); /* the upload may take long; close removes the rest */
    return ok || dv_within(err, "snapshot");
}

static void remove_folder(const DvCtx *ctx, const char *folder)
{
    g_autoptr(GError) err = NULL;

    if (!dv_remove_tree(folder, &err))
        dv_warning(ctx, "a snapshot's folder stays behind: %s", err->message);
}

void disks_snapshot_forget(Disks *disks, const DvCtx *ctx, const char *uuid)
{
    g_autofree char *prefix = g_strconcat(uuid, "-", NULL);
    g_autoptr(GDir) entries = g_dir_open(disks->snapshots_path, 0, NULL);
    const char *name;

    while (entries && disk_uuid_ok(uuid, NULL) && (name = g_dir_read_name(entries))) {
        g_autofree char *folder = g_build_filename(disks->snapshots_path, name, NULL);

        if (g_str_has_prefix(name, prefix))
            remove_folder(ctx, folder);
    }
}

void disks_snapshot_close(const DvCtx *ctx, DiskSnapshot *snapshot)
{
    if (snapshot->folder)
        remove_folder(ctx, snapshot->folder);
    g_free(snapshot->disk_path);
    g_free(snapshot->folder);
    g_free(snapshot->delta_path);
    g_free(snapshot->image_path);
    *snapshot = (DiskSnapshot){0};
}
