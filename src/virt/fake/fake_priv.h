/* What the files of the hypervisor in memory share; not for anybody outside this folder.
 *
 * driver.c    the object, listing, starting, ending     power.c    turning guests on and off
 * inject.c    what is done to running guests            snapshot.c  copies of disks, freezing
 * steer.c     what tests say                            devices.c  devices and consoles
 * migrate.c   moves between two of them
 * transfer.c  files to and from other fakes
 *
 * Threads    fake_enter and fake_enter_guest take the lock when they succeed, fake_leave gives it
 *            back; events are sent without it. */
#pragma once

#include "util/clock.h"
#include "util/thread.h"
#include "virt/fake/fake_driver.h"

/* A migration under way, at its source. */
typedef struct FakeMove {
    FakeVirt *peer; /* borrowed: the destination */
    char *dest_xml;
    GuestState before; /* the guest's, when it began */
    VirtJob job;       /* as the last pass left it */
    unsigned passes;
    uint64_t max_downtime_ms, bandwidth_mib;
    bool may_post_copy, post_copy_told, cancelled;
} FakeMove;

typedef struct FakeGuest {
    char *uuid, *name, *console, *vnc_listen;
    char *xml; /* of its definition */
    GuestState state;
    int vnc_port;
    char *spice_listen, *serial_host;
    int serial_port;    /* 0: none yet */
    GPtrArray *devices; /* VirtDevice */
    bool saved;         /* has a managed save */
    bool ignores;       /* does not react to ACPI */
    bool agent;         /* has one, which answers */
    char *password;
    unsigned nmis;
    bool frozen;
    char *copied;     /* the disk that a copy is under way of */
    GPtrArray *disks; /* VirtDisk */
    FakeMove *move;   /* NULL: none */
    char *tpm_secret; /* uuid of its TPM's secret; NULL: no TPM */
} FakeGuest;

typedef struct FakeHost FakeHost;

/* What a test said about one operation. */
typedef struct FakeOp {
    unsigned calls, failures_left, held_now;
    DvErrorCode code;
    bool hold, aborted;
} FakeOp;

struct FakeVirt {
    DvMutex lock;
    DvCond changed;
    GHashTable *guests DV_GUARDED_BY(lock); /* uuid -> FakeGuest */
    GHashTable *ops DV_GUARDED_BY(lock);    /* name -> FakeOp */
    GHashTable *hosts DV_GUARDED_BY(lock);  /* URI -> FakeHost, of transfer.c */
    GHashTable *tpms DV_GUARDED_BY(lock);   /* uuid of a guest -> value its TPM's state is under */
    HostFacts *facts DV_GUARDED_BY(lock);
    GuestEventFn sink DV_GUARDED_BY(lock);
    void *sink_arg DV_GUARDED_BY(lock);
    GHashTable *peers DV_GUARDED_BY(lock);  /* address -> FakeVirt, borrowed */
    FakeMigration plan DV_GUARDED_BY(lock); /* its jobs are owned */
    char *last_migration DV_GUARDED_BY(lock);
    int next_vnc_port DV_GUARDED_BY(lock);
    bool connected DV_GUARDED_BY(lock);
    bool stopping DV_GUARDED_BY(lock);
};

FakeOp *fake_op_of(FakeVirt *fake, const char *name) DV_REQUIRES(fake->lock);
/* Every operation starts with it and goes on, with the lock, when it says so. */
bool fake_enter(FakeVirt *fake, const char *name, GError **err);
void fake_leave(FakeVirt *fake);
/* The same of an operation on a guest: NULL, without the lock, also when there is none. */
FakeGuest *fake_enter_guest(FakeVirt *fake, const char *name, const char *uuid, GError **err);
FakeGuest *fake_find(FakeVirt *fake, const char *uuid) DV_REQUIRES(fake->lock);
FakeGuest *fake_add_guest(FakeVirt *fake, const char *uuid, const char *name, GuestState state)
    DV_REQUIRES(fake->lock);
/* Takes the spec for its definition. */
void fake_describe_as(FakeGuest *guest, const GuestSpec *spec);
bool fake_is_active(const FakeGuest *guest);
/* Without the lock. */
void fake_send_event(FakeVirt *fake, const char *uuid, GuestEventKind kind, const char *detail)
    DV_EXCLUDES(fake->lock);

