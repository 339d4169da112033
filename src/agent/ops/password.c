/* set_admin_password: through the agent in the guest.
 *
 * The password is in no log, no fault and no error text: what the hypervisor says of a failure is
 * logged after redaction and not passed on. Where the server has an RSA key, the password is kept
 * for its owner, encrypted: the API's "get password" gives it back. Sources: nova
 * compute/manager.py set_admin_password, virt/libvirt/driver.py set_admin_password,
 * api/metadata/password.py (Zed). */
#include "agent/instance_load.h"
#include "agent/ops/ops.h"
#include "util/log.h"
#include "util/ssh_key.h"

#include <string.h>

#define KEPT_PIECES 4
#define KEPT_PIECE_LENGTH 255

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

/* In as many pieces as the API joins again; those that are not needed are empty. */
static bool keep_password(const OpCall *call, const char *password, GError **err)
{
    const char *key = ovo_str_or(call->instance, "key_data", NULL);
    g_autofree char *sealed = NULL;
    size_t length;

    if (!dv_ssh_key_is_rsa(key))
        return true;
    if (!dv_ssh_encrypt(key, password, &sealed, err))
        return false;
    length = strlen(sealed);
    for (size_t i = 0; i < KEPT_PIECES; i++) {
        g_autofree char *name = g_strdup_printf("password_%zu", i);
        g_autofree char *piece = g_strndup(sealed + MIN(i * KEPT_PIECE_LENGTH, length),
                                           KEPT_PIECE_LENGTH);

        ovo_dict_set(call->instance, "system_metadata", name, piece);
    }
    return true;
}

static bool set_password(const OpCall *call, GError **err)
{
    const VirtDriver *virt = call->agent->virt;
    const char *password = NULL;
    g_autoptr(GError) cause = NULL;
    g_autofree char *text = NULL;

    if (!ovo_str(call->args, "new_pass", &password, err))
        return false;
    if (virt->ops->set_password(virt->self, call->ctx, call->uuid, user_of(call), password,
                                &cause) &&
        keep_password(call, password, &cause))
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
