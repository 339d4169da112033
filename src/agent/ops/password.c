/* set_admin_password: through the agent in the guest.
 *
 * The password is in no log, no fault and no error text: what the hypervisor says of a failure is
 * logged after redaction and not passed on. It is not kept for the metadata service, as nova does
 * (encrypted) for servers with an RSA key. Sources: nova compute/manager.py set_admin_password,
 * virt/libvirt/driver.py set_admin_password (Zed). */
#include "agent/instance_load.h"
#include "agent/ops/ops.h"
#include "util/log.h"

static const char *property(const OpCall *call, const char *name)
{
    return ovo_dict_str(call->instance, "system_metadata", name);
}

static bool is_true(const char *text)
{
    static const char *const words[] = {"1", "t", "true", "on", "y", "yes", NULL};
    g_autofree char *lower = text ? g_ascii_strdown(text, -1) : NULL;

    return lower && g_strv_contains(words, lower);
}

/* nova clears the task in the same breath as it fails, and so do we: who waits for the call sees
 * the instance free. */
static bool clear_task(const OpCall *call, GError **err)
{
    static const char *const expected[] = {"updating_password", NULL};

    ovo_set_null(call->instance, "task_state");
    return conductor_instance_save(call->agent->con, call->ctx, call->instance, expected, err);
}

static bool fail_cleared(const OpCall *call, GError **err, DvErrorCode code, const char *text)
{
    return clear_task(call, err) && dv_fail(err, code, "%s", text);
}

static const char *user_of(const OpCall *call)
{
    const char *user = property(call, "image_os_admin_user");

    if (user && *user)
        return user;
    return g_strcmp0(ovo_str_or(call->instance, "os_type", NULL), "windows") == 0 ? "Administrator"
                                                                                  : "root";
}

static bool set_password(const OpCall *call, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    const char *password = NULL;
    g_autoptr(GError) cause = NULL;
    g_autofree char *text = NULL;

    if (!ovo_str(call->args, "new_pass", &password, err))
        return false;
    if (virt->ops->set_password(virt->self, call->ctx, call->uuid, user_of(call), password, &cause))
        return true;
    if (dv_is(cause, DV_E_NOT_IMPLEMENTED))
        return fail_cleared(call, err, DV_E_NOT_IMPLEMENTED,
                            "set_admin_password is not implemented by this driver or guest "
                            "instance.");
    text = dv_redact(cause->message);
    dv_error(call->ctx, "set_admin_password failed: %s", text);
    return dv_fail(err, DV_E_PASSWORD_FAILED,
                   "Failed to set admin password on %s because error setting admin password",
                   call->uuid);
}

bool op_set_admin_password(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    const VirtDriver *virt = call->agent->virt;
    GuestState state;

    if (!instance_load(call->agent, call->ctx, call->instance, attrs, err) ||
        !virt->ops->state(virt->self, call->uuid, &state, err))
        return false;
    if (state != GUEST_STATE_RUNNING) {
        g_autofree char *text = g_strdup_printf(
            "Failed to set admin password on %s because instance %s is not running", call->uuid,
            call->uuid);

        return fail_cleared(call, err, DV_E_PASSWORD_FAILED, text);
    }
    if (!is_true(property(call, "image_hw_qemu_guest_agent")))
        return fail_cleared(call, err, DV_E_AGENT_NOT_ENABLED, "QEMU guest agent is not enabled");
    if (!set_password(call, err) || !clear_task(call, err))
        return false;
    dv_info(call->ctx, "admin password set");
    return true;
}
