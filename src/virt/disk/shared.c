/* Directories of instances that this host may share with others: what is there, and who made it;
 * see disks.h. Sources: nova virt/libvirt/driver.py instance_on_disk (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MARK "made-by-evacuation"

DisksPresence disks_presence(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);
    g_autofree char *root = g_build_filename(dir, "disk", NULL);

    if (access(dir, W_OK) < 0)
        return DISKS_ABSENT;
    return dv_exists(root) ? DISKS_PRESENT : DISKS_EMPTY;
}

/* ---- the mark ---- */

static char *mark_of(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);

    return g_build_filename(dir, MARK, NULL);
}

bool disks_mark_made(Disks *disks, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL;
    g_autofree char *mark = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    mark = mark_of(disks, uuid);
    return dv_mkdirs(dir, DISK_DIR_MODE, err) && dv_write_file(mark, "", 0, DISK_FILE_MODE, err);
}

void disks_unmark_made(Disks *disks, const DvCtx *ctx, const char *uuid)
{
    g_autofree char *mark = mark_of(disks, uuid);

    if (unlink(mark) < 0 && errno != ENOENT)
        dv_warning(ctx, "%s stays: %s", mark, g_strerror(errno));
}

bool disks_are_marked(Disks *disks, const char *uuid)
{
    g_autofree char *mark = mark_of(disks, uuid);

    return dv_exists(mark);
}
