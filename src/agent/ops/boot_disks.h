/* The disks of a boot: what glance has, what the guest reads from its config drive, put together
 * for virt. */
#pragma once

#include "agent/agent.h"

typedef struct BootDisks {
    Agent *agent;
    const DvCtx *ctx;
    const Ovo *instance;
    const Ovo *image; /* glance metadata dict, may be empty or NULL */
    const Ovo *bdms;  /* BlockDeviceMappingList, or NULL */
    const Ovo *args;  /* password and injected_files of the request; may be NULL */
    const NetworkInfo *network;
    GuestSpec *spec; /* gets paths and formats */
} BootDisks;

/* Creates all disks, kernel and ramdisk included; nothing stays behind when it fails. */
bool boot_disks_create(const BootDisks *disks, GError **err);
/* Makes the config drive anew, now that the instance knows more about its devices. */
bool boot_disks_rewrite_config(const BootDisks *disks, GError **err);
/* The disks that have come from somewhere else: those that are there are taken as disk.info has
 * them, swap and others that are missing are made. DV_E_INVALID_DISK when the root disk is not
 * there. */
bool boot_disks_complete(const BootDisks *disks, GError **err);
/* The disks of a rescue: those that the spec has and that are not there are made of image `id`;
 * kernel and ramdisk are fetched to the spec's paths when their ids are not NULL. */
typedef struct RescueImages {
    const char *id, *kernel_id, *ramdisk_id;
    const Ovo *meta; /* of image id */
} RescueImages;
bool boot_disks_rescue(const BootDisks *disks, const RescueImages *images, GError **err);
/* The disks of a guest that is defined anew. Base files, kernel and ramdisk that are gone are made
 * again; from glance only on behalf of a user, as nova does. */
bool boot_disks_adopt(const BootDisks *disks, GError **err);
/* disks_arrived (`arrival` names all but the image) with the image that the instance is of. */
bool boot_disks_arrived(Agent *agent, const DvCtx *ctx, const Ovo *instance,
                        const DiskArrival *arrival, GError **err);
/* disks_receive (`receive` names uuid, disks, shared and fetch) with the image, kernel and ramdisk
 * that the instance is of. */
bool boot_disks_receive(Agent *agent, const DvCtx *ctx, const Ovo *instance,
                        const DiskReceive *receive, GError **err);
