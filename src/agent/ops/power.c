/* Stop, start, soft delete and restore, pause and unpause, and the crash dump of a guest.
 *
 * Each is one thing done to the guest and one save that says so, with the task state that the API
 * had set as its condition: a delete that came meanwhile wins. Sources: nova compute/manager.py
 * stop_instance, start_instance, soft_delete_instance, restore_instance, pause_instance,
 * unpause_instance, trigger_crash_dump (Zed). */
#include "agent/instance_load.h"
#include "agent/notify.h"
#include "agent/ops/ops.h"
#include "agent/ops/power_off.h"
#include "agent/ops/relaunch.h"
#include "util/log.h"

static bool read_state(const OpCall *call, GuestState *out, GError **err)
{
    const VirtDriver *virt = call->agent->virt;

    return virt->ops->state(virt->self, call->uuid, out, err);
}

static void notify(const OpCall *call, NotifyAction action, NotifyPhase phase)
{
    notify_instance(call->agent, call->ctx, call->instance, action, phase, NULL);
}

bool op_power_saved(const OpCall *call, const char *vm_state, const char *const *expected,
                    GError **err)
{
    GuestState state;

    if (!read_state(call, &state, err))
        return false;
    ovo_set_i64(call->instance, "power_state", state);
    ovo_set_str(call->instance, "vm_state", vm_state);
    ovo_set_null(call->instance, "task_state");
    return conductor_instance_save(call->agent->con, call->ctx, call->instance, expected, err);
}

/* ---- stop, soft delete ---- */

bool op_stop(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    static const char *const from_off[] = {"powering-off", NULL};
    static const char *const from_any[] = {"powering-off", "", NULL};
    bool clean = ovo_bool_or(call->args, "clean_shutdown", true);
    GuestState before;
    bool was_off;

    if (!instance_load(call->agent, call->ctx, call->instance, attrs, err) ||
        !read_state(call, &before, err))
        return false;
    /* Off already: somebody else may have found it so, and have recorded it before us. */
    was_off = before == GUEST_STATE_NONE || before == GUEST_STATE_OFF ||
              before == GUEST_STATE_CRASHED;
    notify(call, NOTIFY_POWER_OFF, NOTIFY_START);
    if (!guest_power_off(call->agent, call->ctx, call->instance, clean, err) ||
        !op_power_saved(call, "stopped", was_off ? from_any : from_off, err))
        return false;
    notify(call, NOTIFY_POWER_OFF, NOTIFY_END);
    dv_info(call->ctx, "stopped");
    return true;
}

bool op_soft_delete(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const expected[] = {"soft-deleting", NULL};
    bool ok;

    notify(call, NOTIFY_SOFT_DELETE, NOTIFY_START);
    ok = guest_power_off(call->agent, call->ctx, call->instance, false, err) &&
         op_power_saved(call, "soft-delete", expected, err);
    notify(call, NOTIFY_SOFT_DELETE, NOTIFY_END); /* nova says so, too, when it failed */
    if (!ok)
        return false;
    dv_info(call->ctx, "powered off, to be deleted later");
    return true;
}

/* ---- start, restore ---- */

void op_drop_shelved_keys(Ovo *instance)
{
    static const char *const keys[] = {"shelved_at", "shelved_image_id", "shelved_host"};

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (ovo_dict_str(instance, "system_metadata", keys[i]))
            ovo_dict_set(instance, "system_metadata", keys[i], NULL);
    }
}

void op_delete_shelved_image(const OpCall *call, const char *image_id)
{
    g_autoptr(GError) err = NULL;

    if (!glance_image_delete(call->agent->glance, call->ctx, image_id, &err) &&
        !dv_is(err, DV_E_IMAGE_NOT_FOUND))
        dv_warning(call->ctx, "the shelved server's image %s is left behind: %s", image_id,
                   err->message);
}

/* A server that was shelved and never left this host starts with its own disks: its image goes. */
static void forget_shelved(const OpCall *call)
{
    const char *image = ovo_dict_str(call->instance, "system_metadata", "shelved_image_id");

    if (image)
        op_delete_shelved_image(call, image);
    op_drop_shelved_keys(call->instance);
}

bool op_start(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const expected[] = {"powering-on", NULL};

    notify(call, NOTIFY_POWER_ON, NOTIFY_START);
    if (!guest_relaunch(call->agent, call->ctx, call->instance, 0, err))
        return false;
    forget_shelved(call);
    if (!op_power_saved(call, "active", expected, err))
        return false;
    notify(call, NOTIFY_POWER_ON, NOTIFY_END);
    dv_info(call->ctx, "started");
    return true;
}

bool op_restore(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const expected[] = {"restoring", NULL};

    notify(call, NOTIFY_RESTORE, NOTIFY_START);
    if (!guest_relaunch(call->agent, call->ctx, call->instance, 0, err) ||
        !op_power_saved(call, "active", expected, err))
        return false;
    notify(call, NOTIFY_RESTORE, NOTIFY_END);
    dv_info(call->ctx, "restored");
    return true;
}

/* ---- pause, unpause ---- */

bool op_pause(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const expected[] = {"pausing", NULL};
    const VirtDriver *virt = call->agent->virt;

    notify(call, NOTIFY_PAUSE, NOTIFY_START);
    if (!virt->ops->pause(virt->self, call->ctx, call->uuid, err) ||
        !op_power_saved(call, "paused", expected, err))
        return false;
    notify(call, NOTIFY_PAUSE, NOTIFY_END);
    return true;
}

bool op_unpause(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const expected[] = {"unpausing", NULL};
    const VirtDriver *virt = call->agent->virt;

    notify(call, NOTIFY_UNPAUSE, NOTIFY_START);
    if (!virt->ops->resume(virt->self, call->ctx, call->uuid, err))
        return false;
    virt->ops->sync_time(virt->self, call->ctx, call->uuid);
    if (!op_power_saved(call, "active", expected, err))
        return false;
    notify(call, NOTIFY_UNPAUSE, NOTIFY_END);
    return true;
}

/* ---- crash dump ---- */

/* What the NMI leads to is the guest's business: no state changes. */
bool op_crash_dump(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(GError) cause = NULL;

    notify(call, NOTIFY_TRIGGER_CRASH_DUMP, NOTIFY_START);
    if (virt->ops->inject_nmi(virt->self, call->ctx, call->uuid, &cause)) {
        notify(call, NOTIFY_TRIGGER_CRASH_DUMP, NOTIFY_END);
        return true;
    }
    if (dv_is(cause, DV_E_UNSUPPORTED))
        return dv_fail(err, DV_E_CRASH_DUMP_UNSUPPORTED, "Triggering crash dump is not supported");
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}
