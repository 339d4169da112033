/* shelve_instance and shelve_offload_instance: an instance becomes an image and leaves the host.
 *
 * A shelve powers the guest off, uploads its disk, and goes on to the offload at once, later (by
 * the periodic job) or never, as shelved_offload_time says. The offload only goes forward: what it
 * gives up, guest, disks, allocation and at last the host, is in the image, and each step that
 * failed can be done again by another offload. Sources    nova compute/manager.py _shelve_instance,
 * _shelve_offload_instance (Zed); docs/wire/flows.md. */
#include "agent/ops/shelve.h"
#include "agent/notify.h"

#include "agent/instance_load.h"
#include "agent/methods.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "agent/ops/power_off.h"
#include "agent/ops/snapshot_take.h"
#include "agent/ops/unplug.h"
#include "services/scheduler.h"
#include "util/log.h"

static const SnapshotTask shelve_task = {"shelving", "shelving_image_pending_upload",
                                         "shelving_image_uploading"};

typedef struct Shelve {
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin;
    Ovo *instance;
    const char *uuid, *image_id;
    bool clean;      /* the guest may power itself off */
    bool keep_image; /* the instance may be recorded as shelved, whatever failed */
    GuestState state;
    NetworkInfo *network; /* of the offload */
} Shelve;

/* ---- what cannot be shelved here ---- */

static bool is_volume(const Ovo *bdm)
{
    return g_strcmp0(ovo_str_or(bdm, "destination_type", NULL), "volume") == 0;
}

static bool refuse_unsupported(const OpCall *call, GError **err)
{
    g_autoptr(Ovo) bdms = NULL;

    if (ovo_count(call->args, "accel_uuids") > 0)
        return dv_fail(err, DV_E_UNSUPPORTED, "accelerators are not supported by this host");
    if (!conductor_bdms_get(call->agent->con, call->ctx, call->uuid, &bdms, err))
        return false;
    for (size_t i = 0; i < ovo_count(bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);

        if (bdm && is_volume(bdm))
            return dv_fail(err, DV_E_UNSUPPORTED,
                           "shelving instances with volumes is not supported by this host");
    }
    return true;
}

/* ---- steps of both ---- */

static bool shelve_power_off(void *self, GError **err)
{
    Shelve *shelve = self;

    return guest_power_off(shelve->agent, shelve->ctx, shelve->instance, shelve->clean, err);
}

static bool shelve_state(void *self, GError **err)
{
    Shelve *shelve = self;
    const VirtDriver *virt = shelve->agent->virt;

    return virt->ops->state(virt->self, shelve->uuid, &shelve->state, err);
}

/* ---- to the image ---- */

static bool shelve_snapshot(void *self, GError **err)
{
    Shelve *shelve = self;

    return snapshot_take(shelve->agent, shelve->admin, shelve->instance, shelve->image_id,
                         &shelve_task, err);
}

static bool offloads_at_once(const Agent *agent)
{
    return agent->config.shelved_offload_time_s == 0;
}

/* Failures that say for sure that nothing was written. */
static bool was_not_saved(const GError *cause)
{
    return dv_is(cause, DV_E_INSTANCE_NOT_FOUND) || dv_is(cause, DV_E_DELETING) ||
           dv_is(cause, DV_E_UNEXPECTED_TASK_STATE);
}

