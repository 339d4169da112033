/* Disks on the way to this host while their guest runs; see disks.h.
 *
 * libvirt copies what a disk has above its base file, into a file that must be there, on the same
 * base (foreign.c). A disk that arrives is never made into a base: a guest could give what it wrote
 * to others (CVE-2013-7130's class).
 *
 * A mark tells a directory that was made for a guest that has not arrived from others, also over
 * a restart: what a failed migration removes is never a guest's.
 * Sources    nova virt/libvirt/driver.py pre_live_migration, _create_images_and_backing,
 *            _get_instance_disk_info_from_config (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INCOMING "migration.incoming"
#define CONFIG_DRIVE "disk.config"

/* ---- the source ---- */

bool disks_facts_of(const GPtrArray *guest_disks, const char *const *volumes, GPtrArray **out,
                    GError **err)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)disk_facts_free);

    for (guint i = 0; i < guest_disks->len; i++) {
        const VirtDisk *disk = g_ptr_array_index(guest_disks, i);
        DiskFormat format;
        DiskFacts *facts;

        if (!disk->path || disk->block || (volumes && g_strv_contains(volumes, disk->target)))
            continue;
        if (!disk_format_parse(disk->format, &format))
            return dv_fail(err, DV_E_INVALID_DISK, "disk %s is of format '%s'", disk->target,
                           disk->format);
        facts = g_new0(DiskFacts, 1);
        g_ptr_array_add(all, facts);
        if (!disk_facts_read(disk->path, format, facts, err))
            return dv_within(err, "disk %s", disk->target);
    }
    *out = g_steal_pointer(&all);
    return true;
}

/* ---- the destination ---- */

typedef struct Arrival {
    DiskForeign foreign;
    const DiskReceive *receive;
} Arrival;

static bool fetch(const Arrival *a, const char *there, const char *here, GError **err)
{
    return a->receive->fetch(a->receive->fetch_arg, there, here, err) ||
           dv_within(err, "copying %s", there);
}

/* Where the source keeps base files: beside its instance directories, as we do. */
static char *path_there(const Arrival *a, const DiskFacts *facts)
{
    g_autofree char *dir = g_path_get_dirname(facts->path);
    g_autofree char *instances = g_path_get_dirname(dir);
    g_autofree char *folder = g_path_get_basename(a->foreign.disks->base_path);

    return g_build_filename(instances, folder, facts->backing_file, NULL);
}

/* What a swap area's base holds beside its first block does not matter. */
static bool base_for(const Arrival *a, const DiskFacts *facts, DiskBase *out, DiskBase *out_theirs,
                     GError **err)
{
    const DiskSpec swap = {.size_bytes = facts->virtual_bytes};
    g_autofree char *there = path_there(a, facts);

    if (!disk_base_name_ok(facts->backing_file, err))
        return false;
    return g_str_has_prefix(facts->backing_file, "swap_")
               ? disk_cache_generated(a->foreign.disks, facts->backing_file, &swap, disk_fill_swap,
                                      out, err)
               : disk_foreign_base(&a->foreign, facts->backing_file, there, facts->virtual_bytes,
                                   out, out_theirs, err);
}

/* Where the source's base is another than ours, the disk begins with what differs. */
static bool make_overlay(const Arrival *a, const char *path, const DiskFacts *facts, GError **err)
{
    g_auto(DiskBase) base = {0}, theirs = {0};
    g_auto(DiskLock) lock = {-1};
    bool ok;

    if (!base_for(a, facts, &base, &theirs, err) ||
        !disk_lock_take(&lock, a->foreign.disks, base.lock_name, DISK_LOCK_USE, err))
        return false;
    if (!theirs.path)
        return disk_tool_create_overlay(path, &base, facts->virtual_bytes, err);
    ok = disk_tool_create_overlay(path, &theirs, facts->virtual_bytes, err) &&
         disk_tool_rebase(path, &base, false, err);
    (void)unlink(theirs.path);
    return ok;
}

static bool open_new(const char *path, int *out_fd, GError **err)
{
    *out_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, DISK_FILE_MODE);
    return *out_fd >= 0 || dv_fail_errno(err, errno, "creating", path);
}

static bool make_empty(const char *path, const DiskFacts *facts, GError **err)
{
    dv_autofd int fd = -1;

    if (facts->format == DISK_FORMAT_QCOW2)
        return disk_tool_create_qcow2(path, facts->virtual_bytes, err);
    return open_new(path, &fd, err) && (ftruncate(fd, (off_t)facts->virtual_bytes) == 0 ||
                                        dv_fail_errno(err, errno, "sizing", path));
}

