/* The returning host; see evacuated.h. */
#include "agent/evacuated.h"

#include "agent/network_cache.h"
#include "agent/ops/rebuild.h"
#include "agent/ops/storage.h"
#include "agent/ops/unplug.h"
#include "util/log.h"

#include <string.h>

/* How long a destination may take between the last task state and the record of where the instance
 * is: nova stops a server in between. */
#define DOUBT_S 120

typedef enum { EVAC_LEFT, EVAC_LEAVING, EVAC_BACK, EVAC_STAYED, EVAC_DELETED } Verdict;

typedef struct Evacuee {
    Agent *agent;
    DvCtx *ctx; /* with the instance's uuid */
    char *uuid;
    Ovo *migration, *instance; /* instance: NULL when there is none any more */
    Verdict verdict;
} Evacuee;

static void evacuee_free(void *arg)
{
    Evacuee *evacuee = arg;

    if (!evacuee)
        return;
    dv_ctx_unref(evacuee->ctx);
    ovo_unref(evacuee->migration);
    ovo_unref(evacuee->instance);
    g_free(evacuee->uuid);
    g_free(evacuee);
}

static Evacuee *evacuee_new(Agent *agent, const DvCtx *ctx, Ovo *migration)
{
    Evacuee *evacuee = g_new0(Evacuee, 1);
    const char *uuid = ovo_str_or(migration, "instance_uuid", "");

    evacuee->agent = agent;
    evacuee->ctx = dv_ctx_with_instance(ctx, uuid);
    evacuee->uuid = g_strdup(uuid);
    evacuee->migration = ovo_ref(migration);
    return evacuee;
}

/* ---- what has become of it ---- */

static bool read_instance(Evacuee *evacuee, GError **err)
{
    static const char *const attrs[] = {"info_cache", "flavor", NULL};
    g_autoptr(DvCtx) all = dv_ctx_with_read_deleted(evacuee->ctx, "yes");
    g_autoptr(GError) cause = NULL;

    g_clear_pointer(&evacuee->instance, ovo_unref);
    if (conductor_instance_get(evacuee->agent->con, all, evacuee->uuid, attrs, &evacuee->instance,
                               &cause) ||
        dv_is(cause, DV_E_INSTANCE_NOT_FOUND))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static bool read_moves(const Evacuee *evacuee, Ovo **out, GError **err)
{
    const char *host = evacuee->agent->config.host;

    return conductor_migrations_in_progress(evacuee->agent->con, evacuee->ctx, host,
                                            ovo_str_or(evacuee->migration, "source_node", host),
                                            out, err);
}

/* Whether some other migration is bringing it here. */
static bool is_coming_back(const Evacuee *evacuee, const Ovo *moves)
{
    for (size_t i = 0; i < ovo_count(moves, NULL); i++) {
        g_autoptr(Ovo) other = ovo_at(moves, NULL, i);

        if (other && strcmp(ovo_str_or(other, "instance_uuid", ""), evacuee->uuid) == 0 &&
            strcmp(ovo_str_or(other, "dest_compute", ""), evacuee->agent->config.host) == 0)
            return true;
    }
    return false;
}

static bool is_being_made(const Evacuee *evacuee)
{
    const Ovo *migration = evacuee->migration;
    const char *touched = ovo_str_or(migration, "updated_at",
                                     ovo_str_or(migration, "created_at", NULL));
    int64_t then_ms = 0;

    if (evacuation_is_under_way(evacuee->instance))
        return true;
    return touched && dv_time_parse(touched, &then_ms) &&
           dv_clock_wall_ms(dv_clock_real()) - then_ms < DOUBT_S * 1000;
}

/* *moves: those in progress of this host; NULL: read when they are needed, the caller's. */
static bool judge(Evacuee *evacuee, Ovo **moves, GError **err)
{
    const char *host = evacuee->agent->config.host;
    bool done = strcmp(ovo_str_or(evacuee->migration, "status", ""), "done") == 0;

    if (!read_instance(evacuee, err))
        return false;
    if (!evacuee->instance || ovo_bool_or(evacuee->instance, "deleted", false)) {
        evacuee->verdict = EVAC_DELETED;
    } else if (g_strcmp0(ovo_str_or(evacuee->instance, "host", NULL), host) == 0) {
        evacuee->verdict = !done && is_being_made(evacuee) ? EVAC_LEAVING : EVAC_STAYED;
    } else {
        if (!*moves && !read_moves(evacuee, moves, err))
            return false;
        evacuee->verdict = is_coming_back(evacuee, *moves) ? EVAC_BACK : EVAC_LEFT;
    }
    return true;
}

static bool is_elsewhere(const Evacuee *evacuee)
{
    return evacuee->verdict == EVAC_LEFT || evacuee->verdict == EVAC_LEAVING ||
           evacuee->verdict == EVAC_DELETED;
}

/* ---- what is still here of it ---- */

static bool end_guest(const Evacuee *evacuee, GError **err)
{
    const VirtDriver *virt = evacuee->agent->virt;
    GuestState state = GUEST_STATE_NONE;
    g_autoptr(NetworkInfo) network = NULL;

    if (!virt->ops->state(virt->self, evacuee->uuid, &state, err))
        return false;
    if (state == GUEST_STATE_NONE)
        return true;
    dv_warning(evacuee->ctx, "the guest was evacuated from this host: it is destroyed here");
    if (!virt->ops->destroy(virt->self, evacuee->ctx, evacuee->uuid, err))
        return false;
    network = evacuee->instance ? network_cache_read(evacuee->instance, NULL) : NULL;
    if (network)
        op_unplug(evacuee->agent, evacuee->ctx, evacuee->instance, network);
    return true;
}

/* Only disks of which its host says that it does not see them are ours alone. */
static bool end_disks(const Evacuee *evacuee, GError **err)
{
    Agent *agent = evacuee->agent;

    if (disks_presence(agent->disks, evacuee->uuid) == DISKS_ABSENT)
        return true;
    if (evacuee->verdict == EVAC_LEFT &&
        storage_is_shared(agent, evacuee->ctx, evacuee->uuid,
                          ovo_str_or(evacuee->instance, "host", "")))
        return true;
    dv_info(evacuee->ctx, "its disks on this host are removed");
    return disks_remove(agent->disks, evacuee->ctx, evacuee->uuid, err);
}

/* ---- the records ---- */

static bool set_status(const Evacuee *evacuee, const char *status, GError **err)
{
    ovo_set_str(evacuee->migration, "status", status);
    return conductor_save(evacuee->agent->con, evacuee->ctx, evacuee->migration, err);
}

/* What failed without telling: its destination died. */
static const char *status_of_stay(const Evacuee *evacuee)
{
    return strcmp(ovo_str_or(evacuee->migration, "status", ""), "done") == 0 ? "completed"
                                                                             : "failed";
}

/* An evacuation that no host has taken up yet may still find none: a guest that runs under an agent
 * that runs, too, is not ended for it. At the start it is, as nova does. */
static bool must_end(const Evacuee *evacuee)
{
    return is_elsewhere(evacuee) &&
           (evacuee->verdict != EVAC_LEAVING ||
            strcmp(ovo_str_or(evacuee->migration, "status", ""), "accepted") != 0);
}

static bool settle(Evacuee *evacuee, GError **err)
{
    g_autoptr(Ovo) moves = NULL;

    if (!judge(evacuee, &moves, err) || (must_end(evacuee) && !end_guest(evacuee, err)))
        return false;
    switch (evacuee->verdict) {
    case EVAC_LEFT:
        return end_disks(evacuee, err) &&
               evacuation_drop_allocation(evacuee->agent, evacuee->ctx, evacuee->uuid, err) &&
               set_status(evacuee, "completed", err);
    case EVAC_DELETED:
        return end_disks(evacuee, err) && set_status(evacuee, "completed", err);
    case EVAC_BACK:
        return set_status(evacuee, "completed", err);
    case EVAC_STAYED:
        return set_status(evacuee, status_of_stay(evacuee), err);
    case EVAC_LEAVING:
        atomic_store(&evacuee->agent->evacuating, true);
    }
    return true;
}

static void settle_run(void *arg)
{
    Evacuee *evacuee = arg;
    g_autoptr(GError) err = NULL;

    if (!settle(evacuee, &err)) {
        dv_error(evacuee->ctx, "evacuated from here, not cleaned up yet: %s", err->message);
        atomic_store(&evacuee->agent->evacuating, true);
    }
    evacuee_free(evacuee);
}

/* ---- all of them ---- */

/* Evacuee array. */
static GPtrArray *read_evacuees(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(evacuee_free);
    g_autoptr(Ovo) list = NULL;

    if (!conductor_evacuations_from(agent->con, ctx, agent->config.host, &list, err))
        return NULL;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(list, NULL, i);

        if (migration)
            g_ptr_array_add(all, evacuee_new(agent, ctx, migration));
    }
    return g_steal_pointer(&all);
}

