/* A live migration at its destination: pre_live_migration makes what the guest needs before it can
 * come, post_live_migration_at_destination takes the instance over when it has come,
 * rollback_live_migration_at_destination takes away what was made when it does not; see live.h.
 *
 * The source decides which of the two follows. It may be nova-compute, may have been restarted, and
 * its message may be late: before anything of a guest is removed, the hypervisor here and the
 * instance's record are asked.
 * Sources    nova compute/manager.py of the same names, virt/libvirt/driver.py pre_live_migration,
 *            rollback_live_migration_at_destination (Zed). */
#include "agent/arrivals.h"
#include "agent/disk_list.h"
#include "agent/guest_spec.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/boot_disks.h"
#include "agent/ops/live.h"
#include "agent/ops/move_files.h"
#include "agent/ops/ops.h"
#include "agent/ops/unplug.h"

#include "util/log.h"

#include <string.h>

enum { PLUG_PAUSE_MS = 1000, MAX_SERIAL = 64 };

static const char *const attrs[] = {"flavor", "info_cache", "system_metadata", "pci_requests",
                                    NULL};

typedef struct Arrive {
    const OpCall *call;
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin;
    Ovo *instance;
    const char *uuid;
    Ovo *data;            /* LibvirtLiveMigrateData */
    NetworkInfo *network; /* as its ports are bound here */
    NeutronPorts *ports;  /* of post: of the guest here; NULL: not known */
    Ovo *bdms;            /* of pre: its block device mappings */
    bool grouped;         /* of pre: it belongs to a server group */
    GuestSpec *spec;      /* as this host would make the guest: its ports and consoles count */
    char *source;         /* of post: the host that it came from */
    GuestState state;     /* of post: of the guest here */
    bool taken;           /* of post: the record names this host */
} Arrive;

static bool arrive_init(Arrive *arrive, const OpCall *call, GError **err)
{
    *arrive = (Arrive){
        .call = call,
        .agent = call->agent,
        .ctx = call->ctx,
        .admin = dv_ctx_elevated(call->ctx),
        .instance = call->instance,
        .uuid = call->uuid,
        .data = ovo_child(call->args, "migrate_data"),
    };
    return call->instance ||
           dv_fail(err, DV_E_BAD_INPUT, "%s without an instance", call->method->name);
}

static void arrive_done(Arrive *arrive)
{
    g_free(arrive->source);
    network_info_free(arrive->network);
    ovo_unref(arrive->bdms);
    neutron_ports_free(arrive->ports);
    g_clear_pointer(&arrive->spec, guest_spec_free);
    ovo_unref(arrive->data);
    dv_ctx_unref(arrive->admin);
}

static void notify(Arrive *arrive, NotifyAction action, NotifyPhase phase)
{
    const NotifyExtra extra = {.network = arrive->network};

    notify_instance_with(arrive->agent, arrive->ctx, arrive->instance, action, phase, &extra, NULL);
}

/* The ports, bound to the host that the record names. */
static NetworkInstance bound_to_record(const Arrive *arrive)
{
    NetworkInstance who = network_instance_of(arrive->agent, arrive->instance);

    who.host = ovo_str_or(arrive->instance, "host", NULL);
    return who;
}

static bool data_says(const Arrive *arrive, const char *field, bool fallback)
{
    return arrive->data ? ovo_bool_or(arrive->data, field, fallback) : fallback;
}

/* Bound here by conductor; without that extension of neutron as they are at the source. */
static bool read_network(Arrive *arrive, GError **err)
{
    arrive->network = arrive->data && migrate_data_has_vifs(arrive->data)
                          ? migrate_data_dest_network(arrive->data, err)
                          : network_cache_read(arrive->instance, err);
    return arrive->network != NULL;
}

/* ---- pre_live_migration ---- */

