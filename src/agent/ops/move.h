/* What the operations of a resize have in common: the migration record, the flavors that the
 * instance carries while it moves, its allocations, and the casts between the two sides.
 *
 * A resize runs on two sides that are one host only when the operator allows it: the destination
 * (resize_dest.c: prep_resize, finish_resize, revert_resize) and the source (resize_source.c:
 * resize_instance, confirm_resize, finish_revert_resize). They meet only in messages, in the
 * records, and in the instance directory.
 *
 * Threads    on the operation's worker.
 * Sources    nova compute/manager.py (Zed); docs/wire/flows.md. */
#pragma once

#include "agent/dispatch.h"

typedef struct Move {
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin;
    const Ovo *args;
    Ovo *instance;  /* borrowed from the call */
    Ovo *migration; /* owned */
    const char *uuid;
    char *old_state; /* vm_state when the request came */
} Move;

/* False when the request has no instance or no migration. */
bool move_init(Move *move, const OpCall *call, GError **err);
void move_done(Move *move);

/* Both sides are this host; else DV_E_MIGRATION_PRECHECK. */
bool move_is_local(const Move *move, GError **err);
bool move_status(Move *move, const char *status, GError **err);
/* The migration's status becomes error; troubles are logged. */
void move_failed(Move *move);

/* The flavor's figures become the instance's, unsaved. */
void move_set_flavor(Ovo *instance, const Ovo *flavor);
/* The swap disk's mapping follows the flavor: made, resized or removed. */
bool move_set_swap(Move *move, const Ovo *flavor, GError **err);
/* The instance forgets old_flavor, new_flavor and old_vm_state; saved. */
bool move_forget_flavors(Move *move, GError **err);
/* vm_state before the resize; active where nobody wrote it down. */
const char *move_old_state(const Move *move);

/* What the migration holds in placement becomes the instance's again. Nothing held: logged. */
bool move_revert_allocation(Move *move, GError **err);
/* The migration holds nothing any more. */
bool move_drop_allocation(Move *move, GError **err);

/* Takes away what the instance's ports have on this host: its guest is off or gone. */
void move_unplug(const Move *move);

/* Casts `method` to a compute host with instance, migration, request_spec of this request, and
 * `more` (a dict, taken; may be NULL). */
bool move_cast(Move *move, const char *host, const char *method, Ovo *more, GError **err);
