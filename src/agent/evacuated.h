/* Guests of this host that were evacuated while its agent was away.
 *
 * When the agent starts again, the host may still have what another host has made anew: a guest
 * that runs a second time, its disks, its allocation. Each migration record of an evacuation from
 * here is looked at with the instance's record as it is now:
 *
 *   left      the instance is on another host: guest, ports, disks that are not shared and the
 *             allocation go, the migration is completed;
 *   leaving   another host is making it just now: the guest goes, nothing else yet;
 *   back      it left, and a move is bringing it back just now: only the migration is completed;
 *   stayed    the evacuation failed, or the instance has come back: it is here by right;
 *   deleted   guest and disks go, the migration is completed.
 *
 * nova takes all for `left`, disks aside; a guest that is here by right and has an old record
 * would be lost.
 *
 * Threads    evacuated_leave on the start thread; evacuated_settle on any, its work in the
 *            instances' lanes.
 * Sources    nova compute/manager.py _destroy_evacuated_instances, _is_instance_storage_shared
 *            (Zed). */
#pragma once

#include "agent/agent.h"

/* Before the recovery of instances: ends the guests that must not run here. `guests` are those of
 * this host (uuid -> VirtGuest). *out_elsewhere is the set of uuids that nobody here may touch. */
bool evacuated_leave(Agent *agent, const DvCtx *ctx, GHashTable *guests, GHashTable **out_elsewhere,
                     GError **err);
/* After the audit, and again while some are leaving: what is left of them here, and in the records.
 * Nothing to do: no call. */
bool evacuated_settle(Agent *agent, const DvCtx *ctx, GError **err);
