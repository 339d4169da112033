/* Finding libvirt's socket among our descriptors; see hangup.h.
 *
 * libvirt does not tell its descriptor. A socket is known by the path at its other end: the name
 * of a daemon's socket, "libvirt-sock" or "virtqemud-sock", wherever it is. */
#include "virt/libvirt/hangup.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static bool leads_to_libvirt(int fd)
{
    struct sockaddr_un peer = {0};
    socklen_t length = sizeof(peer) - 1; /* the last byte stays NUL */
    g_autofree char *name = NULL;

    if (getpeername(fd, (struct sockaddr *)(void *)&peer, &length) < 0 ||
        peer.sun_family != AF_UNIX)
        return false;
    name = g_path_get_basename(peer.sun_path);
    return g_str_equal(name, "libvirt-sock") || g_str_equal(name, "virtqemud-sock");
}

unsigned virt_hangup(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned count = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        int fd = (int)g_ascii_strtoll(name, NULL, 10);

        if (leads_to_libvirt(fd) && shutdown(fd, SHUT_RDWR) == 0)
            count++;
    }
    return count;
}
