/* The network info cache of an instance; see network_cache.h.
 * Sources: nova network/neutron.py get_instance_nw_info, base_api.py
 * update_instance_cache_with_nw_info. */
#include "agent/network_cache.h"

#include "agent/live_queue.h"
#include "util/log.h"

enum { LATE_MS = 3000 };

typedef struct Refresh {
    Agent *agent;
    DvCtx *ctx;
    char *uuid;
    char *port_id; /* NULL: all */
    char *key;     /* in agent->refreshes */
} Refresh;

static const char *const refresh_attrs[] = {"info_cache", NULL};

NetworkInstance network_instance_of(const Agent *agent, const Ovo *instance)
{
    return (NetworkInstance){
        .uuid = ovo_str_or(instance, "uuid", NULL),
        .project_id = ovo_str_or(instance, "project_id", NULL),
        .hostname = ovo_str_or(instance, "hostname", NULL),
        .availability_zone = ovo_str_or(instance, "availability_zone", NULL),
        .host = agent->config.host,
    };
}

NetworkInfo *network_cache_read(const Ovo *instance, GError **err)
{
    g_autoptr(Ovo) cache = ovo_child(instance, "info_cache");
    const char *text = cache ? ovo_str_or(cache, "network_info", NULL) : NULL;

    return text && *text ? network_info_parse(text, err) : network_info_new();
}

void network_cache_set(Ovo *instance, const NetworkInfo *info)
{
    g_autoptr(Ovo) cache = ovo_child(instance, "info_cache");
    g_autofree char *text = network_info_text(info);

    if (cache)
        ovo_set_str(cache, "network_info", text);
}

bool network_cache_store(Agent *agent, const DvCtx *ctx, Ovo *instance, const NetworkInfo *info,
                         GError **err)
{
    g_autofree char *text = network_info_text(info);

    if (!conductor_info_cache_save(agent->con, ctx, ovo_str_or(instance, "uuid", ""), text, err))
        return false;
    network_cache_set(instance, info);
    return true;
}

/* port_id NULL: all ports. */
static bool refresh(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *port_id,
                    NetworkInfo **out_info, GError **err)
{
    NetworkInstance who = network_instance_of(agent, instance);
    g_autoptr(NetworkInfo) old = network_cache_read(instance, err);
    g_autoptr(NetworkInfo) info = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;

    if (!old || !neutron_refresh(agent->neutron, ctx, &who, old, port_id, &info, err))
        return dv_within(err, "refreshing the network info cache");
    before = network_info_text(old);
    after = network_info_text(info);
    if (strcmp(before, after) != 0 && !network_cache_store(agent, ctx, instance, info, err))
        return false;
    if (out_info)
        *out_info = g_steal_pointer(&info);
    return true;
}

bool network_cache_refresh(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out_info,
                           GError **err)
{
    return refresh(agent, ctx, instance, NULL, out_info, err);
}

bool network_cache_take(Agent *agent, const DvCtx *ctx, Ovo *instance, NeutronPorts **out_ports,
                        NetworkInfo **out_info, GError **err)
{
    const NetworkInstance who = network_instance_of(agent, instance);
    g_autoptr(NetworkInfo) old = network_cache_read(instance, err);
    g_autoptr(NeutronPorts) ports = old ? neutron_ports_here(agent->neutron, ctx, &who, err) : NULL;
    g_autoptr(NetworkInfo) info = NULL;

    if (!ports || !neutron_ports_info(agent->neutron, ctx, &who, ports, old, &info, err) ||
        !network_cache_store(agent, ctx, instance, info, err))
        return dv_within(err, "ports");
    *out_ports = g_steal_pointer(&ports);
    *out_info = g_steal_pointer(&info);
    return true;
}

static void refresh_free(void *arg)
{
    Refresh *job = arg;

    dv_ctx_unref(job->ctx);
    g_free(job->uuid);
    g_free(job->port_id);
    g_free(job->key);
    g_free(job);
}

/* While a guest migrates live its ports change over to the destination, where neutron for a moment
 * has them nowhere. The destination reads them when it has taken the instance over. */
static bool is_settled_here(const Agent *agent, const Ovo *instance)
{
    return g_strcmp0(ovo_str_or(instance, "host", NULL), agent->config.host) == 0 &&
           strcmp(ovo_str_or(instance, "task_state", ""), "migrating") != 0;
}

