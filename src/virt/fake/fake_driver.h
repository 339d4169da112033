/* Steering the in-memory hypervisor of virt_fake_new: what a test says happens, happens.
 *
 * Operations are named as in VirtOps: "start", "destroy", "console_output" ...
 * Events     are delivered before the call that causes them returns, on the caller's thread.
 * Threads    any. */
#pragma once

#include "virt/driver.h"

typedef struct FakeVirt FakeVirt;

/* The fake behind a driver of virt_fake_new. */
FakeVirt *fake_virt(VirtDriver *driver);

/* The next `times` calls of `op` fail with `code`; G_MAXUINT: all. A failing start leaves nothing
 * behind, a failing destroy leaves the guest as it was. */
void fake_virt_fail(FakeVirt *fake, const char *op, DvErrorCode code, unsigned times);
/* Calls of `op` wait, before they do anything, until released (a call that waits fails with
 * DV_E_UNAVAILABLE when the driver is freed). */
void fake_virt_hold(FakeVirt *fake, const char *op);
void fake_virt_release(FakeVirt *fake, const char *op);
/* Waits until a call of `op` is held; false after `timeout_ms`. */
bool fake_virt_wait_held(FakeVirt *fake, const char *op, int64_t timeout_ms);
/* How often `op` was called. */
unsigned fake_virt_calls(FakeVirt *fake, const char *op);
/* Away: everything that would ask the hypervisor fails with DV_E_UNAVAILABLE. */
void fake_virt_set_connected(FakeVirt *fake, bool connected);

/* What happens to a guest without us: its state changes and the event is sent. */
void fake_virt_guest_does(FakeVirt *fake, const char *uuid, GuestEventKind kind,
                          const char *detail);
/* A guest that an earlier run of the agent left. */
void fake_virt_add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state);
void fake_virt_set_console(FakeVirt *fake, const char *uuid, const char *text);
/* Whether the guest does nothing when it is asked to shut down. Guests react unless told. */
void fake_virt_ignore_shutdown(FakeVirt *fake, const char *uuid, bool ignores);
/* Whether a guest agent answers in the guest; as the spec says unless told. */
void fake_virt_set_agent(FakeVirt *fake, const char *uuid, bool answers);
bool fake_virt_is_frozen(FakeVirt *fake, const char *uuid);
/* Whether a copy of one of its disks is under way. */
bool fake_virt_is_copied(FakeVirt *fake, const char *uuid);
/* Copies `facts`. */
void fake_virt_set_facts(FakeVirt *fake, const HostFacts *facts);
unsigned fake_virt_guest_count(FakeVirt *fake);
/* What was done to the guest: how many NMIs it got, "user:password" of the last password (NULL:
 * none; caller frees). */
unsigned fake_virt_nmis(FakeVirt *fake, const char *uuid);
char *fake_virt_password(FakeVirt *fake, const char *uuid);
/* Another host for send_files and its like: `other` is what runs there, and what this side calls
 * folder `here` lies in `there`. Other URIs lead nowhere. */
void fake_virt_add_host(FakeVirt *fake, const char *uri, FakeVirt *other, const char *here,
                        const char *there);
/* How much room that host has; any, unless told. */
void fake_virt_set_room(FakeVirt *fake, const char *uri, uint64_t free_bytes);
