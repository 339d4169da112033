/* The privileged functions, in-process: rtnetlink for devices, a few files of /proc/sys.
 *
 * Sources    rtnetlink(7); os-vif vif_plug_linux_bridge/linux_net.py for what a new bridge gets. */
#include "priv/priv.h"

#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_TIMEOUT_S 5

typedef struct LinkRequest {
    struct nlmsghdr header;
    struct ifinfomsg info;
    char attributes[256];
} LinkRequest;

static bool check_name(const char *name, GError **err)
{
    size_t length = strlen(name);

    if (length == 0 || length >= IFNAMSIZ || g_str_equal(name, ".") || g_str_equal(name, "..") ||
        strpbrk(name, "/: \t\n") != NULL)
        return dv_fail(err, DV_E_BAD_INPUT, "'%s' is no name for a network device", name);
    return true;
}

/* --- rtnetlink ------------------------------------------------------------------------------ */

static struct rtattr *add_attribute(LinkRequest *request, unsigned short type, const void *data,
                                    size_t length)
{
    size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
    struct rtattr *attribute = (struct rtattr *)(void *)((char *)request + at);

    g_assert(at + RTA_SPACE(length) <= sizeof(*request));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(length);
    if (length > 0)
        memcpy(RTA_DATA(attribute), data, length);
    request->header.nlmsg_len = (unsigned)(at + RTA_SPACE(length));
    return attribute;
}

static void start_request(LinkRequest *request, unsigned short type, unsigned short flags)
{
    *request = (LinkRequest){
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                   .nlmsg_type = type,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags},
        .info = {.ifi_family = AF_UNSPEC},
    };
}

/* Sends and waits for the acknowledgement; the kernel's errno, 0 when done. */
static int exchange(LinkRequest *request)
{
    dv_autofd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};
    union {
        struct nlmsghdr header;
        char bytes[4096];
    } reply;
    ssize_t got;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        send(fd, request, request->header.nlmsg_len, 0) < 0)
        return errno;
    do {
        got = recv(fd, &reply, sizeof(reply), 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    if ((size_t)got < NLMSG_LENGTH(sizeof(struct nlmsgerr)) ||
        reply.header.nlmsg_type != NLMSG_ERROR)
        return EPROTO;
    return -((const struct nlmsgerr *)NLMSG_DATA(&reply.header))->error;
}

static int send_new_bridge(const char *name, int mtu)
{
    LinkRequest request;
    struct rtattr *nest;

    start_request(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    add_attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
    if (mtu > 0) {
        uint32_t value = (uint32_t)mtu;

        add_attribute(&request, IFLA_MTU, &value, sizeof(value));
    }
    nest = add_attribute(&request, IFLA_LINKINFO, NULL, 0);
    add_attribute(&request, IFLA_INFO_KIND, "bridge", strlen("bridge"));
    nest->rta_len = (unsigned short)((char *)&request + request.header.nlmsg_len - (char *)nest);
    return exchange(&request);
}

static int send_up(const char *name)
{
    LinkRequest request;

    start_request(&request, RTM_NEWLINK, 0);
    request.info.ifi_flags = IFF_UP;
    request.info.ifi_change = IFF_UP;
    add_attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
    return exchange(&request);
}

/* --- the bridge ------------------------------------------------------------------------------ */

/* A kernel without that protocol has no such file: nothing to switch off then. */
static void write_sysctl(const char *protocol, const char *device, const char *key,
                         const char *value)
{
    g_autofree char *path = g_strdup_printf("/proc/sys/net/%s/conf/%s/%s", protocol, device, key);
    dv_autofd int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        dv_write_all(fd, value, strlen(value), NULL);
}

static bool is_bridge(const char *name)
{
    g_autofree char *path = g_strdup_printf("/sys/class/net/%s/bridge", name);

    return dv_exists(path);
}

bool priv_bridge_create(const char *name, int mtu, GError **err)
{
    int error;

    if (!check_name(name, err))
        return false;
    if (is_bridge(name))
        return true;
    error = send_new_bridge(name, mtu);
    if (error == EEXIST) /* made by the L2 agent meanwhile, or something else */
        return is_bridge(name) ||
               dv_fail(err, DV_E_CONFLICT, "network device %s is there and is no bridge", name);
    if (error == 0) {
        write_sysctl("ipv6", name, "disable_ipv6", "1");
        write_sysctl("ipv4", name, "arp_ignore", "1");
        write_sysctl("ipv4", name, "arp_announce", "2");
        error = send_up(name);
    }
    return error == 0 || dv_fail_errno(err, error, "creating bridge", name);
}

bool priv_link_delete(const char *name, GError **err)
{
    LinkRequest request;
    int error;

    if (!check_name(name, err))
        return false;
    start_request(&request, RTM_DELLINK, 0);
    add_attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
    error = exchange(&request);
    return error == 0 || error == ENODEV || dv_fail_errno(err, error, "deleting device", name);
}

bool priv_chown(const char *path, uid_t uid, gid_t gid, GError **err)
{
    return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW) == 0 ||
           dv_fail_errno(err, errno, "changing the owner of", path);
}
