/* What the operations of a live migration have in common; each side's steps are in files of their
 * own:
 *
 *   live_check.c   may it be done? (destination and source, before conductor decides)
 *   live_dest.c    pre_live_migration, post_..., rollback_live_migration_at_destination
 *   live_source.c  live_migration: queue, prepare the destination, begin
 *   live_job.c     the hypervisor's job: watched, judged, helped along
 *   live_end.c     what follows it: live_finish, or live_rollback
 *   live_abort.c   what others want meanwhile: abort, force-complete, delete
 *   live_file.c    what must survive this process
 *
 * Where a guest is, is never concluded from an exception: the hypervisors are asked. From the
 * moment when the guest runs at the destination everything only goes forward.
 *
 * A migration that an earlier process of this host began: read it with live_load, look after the
 * job (live_job with adopt), and end it with live_finish or live_rollback. Both are idempotent:
 * each of their steps looks, or does no harm when it was done before.
 *
 * Threads    one Live belongs to one worker.
 * Sources    nova compute/manager.py, virt/libvirt/driver.py (Zed to 2026.1); docs/wire/flows.md
 *            section 6. */
#pragma once

#include "agent/dispatch.h"
#include "agent/live_queue.h"
#include "objects/migrate_data.h"

/* One live migration, seen from its source. */
typedef struct Live {
    Agent *agent;
    DvCtx *ctx, *admin; /* of the request, with the instance's uuid; admin: elevated */
    Ovo *instance, *migration;
    Ovo *data;    /* LibvirtLiveMigrateData as the destination answered last; NULL: not known */
    Ovo *request; /* dict: block_migration, as it was asked for */
    char *uuid, *dest;
    LiveTicket *ticket;     /* NULL: not from the queue */
    const char *end_status; /* of a migration that is taken back; static */
    bool paused;            /* we have paused the guest so that it is completed */
    bool left;              /* its end has left something behind */
    bool unsaved;           /* the migration's last status, as nobody answered */
} Live;

/* Copies the objects. data may be NULL. */
void live_init(Live *live, Agent *agent, const DvCtx *ctx, const Ovo *instance,
               const Ovo *migration, const Ovo *data, const char *dest);
/* The same from records, and from what an earlier process has kept (live_file.c): without it, data
 * stays NULL. */
bool live_load(Live *live, Agent *agent, const DvCtx *ctx, const Ovo *instance,
               const Ovo *migration, GError **err);
void live_done(Live *live);
void live_free(void *live);
/* Frees one whose worker has ended. What it left undone, because conductor, say, is away for longer
 * than any try, is looked at again as after a start, until nothing is left. */
void live_leave(Live *live);

/* The migration's status, saved. */
bool live_status(Live *live, const char *status, GError **err);

/* ---- live_job.c ---- */

typedef enum {
    LIVE_MOVED,   /* the guest is at the destination, and not here */
    LIVE_STAYED,  /* it is here, as before */
    LIVE_BROKEN,  /* post-copy broke off: part of it here, part of it there */
    LIVE_UNKNOWN, /* nobody can say at present: nothing may be concluded */
} LiveOutcome;

/* Runs the migration, or with `adopt` watches the one that an earlier process began, until it is
 * known where the guest is. *out_cancelled: somebody wanted it to end. why: for LIVE_STAYED and
 * what follows. Blocks as long as it takes. */
LiveOutcome live_job(Live *live, bool adopt, bool *out_cancelled, GError **why);
/* Whether the guest has arrived at the destination, asked of the agent there. Blocks up to a minute
 * and longer where it stands still: one that was still coming does not stay. */
bool live_ask_dest(const Live *live, bool *out_there, GError **err);

/* ---- live_end.c ---- */

/* The guest runs at the destination: ports, disks, records and allocations follow it. Goes on
 * whatever fails; false with the first failure that leaves something behind. */
bool live_finish(Live *live, GError **err);
/* The guest is here: all that was made for its move is taken back, here and at the destination.
 * status: failed, cancelled or error. Likewise. */
bool live_rollback(Live *live, const char *status, GError **err);
/* The migration's last status, saved: with it goes what was kept of it for the next start. */
bool live_ended(Live *live, const char *status, GError **err);
/* Neither can be done: the migration's and the instance's records say error, with a fault. */
void live_broken(Live *live, const GError *why);

/* The destination's bindings of the ports become the active ones; once, whoever comes first. */
bool live_bind_ports(Agent *agent, const DvCtx *ctx, const char *uuid, const NetworkInfo *ports,
                     const char *dest, GError **err);

/* ---- live_check.c ---- */

/* At start: removes the files with which an earlier process of this host has asked whether a source
 * shares the folder of instances. */
void live_check_clean(Agent *agent, const DvCtx *ctx);

/* ---- live_abort.c ---- */

/* The hypervisor says that the guest changes sides just now: its ports follow at once. Queues work,
 * never blocks. */
void live_guest_switches(Agent *agent, const char *instance_uuid);
/* A delete is next in the instance's lane: its live migration is ended, and that is waited for.
 * False: there was none. */
bool live_give_way(Agent *agent, const DvCtx *ctx, const char *instance_uuid);
/* The service stops: migrations that wait for their turn are cancelled. */
void live_cancel_waiting(Agent *agent);

/* ---- live_file.c ---- */

/* <state_path>/live_migrations/<uuid>.json: what the messages brought and no record holds. Written
 * before the destination is asked to prepare itself and again with its answer, removed when the
 * migration's record says that it has ended; of a broken one it stays. */
bool live_file_write(const Live *live, GError **err);
void live_file_remove(const Live *live);
/* *out NULL: there is none, or it is of another migration. */
bool live_file_read(const Agent *agent, const char *uuid, const char *migration_uuid, Ovo **out,
                    GError **err);
