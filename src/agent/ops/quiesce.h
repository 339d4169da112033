/* Whether the file systems of an instance can, and have to, be frozen for a snapshot.
 *
 * Sources    nova virt/libvirt/driver.py _can_quiesce, _requires_quiesce (Zed). */
#pragma once

#include "objects/ovo.h"

/* The image says that there is a guest agent; else DV_E_GUEST_AGENT_DISABLED. */
bool quiesce_check(const Ovo *instance, GError **err);
/* The image says that a snapshot without it is none. */
bool quiesce_required(const Ovo *instance);
