/* What the operations of a resize have in common: the migration record, the flavors that the
 * instance carries while it moves, its allocations, and the casts between the two sides.
 *
 * A resize or cold migration has two sides, which may be one host, and each of which may be drover
 * or nova-compute: the destination (resize_dest.c: prep_resize, finish_resize) and the source
 * (resize_source.c: resize_instance). What ends it is in resize_confirm.c (source) and
 * resize_revert.c (revert_resize at the destination, finish_revert_resize at the source). They meet
 * only in messages, in the records, and in the instance directory.
 *
 * Threads    on the operation's worker.
 * Sources    nova compute/manager.py (Zed); docs/wire/flows.md. */
#pragma once

#include "agent/dispatch.h"
#include "agent/notify.h"
#include "agent/ops/spawn.h"

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

/* Source and destination are one host. */
bool move_same_host(const Move *move);
/* Where the destination is reached: the address that it wrote into the migration, else its name. */
const char *move_address(const Move *move);
bool move_status(Move *move, const char *status, GError **err);
/* The migration's status becomes error; troubles are logged. */
void move_failed(Move *move);

/* The operation failed where there is no way back: the migration and the instance say error. */
void move_broken(Move *move, const OpCall *call, const GError *cause);

/* The record as it is now, instead of the request's: the caller's. */
bool move_reread(const Move *move, Ovo **out, GError **err);

/* The flavor's figures become the instance's, unsaved. */
void move_set_flavor(Ovo *instance, const Ovo *flavor);
/* Whether this host could make the guest with that flavor at all, asked before the source stops
 * it. */
bool move_check_guest(const Move *move, const Ovo *flavor, GError **err);
/* The swap disk's mapping follows the flavor: made, resized or removed. */
bool move_set_swap(Move *move, const Ovo *flavor, GError **err);
/* The instance forgets old_flavor, new_flavor and old_vm_state; saved. */
bool move_forget_flavors(Move *move, GError **err);
/* vm_state before the resize; active where nobody wrote it down. */
const char *move_old_state(const Move *move);

/* The instance is the source's again, with its old flavor and the swap disk of that; saved. The
 * task state is resize_reverting. */
bool move_return(Move *move, GError **err);

/* Describes the guest at the destination and names its devices: spawn_spec and spawn_name_devices.
 * The caller has set the image and the network in `spawn`, this sets the rest. *out_bdms, borrowed
 * by spawn, is the caller's, also on failure. */
bool move_spec(const Move *move, Spawn *spawn, Ovo **out_bdms, GError **err);

/* What the migration holds in placement becomes the instance's again. Nothing held: logged. */
bool move_revert_allocation(Move *move, GError **err);
/* The migration holds nothing any more. */
bool move_drop_allocation(Move *move, GError **err);

/* Makes the bindings of the instance's ports on `host` the active ones, where conductor has made
 * some; most moves have none, and bind the ports when they arrive. */
bool move_activate_ports(const Move *move, const char *host, GError **err);

/* Of the destination's preparation, with the flavor to be. */
void move_notify_prep(Move *move, const Ovo *flavor, NotifyPhase phase);
/* A notification with the addresses of an instance on the move. */
void move_notify(Move *move, NotifyAction action, NotifyPhase phase);

/* Takes away what the instance's ports have on this host: its guest is off or gone. */
void move_unplug(const Move *move);

/* Casts `method` to a compute host with instance, migration, request_spec of this request, and
 * `more` (a dict, taken; may be NULL). */
bool move_cast(Move *move, const char *host, const char *method, Ovo *more, GError **err);
