/* Power states brought in line; see power_sync.h. */
#include "agent/power_sync.h"

#include "util/log.h"

typedef struct Sync {
    Agent *agent;
    char *uuid;
} Sync;

static const char *const no_attrs[] = {NULL};

/* nova calls its own API to stop the instance; the guest is off already, so what remains is the
 * record. The user sees the same action, event and states. */
static bool record_stop(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state,
                        GError **err)
{
    static const char *const from_null[] = {"", NULL};
    static const char *const from_off[] = {"powering-off", NULL};
    const char *uuid = ovo_str_or(instance, "uuid", "");

    ovo_set_str(instance, "task_state", "powering-off");
    ovo_set_i64(instance, "progress", 0);
    if (!conductor_instance_save(agent->con, ctx, instance, from_null, err) ||
        !conductor_action_start(agent->con, ctx, uuid, "stop", err) ||
        !conductor_event_start(agent->con, ctx, uuid, "compute_stop_instance", agent->config.host,
                               err))
        return false;
    ovo_set_i64(instance, "power_state", state);
    ovo_set_str(instance, "vm_state", "stopped");
    ovo_set_null(instance, "task_state");
    return conductor_instance_save(agent->con, ctx, instance, from_off, err) &&
           conductor_event_finish(agent->con, ctx, uuid, "compute_stop_instance", NULL, NULL, err);
}

static bool stop_record(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state,
                        GError **err)
{
    dv_warning(ctx, "the guest is off although the instance is active: recorded as stopped");
    return record_stop(agent, ctx, instance, state, err);
}

static bool only_warn(Agent *agent G_GNUC_UNUSED, const DvCtx *ctx, Ovo *instance, GuestState state,
                      GError **err G_GNUC_UNUSED)
{
    dv_warning(ctx, "instance is %s but the guest's power state is %d: not changed",
               ovo_str_or(instance, "vm_state", "?"), (int)state);
    return true;
}

/* What to do when the power state does not fit the vm_state. */
static const struct {
    const char *vm_state;
    GuestState state;
    bool (*run)(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state, GError **err);
} sync_rows[] = {
    {"active", GUEST_STATE_OFF, stop_record},     {"active", GUEST_STATE_CRASHED, stop_record},
    {"active", GUEST_STATE_SUSPENDED, only_warn}, {"active", GUEST_STATE_PAUSED, only_warn},
    {"active", GUEST_STATE_NONE, only_warn},      {"stopped", GUEST_STATE_RUNNING, only_warn},
    {"paused", GUEST_STATE_OFF, only_warn},
};

bool power_sync_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state,
                         GError **err)
{
    const char *vm_state = ovo_str_or(instance, "vm_state", "");

    if (strcmp(ovo_str_or(instance, "host", ""), agent->config.host) != 0) {
        dv_info(ctx, "power sync: the instance is on another host now");
        return true;
    }
    if (ovo_has_value(instance, "task_state")) {
        dv_debug(ctx, "power sync: a task is pending (%s)", ovo_str_or(instance, "task_state", ""));
        return true;
    }
    if (ovo_i64_or(instance, "power_state", -1) != (int64_t)state) {
        dv_info(ctx, "power state is %d, was %d in the database", (int)state,
                (int)ovo_i64_or(instance, "power_state", -1));
        ovo_set_i64(instance, "power_state", state);
        if (!conductor_instance_save(agent->con, ctx, instance, NULL, err))
            return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(sync_rows); i++) {
        if (sync_rows[i].state == state && strcmp(sync_rows[i].vm_state, vm_state) == 0)
            return sync_rows[i].run(agent, ctx, instance, state, err);
    }
    return true;
}

static void sync_free(void *arg)
{
    Sync *sync = arg;

    g_free(sync->uuid);
    g_free(sync);
}

static void sync_run(void *arg)
{
    Sync *sync = arg;
    Agent *agent = sync->agent;
    g_autoptr(DvCtx) admin = dv_ctx_new_admin();
    g_autoptr(DvCtx) ctx = dv_ctx_with_instance(admin, sync->uuid);
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) instance = NULL;
    GuestState state = GUEST_STATE_NONE;

    if ((!agent->virt->ops->state(agent->virt->self, sync->uuid, &state, &err) ||
         !conductor_instance_get(agent->con, ctx, sync->uuid, no_attrs, &instance, &err) ||
         !power_sync_instance(agent, ctx, instance, state, &err)) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(ctx, "power sync: %s", err->message);
    sync_free(sync);
}

void power_sync_want(Agent *agent, const char *instance_uuid)
{
    Sync *sync = g_new0(Sync, 1);

    sync->agent = agent;
    sync->uuid = g_strdup(instance_uuid);
    dv_lanes_submit(agent->lanes, instance_uuid, agent->pools[POOL_GENERAL], sync_run, sync,
                    sync_free);
}

/* Only instances whose state differs are queued: the others cost nothing beyond the two listings.
 */
static bool differs(const Ovo *instance, GuestState state)
{
    const char *vm_state = ovo_str_or(instance, "vm_state", "");

    if (ovo_has_value(instance, "task_state"))
        return false;
    if (ovo_i64_or(instance, "power_state", -1) != (int64_t)state)
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(sync_rows); i++) {
        if (sync_rows[i].state == state && strcmp(sync_rows[i].vm_state, vm_state) == 0)
            return true;
    }
    return false;
}

bool power_sync_all(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(Ovo) list = NULL;

    if (!conductor_instances_by_host(agent->con, ctx, agent->config.host, no_attrs, &list, err) ||
        !agent->virt->ops->list(agent->virt->self, &guests, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        const char *uuid = instance ? ovo_str_or(instance, "uuid", NULL) : NULL;
        GuestState state = GUEST_STATE_NONE;

        for (guint j = 0; uuid && j < guests->len; j++) {
            const VirtGuest *guest = g_ptr_array_index(guests, j);

            if (strcmp(guest->uuid, uuid) == 0)
                state = guest->state;
        }
        if (uuid && differs(instance, state))
            power_sync_want(agent, uuid);
    }
    return true;
}
