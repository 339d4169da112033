/* libvirt's events: what happens to guests, translated and handed to the driver's sink; the end of
 * a device's removal and the progress of a migration, handed to whoever waits for it.
 *
 * Threads    the sink runs on libvirt-ev; virt_events_set_sink from any thread, and once it has
 *            returned the old sink is not running any more. The waits from any thread; only
 *            device_wait and move_wait block, until their deadline. */
#pragma once

#include <stdint.h>

#include "virt/events.h"
#include "virt/libvirt/handles.h"
#include "virt/migration.h"

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

/* ---- migrations from here ---- */

/* What was heard of one guest's migration. Survives a reopened connection. */
typedef struct MoveWait MoveWait;

typedef struct MoveNews {
    unsigned iterations; /* passes over the guest's memory that began since the last wait */
    bool returned;       /* move_wait_set_returned was called, now or earlier */
} MoveNews;

MoveWait *move_wait_new(VirtEvents *events, const char *uuid);
void move_wait_free(MoveWait *wait);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MoveWait, move_wait_free)
/* Waits until something new is heard, or `timeout_ms`. */
void move_wait(MoveWait *wait, int64_t timeout_ms, MoveNews *out);
/* Wakes the waiter: the call that it waits for has returned. */
void move_wait_set_returned(MoveWait *wait);
/* Notes for all waits of the guest that somebody ended its migration. */
void move_waits_cancel(VirtEvents *events, const char *uuid);
bool move_wait_cancelled(MoveWait *wait);
/* libvirt said that the guest is off here because it has moved. */
bool move_wait_left(MoveWait *wait);
/* The migration is over, and how; false: libvirt has not said so. */
bool move_wait_end(MoveWait *wait, VirtJob *out);
