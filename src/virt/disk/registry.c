/* <instances_path>/compute_nodes: the hosts that share this folder, each with when it was last seen
 * there; see disks.h. The file, its lock and its name are nova's, so that hosts of either kind know
 * of each other. What is in it is for the caller: virt has no JSON library.
 *
 * Sources    nova virt/storage_users.py (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"

#include <string.h>

#define REGISTRY_MAX_BYTES (1024 * 1024)

bool disks_registry_edit(Disks *disks, char *(*edit)(void *arg, const char *text), void *arg,
                         GError **err)
{
    g_autofree char *path = g_build_filename(disks->instances_path, "compute_nodes", NULL);
    g_autofree char *text = NULL;
    g_autofree char *edited = NULL;
    g_autoptr(GError) reason = NULL;
    g_auto(DiskLock) lock = {-1};

    if (!disk_lock_take(&lock, disks, "storage-registry-lock", DISK_LOCK_CHANGE, err))
        return false;
    if (!dv_read_file(path, REGISTRY_MAX_BYTES, &text, NULL, &reason) &&
        !dv_is(reason, DV_E_NOT_FOUND)) {
        g_propagate_error(err, g_steal_pointer(&reason));
        return false;
    }
    edited = edit(arg, text);
    return dv_write_file(path, edited, strlen(edited), DISK_FILE_MODE, err);
}
