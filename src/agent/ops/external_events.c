/* External events: what neutron, cinder and operators tell nova-api about an instance, passed on to
 * its host.
 *
 * Runs beside the instance's lane: a boot that holds the lane waits for exactly these events. What
 * an event makes us do to the guest or its record goes into the lane, behind what is there.
 * Sources: nova compute/manager.py external_instance_event, power_update; docs/wire/compute.md. */
#include "agent/network_cache.h"
#include "agent/ops/interfaces.h"
#include "agent/ops/ops.h"

#include "util/log.h"

typedef struct EventCall {
    const OpCall *call;
    const DvCtx *ctx; /* with the instance's uuid */
    const char *uuid, *name, *tag, *status;
} EventCall;

static void event_wake(const EventCall *event)
{
    if (!waits_deliver(event->call->agent->waits, event->uuid, event->name, event->tag,
                       event->status))
        dv_debug(event->ctx, "nobody waits for event %s-%s", event->name,
                 event->tag ? event->tag : "");
}

static void event_network_changed(const EventCall *event)
{
    const char *port = event->tag && *event->tag ? event->tag : NULL;

    network_cache_want_port(event->call->agent, event->ctx, event->uuid, port);
}

/* ---- events that become an operation of the instance's lane ---- */

typedef struct EventJob {
    Agent *agent;
    DvCtx *ctx;
    char *uuid, *tag;
    void (*run)(struct EventJob *job, Ovo *instance);
} EventJob;

static void job_free(void *arg)
{
    EventJob *job = arg;

    dv_ctx_unref(job->ctx);
    g_free(job->uuid);
    g_free(job->tag);
    g_free(job);
}

/* The instance as it is when its turn comes; one that has left this host is nobody's business. */
static void job_run(void *arg)
{
    static const char *const attrs[] = {"info_cache", "flavor", "system_metadata", NULL};
    EventJob *job = arg;
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(GError) err = NULL;

    if (!conductor_instance_get(job->agent->con, job->ctx, job->uuid, attrs, &instance, &err)) {
        if (!dv_is(err, DV_E_INSTANCE_NOT_FOUND))
            dv_warning(job->ctx, "external event not handled: %s", err->message);
    } else if (strcmp(ovo_str_or(instance, "host", ""), job->agent->config.host) == 0) {
        job->run(job, instance);
    }
    job_free(job);
}

static void submit(const EventCall *event, void (*run)(EventJob *job, Ovo *instance))
{
    Agent *agent = event->call->agent;
    EventJob *job = g_new0(EventJob, 1);

    job->agent = agent;
    job->ctx = dv_ctx_ref((DvCtx *)event->ctx);
    job->uuid = g_strdup(event->uuid);
    job->tag = g_strdup(event->tag);
    job->run = run;
    dv_lanes_submit(agent->lanes, event->uuid, agent->pools[POOL_GENERAL], job_run, job, job_free);
}

static void port_deleted(EventJob *job, Ovo *instance)
{
    interfaces_port_deleted(job->agent, job->ctx, instance, job->tag ? job->tag : "");
}

static void event_port_deleted(const EventCall *event)
{
    submit(event, port_deleted);
}

/* Only a stopped instance that shall be on, or an active one that shall be off. */
static const struct {
    const char *target, *vm_state, *task_state;
    GuestState power_state;
} power_rows[] = {
    {"POWER_ON", "stopped", "powering-on", GUEST_STATE_OFF},
    {"POWER_OFF", "active", "powering-off", GUEST_STATE_RUNNING},
};

/* The task state is taken here, since the API takes none, and the driver is asked: libvirt's has no
 * such hook in nova either. Losing a race to another operation is no failure. */
