/* get_diagnostics and get_instance_diagnostics: the same counters as a flat dict, for clients
 * before microversion 2.48, and as a Diagnostics object.
 *
 * They run beside the instance's lane: who asks wants to know why something does not end. Sources:
 * nova virt/libvirt/driver.py get_diagnostics, get_instance_diagnostics; objects/diagnostics.py
 * (Zed). */
#include "agent/guest_spec.h"
#include "agent/instance_load.h"
#include "agent/ops/ops.h"

#define NO_ERROR_COUNT (-1)  /* QEMU does not count them */
#define KIB_PER_UNIT 1048576 /* nova divides KiB by MiB, so that its figures are GiB */

static const char *state_name(int64_t state)
{
    static const struct {
        GuestState state;
        const char *name;
    } rows[] = {
        {GUEST_STATE_NONE, "pending"},    {GUEST_STATE_RUNNING, "running"},
        {GUEST_STATE_PAUSED, "paused"},   {GUEST_STATE_OFF, "shutdown"},
        {GUEST_STATE_CRASHED, "crashed"}, {GUEST_STATE_SUSPENDED, "suspended"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if ((int64_t)rows[i].state == state)
            return rows[i].name;
    }
    return "pending";
}

static bool read_stats(const OpCall *call, GuestStats **out, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    GuestState state;

    if (!virt->ops->state(virt->self, call->uuid, &state, err))
        return false;
    if (state != GUEST_STATE_RUNNING)
        return dv_fail(err, DV_E_INSTANCE_INVALID_STATE,
                       "Instance %s in power state %s. Cannot get_diagnostics while the instance "
                       "is in this state.",
                       call->uuid,
                       state_name(ovo_i64_or(call->instance, "power_state", GUEST_STATE_NONE)));
    return virt->ops->stats(virt->self, call->uuid, out, err);
}

/* ---- the flat form ---- */

static void put(Ovo *dict, const char *prefix, const char *name, uint64_t value)
{
    g_autofree char *key = g_strconcat(prefix, name, NULL);

    ovo_set_i64(dict, key, (int64_t)value);
}

static void put_nic(Ovo *dict, const GuestNicStats *nic)
{
    put(dict, nic->target, "_rx", nic->rx_bytes);
    put(dict, nic->target, "_rx_packets", nic->rx_packets);
    put(dict, nic->target, "_rx_errors", nic->rx_errors);
    put(dict, nic->target, "_rx_drop", nic->rx_drop);
    put(dict, nic->target, "_tx", nic->tx_bytes);
    put(dict, nic->target, "_tx_packets", nic->tx_packets);
    put(dict, nic->target, "_tx_errors", nic->tx_errors);
    put(dict, nic->target, "_tx_drop", nic->tx_drop);
}

bool op_diagnostics(const OpCall *call, json_t **out_result, GError **err)
{
    g_autoptr(GuestStats) stats = NULL;
    g_autoptr(Ovo) dict = ovo_new_dict();

    if (!read_stats(call, &stats, err))
        return false;
    for (guint i = 0; i < stats->cpus->len; i++) {
        const GuestCpuStats *cpu = &g_array_index(stats->cpus, GuestCpuStats, i);
        g_autofree char *prefix = g_strdup_printf("cpu%u", cpu->id);

        put(dict, prefix, "_time", cpu->time_ns);
    }
    for (guint i = 0; i < stats->disks->len; i++) {
        const GuestDiskStats *disk = g_ptr_array_index(stats->disks, i);
        g_autofree char *errors = g_strconcat(disk->target, "_errors", NULL);

        put(dict, disk->target, "_read_req", disk->read_requests);
        put(dict, disk->target, "_read", disk->read_bytes);
        put(dict, disk->target, "_write_req", disk->write_requests);
        put(dict, disk->target, "_write", disk->write_bytes);
        ovo_set_i64(dict, errors, NO_ERROR_COUNT);
    }
    for (guint i = 0; i < stats->nics->len; i++) {
        const GuestNicStats *nic = g_ptr_array_index(stats->nics, i);

        if (nic->target)
            put_nic(dict, nic);
    }
    put(dict, "memory", "", stats->memory_max_kib);
    for (guint i = 0; i < stats->memory->len; i++) {
        const GuestMemoryStat *stat = &g_array_index(stats->memory, GuestMemoryStat, i);

        put(dict, "memory-", stat->name, stat->value);
    }
    *out_result = ovo_json(dict);
    return true;
}

/* ---- the object ---- */

static Ovo *new_object(const OpCall *call, const char *name)
{
    return ovo_new(name, ovo_version_of(conductor_release(call->agent->con), name));
}

static void add_cpu(const OpCall *call, Ovo *out, const GuestCpuStats *cpu)
{
    g_autoptr(Ovo) item = new_object(call, "CpuDiagnostics");

    ovo_set_i64(item, "id", cpu->id);
    ovo_set_i64(item, "time", (int64_t)cpu->time_ns);
    ovo_set_null(item, "utilisation");
    ovo_append(out, "cpu_details", item);
}

static void add_disk(const OpCall *call, Ovo *out, const GuestDiskStats *disk)
{
    g_autoptr(Ovo) item = new_object(call, "DiskDiagnostics");

    ovo_set_i64(item, "read_bytes", (int64_t)disk->read_bytes);
    ovo_set_i64(item, "read_requests", (int64_t)disk->read_requests);
    ovo_set_i64(item, "write_bytes", (int64_t)disk->write_bytes);
    ovo_set_i64(item, "write_requests", (int64_t)disk->write_requests);
    ovo_set_i64(item, "errors_count", NO_ERROR_COUNT);
    ovo_append(out, "disk_details", item);
}

static void add_nic(const OpCall *call, Ovo *out, const GuestNicStats *nic)
{
    const struct {
        const char *field;
        uint64_t value;
    } counters[] = {
        {"rx_octets", nic->rx_bytes}, {"rx_errors", nic->rx_errors},
        {"rx_drop", nic->rx_drop},    {"rx_packets", nic->rx_packets},
        {"tx_octets", nic->tx_bytes}, {"tx_errors", nic->tx_errors},
        {"tx_drop", nic->tx_drop},    {"tx_packets", nic->tx_packets},
    };
    g_autoptr(Ovo) item = new_object(call, "NicDiagnostics");

    ovo_set_str(item, "mac_address", nic->mac);
    for (size_t i = 0; i < G_N_ELEMENTS(counters); i++) {
        if (nic->target)
            ovo_set_i64(item, counters[i].field, (int64_t)counters[i].value);
        else
            ovo_set_null(item, counters[i].field);
    }
    ovo_set_null(item, "rx_rate");
    ovo_set_null(item, "tx_rate");
    ovo_append(out, "nic_details", item);
}

static void set_memory(const OpCall *call, Ovo *out, const GuestStats *stats)
{
    g_autoptr(Ovo) memory = new_object(call, "MemoryDiagnostics");

    ovo_set_i64(memory, "maximum", (int64_t)(stats->memory_max_kib / KIB_PER_UNIT));
    ovo_set_i64(memory, "used", (int64_t)(stats->memory_kib / KIB_PER_UNIT));
    ovo_set_child(out, "memory_details", memory);
}

/* Seconds since the instance was made active. */
static int64_t uptime_s(const OpCall *call)
{
    const char *text = ovo_str_or(call->instance, "launched_at", NULL);
    int64_t launched_ms = 0;

    if (!text || !dv_time_parse(text, &launched_ms))
        return 0;
    return (dv_clock_wall_ms(dv_clock_real()) - launched_ms) / 1000;
}

static void set_lists(Ovo *out)
{
    static const char *const lists[] = {"cpu_details", "disk_details", "nic_details"};
    static const char *const none[] = {NULL};

    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
        ovo_set_strv(out, lists[i], none);
}

static Ovo *diagnostics_of(const OpCall *call, const GuestStats *stats)
{
    const GuestSource source = {.instance = call->instance, .ctx = call->ctx};
    Ovo *out = new_object(call, "Diagnostics");

    ovo_set_str(out, "state", state_name(stats->state));
    ovo_set_str(out, "driver", "libvirt");
    ovo_set_str(out, "hypervisor", call->agent->virt_config.virt_type);
    ovo_set_str(out, "hypervisor_os", "linux");
    ovo_set_i64(out, "uptime", uptime_s(call));
    ovo_set_bool(out, "config_drive", guest_needs_config_drive(call->agent, &source));
    set_memory(call, out, stats);
    set_lists(out);
    for (guint i = 0; i < stats->cpus->len; i++)
        add_cpu(call, out, &g_array_index(stats->cpus, GuestCpuStats, i));
    for (guint i = 0; i < stats->disks->len; i++)
        add_disk(call, out, g_ptr_array_index(stats->disks, i));
    for (guint i = 0; i < stats->nics->len; i++)
        add_nic(call, out, g_ptr_array_index(stats->nics, i));
    ovo_set_i64(out, "num_cpus", stats->cpus->len);
    ovo_set_i64(out, "num_disks", stats->disks->len);
    ovo_set_i64(out, "num_nics", stats->nics->len);
    return out;
}

bool op_instance_diagnostics(const OpCall *call, json_t **out_result, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    g_autoptr(GuestStats) stats = NULL;
    g_autoptr(Ovo) out = NULL;

    if (!instance_load(call->agent, call->ctx, call->instance, attrs, err) ||
        !read_stats(call, &stats, err))
        return false;
    out = diagnostics_of(call, stats);
    *out_result = ovo_json(out);
    return true;
}
