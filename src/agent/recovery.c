/* Recovery at start as one table of rows; see recovery.h.
 *
 * The rows are looked at from top to bottom with the states as they are by then, since a row may
 * change them; a row that is last ends it for its instance. */
#include "agent/recovery_priv.h"

#include "agent/evacuated.h"
#include "agent/guest_defaults.h"
#include "agent/guest_spec.h"
#include "agent/guest_tpm.h"
#include "agent/health.h"
#include "agent/methods.h"
#include "agent/network_cache.h"
#include "agent/ops/ops.h"
#include "agent/ops/snapshot_take.h"
#include "agent/ops/outcome.h"
#include "agent/ops/relaunch.h"
#include "agent/recovery_moves.h"
#include "util/log.h"

static const char *const attrs[] = {"info_cache", "metadata", "system_metadata", "flavor", NULL};

static const char *vm_state(const Recovery *rec)
{
    return ovo_str_or(rec->instance, "vm_state", "");
}

static const char *task_state(const Recovery *rec)
{
    return ovo_str_or(rec->instance, "task_state", "");
}

static bool save(const Recovery *rec, GError **err)
{
    return conductor_instance_save(rec->agent->con, rec->ctx, rec->instance, NULL, err);
}

bool recovery_is_one_of(const char *words, const char *value)
{
    size_t length = strlen(value);

    for (const char *p = words;; p++) {
        size_t word = strcspn(p, "|");

        if (word == length && strncmp(p, value, length) == 0)
            return true;
        p += word;
        if (!*p)
            return false;
    }
}

/* ---- later, in the instance's lane ---- */

/* What to do when the turn has come, if the task state is still one of `tasks`. */
typedef struct Later {
    const char *name;
    const char *tasks; /* NULL: any */
    RecoverFn run;
} Later;

typedef struct LaterJob {
    Agent *agent;
    DvCtx *ctx;
    char *uuid;
    const Later *later;
} LaterJob;

static void later_free(void *arg)
{
    LaterJob *job = arg;

    dv_ctx_unref(job->ctx);
    g_free(job->uuid);
    g_free(job);
}

static bool later_look(const LaterJob *job, GError **err)
{
    const VirtDriver *virt = job->agent->virt;
    g_autoptr(Ovo) instance = NULL;
    Recovery rec = {.agent = job->agent, .ctx = job->ctx, .uuid = job->uuid};

    if (!conductor_instance_get(job->agent->con, job->ctx, job->uuid, attrs, &instance, err) ||
        !virt->ops->state(virt->self, job->uuid, &rec.power, err))
        return false;
    rec.instance = instance;
    if (strcmp(ovo_str_or(instance, "host", ""), job->agent->config.host) != 0 ||
        (job->later->tasks && !recovery_is_one_of(job->later->tasks, task_state(&rec))))
        return true; /* somebody was quicker */
    dv_info(job->ctx, "found %s/%s at start: %s", vm_state(&rec), task_state(&rec),
            job->later->name);
    return job->later->run(&rec, err);
}

