/* Locks on names of the image cache: one file per name below <instances_path>/locks.
 *
 * The files and their names are those nova uses, so that hosts of either kind that share the
 * file system wait for each other. An open-file-description lock conflicts with nova's record
 * locks and, unlike those, between threads of one process too. */
#include "virt/disk/disks_priv.h"

#include "util/clock.h"
#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOCK_WAIT_MS ((int64_t)2 * 3600 * 1000) /* a large image over a slow line */
#define LOCK_POLL_FIRST_MS 5
#define LOCK_POLL_MAX_MS 100

bool disk_lock_take(DiskLock *lock, const Disks *disks, const char *name, DiskLockKind kind,
                    GError **err)
{
    g_autofree char *path = g_strdup_printf("%s/nova-%s", disks->locks_path, name);
    struct flock range = {.l_type = kind == DISK_LOCK_USE ? F_RDLCK : F_WRLCK,
                          .l_whence = SEEK_SET};
    int64_t deadline = dv_now_ms() + LOCK_WAIT_MS;
    unsigned pause_ms = LOCK_POLL_FIRST_MS;
    dv_autofd int fd = -1;

    lock->fd = -1;
    if (!dv_mkdirs(disks->locks_path, DISK_DIR_MODE, err))
        return false;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, DISK_FILE_MODE);
    if (fd < 0)
        return dv_fail_errno(err, errno, "lock file", path);
    while (fcntl(fd, F_OFD_SETLK, &range) < 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return dv_fail_errno(err, errno, "locking", path);
        if (dv_now_ms() >= deadline)
            return dv_fail(err, DV_E_TIMEOUT, "%s stays locked", path);
        g_usleep(pause_ms * 1000u);
        pause_ms = MIN(pause_ms * 2, (unsigned)LOCK_POLL_MAX_MS);
    }
    lock->fd = fd;
    fd = -1;
    return true;
}

void disk_lock_drop(DiskLock *lock)
{
    if (lock->fd >= 0)
        (void)close(lock->fd);
    lock->fd = -1;
}
