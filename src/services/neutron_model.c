/* Ports as neutron lists them -> the VIF dicts of nova's network info; see neutron_priv.h.
 *
 * Key set and types are those of nova network/model.py: Python readers index the dicts, so a key
 * that has nothing to say is there with null, {} or []. docs/wire/rest.md section 3.1. */
#include "services/neutron_priv.h"

#include <jansson.h>

#include "services/auth_priv.h"
#include "util/log.h"

enum { NIC_NAME_LEN = 14 };

/* What the ports refer to, fetched with one call each. */
typedef struct Surroundings {
    json_t *networks, *subnets, *dhcp_ports, *floating_ips;
} Surroundings;

static void surroundings_done(Surroundings *around)
{
    json_decref(around->networks);
    json_decref(around->subnets);
    json_decref(around->dhcp_ports);
    json_decref(around->floating_ips);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Surroundings, surroundings_done)

/* ---- fetching ---- */

/* Adds name=value unless this value is there already; true when it was new. */
static void filter_once(GString *query, GHashTable *seen, const char *name, const char *value)
{
    if (value && g_hash_table_add(seen, g_strdup(value)))
        neutron_filter(query, name, value);
}

static bool fetch_networks(Service *s, const DvCtx *ctx, const json_t *ports, Surroundings *around,
                           GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) networks = neutron_query("/v2.0/networks");
    g_autoptr(GString) dhcp = neutron_query("/v2.0/ports");
    json_t *port;
    size_t i;

    json_array_foreach(ports, i, port)
        filter_once(networks, seen, "id", neutron_text(port, "network_id"));
    g_hash_table_remove_all(seen);
    json_array_foreach(ports, i, port)
        filter_once(dhcp, seen, "network_id", neutron_text(port, "network_id"));
    neutron_filter(dhcp, "device_owner", "network:dhcp");
    return neutron_list(s, ctx, AS_SERVICE, networks, "networks", &around->networks, err) &&
           neutron_list(s, ctx, AS_SERVICE, dhcp, "ports", &around->dhcp_ports, err);
}

static bool fetch_subnets(Service *s, const DvCtx *ctx, const json_t *ports, Surroundings *around,
                          GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) query = neutron_query("/v2.0/subnets");
    json_t *port;
    json_t *ip;
    size_t i;
    size_t n;

    json_array_foreach(ports, i, port)
    {
        json_array_foreach(json_object_get(port, "fixed_ips"), n, ip)
            filter_once(query, seen, "id", neutron_text(ip, "subnet_id"));
    }
    if (g_hash_table_size(seen) == 0) { /* an empty filter would list all subnets */
        around->subnets = json_array();
        return true;
    }
    return neutron_list(s, ctx, AS_SERVICE, query, "subnets", &around->subnets, err);
}

static bool fetch_floating_ips(Service *s, const DvCtx *ctx, const json_t *ports,
                               Surroundings *around, GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/floatingips");
    json_t *port;
    bool router = false;
    size_t i;

    around->floating_ips = NULL;
    if (!neutron_has_extension(s, ctx, "router", &router, err))
        return false;
    if (!router) {
        around->floating_ips = json_array();
        return true;
    }
    json_array_foreach(ports, i, port) neutron_filter(query, "port_id", neutron_text(port, "id"));
    return neutron_list(s, ctx, AS_SERVICE, query, "floatingips", &around->floating_ips, err);
}

/* ---- IPs ---- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* An IP dict; address NULL gives one that says "none". */
static json_t *ip_json(const char *address, const char *type)
{
    json_t *version = !address               ? json_null()
                      : strchr(address, ':') ? json_integer(6)
                                             : json_integer(4);

    return json_pack("{s:o, s:s, s:o, s:{}}", "address", text_or_null(address), "type", type,
                     "version", version, "meta");
}

static json_t *floating_json(const Surroundings *around, const char *port_id, const char *address)
{
    json_t *list = json_array();
    json_t *fip;
    size_t i;

    json_array_foreach(around->floating_ips, i, fip)
    {
        const char *floating = neutron_text(fip, "floating_ip_address");

        if (floating && g_strcmp0(neutron_text(fip, "port_id"), port_id) == 0 &&
            g_strcmp0(neutron_text(fip, "fixed_ip_address"), address) == 0)
            json_array_append_new(list, ip_json(floating, "floating"));
    }
    return list;
}

static json_t *fixed_ips_json(const Surroundings *around, const json_t *port, const char *subnet_id)
{
    json_t *list = json_array();
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(port, "fixed_ips"), i, entry)
    {
        const char *address = neutron_text(entry, "ip_address");
        json_t *ip;

        if (!address || g_strcmp0(neutron_text(entry, "subnet_id"), subnet_id) != 0)
            continue;
        ip = ip_json(address, "fixed");
        json_object_set_new(ip, "floating_ips",
                            floating_json(around, neutron_text(port, "id"), address));
        json_array_append_new(list, ip);
    }
    return list;
}

