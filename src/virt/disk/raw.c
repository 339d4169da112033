/* The flat backend ("raw", "flat"): each disk is a full copy, sparse where the base is.
 *
 * A copy shares blocks with the base where the file system can (reflink), and otherwise copies
 * only the ranges that hold data. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_STEP ((size_t)64 * 1024 * 1024)
#define COPY_BUFFER ((size_t)1024 * 1024)

static bool copy_by_hand(int from, int to, off_t offset, size_t length)
{
    g_autofree char *buffer = g_malloc(COPY_BUFFER);

    while (length > 0) {
        ssize_t got = pread(from, buffer, MIN(length, COPY_BUFFER), offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; /* it shrank under us */
        if (got <= 0)
            return false;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(to, buffer + done, (size_t)(got - done), offset + done);

            if (put < 0 && errno == EINTR)
                continue;
            if (put < 0)
                return false;
            done += put;
        }
        offset += got;
        length -= (size_t)got;
    }
    return true;
}

static bool copy_range(int from, int to, off_t start, off_t end)
{
    while (start < end) {
        size_t step = (size_t)MIN((uint64_t)(end - start), (uint64_t)COPY_STEP);
        loff_t in = start, out = start;
        ssize_t done = copy_file_range(from, &in, to, &out, step, 0);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS)
            return false;
        if (done <= 0)
            return copy_by_hand(from, to, start, (size_t)(end - start));
        start += done;
    }
    return true;
}

static bool copy_data(int from, int to, off_t size)
{
    off_t at = 0;

    if (ioctl(to, FICLONE, from) == 0)
        return true;
    while (at < size) {
        off_t data = lseek(from, at, SEEK_DATA), hole;

        if (data < 0 && errno == ENXIO)
            break; /* a hole to the end */
        if (data < 0)
            return copy_range(from, to, at, size); /* a file system without holes */
        hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            hole = size;
        if (!copy_range(from, to, data, MIN(hole, size)))
            return false;
        at = hole;
    }
    return true;
}

bool disk_copy_file(const char *source, const char *target, GError **err)
{
    dv_autofd int from = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to = -1;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0)
        return dv_fail_errno(err, errno, "opening", source);
    to = open(target, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, DISK_FILE_MODE);
    if (to < 0)
        return dv_fail_errno(err, errno, "creating", target);
    if (ftruncate(to, st.st_size) < 0 || !copy_data(from, to, st.st_size))
        return dv_fail_errno(err, errno, "copying to", target);
    return true;
}

static bool raw_clone(const Disks *disks, const DvCtx *ctx, const DiskBase *base, DiskSpec *disk,
                      GError **err)
{
    g_auto(DiskLock) lock = {-1};

    if (!disk_lock_take(&lock, disks, base->lock_name, DISK_LOCK_USE, err) ||
        !disk_copy_file(base->path, disk->path, err))
        return false;
    if (disk->size_bytes > base->virtual_bytes &&
        !disk_tool_resize(disk->path, base->format, disk->size_bytes, err))
        return false;
    if (disks->preallocate && !disk_preallocate(ctx, disk->path, disk->size_bytes, err))
        return false;
    disk->format = base->format;
    g_clear_pointer(&disk->backing_path, g_free);
    return true;
}

const DiskBackend disk_backend_raw = {"raw", raw_clone, .clones_generated = false};
