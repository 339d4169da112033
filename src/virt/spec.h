/* What a guest shall be, in plain structs: the hypervisor side knows no versioned object.
 *
 * agent/guest_spec.c fills it from the instance; virt/libvirt/xml_domain.c writes it as XML.
 * Units      memory MiB, sizes bytes where the name says so.
 * Ownership  guest_spec_free frees all; strings are owned.
 * Threads    one owner at a time. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    DISK_ROLE_ROOT,
    DISK_ROLE_EPHEMERAL,
    DISK_ROLE_SWAP,
    DISK_ROLE_CONFIG, /* config drive */
    DISK_ROLE_RESCUE, /* boots instead of the root disk */
} DiskRole;

typedef enum { DISK_FORMAT_RAW, DISK_FORMAT_QCOW2 } DiskFormat;

/* A limit that a flavor may set. */
typedef struct SpecNumber {
    bool set;
    int64_t value;
} SpecNumber;

/* Yes, no, or nothing said: then the hypervisor's default. */
typedef enum { SPEC_UNSET, SPEC_OFF, SPEC_ON } SpecFlag;

typedef enum { GUEST_FIRMWARE_BIOS, GUEST_FIRMWARE_UEFI } GuestFirmware;
typedef enum {
    GUEST_SECURE_BOOT_OFF,
    GUEST_SECURE_BOOT_OPTIONAL, /* where the host has it */
    GUEST_SECURE_BOOT_REQUIRED,
} GuestSecureBoot;

/* In the order in which the XML names them. */
typedef enum {
    DISK_TUNE_READ_BYTES,
    DISK_TUNE_READ_IOPS,
    DISK_TUNE_WRITE_BYTES,
    DISK_TUNE_WRITE_IOPS,
    DISK_TUNE_TOTAL_BYTES,
    DISK_TUNE_TOTAL_IOPS,
    DISK_TUNE_COUNT
} DiskTune;

/* Average and peak in KiB/s, burst in KiB. */
typedef struct NicBandwidth {
    SpecNumber average, peak, burst;
} NicBandwidth;

typedef struct DiskSpec {
    DiskRole role;
    char *path; /* <instances_path>/<uuid>/disk ... */
    DiskFormat format;
    char *backing_path; /* absolute, or NULL; its format is backing_format */
    DiskFormat backing_format;
    uint64_t size_bytes; /* virtual size wanted, 0: as the image */
    char *image_id;      /* glance image the root disk is made of, or NULL */
    char *fs_format;     /* of ephemeral disks: ext4, vfat ..., NULL: default */
    char *fs_label;      /* "ephemeral0", "swap" */
    char *bus;           /* virtio, ide, sata, scsi, usb */
    char *device;        /* "disk", "cdrom" */
    char *target;        /* "vda" */
    char *serial;        /* or NULL */
    char *cache;         /* none, writeback, ... ; NULL: the driver's default */
    int boot_order;      /* 0: not in the order */
    int own_boot_order;  /* on the disk itself: then no other order counts; 0: none */
    int scsi_unit;       /* on the virtio-scsi controller; -1: libvirt's choice */
    bool readonly;
    SpecNumber tune[DISK_TUNE_COUNT]; /* per second */
} DiskSpec;

typedef struct NicSpec {
    char *port_id, *mac, *devname, *model; /* model: "virtio"; NULL: libvirt's choice */
    char *type;                            /* vif type: "bridge", "ovs" */
    char *bridge;
    char *ovs_interfaceid;
    int mtu;
    unsigned queues; /* of a virtio device with vhost; 0: one, and nothing said about it */
    NicBandwidth inbound, outbound;
    bool create_bridge; /* nova plugs by os-vif: the bridge of linuxbridge ports is made when
                           missing */
    bool ovs_hybrid;    /* vif_details ovs_hybrid_plug: a bridge between tap and br-int */
    bool ovs_create;    /* delegate_create: the OVS port is ours to make, not libvirt's */
    char *ovs_datapath; /* vif_details datapath_type of a bridge that is missing, or NULL */
    char **addresses;   /* fixed IPs for the metadata element */
    int *address_versions;
    unsigned address_count;
} NicSpec;

