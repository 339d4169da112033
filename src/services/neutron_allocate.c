/* neutron_allocate: the ports of a new instance or interface; see neutron.h.
 *
 * A list of steps in the order nova takes them. Ports made so far and ports bound so far are
 * remembered as they come to be, so that a failure anywhere gives them back. */
#include "services/neutron_priv.h"

#include <jansson.h>

#include "services/auth_priv.h"
#include "util/log.h"

/* One interface to be. */
typedef struct Nic {
    const NetworkRequest *request; /* NULL: the tenant's only network */
    char *network_id, *port_id;
    bool created, bound;
    json_t *given; /* the requested port as it was, or NULL */
} Nic;

typedef struct Allocation {
    Service *s;
    const DvCtx *ctx;
    const NetworkInstance *instance;
    const NetworkRequest *requests;
    size_t request_count;
    json_t *networks; /* visible to the user */
    json_t *groups;   /* ids of security groups for ports we make */
    GPtrArray *nics;  /* Nic */
    bool dns;         /* neutron keeps dns names of ports */
} Allocation;

static void nic_free(gpointer p)
{
    Nic *nic = p;

    g_free(nic->network_id);
    g_free(nic->port_id);
    json_decref(nic->given);
    g_free(nic);
}

static Nic *nic_add(Allocation *a, const NetworkRequest *request, const char *network_id)
{
    Nic *nic = g_new0(Nic, 1);

    nic->request = request;
    nic->network_id = g_strdup(network_id);
    g_ptr_array_add(a->nics, nic);
    return nic;
}

/* ---- what was asked for ---- */

static bool is_auto(const Allocation *a)
{
    return a->request_count > 0 && g_strcmp0(a->requests[0].network_id, "auto") == 0;
}

/* Neither a network nor a port: as good as no request. */
static bool is_unspecified(const Allocation *a)
{
    return a->request_count == 1 && !a->requests[0].network_id && !a->requests[0].port_id;
}

static bool port_is_usable(const Allocation *a, const json_t *port, GError **err)
{
    const char *id = neutron_text(port, "id");
    const char *device = neutron_text(port, "device_id");
    const char *dns_name = neutron_text(port, "dns_name");

    if (g_strcmp0(neutron_text(port, "tenant_id"), a->instance->project_id) != 0)
        return dv_fail(err, DV_E_PORT_NOT_USABLE,
                       "port %s is not usable for instance %s: it belongs to "
                       "another project",
                       id, a->instance->uuid);
    if (device && *device)
        return dv_fail(err, DV_E_PORT_IN_USE, "port %s is still in use", id);
    if (dns_name && *dns_name && g_strcmp0(dns_name, a->instance->hostname) != 0)
        return dv_fail(err, DV_E_PORT_NOT_USABLE_DNS,
                       "port %s is not usable for instance %s: its dns name %s is not the "
                       "hostname %s",
                       id, a->instance->uuid, dns_name, a->instance->hostname);
    /* What neutron shall guarantee the scheduler would have had to claim, and the binding to name.
     */
    if (json_object_size(json_object_get(port, "resource_request")) > 0)
        return dv_fail(err, DV_E_INTERFACE_RESOURCES,
                       "port %s has a QoS policy with a resource request, which this host cannot "
                       "promise",
                       id);
    return neutron_port_check_binding(port, err);
}

static bool list_requested_ports(Allocation *a, json_t **out, GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/ports");
    size_t n = 0;

    for (size_t i = 0; i < a->request_count; i++) {
        if (a->requests[i].port_id) {
            neutron_filter(query, "id", a->requests[i].port_id);
            n++;
        }
    }
    if (n == 0) {
        *out = json_array();
        return true;
    }
    return neutron_list(a->s, a->ctx, AS_SERVICE, query, "ports", out, err);
}

static bool read_requests(Allocation *a, GError **err)
{
    json_t *ports = NULL;
    bool ok;

    if (is_auto(a))
        return true;
    ok = list_requested_ports(a, &ports, err);
    for (size_t i = 0; ok && i < a->request_count; i++) {
        const NetworkRequest *request = &a->requests[i];
        json_t *port = NULL;
        Nic *nic;

        if (request->port_id) {
            port = neutron_by_id(ports, request->port_id);
            ok = port ? port_is_usable(a, port, err)
                      : dv_fail(err, DV_E_PORT_NOT_FOUND, "port %s could not be found",
                                request->port_id);
        }
        if (!ok || (!port && !request->network_id))
            continue;
        nic = nic_add(a, request, port ? neutron_text(port, "network_id") : request->network_id);
        nic->port_id = g_strdup(request->port_id);
        nic->given = json_incref(port);
    }
    json_decref(ports);
    return ok;
}

