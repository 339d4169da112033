/* The life of an instance's disks: directory, creation from a spec with undo, removal; see disks.h.
 *
 * Each role of a disk has a row that says its file name and how it is made; the backend (qcow2
 * overlay or flat copy) is chosen once from images_type. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the object ---- */

static const struct {
    const char *images_type;
    const DiskBackend *backend; /* NULL: by use_cow_images */
} backends[] = {
    {"default", NULL},
    {"qcow2", &disk_backend_qcow2},
    {"raw", &disk_backend_raw},
    {"flat", &disk_backend_raw},
};

static const DiskBackend *backend_for(const DisksConfig *config)
{
    const DiskBackend *chosen = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(backends); i++)
        if (g_strcmp0(config->images_type, backends[i].images_type) == 0)
            chosen = backends[i].backend;
    if (chosen)
        return chosen;
    return config->use_cow_images ? &disk_backend_qcow2 : &disk_backend_raw;
}

Disks *disks_new(const DisksConfig *config)
{
    Disks *disks = g_new0(Disks, 1);

    disks->instances_path = g_strdup(config->instances_path);
    disks->base_path = g_build_filename(
        config->instances_path, config->base_dir_name ? config->base_dir_name : "_base", NULL);
    disks->locks_path = g_build_filename(config->instances_path, "locks", NULL);
    disks->backend = backend_for(config);
    disks->force_raw_images = config->force_raw_images;
    disks->deep_inspection = config->deep_inspection;
    disks->preallocate = config->preallocate_images &&
                         g_str_equal(config->preallocate_images, "space");
    disks->vmdk_allowed_types = g_strdupv((char **)config->vmdk_allowed_types);
    disks->config_drive_format = g_strdup(config->config_drive_format ? config->config_drive_format
                                                                      : "iso9660");
    disks->mkisofs_cmd = g_strdup(config->mkisofs_cmd ? config->mkisofs_cmd : "genisoimage");
    disks->default_ephemeral_format = g_strdup(config->default_ephemeral_format);
    disks->snapshots_path = config->snapshots_directory
                                ? g_strdup(config->snapshots_directory)
                                : g_build_filename(config->instances_path, "snapshots", NULL);
    disks->snapshot_format = g_strdup(config->snapshot_image_format);
    disks->snapshot_compression = config->snapshot_compression;
    disks->remove_unused_bases = config->remove_unused_bases;
    disks->unused_age_s = config->unused_age_s;
    disks->unused_resized_age_s = config->unused_resized_age_s;
    return disks;
}

void disks_free(Disks *disks)
{
    if (!disks)
        return;
    g_free(disks->instances_path);
    g_free(disks->base_path);
    g_free(disks->locks_path);
    g_strfreev(disks->vmdk_allowed_types);
    g_free(disks->config_drive_format);
    g_free(disks->mkisofs_cmd);
    g_free(disks->default_ephemeral_format);
    g_free(disks->snapshots_path);
    g_free(disks->snapshot_format);
    g_free(disks);
}

/* ---- directories ---- */

bool disk_uuid_ok(const char *uuid, GError **err)
{
    if (uuid && g_uuid_string_is_valid(uuid))
        return true;
    return dv_fail(err, DV_E_BAD_INPUT, "'%s' is no instance uuid", uuid ? uuid : "");
}

char *disks_instance_dir(Disks *disks, const char *uuid)
{
    return g_build_filename(disks->instances_path, uuid, NULL);
}

bool disk_ensure_console_log(const char *dir, GError **err)
{
    g_autofree char *path = g_build_filename(dir, "console.log", NULL);
    dv_autofd int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                            DISK_FILE_MODE);

    /* libvirt may have made it its own already */
    return fd >= 0 || errno == EACCES ? true : dv_fail_errno(err, errno, "creating", path);
}

static bool has_disks(const char *dir)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while (entries && (name = g_dir_read_name(entries)))
        if (disk_is_disk_name(name))
            return true;
    return false;
}

