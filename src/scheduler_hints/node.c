/* The compute node record: found or made by the audit, written when it differs.
 *
 * `tracker->node` is the record as the database has it. Writing is setting fields on it, which
 * marks only those whose value is new, and saving; so an unchanged host saves nothing, and a change
 * that could not be saved is tried again with the next one. Each audit starts from a fresh copy, so
 * that what others did to the record is seen and mended.
 *
 * Identity. nova 2023.1 and later knows a host by the uuid in <state_path>/compute_id and refuses
 * to run when that and the database disagree; Zed lets conductor make the uuid. The file is kept in
 * both, so that an upgrade finds it.
 * Sources    nova compute/resource_tracker.py _init_compute_node, _copy_resources, _update (Zed);
 *            compute/manager.py update_available_resource; virt/node.py (2023.1). */
#include "scheduler_hints/hint_priv.h"

#include "util/fs.h"
#include "util/log.h"

#include <string.h>

#define ID_FILE "compute_id"
#define ID_MAX_BYTES 4096

/* ---- fields ---- */

static bool specs_equal(const Ovo *node, const GPtrArray *specs)
{
    if (!ovo_has_value(node, "supported_hv_specs") ||
        ovo_count(node, "supported_hv_specs") != (specs ? specs->len : 0))
        return false;
    for (guint i = 0; specs && i < specs->len; i++) {
        const HostSpecTriple *spec = specs->pdata[i];
        g_autoptr(Ovo) old = ovo_at(node, "supported_hv_specs", i);

        if (!old || g_strcmp0(ovo_str_or(old, "arch", NULL), spec->arch) != 0 ||
            g_strcmp0(ovo_str_or(old, "hv_type", NULL), spec->hv_type) != 0 ||
            g_strcmp0(ovo_str_or(old, "vm_mode", NULL), spec->vm_mode) != 0)
            return false;
    }
    return true;
}

static void write_specs(Ovo *node, NovaRelease release, const GPtrArray *specs)
{
    if (specs_equal(node, specs))
        return;
    ovo_set_strv(node, "supported_hv_specs", NULL);
    for (guint i = 0; specs && i < specs->len; i++) {
        const HostSpecTriple *triple = specs->pdata[i];
        g_autoptr(Ovo) spec = ovo_new("HVSpec", ovo_version_of(release, "HVSpec"));

        ovo_set_str(spec, "arch", triple->arch);
        ovo_set_str(spec, "hv_type", triple->hv_type);
        ovo_set_str(spec, "vm_mode", triple->vm_mode);
        ovo_reset_changes(spec);
        ovo_append(node, "supported_hv_specs", spec);
    }
}

/* No device is passed through yet, so there are no pools. */
static void write_pools(Ovo *node, NovaRelease release)
{
    g_autoptr(Ovo)
        pools = ovo_new("PciDevicePoolList", ovo_version_of(release, "PciDevicePoolList"));

    ovo_set_strv(pools, "objects", NULL);
    ovo_reset_changes(pools);
    ovo_set_child(node, "pci_device_pools", pools);
}

static void write_ratio(Ovo *node, const char *field, double option)
{
    if (option != 0.0)
        ovo_set_double(node, field, option);
}

static void write_facts(Ovo *node, const Tracker *tracker, const HostFacts *facts)
{
    NovaRelease release = conductor_release(tracker->con);

    ovo_set_i64(node, "vcpus", facts->vcpus);
    ovo_set_i64(node, "memory_mb", facts->memory_mib);
    ovo_set_i64(node, "local_gb", facts->disk_gib);
    ovo_set_i64(node, "disk_available_least", facts->disk_available_least_gib);
    ovo_set_str(node, "cpu_info", facts->cpu_info ? facts->cpu_info : "");
    ovo_set_str(node, "numa_topology", facts->numa_topology);
    ovo_set_str(node, "hypervisor_type", facts->hypervisor_type);
    ovo_set_i64(node, "hypervisor_version", facts->hypervisor_version);
    ovo_set_str(node, "hypervisor_hostname", facts->hypervisor_hostname);
    ovo_set_str(node, "host_ip", tracker->config.my_ip);
    ovo_set_str(node, "metrics", "[]");
    write_ratio(node, "cpu_allocation_ratio", tracker->config.cpu_ratio);
    write_ratio(node, "ram_allocation_ratio", tracker->config.ram_ratio);
    write_ratio(node, "disk_allocation_ratio", tracker->config.disk_ratio);
    write_specs(node, release, facts->specs);
    write_pools(node, release);
}

