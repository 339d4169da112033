/* Claims: an instance takes its place on this host before anything is built for it.
 *
 * Placement has already counted vcpus, memory and disk when the scheduler chose us, so that, as in
 * nova, a claim tests only what placement cannot: NUMA placement and PCI devices. Neither can be
 * given out yet, so an instance that asks for one is refused here and scheduled elsewhere.
 *
 * A claim stands in the books before its instance is saved and is marked as claiming until then; an
 * audit that runs meanwhile neither loses it nor counts it twice.
 * Sources    nova compute/claims.py, compute/resource_tracker.py instance_claim,
 *            abort_instance_claim, update_usage (Zed). */
#include "scheduler_hints/hint_priv.h"

#include "util/log.h"

#include <string.h>

/* ---- what a claim tests ---- */

bool hint_claim_test(const Ovo *instance, GError **err)
{
    g_autoptr(Ovo) pci = ovo_child(instance, "pci_requests");

    if (ovo_has_value(instance, "numa_topology"))
        return dv_fail(err, DV_E_NO_CAPACITY,
                       "the instance asks for a NUMA topology, which this host cannot give out");
    if (pci && ovo_count(pci, "requests") > 0)
        return dv_fail(err, DV_E_NO_CAPACITY,
                       "the instance asks for PCI devices, which this host cannot give out");
    return true;
}

bool hint_root_of(Tracker *tracker, const DvCtx *ctx, Ovo *instance, bool *out_volume, GError **err)
{
    g_autoptr(GPtrArray) one = g_ptr_array_new();
    g_autoptr(GHashTable) roots = NULL;
    const char *uuid = ovo_str_or(instance, "uuid", "");

    g_ptr_array_add(one, instance);
    if (!hint_roots(tracker, ctx, one, &roots, err))
        return false;
    *out_volume = GPOINTER_TO_INT(g_hash_table_lookup(roots, uuid)) == ROOT_VOLUME;
    return true;
}

static bool find_root(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const TrackerClaim *how,
                      bool *out_volume, GError **err)
{
    if (!how || how->root == ROOT_UNKNOWN)
        return hint_root_of(tracker, ctx, instance, out_volume, err);
    *out_volume = how->root == ROOT_VOLUME;
    return true;
}

/* ---- the three fields that say whose the instance is ---- */

typedef struct Place {
    char *host, *node, *launched_on;
} Place;

static void place_done(Place *place)
{
    g_free(place->host);
    g_free(place->node);
    g_free(place->launched_on);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_done)

static void place_read(Place *out, const Ovo *instance)
{
    out->host = g_strdup(ovo_str_or(instance, "host", NULL));
    out->node = g_strdup(ovo_str_or(instance, "node", NULL));
    out->launched_on = g_strdup(ovo_str_or(instance, "launched_on", NULL));
}

static void place_write(const Place *place, Ovo *instance)
{
    ovo_set_str(instance, "host", place->host);
    ovo_set_str(instance, "node", place->node);
    ovo_set_str(instance, "launched_on", place->launched_on);
}

/* From 2.8 on the record's id must travel with the node's name, or the save is refused. */
static void write_compute_id(Ovo *instance, int64_t id)
{
    if (!ovo_version_at_least(instance, 2, 8))
        return;
    if (id)
        ovo_set_i64(instance, "compute_id", id);
    else
        ovo_set_null(instance, "compute_id");
}

/* ---- claiming ---- */

/* False, with a warning, when the tracker does not know the node: then the instance is taken
 * without a claim, as nova does, and the next audit counts it. */
static bool enter(Tracker *tracker, const DvCtx *ctx, const char *node, HintGuest *guest,
                  int64_t *out_id)
{
    bool known;

    dv_lock(&tracker->lock);
    known = tracker->ready && g_strcmp0(tracker->hostname, node) == 0;
    *out_id = known ? tracker->id : 0;
    if (known) {
        guest->claiming = true;
        hint_book_put(&tracker->book, guest);
    }
    dv_unlock(&tracker->lock);
    if (known)
        return true;
    dv_warning(ctx, "instance %s is for node %s, which is not known here: taken without a claim",
               guest->uuid, node);
    hint_guest_free(guest);
    return false;
}

static void leave(Tracker *tracker, const char *uuid)
{
    dv_lock(&tracker->lock);
    hint_book_drop(&tracker->book, uuid);
    g_hash_table_remove(tracker->roots, uuid);
    dv_unlock(&tracker->lock);
}

/* Somebody else's write may have carried this claim to the database: it is taken back there, too.
 */
