/* Upkeep of the image cache: which base files are in use, and the end of those that are not.
 *
 * A base file is in use when an instance of a host that shares this folder was made from its image,
 * or when any disk here has it as its backing file, whoever made that disk. nova knows the former
 * from the database for swap and ephemeral bases too; here their disks tell. What is in use gets a
 * new time, so that age is the time since the last use. A file that is to go is looked at once more
 * under its lock: a boot may have begun to use it.
 * Sources    nova virt/libvirt/imagecache.py (Zed): names, ages. */
#include "virt/disk/disks_priv.h"
#include "virt/disk/inspect_priv.h"

#include "util/clock.h"
#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHA1_LENGTH 40

/* ---- names of base files ---- */

static bool all_of(const char *text, size_t length, bool (*is)(char c))
{
    for (size_t i = 0; i < length; i++)
        if (!is(text[i]))
            return false;
    return length > 0;
}

static bool is_hex(char c)
{
    return g_ascii_isxdigit(c);
}

static bool is_digit(char c)
{
    return g_ascii_isdigit(c);
}

static bool is_image(const char *name)
{
    return strlen(name) == SHA1_LENGTH && all_of(name, SHA1_LENGTH, is_hex);
}

/* "<sha1>_<bytes>" and "<sha1>_sm": images resized by old novas. */
static bool is_resized_image(const char *name)
{
    return strlen(name) > SHA1_LENGTH + 1 && name[SHA1_LENGTH] == '_' &&
           all_of(name, SHA1_LENGTH, is_hex);
}

/* "swap_<mib>" */
static bool is_swap(const char *name)
{
    return g_str_has_prefix(name, "swap_") && all_of(name + 5, strlen(name + 5), is_digit);
}

/* "ephemeral_<gib>_<tag of 7>" */
static bool is_ephemeral(const char *name)
{
    const char *size = name + 10;
    const char *tag = g_str_has_prefix(name, "ephemeral_") ? strchr(size, '_') : NULL;

    return tag && all_of(size, (size_t)(tag - size), is_digit) && strlen(tag + 1) == 7;
}

/* Only files of these names are ours to remove. */
static const struct {
    bool (*is)(const char *name);
    bool resized;
} kinds[] = {{is_image, false}, {is_resized_image, true}, {is_swap, false}, {is_ephemeral, false}};

static bool age_limit(const Disks *disks, const char *name, int64_t *out_s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (kinds[i].is(name)) {
            *out_s = kinds[i].resized ? disks->unused_resized_age_s : disks->unused_age_s;
            return true;
        }
    }
    return false;
}

/* ---- what is in use ---- */

static bool looks_like_qcow2(const char *path, bool *out, GError **err)
{
    dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char magic[4] = {0};

    *out = false;
    if (fd < 0)
        return errno == ENOENT || dv_fail_errno(err, errno, "opening", path);
    *out = pread(fd, magic, sizeof magic, 0) == sizeof magic && memcmp(magic, "QFI\xfb", 4) == 0;
    return true;
}

/* A raw disk whose guest wrote a qcow2 header into it can only keep a base file, never lose one;
 * what it cannot be read as is then no reason to stop. */
static bool note_backing(const char *path, bool said_qcow2, GHashTable *used, GError **err)
{
    DiskSpec disk = {.path = (char *)path};
    g_autoptr(GError) reason = NULL;
    bool qcow2 = false;

    if (!looks_like_qcow2(path, &qcow2, err))
        return false;
    if (!qcow2)
        return true;
    if (!disk_backing_read(&disk, &reason)) {
        if (!said_qcow2 || !dv_exists(path)) /* or gone just now */
            return true;
        g_propagate_error(err, g_steal_pointer(&reason));
        return false;
    }
    if (disk.backing_path)
        g_hash_table_add(used, g_path_get_basename(disk.backing_path));
    g_free(disk.backing_path);
    return true;
}

/* By the file's name alone: disk.info of a folder that a resize renamed has the old paths. */
static const char *format_of(GHashTable *formats, const char *name)
{
    GHashTableIter iter;
    gpointer path, format;

    g_hash_table_iter_init(&iter, formats);
    while (g_hash_table_iter_next(&iter, &path, &format)) {
        g_autofree char *base = g_path_get_basename(path);

        if (g_str_equal(base, name))
            return format;
    }
    return NULL;
}

