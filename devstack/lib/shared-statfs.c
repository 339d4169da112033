/* Preloaded into a host's libvirtd: statfs() says NFS for the folders of DROVER_CLOUD_SHARED (a
 * list with colons).
 *
 * The hosts of `devstack/cloud up --hosts` share a folder that is on one local disk. libvirt must
 * take it for what it is to them, or it would move a guest's files back to root after the guest has
 * left for another host. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#define NFS_MAGIC 0x6969

static int is_shared(const char *path)
{
    const char *list = getenv("DROVER_CLOUD_SHARED");

    while (list && *list) {
        size_t length = strcspn(list, ":");

        if (length && !strncmp(path, list, length) && (!path[length] || path[length] == '/'))
            return 1;
        list += length + (list[length] == ':');
    }
    return 0;
}

int statfs(const char *path, struct statfs *out)
{
    int (*real)(const char *, struct statfs *) = dlsym(RTLD_NEXT, "statfs");
    int code = real(path, out);

    if (!code && is_shared(path))
        out->f_type = NFS_MAGIC;
    return code;
}

int statfs64(const char *path, struct statfs64 *out)
{
    int (*real)(const char *, struct statfs64 *) = dlsym(RTLD_NEXT, "statfs64");
    int code = real(path, out);

    if (!code && is_shared(path))
        out->f_type = NFS_MAGIC;
    return code;
}