static void write_record(Ovo *node, const HintRecord *record)
{
    ovo_set_i64(node, "vcpus_used", record->used.vcpus);
    ovo_set_i64(node, "memory_mb_used", record->used.memory_mib);
    ovo_set_i64(node, "local_gb_used", record->used.disk_gib);
    ovo_set_i64(node, "free_ram_mb", ovo_i64_or(node, "memory_mb", 0) - record->used.memory_mib);
    ovo_set_i64(node, "free_disk_gb", ovo_i64_or(node, "local_gb", 0) - record->used.disk_gib);
    ovo_set_i64(node, "current_workload", record->workload);
    ovo_set_i64(node, "running_vms", record->guests);
    ovo_set_child(node, "stats", record->stats);
}

/* ---- compute_id ---- */

static char *id_path(const Tracker *tracker)
{
    return g_build_filename(tracker->config.state_path, ID_FILE, NULL);
}

/* NULL when there is none that can be read. */
static char *id_read(const Tracker *tracker, const DvCtx *ctx)
{
    g_autofree char *path = id_path(tracker);
    g_autoptr(GError) why = NULL;
    char *text = NULL;

    if (!dv_read_file(path, ID_MAX_BYTES, &text, NULL, &why)) {
        if (!dv_is(why, DV_E_NOT_FOUND))
            dv_warning(ctx, "this host's identity: %s", why->message);
        return NULL;
    }
    g_strstrip(text);
    if (g_uuid_string_is_valid(text))
        return text;
    dv_warning(ctx, "%s does not hold a uuid", path);
    g_free(text);
    return NULL;
}

static void id_write(const Tracker *tracker, const DvCtx *ctx, const char *uuid)
{
    g_autofree char *path = id_path(tracker);
    g_autofree char *line = g_strconcat(uuid, "\n", NULL);
    g_autoptr(GError) why = NULL;

    if (!dv_write_file(path, line, strlen(line), 0644, &why))
        dv_warning(ctx, "this host's identity is not kept for a later release: %s", why->message);
}

/* From 2023.1 on a mismatch means that the host was renamed or the file copied: going on would mix
 * up two hosts' records. */
static bool id_check(const Tracker *tracker, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autofree char *kept = id_read(tracker, ctx);

    if (kept && g_ascii_strcasecmp(kept, uuid) == 0)
        return true;
    if (kept && conductor_release(tracker->con) >= NOVA_2023_1)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "%s/" ID_FILE " says this host is %s, but the record of host %s is %s",
                       tracker->config.state_path, kept, tracker->config.host, uuid);
    id_write(tracker, ctx, uuid);
    return true;
}

/* A new record under a uuid that the database already has on another host name is a rename. */
static bool id_is_free(Tracker *tracker, const DvCtx *ctx, const char *uuid, GError **err)
{
    g_autoptr(Ovo) kwargs = ovo_new_dict();
    g_autoptr(Ovo) found = NULL;
    g_autoptr(GError) why = NULL;
    json_t *result = NULL;

    ovo_set_str(kwargs, "compute_uuid", uuid);
    if (conductor_class_action(tracker->con, ctx, "ComputeNode", "get_by_uuid", NULL,
                               ovo_json(kwargs), &result, &why)) {
        found = ovo_take(result, "ComputeNode", err);
        if (!found)
            return false;
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "%s/" ID_FILE " says this host is %s, which is known as host %s node %s; "
                       "was this host renamed?",
                       tracker->config.state_path, uuid, ovo_str_or(found, "host", "?"),
                       ovo_str_or(found, "hypervisor_hostname", "?"));
    }
    if (dv_is(why, DV_E_HOST_NOT_FOUND) || dv_is(why, DV_E_NOT_FOUND))
        return true;
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}

/* ---- finding or making it ---- */

static bool list_nodes(Tracker *tracker, const DvCtx *ctx, const char *hostname, Ovo **out_mine,
                       GPtrArray *orphans, GError **err)
{
    g_autoptr(Ovo) list = NULL;
    g_autoptr(GError) why = NULL;

    if (!conductor_compute_nodes_by_host(tracker->con, ctx, tracker->config.host, &list, &why)) {
        if (dv_is(why, DV_E_HOST_NOT_FOUND) || dv_is(why, DV_E_NOT_FOUND))
            return true;
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    for (size_t i = 0; list && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) node = ovo_at(list, NULL, i);

        if (!node)
            continue;
        ovo_reset_changes(node); /* conductor leaves the device pools marked */
        if (!*out_mine && g_strcmp0(ovo_str_or(node, "hypervisor_hostname", NULL), hostname) == 0)
            *out_mine = g_steal_pointer(&node);
        else
            g_ptr_array_add(orphans, g_steal_pointer(&node));
    }
    return true;
}

