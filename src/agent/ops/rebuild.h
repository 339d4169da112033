/* What a rebuild on the same host (rebuild.c) and an evacuation (evacuate.c) have in common: both
 * come as rebuild_instance, and go through the same states to a guest that is made anew.
 *
 * Functions with a `self` are steps; self points to a Rebuild, or to a struct that begins with one.
 *
 * Threads    on the operation's worker.
 * Sources    nova compute/manager.py rebuild_instance, _do_rebuild_instance, _rebuild_default_impl
 *            (Zed). */
#pragma once

#include "agent/dispatch.h"
#include "agent/notify.h"
#include "agent/ops/spawn.h"

typedef struct Rebuild {
    Agent *agent;
    const DvCtx *ctx; /* with more than the user's rights, as nova does all of it */
    DvCtx *admin;
    const Ovo *args;
    Ovo *instance; /* borrowed from the call */
    Ovo *bdms;
    Ovo *image; /* NULL: what the instance remembers of its image */
    const char *uuid;
    char *old_state; /* vm_state before; "stopped": it is to be stopped again */
    NetworkInfo *network;
    Spawn spawn;
} Rebuild;

void rebuild_init(Rebuild *rebuild, const OpCall *call);
void rebuild_done(Rebuild *rebuild);

/* Fields that the request lacks, the mappings; refuses what neither can do. */
bool rebuild_load(void *self, GError **err);
/* Describes the guest, with the network info that there is. */
bool rebuild_spec(Rebuild *rebuild, GError **err);
/* rebuild.start and instance.exists; never fails. */
bool rebuild_announce(void *self, GError **err);
void rebuild_notify(const Rebuild *rebuild, NotifyPhase phase, const GError *cause);
/* The task state is rebuilding and becomes ours. */
bool rebuild_begin(void *self, GError **err);
/* The mappings get their device names; the task states on the way to the guest. */
bool rebuild_devices(void *self, GError **err);
/* A guest that was made for nothing but its disks need not be asked to power off. */
bool rebuild_stop_again(Rebuild *rebuild, GError **err);

/* evacuate.c: rebuild_instance with recreate. */
bool op_evacuate(const OpCall *call, GError **err);
/* One that an earlier run of this agent began: a guest that got as far as running is taken to the
 * end; else what was made is removed and the evacuation has failed, so that the user can ask again.
 * `instance` and `migration` as they are now. */
bool evacuate_recover(Agent *agent, const DvCtx *ctx, Ovo *instance, Ovo *migration,
                      GuestState guest, GError **err);
/* By its task state. */
bool evacuation_is_under_way(const Ovo *instance);
/* What the instance holds of this host in placement goes; what it holds of others stays. */
bool evacuation_drop_allocation(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err);