/* ---- networks ---- */

static bool list_named_networks(Allocation *a, GError **err)
{
    g_autoptr(GString) query = neutron_query("/v2.0/networks");

    if (a->nics->len == 0) { /* an empty filter would list all networks */
        a->networks = json_array();
        return true;
    }
    for (guint i = 0; i < a->nics->len; i++) {
        const Nic *nic = a->nics->pdata[i];

        neutron_filter(query, "id", nic->network_id ? nic->network_id : "");
    }
    return neutron_list(a->s, a->ctx, AS_USER, query, "networks", &a->networks, err);
}

/* The project's own networks, then the shared ones. */
static bool list_available_networks(Allocation *a, GError **err)
{
    g_autoptr(GString) own = neutron_query("/v2.0/networks");
    g_autoptr(GString) shared = neutron_query("/v2.0/networks");
    json_t *more = NULL;

    neutron_filter(own, "tenant_id", a->instance->project_id);
    neutron_filter(own, "shared", "False");
    if (is_auto(a)) /* a topology under construction is not up yet */
        neutron_filter(own, "admin_state_up", "True");
    neutron_filter(shared, "shared", "True");
    if (!neutron_list(a->s, a->ctx, AS_USER, own, "networks", &a->networks, err) ||
        !neutron_list(a->s, a->ctx, AS_USER, shared, "networks", &more, err))
        return false;
    json_array_extend(a->networks, more);
    json_decref(more);
    return true;
}

static bool make_topology(Allocation *a, GError **err)
{
    g_autofree char *project = service_escape(a->instance->project_id);
    g_autofree char *path = g_strconcat("/v2.0/auto-allocated-topology/", project, NULL);
    g_autoptr(GString) query = neutron_query("/v2.0/networks");
    json_t *answer = NULL;
    const char *id;
    bool ok;

    if (!service_call(a->s, a->ctx, AS_USER, "GET", path, NULL, NULL, NULL, NULL, &answer, err))
        return dv_within(err, "unable to automatically allocate a network for project %s",
                         a->instance->project_id);
    id = neutron_text(json_object_get(answer, "auto_allocated_topology"), "id");
    if (!id) {
        json_decref(answer);
        return dv_fail(err, DV_E_BAD_INPUT, "neutron: an auto-allocated topology without id");
    }
    neutron_filter(query, "id", id);
    json_decref(answer);
    g_clear_pointer(&a->networks, json_decref);
    ok = neutron_list(a->s, a->ctx, AS_USER, query, "networks", &a->networks, err);
    return ok;
}

/* Nothing in particular was asked for: the one network there is. */
static bool take_only_network(Allocation *a, GError **err)
{
    size_t count;

    if (!list_available_networks(a, err))
        return false;
    if (is_auto(a) && json_array_size(a->networks) == 0 && !make_topology(a, err))
        return false;
    count = json_array_size(a->networks);
    if (count > 1)
        return dv_fail(err, DV_E_NETWORK_AMBIGUOUS,
                       "multiple possible networks found, use a Network ID to be more specific");
    if (count == 0)
        return a->request_count == 0 ||
               dv_fail(err, DV_E_NETWORK_NOT_FOUND, "no network is available to project %s",
                       a->instance->project_id);
    nic_add(a, a->request_count ? &a->requests[0] : NULL,
            neutron_text(json_array_get(a->networks, 0), "id"));
    return true;
}

/* Networks the user cannot see: asked for by name, they do not exist; behind a port they are left
 * out, as nova does. */
static bool drop_unseen(Allocation *a, GError **err)
{
    for (guint i = 0; i < a->nics->len;) {
        Nic *nic = a->nics->pdata[i];

        if (neutron_by_id(a->networks, nic->network_id)) {
            i++;
            continue;
        }
        if (!nic->port_id)
            return dv_fail(err, DV_E_NETWORK_NOT_FOUND, "network %s could not be found",
                           nic->network_id);
        dv_warning(a->ctx, "port %s is left out: its network is not visible to the project",
                   nic->port_id);
        g_ptr_array_remove_index(a->nics, i);
    }
    return true;
}

static bool check_external(const Allocation *a, GError **err)
{
    json_t *network;
    size_t i;

    if (a->ctx && a->ctx->is_admin)
        return true;
    json_array_foreach(a->networks, i, network)
    {
        if (json_is_true(json_object_get(network, "router:external")) &&
            !json_is_true(json_object_get(network, "shared")))
            return dv_fail(err, DV_E_NETWORK_EXTERNAL,
                           "it is not allowed to create an interface on external network %s",
                           neutron_text(network, "id"));
    }
    return true;
}