/* What the state of a guest's TPM is kept under: a secret of the key manager. */
typedef struct GuestSecret {
    char *uuid;  /* the guest's definition names it */
    char *value; /* text; never logged, wiped when it is freed; NULL: not at hand */
} GuestSecret;
void guest_secret_done(GuestSecret *secret);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GuestSecret, guest_secret_done)

typedef struct GuestSpec {
    char *uuid, *name; /* name: "instance-0000002a" */
    char *title;       /* display name, metadata element */
    uint64_t memory_mib;
    unsigned vcpus;
    unsigned cpu_sockets, cpu_cores, cpu_threads; /* 0: a socket for each CPU */
    SpecNumber cpu_shares, cpu_quota, cpu_period; /* quota and period in us; none set: no cputune */
    GPtrArray *cpu_traits; /* char *: HW_CPU_* traits that the flavor requires, or NULL */
    char *arch;            /* "i686", or NULL: the host's */
    char *machine_type;    /* "pc", or NULL: the host's default */
    GuestFirmware firmware;
    GuestSecureBoot secure_boot;
    bool boot_menu;
    char *kernel_path, *ramdisk_path, *kernel_cmdline; /* NULL: firmware boot */
    char *instance_dir;
    char *console_log_path;
    char *os_type; /* "windows" sets other clocks and Hyper-V features */
    bool hide_hypervisor;
    SpecFlag pmu;
    bool hpet;

    char *vnc_listen, *vnc_keymap; /* vnc_listen NULL: no VNC */
    char *spice_listen;            /* NULL: no SPICE */
    bool spice_agent;              /* with the channel of the guest's SPICE agent */
    char *serial_host;             /* TCP serial ports listen there; NULL: one on a pty */
    unsigned serial_count;         /* how many, with serial_host */
    char *video_model;             /* NULL: virt's default */
    uint64_t video_ram_kib;        /* 0: libvirt's default */
    bool usb_tablet;
    char *input_bus;  /* image's hw_input_bus: tablet and keyboard on that bus; NULL: usb_tablet */
    char *scsi_model; /* of a SCSI controller, or NULL: libvirt adds one where it must */
    bool rng;
    uint64_t rng_bytes, rng_period_ms; /* limit of the guest's reading; either 0: none */
    char *watchdog_action;             /* or NULL: no watchdog */
    char *iommu_model;                 /* "auto", "intel", "virtio", or NULL: none */
    bool guest_agent;
    char *tpm_version;      /* "1.2", "2.0", or NULL: no TPM */
    char *tpm_model;        /* "tpm-tis", "tpm-crb" */
    GuestSecret tpm_secret; /* a definition needs its uuid, a start its value, too */

    /* what disks and ports get that say nothing themselves */
    char *disk_bus, *cdrom_bus, *vif_model; /* vif_model NULL: libvirt's choice */
    GPtrArray *disks;                       /* DiskSpec */
    GPtrArray *nics;                        /* NicSpec */

    /* for the <nova:instance> metadata element */
    char *flavor_name, *flavor_id, *image_ref, *user_id, *user_name, *project_id, *project_name;
    int64_t flavor_memory_mib, flavor_disk_gib, flavor_swap_mib, flavor_ephemeral_gib, flavor_vcpus;
    char *package_version; /* of the agent, <nova:package version> */
    int64_t creation_wall_ms;
} GuestSpec;

GuestSpec *guest_spec_new(void);
void guest_spec_free(GuestSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestSpec, guest_spec_free)
DiskSpec *guest_spec_add_disk(GuestSpec *spec, DiskRole role);
NicSpec *guest_spec_add_nic(GuestSpec *spec);
/* Takes device i out of the spec: it is the caller's. */
NicSpec *guest_spec_take_nic(GuestSpec *spec, guint i);
void nic_spec_free(NicSpec *nic); /* of one that is in no spec */
const DiskSpec *guest_spec_disk(const GuestSpec *spec,
                                DiskRole role); /* first of that role, or NULL */
