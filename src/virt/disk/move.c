/* Disks on the way to another flavor: set aside, copied, grown, and the way back; see disks.h.
 *
 * The directory <uuid>_resize is nova's, too: whichever agent confirms or reverts finds it there.
 * Nothing is opened by what it contains: formats come from disk.info.
 * Sources: nova virt/libvirt/driver.py migrate_disk_and_power_off, finish_migration,
 * finish_revert_migration, _cleanup_resize (Zed). */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TPM_DIR "swtpm" /* nova's name */
enum { TPM_DEPTH = 3, TPM_DIR_MODE = 0755 };

void disk_facts_free(DiskFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->path);
    g_free(facts->backing_file);
    g_free(facts);
}

/* ---- what is there ---- */

bool disk_facts_read(const char *path, DiskFormat format, DiskFacts *out, GError **err)
{
    g_autofree char *backing = NULL;
    DiskSpec disk = {.path = (char *)path, .format = format};
    struct stat st;

    if (stat(path, &st) < 0)
        return dv_fail_errno(err, errno, "reading", path);
    if (!disk_virtual_size(path, disk.format, &out->virtual_bytes, err) ||
        (disk.format == DISK_FORMAT_QCOW2 && !disk_backing_read(&disk, err)))
        return false;
    backing = disk.backing_path;
    out->path = g_strdup(path);
    out->format = disk.format;
    out->backing_file = backing ? g_path_get_basename(backing) : NULL;
    out->allocated_bytes = (uint64_t)st.st_blocks * 512;
    return true;
}

static bool read_facts(const char *path, const char *format, DiskFacts *out, GError **err)
{
    DiskFormat parsed = DISK_FORMAT_RAW;

    return disk_format_parse(format, &parsed)
               ? disk_facts_read(path, parsed, out, err)
               : dv_fail(err, DV_E_INVALID_DISK, "disk.info does not say the format of %s", path);
}

static bool facts_in(const char *dir, GPtrArray **out, GError **err)
{
    g_autoptr(GHashTable) formats = NULL;
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)disk_facts_free);
    g_autoptr(GList) paths = NULL;

    if (!disk_info_read(dir, &formats, err))
        return false;
    paths = g_list_sort(g_hash_table_get_keys(formats), (GCompareFunc)strcmp);
    for (const GList *item = paths; item; item = item->next) {
        g_autofree char *name = g_path_get_basename(item->data);
        g_autofree char *path = g_build_filename(dir, name, NULL);
        DiskFacts *facts;

        if (!disk_is_disk_name(name) || !dv_exists(path))
            continue;
        facts = g_new0(DiskFacts, 1);
        g_ptr_array_add(all, facts);
        if (!read_facts(path, g_hash_table_lookup(formats, item->data), facts, err))
            return false;
    }
    *out = g_steal_pointer(&all);
    return true;
}

bool disks_facts(Disks *disks, const char *uuid, GPtrArray **out, GError **err)
{
    g_autofree char *dir = disk_uuid_ok(uuid, err) ? disks_instance_dir(disks, uuid) : NULL;

    return dir && facts_in(dir, out, err);
}

bool disks_facts_aside(Disks *disks, const char *uuid, GPtrArray **out, GError **err)
{
    g_autofree char *dir = NULL, *aside = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    aside = disks_aside_dir(disks, uuid);
    if (!facts_in(aside, out, err))
        return false;
    for (guint i = 0; i < (*out)->len; i++) {
        DiskFacts *facts = g_ptr_array_index(*out, i);
        g_autofree char *path = facts->path;
        g_autofree char *name = g_path_get_basename(path);

        facts->path = g_build_filename(dir, name, NULL);
    }
    return true;
}

/* ---- the source ---- */

static char *aside_of(const char *dir)
{
    return g_strconcat(dir, DISK_ASIDE, NULL);
}

/* Beside the disks of disk.info: a config drive keeps the password and files that were given to the
 * first boot, and a kernel may be gone from glance. */