static bool find_networks(Allocation *a, GError **err)
{
    bool free_choice = a->request_count == 0 || is_auto(a) || is_unspecified(a);

    if (free_choice)
        return take_only_network(a, err) && check_external(a, err);
    return list_named_networks(a, err) && drop_unseen(a, err) && check_external(a, err);
}

/* ---- security groups ---- */

static bool find_group(Allocation *a, const json_t *known, const char *wanted, GError **err)
{
    const char *by_name = NULL;
    const char *by_id = NULL;
    json_t *group;
    size_t i;

    json_array_foreach(known, i, group)
    {
        const char *id = neutron_text(group, "id");

        if (g_strcmp0(neutron_text(group, "name"), wanted) == 0) {
            if (by_name)
                return dv_fail(err, DV_E_BAD_INPUT,
                               "multiple security groups match '%s': use an id to be more specific",
                               wanted);
            by_name = id;
        }
        if (g_strcmp0(id, wanted) == 0)
            by_id = id;
    }
    if (!by_name && !by_id)
        return dv_fail(err, DV_E_NOT_FOUND, "security group %s not found", wanted);
    json_array_append_new(a->groups, json_string(by_name ? by_name : by_id));
    return true;
}

/* neutron gives a port the default group by itself. */
static bool find_groups(Allocation *a, GError **err)
{
    const char *const *names = a->instance->security_groups;
    g_autoptr(GString) query = neutron_query("/v2.0/security-groups");
    json_t *known = NULL;
    bool ok = true;

    a->groups = json_array();
    if (!names || !names[0] || (strcmp(names[0], "default") == 0 && !names[1]))
        return true;
    neutron_filter(query, "fields", "id");
    neutron_filter(query, "fields", "name");
    neutron_filter(query, "tenant_id", a->instance->project_id);
    if (!neutron_list(a->s, a->ctx, AS_USER, query, "security_groups", &known, err))
        return false;
    for (; ok && *names; names++)
        ok = find_group(a, known, *names, err);
    json_decref(known);
    return ok;
}

/* ---- ports ---- */

static bool check_port_security(const Allocation *a, const Nic *nic, GError **err)
{
    const json_t *network = neutron_by_id(a->networks, nic->network_id);
    bool secured = !json_is_false(json_object_get(network, "port_security_enabled"));

    if (secured ? json_array_size(json_object_get(network, "subnets")) > 0
                : json_array_size(a->groups) == 0)
        return true;
    return dv_fail(err, DV_E_BAD_INPUT,
                   "network %s requires port_security_enabled and a subnet in order to apply "
                   "security groups",
                   nic->network_id);
}

static bool create_port(Allocation *a, Nic *nic, GError **err)
{
    const char *address = nic->request ? nic->request->address : NULL;
    json_t *body = json_pack("{s:s, s:s, s:b, s:s}", "device_id", a->instance->uuid, "network_id",
                             nic->network_id, "admin_state_up", 1, "tenant_id",
                             a->instance->project_id);
    json_t *port = NULL;

    if (address)
        json_object_set_new(body, "fixed_ips", json_pack("[{s:s}]", "ip_address", address));
    if (json_array_size(a->groups) > 0)
        json_object_set(body, "security_groups", a->groups);
    if (!neutron_port_create(a->s, a->ctx, body, &port, err))
        return dv_within(err, "creating a port on network %s", nic->network_id);
    nic->port_id = g_strdup(neutron_text(port, "id"));
    nic->created = true;
    if (json_is_object(json_object_get(port, "resource_request"))) {
        json_decref(port);
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "network %s has a QoS policy with a resource request: make the port first "
                       "and boot with it",
                       nic->network_id);
    }
    json_decref(port);
    return true;
}

static bool create_ports(Allocation *a, GError **err)
{
    for (guint i = 0; i < a->nics->len; i++) {
        Nic *nic = a->nics->pdata[i];

        if (!check_port_security(a, nic, err) || (!nic->port_id && !create_port(a, nic, err)))
            return false;
    }
    return true;
}

/* The port may carry our instance's id although the update failed. A plain refusal changed nothing:
 * the port may even be somebody else's by now. */
static bool may_be_ours(const GError *failure)
{
    return dv_is(failure, DV_E_PORT_BINDING_FAILED) || dv_is(failure, DV_E_UNAVAILABLE) ||
           dv_is(failure, DV_E_TIMEOUT);
}

