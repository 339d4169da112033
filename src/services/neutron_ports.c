/* Single ports of an instance: given up, their security groups, their addresses; see neutron.h.
 *
 * Sources    nova network/neutron.py deallocate_port_for_instance, add_fixed_ip_to_instance,
 *            remove_fixed_ip_from_instance; network/security_group_api.py
 *            get_instances_security_groups_bindings (Zed). */
#include "services/neutron_priv.h"

#include <jansson.h>

#include "util/log.h"

/* ---- giving up ---- */

bool neutron_release_port(Service *neutron, const DvCtx *ctx, const char *port_id, bool preserve,
                          GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/ports");
    json_t *ports = NULL;
    json_t *port;
    bool ok;

    if (!preserve)
        return neutron_port_delete(neutron, ctx, port_id, err);
    neutron_filter(query, "id", port_id);
    if (!neutron_list(neutron, ctx, AS_SERVICE, query, "ports", &ports, err))
        return dv_within(err, "port %s", port_id);
    port = neutron_by_id(ports, port_id);
    ok = !port || neutron_port_unbind(neutron, ctx, port, err);
    json_decref(ports);
    return ok;
}

/* ---- states ---- */

bool neutron_active_ports(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                          char ***out, GError **err)
{
    GPtrArray *ids;
    json_t *ports = NULL;
    json_t *port;
    size_t i;

    if (!neutron_list_device_ports(neutron, ctx, instance, &ports, err))
        return false;
    ids = g_ptr_array_new();
    json_array_foreach(ports, i, port)
    {
        const char *id = neutron_text(port, "id");

        if (id && g_strcmp0(neutron_text(port, "status"), "ACTIVE") == 0)
            g_ptr_array_add(ids, g_strdup(id));
    }
    json_decref(ports);
    g_ptr_array_add(ids, NULL);
    *out = (char **)g_ptr_array_free(ids, FALSE);
    return true;
}

/* ---- security groups ---- */

/* The groups that the ports name, by one call; *out stays NULL when they name none. */
static bool list_groups(Service *s, const DvCtx *ctx, const json_t *ports, json_t **out,
                        GError **err)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GString) query = neutron_query("/v2.0/security-groups");
    json_t *port;
    json_t *id;
    size_t i;
    size_t n;

    json_array_foreach(ports, i, port)
    {
        json_array_foreach(json_object_get(port, "security_groups"), n, id)
        {
            if (json_is_string(id) && g_hash_table_add(seen, g_strdup(json_string_value(id))))
                neutron_filter(query, "id", json_string_value(id));
        }
    }
    if (g_hash_table_size(seen) == 0) /* an empty filter would list all groups */
        return true;
    neutron_filter(query, "fields", "id");
    neutron_filter(query, "fields", "name");
    return neutron_list(s, ctx, AS_SERVICE, query, "security_groups", out, err);
}

bool neutron_group_names(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                         char ***out, GError **err)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    json_t *ports = NULL;
    json_t *groups = NULL;
    json_t *port;
    json_t *id;
    size_t i;
    size_t n;
    bool ok = neutron_list_ports(neutron, ctx, instance, &ports, err) &&
              list_groups(neutron, ctx, ports, &groups, err);

    json_array_foreach(ports, i, port)
    {
        json_array_foreach(json_object_get(port, "security_groups"), n, id)
        {
            const json_t *group = neutron_by_id(groups, json_string_value(id));
            const char *name = neutron_text(group, "name");

            if (group) /* else it is one that we may not see */
                g_ptr_array_add(names, g_strdup(name && *name ? name : json_string_value(id)));
        }
    }
    json_decref(groups);
    json_decref(ports);
    g_ptr_array_add(names, NULL);
    if (ok)
        *out = (char **)g_ptr_array_steal(names, NULL);
    g_ptr_array_unref(names);
    return ok;
}

/* ---- addresses ---- */

static bool list_own(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                     const char *filter, const char *value, json_t **out, GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/ports");
    g_autofree char *owner = neutron_device_owner(instance);

    neutron_filter(query, "device_id", instance->uuid);
    neutron_filter(query, "device_owner", owner);
    neutron_filter(query, filter, value);
    return neutron_list(s, ctx, AS_USER, query, "ports", out, err);
}

static bool set_addresses(Service *s, const DvCtx *ctx, const json_t *port, json_t *addresses,
                          GError **err)
{
    return neutron_port_update(s, ctx, AS_USER, neutron_text(port, "id"),
                               json_pack("{s:o}", "fixed_ips", addresses), NULL, err);
}

/* The first port and subnet that have room. */
static bool add_somewhere(Service *s, const DvCtx *ctx, const json_t *ports, const json_t *subnets)
{
    json_t *port;
    json_t *subnet;
    size_t i;
    size_t n;

    json_array_foreach(ports, i, port)
    {
        json_array_foreach(subnets, n, subnet)
        {
            json_t *addresses = json_copy(json_object_get(port, "fixed_ips"));
            g_autoptr(GError) full = NULL;

            if (!addresses)
                addresses = json_array();
            json_array_append_new(addresses,
                                  json_pack("{s:O}", "subnet_id", json_object_get(subnet, "id")));
            if (set_addresses(s, ctx, port, addresses, &full))
                return true;
            dv_debug(ctx, "no address for port %s on subnet %s: %s", neutron_text(port, "id"),
                     neutron_text(subnet, "id"), full->message);
        }
    }
    return false;
}

bool neutron_add_fixed_ip(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                          const char *network_id, GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/subnets");
    json_t *subnets = NULL;
    json_t *ports = NULL;
    bool ok;
    bool added;

    if (!neutron_instance_ok(instance, err))
        return false;
    neutron_filter(query, "network_id", network_id);
    ok = neutron_list(neutron, ctx, AS_USER, query, "subnets", &subnets, err) &&
         list_own(neutron, ctx, instance, "network_id", network_id, &ports, err);
    added = ok && add_somewhere(neutron, ctx, ports, subnets);
    json_decref(subnets);
    json_decref(ports);
    if (ok && !added)
        return dv_fail(err, DV_E_INSTANCE_NETWORK_NOT_FOUND,
                       "Network could not be found for instance %s.", instance->uuid);
    return ok;
}

static json_t *without(const json_t *addresses, const char *address)
{
    json_t *rest = json_array();
    json_t *entry;
    size_t i;

    json_array_foreach(addresses, i, entry)
    {
        if (g_strcmp0(neutron_text(entry, "ip_address"), address) != 0)
            json_array_append(rest, entry);
    }
    return rest;
}

bool neutron_remove_fixed_ip(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                             const char *address, GError **err)
{
    g_autofree char *filter = g_strdup_printf("ip_address=%s", address);
    json_t *ports = NULL;
    const json_t *port;
    bool ok;

    if (!neutron_instance_ok(instance, err) ||
        !list_own(neutron, ctx, instance, "fixed_ips", filter, &ports, err))
        return false;
    port = json_array_get(ports, 0);
    if (port) {
        ok = set_addresses(neutron, ctx, port, without(json_object_get(port, "fixed_ips"), address),
                           err);
    } else {
        ok = dv_fail(err, DV_E_FIXED_IP_NOT_FOUND, "Instance %s does not have fixed IP '%s'.",
                     instance->uuid, address);
    }
    json_decref(ports);
    return ok;
}
