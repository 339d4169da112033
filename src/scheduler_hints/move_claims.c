/* Move claims: an instance takes room for another flavor, here or on its way to here, while it
 * still uses the old one.
 *
 * The books hold a move beside the guest until the move is confirmed or reverted; which of the two
 * flavors each of them counts changes with the audits in between, the sum does not. As with boots,
 * placement has counted vcpus, memory and disk already.
 * Sources    nova compute/resource_tracker.py _move_claim, _claim_existing_migration,
 *            drop_move_claim, drop_move_claim_at_source, drop_move_claim_at_dest (Zed). */
#include "scheduler_hints/hint_priv.h"

#include "util/log.h"

#include <string.h>

/* ---- the migration context ---- */

/* A field of what was read, or, where the instance never had it, `empty`. */
static void copy_or(Ovo *context, const char *name, const Ovo *from, const char *field,
                    const Ovo *empty)
{
    if (ovo_has_value(from, field))
        ovo_set_from(context, name, from, field);
    else
        ovo_set_child(context, name, empty);
}

static Ovo *no_pci_devices(NovaRelease release)
{
    Ovo *list = ovo_new("PciDeviceList", ovo_version_of(release, "PciDeviceList"));

    ovo_set_strv(list, "objects", NULL);
    return list;
}

static Ovo *no_pci_requests(NovaRelease release, const char *uuid)
{
    Ovo *requests = ovo_new("InstancePCIRequests", ovo_version_of(release, "InstancePCIRequests"));

    ovo_set_str(requests, "instance_uuid", uuid);
    ovo_set_strv(requests, "requests", NULL);
    return requests;
}

/* What the move gives is empty in all of it: this host gives out neither NUMA cells nor devices. */
static Ovo *make_context(NovaRelease release, const Ovo *instance, const Ovo *has,
                         const Ovo *migration)
{
    Ovo *context = ovo_new("MigrationContext", ovo_version_of(release, "MigrationContext"));
    const char *uuid = ovo_str_or(instance, "uuid", "");
    g_autoptr(Ovo) devices = no_pci_devices(release);
    g_autoptr(Ovo) requests = no_pci_requests(release, uuid);

    ovo_set_str(context, "instance_uuid", uuid);
    ovo_set_i64(context, "migration_id", ovo_i64_or(migration, "id", 0));
    copy_or(context, "old_numa_topology", has, "numa_topology", NULL);
    ovo_set_null(context, "new_numa_topology");
    copy_or(context, "old_pci_devices", has, "pci_devices", devices);
    ovo_set_child(context, "new_pci_devices", devices);
    copy_or(context, "old_pci_requests", has, "pci_requests", requests);
    ovo_set_child(context, "new_pci_requests", requests);
    copy_or(context, "old_resources", has, "resources", NULL);
    ovo_set_null(context, "new_resources");
    return context;
}

/* ---- claiming ---- */

static bool write_migration(Tracker *tracker, const DvCtx *ctx, Ovo *migration, const char *node,
                            GError **err)
{
    ovo_set_str(migration, "dest_compute", tracker->config.host);
    ovo_set_str(migration, "dest_node", node);
    ovo_set_str(migration, "dest_host", tracker->config.move_address);
    ovo_set_str(migration, "status", "pre-migrating");
    return conductor_save(tracker->con, ctx, migration, err);
}

static void flush_later(Tracker *tracker, const DvCtx *ctx, const char *what)
{
    g_autoptr(GError) why = NULL;

    if (!hint_node_flush(tracker, ctx, NULL, &why))
        dv_warning(ctx, "%s, but the scheduler sees it later: %s", what, why->message);
}

static void release(Tracker *tracker, const DvCtx *ctx, const char *uuid)
{
    dv_lock(&tracker->lock);
    hint_book_release(&tracker->book, uuid);
    dv_unlock(&tracker->lock);
    flush_later(tracker, ctx, "move claim given back");
}

static bool move_usage(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const Ovo *flavor,
                       HintUsage *out, GError **err)
{
    bool volume;

    return hint_root_of(tracker, ctx, instance, &volume, err) &&
           hint_flavor_usage(flavor, volume, out, err);
}

static bool save_context(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const Ovo *has,
                         const Ovo *migration, GError **err)
{
    g_autoptr(Ovo)
        context = make_context(conductor_release(tracker->con), instance, has, migration);

    ovo_set_child(instance, "migration_context", context);
    return conductor_instance_save(tracker->con, ctx, instance, NULL, err);
}

