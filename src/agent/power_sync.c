/* Power states brought in line; see power_sync.h. */
#include "agent/power_sync.h"

#include "agent/live_queue.h"
#include "agent/methods.h"
#include "agent/ops/outcome.h"
#include "util/log.h"

typedef struct Sync {
    Agent *agent;
    char *uuid;
} Sync;

/* system_metadata: how long its guest gets to stop. */
static const char *const sync_attrs[] = {"system_metadata", NULL};
static const char *const no_attrs[] = {NULL};

/* nova calls its own API here, which casts back to the host: the user sees the same action, event
 * and states when the request is made and carried out in one go. */
static bool begin(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *task,
                  const char *action, GError **err)
{
    static const char *const from_null[] = {"", NULL};

    ovo_set_str(instance, "task_state", task);
    ovo_set_i64(instance, "progress", 0);
    return conductor_instance_save(agent->con, ctx, instance, from_null, err) &&
           conductor_action_start(agent->con, ctx, ovo_str_or(instance, "uuid", ""), action, err);
}

static bool stop(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state, GError **err)
{
    dv_warning(ctx, "instance is %s but the guest's power state is %d: it is stopped",
               ovo_str_or(instance, "vm_state", "?"), (int)state);
    return begin(agent, ctx, instance, "powering-off", "stop", err) &&
           outcome_stop(agent, ctx, instance, true, err);
}

static bool stop_or_delete(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state,
                           GError **err)
{
    g_autoptr(Ovo) args = NULL;

    if (!ovo_bool_or(instance, "shutdown_terminate", false))
        return stop(agent, ctx, instance, state, err);
    dv_warning(ctx, "the guest is off, and the instance is to end with it: it is deleted");
    if (!begin(agent, ctx, instance, "deleting", "delete", err))
        return false;
    args = ovo_new_dict();
    ovo_set_child(args, "instance", instance);
    return dispatch_run(agent, methods_find("terminate_instance"), ctx, args, false, NULL, err);
}

static bool only_warn(Agent *agent G_GNUC_UNUSED, const DvCtx *ctx, Ovo *instance, GuestState state,
                      GError **err G_GNUC_UNUSED)
{
    dv_warning(ctx, "instance is %s but the guest's power state is %d: not changed",
               ovo_str_or(instance, "vm_state", "?"), (int)state);
    return true;
}

/* What to do when the power state does not fit the vm_state. Others than these are as they should
 * be, or are another operation's: building, rescued, resized, suspended, error. */
static const struct {
    const char *vm_state;
    GuestState state;
    bool (*run)(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state, GError **err);
} sync_rows[] = {
    {"active", GUEST_STATE_OFF, stop_or_delete},
    {"active", GUEST_STATE_CRASHED, stop_or_delete},
    {"active", GUEST_STATE_SUSPENDED, stop},
    {"active", GUEST_STATE_PAUSED, only_warn}, /* whoever paused it may let it go on */
    {"active", GUEST_STATE_NONE, only_warn},   /* the hypervisor may just be starting */
    {"stopped", GUEST_STATE_RUNNING, stop},
    {"stopped", GUEST_STATE_PAUSED, stop},
    {"stopped", GUEST_STATE_SUSPENDED, stop},
    {"paused", GUEST_STATE_OFF, stop},
    {"paused", GUEST_STATE_CRASHED, stop},
    {"soft-delete", GUEST_STATE_RUNNING, only_warn},
    {"soft-delete", GUEST_STATE_PAUSED, only_warn},
    {"soft-delete", GUEST_STATE_CRASHED, only_warn},
    {"soft-delete", GUEST_STATE_SUSPENDED, only_warn},
    {"deleted", GUEST_STATE_RUNNING, only_warn},
    {"deleted", GUEST_STATE_PAUSED, only_warn},
    {"deleted", GUEST_STATE_CRASHED, only_warn},
    {"deleted", GUEST_STATE_SUSPENDED, only_warn},
};

bool power_sync_instance(Agent *agent, const DvCtx *ctx, Ovo *instance, GuestState state,
                         GError **err)
{
    const char *vm_state;

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
    /* Only now: the save's answer puts the row's strings in the place of those we had. */
    vm_state = ovo_str_or(instance, "vm_state", "");
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

    /* Where the guest is will be known when its live migration has ended. */
    if (live_queue_phase(agent->live, sync->uuid) >= LIVE_PREPARING) {
        sync_free(sync);
        return;
    }
    if ((!agent->virt->ops->state(agent->virt->self, sync->uuid, &state, &err) ||
         !conductor_instance_get(agent->con, ctx, sync->uuid, sync_attrs, &instance, &err) ||
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

/* uuid -> VirtGuest of the listing. */
static GHashTable *by_uuid(const GPtrArray *guests)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < guests->len; i++) {
        VirtGuest *guest = g_ptr_array_index(guests, i);

        g_hash_table_insert(table, guest->uuid, guest);
    }
    return table;
}

bool power_sync_all(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GHashTable) table = NULL;
    g_autoptr(Ovo) list = NULL;
    size_t count;

    if (!conductor_instances_by_host(agent->con, ctx, agent->config.host, no_attrs, &list, err) ||
        !agent->virt->ops->list(agent->virt->self, &guests, err))
        return false;
    count = ovo_count(list, NULL);
    if (count != guests->len)
        dv_warning(ctx, "%u instances in the database, %u guests on this host", (unsigned)count,
                   guests->len);
    table = by_uuid(guests);
    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        const char *uuid = instance ? ovo_str_or(instance, "uuid", NULL) : NULL;
        const VirtGuest *guest = uuid ? g_hash_table_lookup(table, uuid) : NULL;

        if (uuid && differs(instance, guest ? guest->state : GUEST_STATE_NONE))
            power_sync_want(agent, uuid);
    }
    return true;
}