static bool moves_along(const char *name)
{
    static const char *const others[] = {"disk.info", "disk.config", "kernel", "ramdisk", NULL};
    static const char *const left[] = {"disk.swap", "disk.rescue", "disk.config.rescue", NULL};

    return g_strv_contains(others, name) ||
           (disk_is_disk_name(name) && !g_strv_contains(left, name));
}

/* What a TPM remembers lies in folders of its own, not many and not deep; links lead nowhere. */
static void add_below(GPtrArray *names, const char *aside, const char *below, unsigned depth)
{
    g_autofree char *dir = g_build_filename(aside, below, NULL);
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *inner = g_build_filename(below, name, NULL);
        g_autofree char *path = g_build_filename(aside, inner, NULL);
        struct stat st;

        if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
            g_ptr_array_add(names, g_steal_pointer(&inner));
        else if (depth > 1 && S_ISDIR(st.st_mode))
            add_below(names, aside, inner, depth - 1);
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool names_in(const char *aside, char ***out, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) reason = NULL;
    g_autoptr(GDir) entries = g_dir_open(aside, 0, &reason);
    const char *name;

    if (!entries)
        return dv_fail(err, DV_E_IO, "%s", reason->message);
    while ((name = g_dir_read_name(entries)))
        if (moves_along(name))
            g_ptr_array_add(names, g_strdup(name));
    add_below(names, aside, TPM_DIR, TPM_DEPTH);
    g_ptr_array_sort(names, by_name);
    g_ptr_array_add(names, NULL);
    *out = (char **)g_ptr_array_free(g_steal_pointer(&names), FALSE);
    return true;
}

static bool copy_along(const char *aside, const char *dir, GError **err)
{
    g_auto(GStrv) names = NULL;

    if (!names_in(aside, &names, err))
        return false;
    for (size_t i = 0; names[i]; i++) {
        g_autofree char *from = g_build_filename(aside, names[i], NULL);
        g_autofree char *to = g_build_filename(dir, names[i], NULL);
        g_autofree char *folder = g_path_get_dirname(to);

        if (!dv_mkdirs(folder, TPM_DIR_MODE, err) || !disk_copy_file(from, to, err))
            return dv_within(err, "copying %s", names[i]);
    }
    return true;
}

/* An instance without a directory has nothing to move, and is not to be left with an empty one. */
static bool rename_aside(const char *dir, const char *aside, GError **err)
{
    return dv_remove_tree(aside, err) &&
           (rename(dir, aside) == 0 || dv_fail_errno(err, errno, "renaming", dir));
}

bool disks_set_aside(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL, *aside = NULL;
    g_autoptr(GError) back = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    aside = aside_of(dir);
    if (!rename_aside(dir, aside, err))
        return false;
    if (dv_mkdirs(dir, DISK_DIR_MODE, err) && copy_along(aside, dir, err))
        return true;
    if (!disks_take_back(disks, ctx, uuid, &back))
        dv_error(ctx, "the disks stay in %s: %s", aside, back->message);
    return false;
}

bool disks_rename_aside(Disks *disks, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL, *aside = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    aside = aside_of(dir);
    return rename_aside(dir, aside, err);
}

char *disks_aside_dir(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);

    return aside_of(dir);
}

char *disks_tpm_dir(Disks *disks, const char *uuid)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);

    return g_build_filename(dir, TPM_DIR, NULL);
}

bool disks_names_aside(Disks *disks, const char *uuid, char ***out, GError **err)
{
    g_autofree char *aside = disks_aside_dir(disks, uuid);

    return names_in(aside, out, err);
}

bool disks_take_back(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL, *aside = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    aside = aside_of(dir);
    if (!dv_exists(aside))
        return true;
    disks_unflatten_aside(disks, ctx, uuid); /* of a copy that was cut short */
    return dv_remove_tree(dir, err) &&
           (rename(aside, dir) == 0 || dv_fail_errno(err, errno, "renaming", aside));
}