static bool power_update(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const idle[] = {"", NULL};
    const char *target = ovo_str_or(call->args, "target_power_state", "");
    g_autoptr(GError) cause = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(power_rows); i++) {
        if (strcmp(power_rows[i].target, target) != 0 ||
            strcmp(ovo_str_or(call->instance, "vm_state", ""), power_rows[i].vm_state) != 0 ||
            ovo_has_value(call->instance, "task_state") ||
            ovo_i64_or(call->instance, "power_state", -1) != (int64_t)power_rows[i].power_state)
            continue;
        ovo_set_str(call->instance, "task_state", power_rows[i].task_state);
        if (power_rows[i].power_state == GUEST_STATE_RUNNING)
            ovo_set_i64(call->instance, "progress", 0);
        if (conductor_instance_save(call->agent->con, call->ctx, call->instance, idle, &cause))
            return dv_fail(err, DV_E_NOT_IMPLEMENTED, "power-update %s: not with libvirt", target);
        if (!dv_is(cause, DV_E_UNEXPECTED_TASK_STATE)) {
            g_propagate_error(err, g_steal_pointer(&cause));
            return false;
        }
        dv_info(call->ctx, "power-update %s: possibly preempted: %s", target, cause->message);
        return true;
    }
    dv_info(call->ctx, "power-update %s changes nothing: the instance is %s", target,
            ovo_str_or(call->instance, "vm_state", "?"));
    return true;
}

static const AgentMethod power_update_method = {
    .name = "power_update",
    .lane = LANE_INSTANCE,
    .pool = POOL_GENERAL,
    .flags = METHOD_EVENT | METHOD_REVERT | METHOD_FAULT,
    .run = power_update,
};

static void run_power_update(EventJob *job, Ovo *instance)
{
    g_autoptr(Ovo) args = ovo_new_dict();
    g_autoptr(GError) err = NULL;

    ovo_set_child(args, "instance", instance);
    ovo_set_str(args, "target_power_state", job->tag ? job->tag : "");
    if (!dispatch_run(job->agent, &power_update_method, job->ctx, args, false, NULL, &err))
        dv_warning(job->ctx, "power-update failed: %s", err->message);
}

static void event_power_update(const EventCall *event)
{
    submit(event, run_power_update);
}

/* ---- what we cannot do ---- */

static void event_volume(const EventCall *event)
{
    dv_warning(event->ctx, "event %s of volume %s ignored: this agent has no volumes", event->name,
               event->tag ? event->tag : "?");
}

static void event_accelerator(const EventCall *event)
{
    dv_warning(event->ctx, "event %s-%s ignored: this agent has no accelerators", event->name,
               event->tag ? event->tag : "?");
}

static const struct {
    const char *name;
    void (*run)(const EventCall *event);
} event_rows[] = {
    {"network-changed", event_network_changed}, {"network-vif-plugged", event_wake},
    {"network-vif-unplugged", event_wake},      {"network-vif-deleted", event_port_deleted},
    {"volume-extended", event_volume},          {"volume-reimaged", event_volume},
    {"power-update", event_power_update},       {"accelerator-request-bound", event_accelerator},
};

static void run_event(const EventCall *event)
{
    for (size_t i = 0; i < G_N_ELEMENTS(event_rows); i++) {
        if (g_strcmp0(event_rows[i].name, event->name) == 0) {
            event_rows[i].run(event);
            return;
        }
    }
    dv_warning(event->ctx, "unknown event %s ignored", event->name);
}

bool op_external_event(const OpCall *call, json_t **out_result G_GNUC_UNUSED,
                       GError **err G_GNUC_UNUSED)
{
    size_t count = ovo_count(call->args, "events");

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) item = ovo_at(call->args, "events", i);
        const char *uuid = item ? ovo_str_or(item, "instance_uuid", NULL) : NULL;
        g_autoptr(DvCtx) ctx = NULL;

        if (!uuid) {
            dv_warning(call->ctx, "external event without an instance ignored");
            continue;
        }
        ctx = dv_ctx_with_instance(call->ctx, uuid);
        run_event(&(EventCall){call, ctx, uuid, ovo_str_or(item, "name", ""),
                               ovo_str_or(item, "tag", NULL), ovo_str_or(item, "status", NULL)});
    }
    return true;
}