bool tracker_move_claim(Tracker *tracker, const DvCtx *ctx, Ovo *instance, Ovo *migration,
                        const Ovo *flavor, const char *node, GError **err)
{
    static const char *const attrs[] = {"numa_topology", "pci_requests", "pci_devices", "resources",
                                        NULL};
    g_autofree char *uuid = g_strdup(ovo_str_or(instance, "uuid", ""));
    g_autoptr(Ovo) has = NULL;
    HintUsage usage;
    bool known;

    if (!write_migration(tracker, ctx, migration, node, err) ||
        !conductor_instance_get(tracker->con, ctx, uuid, attrs, &has, err) ||
        !hint_claim_test(has, err) || !move_usage(tracker, ctx, instance, flavor, &usage, err))
        return dv_within(err, "move claim on node %s", node);
    dv_lock(&tracker->lock);
    known = tracker->ready && g_strcmp0(tracker->hostname, node) == 0;
    if (known)
        hint_book_hold(&tracker->book, uuid, &usage, true);
    dv_unlock(&tracker->lock);
    if (!known)
        dv_warning(ctx, "node %s is not known here: the move is made without a claim", node);
    if (!save_context(tracker, ctx, instance, has, migration, err)) {
        ovo_set_null(instance, "migration_context");
        release(tracker, ctx, uuid);
        return dv_within(err, "move claim on node %s", node);
    }
    dv_lock(&tracker->lock);
    hint_book_settle_move(&tracker->book, uuid);
    dv_unlock(&tracker->lock);
    flush_later(tracker, ctx, "the move claim stands");
    return true;
}

void tracker_move_unclaim(Tracker *tracker, const DvCtx *ctx, Ovo *instance)
{
    g_autofree char *uuid = g_strdup(ovo_str_or(instance, "uuid", ""));
    g_autoptr(GError) why = NULL;

    release(tracker, ctx, uuid);
    ovo_set_null(instance, "migration_context");
    if (!conductor_instance_save(tracker->con, ctx, instance, NULL, &why) &&
        !dv_is(why, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(ctx, "migration context of %s stays: %s", uuid, why->message);
}

/* ---- the end of a move ---- */

void tracker_move_place(Tracker *tracker, Ovo *instance, const char *node)
{
    int64_t id = 0;

    ovo_set_str(instance, "host", tracker->config.host);
    ovo_set_str(instance, "node", node);
    if (ovo_version_at_least(instance, 2, 8) && tracker_node_identity(tracker, NULL, &id))
        ovo_set_i64(instance, "compute_id", id);
}

/* The sums stay, so that the record is not written for it. */
bool tracker_move_arrive(Tracker *tracker, const DvCtx *ctx, Ovo *instance, GError **err)
{
    const char *uuid = ovo_str_or(instance, "uuid", "");
    HintGuest *guest = NULL;
    bool volume;

    if (!hint_root_of(tracker, ctx, instance, &volume, err))
        return false;
    guest = hint_guest_read(instance, volume, err);
    if (!guest)
        return false;
    dv_lock(&tracker->lock);
    hint_book_release(&tracker->book, uuid);
    hint_book_put(&tracker->book, guest);
    dv_unlock(&tracker->lock);
    return true;
}

bool tracker_move_end(Tracker *tracker, const DvCtx *ctx, Ovo *instance, const Ovo *flavor,
                      GError **err)
{
    g_autofree char *uuid = g_strdup(ovo_str_or(instance, "uuid", ""));
    const char *host = ovo_str_or(instance, "host", NULL);
    bool here = flavor && g_strcmp0(host, tracker->config.host) == 0;
    HintUsage usage = {0};
    HintGuest *guest;

    if (here && !move_usage(tracker, ctx, instance, flavor, &usage, err))
        return false;
    dv_lock(&tracker->lock);
    hint_book_release(&tracker->book, uuid);
    guest = hint_book_find(&tracker->book, uuid);
    if (guest && here) {
        guest->usage = usage;
        hint_book_touch(&tracker->book, guest);
    } else if (guest) {
        hint_book_drop(&tracker->book, uuid);
        g_hash_table_remove(tracker->roots, uuid);
    }
    dv_unlock(&tracker->lock);
    return hint_node_flush(tracker, ctx, NULL, err);
}