/* Other members of its group may be on their way here since this host was asked. */
static bool pre_group(void *self, GError **err)
{
    Arrive *arrive = self;
    bool known = arrivals_take(arrive->agent->arrivals, arrive->uuid, &arrive->bdms,
                               &arrive->grouped);

    return (known && !arrive->grouped) ||
           tracker_check_group(arrive->agent->tracker, arrive->admin, arrive->instance,
                               &arrive->grouped, err);
}

static bool pre_read(void *self, GError **err)
{
    Arrive *arrive = self;

    if (!arrive->data)
        return dv_fail(err, DV_E_BAD_INPUT, "pre_live_migration without migrate_data");
    if (!instance_load(arrive->agent, arrive->ctx, arrive->instance, attrs, err) ||
        !read_network(arrive, err) ||
        (!arrive->bdms &&
         !conductor_bdms_get(arrive->agent->con, arrive->ctx, arrive->uuid, &arrive->bdms, err)))
        return false;
    arrive->spec = guest_spec_build(
        arrive->agent,
        &(GuestSource){arrive->instance, NULL, arrive->bdms, arrive->network, arrive->ctx}, err);
    if (!arrive->spec)
        return false;
    notify(arrive, NOTIFY_LIVE_MIGRATION_PRE, NOTIFY_START);
    return true;
}

/* A guest that is here already is not one that comes. */
static bool pre_absent(void *self, GError **err)
{
    const Arrive *arrive = self;
    const VirtDriver *virt = arrive->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, arrive->uuid, &state, err))
        return false;
    return state == GUEST_STATE_NONE ||
           dv_fail(err, DV_E_INSTANCE_EXISTS, "a guest of instance %s is on this host already",
                   arrive->uuid);
}

/* DiskReceive.fetch: a file of the source. By its name, as live migrations reach a host of which no
 * other address is agreed on. */
static bool fetch_from_source(void *arg, const char *there, const char *here, GError **err)
{
    const Arrive *arrive = arg;
    const Move move = {.agent = arrive->agent, .ctx = arrive->ctx, .uuid = arrive->uuid};

    return move_files_fetch_at(&move, ovo_str_or(arrive->instance, "host", ""), there, here, err);
}

static bool pre_disks(void *self, GError **err)
{
    Arrive *arrive = self;
    const char *text = ovo_str_or(arrive->call->args, "disk", NULL);
    g_autoptr(GPtrArray) facts = text ? disk_list_read(text, err) : NULL;
    const DiskReceive receive = {
        .uuid = arrive->uuid,
        .disks = facts,
        .shared = data_says(arrive, "is_shared_block_storage", false),
        .fetch = fetch_from_source,
        .fetch_arg = arrive,
    };

    if (text && !facts)
        return dv_within(err, "list of disks");
    return data_says(arrive, "is_shared_instance_path", false) ||
           boot_disks_receive(arrive->agent, arrive->ctx, arrive->instance, &receive, err);
}

static void pre_disks_undo(void *self)
{
    const Arrive *arrive = self;
    g_autoptr(GError) err = NULL;

    if (!disks_receive_undo(arrive->agent->disks, arrive->ctx, arrive->uuid, &err))
        dv_warning(arrive->ctx, "%s", err->message);
}

static bool pre_plug(void *self, GError **err)
{
    const Arrive *arrive = self;
    const VirtDriver *virt = arrive->agent->virt;
    int64_t tries = MAX(arrive->agent->config.live.plug_tries, 1);

    for (int64_t try = 1;; try++) {
        g_autoptr(GError) why = NULL;

        if (virt->ops->plug(virt->self, arrive->ctx, arrive->spec, &why))
            return true;
        if (try >= tries) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        dv_warning(arrive->ctx, "plugging its ports: %s; trying again", why->message);
        g_usleep(PLUG_PAUSE_MS * 1000UL);
    }
}

static void pre_unplug(void *self)
{
    const Arrive *arrive = self;

    op_unplug(arrive->agent, arrive->ctx, arrive->instance, arrive->network);
}

