/* live_migration at the source: the migration waits for its turn, has the destination prepare
 * itself, and begins; see live.h.
 *
 * The request ends as soon as the migration is queued. What fails afterwards is in the migration's
 * status.
 * Sources    nova compute/manager.py live_migration, _do_live_migration,
 *            _do_pre_live_migration_from_source, _cleanup_pre_live_migration (Zed). */
#include "agent/disk_list.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/live.h"
#include "agent/ops/ops.h"
#include "agent/recovery_moves.h"

#include "util/log.h"

#define PLUGGED "network-vif-plugged"

static const char *const attrs[] = {"flavor", "system_metadata", "info_cache", NULL};

/* ---- one live migration ---- */

void live_init(Live *live, Agent *agent, const DvCtx *ctx, const Ovo *instance,
               const Ovo *migration, const Ovo *data, const char *dest)
{
    const char *uuid = ovo_str_or(instance, "uuid", "");

    *live = (Live){
        .agent = agent,
        .ctx = dv_ctx_with_instance(ctx, uuid),
        .admin = dv_ctx_elevated(ctx),
        .instance = ovo_copy(instance),
        .migration = ovo_copy(migration),
        .data = data ? ovo_copy(data) : NULL,
        .request = ovo_new_dict(),
        .uuid = g_strdup(uuid),
        .dest = g_strdup(dest),
    };
}

bool live_load(Live *live, Agent *agent, const DvCtx *ctx, const Ovo *instance,
               const Ovo *migration, GError **err)
{
    g_autoptr(Ovo) kept = NULL;
    g_autoptr(Ovo) data = NULL;
    const char *dest = ovo_str_or(migration, "dest_compute", "");

    if (!live_file_read(agent, ovo_str_or(instance, "uuid", ""), ovo_str_or(migration, "uuid", ""),
                        &kept, err))
        return false;
    data = kept ? ovo_child(kept, "migrate_data") : NULL;
    live_init(live, agent, ctx, instance, migration, data,
              kept ? ovo_str_or(kept, "dest", dest) : dest);
    if (kept) {
        ovo_unref(live->request);
        live->request = ovo_child(kept, "request");
        if (!live->request)
            live->request = ovo_new_dict();
    }
    return instance_load(agent, live->ctx, live->instance, attrs, err);
}

void live_done(Live *live)
{
    live_ticket_leave(live->ticket);
    g_clear_pointer(&live->instance, ovo_unref);
    g_clear_pointer(&live->migration, ovo_unref);
    g_clear_pointer(&live->data, ovo_unref);
    g_clear_pointer(&live->request, ovo_unref);
    g_clear_pointer(&live->ctx, dv_ctx_unref);
    g_clear_pointer(&live->admin, dv_ctx_unref);
    g_clear_pointer(&live->uuid, g_free);
    g_clear_pointer(&live->dest, g_free);
    live->ticket = NULL;
}

void live_free(void *arg)
{
    Live *live = arg;

    live_done(live);
    g_free(live);
}

void live_leave(Live *live)
{
    Agent *agent = live->agent;
    g_autoptr(DvCtx) admin = dv_ctx_new_admin();
    g_autofree char *uuid = live->left ? g_strdup(live->uuid) : NULL;

    live_free(live); /* with its place, which that look may need */
    if (uuid)
        recovery_live_later(agent, admin, uuid);
}

bool live_status(Live *live, const char *status, GError **err)
{
    ovo_set_str(live->migration, "status", status);
    return conductor_save(live->agent->con, live->admin, live->migration, err);
}

/* ---- the destination prepares itself ---- */

typedef struct Prepare {
    Live *live;
    char *disks;      /* nova's disk list, JSON; NULL: none are copied */
    WaitSet *plugged; /* the ports that neutron will report from the destination */
} Prepare;

static bool prepare_status(void *self, GError **err)
{
    Live *live = ((Prepare *)self)->live;

    return instance_load(live->agent, live->ctx, live->instance, attrs, err) &&
           live_status(live, "preparing", err);
}