static bool make_disk(const Arrival *a, const DiskFacts *facts, GError **err)
{
    g_autofree char *name = g_path_get_basename(facts->path);
    g_autofree char *path = g_build_filename(a->foreign.dir, name, NULL);
    bool ok;

    if (facts->virtual_bytes > INT64_MAX)
        return dv_fail(err, DV_E_INVALID_DISK, "%s has an impossible size", name);
    if (facts->backing_file)
        ok = make_overlay(a, path, facts, err);
    else if (a->receive->fetch && g_str_equal(name, CONFIG_DRIVE))
        ok = fetch(a, facts->path, path, err);
    else
        ok = make_empty(path, facts, err);
    return ok || dv_within(err, "receiving %s", name);
}

static bool write_disk_info(const Arrival *a, GError **err)
{
    g_autoptr(GHashTable) formats = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < a->receive->disks->len; i++) {
        const DiskFacts *facts = g_ptr_array_index(a->receive->disks, i);
        g_autofree char *name = g_path_get_basename(facts->path);

        if (!disk_is_disk_name(name))
            return dv_fail(err, DV_E_INVALID_DISK, "'%s' is not the name of a disk", name);
        g_hash_table_replace(formats, g_build_filename(a->foreign.dir, name, NULL),
                             (gpointer)disk_format_name(facts->format));
    }
    return disk_info_write(a->foreign.dir, formats, err);
}

static bool fetch_plain(const Arrival *a, const ImageSource *image, const char *name, GError **err)
{
    g_autofree char *path = g_build_filename(a->foreign.dir, name, NULL);

    return !image || disk_fetch_plain(a->foreign.disks, a->foreign.ctx, image, path, err) ||
           dv_within(err, "fetching the %s", name);
}

static bool make_all(const Arrival *a, GError **err)
{
    const GPtrArray *disks = a->receive->disks;

    if (disks && disks->len > 0 && !write_disk_info(a, err))
        return false;
    for (guint i = 0; disks && !a->receive->shared && i < disks->len; i++) {
        if (!make_disk(a, g_ptr_array_index(disks, i), err))
            return false;
    }
    return fetch_plain(a, a->receive->kernel, "kernel", err) &&
           fetch_plain(a, a->receive->ramdisk, "ramdisk", err) &&
           disk_ensure_console_log(a->foreign.dir, err);
}

/* The directory with its mark, which is there before anything else is. */
static bool make_dir(const Disks *disks, const char *dir, GError **err)
{
    if (!dv_mkdirs(disks->instances_path, DISK_DIR_MODE, err))
        return false;
    if (mkdir(dir, DISK_DIR_MODE) < 0)
        return errno == EEXIST ? dv_fail(err, DV_E_DISK_EXISTS,
                                         "The supplied disk path (%s) already exists, it is "
                                         "expected not to exist.",
                                         dir)
                               : dv_fail_errno(err, errno, "creating", dir);
    if (disk_mark_set(dir, INCOMING, err))
        return true;
    (void)rmdir(dir);
    return false;
}

bool disks_receive(Disks *disks, const DvCtx *ctx, const DiskReceive *receive, GError **err)
{
    g_autofree char *dir = NULL;
    g_autoptr(GError) left = NULL;
    Arrival arrival;

    if (!disk_uuid_ok(receive->uuid, err))
        return false;
    dir = disks_instance_dir(disks, receive->uuid);
    if (!make_dir(disks, dir, err))
        return false;
    arrival = (Arrival){{disks, ctx, dir, receive->image, receive->fetch, receive->fetch_arg},
                        receive};
    if (make_all(&arrival, err))
        return true;
    if (!dv_remove_tree(dir, &left))
        dv_warning(ctx, "a guest's directory stays behind: %s", left->message);
    return false;
}

bool disks_is_receiving(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disk_uuid_ok(uuid, NULL) ? disks_instance_dir(disks, uuid) : NULL;

    return dir && disk_mark_is_set(dir, INCOMING);
}

bool disks_receive_done(Disks *disks, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    return disk_mark_clear(dir, INCOMING, err);
}

bool disks_receive_undo(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    if (disks_is_receiving(disks, uuid))
        return dv_remove_tree(dir, err);
    if (dv_exists(dir))
        dv_info(ctx, "%s was not made for a migration to here, and is left alone", dir);
    return true;
}