static bool set_serial_ports(Arrive *arrive, GError **err)
{
    const VirtDriver *virt = arrive->agent->virt;
    const SerialConfig *serial = &arrive->agent->config.serial;
    int ports[MAX_SERIAL] = {0};
    unsigned count = serial->enabled ? MIN(arrive->spec->serial_count, MAX_SERIAL) : 0;

    if (count > 0 && !virt->ops->reserve_serial(virt->self, arrive->uuid,
                                                serial->proxyclient_address, count, ports, err))
        return false;
    migrate_data_set_ints(arrive->data, "serial_listen_ports", ports, count);
    return true;
}

static bool pre_answer(void *self, GError **err)
{
    Arrive *arrive = self;
    const AgentConfig *config = &arrive->agent->config;
    const char *const *events = arrive->agent->virt_config.perf_events;

    if (!set_serial_ports(arrive, err))
        return false;
    migrate_data_set_empty_list(arrive->data, "bdms");
    migrate_data_set_empty_dict(arrive->data, "old_vol_attachment_ids");
    ovo_set_str(arrive->data, "target_connect_addr", config->live.inbound_addr);
    ovo_set_strv(arrive->data, "supported_perf_events", events);
    ovo_set_bool(arrive->data, "wait_for_vif_plugged",
                 config->live.wait_for_vif_plug && migrate_data_has_vifs(arrive->data));
    return true;
}

/* ---- where the ports go: nobody waits for it, and the lane keeps it before what follows ---- */

typedef struct Tell {
    Agent *agent;
    DvCtx *ctx;
    char *uuid, *project_id, *source;
} Tell;

static void tell_free(void *arg)
{
    Tell *tell = arg;

    dv_ctx_unref(tell->ctx);
    g_free(tell->uuid);
    g_free(tell->project_id);
    g_free(tell->source);
    g_free(tell);
}

static void tell_run(void *arg)
{
    Tell *tell = arg;
    const NetworkInstance who = {
        .uuid = tell->uuid, .project_id = tell->project_id, .host = tell->source};
    g_autoptr(GError) err = NULL;

    if (!neutron_set_migrating_to(tell->agent->neutron, tell->ctx, &who, tell->agent->config.host,
                                  &err))
        dv_warning(tell->ctx, "neutron does not know where its ports go: %s", err->message);
    tell_free(tell);
}

static void tell_neutron(const Arrive *arrive)
{
    Agent *agent = arrive->agent;
    Tell *tell = g_new(Tell, 1);

    *tell = (Tell){
        .agent = agent,
        .ctx = dv_ctx_ref(arrive->admin),
        .uuid = g_strdup(arrive->uuid),
        .project_id = g_strdup(ovo_str_or(arrive->instance, "project_id", NULL)),
        .source = g_strdup(ovo_str_or(arrive->instance, "host", NULL)),
    };
    dv_lanes_submit(agent->lanes, arrive->uuid, agent->pools[POOL_GENERAL], tell_run, tell,
                    tell_free);
}

static const OpStep pre_steps[] = {
    {"group", pre_group, NULL},     {"read", pre_read, NULL},
    {"absent", pre_absent, NULL},   {"disks", pre_disks, pre_disks_undo},
    {"plug", pre_plug, pre_unplug}, {"answer", pre_answer, NULL},
};

bool op_live_pre(const OpCall *call, json_t **out_result, GError **err)
{
    Arrive arrive = {0};
    bool ok = arrive_init(&arrive, call, err) &&
              op_run("pre_live_migration", pre_steps, G_N_ELEMENTS(pre_steps), &arrive, call->ctx,
                     err);

    if (ok) {
        tell_neutron(&arrive);
        notify(&arrive, NOTIFY_LIVE_MIGRATION_PRE, NOTIFY_END);
        *out_result = ovo_json(arrive.data);
    }
    arrive_done(&arrive);
    return ok;
}

/* ---- post_live_migration_at_destination ---- */

