/* Directories of instances that this host may share with others: what is there, and who made it;
 * see disks.h. Sources: nova virt/libvirt/driver.py instance_on_disk (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MARK "made-by-evacuation"
#define ASIDE "_resize"

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

bool disks_list_aside(Disks *disks, char ***out, GError **err)
{
    g_autoptr(GPtrArray) uuids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) reason = NULL;
    g_autoptr(GDir) entries = NULL;
    const char *name;

    if (dv_exists(disks->instances_path)) {
        entries = g_dir_open(disks->instances_path, 0, &reason);
        if (!entries)
            return dv_fail(err, DV_E_IO, "%s", reason->message);
    }
    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *uuid = g_str_has_suffix(name, ASIDE)
                                    ? g_strndup(name, strlen(name) - strlen(ASIDE))
                                    : NULL;

        if (uuid && g_uuid_string_is_valid(uuid))
            g_ptr_array_add(uuids, g_steal_pointer(&uuid));
    }
    g_ptr_array_add(uuids, NULL);
    *out = (char **)g_ptr_array_free(g_steal_pointer(&uuids), FALSE);
    return true;
}
