/* The disks of a boot: what glance has, what the guest reads from its config drive, put together
 * for virt. */
#pragma once

#include "agent/agent.h"

typedef struct BootDisks {
    Agent *agent;
    const DvCtx *ctx;
    const Ovo *instance;
    const Ovo *image; /* glance metadata dict, may be empty or NULL */
    const Ovo *args;  /* admin_password, injected_files; may be NULL */
    const NetworkInfo *network;
    GuestSpec *spec; /* gets paths and formats */
} BootDisks;

/* Creates all disks, kernel and ramdisk included; nothing stays behind when it fails. */
bool boot_disks_create(const BootDisks *disks, GError **err);
/* The disks of a guest that is defined anew. Base files, kernel and ramdisk that are gone are made
 * again; from glance only on behalf of a user, as nova does. */
bool boot_disks_adopt(const BootDisks *disks, GError **err);