/* What the claim of a move with NUMA cells has prepared becomes the instance's. */
static void apply_context(Ovo *instance)
{
    static const char *const fields[][2] = {
        {"numa_topology", "new_numa_topology"},
        {"pci_requests", "new_pci_requests"},
        {"pci_devices", "new_pci_devices"},
        {"resources", "new_resources"},
    };
    g_autoptr(Ovo) context = ovo_child(instance, "migration_context");

    for (size_t i = 0; context && i < G_N_ELEMENTS(fields); i++) {
        if (ovo_has(context, fields[i][1]))
            ovo_set_from(instance, fields[i][0], context, fields[i][1]);
    }
    if (context)
        ovo_set_null(instance, "migration_context");
}

/* Another message, or the source itself, has done it. */
static bool is_ours(const Arrive *arrive)
{
    static const char *const none[] = {NULL};
    g_autoptr(Ovo) now = NULL;

    return conductor_instance_get(arrive->agent->con, arrive->ctx, arrive->uuid, none, &now,
                                  NULL) &&
           strcmp(ovo_str_or(now, "host", ""), arrive->agent->config.host) == 0;
}

static bool take_over(Arrive *arrive, GError **err)
{
    static const char *const expected[] = {"migrating", NULL};
    g_autoptr(GError) why = NULL;
    g_autofree char *node = tracker_node(arrive->agent->tracker);

    apply_context(arrive->instance);
    tracker_move_place(arrive->agent->tracker, arrive->instance, node);
    ovo_set_i64(arrive->instance, "power_state", arrive->state);
    ovo_set_null(arrive->instance, "task_state");
    ovo_set_i64(arrive->instance, "progress", 0);
    arrive->taken = conductor_instance_save(arrive->agent->con, arrive->ctx, arrive->instance,
                                            expected, &why) ||
                    (dv_is(why, DV_E_UNEXPECTED_TASK_STATE) && is_ours(arrive));
    if (!arrive->taken)
        g_propagate_error(err, g_steal_pointer(&why));
    return arrive->taken;
}

static bool post_ports(void *self, GError **err)
{
    Arrive *arrive = self;
    bool ok = network_cache_take(arrive->agent, arrive->admin, arrive->instance, &arrive->ports,
                                 &arrive->network, err);

    notify(arrive, NOTIFY_LIVE_MIGRATION_POST_DEST, NOTIFY_START);
    return ok;
}

static bool post_guest(void *self, GError **err)
{
    Arrive *arrive = self;
    const VirtDriver *virt = arrive->agent->virt;

    if (!virt->ops->state(virt->self, arrive->uuid, &arrive->state, err))
        return false;
    if (arrive->state != GUEST_STATE_NONE)
        return true;
    ovo_set_str(arrive->instance, "vm_state", "error");
    return dv_fail(err, DV_E_MIGRATION, "Migration error: the guest has not arrived on host %s",
                   arrive->agent->config.host);
}

static bool post_record(void *self, GError **err)
{
    return take_over(self, err);
}

/* Nothing of it needs the source any more, when it is this host's. */
static bool post_source(void *self, GError **err)
{
    Arrive *arrive = self;
    Service *neutron = arrive->agent->neutron;
    const NetworkInstance who = bound_to_record(arrive);

    if (!arrive->taken)
        return true;
    return arrive->ports && strcmp(arrive->source, who.host) != 0
               ? neutron_ports_forget(neutron, arrive->admin, arrive->ports, arrive->source, err)
               : neutron_forget_host(neutron, arrive->admin, &who, arrive->source, err);
}

static bool post_disks(void *self, GError **err)
{
    Arrive *arrive = self;

    return !arrive->taken || disks_receive_done(arrive->agent->disks, arrive->uuid, err);
}

/* The instance becomes this host's, whatever else is wrong with it. */
static const OpStep post_steps[] = {
    {"ports", post_ports, NULL},   {"guest", post_guest, NULL}, {"record", post_record, NULL},
    {"source", post_source, NULL}, {"disks", post_disks, NULL},
};