static void give_up(Tracker *tracker, const DvCtx *ctx, const char *uuid)
{
    g_autoptr(GError) why = NULL;

    leave(tracker, uuid);
    if (!hint_node_flush(tracker, ctx, NULL, &why))
        dv_warning(ctx, "claim of %s given back, but the scheduler sees it later: %s", uuid,
                   why->message);
}

static void settle(Tracker *tracker, const char *uuid)
{
    HintGuest *guest;

    dv_lock(&tracker->lock);
    guest = hint_book_find(&tracker->book, uuid);
    if (guest) {
        guest->claiming = false;
        /* An audit whose listing is older than this save must keep it. The figures are the same,
         * so that this is no reason to write the record again. */
        guest->touched = ++tracker->book.time;
        if (tracker->saved + 1 == tracker->book.time)
            tracker->saved = tracker->book.time;
    }
    dv_unlock(&tracker->lock);
}

/* Saves with the user's own context, as nova does. */
static bool save_claim(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const char *node,
                       int64_t id, const TrackerClaim *how, GError **err)
{
    g_auto(Place) before = {0};
    char *host = (char *)tracker->config.host;

    place_read(&before, instance);
    place_write(&(Place){host, (char *)node, host}, instance);
    write_compute_id(instance, id);
    if (!ovo_has(instance, "numa_topology"))
        ovo_set_null(instance, "numa_topology");
    if (!ovo_has(instance, "resources"))
        ovo_set_null(instance, "resources");
    if (conductor_instance_save(tracker->con, ctx, instance, how ? how->expected : NULL, err))
        return true;
    place_write(&before, instance);
    return false;
}

bool tracker_claim_with(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const char *node,
                        const TrackerClaim *how, GError **err)
{
    g_autofree char *uuid = g_strdup(ovo_str_or(instance, "uuid", ""));
    g_autoptr(HintGuest) guest = NULL;
    g_autoptr(GError) why = NULL;
    bool volume, entered;
    int64_t id;

    if (!hint_claim_test(instance, err) || !find_root(tracker, ctx, instance, how, &volume, err))
        return dv_within(err, "claim on node %s", node);
    guest = hint_guest_read(instance, volume, err);
    if (!guest)
        return dv_within(err, "claim on node %s", node);
    entered = enter(tracker, ctx, node, g_steal_pointer(&guest), &id);
    if (!save_claim(tracker, ctx, instance, node, id, how, err)) {
        if (entered)
            give_up(tracker, ctx, uuid);
        return dv_within(err, "claim on node %s", node);
    }
    if (!entered)
        return true;
    settle(tracker, uuid);
    if (!hint_node_flush(tracker, ctx, NULL, &why))
        dv_warning(ctx, "the claim stands, but the scheduler sees it later: %s", why->message);
    return true;
}

bool tracker_claim(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const char *node,
                   GError **err)
{
    return tracker_claim_with(tracker, ctx, instance, node, NULL, err);
}

void tracker_unclaim(Tracker *tracker, const DvCtx *ctx, Ovo *instance)
{
    g_autofree char *uuid = g_strdup(ovo_str_or(instance, "uuid", ""));

    place_write(&(Place){NULL, NULL, NULL}, instance);
    write_compute_id(instance, 0);
    give_up(tracker, ctx, uuid);
}

/* ---- changes of a tracked instance ---- */

static bool is_ours(const Tracker *tracker, const Ovo *instance)
{
    return hint_instance_counts(instance) &&
           g_strcmp0(ovo_str_or(instance, "host", NULL), tracker->config.host) == 0;
}

static void take_state(HintGuest *guest, const Ovo *instance)
{
    g_free(guest->vm_state);
    g_free(guest->task_state);
    guest->vm_state = g_strdup(ovo_str_or(instance, "vm_state", NULL));
    guest->task_state = g_strdup(ovo_str_or(instance, "task_state", NULL));
}

bool tracker_update_usage(Tracker *tracker, const DvCtx *ctx, const Ovo *instance, GError **err)
{
    const char *uuid;
    HintGuest *guest;
    bool tracked;

    if (!ovo_str(instance, "uuid", &uuid, err))
        return false;
    dv_lock(&tracker->lock);
    guest = hint_book_find(&tracker->book, uuid);
    tracked = guest != NULL;
    if (guest && is_ours(tracker, instance)) {
        take_state(guest, instance);
        hint_book_touch(&tracker->book, guest);
    } else if (guest) {
        hint_book_drop(&tracker->book, uuid);
        g_hash_table_remove(tracker->roots, uuid);
    }
    dv_unlock(&tracker->lock);
    /* Only what was claimed counts; anything else comes with the next audit. */
    return !tracked || hint_node_flush(tracker, ctx, NULL, err);
}