static void read_books(Tracker *tracker, HintRecord *out, uint64_t *out_time)
{
    dv_lock(&tracker->lock);
    hint_book_read(&tracker->book, hint_reserved(&tracker->config), out);
    *out_time = tracker->book.time;
    dv_unlock(&tracker->lock);
}

static Ovo *create_node(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts,
                        const Ovo *service, GError **err)
{
    NovaRelease release = conductor_release(tracker->con);
    g_autoptr(Ovo) node = ovo_new("ComputeNode", ovo_version_of(release, "ComputeNode"));
    g_autofree char *kept = release >= NOVA_2023_1 ? id_read(tracker, ctx) : NULL;
    g_auto(HintRecord) record = {0};
    int64_t service_id;
    uint64_t time;

    if (kept && !id_is_free(tracker, ctx, kept, err))
        return NULL;
    if (kept)
        ovo_set_str(node, "uuid", kept);
    if (release >= NOVA_2023_1 && service && ovo_i64(service, "id", &service_id, NULL))
        ovo_set_i64(node, "service_id", service_id);
    ovo_set_str(node, "host", tracker->config.host);
    write_facts(node, tracker, facts);
    ovo_set_double(node, "cpu_allocation_ratio", tracker->config.initial_cpu_ratio);
    ovo_set_double(node, "ram_allocation_ratio", tracker->config.initial_ram_ratio);
    ovo_set_double(node, "disk_allocation_ratio", tracker->config.initial_disk_ratio);
    read_books(tracker, &record, &time);
    write_record(node, &record);
    if (!conductor_create(tracker->con, ctx, node, err))
        return NULL;
    ovo_reset_changes(node);
    dv_info(ctx, "compute node record created for %s node %s with uuid %s", tracker->config.host,
            facts->hypervisor_hostname, ovo_str_or(node, "uuid", "?"));
    return g_steal_pointer(&node);
}

static bool adopt(Tracker *tracker, const DvCtx *ctx, Ovo *node, GError **err)
{
    const char *uuid, *hostname;
    int64_t id;

    if (!ovo_str(node, "uuid", &uuid, err) || !ovo_i64(node, "id", &id, err) ||
        !ovo_str(node, "hypervisor_hostname", &hostname, err))
        return false;
    if (g_strcmp0(tracker->uuid, uuid) != 0 && !id_check(tracker, ctx, uuid, err))
        return false;
    ovo_unref(tracker->node);
    tracker->node = ovo_ref(node);
    dv_lock(&tracker->lock);
    g_free(tracker->uuid);
    g_free(tracker->hostname);
    tracker->uuid = g_strdup(uuid);
    tracker->hostname = g_strdup(hostname);
    tracker->id = id;
    dv_unlock(&tracker->lock);
    return true;
}

bool hint_node_ensure(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts,
                      const Ovo *service, bool *out_new, GPtrArray **out_orphans, GError **err)
{
    g_autoptr(GPtrArray) orphans = g_ptr_array_new_with_free_func((GDestroyNotify)ovo_unref);
    g_autoptr(Ovo) mine = NULL;
    bool made = false, ok;

    /* The slot is held over the reading: a save of ours between listing and adopting would
     * otherwise be forgotten. */
    hint_slot_take(tracker, SLOT_NODE);
    ok = list_nodes(tracker, ctx, facts->hypervisor_hostname, &mine, orphans, err);
    if (ok && !mine) {
        made = true;
        mine = create_node(tracker, ctx, facts, service, err);
    }
    ok = ok && mine && adopt(tracker, ctx, mine, err);
    hint_slot_give(tracker, SLOT_NODE);
    if (!ok)
        return dv_within(err, "compute node record");
    *out_new = made;
    *out_orphans = g_steal_pointer(&orphans);
    return true;
}

/* ---- orphans ---- */

