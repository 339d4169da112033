/* Periodic looks for what should not be here any more: soft-deleted servers whose time is over,
 * guests and files of servers that are deleted, builds and reboots that do not end, console tokens
 * nobody can use.
 *
 * What changes a server runs in its lane and looks at it again when its turn comes.
 * Threads    on the periodic worker.
 * Sources    nova compute/manager.py _reclaim_queued_deletes, _check_instance_build_time,
 *            _poll_rebooting_instances, _cleanup_running_deleted_instances, _run_pending_deletes,
 *            _cleanup_incomplete_migrations, _cleanup_expired_console_auth_tokens (Zed). */
#pragma once

#include "agent/agent.h"

/* Deletes servers that were soft-deleted reclaim_instance_interval seconds ago. 0: nothing. */
bool cleanup_reclaim(Agent *agent, const DvCtx *ctx, GError **err);
/* Sets builds to error that are older than instance_build_timeout seconds. 0: nothing. */
bool cleanup_stuck_builds(Agent *agent, const DvCtx *ctx, GError **err);
/* Reports reboots that have gone on for reboot_timeout seconds; nova's libvirt driver does nothing
 * with them either. 0: nothing. */
bool cleanup_stuck_reboots(Agent *agent, const DvCtx *ctx, GError **err);
/* Guests whose server is deleted: running_deleted_instance_action. */
bool cleanup_running_deleted(Agent *agent, const DvCtx *ctx, GError **err);
/* Files of deleted servers that could not be removed, maximum_instance_delete_attempts times. */
bool cleanup_pending_deletes(Agent *agent, const DvCtx *ctx, GError **err);
/* Files of servers that were deleted while a move of theirs, from or to here, was in error: the
 * delete took those of the other host. */
bool cleanup_incomplete_migrations(Agent *agent, const DvCtx *ctx, GError **err);
/* Console tokens that are not valid any more, of all hosts. */
bool cleanup_console_tokens(Agent *agent, const DvCtx *ctx, GError **err);