/* ---- subnets ---- */

/* The last DHCP port with an address there, as nova picks it; else, where DHCP is on, the gateway.
 */
static const char *dhcp_server_of(const Surroundings *around, const json_t *subnet)
{
    const char *id = neutron_text(subnet, "id");
    const char *found = NULL;
    json_t *port;
    json_t *ip;
    size_t i;
    size_t n;

    json_array_foreach(around->dhcp_ports, i, port)
    {
        json_array_foreach(json_object_get(port, "fixed_ips"), n, ip)
        {
            if (g_strcmp0(neutron_text(ip, "subnet_id"), id) == 0) {
                found = neutron_text(ip, "ip_address");
                break;
            }
        }
    }
    if (!found && json_is_true(json_object_get(subnet, "enable_dhcp")))
        found = neutron_text(subnet, "gateway_ip");
    return found;
}

static json_t *routes_json(const json_t *subnet)
{
    json_t *list = json_array();
    json_t *route;
    size_t i;

    json_array_foreach(json_object_get(subnet, "host_routes"), i, route)
    {
        const char *destination = neutron_text(route, "destination");
        const char *nexthop = neutron_text(route, "nexthop");

        if (destination && nexthop)
            json_array_append_new(list,
                                  json_pack("{s:s, s:o, s:n, s:{}}", "cidr", destination, "gateway",
                                            ip_json(nexthop, "gateway"), "interface", "meta"));
    }
    return list;
}

static json_t *dns_json(const json_t *subnet)
{
    json_t *list = json_array();
    json_t *server;
    size_t i;

    json_array_foreach(json_object_get(subnet, "dns_nameservers"), i, server)
    {
        if (json_is_string(server))
            json_array_append_new(list, ip_json(json_string_value(server), "dns"));
    }
    return list;
}

static json_t *subnet_meta_json(const Surroundings *around, const json_t *subnet)
{
    const char *mode = neutron_text(subnet, "ipv6_address_mode");
    const char *dhcp_server = dhcp_server_of(around, subnet);
    json_t *meta = json_object();

    if (mode && *mode)
        json_object_set_new(meta, "ipv6_address_mode", json_string(mode));
    if (dhcp_server)
        json_object_set_new(meta, "dhcp_server", json_string(dhcp_server));
    else if (json_is_true(json_object_get(subnet, "enable_dhcp")))
        json_object_set_new(meta, "dhcp_server", json_null()); /* no gateway either */
    return meta;
}

static json_t *subnet_json(const Surroundings *around, const json_t *port, const json_t *subnet)
{
    const char *cidr = neutron_text(subnet, "cidr");

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "cidr", text_or_null(cidr), "dns", dns_json(subnet),
        "gateway", ip_json(neutron_text(subnet, "gateway_ip"), "gateway"), "ips",
        fixed_ips_json(around, port, neutron_text(subnet, "id")), "routes", routes_json(subnet),
        "version", cidr && strchr(cidr, ':') ? 6 : 4, "meta", subnet_meta_json(around, subnet));
}

static bool port_uses(const json_t *port, const char *subnet_id)
{
    json_t *ip;
    size_t i;

    json_array_foreach(json_object_get(port, "fixed_ips"), i, ip)
    {
        if (g_strcmp0(neutron_text(ip, "subnet_id"), subnet_id) == 0)
            return true;
    }
    return false;
}

static json_t *subnets_json(const Surroundings *around, const json_t *port)
{
    json_t *list = json_array();
    json_t *subnet;
    size_t i;

    json_array_foreach(around->subnets, i, subnet)
    { /* in neutron's order, as nova lists them */
        if (port_uses(port, neutron_text(subnet, "id")))
            json_array_append_new(list, subnet_json(around, port, subnet));
    }
    return list;
}

/* ---- the network ---- */

static bool is_tunnel(const char *network_type)
{
    return g_strcmp0(network_type, "vxlan") == 0 || g_strcmp0(network_type, "gre") == 0 ||
           g_strcmp0(network_type, "geneve") == 0;
}

/* Of several segments the first that has a physical network counts. */
static const char *physical_network_of(const json_t *network, bool *out_tunneled)
{
    const json_t *segments = json_object_get(network, "segments");
    const char *type = neutron_text(network, "provider:network_type");
    json_t *segment;
    size_t i;

    json_array_foreach(segments, i, segment)
    {
        const char *physnet = neutron_text(segment, "provider:physical_network");

        if (physnet) {
            *out_tunneled = false;
            return physnet;
        }
        type = neutron_text(segment, "provider:network_type");
    }
    *out_tunneled = is_tunnel(type);
    return neutron_text(network, "provider:physical_network");
}

