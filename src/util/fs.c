/* Files: bounded reads, whole-or-nothing writes, trees; see fs.h.
 *
 * Paths come from our own configuration and from uuids that were checked; still, trees are removed
 * by descriptor (openat, unlinkat) so that a link planted in them cannot lead us outside. */
#include "util/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    READ_CHUNK = 16 * 1024,
    MAX_TREE_DEPTH = 64, /* an instance directory has two levels; a loop of mounts ends here */
};

void dv_close_fd(int *fd)
{
    int keep = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = keep;
}

bool dv_fail_errno(GError **err, int errnum, const char *what, const char *path)
{
    DvErrorCode code = DV_E_IO;

    if (errnum == ENOENT || errnum == ENOTDIR)
        code = DV_E_NOT_FOUND;
    else if (errnum == ENOSPC || errnum == EDQUOT)
        code = DV_E_NO_SPACE;
    return dv_fail(err, code, "%s %s: %s", what, path, g_strerror(errnum));
}

/* Reads to the end of `fd`, at most max_bytes. */
static bool read_fd(int fd, const char *path, size_t max_bytes, char **out, size_t *out_length,
                    GError **err)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    guint8 chunk[READ_CHUNK];

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dv_fail_errno(err, errno, "reading", path);
        if (n == 0)
            break;
        if (data->len + (size_t)n > max_bytes)
            return dv_fail(err, DV_E_BAD_INPUT, "reading %s: larger than %zu bytes", path,
                           max_bytes);
        g_byte_array_append(data, chunk, (guint)n);
    }
    if (out_length)
        *out_length = data->len;
    g_byte_array_append(data, (const guint8 *)"", 1);
    *out = (char *)g_byte_array_free(g_steal_pointer(&data), FALSE);
    return true;
}

bool dv_read_file(const char *path, size_t max_bytes, char **out, size_t *out_length, GError **err)
{
    dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return dv_fail_errno(err, errno, "opening", path);
    return read_fd(fd, path, max_bytes, out, out_length, err);
}

bool dv_read_tail(const char *path, size_t max_bytes, char **out, size_t *out_length, GError **err)
{
    dv_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_autofree char *data = NULL;
    size_t length = 0;
    struct stat st;
    off_t start = 0;

    if (fd < 0)
        return dv_fail_errno(err, errno, "opening", path);
    if (fstat(fd, &st) < 0)
        return dv_fail_errno(err, errno, "looking at", path);
    if ((uint64_t)st.st_size > max_bytes)
        start = st.st_size - (off_t)max_bytes;
    data = g_try_malloc(max_bytes + 1);
    if (!data)
        return dv_fail(err, DV_E_IO, "reading %s: no memory for %zu bytes", path, max_bytes);
    while (length < max_bytes) { /* the file may grow meanwhile: what comes later is not read */
        ssize_t n = pread(fd, data + length, max_bytes - length, start + (off_t)length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dv_fail_errno(err, errno, "reading", path);
        if (n == 0)
            break;
        length += (size_t)n;
    }
    data[length] = '\0';
    if (out_length)
        *out_length = length;
    *out = g_steal_pointer(&data);
    return true;
}

bool dv_write_all(int fd, const void *data, size_t length, GError **err)
{
    const char *p = data;

    while (length > 0) {
        ssize_t n = write(fd, p, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dv_fail(err, errno == ENOSPC || errno == EDQUOT ? DV_E_NO_SPACE : DV_E_IO,
                           "writing %zu bytes: %s", length, g_strerror(errno));
        p += n;
        length -= (size_t)n;
    }
    return true;
}

static bool sync_folder_of(const char *path, GError **err)
{
    g_autofree char *folder = g_path_get_dirname(path);
    dv_autofd int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return dv_fail_errno(err, errno, "syncing folder", folder);
    return true;
}

static bool write_temporary(const char *temporary, const void *data, size_t length, mode_t mode,
                            GError **err)
{
    dv_autofd int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);

    if (fd < 0)
        return dv_fail_errno(err, errno, "creating", temporary);
    if (!dv_write_all(fd, data, length, err))
        return dv_within(err, "%s", temporary);
    if (fchmod(fd, mode) < 0 || fsync(fd) < 0) /* the mode asked for, whatever the umask */
        return dv_fail_errno(err, errno, "finishing", temporary);
    return true;
}

bool dv_write_file(const char *path, const void *data, size_t length, mode_t mode, GError **err)
{
    g_autofree char *temporary = g_strdup_printf("%s.%d.%08x", path, (int)getpid(),
                                                 (unsigned)g_random_int());

    if (!write_temporary(temporary, data, length, mode, err)) {
        unlink(temporary);
        return false;
    }
    if (rename(temporary, path) < 0) {
        dv_fail_errno(err, errno, "replacing", path);
        unlink(temporary);
        return false;
    }
    return sync_folder_of(path, err);
}

bool dv_mkdirs(const char *path, mode_t mode, GError **err)
{
    struct stat st;

    if (g_mkdir_with_parents(path, (int)mode) < 0)
        return dv_fail_errno(err, errno, "making folder", path);
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return dv_fail(err, DV_E_IO, "making folder %s: something else has that name", path);
    return true;
}

static bool remove_entry(int folder, const char *name, const char *path, unsigned depth,
                         GError **err);

static bool remove_content(int fd, const char *path, unsigned depth, GError **err)
{
    DIR *dir = fdopendir(fd); /* owns fd from here */
    bool ok = true;

    if (!dir) {
        dv_fail_errno(err, errno, "reading folder", path);
        close(fd);
        return false;
    }
    while (ok) {
        const struct dirent *entry = readdir(dir);
        g_autofree char *child = NULL;

        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        child = g_build_filename(path, entry->d_name, NULL);
        ok = remove_entry(dirfd(dir), entry->d_name, child, depth, err);
    }
    closedir(dir);
    return ok;
}

/* `path` is for messages only. */
static bool remove_entry(int folder, const char *name, const char *path, unsigned depth,
                         GError **err)
{
    int fd = -1;

    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return dv_fail_errno(err, errno, "removing", path);
    if (depth == 0)
        return dv_fail(err, DV_E_IO, "removing %s: more than %d levels", path, MAX_TREE_DEPTH);
    fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || dv_fail_errno(err, errno, "removing", path);
    if (!remove_content(fd, path, depth - 1, err))
        return false;
    if (unlinkat(folder, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return dv_fail_errno(err, errno, "removing", path);
    return true;
}

bool dv_remove_tree(const char *path, GError **err)
{
    return remove_entry(AT_FDCWD, path, path, MAX_TREE_DEPTH, err);
}

bool dv_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

bool dv_fs_usage(const char *path, uint64_t *out_total, uint64_t *out_free, GError **err)
{
    struct statvfs vfs;

    if (statvfs(path, &vfs) < 0)
        return dv_fail_errno(err, errno, "file system of", path);
    *out_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
    *out_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
    return true;
}
