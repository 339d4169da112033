/* The tracker on a real placement: services/placement.h as the table that the rest of the folder
 * calls. Tests bring a table of their own, and so need neither this file nor HTTP. */
#include "scheduler_hints/hint_priv.h"

static bool real_get(void *self, const DvCtx *ctx, const char *uuid, PlacementProvider **out,
                     GError **err)
{
    return placement_provider_get(self, ctx, uuid, out, err);
}

static bool real_create(void *self, const DvCtx *ctx, const char *uuid, const char *name,
                        const char *parent_uuid, GError **err)
{
    return placement_provider_create(self, ctx, uuid, name, parent_uuid, err);
}

static bool real_delete(void *self, const DvCtx *ctx, const char *uuid, GError **err)
{
    return placement_provider_delete(self, ctx, uuid, err);
}

static bool real_inventories(void *self, const DvCtx *ctx, PlacementProvider *provider,
                             const GArray *inventories, GError **err)
{
    return placement_inventories_put(self, ctx, provider, inventories, err);
}

static bool real_traits(void *self, const DvCtx *ctx, PlacementProvider *provider,
                        const GPtrArray *traits, GError **err)
{
    return placement_traits_put(self, ctx, provider, traits, err);
}

static bool real_ensure(void *self, const DvCtx *ctx, GPtrArray *traits, GError **err)
{
    return placement_traits_ensure(self, ctx, traits, err);
}

static bool real_consumers(void *self, const DvCtx *ctx, const char *uuid, GPtrArray **out,
                           GError **err)
{
    return placement_consumers_of(self, ctx, uuid, out, err);
}

static bool real_allocations_delete(void *self, const DvCtx *ctx, const char *consumer,
                                    bool *out_existed, GError **err)
{
    return placement_allocations_delete(self, ctx, consumer, out_existed, err);
}

const PlacementOps hint_placement_ops = {
    .provider_get = real_get,
    .provider_create = real_create,
    .provider_delete = real_delete,
    .inventories_put = real_inventories,
    .traits_put = real_traits,
    .traits_ensure = real_ensure,
    .consumers_of = real_consumers,
    .allocations_delete = real_allocations_delete,
};

Tracker *tracker_new(const TrackerConfig *config, Conductor *con, Service *placement,
                     HostFactsFn facts, void *facts_arg)
{
    return tracker_new_with(config, con, &hint_placement_ops, placement, facts, facts_arg,
                            dv_clock_real());
}
