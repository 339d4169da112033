/* The closed list of things that need root, and nothing else. First in-process; later served by a
 * small helper that keeps root while the agent gives it up. Callers do not notice.
 *
 * Threads    any; calls block on the kernel only. */
#pragma once

#include "util/error.h"

#include <sys/types.h>

/* DV_E_BAD_INPUT: not a name that a network device may have, 1 to 15 characters without '/', ':' or
 * blanks. All functions below check the names they get. */
bool priv_check_name(const char *name, GError **err);
/* Creates a bridge device and sets it up as os-vif does: no STP, no IPv6 of its own, answering ARP
 * only for its own addresses. mtu 0: the kernel follows the smallest port. A bridge of that name
 * there already: success, untouched; another kind of device: DV_E_CONFLICT. */
bool priv_bridge_create(const char *name, int mtu, GError **err);
/* A bridge as above that learns no addresses: what comes in by one port goes out by all others.
 * Also on a bridge that is there it is up, and IPv6 is off. */
bool priv_bridge_create_flooding(const char *name, GError **err);
/* A pair of devices that are each other's cable, both up and promiscuous; devices of these names
 * are deleted before. mtu 0: the kernel's. */
bool priv_veth_create(const char *name, const char *peer, int mtu, GError **err);
/* Makes a device a port of a kernel bridge. */
bool priv_link_enslave(const char *name, const char *bridge, GError **err);
bool priv_link_set_mtu(const char *name, int mtu, GError **err);
bool priv_link_exists(const char *name);
/* Deletes a network device; absent: success. */
bool priv_link_delete(const char *name, GError **err);
/* Open vSwitch, through ovs-vsctl on its default socket, which libvirt uses as well; ovs.c. Nothing
 * waits for ovs-vswitchd. DV_E_IO: what ovs-vsctl said; DV_E_TIMEOUT: its database does not answer.
 */
typedef struct PrivOvsPort {
    const char *bridge, *name;
    const char *iface_id, *mac, *vm_uuid; /* for the interface's external_ids */
} PrivOvsPort;
/* datapath_type NULL: OVS's default. A bridge that is there: success, untouched. */
bool priv_ovs_bridge_create(const char *name, const char *datapath_type, GError **err);
bool priv_ovs_bridge_delete(const char *name, GError **err); /* absent: success */
/* Adds the port, or sets it anew where it is; the device may come later. */
bool priv_ovs_port_add(const PrivOvsPort *port, GError **err);
bool priv_ovs_port_delete(const char *name, GError **err); /* absent: success */
/* chown by path without following links. */
bool priv_chown(const char *path, uid_t uid, gid_t gid, GError **err);
