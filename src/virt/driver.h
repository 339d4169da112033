/* The hypervisor behind an ops table: virt/libvirt in production, virt/fake in tests. Both keep
 * this contract; tests/unit/virt/test_driver_contract.c holds them to it.
 *
 * Errors     DV_E_HYPERVISOR the hypervisor refused; DV_E_UNAVAILABLE it is away; DV_E_TIMEOUT it
 * did not answer in time. "No such guest" is a result (GUEST_STATE_NONE, *out NULL) except where
 * said. Threads    any; calls block. Events come on the driver's own thread. */
#pragma once

#include "util/ctx.h"
#include "util/error.h"
#include "virt/events.h"
#include "virt/guest_state.h"
#include "virt/guest_stats.h"
#include "virt/host_facts.h"
#include "virt/migration.h"
#include "virt/spec.h"
#include "virt/transfer.h"

struct Disks;

/* Filled from the options by agent/options.c; strings borrowed. */
typedef struct VirtConfig {
    const char *virt_type;      /* kvm, qemu */
    const char *connection_uri; /* "" or NULL: default of virt_type */
    const char *instances_path;
    const char *cpu_mode; /* host-model, host-passthrough, custom, none; NULL: nova's default */
    const char *const *cpu_models;
    const char *const *cpu_model_extra_flags;
    const char *const *hw_machine_type; /* "arch=type" items */
    const char *const *disk_cachemodes;
    const char *const *image_type_exclude_list;
    const char *images_type;    /* default, raw, qcow2, flat */
    const char *cpu_shared_set; /* "0-3,^2", or NULL */
    const char *rng_dev_path;
    const char *sysinfo_serial; /* none, os, hardware, auto, unique */
    int64_t mem_stats_period_s;
    int64_t reserved_host_memory_mib;
    bool use_cow_images, force_raw_images, use_virtio_for_bridges;
    bool swtpm_enabled;
    const char *swtpm_user, *swtpm_group; /* whom the state of TPMs belongs to */
    const char *swtpm_state_dir;          /* where libvirt keeps it; NULL: where it does */
    bool preallocate;                     /* preallocate_images = space */
    bool disable_apic;                    /* [workarounds] libvirt_disable_apic */
    const char *hw_disk_discard;          /* ignore, unmap, or NULL */
    const char *disk_prefix;              /* of all device names, or NULL: by their bus */
    const char *const *perf_events;       /* performance events that guests' statistics count */
    int64_t num_pcie_ports;               /* free ports of q35 guests; 0: libvirt's default */
    int64_t max_queues, rx_queue_size, tx_queue_size;        /* 0: unset */
    int64_t device_detach_attempts, device_detach_timeout_s; /* of a running guest; 0: 8 and 20 */
    int64_t serial_port_first, serial_port_end; /* TCP ports of serial consoles: first to end - 1 */
    const char *package_version;
    int64_t call_limit_ms; /* a libvirt call over this is reported as stuck; 0: 30 s */
    struct Disks *disks;   /* virt/disk, borrowed: what disk_available_least takes off for disks
                              that may still grow. NULL: nothing is taken off. */
} VirtConfig;

typedef struct VirtGuest {
    char uuid[37];
    char *name;
    GuestState state;
} VirtGuest;
void virt_guest_free(VirtGuest *guest);

typedef enum { VIRT_CONSOLE_VNC, VIRT_CONSOLE_SPICE, VIRT_CONSOLE_SERIAL } VirtConsoleKind;

typedef struct VirtConsole {
    char *host;   /* address it listens on; caller frees, may be NULL */
    int port;     /* 0: only the TLS port (SPICE) */
    int tls_port; /* 0: none */
} VirtConsole;

