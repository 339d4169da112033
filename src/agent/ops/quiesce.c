/* quiesce_instance and unquiesce_instance: nova-api has the file systems of a guest frozen while it
 * takes snapshots of its volumes.
 *
 * Sources    nova compute/manager.py quiesce_instance, unquiesce_instance (Zed). */
#include "agent/ops/quiesce.h"

#include "agent/instance_load.h"
#include "agent/ops/ops.h"
#include "util/log.h"

/* As oslo.utils reads image properties. */
static bool is_true(const char *text)
{
    static const char *const words[] = {"1", "t", "true", "on", "y", "yes", NULL};
    g_autofree char *lower = text ? g_ascii_strdown(text, -1) : NULL;

    return lower && g_strv_contains(words, g_strstrip(lower));
}

bool quiesce_check(const Ovo *instance, GError **err)
{
    return is_true(ovo_dict_str(instance, "system_metadata", "image_hw_qemu_guest_agent")) ||
           dv_fail(err, DV_E_GUEST_AGENT_DISABLED, "QEMU guest agent is not enabled");
}

bool quiesce_required(const Ovo *instance)
{
    return is_true(ovo_dict_str(instance, "system_metadata", "image_os_require_quiesce"));
}

static bool check_call(const OpCall *call, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "%s: no instance", call->method->name);
    return instance_load(call->agent, call->ctx, call->instance, attrs, err) &&
           quiesce_check(call->instance, err);
}

bool op_quiesce(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const VirtDriver *virt = call->agent->virt;

    return check_call(call, err) && virt->ops->freeze(virt->self, call->ctx, call->uuid, err);
}

/* TODO(volumes): `mapping` names snapshots of volumes that should be waited for. Guests with
 * volumes are not made by this agent yet, so nobody has such snapshots. */
bool op_unquiesce(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const VirtDriver *virt = call->agent->virt;

    if (ovo_count(call->args, "mapping") > 0)
        dv_warning(call->ctx, "thawing without waiting for the snapshots of volumes");
    return check_call(call, err) && virt->ops->thaw(virt->self, call->ctx, call->uuid, err);
}
