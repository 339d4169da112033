/* Placement: what this host offers and who uses it.
 *
 * Units      memory MiB, disk GiB, as placement counts them; allocation ratios have no unit.
 * Errors     DV_E_UNAVAILABLE: retry later. DV_E_CONFLICT: the generation moved, read again.
 * DV_E_UNSUPPORTED: an inventory that is in use cannot go or shrink.
 * Threads    any; calls block for at most the group's timeout.
 * Sources    placement API reference up to 1.36; nova scheduler/client/report.py (Zed). */
#pragma once

#include "services/auth.h"

typedef struct PlacementInventory {
    char resource_class[64];
    int64_t total, reserved, min_unit, max_unit, step_size;
    double allocation_ratio;
} PlacementInventory;

/* One provider as placement has it now. */
typedef struct PlacementProvider {
    char *uuid, *name;
    int64_t generation;
    GArray *inventories; /* PlacementInventory */
    GPtrArray *traits;   /* char *, sorted */
} PlacementProvider;
void placement_provider_free(PlacementProvider *provider);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlacementProvider, placement_provider_free)

/* Reads provider `uuid` with inventories and traits. Unknown: *out is NULL. */
bool placement_provider_get(Service *placement, const DvCtx *ctx, const char *uuid,
                            PlacementProvider **out, GError **err);
/* Creates it (parent may be NULL). Somebody created it meanwhile: success. The name is taken by
 * another uuid: DV_E_BAD_CONFIG. */
bool placement_provider_create(Service *placement, const DvCtx *ctx, const char *uuid,
                               const char *name, const char *parent_uuid, GError **err);
bool placement_provider_delete(Service *placement, const DvCtx *ctx, const char *uuid,
                               GError **err);
/* Each replaces all; uses provider->generation and stores the new one, and the new content, in it.
 */
bool placement_inventories_put(Service *placement, const DvCtx *ctx, PlacementProvider *provider,
                               const GArray *inventories, GError **err);
bool placement_traits_put(Service *placement, const DvCtx *ctx, PlacementProvider *provider,
                          const GPtrArray *traits, GError **err);
/* Creates CUSTOM_ traits that do not exist yet; drops from `traits` (in place) standard ones that
 * placement does not know. */
bool placement_traits_ensure(Service *placement, const DvCtx *ctx, GPtrArray *traits, GError **err);

/* Consumers with allocations on a provider: uuid strings. */
bool placement_consumers_of(Service *placement, const DvCtx *ctx, const char *provider_uuid,
                            GPtrArray **out, GError **err);
/* Deletes all allocations of a consumer. None there: success, *out_existed false. */
bool placement_allocations_delete(Service *placement, const DvCtx *ctx, const char *consumer,
                                  bool *out_existed, GError **err);
/* Removes one provider (and its children, by uuid list) from a consumer's allocations. */
bool placement_allocations_remove_providers(Service *placement, const DvCtx *ctx,
                                            const char *consumer, const char *const *provider_uuids,
                                            GError **err);
/* Gives everything that consumer `from` has to consumer `to`, over what that had. Nothing there:
 * success when `to` has something (it was moved before), *out_moved false when neither has.
 * DV_E_CONFLICT: somebody else writes them just now. out_moved may be NULL. */
bool placement_allocations_move(Service *placement, const DvCtx *ctx, const char *from,
                                const char *to, bool *out_moved, GError **err);
/* True in *out when the consumer has allocations. */
bool placement_allocations_exist(Service *placement, const DvCtx *ctx, const char *consumer,
                                 bool *out, GError **err);