static void later_run(void *arg)
{
    LaterJob *job = arg;
    g_autoptr(GError) err = NULL;

    if (!later_look(job, &err) && !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(job->ctx, "not recovered: %s: %s", job->later->name, err->message);
    later_free(job);
}

static bool queue(const Recovery *rec, const Later *later)
{
    LaterJob *job = g_new0(LaterJob, 1);

    *job = (LaterJob){rec->agent, dv_ctx_ref(rec->ctx), g_strdup(rec->uuid), later};
    dv_lanes_submit(rec->agent->lanes, rec->uuid, rec->agent->pools[POOL_GENERAL], later_run, job,
                    later_free);
    return true;
}

/* The method as the API would have asked for it, with its event, fault and task state. */
static bool run_method(const Recovery *rec, const char *name, const char *arg, const char *value,
                       GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();

    ovo_set_child(args, "instance", rec->instance);
    if (arg)
        ovo_set_str(args, arg, value);
    return dispatch_run(rec->agent, methods_find(name), rec->ctx, args, false, NULL, err);
}

static bool reboot_now(const Recovery *rec, GError **err)
{
    bool soft_task = recovery_is_one_of("rebooting|reboot_pending|reboot_started", task_state(rec));
    bool soft = soft_task && rec->power == GUEST_STATE_RUNNING;

    /* A soft reboot that has got as far as the guest's end has become a hard one. */
    if (soft_task && !soft) {
        ovo_set_str(rec->instance, "task_state", "reboot_pending_hard");
        if (!save(rec, err))
            return false;
    }
    return run_method(rec, "reboot_instance", "reboot_type", soft ? "SOFT" : "HARD", err);
}

static bool stop_now(const Recovery *rec, GError **err)
{
    return outcome_stop(rec->agent, rec->ctx, rec->instance, true, err);
}

static bool start_now(const Recovery *rec, GError **err)
{
    return run_method(rec, "start_instance", NULL, NULL, err);
}

static bool unpause_now(const Recovery *rec, GError **err)
{
    return run_method(rec, "unpause_instance", NULL, NULL, err);
}

bool recovery_is_up(GuestState power)
{
    return power != GUEST_STATE_NONE && power != GUEST_STATE_OFF && power != GUEST_STATE_CRASHED;
}

static bool resume_guest_now(const Recovery *rec, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (recovery_is_up(rec->power) ||
        guest_relaunch(rec->agent, rec->ctx, rec->instance, RELAUNCH_CACHED_NETWORKS, &cause))
        return true;
    if (!outcome_gone(cause) && !dv_is(cause, DV_E_CANCELLED))
        outcome_error(rec->agent, rec->ctx, rec->instance);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static const Later later_reboot = {
    "rebooting again",
    "reboot_pending|reboot_pending_hard|reboot_started|reboot_started_hard",
    reboot_now,
};
static const Later later_stop = {"stopping again", "powering-off", stop_now};
static const Later later_start = {"starting again", "powering-on", start_now};
static const Later later_unpause = {"unpausing again", "unpausing", unpause_now};
static const Later later_resume_guest = {"starting the guest that ran before", NULL,
                                         resume_guest_now};

/* ---- at once ---- */

static bool recover_nothing(const Recovery *rec G_GNUC_UNUSED, GError **err G_GNUC_UNUSED)
{
    return true;
}

static bool recover_error(const Recovery *rec, GError **err)
{
    dv_warning(rec->ctx, "found %s/%s at start: set to error", vm_state(rec), task_state(rec));
    ovo_set_str(rec->instance, "vm_state", "error");
    ovo_set_null(rec->instance, "task_state");
    return save(rec, err);
}

static bool recover_clear_task(const Recovery *rec, GError **err)
{
    dv_warning(rec->ctx, "found %s/%s at start: task cleared", vm_state(rec), task_state(rec));
    ovo_set_null(rec->instance, "task_state");
    return save(rec, err);
}

/* nova leaves backups and shelves that were cut short in their task states. */
static bool recover_snapshot(const Recovery *rec, GError **err)
{
    snapshot_clean_up(rec->agent, rec->ctx, rec->instance);
    return recover_clear_task(rec, err);
}

static bool recover_active(const Recovery *rec, GError **err)
{
    ovo_set_str(rec->instance, "vm_state", "active");
    return recover_clear_task(rec, err);
}

static bool recover_delete(const Recovery *rec, GError **err)
{
    g_autoptr(GError) cause = NULL;

    dv_info(rec->ctx, "finishing a delete that the last run had started");
    if (op_delete_instance(rec->agent, rec->ctx, rec->instance, &cause))
        return true;
    outcome_error(rec->agent, rec->ctx, rec->instance);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static bool recover_complete_deletion(const Recovery *rec, GError **err)
{
    return op_complete_deletion(rec->agent, rec->ctx, rec->instance, err);
}

static bool recover_reboot(const Recovery *rec, GError **err G_GNUC_UNUSED)
{
    return queue(rec, &later_reboot);
}

static bool recover_stop(const Recovery *rec, GError **err G_GNUC_UNUSED)
{
    return queue(rec, &later_stop);
}

static bool recover_start(const Recovery *rec, GError **err G_GNUC_UNUSED)
{
    return queue(rec, &later_start);
}

static bool recover_unpause(const Recovery *rec, GError **err G_GNUC_UNUSED)
{
    return queue(rec, &later_unpause);
}

/* A port that neutron cannot bind needs somebody's help. What the cache says may be of a moment in
 * which neutron had the port nowhere, as it has while a guest changes hosts. */
static bool find_ports(const Recovery *rec, NetworkInfo **out, GError **err)
{
    g_autoptr(NetworkInfo) network = network_cache_read(rec->instance, err);
    const Vif *unbound;

    if (!network)
        return false;
    if (network_cache_unbound(network)) {
        g_clear_pointer(&network, network_info_free);
        if (!network_cache_mend(rec->agent, rec->ctx, rec->instance, &network, err))
            return false;
    }
    unbound = network_cache_unbound(network);
    if (unbound)
        return dv_fail(err, DV_E_PORT_BINDING_FAILED, "port %s: VIF type %s", unbound->id,
                       unbound->type);
    *out = g_steal_pointer(&network);
    return true;
}

/* What the host has to give may have gone with its last boot. A guest that runs is not put into
 * error because its ports are of a kind that we cannot plug: whoever started it could. */
static bool recover_plug(const Recovery *rec, GError **err)
{
    const VirtDriver *virt = rec->agent->virt;
    g_autoptr(NetworkInfo) network = NULL;
    g_autoptr(GuestSpec) ports = NULL;
    g_autoptr(GError) cause = NULL;

    if (!find_ports(rec, &network, err)) {
        outcome_error(rec->agent, rec->ctx, rec->instance);
        return false;
    }
    ports = guest_spec_of_ports(rec->instance, network);
    if (!virt->ops->plug(virt->self, rec->ctx, ports, &cause))
        dv_warning(rec->ctx, "its ports are not plugged again: %s", cause->message);
    return true;
}

static bool recover_guest(const Recovery *rec, GError **err G_GNUC_UNUSED)
{
    bool ran = ovo_i64_or(rec->instance, "power_state", 0) == GUEST_STATE_RUNNING;

    if (rec->agent->config.resume_guests_state_on_host_boot && ran && !recovery_is_up(rec->power))
        queue(rec, &later_resume_guest);
    return true;
}

/* ---- the table ---- */

#define ANY NULL
#define ANY_POWER (-1)
#define NOT_RUNNING (-2)
#define LAST true
#define GO_ON false

/* clang-format off */
static const struct {
    const char *vm_states, *task_states; /* "a|b"; "" is a null task state */
    int power;                           /* GuestState */
    RecoverFn run;
    bool last;
} rows[] = {
    {"soft-delete",    ANY,                                          ANY_POWER, recover_nothing, LAST},
    {"error",          "deleting",                                   ANY_POWER, recover_delete, LAST},
    {"error",          "resize_migrating",                           ANY_POWER, recover_move, LAST},
    {"error",          ANY,                                          ANY_POWER, recover_nothing, LAST},
    {"deleted",        ANY,                                          ANY_POWER, recover_complete_deletion, LAST},
    {"building",       "deleting",                                   ANY_POWER, recover_delete, LAST},
    {"building",       ANY,                                          ANY_POWER, recover_error, LAST},
    {ANY,              "scheduling|block_device_mapping|networking|spawning",
                                                                     ANY_POWER, recover_error, LAST},
    {"active|stopped", "rebuilding|rebuild_block_device_mapping|rebuild_spawning",
                                                                     ANY_POWER, recover_error, LAST},
    {ANY,              "image_snapshot|image_snapshot_pending|image_pending_upload|image_uploading|"
                       "image_backup|shelving|shelving_image_pending_upload|"
                       "shelving_image_uploading",                   ANY_POWER, recover_snapshot, GO_ON},
    {ANY,              "shelving_offloading",                        ANY_POWER, recover_clear_task, GO_ON},
    {ANY,              "resize_prep",                                ANY_POWER, recover_move, GO_ON},
    {ANY,              "deleting",                                   ANY_POWER, recover_delete, LAST},
    {"active",         "reboot_pending",                             ANY_POWER, recover_reboot, LAST},
    {"active|stopped|paused|suspended",
                       "reboot_pending_hard",                        ANY_POWER, recover_reboot, LAST},
    {ANY,              "reboot_started|reboot_started_hard",         NOT_RUNNING, recover_reboot, LAST},
    {ANY,              "reboot_started|reboot_started_hard|pausing|unpausing",
                                                                     GUEST_STATE_RUNNING, recover_active, GO_ON},
    {ANY,              "unpausing",                                  GUEST_STATE_PAUSED, recover_unpause, LAST},
    {ANY,              "powering-off",                               ANY_POWER, recover_stop, LAST},
    {ANY,              "powering-on",                                ANY_POWER, recover_start, LAST},
    {ANY,              ANY,                                          ANY_POWER, recover_plug, GO_ON},
    /* last: its guest may run elsewhere, and must not be started here */
    {ANY,              "resize_migrating|resize_migrated|resize_finish|resize_reverting|migrating",
                                                                     ANY_POWER, recover_move, LAST},
    {ANY,              ANY,                                          ANY_POWER, recover_guest, GO_ON},
};
/* clang-format on */

static bool power_fits(int wanted, GuestState power)
{
    if (wanted == NOT_RUNNING)
        return power != GUEST_STATE_RUNNING;
    return wanted == ANY_POWER || wanted == (int)power;
}

static bool recover_one(const Recovery *rec, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if ((rows[i].vm_states && !recovery_is_one_of(rows[i].vm_states, vm_state(rec))) ||
            (rows[i].task_states && !recovery_is_one_of(rows[i].task_states, task_state(rec))) ||
            !power_fits(rows[i].power, rec->power))
            continue;
        if (!rows[i].run(rec, err))
            return false;
        if (rows[i].last)
            return true;
    }
    if (*task_state(rec))
        dv_warning(rec->ctx, "found %s/%s at start: left as it is", vm_state(rec), task_state(rec));
    return true;
}

/* uuid -> VirtGuest of every guest of this host, from one listing. */
static GHashTable *guests_by_uuid(const GPtrArray *guests)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < guests->len; i++) {
        VirtGuest *guest = g_ptr_array_index(guests, i);

        g_hash_table_insert(table, guest->uuid, guest);
    }
    return table;
}

