/* The closed list of things that need root, and nothing else. First in-process; later served by a
 * small helper that keeps root while the agent gives it up. Callers do not notice.
 *
 * Threads    any; calls block on the kernel only. */
#pragma once

#include "util/error.h"

#include <sys/types.h>

/* Creates a bridge device (up, without STP, no IPv6 autoconf, with multicast snooping off as nova's
 * os-vif does); there already: success. */
bool priv_bridge_create(const char *name, int mtu, GError **err);
/* Deletes a network device; absent: success. */
bool priv_link_delete(const char *name, GError **err);
/* chown by path without following links. */
bool priv_chown(const char *path, uid_t uid, gid_t gid, GError **err);
