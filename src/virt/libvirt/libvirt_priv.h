/* What the files of the libvirt driver share; not for anybody outside this folder (tests excepted).
 *
 * guest.c     list, define, start, destroy, states        console.c  console log, addresses
 * power.c     shutdown, power off, pause, save, launch    caps.c     capabilities, traits
 * inject.c    NMI, password, clock, end of a job          stats.c    what a guest has used
 * host.c      HostFacts                                   driver.c   the ops table
 * hotplug.c   devices that come and go                    devices.c  where devices are
 * serial.c    TCP ports of serial consoles
 * snapshot.c  copies of disks, freezing                 migrate.c  moving to another host
 * job.c       what a migration does now                 migrate_xml.c  how it is described there
 * transfer.c  files to and from other hosts, over remote.c
 * secret.c    what TPMs keep their state under
 * conn.c, hangup.c, events.c, xml_*.c have headers of their own. */
#pragma once

#include "util/thread.h"
#include "virt/driver.h"
#include "virt/libvirt/conn.h"
#include "virt/libvirt/events.h"
#include "virt/libvirt/xml_domain.h"

typedef struct HostCaps HostCaps;

typedef struct LibvirtDriver {
    const VirtConfig *config; /* [const] */
    VirtConn *conn;           /* [const] */
    VirtEvents *events;       /* [const] */
    char *cache_mode;         /* [const] "none" where instances_path can do O_DIRECT */

    DvMutex lock;
    HostCaps *caps DV_GUARDED_BY(lock); /* of caps_generation, shared by reference */
    unsigned caps_generation DV_GUARDED_BY(lock);
    GHashTable *serial_ports DV_GUARDED_BY(lock); /* TCP port -> uuid of the guest that has it */
    bool serial_read DV_GUARDED_BY(lock);         /* the table holds what was there at start */
    GHashTable *ours DV_GUARDED_BY(lock);         /* uuid -> GINT_TO_POINTER(is a nova guest) + 1 */
} LibvirtDriver;

