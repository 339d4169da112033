/* Making a guest: what a boot, a rebuild, an unshelve and the end of a resize have in common.
 *
 * Each function is one step with an outside effect, so that an operation puts those it needs into
 * its own table, between saves of its own: spec, devices, disks, guest (paused), plugged, resume,
 * and at last the fields of a running instance. What saves and claims surround them is for the
 * operation to say.
 *
 * Ownership  the caller's fields are borrowed; spawn_done frees what the steps made.
 * Errors     those of guest_spec.h, virt/disk/disks.h, virt/driver.h; DV_E_VIF_PLUG.
 * Threads    on the operation's worker.
 * Sources    nova virt/libvirt/driver.py spawn, compute/manager.py _build_resources (Zed). */
#pragma once

#include "agent/ops/boot_disks.h"

typedef struct Spawn {
    /* given; borrowed until spawn_done */
    Agent *agent;
    const DvCtx *ctx;
    Ovo *instance;
    const Ovo *image; /* glance metadata dict, NULL: what the instance remembers of its image */
    const Ovo *bdms;  /* BlockDeviceMappingList */
    const Ovo *args;  /* passwords and injected files for the config drive; may be NULL */
    const NetworkInfo *network;
    /* made by the steps */
    GuestSpec *spec;
    WaitSet *plugged;
    bool defined;     /* already before the start */
    bool secret_made; /* the instance had none */
} Spawn;

void spawn_done(Spawn *spawn);

/* Images are not verified here: DV_E_TRUSTED_CERTS for a server whose user wants that. The instance
 * has trusted_certs loaded. */
bool spawn_check_certs(const Ovo *instance, GError **err);
/* Describes the guest. DV_E_UNSUPPORTED: what this host cannot give. */
bool spawn_spec(Spawn *spawn, GError **err);
/* Device names and buses go into the mappings that lack them, which are saved; the root device's
 * name goes into the instance, which is not. */
bool spawn_name_devices(Spawn *spawn, GError **err);
/* The secret of the guest's TPM, when it has one, goes into the spec: for a guest that shall start,
 * read or made in the key manager. A second call does nothing. */
bool spawn_tpm(Spawn *spawn, GError **err);
/* A secret that spawn_tpm has made goes again; troubles are logged. */
void spawn_tpm_undo(Spawn *spawn);
/* What the disks of this guest are made of; all of it borrowed from `spawn`. */
BootDisks spawn_boot_disks(const Spawn *spawn);
/* Makes the disks, and with tagged devices the instance's device_metadata, unsaved, for which the
 * guest is defined; nothing stays behind when it fails. */
bool spawn_disks(Spawn *spawn, GError **err);
/* Plugs the ports and starts the guest paused, its waits for the ports registered before. Nothing
 * is defined when it fails. */
bool spawn_guest(Spawn *spawn, GError **err);
/* Waits for network-vif-plugged, as vif_plugging_timeout and vif_plugging_is_fatal say. When events
 * may have been lost, and before it gives up, neutron is asked. */
bool spawn_plugged(Spawn *spawn, GError **err);
bool spawn_resume(Spawn *spawn, GError **err);

/* Into the instance object, unsaved: power state, config drive, the defaults that this host chose,
 * access addresses. */
void spawn_record(Spawn *spawn);

/* The ports exist: binds those that are not bound to this host, and reads their network info, which
 * is not stored. *out is the caller's. */
bool spawn_bind_networks(Agent *agent, const DvCtx *ctx, const Ovo *instance, NetworkInfo **out,
                         GError **err);
/* The same, and it is stored. out may be NULL; it is set, too, when only the storing fails. */
bool spawn_networks(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out, GError **err);
