/* What the files of the hypervisor in memory share; not for anybody outside this folder.
 *
 * driver.c    the object, listing, starting, ending     power.c    turning guests on and off
 * steer.c     what tests say
 *
 * Threads    fake_enter takes the lock when it returns true, fake_leave and fake_not_there give it
 *            back; events are sent without it. */
#pragma once

#include "util/clock.h"
#include "util/thread.h"
#include "virt/fake/fake_driver.h"

typedef struct FakeGuest {
    char *uuid, *name, *console, *vnc_listen;
    GuestState state;
    int vnc_port;
    bool saved;   /* has a managed save */
    bool ignores; /* does not react to ACPI */
} FakeGuest;

/* What a test said about one operation. */
typedef struct FakeOp {
    unsigned calls, failures_left, held_now;
    DvErrorCode code;
    bool hold;
} FakeOp;

struct FakeVirt {
    DvMutex lock;
    DvCond changed;
    GHashTable *guests DV_GUARDED_BY(lock); /* uuid -> FakeGuest */
    GHashTable *ops DV_GUARDED_BY(lock);    /* name -> FakeOp */
    HostFacts *facts DV_GUARDED_BY(lock);
    GuestEventFn sink DV_GUARDED_BY(lock);
    void *sink_arg DV_GUARDED_BY(lock);
    int next_vnc_port DV_GUARDED_BY(lock);
    bool connected DV_GUARDED_BY(lock);
    bool stopping DV_GUARDED_BY(lock);
};

FakeOp *fake_op_of(FakeVirt *fake, const char *name) DV_REQUIRES(fake->lock);
/* Every operation starts with it and goes on, with the lock, when it says so. */
bool fake_enter(FakeVirt *fake, const char *name, GError **err);
void fake_leave(FakeVirt *fake);
/* Leaves, and fails. */
bool fake_not_there(FakeVirt *fake, const char *uuid, GError **err);
FakeGuest *fake_find(FakeVirt *fake, const char *uuid) DV_REQUIRES(fake->lock);
FakeGuest *fake_add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state)
    DV_REQUIRES(fake->lock);
bool fake_is_active(const FakeGuest *guest);
/* Without the lock. */
void fake_send_event(FakeVirt *fake, const char *uuid, GuestEventKind kind, const char *detail)
    DV_EXCLUDES(fake->lock);

/* --- power.c */
bool fake_resume(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_shutdown(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_power_off(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_launch(void *self, const DvCtx *ctx, const char *uuid, bool paused, GError **err);
bool fake_pause(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_save(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_define(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