/* In doubt it is left alone: whoever is here may be elsewhere, too. */
static void leave_one(Evacuee *evacuee, Ovo **moves, GHashTable *guests, GHashTable *elsewhere)
{
    g_autoptr(GError) err = NULL;

    if (!judge(evacuee, moves, &err)) {
        dv_error(evacuee->ctx, "not known whether it was evacuated: %s", err->message);
        g_hash_table_add(elsewhere, g_strdup(evacuee->uuid));
        return;
    }
    if (!is_elsewhere(evacuee))
        return;
    g_hash_table_add(elsewhere, g_strdup(evacuee->uuid));
    if (g_hash_table_contains(guests, evacuee->uuid) && !end_guest(evacuee, &err))
        dv_error(evacuee->ctx, "evacuated from here, but its guest stays: %s", err->message);
}

bool evacuated_leave(Agent *agent, const DvCtx *ctx, GHashTable *guests, GHashTable **out_elsewhere,
                     GError **err)
{
    g_autoptr(GHashTable) elsewhere = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) all = read_evacuees(agent, ctx, err);
    /* Once for all: none begins while requests wait for the end of the start. */
    g_autoptr(Ovo) moves = NULL;

    if (!all)
        return dv_within(err, "evacuations from this host");
    for (guint i = 0; i < all->len; i++)
        leave_one(all->pdata[i], &moves, guests, elsewhere);
    atomic_store(&agent->evacuating, all->len > 0);
    *out_elsewhere = g_steal_pointer(&elsewhere);
    return true;
}

bool evacuated_settle(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(GPtrArray) all = NULL;

    if (!atomic_exchange(&agent->evacuating, false))
        return true;
    all = read_evacuees(agent, ctx, err);
    if (!all) {
        atomic_store(&agent->evacuating, true);
        return false;
    }
    for (guint i = 0; i < all->len; i++) {
        Evacuee *evacuee = g_steal_pointer(&all->pdata[i]);

        dv_lanes_submit(agent->lanes, evacuee->uuid, agent->pools[POOL_GENERAL], settle_run,
                        evacuee, evacuee_free);
    }
    return true;
}
