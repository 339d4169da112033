/* Moves between hosts that an agent's death has interrupted, at whichever side it was.
 *
 * What is found at the start (an instance in the middle of a move, a migration in progress that
 * names this host, a guest that is no instance's of this host, disks set aside for a resize) is
 * looked at in the instance's lane: its record, its newest migration, and what the hypervisor says.
 * One table says what then happens: a move is gone on with, or taken back, or left to the other
 * side. Where a request that does the same may still be under way, it is looked at a second time
 * some seconds later first. Live migrations are in recovery_live.c.
 *
 * nova takes back what it finds in resize_prep and resize_migrating, and leaves the rest in its
 * task state for ever.
 *
 * Threads    the start thread; recovery_live_later from any. Neither blocks, the work runs on
 * workers. Sources    nova compute/manager.py _init_instance, _reset_live_migration (Zed). */
#pragma once

#include "agent/agent.h"

/* Before recovery_moves: it is to look at this instance's move, too. Again: nothing. */
void recovery_moves_note(Agent *agent, const char *instance_uuid);
/* After the first audit: looks at those that were noted, at the migrations in progress, and at the
 * disks that are set aside here. */
void recovery_moves(Agent *agent, const DvCtx *ctx);
/* Looks at a live migration again after a pause; at no other move that the instance may be in by
 * then. */
void recovery_live_later(Agent *agent, const DvCtx *ctx, const char *instance_uuid);