/* A device of a guest where the guest finds it, as nova's device metadata tells it. */
typedef enum { VIRT_DEVICE_NIC, VIRT_DEVICE_DISK } VirtDeviceKind;
typedef struct VirtDevice {
    VirtDeviceKind kind;
    char *mac;     /* of a NIC */
    char *target;  /* of a disk: "vda" */
    char *bus;     /* "pci", "scsi", "ide" or "usb"; NULL: none of these */
    char *address; /* in nova's form, "0000:00:03.0" or "0:0:0:1"; NULL: not known */
} VirtDevice;
void virt_device_free(VirtDevice *device);

/* A processor: what a guest asks the hypervisor for, or what another host tells of itself or of its
 * guest. The caller of virt_cpu_new owns it and all in it; NULL and 0: not said. */
typedef struct VirtCpuFeature {
    char *name;
    char *policy; /* "require", "disable" ...; a host's has none */
} VirtCpuFeature;
typedef struct VirtCpu {
    char *arch, *vendor;
    char *mode;  /* "custom", "host-model", "host-passthrough"; NULL: the hypervisor's default */
    char *match; /* "exact" ...; NULL for a host's own */
    char *model; /* of a guest's with "custom" */
    unsigned sockets, cores, threads;
    GPtrArray *features; /* VirtCpuFeature, each name once */
} VirtCpu;
VirtCpu *virt_cpu_new(void);
void virt_cpu_add_feature(VirtCpu *cpu, const char *name, const char *policy);
void virt_cpu_free(VirtCpu *cpu);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VirtCpu, virt_cpu_free)

/* A running guest's disk on its way to another file. Everything borrowed. */
typedef struct VirtBlockCopy {
    const char *disk_path; /* the disk, by its file */
    const char *copy_path; /* an empty qcow2 file on the disk's own base, as large as the disk */
    /* Asked about once a second: true ends the copy with DV_E_CANCELLED. May be NULL. */
    bool (*stop)(void *arg);
    void *stop_arg;
} VirtBlockCopy;

