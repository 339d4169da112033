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
} DiskRole;

typedef enum { DISK_FORMAT_RAW, DISK_FORMAT_QCOW2 } DiskFormat;

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
    bool readonly;
} DiskSpec;

typedef struct NicSpec {
    char *port_id, *mac, *devname, *model; /* model: "virtio" */
    char *type;                            /* vif type: "bridge", "ovs" */
    char *bridge;
    char *ovs_interfaceid;
    int mtu;
    bool create_bridge; /* nova plugs by os-vif: the bridge of linuxbridge ports is made when
                           missing */
    bool ovs_hybrid;    /* vif_details ovs_hybrid_plug: a bridge between tap and br-int */
    bool ovs_create;    /* delegate_create: the OVS port is ours to make, not libvirt's */
    char *ovs_datapath; /* vif_details datapath_type of a bridge that is missing, or NULL */
    char **addresses;   /* fixed IPs for the metadata element */
    int *address_versions;
    unsigned address_count;
} NicSpec;

typedef struct GuestSpec {
    char *uuid, *name; /* name: "instance-0000002a" */
    char *title;       /* display name, metadata element */
    uint64_t memory_mib;
    unsigned vcpus;
    unsigned cpu_sockets, cpu_cores, cpu_threads; /* 0: nova's default for the count */
    uint64_t cpu_shares; /* quota:cpu_shares, 0: no cputune element, as nova since Zed */
    char *machine_type;  /* "pc", or NULL: the host's default */
    char *kernel_path, *ramdisk_path, *kernel_cmdline; /* NULL: firmware boot */
    char *instance_dir;
    char *console_log_path;
    char *vnc_listen, *vnc_keymap; /* vnc_listen NULL: no VNC */
    char *video_model;             /* NULL: virt's default */
    bool usb_tablet;
    char *input_bus; /* image's hw_input_bus: tablet and keyboard on that bus; NULL: usb_tablet */
    bool rng;        /* hw_rng_model with hw_rng:allowed */
    char *os_type;   /* "windows" sets other clocks */
    bool guest_agent;

    GPtrArray *disks; /* DiskSpec */
    GPtrArray *nics;  /* NicSpec */

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
const DiskSpec *guest_spec_disk(const GuestSpec *spec,
                                DiskRole role); /* first of that role, or NULL */