static bool prepare_disks(void *self, GError **err)
{
    Prepare *prepare = self;
    const Live *live = prepare->live;
    const VirtDriver *virt = live->agent->virt;
    g_autoptr(GPtrArray) disks = NULL;
    g_autoptr(GPtrArray) facts = NULL;

    if (!ovo_bool_or(live->data, "block_migration", false))
        return true;
    if (!virt->ops->disks(virt->self, live->uuid, &disks, err) ||
        !disks_facts_of(disks, NULL, &facts, err))
        return dv_within(err, "listing the disks");
    prepare->disks = disk_list_write(facts);
    return true;
}

/* Only these are reported as soon as they are plugged; for the others neutron waits until their
 * binding is the active one. */
static GPtrArray *ports_to_plug(const NetworkInfo *network)
{
    GPtrArray *ports = g_ptr_array_new();

    for (size_t i = 0; i < network_info_count(network); i++) {
        const Vif *vif = network_info_at(network, i);

        if (vif->ovs_hybrid_plug)
            g_ptr_array_add(ports, (void *)vif->id);
    }
    g_ptr_array_add(ports, NULL);
    return ports;
}

/* Whoever sees the guest change sides binds them, and has no time to ask which they are. */
static void carry_ports(const Live *live, const NetworkInfo *network)
{
    g_autofree char *text = network_info_text(network);

    live_ticket_set_ports(live->ticket, text);
}

/* A nova-compute that the guest has just come from may have stored its ports as they were when
 * neutron had them nowhere, and another one makes of that what they are to be on the destination.
 */
static bool find_ports(Live *live, NetworkInfo **out, GError **err)
{
    g_autoptr(NetworkInfo) network = network_cache_read(live->instance, err);

    if (network && network_cache_unbound(network)) {
        g_clear_pointer(&network, network_info_free);
        if (!network_cache_refresh(live->agent, live->ctx, live->instance, &network, err))
            return false;
        migrate_data_renew_vifs(live->data, network);
    }
    *out = g_steal_pointer(&network);
    return *out != NULL;
}

/* Before the destination is asked: an event that nobody waits for is lost. */
static bool prepare_waits(void *self, GError **err)
{
    Prepare *prepare = self;
    Live *live = prepare->live;
    g_autoptr(NetworkInfo) network = NULL;
    g_autoptr(GPtrArray) ports = NULL;

    if (!find_ports(live, &network, err))
        return false;
    ports = ports_to_plug(network);
    carry_ports(live, network);
    if (live->agent->config.vif_plugging_timeout_s > 0 && ports->len > 1)
        prepare->plugged = waits_register(live->agent->waits, live->uuid, PLUGGED,
                                          (const char *const *)ports->pdata);
    return true;
}

/* From here on the destination may have something that only a rollback takes away. */
static bool prepare_keep(void *self, GError **err)
{
    return live_file_write(((Prepare *)self)->live, err);
}

static bool prepare_dest(void *self, GError **err)
{
    Prepare *prepare = self;
    Live *live = prepare->live;
    g_autoptr(Ovo) args = ovo_new_dict();
    g_autoptr(Ovo) answer = NULL;
    json_t *result = NULL;
    int64_t start_ms = dv_now_ms();

    ovo_set_child(args, "instance", live->instance);
    ovo_set_str(args, "disk", prepare->disks);
    ovo_set_child(args, "migrate_data", live->data);
    if (!peer_call(live->agent->peers, live->ctx, live->dest, "pre_live_migration", PEER_VERSION,
                   args, PEER_LONG, &result, err))
        return false;
    answer = ovo_take(result, "LibvirtLiveMigrateData", err);
    if (!answer)
        return dv_within(err, "pre_live_migration on %s", live->dest);
    ovo_unref(live->data);
    live->data = g_steal_pointer(&answer);
    dv_info(live->ctx, "host %s prepared itself in %d ms", live->dest,
            (int)(dv_now_ms() - start_ms));
    return true;
}

