/* A guest made anew from what its instance is: a hard reboot, a start, a restore, the state after a
 * host's boot, and the end of what had changed the guest for a while (rescue, resize).
 *
 * Everything but the disks is torn down and made again, so that it mends what it can. What the
 * instance wants is found out before the old guest is ended: one that this host cannot make again
 * goes on as it is.
 *
 * Errors     those of guest_spec.h, virt/disk/disks.h, virt/driver.h; DV_E_VIF_PLUG. After a failed
 *            start no guest is defined; the disks are never touched.
 * Threads    on the operation's worker.
 * Sources    nova virt/libvirt/driver.py _hard_reboot, _create_guest_with_network (Zed). */
#pragma once

#include "agent/agent.h"

typedef enum RelaunchFlags {
    /* The network info that the instance carries; else neutron is asked, and the cache stored. */
    RELAUNCH_CACHED_NETWORKS = 1 << 0,
    /* Waits for ports that are not active, as a boot does. Else only for the kinds of port that
     * [workarounds] wait_for_vif_plugged_event_during_hard_reboot names. */
    RELAUNCH_WAIT_PLUGGED = 1 << 1,
    /* The guest is defined and stays off. */
    RELAUNCH_OFF = 1 << 2,
} RelaunchFlags;

/* What `instance` lacks is read and put into it; it is not saved, and its states are the caller's.
 * `flags` of RelaunchFlags. */
bool guest_relaunch(Agent *agent, const DvCtx *ctx, Ovo *instance, unsigned flags, GError **err);
