/* The root provider in placement, kept in line with what the host offers.
 *
 * Placement's answer is cached with its generation, so that an audit on an unchanged host asks
 * nothing; after association_refresh_s it is read again, because operators may change traits and
 * ratios there. Only what differs is written. A generation that moved means that somebody else
 * wrote: the cache is dropped and everything is computed again from what is there now, at most
 * PUT_TRIES times. Everything here runs in slot PLACEMENT. */
#include "scheduler_hints/hint_priv.h"

#include "util/log.h"

#define PUT_TRIES 4

/* ---- the cache ---- */

static void provider_drop(HintProvider *provider)
{
    g_clear_pointer(&provider->known, placement_provider_free);
    g_clear_pointer(&provider->uuid, g_free);
    g_clear_pointer(&provider->unknown, g_hash_table_unref);
}

void hint_provider_done(HintProvider *provider)
{
    provider_drop(provider);
}

static bool fresh(const Tracker *tracker, const char *uuid)
{
    const HintProvider *provider = &tracker->provider;
    int64_t limit_ms = tracker->config.association_refresh_s * 1000;
    int64_t age_ms = dv_clock_now_ms(tracker->clock) - provider->read_ms;

    /* 0: never again, as the option says. */
    return provider->known && !atomic_load(&provider->stale) &&
           g_strcmp0(provider->uuid, uuid) == 0 && (limit_ms == 0 || age_ms < limit_ms);
}

/* *out_found false: placement has no such provider. */
static bool provider_read(Tracker *tracker, const DvCtx *ctx, const char *uuid, bool *out_found,
                          GError **err)
{
    HintProvider *provider = &tracker->provider;

    provider_drop(provider);
    atomic_store(&provider->stale, false);
    if (!tracker->placement->provider_get(tracker->placement_self, ctx, uuid, &provider->known,
                                          err))
        return false;
    provider->uuid = g_strdup(uuid);
    provider->read_ms = dv_clock_now_ms(tracker->clock);
    provider->unknown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    *out_found = provider->known != NULL;
    return true;
}

void tracker_forget_provider(Tracker *tracker)
{
    atomic_store(&tracker->provider.stale, true);
}

static bool provider_ready(Tracker *tracker, const DvCtx *ctx, const char *uuid, const char *name,
                           GError **err)
{
    bool found;

    if (fresh(tracker, uuid))
        return true;
    if (!provider_read(tracker, ctx, uuid, &found, err))
        return false;
    if (found)
        return true;
    if (!tracker->placement->provider_create(tracker->placement_self, ctx, uuid, name, NULL, err))
        return false;
    dv_info(ctx, "created resource provider %s named %s", uuid, name);
    if (!provider_read(tracker, ctx, uuid, &found, err))
        return false;
    return found || dv_fail(err, DV_E_CONFLICT, "resource provider %s went away again", uuid);
}

/* ---- writing what differs ---- */

static bool put_inventory(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts, GError **err)
{
    PlacementProvider *known = tracker->provider.known;
    g_autoptr(GArray) wanted = hint_inventory(facts, &tracker->config, known->inventories);

    if (hint_inventory_equal(wanted, known->inventories))
        return true;
    dv_info(ctx, "inventory of provider %s changes", known->uuid);
    return tracker->placement->inventories_put(tracker->placement_self, ctx, known, wanted, err);
}

static void drop_unknown(GPtrArray *traits, GHashTable *unknown)
{
    for (guint i = traits->len; i-- > 0;)
        if (g_hash_table_contains(unknown, traits->pdata[i]))
            g_ptr_array_remove_index(traits, i);
}

static GPtrArray *copy_names(const GPtrArray *names)
{
    GPtrArray *copy = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; names && i < names->len; i++)
        g_ptr_array_add(copy, g_strdup(names->pdata[i]));
    return copy;
}

/* What placement does not know is remembered until the next read, or each audit would ask again. */
static bool ensure_traits(Tracker *tracker, const DvCtx *ctx, GPtrArray *traits, GError **err)
{
    GHashTable *unknown = tracker->provider.unknown;
    g_autoptr(GPtrArray) asked = copy_names(traits);
    g_autoptr(GHashTable) left = g_hash_table_new(g_str_hash, g_str_equal);

    if (!tracker->placement->traits_ensure(tracker->placement_self, ctx, traits, err))
        return false;
    for (guint i = 0; i < traits->len; i++)
        g_hash_table_add(left, traits->pdata[i]);
    for (guint i = 0; i < asked->len; i++)
        if (!g_hash_table_contains(left, asked->pdata[i]))
            g_hash_table_add(unknown, g_strdup(asked->pdata[i]));
    return true;
}

