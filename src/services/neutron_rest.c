/* Single calls to neutron; see neutron_priv.h. */
#include "services/neutron_priv.h"

#include <jansson.h>

#include "services/auth_priv.h"
#include "util/log.h"

#define EXTENSIONS_KEPT_MS ((int64_t)600 * 1000) /* [neutron] extension_sync_interval's default */
enum { MAX_LIST = 10000 };

/* Profile members that describe hardware of the host a port leaves. */
static const char *const host_profile_keys[] = {
    "pci_vendor_info",    "pci_slot", "allocation",     "arq_uuid",           "physical_network",
    "card_serial_number", "vf_num",   "pf_mac_address", "device_mac_address",
};

/* ---- small things ---- */

const char *neutron_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

json_t *neutron_by_id(const json_t *list, const char *id)
{
    json_t *value;
    size_t i;

    json_array_foreach(list, i, value)
    {
        if (g_strcmp0(neutron_text(value, "id"), id) == 0)
            return value;
    }
    return NULL;
}

char *neutron_device_owner(const NetworkInstance *instance)
{
    /* nova formats a missing zone as Python does */
    return g_strconcat(
        "compute:", instance->availability_zone ? instance->availability_zone : "None", NULL);
}

GString *neutron_query(const char *collection)
{
    return g_string_new(collection);
}

void neutron_filter(GString *query, const char *name, const char *value)
{
    g_autofree char *escaped = service_escape(value);

    g_string_append_printf(query, "%c%s=%s", strchr(query->str, '?') ? '&' : '?', name, escaped);
}

static char *port_path(const char *id)
{
    g_autofree char *escaped = service_escape(id);

    return g_strconcat("/v2.0/ports/", escaped, NULL);
}

/* ---- errors ---- */

static const struct {
    const char *type;
    DvErrorCode code;
} error_types[] = {
    {"IpAddressGenerationFailure", DV_E_NO_FIXED_IPS},
    {"HostNotCompatibleWithFixedIps", DV_E_NO_FIXED_IPS},
    {"IpAddressInUse", DV_E_FIXED_IP_IN_USE},
    {"IpAddressAlreadyAllocated", DV_E_FIXED_IP_IN_USE},
    {"InvalidIpForNetwork", DV_E_BAD_INPUT},
    {"OverQuota", DV_E_PORT_LIMIT},
    {"MacAddressInUse", DV_E_PORT_IN_USE},
    {"PortNotFound", DV_E_PORT_NOT_FOUND},
    {"NetworkNotFound", DV_E_NETWORK_NOT_FOUND},
};

/* Always false. neutron names the kind of an error in its type, finer than the status does. */
static bool fail_of(const json_t *answer, int status, GError **err)
{
    const json_t *error = json_object_get(answer, "NeutronError");
    const char *type = neutron_text(error, "type");
    const char *message = neutron_text(error, "message");
    g_autofree char *text = dv_redact(message                 ? message
                                      : json_is_string(error) ? json_string_value(error)
                                                              : "no reason given");

    for (size_t i = 0; i < G_N_ELEMENTS(error_types); i++) {
        if (g_strcmp0(type, error_types[i].type) == 0)
            return dv_fail(err, error_types[i].code, "neutron: %.300s", text);
    }
    return dv_fail(err, service_error_code(status), "neutron: %d: %.300s", status, text);
}

/* A call whose 4xx answers are read by their type. */
static bool call(Service *s, const DvCtx *ctx, ServiceIdentity identity, const char *method,
                 const char *path, json_t *body, json_t **out, GError **err)
{
    static const int typed[] = {400, 404, 409, 0};
    json_t *answer = NULL;
    int status = 0;

    if (!service_call(s, ctx, identity, method, path, NULL, body, typed, &status, &answer, err))
        return false;
    if (status >= 400) {
        fail_of(answer, status, err);
        json_decref(answer);
        return false;
    }
    *out = answer;
    return true;
}

/* ---- lists ---- */

