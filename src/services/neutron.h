/* Neutron: the ports of an instance, as nova's network API uses them.
 *
 * Identity   the user's token for what the user could do alone (reading networks and security
 * groups, creating and deleting ports), the group's own for bindings and for the network info.
 * Errors     DV_E_PORT_*, DV_E_NETWORK_*, DV_E_NO_FIXED_IPS, ... ; DV_E_UNAVAILABLE.
 * Threads    any.
 * Sources    networking API v2.0; nova network/neutron.py (Zed). */
#pragma once

#include "objects/network_info.h"
#include "services/auth.h"

/* One requested network of build_and_run_instance (objects.NetworkRequest). NULL: not given. */
typedef struct NetworkRequest {
    const char *network_id, *port_id, *address, *tag;
} NetworkRequest;

typedef struct NetworkInstance {
    const char *uuid, *project_id, *hostname; /* hostname: dns_name */
    const char *availability_zone;
    const char *host;                   /* binding:host_id */
    const char *const *security_groups; /* ids or names, NULL-terminated, may be NULL */
    const char *ovs_bridge;             /* [neutron] ovs_bridge; NULL: br-int */
    bool flat_injected;                 /* [DEFAULT] flat_injected */
} NetworkInstance;

/* Creates missing ports, binds them and the given ones to the host, and returns the network info
 * (in the order of the requests). `requests` with count 0: the tenant's single network; "none" is
 * handled by the caller; a request for network "auto" may create one. On failure everything it
 * created is deleted and everything it bound is unbound. Ports that are not deleted with the
 * instance are marked preserve_on_delete. */
bool neutron_allocate(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                      const NetworkRequest *requests, size_t request_count, NetworkInfo **out,
                      GError **err);
/* Deletes ports nova made, unbinds those marked preserve_on_delete in `info` (may be NULL) or
 * listed in `requested_ports` (NULL-terminated, may be NULL). Ports that are gone are ignored. */
bool neutron_deallocate(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                        const NetworkInfo *info, const char *const *requested_ports, GError **err);
/* Reads the instance's ports anew into a network info; keeps preserve_on_delete and order of `old`
 * (may be NULL). `port_id` not NULL: only that port is read, the others are taken from old. */
bool neutron_refresh(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                     const NetworkInfo *old, const char *port_id, NetworkInfo **out, GError **err);
/* Binds all ports of the instance to instance->host where they are bound elsewhere or unbound.
 * *out_changed may be NULL. */
bool neutron_bind_host(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                       bool *out_changed, GError **err);

/* ---- single ports and addresses (neutron_ports.c) ---- */

/* Gives one port up: unbinds it when it is to be preserved, deletes it otherwise. One that is gone
 * is done. */
bool neutron_release_port(Service *neutron, const DvCtx *ctx, const char *port_id, bool preserve,
                          GError **err);
/* The ids of the instance's ports that neutron has as ACTIVE: whose plugging is done.
 * NULL-terminated, g_strfreev. */
bool neutron_active_ports(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                          char ***out, GError **err);
/* Names of the security groups of the instance's ports, port by port. NULL-terminated,
 * g_strfreev. */
bool neutron_group_names(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                         char ***out, GError **err);
/* One more address on a port of that network. DV_E_INSTANCE_NETWORK_NOT_FOUND: no subnet there, no
 * port there, or no address left. */
bool neutron_add_fixed_ip(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                          const char *network_id, GError **err);
/* Takes the address from the port that has it. DV_E_FIXED_IP_NOT_FOUND. */
bool neutron_remove_fixed_ip(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                             const char *address, GError **err);

/* ---- bindings of ports that move to another host (neutron_bindings.c) ---- */

/* What hosts the ports are bound to while a guest moves. In these, instance->host is the host that
 * the instance's record names. Without neutron's extension binding-extended a port has one binding,
 * which changes at the end. */

/* Whether a port can have bindings on several hosts. */
bool neutron_has_bindings(Service *neutron, const DvCtx *ctx, bool *out, GError **err);
/* Makes the inactive bindings on `host` that conductor has made the active ones, and so the others
 * inactive; a port that has none there ends it, as nothing was prepared. Active already: success. A
 * race of neutron's own (500) is tried again. DV_E_BINDING_ACTIVATE. */
bool neutron_activate_bindings(Service *neutron, const DvCtx *ctx, const NetworkInfo *ports,
                               const char *host, GError **err);
/* A guest has come: its ports as neutron has them, those bound elsewhere or nowhere bound to
 * instance->host just now. */
typedef struct NeutronPorts NeutronPorts;
NeutronPorts *neutron_ports_here(Service *neutron, const DvCtx *ctx,
                                 const NetworkInstance *instance, GError **err);
void neutron_ports_free(NeutronPorts *ports);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NeutronPorts, neutron_ports_free)
/* Their network info. Where nothing but their bindings has changed since `old`, nothing more is
 * asked. */
bool neutron_ports_info(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                        const NeutronPorts *ports, const NetworkInfo *old, NetworkInfo **out,
                        GError **err);
/* neutron_forget_host of these ports: nothing is listed for it. host: not instance->host. */
bool neutron_ports_forget(Service *neutron, const DvCtx *ctx, const NeutronPorts *ports,
                          const char *host, GError **err);
/* Before the move: neutron is told where the ports go ("migrating_to"). */
bool neutron_set_migrating_to(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                              const char *host, GError **err);
/* After it, whichever way it ended: that goes, and so do the bindings on `host`, unless it is the
 * instance's own. DV_E_BINDING_DELETE names the ports that keep theirs. */
bool neutron_forget_host(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                         const char *host, GError **err);
