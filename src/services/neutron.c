/* The ports an instance has: given up, read anew, bound to this host; see neutron.h.
 *
 * neutron_allocate.c makes them, neutron_model.c turns them into network info, neutron_rest.c holds
 * the single calls. */
#include "services/neutron_priv.h"

#include <jansson.h>

#include "util/log.h"

/* ---- deallocate ---- */

static bool is_listed(const char *const *names, const char *name)
{
    return names && g_strv_contains(names, name);
}

static bool is_preserved(const NetworkInfo *info, const char *const *requested_ports,
                         const char *port_id)
{
    const Vif *vif = info ? network_info_find(info, port_id) : NULL;

    return (vif && vif->preserve_on_delete) || is_listed(requested_ports, port_id);
}

bool neutron_deallocate(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                        const NetworkInfo *info, const char *const *requested_ports, GError **err)
{
    g_autoptr(GError) first = NULL;
    json_t *ports = NULL;
    json_t *port;
    size_t i;

    /* Only ports that carry this instance's id: a requested port that another instance holds (the
     * reason why this boot failed) must stay as it is. Of whatever project, as nova asks: what an
     * administrator plugged in is given up with the rest. */
    if (!neutron_list_device_ports(neutron, ctx, instance, &ports, err))
        return false;
    json_array_foreach(ports, i, port)
    {
        const char *id = neutron_text(port, "id");
        g_autoptr(GError) failure = NULL;
        bool preserved = id && is_preserved(info, requested_ports, id);

        if (!id || (preserved ? neutron_port_unbind(neutron, ctx, port, &failure)
                              : neutron_port_delete(neutron, ctx, id, &failure)))
            continue;
        dv_warning(ctx, "port %s of instance %s: %s", id, instance->uuid, failure->message);
        if (!first && !preserved)
            first = g_steal_pointer(&failure);
    }
    json_decref(ports);
    if (!first)
        return true;
    g_propagate_error(err, g_steal_pointer(&first));
    return false;
}

/* ---- refresh ---- */

static GHashTable *preserved_of(const NetworkInfo *old)
{
    GHashTable *set = g_hash_table_new(g_str_hash, g_str_equal);

    for (size_t i = 0; old && i < network_info_count(old); i++) {
        const Vif *vif = network_info_at(old, i);

        if (vif->preserve_on_delete)
            g_hash_table_add(set, (gpointer)vif->id);
    }
    return set;
}

/* Ports in the order of `old`, those it does not know after them. */
static json_t *ports_in_order(const json_t *ports, const NetworkInfo *old)
{
    json_t *ordered = json_array();
    json_t *port;
    size_t i;

    for (size_t n = 0; old && n < network_info_count(old); n++) {
        port = neutron_by_id(ports, network_info_at(old, n)->id);
        if (port)
            json_array_append(ordered, port);
    }
    json_array_foreach(ports, i, port)
    {
        const char *id = neutron_text(port, "id");

        if (id && !(old && network_info_find(old, id)))
            json_array_append(ordered, port);
    }
    return ordered;
}

bool neutron_read_info(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                       const NetworkInfo *old, const json_t *ports, json_t **out, GError **err)
{
    g_autoptr(GHashTable) preserve = preserved_of(old);
    json_t *ordered = ports_in_order(ports, old);
    bool ok = neutron_build_vifs(s, ctx, instance, ordered, preserve, out, err);

    json_decref(ordered);
    return ok;
}

/* Index in `old` of a port, or the length of it. */
static size_t index_of(const NetworkInfo *old, const char *port_id)
{
    size_t i = 0;

    while (i < network_info_count(old) && strcmp(network_info_at(old, i)->id, port_id) != 0)
        i++;
    return i;
}

static bool refresh_one(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                        const NetworkInfo *old, const json_t *ports, const char *port_id,
                        json_t **out, GError **err)
{
    g_autoptr(GHashTable) preserve = preserved_of(old);
    json_t *port = neutron_by_id(ports, port_id);
    size_t index = index_of(old, port_id);
    json_t *list = json_array();
    json_t *fresh = NULL;
    bool ok = true;

    for (size_t i = 0; i < network_info_count(old); i++)
        json_array_append_new(list, json_deep_copy(network_info_json_at(old, i)));
    if (port) {
        json_t *single = json_pack("[O]", port);

        ok = neutron_build_vifs(s, ctx, instance, single, preserve, &fresh, err);
        json_decref(single);
        if (ok && index < json_array_size(list))
            json_array_set(list, index, json_array_get(fresh, 0));
        else if (ok)
            json_array_extend(list, fresh);
        json_decref(fresh);
    } else {
        json_array_remove(list, index);
    }
    if (ok)
        *out = list;
    else
        json_decref(list);
    return ok;
}

bool neutron_refresh(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                     const NetworkInfo *old, const char *port_id, NetworkInfo **out, GError **err)
{
    json_t *ports = NULL;
    json_t *vifs = NULL;
    NetworkInfo *info;
    bool ok;

    if (!neutron_list_ports(neutron, ctx, instance, &ports, err))
        return false;
    if (port_id && old && network_info_count(old) > 0)
        ok = refresh_one(neutron, ctx, instance, old, ports, port_id, &vifs, err);
    else
        ok = neutron_read_info(neutron, ctx, instance, old, ports, &vifs, err);
    json_decref(ports);
    if (!ok)
        return false;
    info = network_info_take(vifs, err);
    if (info)
        *out = info;
    return info != NULL;
}

/* ---- bind ---- */

bool neutron_needs_binding(const json_t *port, const char *host)
{
    const char *type = neutron_text(port, "binding:vif_type");

    return g_strcmp0(neutron_text(port, "binding:host_id"), host) != 0 ||
           g_strcmp0(type, "unbound") == 0 || g_strcmp0(type, "binding_failed") == 0;
}

static json_t *binding_body(const json_t *port, const NetworkInstance *instance)
{
    json_t *profile = json_object_get(port, "binding:profile");
    g_autofree char *owner = neutron_device_owner(instance);
    json_t *body = json_pack("{s:s, s:s}", "binding:host_id", instance->host, "device_owner",
                             owner);

    if (json_object_get(profile, "migrating_to")) {
        json_t *settled = json_copy(profile);

        json_object_del(settled, "migrating_to");
        json_object_set_new(body, "binding:profile", settled);
    }
    return body;
}

bool neutron_bind_port(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                       const json_t *port, json_t **out, GError **err)
{
    return neutron_port_update(s, ctx, AS_SERVICE, neutron_text(port, "id"),
                               binding_body(port, instance), out, err);
}

bool neutron_bind_host(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                       bool *out_changed, GError **err)
{
    bool changed = false;
    bool ok = true;
    json_t *ports = NULL;
    json_t *port;
    size_t i;

    if (!neutron_list_ports(neutron, ctx, instance, &ports, err))
        return false;
    json_array_foreach(ports, i, port)
    {
        const char *id = neutron_text(port, "id");

        if (!ok || !id || !neutron_needs_binding(port, instance->host))
            continue;
        ok = neutron_bind_port(neutron, ctx, instance, port, NULL, err);
        changed = changed || ok;
    }
    json_decref(ports);
    if (ok && out_changed)
        *out_changed = changed;
    return ok;
}
