/* Directories of instances that this host may share with others: what is there, and who made it;
 * see disks.h. Sources: nova virt/libvirt/driver.py instance_on_disk (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <unistd.h>

#define MADE "made-by-evacuation"

DisksPresence disks_presence(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);
    g_autofree char *root = g_build_filename(dir, "disk", NULL);

    if (access(dir, W_OK) < 0)
        return DISKS_ABSENT;
    return dv_exists(root) ? DISKS_PRESENT : DISKS_EMPTY;
}

/* ---- marks ---- */

bool disk_mark_set(const char *dir, const char *mark, GError **err)
{
    g_autofree char *path = g_build_filename(dir, mark, NULL);

    return dv_write_file(path, "", 0, DISK_FILE_MODE, err);
}

bool disk_mark_clear(const char *dir, const char *mark, GError **err)
{
    g_autofree char *path = g_build_filename(dir, mark, NULL);

    return unlink(path) == 0 || errno == ENOENT || dv_fail_errno(err, errno, "removing", path);
}

bool disk_mark_is_set(const char *dir, const char *mark)
{
    g_autofree char *path = g_build_filename(dir, mark, NULL);

    return dv_exists(path);
}

bool disks_mark_made(Disks *disks, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    return dv_mkdirs(dir, DISK_DIR_MODE, err) && disk_mark_set(dir, MADE, err);
}

void disks_unmark_made(Disks *disks, const DvCtx *ctx, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);
    g_autoptr(GError) err = NULL;

    if (!disk_mark_clear(dir, MADE, &err))
        dv_warning(ctx, "an instance's mark stays: %s", err->message);
}

bool disks_are_marked(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);

    return disk_mark_is_set(dir, MADE);
}
