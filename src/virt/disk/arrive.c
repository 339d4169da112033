/* Disks that have come from another host, and questions about where they are; see disks.h.
 *
 * Either kind of agent may have sent them, with instances in another folder, with images of another
 * kind. What they are is read from disk.info and from what the sender told, never from a raw disk's
 * content.
 * Sources    nova virt/libvirt/driver.py finish_migration, check_instance_shared_storage_local
 *            (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- disk.info ---- */

/* Every entry under this host's path; of what is not there nothing stays. */
static GHashTable *with_own_paths(const char *dir, GHashTable *formats)
{
    GHashTable *own = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    GHashTableIter iter;
    gpointer key;
    gpointer value;

    g_hash_table_iter_init(&iter, formats);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autofree char *name = g_path_get_basename(key);
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (dv_exists(path))
            g_hash_table_replace(own, g_steal_pointer(&path), g_strdup(value));
    }
    return own;
}

static void add_told(GHashTable *own, const char *dir, const GPtrArray *facts)
{
    for (guint i = 0; facts && i < facts->len; i++) {
        const DiskFacts *disk = facts->pdata[i];
        g_autofree char *name = g_path_get_basename(disk->path);
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (disk_is_disk_name(name) && dv_exists(path) && !g_hash_table_contains(own, path))
            g_hash_table_replace(own, g_steal_pointer(&path),
                                 g_strdup(disk_format_name(disk->format)));
    }
}

/* ---- each disk ---- */

typedef struct Arrival {
    DiskForeign foreign;
    const DiskArrival *what;
} Arrival;

/* An overlay comes to stand on the base in our cache that is what it stood on at the source. */
static bool settle_overlay(const Arrival *a, const char *path, GError **err)
{
    DiskSpec disk = {.path = (char *)path};
    g_auto(DiskBase) base = {0}, theirs = {0};
    g_auto(DiskLock) lock = {-1};
    g_autofree char *name = NULL, *backing = NULL;
    bool ok;

    if (!disk_backing_read(&disk, err))
        return false;
    backing = disk.backing_path;
    if (!backing || a->what->shared)
        return true;
    name = g_path_get_basename(backing);
    if (!disk_foreign_base(&a->foreign, name, backing, 0, &base, &theirs, err) ||
        !disk_lock_take(&lock, a->foreign.disks, base.lock_name, DISK_LOCK_USE, err))
        return false;
    if (!theirs.path && strcmp(base.path, backing) == 0 && base.format == disk.backing_format)
        return true;
    dv_info(a->foreign.ctx, "disk %s comes to stand on %s", path, base.path);
    if (!theirs.path)
        return disk_tool_rebase(path, &base, true, err);
    ok = disk_tool_rebase(path, &theirs, true, err) && disk_tool_rebase(path, &base, false, err);
    (void)unlink(theirs.path);
    return ok;
}

static bool to_qcow2(const DvCtx *ctx, const char *path, GError **err)
{
    g_autofree char *made = g_strconcat(path, "_qcow", NULL);
    const DiskTarget target = {.path = made, .format = "qcow2"};

    dv_info(ctx, "disk %s becomes qcow2", path);
    if (disk_tool_convert(path, DISK_FORMAT_RAW, &target, err) &&
        (rename(made, path) == 0 || dv_fail_errno(err, errno, "renaming", made)))
        return true;
    (void)unlink(made);
    return false;
}

static bool put_right(const Arrival *a, const char *path, char **format, GError **err)
{
    g_autofree char *name = g_path_get_basename(path);

    if (!disk_is_disk_name(name) || g_str_has_prefix(name, "disk.config"))
        return true;
    if (strcmp(*format, "qcow2") == 0)
        return settle_overlay(a, path, err);
    if (a->foreign.disks->backend != &disk_backend_qcow2)
        return true;
    g_free(*format);
    *format = g_strdup("qcow2");
    return to_qcow2(a->foreign.ctx, path, err);
}

bool disks_arrived(Disks *disks, const DvCtx *ctx, const DiskArrival *what, GError **err)
{
    g_autofree char *dir = NULL;
    g_autoptr(GHashTable) formats = NULL;
    g_autoptr(GHashTable) own = NULL;
    g_autoptr(GList) paths = NULL;
    Arrival arrival = {{disks, ctx, NULL, what->image, what->fetch, what->fetch_arg}, what};

    if (!disk_uuid_ok(what->uuid, err))
        return false;
    dir = disks_instance_dir(disks, what->uuid);
    arrival.foreign.dir = dir;
    if (!disk_info_read(dir, &formats, err))
        return false;
    own = with_own_paths(dir, formats);
    add_told(own, dir, what->told);
    paths = g_list_sort(g_hash_table_get_keys(own), (GCompareFunc)strcmp);
    for (const GList *item = paths; item; item = item->next) {
        g_autofree char *format = g_strdup(g_hash_table_lookup(own, item->data));

        if (!put_right(&arrival, item->data, &format, err))
            return dv_within(err, "disk %s", (const char *)item->data);
        g_hash_table_insert(own, g_strdup(item->data), g_steal_pointer(&format));
    }
    return disk_info_write(dir, own, err);
}

/* ---- where they are ---- */

bool disks_probe(Disks *disks, const char *uuid, char **out, GError **err)
{
    g_autofree char *dir = NULL, *path = NULL;
    dv_autofd int fd = -1;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    *out = NULL;
    if (!dv_exists(dir))
        return true;
    path = g_build_filename(dir, "tmpXXXXXX", NULL);
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return dv_fail_errno(err, errno, "creating", path);
    *out = g_steal_pointer(&path);
    return true;
}
