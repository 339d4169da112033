/* The privileged functions, in-process: rtnetlink for devices, a few files of /proc/sys.
 *
 * Sources    rtnetlink(7); os-vif vif_plug_linux_bridge/linux_net.py, vif_plug_ovs/linux_net.py
 *            and internal/ip/linux for what new devices get. */
#include "priv/priv.h"

#include "util/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_TIMEOUT_S 5

typedef struct LinkRequest {
    struct nlmsghdr header;
    struct ifinfomsg info;
    char attributes[256];
} LinkRequest;

bool priv_check_name(const char *name, GError **err)
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

static void add_name(LinkRequest *request, const char *name)
{
    add_attribute(request, IFLA_IFNAME, name, strlen(name) + 1);
}

static void add_u32(LinkRequest *request, unsigned short type, uint32_t value)
{
    add_attribute(request, type, &value, sizeof(value));
}

/* Ends an attribute that holds all that was added since. */
static void end_nest(LinkRequest *request, struct rtattr *nest)
{
    nest->rta_len = (unsigned short)((char *)request + request->header.nlmsg_len - (char *)nest);
}

static int send_new_bridge(const char *name, int mtu, bool flooding)
{
    LinkRequest request;
    struct rtattr *info;
    struct rtattr *data;
    uint8_t snooping = 0;

    start_request(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    add_name(&request, name);
    if (mtu > 0)
        add_u32(&request, IFLA_MTU, (uint32_t)mtu);
    info = add_attribute(&request, IFLA_LINKINFO, NULL, 0);
    add_attribute(&request, IFLA_INFO_KIND, "bridge", strlen("bridge"));
    data = add_attribute(&request, IFLA_INFO_DATA, NULL, 0);
    add_u32(&request, IFLA_BR_FORWARD_DELAY, 0);
    add_u32(&request, IFLA_BR_STP_STATE, 0);
    add_attribute(&request, IFLA_BR_MCAST_SNOOPING, &snooping, sizeof(snooping));
    if (flooding)
        add_u32(&request, IFLA_BR_AGEING_TIME, 0);
    end_nest(&request, data);
    end_nest(&request, info);
    return exchange(&request);
}

static int send_new_veth(const char *name, const char *peer)
{
    static const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
    LinkRequest request;
    struct rtattr *info;
    struct rtattr *data;
    struct rtattr *other;

    start_request(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    add_name(&request, name);
    info = add_attribute(&request, IFLA_LINKINFO, NULL, 0);
    add_attribute(&request, IFLA_INFO_KIND, "veth", strlen("veth"));
    data = add_attribute(&request, IFLA_INFO_DATA, NULL, 0);
    other = add_attribute(&request, VETH_INFO_PEER, &any, sizeof(any));
    add_name(&request, peer);
    end_nest(&request, other);
    end_nest(&request, data);
    end_nest(&request, info);
    return exchange(&request);
}

static int send_flags(const char *name, unsigned flags)
{
    LinkRequest request;

    start_request(&request, RTM_NEWLINK, 0);
    request.info.ifi_flags = flags;
    request.info.ifi_change = flags;
    add_name(&request, name);
    return exchange(&request);
}

static int send_u32(const char *name, unsigned short type, uint32_t value)
{
    LinkRequest request;

    start_request(&request, RTM_NEWLINK, 0);
    add_name(&request, name);
    add_u32(&request, type, value);
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

/* Answers for nobody but itself, and is up. */
static int set_up_bridge(const char *name)
{
    write_sysctl("ipv6", name, "disable_ipv6", "1");
    write_sysctl("ipv4", name, "arp_ignore", "1");
    write_sysctl("ipv4", name, "arp_announce", "2");
    return send_flags(name, IFF_UP);
}

bool priv_bridge_create(const char *name, int mtu, GError **err)
{
    int error;

    if (!priv_check_name(name, err))
        return false;
    if (is_bridge(name))
        return true;
    error = send_new_bridge(name, mtu, false);
    if (error == EEXIST) /* made by the L2 agent meanwhile, or something else */
        return is_bridge(name) ||
               dv_fail(err, DV_E_CONFLICT, "network device %s is there and is no bridge", name);
    if (error == 0)
        error = set_up_bridge(name);
    return error == 0 || dv_fail_errno(err, error, "creating bridge", name);
}

bool priv_bridge_create_flooding(const char *name, GError **err)
{
    int error;

    if (!priv_check_name(name, err))
        return false;
    error = send_new_bridge(name, 0, true);
    if (error == EEXIST && !is_bridge(name))
        return dv_fail(err, DV_E_CONFLICT, "network device %s is there and is no bridge", name);
    if (error == 0 || error == EEXIST)
        error = set_up_bridge(name);
    return error == 0 || dv_fail_errno(err, error, "creating bridge", name);
}

/* --- other devices --------------------------------------------------------------------------- */

bool priv_veth_create(const char *name, const char *peer, int mtu, GError **err)
{
    const char *const ends[] = {name, peer};
    int error;

    if (!priv_link_delete(name, err) || !priv_link_delete(peer, err))
        return false;
    error = send_new_veth(name, peer);
    for (size_t i = 0; error == 0 && i < G_N_ELEMENTS(ends); i++) {
        error = send_flags(ends[i], IFF_UP | IFF_PROMISC);
        if (error == 0 && mtu > 0)
            error = send_u32(ends[i], IFLA_MTU, (uint32_t)mtu);
    }
    return error == 0 || dv_fail_errno(err, error, "creating device", name);
}

bool priv_link_enslave(const char *name, const char *bridge, GError **err)
{
    unsigned index;
    int error;

    if (!priv_check_name(name, err) || !priv_check_name(bridge, err))
        return false;
    index = if_nametoindex(bridge);
    error = index == 0 ? errno : send_u32(name, IFLA_MASTER, index);
    return error == 0 || dv_fail_errno(err, error, "adding to its bridge device", name);
}

bool priv_link_set_mtu(const char *name, int mtu, GError **err)
{
    int error;

    if (!priv_check_name(name, err))
        return false;
    error = send_u32(name, IFLA_MTU, (uint32_t)mtu);
    return error == 0 || dv_fail_errno(err, error, "setting the MTU of device", name);
}

bool priv_link_exists(const char *name)
{
    return priv_check_name(name, NULL) && if_nametoindex(name) != 0;
}

bool priv_link_delete(const char *name, GError **err)
{
    LinkRequest request;
    int error;

    if (!priv_check_name(name, err))
        return false;
    start_request(&request, RTM_DELLINK, 0);
    add_name(&request, name);
    error = exchange(&request);
    return error == 0 || error == ENODEV || dv_fail_errno(err, error, "deleting device", name);
}

bool priv_chown(const char *path, uid_t uid, gid_t gid, GError **err)
{
    return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW) == 0 ||
           dv_fail_errno(err, errno, "changing the owner of", path);
}