bool neutron_list(Service *s, const DvCtx *ctx, ServiceIdentity identity, const GString *query,
                  const char *key, json_t **out, GError **err)
{
    json_t *answer = NULL;
    json_t *list;

    if (!call(s, ctx, identity, "GET", query->str, NULL, &answer, err))
        return false;
    list = json_object_get(answer, key);
    if (!json_is_array(list) || json_array_size(list) > MAX_LIST) {
        json_decref(answer);
        return dv_fail(err, DV_E_BAD_INPUT, "neutron: an answer without a usable list of %s", key);
    }
    *out = json_incref(list);
    json_decref(answer);
    return true;
}

bool neutron_instance_ok(const NetworkInstance *instance, GError **err)
{
    return (instance->uuid && instance->project_id && instance->host) ||
           dv_fail(err, DV_E_BAD_INPUT, "ports: want the instance's uuid, project and host");
}

static bool list_ports(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                       bool own_project, json_t **out, GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/ports");

    if (!neutron_instance_ok(instance, err))
        return false;
    if (own_project)
        neutron_filter(query, "tenant_id", instance->project_id);
    neutron_filter(query, "device_id", instance->uuid);
    return neutron_list(s, ctx, AS_SERVICE, query, "ports", out, err) ||
           dv_within(err, "ports of instance %s", instance->uuid);
}

bool neutron_list_ports(Service *s, const DvCtx *ctx, const NetworkInstance *instance, json_t **out,
                        GError **err)
{
    return list_ports(s, ctx, instance, true, out, err);
}

bool neutron_list_device_ports(Service *s, const DvCtx *ctx, const NetworkInstance *instance,
                               json_t **out, GError **err)
{
    return list_ports(s, ctx, instance, false, out, err);
}

