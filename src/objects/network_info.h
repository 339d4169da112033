/* The network info model: the VIF list that InstanceInfoCache.network_info holds as JSON text.
 *
 * Readers get plain structs; the JSON stays underneath, so that keys we do not know survive a
 * rewrite. Ownership  strings of the structs are borrowed from the NetworkInfo. Threads    one
 * NetworkInfo belongs to one thread at a time. Sources    nova network/model.py (Zed);
 * docs/wire/rest.md section 3.1. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef struct json_t json_t;
typedef struct NetworkInfo NetworkInfo;

typedef struct VifRoute {
    const char *cidr, *gateway;
} VifRoute;

typedef struct VifSubnet {
    const char *cidr, *gateway, *dhcp_server, *ipv6_address_mode; /* NULL: none */
    int version;                                                  /* 4 or 6 */
    const char *const *dns;                                       /* NULL-terminated */
    const char *const *ips; /* fixed addresses on this subnet, NULL-terminated */
    const VifRoute *routes;
    size_t route_count;
} VifSubnet;

typedef struct Vif {
    const char *id;      /* port id */
    const char *address; /* MAC */
    const char *type;    /* bridge, ovs, ... */
    const char *devname; /* tap + port id, 14 characters */
    const char *ovs_interfaceid;
    const char *vnic_type;
    bool active, preserve_on_delete;
    const char *network_id, *bridge, *label, *tenant_id;
    int mtu;                           /* 0: not given */
    bool port_filter, ovs_hybrid_plug; /* vif_details */
    const char *datapath_type;         /* vif_details of OVS ports: system, netdev; or NULL */
    bool delegate_create;              /* the compute agent makes the OVS port, not libvirt */
    const VifSubnet *subnets;
    size_t subnet_count;
} Vif;

NetworkInfo *network_info_new(void);
/* From the cache's text, bounded. */
NetworkInfo *network_info_parse(const char *text, GError **err);
/* From a JSON array of VIF dicts; stolen. */
NetworkInfo *network_info_take(json_t *vifs, GError **err);
void network_info_free(NetworkInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetworkInfo, network_info_free)

char *network_info_text(const NetworkInfo *info); /* caller frees */
size_t network_info_count(const NetworkInfo *info);
const Vif *network_info_at(const NetworkInfo *info, size_t i);
const Vif *network_info_find(const NetworkInfo *info, const char *port_id); /* NULL: not there */
/* The JSON dict of VIF i, borrowed; for migrate data. */
json_t *network_info_json_at(const NetworkInfo *info, size_t i);
/* The same as a new reference: the result of attach_interface. */
json_t *network_info_value_at(const NetworkInfo *info, size_t i);
/* Puts a copy of VIF i of `from` at the end; one with the same id goes. */
bool network_info_put(NetworkInfo *info, const NetworkInfo *from, size_t i, GError **err);
/* Drops a VIF; false when it is not there. */
bool network_info_remove(NetworkInfo *info, const char *port_id);
