/* Service start: the control plane's release, our service record, and the builds that an earlier
 * run lost. What it left of instances that are ours is in recovery.h.
 *
 * Threads    main, before requests are consumed.
 * Sources    nova service.py, compute/manager.py init_host, _init_instance (Zed);
 * docs/wire/flows.md. */
#pragma once

#include "agent/agent.h"

/* The control plane may have been upgraded, and placement may have been changed by hand: its
 * release is found anew, and the next audit reads the provider again. Any thread; blocks on RPC.
 * Failures are logged, and the old release stays. */
void startup_refresh(Agent *agent);
/* Waits for conductor (for ever, unless stopping), finds the release, checks the minimum service
 * version, reads or creates the service record. *out_service is the caller's. */
bool startup_register(Agent *agent, const DvCtx *ctx, Ovo **out_service, GError **err);
/* What comes between the service record and the first request, in nova's order: what an earlier run
 * left is recovered, the host is audited, the gate opens, and the scheduler is told which instances
 * are here. Fails when the agent cannot serve. */
bool startup_open(Agent *agent, const DvCtx *ctx, GError **err);
/* Instances that the scheduler gave to this host and that died with the agent before they were
 * claimed: they have an allocation here and no host. They are set to error, as nova does. After the
 * first audit. Failures are logged. */
void startup_recover_unclaimed(Agent *agent, const DvCtx *ctx);