static char **aliases_of(const json_t *extensions)
{
    GPtrArray *names = g_ptr_array_new();
    json_t *extension;
    size_t i;

    json_array_foreach(extensions, i, extension)
    {
        const char *alias = neutron_text(extension, "alias");

        if (alias)
            g_ptr_array_add(names, g_strdup(alias));
    }
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

bool neutron_has_extension(Service *s, const DvCtx *ctx, const char *alias, bool *out, GError **err)
{
    g_auto(GStrv) names = service_recall(s, "extensions", EXTENSIONS_KEPT_MS);

    if (!names) {
        g_autoptr(GString) query = neutron_query("/v2.0/extensions");
        json_t *list = NULL;

        if (!neutron_list(s, ctx, AS_SERVICE, query, "extensions", &list, err))
            return false;
        names = aliases_of(list);
        json_decref(list);
        service_remember(s, "extensions", (const char *const *)names);
    }
    *out = g_strv_contains((const char *const *)names, alias);
    return true;
}

/* ---- ports ---- */

bool neutron_port_check_binding(const json_t *port, GError **err)
{
    if (g_strcmp0(neutron_text(port, "binding:vif_type"), "binding_failed") != 0)
        return true;
    return dv_fail(err, DV_E_PORT_BINDING_FAILED,
                   "binding failed for port %s, please check neutron logs for more information",
                   neutron_text(port, "id"));
}

/* Takes the port out of an answer (stolen). */
static bool port_of(json_t *answer, json_t **out, GError **err)
{
    json_t *port = json_incref(json_object_get(answer, "port"));

    json_decref(answer);
    if (!neutron_text(port, "id")) {
        json_decref(port);
        return dv_fail(err, DV_E_BAD_INPUT, "neutron: an answer without a port");
    }
    *out = port;
    return true;
}

bool neutron_port_create(Service *s, const DvCtx *ctx, json_t *port, json_t **out, GError **err)
{
    json_t *answer = NULL;

    return call(s, ctx, AS_USER, "POST", "/v2.0/ports", json_pack("{s:o}", "port", port), &answer,
                err) &&
           port_of(answer, out, err);
}

bool neutron_port_update(Service *s, const DvCtx *ctx, ServiceIdentity identity, const char *id,
                         json_t *port, json_t **out, GError **err)
{
    g_autofree char *path = port_path(id);
    json_t *answer = NULL;
    json_t *updated = NULL;
    bool ok = call(s, ctx, identity, "PUT", path, json_pack("{s:o}", "port", port), &answer, err) &&
              port_of(answer, &updated, err) && neutron_port_check_binding(updated, err);

    if (ok && out)
        *out = json_incref(updated);
    json_decref(updated);
    return ok || dv_within(err, "updating port %s", id);
}

bool neutron_port_delete(Service *s, const DvCtx *ctx, const char *id, GError **err)
{
    static const int gone[] = {404, 0};
    g_autofree char *path = port_path(id);
    g_autoptr(GError) refused = NULL;

    if (service_call(s, ctx, AS_USER, "DELETE", path, NULL, NULL, gone, NULL, NULL, &refused))
        return true;
    /* A long operation outlives the token of the user who began it. */
    if (dv_is(refused, DV_E_DENIED) && ctx && ctx->auth_token)
        return service_call(s, ctx, AS_SERVICE, "DELETE", path, NULL, NULL, gone, NULL, NULL,
                            err) ||
               dv_within(err, "deleting port %s", id);
    g_propagate_error(err, g_steal_pointer(&refused));
    return dv_within(err, "deleting port %s", id);
}

bool neutron_port_call(Service *s, const DvCtx *ctx, const char *method, const char *port_id,
                       const char *rest, const int *accept, int *out_status, json_t **out,
                       GError **err)
{
    g_autofree char *port = port_path(port_id);
    g_autofree char *path = g_strconcat(port, rest, NULL);

    return service_call(s, ctx, AS_SERVICE, method, path, NULL, NULL, accept, out_status, out,
                        err) ||
           dv_within(err, "port %s", port_id);
}

static json_t *clean_profile(const json_t *port)
{
    const json_t *profile = json_object_get(port, "binding:profile");
    json_t *clean = json_is_object(profile) ? json_copy((json_t *)profile) : json_object();

    for (size_t i = 0; i < G_N_ELEMENTS(host_profile_keys); i++)
        json_object_del(clean, host_profile_keys[i]);
    return clean;
}

/* Whether names on this network belong to the user's own DNS zone. */
static bool has_dns_domain(Service *s, const DvCtx *ctx, const json_t *port)
{
    const char *network_id = neutron_text(port, "network_id");
    g_autoptr(GString) query = neutron_query("/v2.0/networks");
    json_t *list = NULL;
    const char *domain;
    bool has;

    if (!network_id)
        return false;
    neutron_filter(query, "id", network_id);
    neutron_filter(query, "fields", "dns_domain");
    if (!neutron_list(s, ctx, AS_SERVICE, query, "networks", &list, NULL))
        return false;
    domain = neutron_text(json_array_get(list, 0), "dns_domain");
    has = domain && *domain;
    json_decref(list);
    return has;
}

bool neutron_port_unbind(Service *s, const DvCtx *ctx, const json_t *port, GError **err)
{
    const char *id = neutron_text(port, "id");
    json_t *body = json_pack("{s:s, s:s, s:n, s:o}", "device_id", "", "device_owner", "",
                             "binding:host_id", "binding:profile", clean_profile(port));
    g_autoptr(GError) failure = NULL;
    bool dns = false;
    bool users_zone = false;

    if (!neutron_has_extension(s, ctx, "dns-integration", &dns, &failure)) {
        dv_warning(ctx, "port %s: its dns name stays: %s", id, failure->message);
        g_clear_error(&failure);
    }
    users_zone = dns && has_dns_domain(s, ctx, port);
    if (dns && !users_zone)
        json_object_set_new(body, "dns_name", json_string(""));
    if (!neutron_port_update(s, ctx, AS_SERVICE, id, body, NULL, &failure)) {
        if (dv_is(failure, DV_E_PORT_NOT_FOUND) || dv_is(failure, DV_E_NOT_FOUND))
            return true;
        g_propagate_error(err, g_steal_pointer(&failure));
        return false;
    }
    /* The record is in the user's zone, where only the user's token may write. */
    if (users_zone && !neutron_port_update(s, ctx, AS_USER, id, json_pack("{s:s}", "dns_name", ""),
                                           NULL, &failure))
        dv_warning(ctx, "port %s: its dns name stays: %s", id, failure->message);
    return true;
}