typedef struct VirtOps {
    bool (*host_facts)(void *self, HostFacts **out, GError **err);
    /* Guests that this driver made (nova's domains), one bulk call: GPtrArray of VirtGuest. */
    bool (*list)(void *self, GPtrArray **out, GError **err);
    bool (*state)(void *self, const char *uuid, GuestState *out, GError **err);
    /* The processor that the guest is defined with: choosing it takes what the host has.
     * DV_E_CPU_MODEL. */
    bool (*cpu)(void *self, const GuestSpec *spec, VirtCpu **out, GError **err);
    /* Makes what the guest's ports need on the host before each start; libvirt plugs the rest at
     * start. */
    bool (*plug)(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
    /* Takes that away when the guest is gone; of spec, only nics are read. What is not there:
     * success. A port that fails does not keep the others; the first error is told. */
    bool (*unplug)(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
    /* Defines the guest (persistent) and starts it paused or running. On failure nothing is left
     * defined; what its TPM remembers stays. DV_E_INSTANCE_EXISTS: it runs already, and goes on
     * untouched. DV_E_INVALID: it shall have a TPM, and its secret is not given. DV_E_HYPERVISOR:
     * its TPM's state is under another secret. */
    bool (*start)(void *self, const DvCtx *ctx, const GuestSpec *spec, bool paused, GError **err);
    /* Lets a paused guest run; one that runs already: success. Absent: DV_E_INSTANCE_NOT_FOUND;
     * off: DV_E_HYPERVISOR. */
    bool (*resume)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Asks the guest to power off (ACPI) and returns; what follows is an event. Off already:
     * success. Absent: DV_E_INSTANCE_NOT_FOUND; paused: DV_E_HYPERVISOR where the hypervisor
     * refuses what such a guest would not hear. */
    bool (*shutdown)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Ends the guest at once, it stays defined. Off or absent: success. DV_E_POWER_OFF when it
     * could not be powered off. */
    bool (*power_off)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Starts the definition that is there, from its managed save when it has one; a guest that runs
     * already: success. Absent: DV_E_INSTANCE_NOT_FOUND. `secret` is that of its TPM, NULL when it
     * has none. */
    bool (*launch)(void *self, const DvCtx *ctx, const char *uuid, const GuestSecret *secret,
                   bool paused, GError **err);
    /* Stops the guest's CPUs; paused already: success. Absent: DV_E_INSTANCE_NOT_FOUND; off:
     * DV_E_HYPERVISOR. `resume` lets it run again. */
    bool (*pause)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Saves the guest's memory to disk and ends it (managed save); `launch` brings it back. Absent:
     * DV_E_INSTANCE_NOT_FOUND. */
    bool (*save)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Defines the guest, anew when it is defined already, and leaves its state as it is. */
    bool (*define)(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
    /* The same from what `describe` gave, or another agent kept of the guest. DV_E_HYPERVISOR when
     * it is no description of it. */
    bool (*define_xml)(void *self, const DvCtx *ctx, const char *uuid, const char *xml,
                       GError **err);
    /* Ends the guest at once and undefines it, with managed save, nvram and what its TPM remembers.
     * Absent: success. DV_E_POWER_OFF when it could not be powered off: then it is still defined.
     */
    bool (*destroy)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* The same for a guest that is about to be defined again: what its TPM remembers stays. A
     * hypervisor that cannot undefine it without that leaves such a guest defined, and off. */
    bool (*retire)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Sends the guest a non-maskable interrupt. Absent: DV_E_INSTANCE_NOT_FOUND; off:
     * DV_E_INSTANCE_NOT_RUNNING; DV_E_UNSUPPORTED: the hypervisor has none. */
    bool (*inject_nmi)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Through the agent in the guest. Absent: DV_E_INSTANCE_NOT_FOUND; DV_E_NOT_IMPLEMENTED: the
     * agent does not answer; DV_E_HYPERVISOR: the guest has none, or refused. */
    bool (*set_password)(void *self, const DvCtx *ctx, const char *uuid, const char *user,
                         const char *password, GError **err);
    /* Sets the guest's clock through its agent; where that cannot be it is left. */
    void (*sync_time)(void *self, const DvCtx *ctx, const char *uuid);
    /* What the guest has used, one reading. Absent: DV_E_INSTANCE_NOT_FOUND. */
    bool (*stats)(void *self, const char *uuid, GuestStats **out, GError **err);
    /* Ends what the hypervisor is doing with the guest as a whole (a save, a migration): that call
     * fails, the guest goes on. Absent, off, or without such a job: success. DV_E_HYPERVISOR: the
     * migration is in post-copy, where there is no way back. */
    bool (*abort_job)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Copies what the guest's disk has above its base and returns once both are the same; from then
     * on the guest writes to both, until block_copy_end. What a crash of the agent left of an
     * earlier copy of that disk is ended first. On failure no copy is under way. Absent, or gone
     * meanwhile: DV_E_INSTANCE_NOT_FOUND; off: DV_E_HYPERVISOR. */
    bool (*block_copy)(void *self, const DvCtx *ctx, const char *uuid, const VirtBlockCopy *copy,
                       GError **err);
    /* Leaves the copy as it is now; the guest goes on with its disk. Absent:
     * DV_E_INSTANCE_NOT_FOUND; no copy: DV_E_HYPERVISOR. */
    bool (*block_copy_end)(void *self, const DvCtx *ctx, const char *uuid, const char *disk_path,
                           GError **err);
    /* The guest's agent writes its file systems out and holds new writes, and lets them go again.
     * Absent: DV_E_INSTANCE_NOT_FOUND; off, or no agent that answers: DV_E_HYPERVISOR. */
    bool (*freeze)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    bool (*thaw)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* The last `max_bytes` of the console: bytes as the guest wrote them, NUL-terminated. Absent
     * guest: DV_E_INSTANCE_NOT_FOUND. */
    bool (*console_output)(void *self, const DvCtx *ctx, const char *uuid, size_t max_bytes,
                           char **out, size_t *out_length, GError **err);
    /* Where a console of the guest listens now; of several serial ports the first.
     * DV_E_CONSOLE_TYPE_UNAVAILABLE, DV_E_INSTANCE_NOT_FOUND. */
    bool (*console)(void *self, const DvCtx *ctx, const char *uuid, VirtConsoleKind kind,
                    VirtConsole *out, GError **err);
    /* Plugs the port and puts its device into the guest's definition, and into the guest itself
     * when it runs or is paused. On failure the guest is as before and the port is unplugged.
     * DV_E_INSTANCE_NOT_FOUND. */
    bool (*attach_nic)(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                       GError **err);
    /* Takes the port's device (found by its MAC and its tap device) out of the definition and out
     * of the running guest, and waits until the guest has let it go. Not there: success.
     * DV_E_DEVICE_DETACH: the guest keeps it. DV_E_INSTANCE_NOT_FOUND. */
    bool (*detach_nic)(void *self, const DvCtx *ctx, const char *uuid, const NicSpec *nic,
                       GError **err);
    /* NICs and disks in the order of the guest's definition: GPtrArray of VirtDevice.
     * DV_E_INSTANCE_NOT_FOUND. */
    bool (*devices)(void *self, const DvCtx *ctx, const char *uuid, GPtrArray **out, GError **err);
    /* Its disks in that order: GPtrArray of VirtDisk. DV_E_INSTANCE_NOT_FOUND. */
    bool (*disks)(void *self, const char *uuid, GPtrArray **out, GError **err);

    /* ---- live migration, at the source ---- */

    /* Moves the guest and returns when that is over; watch may be NULL. True: the guest is at the
     * destination, and not here any more. It runs there, or stays here, as it did when the
     * migration began: to pause it meanwhile is the way to end the migration by force. Errors are
     * told only after the hypervisor here was asked where the guest is:
     * - DV_E_CANCELLED, DV_E_HYPERVISOR: it is here, as before the migration.
     * - DV_E_POST_COPY_BROKEN: part of it is here and part of it there. Neither side may start or
     *   destroy it without asking its owner.
     * - DV_E_INSTANCE_NOT_FOUND: it was not here to begin with, or is gone without a word, or
     *   stands still here since it was switched over, and nobody here knows whether it arrived. The
     *   destination must be asked: if it is there, `destroy` what is here, else `resume` it.
     * - DV_E_UNAVAILABLE: could not be asked. The migration may go on, and may have succeeded:
     *   migrate_watch when the hypervisor is back.
     * - DV_E_UNSUPPORTED: disks with a tunnelled migration. Nothing was begun. */
    bool (*migrate)(void *self, const DvCtx *ctx, const char *uuid, const VirtMigration *migration,
                    const VirtWatch *watch, GError **err);
    /* The same for a migration that an earlier process began, which goes on without it. Over
     * already: its outcome, as far as the hypervisor still knows it. DV_E_NOT_FOUND: the guest is
     * here and no migration of it runs. */
    bool (*migrate_watch)(void *self, const DvCtx *ctx, const char *uuid, const VirtWatch *watch,
                          GError **err);
    /* One look at the guest's migration. Absent guest: DV_E_INSTANCE_NOT_FOUND. */
    bool (*job)(void *self, const char *uuid, VirtJob *out, GError **err);
    /* Lets the guest run at the destination now and fetch the rest of its memory; from then on the
     * migration cannot be cancelled. Waits some seconds for one that is just beginning.
     * DV_E_HYPERVISOR: none runs (any more), or it was not permitted. */
    bool (*post_copy)(void *self, const DvCtx *ctx, const char *uuid, GError **err);
    /* Changes the running migration. DV_E_HYPERVISOR: none runs. bandwidth 0: as much as there is.
     */
    bool (*set_max_downtime)(void *self, const DvCtx *ctx, const char *uuid, uint64_t downtime_ms,
                             GError **err);
    bool (*set_bandwidth)(void *self, const DvCtx *ctx, const char *uuid, uint64_t mib_per_s,
                          GError **err);
    /* The guest's description for the destination; caller frees. DV_E_INSTANCE_NOT_FOUND; else
     * DV_E_MIGRATION_PRECHECK when a port of the guest is not among the destination's. */
    bool (*migration_xml)(void *self, const char *uuid, const VirtDestination *destination,
                          char **out, GError **err);

    /* ---- live migration, at the destination ---- */

    /* Whether guests with this CPU can run here. DV_E_CPU_MODEL: no. */
    bool (*compare_cpu)(void *self, const DvCtx *ctx, const VirtCpu *cpu, GError **err);
    /* TCP ports for the guest's serial consoles here, `count` of them at `host`: the guest's until
     * it goes from here. Written to out_ports. DV_E_SERIAL_PORTS_EXHAUSTED. */
    bool (*reserve_serial)(void *self, const char *uuid, const char *host, unsigned count,
                           int *out_ports, GError **err);

    /* ---- files to and from another host; see virt/transfer.h ----
     * DV_E_UNAVAILABLE: its libvirt cannot be reached, or was lost. */

    /* Makes the folder there when it is missing, but none above it, owned as its parent is, and
     * writes the files, byte by byte, holes staying holes; files of these names are replaced.
     * Without files only the folder is made. On failure nothing is left of what this call has made.
     * DV_E_INSTANCE_EXISTS: a guest of that uuid is active there; DV_E_NO_SPACE; DV_E_CANCELLED. */
    bool (*send_files)(void *self, const DvCtx *ctx, const VirtTransfer *transfer, GError **err);
    /* Removes files of these names there, and the folder when it is empty then. What is not there:
     * success. DV_E_INSTANCE_EXISTS as above. */
    bool (*remove_files)(void *self, const DvCtx *ctx, const VirtTransfer *transfer, GError **err);
    /* The other way: each file is made here, and must not be there yet. On failure those made are
     * removed. DV_E_NOT_FOUND: the other host has not got one of them. */
    bool (*fetch_files)(void *self, const DvCtx *ctx, const VirtTransfer *transfer, GError **err);

    /* Copies what the TPM of a guest that is off remembers into `folder`/<uuid>, whatever was in
     * `folder`. A guest without a TPM, or whose TPM was never on: success, and no folder. */
    bool (*tpm_save)(void *self, const char *uuid, const char *folder, GError **err);
    /* The other way: what is in `folder`/<uuid>, which may have come from anywhere, takes the place
     * of what this host has of that TPM. Nothing there: success, and that stays. DV_E_BAD_INPUT:
     * those are no files of a TPM. */
    bool (*tpm_restore)(void *self, const char *uuid, const char *folder, GError **err);

    /* The domain XML as the hypervisor has it now, for tests and diagnostics. Caller frees. Absent:
     * DV_E_INSTANCE_NOT_FOUND. */
    bool (*describe)(void *self, const char *uuid, char **out_xml, GError **err);
    /* Events go to `sink` until free; before the first guest call. */
    void (*set_event_sink)(void *self, GuestEventFn sink, void *arg);
    bool (*connected)(void *self);
    /* For health: how many hypervisor calls are over call_limit_ms; *out_oldest_ms and *out_name
     * (static, both may be NULL) describe the oldest call under way. Never blocks. */
    unsigned (*stuck_calls)(void *self, int64_t *out_oldest_ms, const char **out_name);
    void (*free)(void *self);
} VirtOps;

typedef struct VirtDriver {
    const VirtOps *ops;
    void *self;
} VirtDriver;

/* Opens the connection and starts the event thread; DV_E_UNAVAILABLE when libvirtd does not answer,
 * DV_E_BAD_CONFIG when the host cannot do what the configuration asks. */
VirtDriver *virt_libvirt_new(const VirtConfig *config, GError **err);
/* In memory, for tests and for running the agent without a hypervisor; virt/fake/fake_driver.h
 * steers it. config may be NULL. */
VirtDriver *virt_fake_new(const VirtConfig *config);
void virt_driver_free(VirtDriver *driver);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VirtDriver, virt_driver_free)