static void refresh_run(void *arg)
{
    Refresh *job = arg;
    Agent *agent = job->agent;
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) instance = NULL;

    pending_remove(agent->refreshes, job->key);
    if (!conductor_instance_get(agent->con, job->ctx, job->uuid, refresh_attrs, &instance, &err)) {
        if (!dv_is(err, DV_E_INSTANCE_NOT_FOUND))
            dv_warning(job->ctx, "network info cache not refreshed: %s", err->message);
        refresh_free(job);
        return;
    }
    if (is_settled_here(agent, instance) &&
        !refresh(agent, job->ctx, instance, job->port_id, NULL, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(job->ctx, "%s", err->message);
    refresh_free(job);
}

void network_cache_want_port(Agent *agent, const DvCtx *ctx, const char *instance_uuid,
                             const char *port_id)
{
    g_autofree char *key = port_id ? g_strconcat(instance_uuid, "/", port_id, NULL)
                                   : g_strdup(instance_uuid);
    Refresh *job;

    /* It is on its way to another host, which reads its ports when it has come. */
    if (live_queue_phase(agent->live, instance_uuid) != LIVE_NONE)
        return;
    if (!pending_add(agent->refreshes, key))
        return;
    job = g_new0(Refresh, 1);
    job->agent = agent;
    job->ctx = dv_ctx_with_instance(ctx, instance_uuid);
    job->uuid = g_strdup(instance_uuid);
    job->port_id = g_strdup(port_id);
    job->key = g_steal_pointer(&key);
    dv_lanes_submit(agent->lanes, instance_uuid, agent->pools[POOL_GENERAL], refresh_run, job,
                    refresh_free);
}

void network_cache_want(Agent *agent, const DvCtx *ctx, const char *instance_uuid)
{
    network_cache_want_port(agent, ctx, instance_uuid, NULL);
}

typedef struct Late {
    Agent *agent;
    DvCtx *ctx;
    char *uuid;
} Late;

static void late_free(void *arg)
{
    Late *late = arg;

    dv_ctx_unref(late->ctx);
    g_free(late->uuid);
    g_free(late);
}

static void late_due(void *arg)
{
    const Late *late = arg;

    network_cache_want(late->agent, late->ctx, late->uuid);
}

void network_cache_want_late(Agent *agent, const DvCtx *ctx, const char *instance_uuid)
{
    Late *late = g_new(Late, 1);

    *late = (Late){agent, dv_ctx_ref(ctx), g_strdup(instance_uuid)};
    dv_timer_add(agent->timer, LATE_MS, 0, late_due, late, late_free);
}

static bool may_be_healed(const Agent *agent, const Ovo *instance)
{
    static const char *const tasks[] = {
        "deleting",        "migrating",     "resize_prep",      "resize_migrating",
        "resize_migrated", "resize_finish", "resize_reverting", NULL,
    };

    return g_strcmp0(ovo_str_or(instance, "host", NULL), agent->config.host) == 0 &&
           strcmp(ovo_str_or(instance, "vm_state", ""), "building") != 0 &&
           !g_strv_contains(tasks, ovo_str_or(instance, "task_state", ""));
}

bool network_cache_heal(Agent *agent, const DvCtx *ctx, const char *instance_uuid, GError **err)
{
    g_autoptr(DvCtx) mine = dv_ctx_with_instance(ctx, instance_uuid);
    g_autoptr(Ovo) instance = NULL;
    NetworkInstance who;

    if (dv_lanes_depth(agent->lanes, instance_uuid) > 0)
        return true;
    if (!conductor_instance_get(agent->con, mine, instance_uuid, refresh_attrs, &instance, err))
        return false;
    if (!may_be_healed(agent, instance))
        return true;
    who = network_instance_of(agent, instance);
    if (!neutron_bind_host(agent->neutron, mine, &who, NULL, err))
        return false;
    network_cache_want(agent, mine, instance_uuid);
    return true;
}

const Vif *network_cache_unbound(const NetworkInfo *info)
{
    static const char *const types[] = {"binding_failed", "unbound", NULL};

    for (size_t i = 0; i < network_info_count(info); i++) {
        const Vif *vif = network_info_at(info, i);

        if (vif->type && g_strv_contains(types, vif->type))
            return vif;
    }
    return NULL;
}

bool network_cache_mend(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out_info,
                        GError **err)
{
    const NetworkInstance who = network_instance_of(agent, instance);
    g_autoptr(NetworkInfo) info = NULL;

    if (!refresh(agent, ctx, instance, NULL, &info, err))
        return false;
    if (network_cache_unbound(info) && may_be_healed(agent, instance)) {
        g_clear_pointer(&info, network_info_free);
        if (!neutron_bind_host(agent->neutron, ctx, &who, NULL, err) ||
            !refresh(agent, ctx, instance, NULL, &info, err))
            return false;
    }
    *out_info = g_steal_pointer(&info);
    return true;
}