/* The allocations of the instances that the database still counts on the old name. */
static void drop_allocations(Tracker *tracker, const DvCtx *ctx, const char *hostname)
{
    static const char *const no_attrs[] = {NULL};
    g_autoptr(Ovo) instances = NULL;
    g_autoptr(GError) why = NULL;

    if (!conductor_instances_by_host_and_node(tracker->con, ctx, tracker->config.host, hostname,
                                              no_attrs, &instances, &why)) {
        dv_warning(ctx, "allocations of node %s: %s", hostname, why->message);
        return;
    }
    for (size_t i = 0; i < ovo_count(instances, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(instances, NULL, i);
        const char *uuid = instance ? ovo_str_or(instance, "uuid", NULL) : NULL;
        bool existed;

        g_clear_error(&why);
        if (uuid && !tracker->placement->allocations_delete(tracker->placement_self, ctx, uuid,
                                                            &existed, &why))
            dv_warning(ctx, "allocation of instance %s: %s", uuid, why->message);
    }
}

static void drop_orphan(Tracker *tracker, const DvCtx *ctx, Ovo *node)
{
    g_autofree char *hostname = g_strdup(ovo_str_or(node, "hypervisor_hostname", "?"));
    g_autofree char *uuid = g_strdup(ovo_str_or(node, "uuid", ""));
    g_autoptr(GError) why = NULL;

    dv_info(ctx, "removing compute node %s: the hypervisor does not go by this name any more",
            hostname);
    if (!conductor_destroy(tracker->con, ctx, node, &why)) {
        dv_warning(ctx, "compute node %s stays: %s", hostname, why->message);
        return;
    }
    drop_allocations(tracker, ctx, hostname);
    if (!tracker->placement->provider_delete(tracker->placement_self, ctx, uuid, &why))
        dv_warning(ctx, "resource provider %s of node %s stays: %s", uuid, hostname, why->message);
}

void hint_node_drop_orphans(Tracker *tracker, const DvCtx *ctx, GPtrArray *orphans)
{
    for (guint i = 0; i < orphans->len; i++) {
        Ovo *node = orphans->pdata[i];

        /* Later releases remove a node only when the driver says that it was deleted, which
         * libvirt never says. */
        if (conductor_release(tracker->con) >= NOVA_2023_1)
            dv_warning(ctx, "compute node %s of this host is not what the hypervisor reports",
                       ovo_str_or(node, "hypervisor_hostname", "?"));
        else
            drop_orphan(tracker, ctx, node);
    }
}

/* ---- saving ---- */

static bool already_saved(Tracker *tracker, uint64_t wanted)
{
    bool saved;

    dv_lock(&tracker->lock);
    saved = tracker->saved >= wanted;
    dv_unlock(&tracker->lock);
    return saved;
}

static bool save_node(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts, GError **err)
{
    g_autoptr(DvCtx) elevated = dv_ctx_elevated(ctx);
    g_auto(HintRecord) record = {0};
    uint64_t time;

    if (facts)
        write_facts(tracker->node, tracker, facts);
    read_books(tracker, &record, &time);
    write_record(tracker->node, &record);
    if (ovo_any_changed(tracker->node)) {
        if (!conductor_save(tracker->con, elevated, tracker->node, err))
            return dv_within(err, "compute node record");
        ovo_reset_changes(tracker->node);
    }
    dv_lock(&tracker->lock);
    tracker->saved = MAX(tracker->saved, time);
    dv_unlock(&tracker->lock);
    return true;
}

bool hint_node_flush(Tracker *tracker, const DvCtx *ctx, const HostFacts *facts, GError **err)
{
    uint64_t wanted;
    bool ok = true;

    dv_lock(&tracker->lock);
    wanted = tracker->book.time;
    dv_unlock(&tracker->lock);
    hint_slot_take(tracker, SLOT_NODE);
    if (facts || !already_saved(tracker, wanted))
        ok = tracker->node ? save_node(tracker, ctx, facts, err)
                           : dv_fail(err, DV_E_UNAVAILABLE, "no compute node record yet");
    hint_slot_give(tracker, SLOT_NODE);
    return ok;
}

bool tracker_free_disk(Tracker *tracker, bool over_commit, int64_t *out_gib)
{
    const char *field = over_commit ? "free_disk_gb" : "disk_available_least";
    bool says;

    hint_slot_take(tracker, SLOT_NODE);
    says = tracker->node && ovo_has_value(tracker->node, field);
    if (says)
        *out_gib = ovo_i64_or(tracker->node, field, 0);
    hint_slot_give(tracker, SLOT_NODE);
    return says;
}
