/* The qcow2 backend: each disk is an overlay on a base file of the cache. */
#include "virt/disk/disks_priv.h"

static bool qcow2_clone(const Disks *disks, const DvCtx *ctx, const DiskBase *base, DiskSpec *disk,
                        GError **err)
{
    g_auto(DiskLock) lock = {-1};

    if (!disk_lock_take(&lock, disks, base->lock_name, DISK_LOCK_USE, err) ||
        !disk_tool_create_overlay(disk->path, base, disk->size_bytes, err))
        return false;
    if (disks->preallocate && !disk_preallocate(ctx, disk->path, disk->size_bytes, err))
        return false;
    disk->format = DISK_FORMAT_QCOW2;
    disk->backing_format = base->format;
    g_free(disk->backing_path);
    disk->backing_path = g_strdup(base->path);
    return true;
}

const DiskBackend disk_backend_qcow2 = {"qcow2", qcow2_clone, .clones_generated = true};