static bool put_traits(Tracker *tracker, const DvCtx *ctx, GPtrArray *wanted, GError **err)
{
    PlacementProvider *known = tracker->provider.known;

    drop_unknown(wanted, tracker->provider.unknown);
    if (hint_traits_equal(wanted, known->traits))
        return true;
    if (!ensure_traits(tracker, ctx, wanted, err))
        return false;
    if (hint_traits_equal(wanted, known->traits))
        return true;
    dv_info(ctx, "traits of provider %s change", known->uuid);
    return tracker->placement->traits_put(tracker->placement_self, ctx, known, wanted, err);
}

static bool sync_once(Tracker *tracker, const DvCtx *ctx, const char *uuid, const char *name,
                      const HostFacts *facts, bool disabled, GError **err)
{
    g_autoptr(GPtrArray) traits = NULL;

    if (!provider_ready(tracker, ctx, uuid, name, err) || !put_inventory(tracker, ctx, facts, err))
        return false;
    traits = hint_traits(facts->traits, tracker->provider.known->traits, disabled);
    return put_traits(tracker, ctx, traits, err);
}

bool hint_provider_sync(Tracker *tracker, const DvCtx *ctx, const char *uuid, const char *name,
                        const HostFacts *facts, bool disabled, GError **err)
{
    g_autoptr(GError) why = NULL;
    bool ok = false;

    hint_slot_take(tracker, SLOT_PLACEMENT);
    for (int i = 0; i < PUT_TRIES && !ok; i++) {
        g_clear_error(&why);
        ok = sync_once(tracker, ctx, uuid, name, facts, disabled, &why);
        if (!ok)
            provider_drop(&tracker->provider);
        if (!ok && !dv_is(why, DV_E_CONFLICT))
            break;
    }
    hint_slot_give(tracker, SLOT_PLACEMENT);
    if (ok)
        return true;
    g_propagate_error(err, g_steal_pointer(&why));
    return dv_within(err, "resource provider %s", uuid);
}

/* ---- COMPUTE_STATUS_DISABLED ---- */

static bool disable_once(Tracker *tracker, const DvCtx *ctx, const char *uuid, bool disabled,
                         GError **err)
{
    g_autoptr(GPtrArray) wanted = NULL;
    bool found;

    /* Read anew: the answer must not rest on what the cache believes. */
    if (!provider_read(tracker, ctx, uuid, &found, err))
        return false;
    if (!found) {
        dv_warning(ctx, "no resource provider %s yet: its state follows with the first audit",
                   uuid);
        return true;
    }
    wanted = copy_names(tracker->provider.known->traits);
    for (guint i = wanted->len; i-- > 0;)
        if (g_str_equal(wanted->pdata[i], "COMPUTE_STATUS_DISABLED"))
            g_ptr_array_remove_index(wanted, i);
    if (disabled)
        g_ptr_array_add(wanted, g_strdup("COMPUTE_STATUS_DISABLED"));
    return put_traits(tracker, ctx, wanted, err);
}

bool hint_provider_set_disabled(Tracker *tracker, const DvCtx *ctx, const char *uuid, bool disabled,
                                GError **err)
{
    g_autoptr(GError) why = NULL;
    bool ok = false;

    hint_slot_take(tracker, SLOT_PLACEMENT);
    for (int i = 0; i < PUT_TRIES && !ok; i++) {
        g_clear_error(&why);
        ok = disable_once(tracker, ctx, uuid, disabled, &why);
        if (!ok)
            provider_drop(&tracker->provider);
        if (!ok && !dv_is(why, DV_E_CONFLICT))
            break;
    }
    hint_slot_give(tracker, SLOT_PLACEMENT);
    if (ok)
        return true;
    g_propagate_error(err, g_steal_pointer(&why));
    return dv_within(err, "resource provider %s", uuid);
}

void hint_provider_forget(Tracker *tracker)
{
    hint_slot_take(tracker, SLOT_PLACEMENT);
    provider_drop(&tracker->provider);
    hint_slot_give(tracker, SLOT_PLACEMENT);
}
