/* What the disk files of instances are, by their own headers: backing files and how far they may
 * still grow.
 *
 * Formats come from disk.info, never from content that a guest may have written. No tool runs: the
 * audit looks at every disk of the host each minute. */
#include "virt/disk/disks_priv.h"
#include "virt/disk/inspect_priv.h"

#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKING_NAME_MAX 1023 /* QEMU's limit */
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define FIRST_CLUSTER_READ 4096

static bool open_disk(const char *path, int *out_fd, GError **err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return dv_fail_errno(err, errno, "opening", path);
    *out_fd = fd;
    return true;
}

/* The format that the overlay's header extension names; overlays without one are not ours. */
static bool backing_format(const uint8_t *head, size_t length, DiskFormat *out)
{
    size_t at = image_be32(head + 4) == 2 ? 72 : image_be32(head + 100);

    while (at <= length - 8) {
        uint32_t magic = image_be32(head + at), size = image_be32(head + at + 4);
        g_autofree char *name = NULL;

        at += 8;
        if (magic == 0 || size > length - at)
            return false;
        if (magic == QCOW2_EXT_BACKING_FORMAT) {
            name = g_strndup((const char *)head + at, size);
            return disk_format_parse(name, out);
        }
        at += (size + 7u) & ~7u;
    }
    return false;
}

bool disk_backing_read(DiskSpec *disk, GError **err)
{
    g_autofree uint8_t *head = g_malloc0(FIRST_CLUSTER_READ);
    g_autofree char *name = NULL;
    dv_autofd int fd = -1;
    Qcow2Header header;
    ssize_t got;

    if (!open_disk(disk->path, &fd, err) || !qcow2_header_of(fd, &header, err))
        return dv_within(err, "%s", disk->path);
    g_clear_pointer(&disk->backing_path, g_free);
    if (header.backing_offset == 0)
        return true;
    if (header.backing_length == 0 || header.backing_length > BACKING_NAME_MAX ||
        header.backing_offset > (uint64_t)1 << header.cluster_bits)
        return dv_fail(err, DV_E_INVALID_DISK, "%s: impossible backing file name", disk->path);
    got = pread(fd, head, FIRST_CLUSTER_READ, 0);
    name = g_malloc0(header.backing_length + 1);
    if (got < 104 || pread(fd, name, header.backing_length, (off_t)header.backing_offset) !=
                         (ssize_t)header.backing_length)
        return dv_fail(err, DV_E_INVALID_DISK, "%s: truncated header", disk->path);
    if (!g_path_is_absolute(name) || strlen(name) != header.backing_length ||
        !backing_format(head, (size_t)got, &disk->backing_format))
        return dv_fail(err, DV_E_INVALID_DISK, "%s: its backing file is not one of ours",
                       disk->path);
    disk->backing_path = g_steal_pointer(&name);
    return true;
}

bool disk_virtual_size(const char *path, DiskFormat format, uint64_t *out, GError **err)
{
    dv_autofd int fd = -1;
    Qcow2Header header;
    struct stat st;

    if (!open_disk(path, &fd, err))
        return false;
    if (fstat(fd, &st) < 0)
        return dv_fail_errno(err, errno, "reading", path);
    if (format == DISK_FORMAT_RAW) {
        *out = (uint64_t)st.st_size;
        return true;
    }
    if (!qcow2_header_of(fd, &header, err))
        return dv_within(err, "%s", path);
    *out = header.virtual_bytes;
    return true;
}

/* ---- growth ---- */

/* virtual size - what is allocated, as nova counts it: a raw file may be slightly negative (its
 * last block), an overlay not. A disk that has just gone counts nothing. */
static bool disk_growth(const char *path, const char *format, int64_t *out, GError **err)
{
    g_autoptr(GError) reason = NULL;
    dv_autofd int fd = -1;
    Qcow2Header header;
    int64_t allocated;
    struct stat st;

    *out = 0;
    if (stat(path, &st) < 0)
        return errno == ENOENT || errno == ESTALE || errno == EACCES
                   ? true
                   : dv_fail_errno(err, errno, "reading", path);
    allocated = (int64_t)st.st_blocks * 512;
    if (g_strcmp0(format, "qcow2") != 0) {
        *out = (int64_t)st.st_size - allocated;
        return true;
    }
    if (!open_disk(path, &fd, &reason) || !qcow2_header_of(fd, &header, &reason)) {
        if (dv_is(reason, DV_E_IO)) {
            g_propagate_error(err, g_steal_pointer(&reason));
            return false;
        }
        return true; /* gone, or being written just now */
    }
    *out = MAX((int64_t)header.virtual_bytes - allocated, 0);
    return true;
}

bool disk_is_disk_name(const char *name)
{
    return g_str_equal(name, "disk") ||
           (g_str_has_prefix(name, "disk.") && !g_str_equal(name, "disk.info"));
}

/* The disks that disk.info names and that lie in this directory. */
static bool instance_growth(Disks *disks, const char *uuid, int64_t *total, GError **err)
{
    g_autofree char *dir = disks_instance_dir(disks, uuid);
    g_autoptr(GHashTable) formats = NULL;
    g_autoptr(GError) reason = NULL;
    GHashTableIter iter;
    gpointer key, value;

    /* A damaged file must not stop the audit of the whole host. */
    if (!disk_info_read(dir, &formats, &reason))
        return true;
    g_hash_table_iter_init(&iter, formats);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autofree char *name = g_path_get_basename(key);
        g_autofree char *path = g_build_filename(dir, name, NULL);
        int64_t growth = 0;

        if (!disk_is_disk_name(name))
            continue; /* kernel, ramdisk */
        if (!disk_growth(path, value, &growth, err))
            return false;
        *total += growth;
    }
    return true;
}

bool disks_overcommit_of(Disks *disks, const char *const *uuids, uint64_t *out, GError **err)
{
    int64_t total = 0;

    for (size_t i = 0; uuids[i]; i++)
        if (disk_uuid_ok(uuids[i], NULL) && !instance_growth(disks, uuids[i], &total, err))
            return dv_within(err, "disk usage of %s", uuids[i]);
    *out = total > 0 ? (uint64_t)total : 0;
    return true;
}
