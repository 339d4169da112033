/* Bindings of ports that move to another host; see neutron.h.
 *
 * conductor makes an inactive binding on the destination for each port before a live migration; one
 * call makes it the active one at the moment when the guest changes sides.
 * Sources    networking API v2.0, binding-extended; nova network/neutron.py migrate_instance_start,
 *            setup_networks_on_host (Zed). */
#include "services/neutron_priv.h"

#include <jansson.h>

#include "services/auth_priv.h"
#include "util/log.h"

#define EXTENSION "binding-extended"
#define MIGRATING_TO "migrating_to"

enum { ACTIVATE_TRIES = 5, ACTIVATE_PAUSE_MS = 300 };

bool neutron_has_bindings(Service *neutron, const DvCtx *ctx, bool *out, GError **err)
{
    return neutron_has_extension(neutron, ctx, EXTENSION, out, err);
}

static char *binding_path(const char *host, const char *rest)
{
    g_autofree char *escaped = service_escape(host);

    return g_strconcat("/bindings/", escaped, rest, NULL);
}

/* ---- activate ---- */

typedef enum { BINDING_NONE, BINDING_INACTIVE, BINDING_ACTIVE } BindingState;

static bool read_state(Service *s, const DvCtx *ctx, const char *port_id, const char *host,
                       BindingState *out, GError **err)
{
    static const int absent[] = {404, 0};
    g_autofree char *path = binding_path(host, "");
    json_t *answer = NULL;
    int status = 0;

    if (!neutron_port_call(s, ctx, "GET", port_id, path, absent, &status, &answer, err))
        return false;
    if (status == 404)
        *out = BINDING_NONE;
    else if (g_strcmp0(neutron_text(json_object_get(answer, "binding"), "status"), "ACTIVE") == 0)
        *out = BINDING_ACTIVE;
    else
        *out = BINDING_INACTIVE;
    json_decref(answer);
    return true;
}

/* One try. neutron answers 409 to what is active already, and 404 where there is none. */
static bool activate(Service *s, const DvCtx *ctx, const char *port_id, const char *host,
                     bool *out_none, GError **err)
{
    static const int expected[] = {404, 409, 0};
    g_autofree char *path = binding_path(host, "/activate");
    int status = 0;

    if (!neutron_port_call(s, ctx, "PUT", port_id, path, expected, &status, NULL, err))
        return false;
    *out_none = status == 404;
    return true;
}

static bool fail_activate(const char *port_id, const char *host, const GError *why, GError **err)
{
    return dv_fail(err, DV_E_BINDING_ACTIVATE,
                   "Failed to activate binding for port %s on host %s; please check neutron logs "
                   "for more information (%s)",
                   port_id, host, why->message);
}

/* *out_none: the port has no binding there. neutron's agents report on the port just then, and its
 * two transactions may fail one another, or one that failed may have done its work: only then is
 * the binding looked at. */
static bool activate_port(Service *s, const DvCtx *ctx, const char *port_id, const char *host,
                          bool *out_none, GError **err)
{
    g_autoptr(GError) why = NULL;

    for (unsigned try = 1;; try++) {
        BindingState state = BINDING_INACTIVE;

        g_clear_error(&why);
        if (try > 1 && read_state(s, ctx, port_id, host, &state, &why) &&
            state != BINDING_INACTIVE) {
            *out_none = state == BINDING_NONE;
            return true;
        }
        if (!why && activate(s, ctx, port_id, host, out_none, &why))
            return true;
        if (!dv_is(why, DV_E_UNAVAILABLE) || try >= ACTIVATE_TRIES)
            return fail_activate(port_id, host, why, err);
        dv_debug(ctx, "port %s: binding to %s not activated, trying again: %s", port_id, host,
                 why->message);
        g_usleep(ACTIVATE_PAUSE_MS * 1000UL * try);
    }
}

bool neutron_activate_bindings(Service *neutron, const DvCtx *ctx, const NetworkInfo *ports,
                               const char *host, GError **err)
{
    bool has = false;
    bool none = false;

    if (!neutron_has_bindings(neutron, ctx, &has, err))
        return false;
    for (size_t i = 0; has && !none && i < network_info_count(ports); i++) {
        const char *id = network_info_at(ports, i)->id;

        if (!activate_port(neutron, ctx, id, host, &none, err))
            return false;
        if (none)
            dv_debug(ctx, "port %s has no binding to host %s: bound later", id, host);
    }
    return true;
}

/* ---- what the ports' profiles say of the move ---- */

/* The instance's ports that are bound to the host of its record. */
static bool list_bound(Service *s, const DvCtx *ctx, const NetworkInstance *instance, json_t **out,
                       GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/ports");

    if (!neutron_instance_ok(instance, err))
        return false;
    neutron_filter(query, "device_id", instance->uuid);
    neutron_filter(query, "tenant_id", instance->project_id);
    neutron_filter(query, "binding:host_id", instance->host);
    return neutron_list(s, ctx, AS_SERVICE, query, "ports", out, err) ||
           dv_within(err, "ports of instance %s", instance->uuid);
}

static const char *goes_to(const json_t *port)
{
    return neutron_text(json_object_get(port, "binding:profile"), MIGRATING_TO);
}