/* Events that may have been lost are waited for all the same: of a port that is active at the
 * source neutron cannot say whether it is plugged at the destination. */
static bool wait_plugged(const Prepare *prepare, GError **err)
{
    int64_t end_ms = dv_now_ms() + prepare->live->agent->config.vif_plugging_timeout_s * 1000;
    g_autoptr(GError) why = NULL;

    while (!waits_wait(prepare->plugged, MAX(end_ms - dv_now_ms(), 0), &why)) {
        if (!dv_is(why, DV_E_UNAVAILABLE)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        g_clear_error(&why);
    }
    return true;
}

static bool prepare_plugged(void *self, GError **err)
{
    Prepare *prepare = self;
    const Live *live = prepare->live;
    const AgentConfig *config = &live->agent->config;
    g_autoptr(GError) why = NULL;

    if (!prepare->plugged || !ovo_bool_or(live->data, "wait_for_vif_plugged", false) ||
        wait_plugged(prepare, &why))
        return true;
    if (dv_is(why, DV_E_CANCELLED)) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (config->vif_plugging_is_fatal)
        return dv_fail(err, dv_is(why, DV_E_TIMEOUT) ? DV_E_MIGRATION : DV_E_VIF_NOT_PLUGGED,
                       "Migration error: ports at host %s: %s", live->dest, why->message);
    dv_warning(live->ctx, "ports at host %s: %s; going on, as vif_plugging_is_fatal is off",
               live->dest, why->message);
    return true;
}

static const OpStep prepare_steps[] = {
    {"preparing", prepare_status, NULL}, {"disks", prepare_disks, NULL},
    {"waits", prepare_waits, NULL},      {"keep", prepare_keep, NULL},
    {"destination", prepare_dest, NULL}, {"plugged", prepare_plugged, NULL},
};

static bool prepare_destination(Live *live, GError **err)
{
    Prepare prepare = {.live = live};
    bool ok = op_run("live_migration", prepare_steps, G_N_ELEMENTS(prepare_steps), &prepare,
                     live->ctx, err);

    g_clear_pointer(&prepare.plugged, wait_set_free);
    g_free(prepare.disks);
    return ok;
}

/* ---- the whole of it ---- */

static void notify_abort_end(Live *live)
{
    notify_instance(live->agent, live->ctx, live->instance, NOTIFY_LIVE_MIGRATION_ABORT, NOTIFY_END,
                    NULL);
}

static void roll_back(Live *live, const char *status)
{
    g_autoptr(GError) err = NULL;

    live->left = !live_rollback(live, status, &err);
    if (live->left)
        dv_error(live->ctx, "the live migration is not taken back completely: %s", err->message);
}

/* As nova: it says error while it is taken back, and failed afterwards. */
static void not_prepared(Live *live, const GError *cause)
{
    g_autoptr(GError) err = NULL;

    if (live_ticket_cancelled(live->ticket)) {
        dv_info(live->ctx, "live migration cancelled: %s", cause->message);
        roll_back(live, "cancelled");
        notify_abort_end(live);
        return;
    }
    dv_error(live->ctx, "live migration to host %s not begun: %s", live->dest, cause->message);
    if (!live_status(live, "error", &err))
        dv_warning(live->ctx, "migration not set to error: %s", err->message);
    roll_back(live, "failed");
}

static void finish(Live *live)
{
    g_autoptr(GError) err = NULL;

    live->left = !live_finish(live, &err);
    if (live->left)
        dv_error(live->ctx, "the guest has moved to host %s, but: %s", live->dest, err->message);
}

/* What nobody can say now somebody will say later: until then nothing is concluded. */
static LiveOutcome run_until_known(Live *live, bool *out_cancelled, GError **why)
{
    LiveOutcome outcome = live_job(live, false, out_cancelled, why);

    while (outcome == LIVE_UNKNOWN && !agent_stopping(live->agent)) {
        dv_warning(live->ctx, "where the guest is, is not known: %s", (*why)->message);
        g_clear_error(why);
        outcome = live_job(live, true, out_cancelled, why);
    }
    return outcome;
}

static void run_job(Live *live)
{
    g_autoptr(GError) why = NULL;
    bool cancelled = false;

    switch (run_until_known(live, &cancelled, &why)) {
    case LIVE_MOVED:
        finish(live);
        break;
    case LIVE_STAYED:
        dv_error(live->ctx, "live migration to host %s: %s", live->dest, why->message);
        roll_back(live, cancelled ? "cancelled" : "failed");
        break;
    case LIVE_BROKEN:
        live_broken(live, why);
        break;
    case LIVE_UNKNOWN:
        dv_warning(live->ctx, "live migration left to the next start: %s", why->message);
        break;
    }
}

static bool begin_keep(void *self, GError **err)
{
    return live_file_write(self, err);
}

static bool begin_status(void *self, GError **err)
{
    return live_status(self, "running", err);
}

static const OpStep begin_steps[] = {
    {"keep", begin_keep, NULL},
    {"running", begin_status, NULL},
};

static void migrate(Live *live)
{
    g_autoptr(GError) cause = NULL;

    if (!prepare_destination(live, &cause)) {
        not_prepared(live, cause);
        return;
    }
    if (!live_ticket_run(live->ticket)) {
        dv_info(live->ctx, "live migration cancelled before it began");
        roll_back(live, "cancelled");
        notify_abort_end(live);
        return;
    }
    if (op_run("live_job", begin_steps, G_N_ELEMENTS(begin_steps), live, live->ctx, &cause))
        run_job(live);
    else
        not_prepared(live, cause);
}

static void live_run(void *arg)
{
    Live *live = arg;

    /* else whoever cancelled it has put everything right */
    if (live_ticket_prepare(live->ticket))
        migrate(live);
    live_leave(live);
}

/* ---- the request ---- */

static Live *live_of_call(const OpCall *call, GError **err)
{
    g_autoptr(Ovo) migration = ovo_child(call->args, "migration");
    g_autoptr(Ovo) data = ovo_child(call->args, "migrate_data");
    const char *dest = NULL;
    Live *live;

    if (!ovo_str(call->args, "dest", &dest, err))
        return NULL;
    if (!call->instance || !migration || !data) {
        dv_fail(err, DV_E_BAD_INPUT,
                "live_migration: want an instance, a migration and migrate_data");
        return NULL;
    }
    live = g_new0(Live, 1);
    live_init(live, call->agent, call->ctx, call->instance, migration, data, dest);
    ovo_set_from(live->request, "block_migration", call->args, "block_migration");
    return live;
}

/* The record says that it waits only where it does. */
static bool enqueue(Live *live, GError **err)
{
    bool turn = false;

    if (agent_stopping(live->agent))
        return dv_fail(err, DV_E_MIGRATION_LATE,
                       "Failed to submit live migration %s for instance %s for processing.",
                       ovo_str_or(live->migration, "uuid", "?"), live->uuid);
    live->ticket = live_queue_enter(live->agent->live, live->uuid, live->dest, &turn, err);
    return live->ticket && (turn || live_status(live, "queued", err));
}

static void failed(Live *live)
{
    g_autoptr(GError) err = NULL;

    if (!live_status(live, "error", &err))
        dv_warning(live->ctx, "migration not set to error: %s", err->message);
}

bool op_live_migration(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Live *live = live_of_call(call, err);

    if (!live)
        return false;
    if (!enqueue(live, err)) {
        failed(live);
        live_free(live);
        return false;
    }
    dv_pool_submit(call->agent->pools[POOL_MIGRATE], live_run, live, live_free);
    return true;
}
