/* Taking a snapshot: the root disk of an instance as an image in glance. What a snapshot, a backup
 * and a shelve have in common; nova's driver.snapshot.
 *
 * A running guest goes on while its disk is copied, unless the configuration says otherwise: then
 * its memory is saved, and it comes back from there. The image's record is there already.
 *
 * Errors     DV_E_INSTANCE_NOT_RUNNING: there is no such guest here; DV_E_INSTANCE_NOT_FOUND,
 *            DV_E_DELETING, DV_E_UNEXPECTED_TASK_STATE: the instance went, or is going;
 *            DV_E_IMAGE_NOT_FOUND; DV_E_CANCELLED: the agent is stopping; those of glance.h,
 * disks.h and driver.h. The guest is then as it was before, and the image as far as it got. Threads
 * on the operation's worker, which it blocks for as long as the copy and the upload take. Sources
 * nova virt/libvirt/driver.py snapshot, _live_snapshot (Zed); docs/wire/flows.md. */
#pragma once

#include "agent/agent.h"

/* The task states that the instance goes through. `task` NULL: its task state stays. */
typedef struct SnapshotTask {
    const char *start, *pending, *uploading;
} SnapshotTask;

bool snapshot_take(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *image_id,
                   const SnapshotTask *task, GError **err);
/* Ends what a crash of the agent has left of a snapshot: a copy under way, frozen file systems, a
 * guest that was saved for it, files. Failures are logged. */
void snapshot_clean_up(Agent *agent, const DvCtx *ctx, Ovo *instance);
/* Deletes an image that is not to become a snapshot any more; failures are logged. `unless_active`:
 * not when it has its data after all. */
void snapshot_forget_image(Agent *agent, const DvCtx *ctx, const char *image_id,
                           bool unless_active);