static bool note_folder(const char *folder, GHashTable *used, GError **err)
{
    g_autoptr(GHashTable) formats = NULL;
    g_autoptr(GDir) entries = g_dir_open(folder, 0, NULL);
    const char *name;

    if (!entries) /* no folder, or gone just now */
        return true;
    if (!disk_info_read(folder, &formats, err))
        return false;
    while ((name = g_dir_read_name(entries))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        const char *format = format_of(formats, name);

        if (disk_is_disk_name(name) &&
            !note_backing(path, !format || g_str_equal(format, "qcow2"), used, err))
            return false;
    }
    return true;
}

/* Every folder that begins with an instance's uuid: <uuid>, <uuid>_resize, <uuid>_del. */
static bool note_disks(const Disks *disks, GHashTable *used, GError **err)
{
    g_autoptr(GDir) entries = g_dir_open(disks->instances_path, 0, NULL);
    const char *name;

    if (!entries)
        return dv_fail(err, DV_E_IO, "%s cannot be read", disks->instances_path);
    while ((name = g_dir_read_name(entries))) {
        g_autofree char *uuid = g_strndup(name, 36);
        g_autofree char *folder = g_build_filename(disks->instances_path, name, NULL);

        if (g_uuid_string_is_valid(uuid) && !note_folder(folder, used, err))
            return false;
    }
    return true;
}

static void note_images(const char *const *images, GHashTable *used)
{
    for (size_t i = 0; images[i]; i++)
        g_hash_table_add(used, disk_base_name(images[i]));
}

static bool is_used(GHashTable *used, const char *name)
{
    g_autofree char *original = is_resized_image(name) ? g_strndup(name, SHA1_LENGTH) : NULL;

    return g_hash_table_contains(used, name) || (original && g_hash_table_contains(used, original));
}

/* ---- the pass ---- */

static bool age_of(const char *path, int64_t *out_s)
{
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    *out_s = dv_clock_wall_ms(dv_clock_real()) / 1000 - (int64_t)st.st_mtim.tv_sec;
    return true;
}

static bool remove_base(const Disks *disks, const DvCtx *ctx, const char *path, int64_t limit_s,
                        unsigned *removed, GError **err)
{
    g_autofree char *name = g_path_get_basename(path);
    g_auto(DiskLock) lock = {-1};
    int64_t age_s = 0;

    if (!disk_lock_take(&lock, disks, name, DISK_LOCK_CHANGE, err))
        return false;
    if (!age_of(path, &age_s) || age_s < limit_s)
        return true;
    if (unlink(path) < 0 && errno != ENOENT)
        return dv_fail_errno(err, errno, "removing", path);
    dv_info(ctx, "removed %s from the image cache: unused for %" G_GINT64_FORMAT " s", name, age_s);
    (*removed)++;
    return true;
}

static bool look_at_base(const Disks *disks, const DvCtx *ctx, GHashTable *used, const char *name,
                         CacheCleaning *done, GError **err)
{
    g_autofree char *path = g_build_filename(disks->base_path, name, NULL);
    int64_t limit_s = 0, age_s = 0;

    if (!age_limit(disks, name, &limit_s) || !age_of(path, &age_s))
        return true;
    if (is_used(used, name)) {
        done->in_use++;
        disk_base_touch(path);
        return true;
    }
    done->unused++;
    if (!disks->remove_unused_bases || age_s < limit_s)
        return true;
    return remove_base(disks, ctx, path, limit_s, &done->removed, err);
}

bool disks_cache_clean(Disks *disks, const DvCtx *ctx, const char *const *images,
                       CacheCleaning *out, GError **err)
{
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GDir) entries = g_dir_open(disks->base_path, 0, NULL);
    CacheCleaning done = {0};
    const char *name;

    if (entries) { /* no folder: nothing was cached yet */
        note_images(images, used);
        if (!note_disks(disks, used, err))
            return dv_within(err, "image cache");
    }
    while (entries && (name = g_dir_read_name(entries)))
        if (!look_at_base(disks, ctx, used, name, &done, err))
            return dv_within(err, "image cache");
    *out = done;
    return true;
}

bool disks_cache_has(Disks *disks, const char *image_id)
{
    g_autofree char *name = disk_base_name(image_id);
    g_autofree char *path = g_build_filename(disks->base_path, name, NULL);

    if (!dv_exists(path))
        return false;
    disk_base_touch(path);
    return true;
}
