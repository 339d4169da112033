/* The tracker itself and the audit, which brings everything that others believe about this host in
 * line with what the hypervisor and the database say.
 *
 * An audit reads (facts, service, record, instances, migrations), rebuilds the books, and writes
 * (record, provider). Claims go on while it reads: what they changed since the audit began is newer
 * than its listings and stays (stats.c). On an unchanged host an audit is four calls to conductor
 * and one to placement.
 * Sources    nova compute/resource_tracker.py update_available_resource, compute/manager.py (Zed);
 *            wire/flows 3. */
#include "scheduler_hints/hint_priv.h"

#include "util/log.h"

#include <string.h>

/* ---- life ---- */

Tracker *tracker_new_with(const TrackerConfig *config, Conductor *con,
                          const PlacementOps *placement, void *placement_self, HostFactsFn facts,
                          void *facts_arg, const DvClock *clock)
{
    Tracker *tracker = g_new0(Tracker, 1);

    tracker->config = *config;
    tracker->config.host = g_strdup(config->host);
    tracker->config.my_ip = g_strdup(config->my_ip);
    tracker->config.move_address = g_strdup(config->move_address ? config->move_address
                                                                 : config->my_ip);
    tracker->config.state_path = g_strdup(config->state_path);
    tracker->con = con;
    tracker->placement = placement;
    tracker->placement_self = placement_self;
    tracker->facts = facts;
    tracker->facts_arg = facts_arg;
    tracker->clock = clock;
    dv_mutex_init(&tracker->lock);
    dv_cond_init(&tracker->freed);
    dv_lock(&tracker->lock);
    hint_book_init(&tracker->book);
    tracker->roots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    dv_unlock(&tracker->lock);
    return tracker;
}

void tracker_free(Tracker *tracker)
{
    if (!tracker)
        return;
    dv_lock(&tracker->lock);
    hint_book_done(&tracker->book);
    g_clear_pointer(&tracker->roots, g_hash_table_unref);
    g_clear_pointer(&tracker->migrations, ovo_unref);
    g_clear_pointer(&tracker->hostname, g_free);
    g_clear_pointer(&tracker->uuid, g_free);
    dv_unlock(&tracker->lock);
    hint_provider_done(&tracker->provider);
    ovo_unref(tracker->node);
    g_free((char *)tracker->config.host);
    g_free((char *)tracker->config.my_ip);
    g_free((char *)tracker->config.move_address);
    g_free((char *)tracker->config.state_path);
    dv_cond_done(&tracker->freed);
    dv_mutex_done(&tracker->lock);
    g_free(tracker);
}

void hint_slot_take(Tracker *tracker, HintSlot slot)
{
    dv_lock(&tracker->lock);
    while (tracker->busy[slot])
        dv_cond_wait(&tracker->freed, &tracker->lock);
    tracker->busy[slot] = true;
    dv_unlock(&tracker->lock);
}

void hint_slot_give(Tracker *tracker, HintSlot slot)
{
    dv_lock(&tracker->lock);
    tracker->busy[slot] = false;
    dv_cond_broadcast(&tracker->freed);
    dv_unlock(&tracker->lock);
}

HintUsage hint_reserved(const TrackerConfig *config)
{
    return (HintUsage){
        .vcpus = config->reserved_host_cpus,
        .memory_mib = config->reserved_host_memory_mib,
        .disk_gib = config->reserved_host_disk_mib / 1024,
    };
}

/* ---- the audit ---- */

typedef struct Audit {
    HostFacts *facts;
    Ovo *service, *instances, *migrations;
    GHashTable *by_uuid; /* uuid -> Ovo, of instances */
    GPtrArray *guests;   /* HintGuest */
    GHashTable *moves;   /* uuid -> HintMove */
    uint64_t since;      /* book time before anything was read */
    bool new_node;
} Audit;

