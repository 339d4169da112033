/* What a live migration is asked to do, how it gets on, and what its destination looks like.
 *
 * Units      sizes in bytes, rates in bytes per second unless the name says otherwise.
 * Ownership  everything that these structs point to is borrowed.
 * Sources    libvirt virDomainMigrateToURI3, virDomainGetJobStats; nova virt/libvirt/migration.py,
 *            guest.py migrate, get_job_info (Zed). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    VIRT_JOB_NONE,      /* no migration, and none whose end is still known */
    VIRT_JOB_RUNNING,   /* the guest runs (or is paused) here */
    VIRT_JOB_POST_COPY, /* the guest runs at the destination, part of its memory is still here */
    VIRT_JOB_COMPLETED, /* the guest is at the destination */
    VIRT_JOB_FAILED,    /* the guest is here as before */
    VIRT_JOB_CANCELLED, /* the same, and somebody wanted it so */
} VirtJobState;

/* One look at a migration. What the hypervisor does not say is 0. */
typedef struct VirtJob {
    VirtJobState state;
    uint64_t memory_total, memory_processed, memory_remaining;
    uint64_t disk_total, disk_processed, disk_remaining;
    uint64_t iteration;          /* passes over the guest's memory, from 1 */
    uint64_t dirty_rate;         /* how fast the guest writes memory */
    uint64_t bandwidth;          /* how fast memory gets across */
    uint64_t constant_pages;     /* pages of one byte value, which need no transfer */
    uint64_t downtime_ms;        /* running: expected at the switch; completed: measured */
    uint64_t elapsed_ms;         /* since the migration began */
    uint64_t setup_ms;           /* of it, until memory began to flow */
    uint64_t throttle_percent;   /* of the guest's CPUs, by auto-converge */
    uint64_t post_copy_requests; /* pages that the destination had to ask for */
} VirtJob;

typedef struct VirtMigration {
    const char *dest_uri;     /* libvirtd of the destination, as the source's libvirtd reaches it */
    const char *migrate_uri;  /* "tcp://address" for the memory stream, or NULL: libvirt's choice */
    const char *dest_xml;     /* of migration_xml: for the running and the defined guest there */
    const char *const *disks; /* targets ("vda") to copy, NULL-terminated; NULL or empty: none */
    uint64_t bandwidth_mib;   /* MiB per second; 0: as much as there is */
    unsigned connections;     /* parallel streams of memory; 0 and 1: one, the usual way */
    bool tunnelled;           /* memory goes through libvirtd's own connection */
    bool tls;                 /* QEMU's own, for memory and disks */
    bool auto_converge;       /* a guest that writes too fast is slowed down */
    bool post_copy;           /* `post_copy` may be called; ignored for a guest that is paused */
} VirtMigration;

/* Told of a migration's progress, on the thread that waits for its end: at every pass over the
 * guest's memory and at least once a second. May call any operation of the driver. */
typedef struct VirtWatch {
    void (*job)(void *arg, const VirtJob *job);
    void *arg;
} VirtWatch;

/* What of a guest's description is different at the destination. */
typedef struct VirtDestination {
    const char *vnc_listen, *spice_listen; /* NULL: as it is */
    const char *serial_listen;             /* of TCP serial consoles; NULL: as it is */
    const int *serial_ports;               /* of its ports in turn; more ports than here stay */
    size_t serial_port_count;
    const GPtrArray *nics;          /* NicSpec: its ports as they are bound there, found by MAC;
                                       NULL: as they are */
    const char *const *perf_events; /* that are counted there, NULL-terminated; NULL: none */
    bool file_backed_memory;        /* the destination keeps guests' memory in files */
    bool keep_cpu_shares;           /* the flavor sets them; else they go */
    const char *cpuset;             /* shared CPUs, "0-3"; "": none named; NULL: as it is */
} VirtDestination;

/* One disk of a guest, as its definition says. The caller frees it. */
typedef struct VirtDisk {
    char *target; /* "vda" */
    char *path;   /* file or block device; NULL: neither */
    char *format; /* "raw", "qcow2" */
    char *serial; /* or NULL */
    bool block;   /* path is a block device */
    bool cdrom, readonly, shareable;
} VirtDisk;
void virt_disk_free(VirtDisk *disk);
