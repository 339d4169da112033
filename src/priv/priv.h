/* The closed list of things that need root, and nothing else. First in-process; later served by a
 * small helper that keeps root while the agent gives it up. Callers do not notice.
 *
 * Threads    any; calls block on the kernel only. */
#pragma once

#include "util/error.h"

#include <sys/types.h>

/* Creates a bridge device and sets it up as os-vif does: no STP, no IPv6 of its own, answering ARP
 * only for its own addresses. mtu 0: the kernel follows the smallest port. A bridge of that name
 * there already: success, untouched; another kind of device: DV_E_CONFLICT. */
bool priv_bridge_create(const char *name, int mtu, GError **err);
/* Deletes a network device; absent: success. Names are 1 to 15 characters without '/' or blanks. */
bool priv_link_delete(const char *name, GError **err);
/* chown by path without following links. */
bool priv_chown(const char *path, uid_t uid, gid_t gid, GError **err);