static bool detail_is_true(const json_t *port, const char *key)
{
    return json_is_true(json_object_get(json_object_get(port, "binding:vif_details"), key));
}

/* The bridge a VIF type is plugged into, NULL for types without one. Caller frees. */
static char *bridge_of(const NetworkInstance *instance, const json_t *port)
{
    const char *type = neutron_text(port, "binding:vif_type");
    const char *network_id = neutron_text(port, "network_id");
    const char *named = neutron_text(json_object_get(port, "binding:vif_details"), "bridge_name");
    g_autofree char *linuxbridge = g_strconcat("brq", network_id ? network_id : "", NULL);
    const char *ovs = instance->ovs_bridge ? instance->ovs_bridge : "br-int";
    const char *fallback = NULL;

    if (g_strcmp0(type, "dvs") == 0)
        return g_strdup(network_id); /* a port group's name, never cut */
    if (g_strcmp0(type, "ovs") == 0 || g_strcmp0(type, "agilio_ovs") == 0)
        fallback = ovs;
    else if (g_strcmp0(type, "bridge") == 0)
        fallback = linuxbridge;
    else if (g_strcmp0(type, "vhostuser") == 0 && detail_is_true(port, "vhostuser_ovs_plug"))
        fallback = ovs;
    else if (g_strcmp0(type, "vhostuser") == 0 && detail_is_true(port, "vhostuser_fp_plug"))
        fallback = linuxbridge;
    if (!fallback)
        return NULL;
    return g_strndup(named ? named : fallback, NIC_NAME_LEN);
}

static bool has_ovs_interface(const json_t *port)
{
    const char *type = neutron_text(port, "binding:vif_type");

    return g_strcmp0(type, "ovs") == 0 || g_strcmp0(type, "agilio_ovs") == 0 ||
           (g_strcmp0(type, "vhostuser") == 0 && detail_is_true(port, "vhostuser_ovs_plug"));
}

static json_t *network_meta_json(const NetworkInstance *instance, const json_t *port,
                                 const json_t *network)
{
    const char *tenant = neutron_text(network ? network : port, "tenant_id");
    json_t *mtu = json_object_get(network, "mtu");
    bool tunneled = false;
    const char *physnet = physical_network_of(network, &tunneled);

    return json_pack("{s:b, s:o, s:O, s:o, s:b}", "injected", instance->flat_injected, "tenant_id",
                     text_or_null(tenant), "mtu", mtu ? mtu : json_null(), "physical_network",
                     text_or_null(physnet), "tunneled", tunneled);
}

static void set_should_create(json_t *meta, const json_t *port)
{
    if (g_strcmp0(neutron_text(port, "binding:vif_type"), "bridge") == 0)
        json_object_set_new(meta, "should_create_bridge", json_true());
    else
        json_object_del(meta, "should_create_bridge");
}

static json_t *network_json(const NetworkInstance *instance, const Surroundings *around,
                            const json_t *port)
{
    const char *id = neutron_text(port, "network_id");
    const json_t *network = neutron_by_id(around->networks, id);
    g_autofree char *bridge = bridge_of(instance, port);
    json_t *meta = network_meta_json(instance, port, network);

    set_should_create(meta, port);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "id", text_or_null(id), "bridge",
                     text_or_null(bridge), "label", text_or_null(neutron_text(network, "name")),
                     "subnets", subnets_json(around, port), "meta", meta);
}

/* ---- the VIF ---- */

static json_t *object_or_empty(const json_t *port, const char *key)
{
    json_t *value = json_object_get(port, key);

    return json_is_object(value) ? json_incref(value) : json_object();
}

static bool is_active(const json_t *port)
{
    return json_is_false(json_object_get(port, "admin_state_up")) ||
           g_strcmp0(neutron_text(port, "status"), "ACTIVE") == 0;
}

static json_t *vif_json(const NetworkInstance *instance, const Surroundings *around,
                        const json_t *port, bool preserve)
{
    const char *id = neutron_text(port, "id");
    const char *vnic = neutron_text(port, "binding:vnic_type");
    g_autofree char *long_name = g_strconcat("tap", id, NULL);
    g_autofree char *devname = g_strndup(long_name, NIC_NAME_LEN);

    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:n, s:n, s:b, s:s, s:o, s:b, s:b, s:{}}",
                     "id", id, "address", text_or_null(neutron_text(port, "mac_address")),
                     "network", network_json(instance, around, port), "type",
                     text_or_null(neutron_text(port, "binding:vif_type")), "details",
                     object_or_empty(port, "binding:vif_details"), "devname", devname,
                     "ovs_interfaceid", text_or_null(has_ovs_interface(port) ? id : NULL),
                     "qbh_params", "qbg_params", "active", is_active(port), "vnic_type",
                     vnic ? vnic : "normal", "profile", object_or_empty(port, "binding:profile"),
                     "preserve_on_delete", preserve, "delegate_create", 1, "meta");
}