bool disks_prepare_dir(Disks *disks, const DvCtx *ctx G_GNUC_UNUSED, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    if (has_disks(dir))
        return dv_fail(err, DV_E_DISK_EXISTS, "%s already has disks", dir);
    return dv_mkdirs(dir, DISK_DIR_MODE, err) && disk_ensure_console_log(dir, err);
}

/* The directory is renamed first: what is left of a removal that was cut short is then no instance
 * any more. */
bool disks_drop(Disks *disks, const char *uuid, GError **err)
{
    g_autofree char *dir = NULL, *deleted = NULL;

    if (!disk_uuid_ok(uuid, err))
        return false;
    dir = disks_instance_dir(disks, uuid);
    deleted = g_strconcat(dir, "_del", NULL);
    if (!dv_remove_tree(deleted, err))
        return false;
    if (rename(dir, deleted) < 0)
        return errno == ENOENT || dv_fail_errno(err, errno, "renaming", dir);
    return dv_remove_tree(deleted, err);
}

bool disks_remove(Disks *disks, const DvCtx *ctx, const char *uuid, GError **err)
{
    return disks_drop(disks, uuid, err) && disks_forget_aside(disks, ctx, uuid, err);
}

/* uuids of the directories whose names are one and `suffix`. */
static bool list_dirs(const Disks *disks, const char *suffix, char ***out, GError **err)
{
    g_autoptr(GPtrArray) uuids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) entries = NULL;
    const char *name;

    if (dv_exists(disks->instances_path)) {
        g_autoptr(GError) reason = NULL;

        entries = g_dir_open(disks->instances_path, 0, &reason);
        if (!entries)
            return dv_fail(err, DV_E_IO, "%s", reason->message);
    }
    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *uuid = g_str_has_suffix(name, suffix)
                                    ? g_strndup(name, strlen(name) - strlen(suffix))
                                    : NULL;

        if (uuid && g_uuid_string_is_valid(uuid))
            g_ptr_array_add(uuids, g_steal_pointer(&uuid));
    }
    g_ptr_array_add(uuids, NULL);
    *out = (char **)g_ptr_array_free(g_steal_pointer(&uuids), FALSE);
    return true;
}

bool disks_list(Disks *disks, char ***out, GError **err)
{
    return list_dirs(disks, "", out, err);
}

bool disks_list_aside(Disks *disks, char ***out, GError **err)
{
    return list_dirs(disks, DISK_ASIDE, out, err);
}

/* ---- creation ---- */

typedef struct Creation {
    Disks *disks;
    const DvCtx *ctx;
    const GuestSpec *spec;
    const ImageSource *image;
    const ConfigDriveFile *files;
    size_t file_count;
    char *dir;
    GHashTable *formats; /* of disk.info */
    GPtrArray *made;     /* paths to remove when a later disk fails */
} Creation;

static void creation_done(Creation *c)
{
    g_free(c->dir);
    if (c->formats)
        g_hash_table_unref(c->formats);
    if (c->made)
        g_ptr_array_unref(c->made);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Creation, creation_done)

static bool create_root(Creation *c, DiskSpec *disk, GError **err)
{
    g_auto(DiskBase) base = {0};

    /* by the record before the download, then by what the file says it is */
    if (c->image && disk->size_bytes && c->image->size_bytes > disk->size_bytes)
        return dv_fail(err, DV_E_IMAGE_TOO_LARGE, IMAGE_TOO_LARGE_TEXT, disk->size_bytes,
                       c->image->size_bytes);
    return disk_cache_image(c->disks, c->ctx, c->image, disk->size_bytes, &base, err) &&
           c->disks->backend->clone(c->disks, c->ctx, &base, disk, err);
}

const char *disk_ephemeral_fs(const Disks *disks, const DiskSpec *disk, const char *os_type)
{
    if (disk->fs_format)
        return disk->fs_format;
    if (disks->default_ephemeral_format)
        return disks->default_ephemeral_format;
    if (g_strcmp0(os_type, "linux") == 0)
        return "ext4";
    return g_strcmp0(os_type, "windows") == 0 ? "ntfs" : "vfat";
}