/* host NULL: it does not move any more. */
static bool set_goes_to(Service *s, const DvCtx *ctx, const json_t *port, const char *host,
                        GError **err)
{
    const json_t *old = json_object_get(port, "binding:profile");
    json_t *profile = json_is_object(old) ? json_copy((json_t *)old) : json_object();

    if (host)
        json_object_set_new(profile, MIGRATING_TO, json_string(host));
    else
        json_object_del(profile, MIGRATING_TO);
    return neutron_port_update(s, ctx, AS_SERVICE, neutron_text(port, "id"),
                               json_pack("{s:o}", "binding:profile", profile), NULL, err);
}

bool neutron_set_migrating_to(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                              const char *host, GError **err)
{
    bool ok = true;
    json_t *ports = NULL;
    json_t *port;
    size_t i;

    if (g_strcmp0(instance->host, host) == 0)
        return true;
    if (!list_bound(neutron, ctx, instance, &ports, err))
        return false;
    json_array_foreach(ports, i, port)
    {
        if (ok && neutron_text(port, "id") && g_strcmp0(goes_to(port), host) != 0)
            ok = set_goes_to(neutron, ctx, port, host, err);
    }
    json_decref(ports);
    return ok;
}

static bool clear_goes_to(Service *s, const DvCtx *ctx, const json_t *ports, GError **err)
{
    json_t *port;
    size_t i;

    json_array_foreach(ports, i, port)
    {
        if (neutron_text(port, "id") && goes_to(port) && !set_goes_to(s, ctx, port, NULL, err))
            return false;
    }
    return true;
}

static bool delete_bindings(Service *s, const DvCtx *ctx, const json_t *ports, const char *host,
                            GError **err)
{
    static const int gone[] = {404, 0};
    g_autofree char *path = binding_path(host, "");
    g_autoptr(GString) failed = g_string_new(NULL);
    json_t *port;
    size_t i;

    json_array_foreach(ports, i, port)
    {
        const char *id = neutron_text(port, "id");
        g_autoptr(GError) why = NULL;

        if (!id || neutron_port_call(s, ctx, "DELETE", id, path, gone, NULL, NULL, &why))
            continue;
        dv_warning(ctx, "binding to host %s stays: %s", host, why->message);
        g_string_append_printf(failed, "%s%s", failed->len ? "," : "", id);
    }
    return !failed->len ||
           dv_fail(err, DV_E_BINDING_DELETE,
                   "Failed to delete binding for port(s) %s on host %s; please check neutron logs "
                   "for more information",
                   failed->str, host);
}

bool neutron_forget_host(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                         const char *host, GError **err)
{
    bool has = false;
    bool ok;
    json_t *ports = NULL;

    if (!list_bound(neutron, ctx, instance, &ports, err))
        return false;
    ok = clear_goes_to(neutron, ctx, ports, err) && neutron_has_bindings(neutron, ctx, &has, err) &&
         (!has || g_strcmp0(instance->host, host) == 0 ||
          delete_bindings(neutron, ctx, ports, host, err));
    json_decref(ports);
    return ok;
}

/* ---- a guest has come here with its ports ---- */

struct NeutronPorts {
    json_t *list;
};

void neutron_ports_free(NeutronPorts *ports)
{
    if (!ports)
        return;
    json_decref(ports->list);
    g_free(ports);
}

NeutronPorts *neutron_ports_here(Service *neutron, const DvCtx *ctx,
                                 const NetworkInstance *instance, GError **err)
{
    g_autoptr(NeutronPorts) ports = g_new0(NeutronPorts, 1);

    if (!neutron_list_ports(neutron, ctx, instance, &ports->list, err))
        return NULL;
    for (size_t i = 0; i < json_array_size(ports->list); i++) {
        const json_t *port = json_array_get(ports->list, i);
        json_t *bound = NULL;

        if (!neutron_text(port, "id") || !neutron_needs_binding(port, instance->host))
            continue;
        if (!neutron_bind_port(neutron, ctx, instance, port, &bound, err))
            return NULL;
        json_array_set_new(ports->list, i, bound);
    }
    return g_steal_pointer(&ports);
}

/* All of them as `old` has them but for their bindings; NULL: something else is new as well. */
static json_t *renewed(const NetworkInstance *instance, const NetworkInfo *old, const json_t *ports)
{
    json_t *vifs = json_array();
    size_t count = network_info_count(old);

    for (size_t i = 0; vifs && i < count; i++) {
        const json_t *port = neutron_by_id(ports, network_info_at(old, i)->id);
        json_t *vif = port ? neutron_renew_vif(instance, network_info_json_at(old, i), port) : NULL;

        if (vif)
            json_array_append_new(vifs, vif);
        else
            g_clear_pointer(&vifs, json_decref);
    }
    if (vifs && json_array_size(ports) != count)
        g_clear_pointer(&vifs, json_decref);
    return vifs;
}

bool neutron_ports_info(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                        const NeutronPorts *ports, const NetworkInfo *old, NetworkInfo **out,
                        GError **err)
{
    json_t *vifs = renewed(instance, old, ports->list);
    NetworkInfo *info;

    if (!vifs && !neutron_read_info(neutron, ctx, instance, old, ports->list, &vifs, err))
        return false;
    info = network_info_take(vifs, err);
    if (info)
        *out = info;
    return info != NULL;
}

bool neutron_ports_forget(Service *neutron, const DvCtx *ctx, const NeutronPorts *ports,
                          const char *host, GError **err)
{
    bool has = false;

    return clear_goes_to(neutron, ctx, ports->list, err) &&
           neutron_has_bindings(neutron, ctx, &has, err) &&
           (!has || delete_bindings(neutron, ctx, ports->list, host, err));
}
