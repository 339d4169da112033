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
/* How many calls of `op` are held. */
unsigned fake_virt_held(FakeVirt *fake, const char *op);
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
/* The value that the state of the guest's TPM is under; NULL: there is none. Caller frees. */
char *fake_virt_tpm(FakeVirt *fake, const char *uuid);
/* What was done to the guest: how many NMIs it got, "user:password" of the last password (NULL:
 * none; caller frees). */
unsigned fake_virt_nmis(FakeVirt *fake, const char *uuid);
char *fake_virt_password(FakeVirt *fake, const char *uuid);

/* ---- migrations ---- */

typedef enum {
    FAKE_MIGRATION_COMPLETES,
    FAKE_MIGRATION_FAILS,   /* the guest stays */
    FAKE_MIGRATION_STAYS,   /* the last pass is repeated until the guest is paused, post-copy is
                               started, the allowed downtime is what the pass expects, or it is
                               cancelled */
    FAKE_MIGRATION_BREAKS,  /* in post-copy the destination is lost; as STAYS until then */
    FAKE_MIGRATION_FORGETS, /* at the switch the hypervisor here is lost, and knows nothing when it
                               is back: the guest stands still here, and runs at the destination */
    FAKE_MIGRATION_FORGETS_HERE, /* the same, and it is not at the destination */
    FAKE_MIGRATION_FORGETS_HALF, /* the same, and it is there as it came in, not whole */
} FakeMigrationEnd;

/* How migrations from a hypervisor go. Zeroed: one pass, and the guest is there. */
typedef struct FakeMigration {
    const VirtJob *jobs; /* what each pass reports; states and iterations are filled in */
    unsigned job_count;  /* 0: one pass of nothing */
    uint64_t pass_ms;  /* by which elapsed_ms grows when the last pass is repeated; no real time */
    bool cancel_fails; /* one that is cancelled ends as failed, as libvirt's do now and then */
    FakeMigrationEnd end;
} FakeMigration;

/* Migrations from `fake` whose dest_uri names `address` go to `peer`, which must outlive it. */
void fake_virt_add_peer(FakeVirt *fake, const char *address, FakeVirt *peer);
/* How migrations from now on go. Copies. Each pass is also an operation "iteration" of the source
 * and the last moment an operation "switch": they may be held, counted, and failed: then the
 * migration fails with that code (DV_E_UNAVAILABLE: only the call fails, the migration waits for
 * the next migrate_watch). Away hypervisors fail it as dead ones do. */
void fake_virt_plan_migration(FakeVirt *fake, const FakeMigration *plan);
/* A migration that an earlier run of the agent began. */
void fake_virt_begin_migration(FakeVirt *fake, const char *uuid, const VirtMigration *migration);
/* What the last migration was asked: "qemu+tcp://b/system tcp://b disks=vda,vdb bandwidth=8
 * connections=2 tls post_copy"; NULL: there was none. Caller frees. */
char *fake_virt_last_migration(FakeVirt *fake);
/* Of the migration under way; 0 where nothing was set. */
uint64_t fake_virt_max_downtime(FakeVirt *fake, const char *uuid);
uint64_t fake_virt_bandwidth(FakeVirt *fake, const char *uuid);

/* ---- files to and from other hosts ---- */

/* Another host for send_files and its like: `other` is what runs there, and what this side calls
 * folder `here` lies in `there`. Other URIs lead nowhere. */
void fake_virt_add_host(FakeVirt *fake, const char *uri, FakeVirt *other, const char *here,
                        const char *there);
/* How much room that host has; any, unless told. */
void fake_virt_set_room(FakeVirt *fake, const char *uri, uint64_t free_bytes);
