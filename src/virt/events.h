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
} GuestEventKind;

typedef struct GuestEvent {
    char uuid[37];
    GuestEventKind kind;
    const char *detail; /* libvirt's word for the cause, static */
} GuestEvent;

typedef void (*GuestEventFn)(void *self, const GuestEvent *event);