/* Of a guest that is there. Nobody waits for it: what fails is tried again at the next start. */
static void register_defaults(const Recovery *rec)
{
    g_autoptr(GError) err = NULL;

    if (rec->power != GUEST_STATE_NONE &&
        !guest_defaults_register(rec->agent, rec->ctx, rec->instance, &err))
        dv_warning(rec->ctx, "defaults of its machine are not registered: %s", err->message);
}

static void recover_instance(Agent *agent, const DvCtx *ctx, GHashTable *guests, Ovo *instance)
{
    const char *uuid = ovo_str_or(instance, "uuid", NULL);
    const VirtGuest *guest = uuid ? g_hash_table_lookup(guests, uuid) : NULL;
    g_autoptr(DvCtx) mine = dv_ctx_with_instance(ctx, uuid);
    g_autoptr(GError) err = NULL;
    Recovery rec = {
        .agent = agent,
        .ctx = mine,
        .instance = instance,
        .uuid = uuid,
        .power = guest ? guest->state : GUEST_STATE_NONE,
    };

    if (!uuid) {
        dv_error(ctx, "an instance record of this host has no uuid: skipped");
        return;
    }
    register_defaults(&rec);
    if (!recover_one(&rec, &err) && !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(mine, "not recovered: %s", err->message);
}

static gboolean is_elsewhere(gpointer uuid, gpointer guest G_GNUC_UNUSED, gpointer elsewhere)
{
    return g_hash_table_contains(elsewhere, uuid);
}

/* A guest that no record has on this host may be one that has just come. */
static void note_strangers(Agent *agent, GHashTable *strangers)
{
    GHashTableIter iter;
    gpointer uuid;

    g_hash_table_iter_init(&iter, strangers);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        recovery_moves_note(agent, uuid);
}

/* As nova: a host that has such servers and could not start them again does not start. One whose
 * request makes no sense is not what keeps it. */
static bool check_tpms(const Agent *agent, const DvCtx *ctx, const Ovo *list, GError **err)
{
    for (size_t i = 0; !agent->virt_config.swtpm_enabled && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        g_autoptr(GError) why = NULL;
        GuestTpm tpm = {NULL, NULL};

        if (!instance || ovo_bool_or(instance, "deleted", false))
            continue;
        if (!guest_tpm_of(instance, "flavor", &tpm, &why))
            dv_warning(ctx, "instance %s: %s", ovo_str_or(instance, "uuid", ""), why->message);
        if (tpm.version)
            return dv_fail(err, DV_E_BAD_CONFIG,
                           "This host has instances with the vTPM feature enabled (%s is one), but"
                           " the host is not correctly configured; enable vTPM support: [libvirt]"
                           " swtpm_enabled",
                           ovo_str_or(instance, "uuid", ""));
    }
    return true;
}

bool recovery_run(Agent *agent, const DvCtx *ctx, GError **err)
{
    const VirtDriver *virt = agent->virt;
    g_autoptr(GPtrArray) guests = NULL;
    g_autoptr(GHashTable) by_uuid = NULL;
    g_autoptr(GHashTable) elsewhere = NULL;
    g_autoptr(GHashTable) strangers = NULL;
    g_autoptr(Ovo) list = NULL;

    if (!virt->ops->list(virt->self, &guests, err) ||
        !conductor_instances_by_host(agent->con, ctx, agent->config.host, attrs, &list, err))
        return dv_within(err, "reading the instances of this host");
    if (!check_tpms(agent, ctx, list, err))
        return false;
    health_count_guests(guests);
    by_uuid = guests_by_uuid(guests);
    if (!evacuated_leave(agent, ctx, by_uuid, &elsewhere, err))
        return false;
    strangers = guests_by_uuid(guests);
    for (size_t i = 0; i < ovo_count(list, NULL) && !agent_stopping(agent); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        const char *uuid = instance ? ovo_str_or(instance, "uuid", "") : "";

        g_hash_table_remove(strangers, uuid);
        if (instance && !g_hash_table_contains(elsewhere, uuid))
            recover_instance(agent, ctx, by_uuid, instance);
    }
    g_hash_table_foreach_remove(strangers, is_elsewhere, elsewhere);
    note_strangers(agent, strangers);
    return true;
}
