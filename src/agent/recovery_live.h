/* Live migrations that an agent's death has interrupted; rows of recovery_moves.c.
 *
 * The hypervisors are asked where the guest is, never the records: libvirt carries a migration on
 * without the agent that began it, so that by now it may run, be over, or never have begun.
 *
 * Threads    on workers; recovery_live_adopt returns at once, its work runs in POOL_MIGRATE.
 * Sources    nova compute/manager.py _reset_live_migration (Zed), which aborts what it finds. */
#pragma once

#include "agent/recovery_moves_priv.h"

/* The source's side: watches the migration to its end, or takes back what never began. */
bool recovery_live_adopt(Interrupted *move, GError **err);
/* The same when conductor may still be looking for a destination: only once it is old. */
bool recovery_live_accepted(Interrupted *move, GError **err);
/* The destination's side: the guest runs here and the source has said that it is done, or will not
 * say so any more. */
bool recovery_live_take_over(Interrupted *move, GError **err);
/* Its record names this host already: what is left of taking it over. */
bool recovery_live_settle(Interrupted *move, GError **err);
