/* Calls about the host itself: uptime, ping, and being enabled or disabled.
 *
 * get_host_uptime and the pings touch no hypervisor, disk or service, so they are answered on the
 * RPC thread and stay fast while everything else is stuck. Sources: nova compute/manager.py
 * get_host_uptime, set_host_enabled; baserpc.py (Zed). */
#include "agent/ops/ops.h"

#include "util/log.h"

bool op_host_uptime(const OpCall *call G_GNUC_UNUSED, json_t **out_result,
                    GError **err G_GNUC_UNUSED)
{
    g_autofree char *line = host_uptime();

    *out_result = ovo_value_str(line);
    return true;
}

bool op_host_not_implemented(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    return dv_fail(err, DV_E_NOT_IMPLEMENTED, "%s is not implemented by the libvirt driver",
                   call->method->name);
}

bool op_set_host_enabled(const OpCall *call, json_t **out_result, GError **err)
{
    bool enabled = false;

    if (!ovo_bool(call->args, "enabled", &enabled, err) ||
        !tracker_set_disabled(call->agent->tracker, call->ctx, !enabled, err))
        return false;
    dv_info(call->ctx, "host %s", enabled ? "enabled" : "disabled");
    *out_result = ovo_value_str(enabled ? "enabled" : "disabled");
    return true;
}

bool op_ping(const OpCall *call, json_t **out_result, GError **err G_GNUC_UNUSED)
{
    g_autoptr(Ovo) answer = ovo_new_dict();

    ovo_set_str(answer, "service", "compute");
    ovo_set_from(answer, "arg", call->args, "arg");
    *out_result = ovo_json(answer);
    return true;
}

bool op_backdoor_port(const OpCall *call G_GNUC_UNUSED, json_t **out_result,
                      GError **err G_GNUC_UNUSED)
{
    *out_result = ovo_value_str(NULL);
    return true;
}

bool op_server_ping(const OpCall *call G_GNUC_UNUSED, json_t **out_result,
                    GError **err G_GNUC_UNUSED)
{
    *out_result = ovo_value_str("pong");
    return true;
}