bool disk_fill_ephemeral(const char *path, const DiskSpec *disk, GError **err)
{
    return disk_tool_mkfs(path, disk->fs_format, disk->fs_label, err);
}

bool disk_fill_swap(const char *path, const DiskSpec *disk G_GNUC_UNUSED, GError **err)
{
    return disk_tool_mkfs(path, "swap", NULL, err);
}

static bool generate_in_place(DiskSpec *disk, DiskFillFn fill, GError **err)
{
    dv_autofd int fd = open(disk->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                            DISK_FILE_MODE);

    if (fd < 0 || ftruncate(fd, (off_t)disk->size_bytes) < 0)
        return dv_fail_errno(err, errno, "creating", disk->path);
    disk->format = DISK_FORMAT_RAW;
    g_clear_pointer(&disk->backing_path, g_free);
    return fill(disk->path, disk, err);
}

static bool create_generated(Creation *c, DiskSpec *disk, const char *base_name, DiskFillFn fill,
                             GError **err)
{
    g_auto(DiskBase) base = {0};

    if (disk->size_bytes == 0 || disk->size_bytes > INT64_MAX)
        return dv_fail(err, DV_E_INVALID_DISK, "%s without a size", disk->path);
    if (!c->disks->backend->clones_generated)
        return generate_in_place(disk, fill, err) &&
               (!c->disks->preallocate ||
                disk_preallocate(c->ctx, disk->path, disk->size_bytes, err));
    return disk_cache_generated(c->disks, base_name, disk, fill, &base, err) &&
           c->disks->backend->clone(c->disks, c->ctx, &base, disk, err);
}

/* The base's name carries a tag of what is in it. nova's tag is of the file system alone, so that
 * its second ephemeral disk has the first one's label: only disks with another label get a tag of
 * both. */
static bool create_ephemeral(Creation *c, DiskSpec *disk, GError **err)
{
    g_autofree char *tag = NULL, *digest = NULL, *name = NULL, *chosen = NULL;

    if (!disk->fs_label)
        disk->fs_label = g_strdup("ephemeral0");
    chosen = g_strdup(disk_ephemeral_fs(c->disks, disk, c->spec->os_type));
    g_free(disk->fs_format);
    disk->fs_format = g_steal_pointer(&chosen);
    tag = g_str_equal(disk->fs_label, "ephemeral0")
              ? g_strdup(disk->fs_format)
              : g_strdup_printf("%s:%s", disk->fs_format, disk->fs_label);
    digest = g_compute_checksum_for_string(G_CHECKSUM_MD5, tag, -1);
    name = g_strdup_printf("ephemeral_%" G_GUINT64_FORMAT "_%.7s", disk->size_bytes >> 30, digest);
    return create_generated(c, disk, name, disk_fill_ephemeral, err);
}

static bool create_swap(Creation *c, DiskSpec *disk, GError **err)
{
    g_autofree char *name = g_strdup_printf("swap_%" G_GUINT64_FORMAT, disk->size_bytes >> 20);

    return create_generated(c, disk, name, disk_fill_swap, err);
}

static bool create_config(Creation *c, DiskSpec *disk, GError **err)
{
    disk->format = DISK_FORMAT_RAW;
    g_clear_pointer(&disk->backing_path, g_free);
    return configdrive_make(c->disks, c->dir, disk->path, c->files, c->file_count, err);
}

static const struct {
    const char *file; /* with the number of the disk in its role for ephemeral ones */
    bool (*create)(Creation *c, DiskSpec *disk, GError **err);
} roles[] = {
    [DISK_ROLE_ROOT] = {"disk", create_root},
    [DISK_ROLE_EPHEMERAL] = {"disk.eph", create_ephemeral},
    [DISK_ROLE_SWAP] = {"disk.swap", create_swap},
    [DISK_ROLE_CONFIG] = {"disk.config", create_config},
    [DISK_ROLE_RESCUE] = {"disk.rescue", create_root},
};