static bool bind_port(Allocation *a, Nic *nic, GError **err)
{
    const json_t *network = neutron_by_id(a->networks, nic->network_id);
    const char *domain = neutron_text(network, "dns_domain");
    json_t *profile = json_object_get(nic->given, "binding:profile");
    g_autofree char *owner = neutron_device_owner(a->instance);
    bool users_zone = a->dns && domain && *domain;
    g_autoptr(GError) failure = NULL;
    json_t *body = json_pack("{s:s, s:s, s:s}", "device_id", a->instance->uuid, "device_owner",
                             owner, "binding:host_id", a->instance->host);

    if (json_object_size(profile) > 0)
        json_object_set(body, "binding:profile", profile);
    if (a->dns && !users_zone && a->instance->hostname)
        json_object_set_new(body, "dns_name", json_string(a->instance->hostname));
    if (!neutron_port_update(a->s, a->ctx, AS_SERVICE, nic->port_id, body, NULL, &failure)) {
        nic->bound = may_be_ours(failure);
        g_propagate_error(err, g_steal_pointer(&failure));
        return false;
    }
    nic->bound = true;
    /* The record goes into the user's zone, where only the user's token may write. */
    return !users_zone || !a->instance->hostname ||
           neutron_port_update(a->s, a->ctx, AS_USER, nic->port_id,
                               json_pack("{s:s}", "dns_name", a->instance->hostname), NULL, err);
}

static bool bind_ports(Allocation *a, GError **err)
{
    if (a->nics->len > 0 && !neutron_has_extension(a->s, a->ctx, "dns-integration", &a->dns, err))
        return false;
    for (guint i = 0; i < a->nics->len; i++) {
        if (!bind_port(a, a->nics->pdata[i], err))
            return false;
    }
    return true;
}

/* ---- the result ---- */

static bool build_info(Allocation *a, NetworkInfo **out, GError **err)
{
    g_autoptr(GHashTable) preserve = g_hash_table_new(g_str_hash, g_str_equal);
    json_t *listed = NULL;
    json_t *ordered = json_array();
    json_t *vifs = NULL;
    bool ok = a->nics->len == 0 || neutron_list_ports(a->s, a->ctx, a->instance, &listed, err);

    for (guint i = 0; ok && i < a->nics->len; i++) {
        Nic *nic = a->nics->pdata[i];
        json_t *port = neutron_by_id(listed, nic->port_id);

        if (!port)
            ok = dv_fail(err, DV_E_PORT_NOT_FOUND, "port %s went away while it was bound",
                         nic->port_id);
        else
            json_array_append(ordered, port);
        if (!nic->created)
            g_hash_table_add(preserve, nic->port_id);
    }
    ok = ok && neutron_build_vifs(a->s, a->ctx, a->instance, ordered, preserve, &vifs, err);
    json_decref(listed);
    json_decref(ordered);
    if (ok)
        *out = network_info_take(vifs, err);
    return ok && *out;
}

/* ---- undo ---- */

static void give_back(Allocation *a)
{
    for (guint i = 0; i < a->nics->len; i++) {
        Nic *nic = a->nics->pdata[i];
        g_autoptr(GError) err = NULL;
        bool ok = true;

        if (nic->created)
            ok = neutron_port_delete(a->s, a->ctx, nic->port_id, &err);
        else if (nic->bound)
            ok = neutron_port_unbind(a->s, a->ctx, nic->given, &err);
        if (!ok)
            dv_warning(a->ctx, "port %s of instance %s is left behind: %s", nic->port_id,
                       a->instance->uuid, err->message);
    }
}

static bool (*const steps[])(Allocation *a, GError **err) = {
    read_requests, find_networks, find_groups, create_ports, bind_ports,
};

bool neutron_allocate(Service *neutron, const DvCtx *ctx, const NetworkInstance *instance,
                      const NetworkRequest *requests, size_t request_count, NetworkInfo **out,
                      GError **err)
{
    Allocation a = {.s = neutron,
                    .ctx = ctx,
                    .instance = instance,
                    .requests = requests,
                    .request_count = request_count};
    NetworkInfo *info = NULL;
    bool ok = true;

    if (!neutron_instance_ok(instance, err))
        return false;
    a.nics = g_ptr_array_new_with_free_func(nic_free);
    for (size_t i = 0; ok && i < G_N_ELEMENTS(steps); i++)
        ok = steps[i](&a, err);
    ok = ok && build_info(&a, &info, err);
    if (ok)
        *out = info;
    else
        give_back(&a);
    g_ptr_array_unref(a.nics);
    json_decref(a.networks);
    json_decref(a.groups);
    return ok;
}