static void audit_done(Audit *audit)
{
    host_facts_free(audit->facts);
    ovo_unref(audit->service);
    ovo_unref(audit->instances);
    ovo_unref(audit->migrations);
    g_clear_pointer(&audit->by_uuid, g_hash_table_unref);
    g_clear_pointer(&audit->guests, g_ptr_array_unref);
    g_clear_pointer(&audit->moves, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Audit, audit_done)

static bool audit_node(Tracker *tracker, const DvCtx *ctx, Audit *audit, bool startup, GError **err)
{
    g_autoptr(GPtrArray) orphans = NULL;

    if (!conductor_service_get(tracker->con, ctx, tracker->config.host, "nova-compute",
                               &audit->service, err) ||
        !hint_node_ensure(tracker, ctx, audit->facts, audit->service, &audit->new_node, &orphans,
                          err))
        return false;
    if (audit->new_node) {
        hint_provider_forget(tracker);
        if (!startup)
            dv_warning(ctx, "the compute node record of this host had gone and was made again");
    }
    hint_node_drop_orphans(tracker, ctx, orphans);
    return true;
}

static bool audit_lists(Tracker *tracker, const DvCtx *ctx, Audit *audit, GError **err)
{
    static const char *const attrs[] = {"system_metadata",   "numa_topology", "flavor",
                                        "migration_context", "resources",     NULL};
    const char *host = tracker->config.host;
    const char *node = audit->facts->hypervisor_hostname;

    if (!conductor_instances_by_host_and_node(tracker->con, ctx, host, node, attrs,
                                              &audit->instances, err) ||
        !conductor_migrations_in_progress_and_error(tracker->con, ctx, host, node,
                                                    &audit->migrations, err))
        return false;
    audit->by_uuid = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
                                           (GDestroyNotify)ovo_unref);
    for (size_t i = 0; i < ovo_count(audit->instances, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(audit->instances, NULL, i);
        const char *uuid;

        if (!instance)
            return dv_fail(err, DV_E_BAD_INPUT, "InstanceList.objects: want instances");
        if (!ovo_str(instance, "uuid", &uuid, err))
            return false;
        g_hash_table_replace(audit->by_uuid, (gpointer)uuid, g_steal_pointer(&instance));
    }
    return true;
}

static void guest_destroy(gpointer guest)
{
    hint_guest_free(guest);
}

static bool audit_usage(Tracker *tracker, const DvCtx *ctx, Audit *audit, GError **err)
{
    g_autoptr(GPtrArray) counted = g_ptr_array_new();
    g_autoptr(GHashTable) roots = NULL;
    GHashTableIter iter;
    gpointer uuid, instance;

    g_hash_table_iter_init(&iter, audit->by_uuid);
    while (g_hash_table_iter_next(&iter, &uuid, &instance))
        if (hint_instance_counts(instance))
            g_ptr_array_add(counted, instance);
    if (!hint_roots(tracker, ctx, counted, &roots, err))
        return false;
    audit->guests = g_ptr_array_new_with_free_func(guest_destroy);
    for (guint i = 0; i < counted->len; i++) {
        const Ovo *one = counted->pdata[i];
        const char *name = ovo_str_or(one, "uuid", "");
        bool volume = GPOINTER_TO_INT(g_hash_table_lookup(roots, name)) == ROOT_VOLUME;
        HintGuest *guest = hint_guest_read(one, volume, err);

        if (!guest)
            return dv_within(err, "instance %s", name);
        if (ovo_has_value(one, "numa_topology"))
            dv_warning(ctx, "instance %s has a NUMA topology: its CPUs are not marked as used",
                       name);
        g_ptr_array_add(audit->guests, guest);
    }
    return hint_moves(tracker, ctx, audit->migrations, audit->by_uuid, &audit->moves, err);
}

/* Instances that left take their remembered answer with them. */
static void prune_roots(Tracker *tracker, const Audit *audit) DV_REQUIRES(tracker->lock)
{
    g_autoptr(GHashTable) keep = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer uuid;

    for (size_t i = 0; i < ovo_count(audit->migrations, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(audit->migrations, NULL, i);

        if (migration)
            g_hash_table_add(keep, g_strdup(ovo_str_or(migration, "instance_uuid", "")));
    }
    g_hash_table_iter_init(&iter, tracker->roots);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        if (!hint_book_find(&tracker->book, uuid) && !g_hash_table_contains(keep, uuid))
            g_hash_table_iter_remove(&iter);
}

static void audit_adopt(Tracker *tracker, Audit *audit)
{
    dv_lock(&tracker->lock);
    hint_book_rebuild(&tracker->book, audit->guests, g_steal_pointer(&audit->moves), audit->since);
    prune_roots(tracker, audit);
    ovo_unref(tracker->migrations);
    tracker->migrations = ovo_ref(audit->migrations);
    tracker->ready = true;
    if (audit->service)
        tracker->disabled = ovo_bool_or(audit->service, "disabled", false);
    dv_unlock(&tracker->lock);
}

/* From 2024.1 on instances point at the record of their host, too. */
static void audit_compute_ids(Tracker *tracker, const DvCtx *ctx, const Audit *audit)
{
    GHashTableIter iter;
    gpointer uuid, value;
    int64_t id = 0;

    if (!tracker_node_identity(tracker, NULL, &id))
        return;
    g_hash_table_iter_init(&iter, audit->by_uuid);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        g_autoptr(GError) why = NULL;
        Ovo *instance = value;

        if (!ovo_version_at_least(instance, 2, 8) || !ovo_has(instance, "compute_id") ||
            ovo_i64_or(instance, "compute_id", 0) == id)
            continue;
        ovo_set_i64(instance, "compute_id", id);
        if (!conductor_instance_save(tracker->con, ctx, instance, NULL, &why))
            dv_warning(ctx, "instance %s keeps its compute_id: %s", (char *)uuid, why->message);
    }
}

static void log_view(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts)
{
    g_auto(HintRecord) record = {0};

    if (!dv_log_enabled(DV_LOG_DEBUG))
        return;
    dv_lock(&tracker->lock);
    hint_book_read(&tracker->book, hint_reserved(&tracker->config), &record);
    dv_unlock(&tracker->lock);
    dv_debug(ctx, "node %s: %d instances, vcpus %d/%d, memory %d/%d MiB, disk %d/%d GiB",
             facts->hypervisor_hostname, (int)record.guests, (int)record.used.vcpus,
             (int)facts->vcpus, (int)record.used.memory_mib, (int)facts->memory_mib,
             (int)record.used.disk_gib, (int)facts->disk_gib);
}

static bool audit_write(Tracker *tracker, const DvCtx *ctx, Audit *audit, GError **err)
{
    g_autofree char *uuid = NULL;
    bool disabled;

    dv_lock(&tracker->lock);
    uuid = g_strdup(tracker->uuid);
    disabled = tracker->disabled;
    dv_unlock(&tracker->lock);
    if (!audit->service)
        dv_error(ctx, "there is no service record of nova-compute on host %s",
                 tracker->config.host);
    /* A new record has no provider yet, and so no allocations. */
    if (!audit->new_node)
        hint_heal_allocations(tracker, ctx, uuid, audit->migrations, audit->by_uuid);
    if (!hint_node_flush(tracker, ctx, audit->facts, err))
        return false;
    audit_compute_ids(tracker, ctx, audit);
    log_view(tracker, ctx, audit->facts);
    return hint_provider_sync(tracker, ctx, uuid, audit->facts->hypervisor_hostname, audit->facts,
                              disabled, err);
}

static bool audit_run(Tracker *tracker, const DvCtx *ctx, bool startup, GError **err)
{
    g_auto(Audit) audit = {0};

    if (!tracker->facts(tracker->facts_arg, &audit.facts, err))
        return false;
    if (!audit.facts->hypervisor_hostname)
        return dv_fail(err, DV_E_HYPERVISOR, "the hypervisor does not tell this host's name");
    dv_lock(&tracker->lock);
    audit.since = tracker->book.time;
    dv_unlock(&tracker->lock);
    if (!audit_node(tracker, ctx, &audit, startup, err) ||
        !audit_lists(tracker, ctx, &audit, err) || !audit_usage(tracker, ctx, &audit, err))
        return false;
    audit_adopt(tracker, &audit);
    return audit_write(tracker, ctx, &audit, err);
}

bool tracker_audit(Tracker *tracker, const DvCtx *ctx, bool startup, GError **err)
{
    bool ok;

    hint_slot_take(tracker, SLOT_AUDIT);
    ok = audit_run(tracker, ctx, startup, err);
    hint_slot_give(tracker, SLOT_AUDIT);
    return ok || dv_within(err, "audit of host %s", tracker->config.host);
}

/* ---- small things ---- */

char *tracker_node(Tracker *tracker)
{
    char *node;

    dv_lock(&tracker->lock);
    node = g_strdup(tracker->hostname);
    dv_unlock(&tracker->lock);
    return node;
}

bool tracker_node_identity(Tracker *tracker, char **out_uuid, int64_t *out_id)
{
    bool known;

    dv_lock(&tracker->lock);
    known = tracker->uuid != NULL;
    if (known && out_uuid)
        *out_uuid = g_strdup(tracker->uuid);
    if (known && out_id)
        *out_id = tracker->id;
    dv_unlock(&tracker->lock);
    return known;
}

Ovo *tracker_migrations(Tracker *tracker)
{
    Ovo *migrations;

    dv_lock(&tracker->lock);
    migrations = tracker->migrations ? ovo_ref(tracker->migrations) : NULL;
    dv_unlock(&tracker->lock);
    return migrations;
}

/* Like nova's, the count reaches the database with the next write of the record. */
void tracker_build_succeeded(Tracker *tracker)
{
    dv_lock(&tracker->lock);
    tracker->book.failed_builds = 0;
    dv_unlock(&tracker->lock);
}

void tracker_build_failed(Tracker *tracker)
{
    dv_lock(&tracker->lock);
    if (tracker->config.failed_build_threshold != 0)
        tracker->book.failed_builds++;
    dv_unlock(&tracker->lock);
}

bool tracker_set_disabled(Tracker *tracker, const DvCtx *ctx, bool disabled, GError **err)
{
    g_autofree char *uuid = NULL;

    dv_lock(&tracker->lock);
    tracker->disabled = disabled;
    uuid = g_strdup(tracker->uuid);
    dv_unlock(&tracker->lock);
    if (!uuid)
        return dv_fail(err, DV_E_UNAVAILABLE, "no compute node record yet");
    return hint_provider_set_disabled(tracker, ctx, uuid, disabled, err);
}

char **tracker_instances(Tracker *tracker)
{
    g_autoptr(GPtrArray) uuids = g_ptr_array_new();
    GHashTableIter iter;
    gpointer uuid, guest;

    dv_lock(&tracker->lock);
    g_hash_table_iter_init(&iter, tracker->book.guests);
    while (g_hash_table_iter_next(&iter, &uuid, &guest))
        if (!((HintGuest *)guest)->gone)
            g_ptr_array_add(uuids, g_strdup(uuid));
    dv_unlock(&tracker->lock);
    g_ptr_array_add(uuids, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&uuids), FALSE);
}
