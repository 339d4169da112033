/* network_data.json: the guest's links, its first IPv4 and IPv6 network on each, and DNS.
 *
 * Where a subnet has DHCP only that is said; otherwise address, mask and routes are spelled out. */
#include "objects/metadata_priv.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Types that guests know by name; all others are physical links to them. */
static const char *const exposed_types[] = {"bridge", "dvs",       "hw_veb", "hyperv", "ovs",
                                            "tap",    "vhostuser", "vif",    NULL};

json_t *metadata_text(const char *text)
{
    json_t *value = text ? json_string(text) : NULL; /* NULL: no UTF-8 */

    return value ? value : json_null();
}

/* "10.0.0.5/24" as network address and mask, both as text. */
static bool cidr_parts(const char *cidr, char network[INET6_ADDRSTRLEN],
                       char mask[INET6_ADDRSTRLEN])
{
    g_auto(GStrv) parts = cidr ? g_strsplit(cidr, "/", 2) : NULL;
    int family = cidr && strchr(cidr, ':') ? AF_INET6 : AF_INET;
    guint64 bits = family == AF_INET6 ? 128 : 32;
    unsigned char net[16] = {0}, bit_mask[16] = {0};
    size_t length = (size_t)bits / 8;

    if (!parts || !parts[0] || inet_pton(family, parts[0], net) != 1 ||
        (parts[1] && !g_ascii_string_to_unsigned(parts[1], 10, 0, bits, &bits, NULL)))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned set = (unsigned)CLAMP((int)bits - (int)i * 8, 0, 8);

        bit_mask[i] = (unsigned char)(0xff00u >> set);
        net[i] &= bit_mask[i];
    }
    return inet_ntop(family, net, network, INET6_ADDRSTRLEN) &&
           inet_ntop(family, bit_mask, mask, INET6_ADDRSTRLEN);
}

static const VifSubnet *first_subnet(const Vif *vif, int version)
{
    for (size_t i = 0; i < vif->subnet_count; i++)
        if (vif->subnets[i].version == version)
            return &vif->subnets[i];
    return NULL;
}

static json_t *link_mtu(const Vif *vif)
{
    for (size_t i = 0; i < vif->subnet_count; i++)
        if (vif->subnets[i].dhcp_server)
            return json_null(); /* DHCP says it */
    return vif->mtu ? json_integer(vif->mtu) : json_null();
}

static json_t *link_of(const Vif *vif, const char *id)
{
    bool exposed = vif->type && g_strv_contains(exposed_types, vif->type);

    return json_pack("{s:s, s:o, s:s, s:o, s:o}", "id", id, "vif_id", metadata_text(vif->id),
                     "type", exposed ? vif->type : "phy", "mtu", link_mtu(vif),
                     "ethernet_mac_address", metadata_text(vif->address));
}

static json_t *dns_services(const VifSubnet *subnet)
{
    json_t *services = json_array();

    for (size_t i = 0; subnet->dns && subnet->dns[i]; i++)
        json_array_append_new(services,
                              json_pack("{s:s, s:s}", "type", "dns", "address", subnet->dns[i]));
    return services;
}

static json_t *route(const char *network, const char *mask, const char *gateway)
{
    return json_pack("{s:s, s:s, s:o}", "network", network, "netmask", mask, "gateway",
                     metadata_text(gateway));
}

static json_t *routes_of(const VifSubnet *subnet)
{
    const char *any = subnet->version == 6 ? "::" : "0.0.0.0";
    json_t *routes = json_array();

    if (subnet->gateway && *subnet->gateway)
        json_array_append_new(routes, route(any, any, subnet->gateway));
    for (size_t i = 0; i < subnet->route_count; i++) {
        char network[INET6_ADDRSTRLEN], mask[INET6_ADDRSTRLEN];

        if (cidr_parts(subnet->routes[i].cidr, network, mask))
            json_array_append_new(routes, route(network, mask, subnet->routes[i].gateway));
    }
    return routes;
}

static json_t *network_of(const Vif *vif, const VifSubnet *subnet, size_t number, const char *link)
{
    g_autofree char *id = g_strdup_printf("network%zu", number);
    g_autofree char *type = NULL;
    char network[INET6_ADDRSTRLEN], mask[INET6_ADDRSTRLEN];
    bool has_mask;

    if (!subnet->ipv6_address_mode && subnet->dhcp_server) {
        type = g_strdup_printf("ipv%d_dhcp", subnet->version);
        return json_pack("{s:s, s:s, s:s, s:o}", "id", id, "type", type, "link", link, "network_id",
                         metadata_text(vif->network_id));
    }
    type = g_strdup_printf("ipv%d%s%s", subnet->version, subnet->ipv6_address_mode ? "_" : "",
                           subnet->ipv6_address_mode ? subnet->ipv6_address_mode : "");
    has_mask = cidr_parts(subnet->cidr, network, mask);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "id", id, "type", type, "link",
                     link, "ip_address", subnet->ips[0], "netmask",
                     metadata_text(has_mask ? mask : NULL), "routes", routes_of(subnet),
                     "network_id", metadata_text(vif->network_id), "services",
                     dns_services(subnet));
}

/* Each server once, however many subnets name it. */
static void merge_services(json_t *all, const VifSubnet *subnet)
{
    json_t *mine = dns_services(subnet), *item;
    size_t known = json_array_size(all), i;

    json_array_foreach(mine, i, item)
    {
        bool there = false;

        for (size_t k = 0; k < known && !there; k++)
            there = json_equal(json_array_get(all, k), item);
        if (!there)
            json_array_append(all, item);
    }
    json_decref(mine);
}

json_t *metadata_network(const NetworkInfo *network)
{
    json_t *links = NULL, *networks = NULL, *services = NULL;
    size_t count = network ? network_info_count(network) : 0, interface = 0;

    if (count == 0)
        return json_object();
    links = json_array();
    networks = json_array();
    services = json_array();
    for (size_t i = 0; i < count; i++) {
        const Vif *vif = network_info_at(network, i);
        g_autofree char *link = NULL;

        if (!vif->network_id || vif->subnet_count == 0)
            continue;
        link = vif->devname && *vif->devname ? g_strdup(vif->devname)
                                             : g_strdup_printf("interface%zu", interface);
        interface++;
        if (first_subnet(vif, 4) || first_subnet(vif, 6))
            json_array_append_new(links, link_of(vif, link));
        for (int version = 4; version <= 6; version += 2) {
            const VifSubnet *subnet = first_subnet(vif, version);

            if (!subnet || !subnet->ips || !subnet->ips[0])
                continue;
            json_array_append_new(networks,
                                  network_of(vif, subnet, json_array_size(networks), link));
            merge_services(services, subnet);
        }
    }
    return json_pack("{s:o, s:o, s:o}", "links", links, "networks", networks, "services", services);
}
