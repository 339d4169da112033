/* What the files of the libvirt driver share; not for anybody outside this folder (tests excepted).
 *
 * guest.c     list, define, start, destroy, states        console.c  console log, VNC address
 * power.c     shutdown, power off, pause, save, launch    caps.c     capabilities, traits
 * host.c      HostFacts                                   driver.c   the ops table
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
    GHashTable *ours DV_GUARDED_BY(lock); /* uuid -> GINT_TO_POINTER(is a nova guest) + 1 */
} LibvirtDriver;

/* --- guest.c */
bool guest_list(void *self, GPtrArray **out, GError **err);
bool guest_state(void *self, const char *uuid, GuestState *out, GError **err);
bool guest_plug(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
bool guest_unplug(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
bool guest_start(void *self, const DvCtx *ctx, const GuestSpec *spec, bool paused, GError **err);
bool guest_define(void *self, const DvCtx *ctx, const GuestSpec *spec, GError **err);
bool guest_destroy(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_describe(void *self, const char *uuid, char **out_xml, GError **err);
/* The domain of a uuid; *out NULL when there is none. */
bool guest_lookup(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err);
/* The same where there must be one: else DV_E_INSTANCE_NOT_FOUND. */
bool guest_find(LibvirtDriver *driver, const char *uuid, virDomainPtr *out, GError **err);

/* --- power.c */
bool guest_resume(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_shutdown(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_power_down(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_launch(void *self, const DvCtx *ctx, const char *uuid, bool paused, GError **err);
bool guest_pause(void *self, const DvCtx *ctx, const char *uuid, GError **err);
bool guest_save(void *self, const DvCtx *ctx, const char *uuid, GError **err);
/* Ends a domain at once; off or gone: success. */
bool guest_domain_off(LibvirtDriver *driver, virDomainPtr domain, GError **err);

/* --- console.c */
bool console_output(void *self, const DvCtx *ctx, const char *uuid, size_t max_bytes, char **out,
                    size_t *out_length, GError **err);
bool console_vnc(void *self, const DvCtx *ctx, const char *uuid, VirtConsole *out, GError **err);

/* --- host.c */
bool host_facts_read(void *self, HostFacts **out, GError **err);
