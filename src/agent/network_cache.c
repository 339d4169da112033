/* The network info cache of an instance; see network_cache.h.
 * Sources: nova network/neutron.py get_instance_nw_info, base_api.py
 * update_instance_cache_with_nw_info. */
#include "agent/network_cache.h"

#include "util/log.h"

typedef struct Refresh {
    Agent *agent;
    DvCtx *ctx;
    char *uuid;
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

bool network_cache_refresh(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out_info,
                           GError **err)
{
    NetworkInstance who = network_instance_of(agent, instance);
    g_autoptr(NetworkInfo) old = network_cache_read(instance, err);
    g_autoptr(NetworkInfo) info = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;

    if (!old || !neutron_refresh(agent->neutron, ctx, &who, old, NULL, &info, err))
        return dv_within(err, "refreshing the network info cache");
    before = network_info_text(old);
    after = network_info_text(info);
    if (strcmp(before, after) != 0) {
        if (!conductor_info_cache_save(agent->con, ctx, who.uuid, after, err))
            return false;
        network_cache_set(instance, info);
    }
    if (out_info)
        *out_info = g_steal_pointer(&info);
    return true;
}

static void refresh_free(void *arg)
{
    Refresh *refresh = arg;

    dv_ctx_unref(refresh->ctx);
    g_free(refresh->uuid);
    g_free(refresh);
}

static void refresh_run(void *arg)
{
    Refresh *refresh = arg;
    Agent *agent = refresh->agent;
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) instance = NULL;
    const char *host;

    pending_remove(agent->refreshes, refresh->uuid);
    if (!conductor_instance_get(agent->con, refresh->ctx, refresh->uuid, refresh_attrs, &instance,
                                &err)) {
        if (!dv_is(err, DV_E_INSTANCE_NOT_FOUND))
            dv_warning(refresh->ctx, "network info cache not refreshed: %s", err->message);
        refresh_free(refresh);
        return;
    }
    host = ovo_str_or(instance, "host", "");
    if (strcmp(host, agent->config.host) == 0 &&
        !network_cache_refresh(agent, refresh->ctx, instance, NULL, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(refresh->ctx, "%s", err->message);
    refresh_free(refresh);
}

void network_cache_want(Agent *agent, const DvCtx *ctx, const char *instance_uuid)
{
    Refresh *refresh;

    if (!pending_add(agent->refreshes, instance_uuid))
        return;
    refresh = g_new0(Refresh, 1);
    refresh->agent = agent;
    refresh->ctx = dv_ctx_with_instance(ctx, instance_uuid);
    refresh->uuid = g_strdup(instance_uuid);
    dv_lanes_submit(agent->lanes, instance_uuid, agent->pools[POOL_GENERAL], refresh_run, refresh,
                    refresh_free);
}
