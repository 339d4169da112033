/* libvirt's events: what happens to guests, translated and handed to the driver's sink, and the end
 * of a device's removal, handed to whoever waits for it.
 *
 * Threads    the sink runs on libvirt-ev; virt_events_set_sink from any thread, and once it has
 *            returned the old sink is not running any more. The waits from any thread; only
 *            device_wait blocks, until its deadline. */
#pragma once

#include <stdint.h>

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

/* ---- removals of devices ---- */

typedef enum {
    DEVICE_PENDING,      /* nothing was heard yet */
    DEVICE_REMOVED,      /* the guest has let it go */
    DEVICE_NOT_REMOVED,  /* the guest refuses, for good */
    DEVICE_GUEST_STOPPED /* the guest ended meanwhile, and its devices with it */
} DeviceFate;

typedef struct DeviceWait DeviceWait;

/* Registers for the device `alias` ("net1"). Before the removal is asked for: an event without a
 * waiter is lost. */
DeviceWait *device_wait_new(VirtEvents *events, const char *uuid, const char *alias);
void device_wait_free(DeviceWait *wait);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeviceWait, device_wait_free)
/* Waits for the end of the removal; DEVICE_PENDING after `timeout_ms`. */
DeviceFate device_wait(DeviceWait *wait, int64_t timeout_ms);