/* ---- a VIF whose port came to another host ---- */

static bool has_address(const json_t *port, const char *address)
{
    json_t *ip;
    size_t i;

    json_array_foreach(json_object_get(port, "fixed_ips"), i, ip)
    {
        if (g_strcmp0(neutron_text(ip, "ip_address"), address) == 0)
            return true;
    }
    return false;
}

/* In its network, with its MAC address and exactly its fixed addresses. */
static bool is_still(const json_t *vif, const json_t *port)
{
    const json_t *network = json_object_get(vif, "network");
    json_t *subnet;
    json_t *ip;
    size_t count = 0;
    size_t i;
    size_t n;

    json_array_foreach(json_object_get(network, "subnets"), i, subnet)
    {
        json_array_foreach(json_object_get(subnet, "ips"), n, ip)
        {
            if (!has_address(port, neutron_text(ip, "address")))
                return false;
            count++;
        }
    }
    return count == json_array_size(json_object_get(port, "fixed_ips")) &&
           g_strcmp0(neutron_text(network, "id"), neutron_text(port, "network_id")) == 0 &&
           g_strcmp0(neutron_text(vif, "address"), neutron_text(port, "mac_address")) == 0;
}

/* What a nova-compute that reads the addresses hangs on them for itself, and sends along. */
static void strip_labels(json_t *network)
{
    static const char *const labels[] = {"label", "vif_mac"};
    json_t *subnet;
    json_t *ip;
    size_t i;
    size_t n;

    json_array_foreach(json_object_get(network, "subnets"), i, subnet)
    {
        json_array_foreach(json_object_get(subnet, "ips"), n, ip)
        {
            for (size_t k = 0; k < G_N_ELEMENTS(labels); k++) {
                json_object_del(ip, labels[k]);
                json_object_del(json_object_get(ip, "meta"), labels[k]);
            }
        }
    }
}

json_t *neutron_renew_vif(const NetworkInstance *instance, const json_t *vif, const json_t *port)
{
    const char *vnic = neutron_text(port, "binding:vnic_type");
    g_autofree char *bridge = bridge_of(instance, port);
    json_t *fresh;
    json_t *network;

    if (!is_still(vif, port) ||
        !json_is_object(json_object_get(json_object_get(vif, "network"), "meta")))
        return NULL;
    fresh = json_deep_copy(vif);
    network = json_object_get(fresh, "network");
    strip_labels(network);
    json_object_set_new(network, "bridge", text_or_null(bridge));
    set_should_create(json_object_get(network, "meta"), port);
    json_object_set_new(fresh, "type", text_or_null(neutron_text(port, "binding:vif_type")));
    json_object_set_new(fresh, "details", object_or_empty(port, "binding:vif_details"));
    json_object_set_new(fresh, "ovs_interfaceid",
                        text_or_null(has_ovs_interface(port) ? neutron_text(port, "id") : NULL));
    json_object_set_new(fresh, "active", json_boolean(is_active(port)));
    json_object_set_new(fresh, "vnic_type", json_string(vnic ? vnic : "normal"));
    json_object_set_new(fresh, "profile", object_or_empty(port, "binding:profile"));
    return fresh;
}

bool neutron_build_vifs(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                        const json_t *ports, GHashTable *preserve, json_t **out, GError **err)
{
    g_auto(Surroundings) around = {0};
    json_t *list;
    json_t *port;
    size_t i;

    if (json_array_size(ports) == 0) {
        *out = json_array();
        return true;
    }
    if (!fetch_networks(s, ctx, ports, &around, err) ||
        !fetch_subnets(s, ctx, ports, &around, err) ||
        !fetch_floating_ips(s, ctx, ports, &around, err))
        return dv_within(err, "network info of instance %s", instance->uuid);
    list = json_array();
    json_array_foreach(ports, i, port)
    {
        const char *id = neutron_text(port, "id");
        json_t *vif = id ? vif_json(instance, &around, port, g_hash_table_contains(preserve, id))
                         : NULL;

        if (!vif) {
            json_decref(list);
            return dv_fail(err, DV_E_BAD_INPUT, "neutron: a port that is not one");
        }
        json_array_append_new(list, vif);
    }
    *out = list;
    return true;
}