static bool shelve_record(void *self, GError **err)
{
    static const char *const from[] = {"shelving", "shelving_image_uploading", NULL};
    Shelve *shelve = self;
    Ovo *instance = shelve->instance;
    g_autofree char *now = dv_time_context(dv_clock_wall_ms(dv_clock_real()));
    g_autoptr(GError) cause = NULL;

    ovo_dict_set(instance, "system_metadata", "shelved_at", now);
    ovo_dict_set(instance, "system_metadata", "shelved_image_id", shelve->image_id);
    ovo_dict_set(instance, "system_metadata", "shelved_host", shelve->agent->config.host);
    ovo_set_str(instance, "vm_state", "shelved");
    ovo_set_str(instance, "task_state",
                offloads_at_once(shelve->agent) ? "shelving_offloading" : NULL);
    ovo_set_i64(instance, "power_state", shelve->state);
    if (conductor_instance_save(shelve->agent->con, shelve->admin, instance, from, &cause))
        return true;
    shelve->keep_image = !was_not_saved(cause);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static const OpStep shelve_steps[] = {
    {"power_off", shelve_power_off, NULL},
    {"image", shelve_snapshot, NULL},
    {"state", shelve_state, NULL},
    {"record", shelve_record, NULL},
};

/* ---- off the host ---- */

static bool offload_networks(void *self, GError **err)
{
    static const char *const attrs[] = {"info_cache", "flavor", "system_metadata", NULL};
    Shelve *shelve = self;

    /* nova reads the ports here too; they stay the instance's, and bound to this host. */
    return instance_load(shelve->agent, shelve->admin, shelve->instance, attrs, err) &&
           network_cache_refresh(shelve->agent, shelve->admin, shelve->instance, &shelve->network,
                                 err);
}

static bool offload_guest(void *self, GError **err)
{
    Shelve *shelve = self;
    const VirtDriver *virt = shelve->agent->virt;

    if (!virt->ops->destroy(virt->self, shelve->ctx, shelve->uuid, err))
        return false;
    op_unplug(shelve->agent, shelve->ctx, shelve->instance, shelve->network);
    return disks_remove(shelve->agent->disks, shelve->ctx, shelve->uuid, err);
}

/* Before the state says so: whoever waits for it may want the room at once. */
static bool offload_allocation(void *self, GError **err)
{
    Shelve *shelve = self;

    return placement_allocations_delete(shelve->agent->placement, shelve->ctx, shelve->uuid, NULL,
                                        err);
}

static bool offload_record(void *self, GError **err)
{
    static const char *const from[] = {"shelving", "shelving_offloading", NULL};
    Shelve *shelve = self;
    Ovo *instance = shelve->instance;

    ovo_set_i64(instance, "power_state", shelve->state);
    ovo_set_str(instance, "vm_state", "shelved_offloaded");
    ovo_set_null(instance, "task_state");
    return conductor_instance_save(shelve->agent->con, shelve->admin, instance, from, err);
}

/* The tracker goes by the state and the host, so the host is the last to go. */
static bool offload_usage(void *self, GError **err)
{
    Shelve *shelve = self;

    return tracker_update_usage(shelve->agent->tracker, shelve->admin, shelve->instance, err);
}

static bool offload_host(void *self, GError **err)
{
    static const char *const fields[] = {"host", "node", "launched_on", "availability_zone"};
    Shelve *shelve = self;

    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        ovo_set_null(shelve->instance, fields[i]);
    return conductor_instance_save(shelve->agent->con, shelve->admin, shelve->instance, NULL, err);
}

static bool offload_scheduler(void *self, GError **err G_GNUC_UNUSED)
{
    Shelve *shelve = self;
    Agent *agent = shelve->agent;
    g_autoptr(GError) cause = NULL;

    /* The scheduler is told the whole list again before long. */
    if (agent->config.track_instance_changes &&
        !scheduler_delete_instance_info(agent->rpc, shelve->admin, agent->config.host, shelve->uuid,
                                        &cause))
        dv_warning(shelve->ctx, "scheduler not told: %s", cause->message);
    return true;
}

static const OpStep offload_steps[] = {
    {"power_off", shelve_power_off, NULL},    {"state", shelve_state, NULL},
    {"networks", offload_networks, NULL},     {"guest", offload_guest, NULL},
    {"allocation", offload_allocation, NULL}, {"record", offload_record, NULL},
    {"usage", offload_usage, NULL},           {"host", offload_host, NULL},
    {"scheduler", offload_scheduler, NULL},
};

/* ---- the requests ---- */

static bool run(Shelve *shelve, const char *name, const OpStep *steps, size_t count, GError **err)
{
    bool ok;

    shelve->admin = dv_ctx_elevated(shelve->ctx);
    ok = op_run(name, steps, count, shelve, shelve->ctx, err);
    g_clear_pointer(&shelve->admin, dv_ctx_unref);
    g_clear_pointer(&shelve->network, network_info_free);
    return ok;
}

static Shelve shelve_of(const OpCall *call)
{
    return (Shelve){.agent = call->agent,
                    .ctx = call->ctx,
                    .instance = call->instance,
                    .uuid = call->uuid,
                    .clean = ovo_bool_or(call->args, "clean_shutdown", true)};
}

static void notify(const Shelve *shelve, NotifyAction action, NotifyPhase phase)
{
    notify_instance(shelve->agent, shelve->ctx, shelve->instance, action, phase, NULL);
}

static bool offload(Shelve *shelve, GError **err)
{
    notify(shelve, NOTIFY_SHELVE_OFFLOAD, NOTIFY_START);
    if (!run(shelve, "offload", offload_steps, G_N_ELEMENTS(offload_steps), err))
        return false;
    notify(shelve, NOTIFY_SHELVE_OFFLOAD, NOTIFY_END);
    dv_info(shelve->ctx, "shelved instance offloaded");
    return true;
}

static bool shelve_to_image(Shelve *shelve, GError **err)
{
    notify_exists(shelve->agent, shelve->ctx, shelve->instance, NULL);
    notify(shelve, NOTIFY_SHELVE, NOTIFY_START);
    if (!run(shelve, "shelve", shelve_steps, G_N_ELEMENTS(shelve_steps), err))
        return false;
    notify(shelve, NOTIFY_SHELVE, NOTIFY_END);
    return true;
}

bool op_shelve(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Shelve shelve;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "shelve_instance: no instance");
    shelve = shelve_of(call);
    if (!ovo_str(call->args, "image_id", &shelve.image_id, err))
        return false;
    /* A paused guest does not hear that it should power off. */
    if (ovo_i64_or(call->instance, "power_state", 0) == GUEST_STATE_PAUSED)
        shelve.clean = false;
    if (!refuse_unsupported(call, err) || !shelve_to_image(&shelve, err)) {
        /* nova lets it lie there; but an instance without its image would be lost */
        if (!shelve.keep_image)
            snapshot_forget_image(call->agent, call->ctx, shelve.image_id, false);
        return false;
    }
    dv_info(call->ctx, "shelved into image %s", shelve.image_id);
    shelve.clean = false;
    return !offloads_at_once(call->agent) || offload(&shelve, err);
}

