/* The files of a rescue, beside the disks of the guest that is rescued; see disks.h.
 *
 * Names and content are nova's, so that either agent ends what the other began.
 * Sources: nova virt/libvirt/driver.py rescue, unrescue (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"

#include <string.h>

#define KEPT_MAX_BYTES (1024 * 1024)

static bool kept_path(Disks *disks, const char *uuid, char **out, GError **err)
{
    g_autofree char *dir = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    *out = g_build_filename(dir, "unrescue.xml", NULL);
    return true;
}

bool disks_keep_guest(Disks *disks, const char *uuid, const char *xml, GError **err)
{
    g_autofree char *path = NULL;

    return kept_path(disks, uuid, &path, err) &&
           dv_write_file(path, xml, strlen(xml), DISK_FILE_MODE, err);
}

bool disks_kept_guest(Disks *disks, const char *uuid, char **out, GError **err)
{
    g_autofree char *path = NULL;
    g_autoptr(GError) cause = NULL;

    *out = NULL;
    if (!kept_path(disks, uuid, &path, err))
        return false;
    if (dv_read_file(path, KEPT_MAX_BYTES, out, NULL, &cause) || dv_is(cause, DV_E_NOT_FOUND))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

bool disks_end_rescue(Disks *disks, const char *uuid, bool guest, GError **err)
{
    g_autofree char *dir = NULL, *kept = NULL;
    g_autoptr(GDir) entries = NULL;
    const char *name;

    if (!kept_path(disks, uuid, &kept, err) || (guest && !dv_remove_tree(kept, err)))
        return false;
    dir = disks_instance_dir(disks, uuid);
    entries = g_dir_open(dir, 0, NULL);
    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (g_str_has_suffix(name, ".rescue") && !dv_remove_tree(path, err))
            return false;
    }
    return true;
}
