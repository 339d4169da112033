/* The live migrations from this host: which instance is queued, prepared or under way, and what
 * others want of it while its own worker waits.
 *
 * Ownership  a ticket belongs to the worker that carries the migration out; others name the
 *            instance.
 * Threads    any; live_queue_wait_gone and live_ticket_bind may block, nothing else does. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct LiveQueue LiveQueue;
typedef struct LiveTicket LiveTicket;

/* workers: how many migrations can be under way; 0: any number. */
LiveQueue *live_queue_new(unsigned workers);
/* Nobody holds a ticket any more. */
void live_queue_free(LiveQueue *queue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LiveQueue, live_queue_free)

/* ---- the worker's side ---- */

/* A place for the instance on its way to host `dest`, queued. *out_turn (may be NULL): a worker is
 * free for it, so that nobody will see it wait. DV_E_MIGRATION: it has a place already. */
LiveTicket *live_queue_enter(LiveQueue *queue, const char *instance_uuid, const char *dest,
                             bool *out_turn, GError **err);
/* From queued to preparing. False: it was cancelled while it was queued, and whoever did that has
 * put everything right. */
bool live_ticket_prepare(LiveTicket *ticket);
/* From preparing to running. False: it was cancelled meanwhile, and is to be rolled back. */
bool live_ticket_run(LiveTicket *ticket);
/* Somebody has cancelled it, in whatever phase. */
bool live_ticket_cancelled(LiveTicket *ticket);
/* Somebody wants it to be completed now; told once for each wish. */
bool live_ticket_take_force(LiveTicket *ticket);
/* Gives the place back. */
void live_ticket_leave(LiveTicket *ticket);

/* ---- the others' ---- */

typedef enum {
    LIVE_NONE,      /* no such migration */
    LIVE_QUEUED,    /* it will not begin: the caller puts right what was done for it */
    LIVE_PREPARING, /* its worker will notice and roll it back */
    LIVE_RUNNING,   /* its hypervisor must be asked to end it */
} LivePhase;

/* Cancels the instance's migration; the phase in which it was. */
LivePhase live_queue_cancel(LiveQueue *queue, const char *instance_uuid);
/* False: none is running. */
bool live_queue_force(LiveQueue *queue, const char *instance_uuid);
LivePhase live_queue_phase(LiveQueue *queue, const char *instance_uuid);
/* Where it goes, NULL: no such migration. Caller frees. */
char *live_queue_dest(LiveQueue *queue, const char *instance_uuid);
/* Waits until the instance has no migration any more; false after timeout_ms. */
bool live_queue_wait_gone(LiveQueue *queue, const char *instance_uuid, int64_t timeout_ms);
/* Instances with a migration that is not running yet, NULL-terminated, g_strfreev. */
char **live_queue_waiting(LiveQueue *queue);

/* ---- once for each migration: its ports change hosts ---- */

/* Which they are, as network info text, so that nobody need be asked at that moment. */
void live_ticket_set_ports(LiveTicket *ticket, const char *network_info);
/* NULL: not known, or no such migration. Caller frees. */
char *live_queue_ports(LiveQueue *queue, const char *instance_uuid);
/* True: the caller is the one to do it, and calls live_queue_bound afterwards. False: it is done,
 * or the instance has no running migration; while another does it, this waits. */
bool live_queue_bind(LiveQueue *queue, const char *instance_uuid);
/* ok false: it is still to be done. */
void live_queue_bound(LiveQueue *queue, const char *instance_uuid, bool ok);