void disk_name_all(GuestSpec *spec, const char *dir)
{
    unsigned ephemeral = 0;

    for (guint i = 0; i < spec->disks->len; i++) {
        DiskSpec *disk = g_ptr_array_index(spec->disks, i);
        g_autofree char *name = disk->role == DISK_ROLE_EPHEMERAL
                                    ? g_strdup_printf("%s%u", roles[disk->role].file, ephemeral++)
                                    : g_strdup(roles[disk->role].file);

        if (!disk->path)
            disk->path = g_build_filename(dir, name, NULL);
    }
}

static bool create_disk(Creation *c, DiskSpec *disk, GError **err)
{
    if (dv_exists(disk->path))
        return disk_read_format(c->formats, disk, err);
    g_ptr_array_add(c->made, g_strdup(disk->path));
    if (!roles[disk->role].create(c, disk, err)) {
        g_autofree char *name = g_path_get_basename(disk->path);

        return dv_within(err, "creating %s", name);
    }
    g_hash_table_replace(c->formats, g_strdup(disk->path),
                         g_strdup(disk_format_name(disk->format)));
    return true;
}

static bool create_all(Creation *c, GuestSpec *spec, GError **err)
{
    disk_name_all(spec, c->dir);
    for (guint i = 0; i < spec->disks->len; i++) {
        if (!create_disk(c, g_ptr_array_index(spec->disks, i), err))
            return false;
    }
    return disk_info_write(c->dir, c->formats, err);
}

bool disks_rewrite_config(Disks *disks, const GuestSpec *spec, const ConfigDriveFile *files,
                          size_t file_count, GError **err)
{
    const DiskSpec *disk = guest_spec_disk(spec, DISK_ROLE_CONFIG);
    g_autofree char *dir = NULL;

    if (!disk || !disk->path)
        return dv_fail(err, DV_E_BAD_INPUT, "guest %s has no config drive", spec->uuid);
    if (!disk_uuid_ok(spec->uuid, err))
        return false;
    dir = disks_instance_dir(disks, spec->uuid);
    return configdrive_make(disks, dir, disk->path, files, file_count, err);
}

bool disks_create(Disks *disks, const DvCtx *ctx, GuestSpec *spec, const ImageSource *image,
                  const ConfigDriveFile *files, size_t file_count, GError **err)
{
    g_auto(Creation) c = {.disks = disks,
                          .ctx = ctx,
                          .spec = spec,
                          .image = image,
                          .files = files,
                          .file_count = file_count};

    if (!disk_uuid_ok(spec->uuid, err))
        return false;
    c.dir = disks_instance_dir(disks, spec->uuid);
    c.made = g_ptr_array_new_with_free_func(g_free);
    if (!dv_mkdirs(c.dir, DISK_DIR_MODE, err) || !disk_ensure_console_log(c.dir, err) ||
        !disk_info_read(c.dir, &c.formats, err))
        return false;
    if (create_all(&c, spec, err))
        return true;
    for (guint i = 0; i < c.made->len; i++)
        (void)unlink(g_ptr_array_index(c.made, i)); /* the failed one may not be there */
    return false;
}

bool disks_cache_image(Disks *disks, const DvCtx *ctx, const ImageSource *image, char **out_path,
                       uint64_t *out_virtual_bytes, GError **err)
{
    g_auto(DiskBase) base = {0};

    if (!disk_cache_image(disks, ctx, image, 0, &base, err))
        return false;
    if (out_virtual_bytes)
        *out_virtual_bytes = base.virtual_bytes;
    if (out_path)
        *out_path = g_steal_pointer(&base.path);
    return true;
}

bool disks_fetch_plain(Disks *disks, const DvCtx *ctx, const ImageSource *image, const char *path,
                       GError **err)
{
    return disk_fetch_plain(disks, ctx, image, path, err);
}