/* --- power.c */
bool fake_resume(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_shutdown(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_power_off(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_launch(void *self, const DvCtx *ctx, const char *uuid, const GuestSecret *secret,
                 bool paused, GError **err);
/* A guest with a TPM starts: its state is made, or can be read. */
bool fake_tpm_start(FakeVirt *fake, const char *uuid, const char *secret_uuid,
                    const GuestSecret *secret, GError **err) DV_REQUIRES(fake->lock);
bool fake_pause(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_save(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_define_xml(void *self, const DvCtx *ctx, const char *uuid, const char *xml, GError **err);
bool fake_define(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);

/* --- devices.c */
/* What the spec says of disks, ports and consoles becomes the guest's. */
void fake_take_devices(FakeVirt *fake, FakeGuest *guest, const GuestSpec *spec)
    DV_REQUIRES(fake->lock);
bool fake_console(void *self, const DvCtx *ctx, const char *uuid, VirtConsoleKind kind,
                  VirtConsole *out, GError **err);
bool fake_attach_nic(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                     GError **err);
bool fake_detach_nic(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                     GError **err);
bool fake_devices(void *self, const DvCtx *ctx, const char *uuid, GPtrArray **out, GError **err);

bool fake_disks(void *self, const char *uuid, GPtrArray **out, GError **err);
bool fake_reserve_serial(void *self, const char *uuid, const char *host, unsigned count,
                         int *out_ports, GError **err);

/* --- migrate.c */
void fake_move_free(FakeMove *move);
/* Ends the guest's migration, when it has one that can be ended: false with err. */
bool fake_move_cancel(FakeVirt *fake, FakeGuest *guest, GError **err) DV_REQUIRES(fake->lock);
bool fake_migrate(void *self, const DvCtx *ctx, const char *uuid, const VirtMigration *migration,
                  const VirtWatch *watch, GError **err);
bool fake_migrate_watch(void *self, const DvCtx *ctx, const char *uuid, const VirtWatch *watch,
                        GError **err);
bool fake_job(void *self, const char *uuid, VirtJob *out, GError **err);
bool fake_post_copy(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_set_max_downtime(void *self, const DvCtx *ctx, const char *uuid, uint64_t downtime_ms,
                           GError **err);
bool fake_set_bandwidth(void *self, const DvCtx *ctx, const char *uuid, uint64_t mib_per_s,
                        GError **err);
bool fake_migration_xml(void *self, const char *uuid, const VirtDestination *destination,
                        char **out, GError **err);
bool fake_compare_cpu(void *self, const DvCtx *ctx, const VirtCpu *cpu, GError **err);

/* --- inject.c */
bool fake_inject_nmi(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_set_password(void *self, const DvCtx *ctx, const char *uuid, const char *user,
                       const char *password, GError **err);
void fake_sync_time(void *self, const DvCtx *ctx, const char *uuid);
bool fake_stats(void *self, const char *uuid, GuestStats **out, GError **err);
bool fake_abort_job(void *self, const DvCtx *ctx, const char *uuid, GError **err);
/* --- snapshot.c */
bool fake_block_copy(void *self, const DvCtx *ctx, const char *uuid, const VirtBlockCopy *copy,
                     GError **err);
bool fake_block_copy_end(void *self, const DvCtx *ctx, const char *uuid, const char *disk_path,
                         GError **err);
bool fake_freeze(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool fake_thaw(void *self, const DvCtx *ctx, const char *uuid, GError **err);

/* --- transfer.c */
GHashTable *fake_hosts_new(void);
bool fake_send_files(void *self, const DvCtx *ctx, const VirtTransfer *what, GError **err);
bool fake_remove_files(void *self, const DvCtx *ctx, const VirtTransfer *what, GError **err);
bool fake_fetch_files(void *self, const DvCtx *ctx, const VirtTransfer *what, GError **err);
bool fake_tpm_save(void *self, const char *uuid, const char *folder, GError **err);
bool fake_tpm_restore(void *self, const char *uuid, const char *folder, GError **err);