/* --- guest.c */
bool guest_list(void *self, GPtrArray **out, GError **err);
bool guest_state(void *self, const char *uuid, GuestState *out, GError **err);
bool guest_plug(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
bool guest_unplug(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
bool guest_cpu(void *self, const GuestSpec *spec, VirtCpu **out, GError **err);
bool guest_start(void *self, const DvCtx *ctx, const GuestSpec *spec, bool paused, GError **err);
bool guest_define_xml(void *self, const DvCtx *ctx, const char *uuid, const char *xml,
                      GError **err);
bool guest_define(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
bool guest_destroy(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_retire(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_describe(void *self, const char *uuid, char **out_xml, GError **err);
/* Takes away the definition of a guest that has moved; one that runs is left alone. */
bool guest_undefine_left(LibvirtDriver *driver, const char *uuid, GError **err);
/* nova's power state for a virDomainState. */
GuestState guest_state_of(int libvirt_state);
/* The domain of a uuid; *out NULL when there is none. */
bool guest_lookup(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err);
/* The same where there must be one: else DV_E_INSTANCE_NOT_FOUND. */
bool guest_find(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err);
/* The same with a connection of its own, for a call that lasts: see virt_conn_own. */
bool guest_find_alone(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err);
bool guest_alone(LibvirtDriver *driver, virDomainPtr domain, virDomainPtr *out, GError **err);

/* --- power.c */
bool guest_resume(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_shutdown(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_power_down(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_launch(void *self, const DvCtx *ctx, const char *uuid, const GuestSecret *secret,
                  bool paused, GError **err);
bool guest_pause(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_save(void *self, const DvCtx *ctx, const char *uuid, GError **err);
/* Ends a domain at once; off or gone: success. */
bool guest_domain_off(LibvirtDriver *driver, virDomainPtr domain, GError **err);

/* --- secret.c */
/* Gives libvirt the secret of a guest's TPM; secret_drop takes it away, and frees it. DV_E_INVALID:
 * it is not there, or without a value. */
bool secret_hold(LibvirtDriver *driver, const char *guest_uuid, const GuestSecret *secret,
                 virSecretPtr *out, GError **err);
void secret_drop(LibvirtDriver *driver, virSecretPtr secret); /* NULL: nothing happens */

/* --- tpm.c */
bool tpm_save(void *self, const char *uuid, const char *folder, GError **err);
bool tpm_restore(void *self, const char *uuid, const char *folder, GError **err);

/* --- inject.c */
bool guest_inject_nmi(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_set_password(void *self, const DvCtx *ctx, const char *uuid, const char *user,
                        const char *password, GError **err);
void guest_sync_time(void *self, const DvCtx *ctx, const char *uuid);
bool guest_abort_job(void *self, const DvCtx *ctx, const char *uuid, GError **err);

/* --- stats.c */
bool guest_stats(void *self, const char *uuid, GuestStats **out, GError **err);
/* --- snapshot.c */
bool guest_block_copy(void *self, const DvCtx *ctx, const char *uuid, const VirtBlockCopy *copy,
                      GError **err);
bool guest_block_copy_end(void *self, const DvCtx *ctx, const char *uuid, const char *disk_path,
                          GError **err);
bool guest_freeze(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_thaw(void *self, const DvCtx *ctx, const char *uuid, GError **err);

/* --- migrate.c */
bool guest_migrate(void *self, const DvCtx *ctx, const char *uuid, const VirtMigration *migration,
                   const VirtWatch *watch, GError **err);
bool guest_migrate_watch(void *self, const DvCtx *ctx, const char *uuid, const VirtWatch *watch,
                         GError **err);

/* --- job.c */
#define JOB_BANDWIDTH_UNLIMITED (INT64_MAX >> 20) /* MiB/s: as large as libvirt takes it */

/* Reads libvirt's parameters of a job; false, and state NONE, when it is no migration from here. */
bool job_read(int type, virTypedParameterPtr params, int count, VirtJob *out);
bool job_of_domain(LibvirtDriver *driver, virDomainPtr domain, VirtJob *out, GError **err);
bool guest_job(void *self, const char *uuid, VirtJob *out, GError **err);
bool guest_post_copy(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_set_max_downtime(void *self, const DvCtx *ctx, const char *uuid, uint64_t downtime_ms,
                            GError **err);
bool guest_set_bandwidth(void *self, const DvCtx *ctx, const char *uuid, uint64_t mib_per_s,
                         GError **err);

/* --- migrate_xml.c */
bool guest_migration_xml(void *self, const char *uuid, const VirtDestination *destination,
                         char **out, GError **err);
bool guest_compare_cpu(void *self, const DvCtx *ctx, const VirtCpu *cpu, GError **err);
/* The rewriting itself; g_free. */
bool migrate_xml_rewrite(const char *xml, const VirtConfig *config,
                         const VirtDestination *destination, char **out, GError **err);

/* --- console.c */
bool console_output(void *self, const DvCtx *ctx, const char *uuid, size_t max_bytes, char **out,
                    size_t *out_length, GError **err);
bool console_address(void *self, const DvCtx *ctx, const char *uuid, VirtConsoleKind kind,
                     VirtConsole *out, GError **err);

/* --- serial.c */
/* TCP ports for the guest's serial consoles, as many as it wants; *out (g_free) NULL when it wants
 * none. They are the guest's until given back. DV_E_SERIAL_PORTS_EXHAUSTED. */
bool serial_ports_take(LibvirtDriver *driver, const GuestSpec *spec, int **out, GError **err);
void serial_ports_give(LibvirtDriver *driver, const char *uuid);
bool serial_ports_reserve(void *self, const char *uuid, const char *host, unsigned count,
                          int *out_ports, GError **err);
/* Gives them back when the guest is not defined (any more). */
void serial_ports_settle(LibvirtDriver *driver, const char *uuid);

/* --- transfer.c */
bool transfer_send(void *self, const DvCtx *ctx, const VirtTransfer *transfer, GError **err);
bool transfer_remove(void *self, const DvCtx *ctx, const VirtTransfer *transfer, GError **err);
bool transfer_fetch(void *self, const DvCtx *ctx, const VirtTransfer *transfer, GError **err);

/* --- hotplug.c */
bool hotplug_attach_nic(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                        GError **err);
bool hotplug_detach_nic(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                        GError **err);

/* --- devices.c */
bool devices_read(void *self, const DvCtx *ctx, const char *uuid, GPtrArray **out, GError **err);
bool devices_disks(void *self, const char *uuid, GPtrArray **out, GError **err);

/* --- host.c */
bool host_facts_read(void *self, HostFacts **out, GError **err);
