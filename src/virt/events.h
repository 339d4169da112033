/* What happened to a guest, as the driver reports it.
 *
 * Threads    the sink is called on the driver's event thread and must not block: copy and post. */
#pragma once

#include "virt/guest_state.h"

typedef enum {
    GUEST_EVENT_STARTED,
    GUEST_EVENT_STOPPED,
    GUEST_EVENT_PAUSED,
    GUEST_EVENT_RESUMED,
    GUEST_EVENT_SUSPENDED,
    GUEST_EVENT_CRASHED,
    GUEST_EVENT_UNDEFINED,
    /* Of a migration; none says that somebody paused or stopped the guest. Where it runs on
     * afterwards, at the destination or here again, GUEST_EVENT_RESUMED says "migrated". */
    GUEST_EVENT_INCOMING,           /* a guest is being received here; it does not run yet */
    GUEST_EVENT_POSTCOPY_STARTED,   /* it left: it runs at the destination, memory follows */
    GUEST_EVENT_MIGRATION_SWITCHES, /* its CPUs stopped here to go on at the destination */
    GUEST_EVENT_MOVED_AWAY,         /* the migration is over, the guest is not here any more */
} GuestEventKind;

typedef struct GuestEvent {
    char uuid[37];
    GuestEventKind kind;
    const char *detail; /* libvirt's word for the cause, static */
} GuestEvent;

typedef void (*GuestEventFn)(void *self, const GuestEvent *event);
