/* snapshot_instance and backup_instance: a snapshot of an instance that stays as it is, and what
 * happens to the image and to the task when it fails.
 *
 * They run beside the instance's lane, as in nova: the API keeps everything but a delete away from
 * an instance with such a task, and a delete does not wait for an upload.
 * Sources    nova compute/manager.py snapshot_instance, backup_instance, _snapshot_instance,
 *            _rotate_backups, delete_image_on_error (Zed). */
#include "agent/notify.h"
#include "agent/ops/ops.h"
#include "agent/ops/snapshot_take.h"

#include "util/log.h"

#define PENDING "image_pending_upload"
#define UPLOADING "image_uploading"

static const SnapshotTask snapshot_task = {"image_snapshot", PENDING, UPLOADING};
static const SnapshotTask backup_task = {"image_backup", PENDING, UPLOADING};

typedef struct Snapshot {
    const OpCall *call;
    DvCtx *admin;
    const char *image_id;
    const SnapshotTask *task;
} Snapshot;

static bool save_power_state(const Snapshot *snapshot, GError **err)
{
    const OpCall *call = snapshot->call;
    GuestState state = GUEST_STATE_NONE;

    if (!call->agent->virt->ops->state(call->agent->virt->self, call->uuid, &state, err))
        return false;
    ovo_set_i64(call->instance, "power_state", state);
    return conductor_instance_save(call->agent->con, snapshot->admin, call->instance, NULL, err);
}

static bool save_done(const Snapshot *snapshot, GError **err)
{
    const char *const from[] = {snapshot->task->uploading, NULL};
    const OpCall *call = snapshot->call;

    ovo_set_null(call->instance, "task_state");
    return conductor_instance_save(call->agent->con, snapshot->admin, call->instance, from, err);
}

static void notify(const Snapshot *snapshot, NotifyPhase phase)
{
    const OpCall *call = snapshot->call;
    const NotifyExtra extra = {.snapshot_image_id = snapshot->image_id};

    notify_instance_with(call->agent, snapshot->admin, call->instance, NOTIFY_SNAPSHOT, phase,
                         &extra, NULL);
}

static bool run(const Snapshot *snapshot, GError **err)
{
    const OpCall *call = snapshot->call;

    if (!save_power_state(snapshot, err))
        return false;
    notify(snapshot, NOTIFY_START);
    if (!snapshot_take(call->agent, snapshot->admin, call->instance, snapshot->image_id,
                       snapshot->task, err) ||
        !save_done(snapshot, err))
        return false;
    notify(snapshot, NOTIFY_END);
    return true;
}

/* ---- how it ends otherwise ---- */

/* Takes the task away from an instance that is there, unless somebody else's is on it by now. */
static void clear_task(const Snapshot *snapshot)
{
    const char *const ours[] = {snapshot->task->start, snapshot->task->pending,
                                snapshot->task->uploading, NULL};
    const OpCall *call = snapshot->call;
    g_autoptr(GError) err = NULL;

    ovo_set_null(call->instance, "task_state");
    if (!conductor_instance_save(call->agent->con, snapshot->admin, call->instance, ours, &err))
        dv_debug(call->ctx, "task state left to others: %s", err->message);
}

/* nova is silent about these: the user has deleted what was to be copied, or where to. */
static bool is_gone(const GError *cause)
{
    return dv_is(cause, DV_E_INSTANCE_NOT_FOUND) || dv_is(cause, DV_E_DELETING) ||
           dv_is(cause, DV_E_INSTANCE_NOT_RUNNING);
}

/* True when the failure is none for the user. The image never stays without its data. */
static bool settle(const Snapshot *snapshot, const GError *cause)
{
    const OpCall *call = snapshot->call;

    if (dv_is(cause, DV_E_IMAGE_NOT_FOUND)) {
        dv_warning(call->ctx, "image deleted during the snapshot: %s", cause->message);
        clear_task(snapshot);
        return true;
    }
    snapshot_forget_image(call->agent, call->ctx, snapshot->image_id, is_gone(cause));
    if (!is_gone(cause))
        return false;
    dv_info(call->ctx, "instance disappeared during the snapshot: %s", cause->message);
    clear_task(snapshot);
    return true;
}

static bool run_settled(const Snapshot *snapshot, bool *out_taken, GError **err)
{
    g_autoptr(GError) cause = NULL;

    *out_taken = run(snapshot, &cause);
    if (*out_taken || settle(snapshot, cause))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* ---- the requests ---- */

static bool snapshot_init(Snapshot *snapshot, const OpCall *call, const SnapshotTask *task,
                          GError **err)
{
    *snapshot = (Snapshot){.call = call, .task = task};
    if (!call->instance || !ovo_str(call->args, "image_id", &snapshot->image_id, err))
        return dv_within(err, "%s", call->method->name);
    snapshot->admin = dv_ctx_elevated(call->ctx);
    return true;
}

static void snapshot_done(Snapshot *snapshot)
{
    g_clear_pointer(&snapshot->admin, dv_ctx_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Snapshot, snapshot_done)

/* The API has set the task already; a restart of the agent may have cleared it since. */
static bool begin(const Snapshot *snapshot, GError **err)
{
    static const char *const from[] = {"image_snapshot_pending", NULL};
    const OpCall *call = snapshot->call;

    ovo_set_str(call->instance, "task_state", snapshot->task->start);
    return conductor_instance_save(call->agent->con, call->ctx, call->instance, from, err);
}

bool op_snapshot(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    g_auto(Snapshot) snapshot = {0};
    g_autoptr(GError) cause = NULL;
    bool taken = false;

    if (!snapshot_init(&snapshot, call, &snapshot_task, err))
        return false;
    if (begin(&snapshot, &cause))
        return run_settled(&snapshot, &taken, err);
    if (settle(&snapshot, cause))
        return true;
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* Deletes the oldest backups beyond `rotation`; one that resists is no failure. */
static bool rotate(const Snapshot *snapshot, const char *backup_type, size_t rotation, GError **err)
{
    const OpCall *call = snapshot->call;
    const GlanceSetting wanted[] = {
        {"image_type", "backup"}, {"backup_type", backup_type}, {"instance_uuid", call->uuid}};
    g_autoptr(GPtrArray) images = NULL;

    if (!glance_images_find(call->agent->glance, call->ctx, wanted, G_N_ELEMENTS(wanted), &images,
                            err))
        return dv_within(err, "rotating backups");
    for (guint i = images->len; i > rotation; i--) {
        const GlanceImage *image = g_ptr_array_index(images, i - 1);
        g_autoptr(GError) cause = NULL;

        if (glance_image_delete(call->agent->glance, call->ctx, image->id, &cause))
            dv_info(call->ctx, "backup %s rotated out", image->id);
        else
            dv_info(call->ctx, "backup %s not deleted: %s", image->id, cause->message);
    }
    return true;
}

bool op_backup(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    g_auto(Snapshot) snapshot = {0};
    const char *backup_type = NULL;
    uint64_t rotation = 0;
    bool taken = false;

    if (!snapshot_init(&snapshot, call, &backup_task, err) ||
        !ovo_str(call->args, "backup_type", &backup_type, err) ||
        !ovo_u64(call->args, "rotation", &rotation, err))
        return false;
    return run_settled(&snapshot, &taken, err) &&
           (!taken || rotate(&snapshot, backup_type, rotation, err));
}