bool op_shelve_offload(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Shelve shelve;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "shelve_offload_instance: no instance");
    shelve = shelve_of(call);
    return refuse_unsupported(call, err) && offload(&shelve, err);
}

/* ---- by the clock ---- */

typedef struct Due {
    Agent *agent;
    char *uuid;
} Due;

static void due_free(void *arg)
{
    Due *due = arg;

    g_free(due->uuid);
    g_free(due);
}

static bool is_old(const Agent *agent, const Ovo *instance)
{
    const char *text = ovo_dict_str(instance, "system_metadata", "shelved_at");
    int64_t at_ms = 0;

    return text && dv_time_parse(text, &at_ms) &&
           dv_clock_wall_ms(dv_clock_real()) - at_ms > agent->config.shelved_offload_time_s * 1000;
}

/* As the API does before it sends the request. */
static bool offload_due(Agent *agent, const DvCtx *ctx, const char *uuid, GError **err)
{
    static const char *const attrs[] = {"info_cache", "flavor", "system_metadata", NULL};
    static const char *const from_null[] = {"", NULL};
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(Ovo) args = ovo_new_dict();

    if (!conductor_instance_get(agent->con, ctx, uuid, attrs, &instance, err))
        return false;
    if (strcmp(ovo_str_or(instance, "vm_state", ""), "shelved") != 0 || !is_old(agent, instance))
        return true;
    ovo_set_str(instance, "task_state", "shelving_offloading");
    if (!conductor_instance_save(agent->con, ctx, instance, from_null, err))
        return false;
    ovo_set_child(args, "instance", instance);
    ovo_set_bool(args, "clean_shutdown", false);
    return dispatch_run(agent, methods_find("shelve_offload_instance"), ctx, args, false, NULL,
                        err);
}

static void due_run(void *arg)
{
    Due *due = arg;
    g_autoptr(DvCtx) admin = dv_ctx_new_admin();
    g_autoptr(DvCtx) ctx = dv_ctx_with_instance(admin, due->uuid);
    g_autoptr(GError) err = NULL;

    if (!offload_due(due->agent, ctx, due->uuid, &err) && !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(ctx, "shelved instance not offloaded: %s", err->message);
    due_free(due);
}

bool shelve_offload_due(Agent *agent, const DvCtx *ctx, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    if (agent->config.shelved_offload_time_s <= 0)
        return true;
    ovo_set_str(filters, "vm_state", "shelved");
    ovo_set_null(filters, "task_state");
    ovo_set_str(filters, "host", agent->config.host);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, attrs, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        Due *due;

        if (!instance || !is_old(agent, instance))
            continue;
        due = g_new0(Due, 1);
        due->agent = agent;
        due->uuid = g_strdup(ovo_str_or(instance, "uuid", ""));
        dv_lanes_submit(agent->lanes, due->uuid, agent->pools[POOL_GENERAL], due_run, due,
                        due_free);
    }
    return true;
}