bool op_live_post(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Arrive arrive = {0};
    bool ok = arrive_init(&arrive, call, err) &&
              instance_load(call->agent, call->ctx, call->instance, attrs, err);

    if (ok) {
        arrive.source = g_strdup(ovo_str_or(call->instance, "host", ""));
        ok = op_run_all("post_live_migration", post_steps, G_N_ELEMENTS(post_steps), &arrive,
                        call->ctx, err);
    }
    if (ok) {
        notify(&arrive, NOTIFY_LIVE_MIGRATION_POST_DEST, NOTIFY_END);
        dv_info(call->ctx, "arrived from host %s", arrive.source);
        network_cache_want_late(arrive.agent, arrive.admin, arrive.uuid);
    }
    arrive_done(&arrive);
    return ok;
}

/* ---- rollback_live_migration_at_destination ---- */

/* A guest that runs here has arrived, and one whose record names this host belongs here: then this
 * message is late, or wrong. */
static bool rollback_allowed(Arrive *arrive, GError **err)
{
    static const char *const none[] = {NULL};
    const VirtDriver *virt = arrive->agent->virt;
    g_autoptr(Ovo) now = NULL;
    GuestState state = GUEST_STATE_NONE;
    g_autoptr(GError) why = NULL;

    if (!virt->ops->state(virt->self, arrive->uuid, &state, err))
        return false;
    if (state == GUEST_STATE_RUNNING)
        return dv_fail(err, DV_E_MIGRATION,
                       "Migration error: the guest runs on host %s: nothing of it is removed",
                       arrive->agent->config.host);
    if (!conductor_instance_get(arrive->agent->con, arrive->ctx, arrive->uuid, none, &now, &why)) {
        if (dv_is(why, DV_E_INSTANCE_NOT_FOUND)) /* deleted meanwhile: nothing is needed */
            return true;
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    return strcmp(ovo_str_or(now, "host", ""), arrive->agent->config.host) != 0 ||
           dv_fail(err, DV_E_MIGRATION, "Migration error: the instance is on host %s by now",
                   arrive->agent->config.host);
}

static void rollback_ports(Arrive *arrive)
{
    const NetworkInstance who = bound_to_record(arrive);
    g_autoptr(GError) err = NULL;

    if (!neutron_forget_host(arrive->agent->neutron, arrive->admin, &who,
                             arrive->agent->config.host, &err))
        dv_error(arrive->ctx, "%s", err->message);
}

/* Only a folder that pre_live_migration has made here goes: where one was there before, that is why
 * this migration failed. */
static bool rollback_guest(Arrive *arrive, GError **err)
{
    const VirtDriver *virt = arrive->agent->virt;

    if (!virt->ops->destroy(virt->self, arrive->ctx, arrive->uuid, err))
        return false;
    if (!read_network(arrive, NULL))
        dv_warning(arrive->ctx, "its ports stay plugged: their bindings are not known");
    op_unplug(arrive->agent, arrive->ctx, arrive->instance, arrive->network);
    return data_says(arrive, "is_shared_instance_path", true) ||
           disks_receive_undo(arrive->agent->disks, arrive->ctx, arrive->uuid, err);
}

bool op_live_rollback(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Arrive arrive = {0};
    bool ok = arrive_init(&arrive, call, err) &&
              instance_load(call->agent, call->ctx, call->instance, attrs, err) &&
              rollback_allowed(&arrive, err);

    if (ok) {
        notify(&arrive, NOTIFY_LIVE_MIGRATION_ROLLBACK_DEST, NOTIFY_START);
        rollback_ports(&arrive);
        ok = rollback_guest(&arrive, err);
    }
    if (ok)
        notify(&arrive, NOTIFY_LIVE_MIGRATION_ROLLBACK_DEST, NOTIFY_END);
    arrive_done(&arrive);
    return ok;
}

/* ---- drop_move_claim_at_destination ---- */

/* This host makes no claim for live migrations, as it has no NUMA cells to give; one that it may
 * have counted is given back. */
bool op_drop_move_claim(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "drop_move_claim_at_destination without an instance");
    return tracker_update_usage(call->agent->tracker, call->ctx, call->instance, err);
}
