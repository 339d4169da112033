/* libvirt's lifecycle events, translated and handed to the driver's sink.
 *
 * Threads    the sink runs on libvirt-ev; virt_events_set_sink from any thread, and once it has
 *            returned the old sink is not running any more. */
#pragma once

#include "virt/events.h"
#include "virt/libvirt/handles.h"

typedef struct VirtEvents VirtEvents;

/* Reference counted: a registration holds one until libvirt has forgotten it, which may be after
 * the connection was closed. */
VirtEvents *virt_events_new(void);
void virt_events_unref(VirtEvents *events);
void virt_events_set_sink(VirtEvents *events, GuestEventFn sink, void *arg);
/* Registers on a fresh connection; the registration ends with the connection. */
void virt_events_register(VirtEvents *events, virConnectPtr conn);