bool disks_forget_aside(Disks *disks, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid,
                        GError **err)
{
    g_autofree char *dir = NULL, *aside = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    aside = aside_of(dir);
    return dv_remove_tree(aside, err);
}

/* ---- whole copies of what would not be whole elsewhere ---- */

#define FLAT_PREFIX "flat." /* no name of a disk, so that none is taken for one */

static char *flat_of(const char *aside, const char *name)
{
    g_autofree char *flat = g_strconcat(FLAT_PREFIX, name, NULL);

    return g_build_filename(aside, flat, NULL);
}

char *disks_aside_file(Disks *disks, const char *uuid, const char *name)
{
    g_autofree char *aside = disks_aside_dir(disks, uuid);
    g_autofree char *flat = flat_of(aside, name);

    return dv_exists(flat) ? g_steal_pointer(&flat) : g_build_filename(aside, name, NULL);
}

static bool flatten(const DvCtx *ctx, const char *aside, DiskFacts *facts, GError **err)
{
    g_autofree char *name = g_path_get_basename(facts->path);
    g_autofree char *from = g_build_filename(aside, name, NULL);
    g_autofree char *flat = flat_of(aside, name);
    const DiskTarget target = {.path = flat, .format = disk_format_name(facts->format)};

    dv_info(ctx, "%s is copied whole, as its base file %s is this host's own", name,
            facts->backing_file);
    if (!disk_tool_convert(from, facts->format, &target, err))
        return dv_within(err, "copying %s", name);
    g_clear_pointer(&facts->backing_file, g_free);
    return true;
}

bool disks_flatten_aside(Disks *disks, const DvCtx *ctx, const char *uuid, const char *image_id,
                         GPtrArray *facts, GError **err)
{
    g_autofree char *aside = disks_aside_dir(disks, uuid);
    g_autofree char *base = image_id ? disk_base_name(image_id) : NULL;

    for (guint i = 0; i < facts->len; i++) {
        DiskFacts *disk = facts->pdata[i];
        g_autofree char *name = g_path_get_basename(disk->path);

        if (disk->backing_file && moves_along(name) && g_strcmp0(disk->backing_file, base) != 0 &&
            !flatten(ctx, aside, disk, err)) {
            disks_unflatten_aside(disks, ctx, uuid);
            return false;
        }
    }
    return true;
}

void disks_unflatten_aside(Disks *disks, const DvCtx *ctx, const char *uuid)
{
    g_autofree char *aside = disks_aside_dir(disks, uuid);
    g_autoptr(GDir) entries = g_dir_open(aside, 0, NULL);
    const char *name;

    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(aside, name, NULL);

        if (g_str_has_prefix(name, FLAT_PREFIX) && unlink(path) < 0)
            dv_warning(ctx, "%s stays: %s", path, g_strerror(errno));
    }
}

/* ---- the destination ---- */

static bool grow(const DvCtx *ctx, const DiskSpec *disk, GError **err)
{
    uint64_t now = 0;

    if (!disk->size_bytes || !disk_virtual_size(disk->path, disk->format, &now, err))
        return !disk->size_bytes;
    if (now >= disk->size_bytes)
        return true;
    dv_info(ctx, "disk %s grows from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " bytes",
            disk->path, now, disk->size_bytes);
    return disk_tool_resize(disk->path, disk->format, disk->size_bytes, err);
}

bool disks_grow(Disks *disks G_GNUC_UNUSED, const DvCtx *ctx, const GuestSpec *spec, GError **err)
{
    for (guint i = 0; i < spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spec->disks, i);

        if ((disk->role == DISK_ROLE_ROOT || disk->role == DISK_ROLE_EPHEMERAL) &&
            !grow(ctx, disk, err))
            return dv_within(err, "growing %s", disk->path);
    }
    return true;
}
