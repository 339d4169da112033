/* add_fixed_ip_to_instance, remove_fixed_ip_from_instance: addresses of an instance's ports.
 *
 * Nothing changes in the guest: it learns its addresses by DHCP, or its owner sets them.
 * Sources: nova compute/manager.py and network/neutron.py, the functions of these names (Zed). */
#include "agent/network_cache.h"
#include "agent/ops/ops.h"
#include "util/clock.h"
#include "util/log.h"

/* The instance's updated_at tells pollers that something about it is new. */
static bool finish(const OpCall *call, GError **err)
{
    static const char *const attrs[] = {"info_cache", NULL};
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));
    g_autoptr(Ovo) instance = NULL;

    if (!conductor_instance_get(call->agent->con, call->ctx, call->uuid, attrs, &instance, err) ||
        !network_cache_refresh(call->agent, call->ctx, instance, NULL, err))
        return false;
    ovo_set_str(instance, "updated_at", now);
    return conductor_instance_save(call->agent->con, call->ctx, instance, NULL, err);
}

bool op_add_fixed_ip(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const char *network_id = ovo_str_or(call->args, "network_id", NULL);
    NetworkInstance who;

    if (!call->instance || !network_id)
        return dv_fail(err, DV_E_BAD_INPUT, "add_fixed_ip_to_instance: want instance and network");
    who = network_instance_of(call->agent, call->instance);
    if (!neutron_add_fixed_ip(call->agent->neutron, call->ctx, &who, network_id, err) ||
        !finish(call, err))
        return false;
    dv_info(call->ctx, "an address of network %s added", network_id);
    return true;
}

bool op_remove_fixed_ip(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const char *address = ovo_str_or(call->args, "address", NULL);
    NetworkInstance who;

    if (!call->instance || !address)
        return dv_fail(err, DV_E_BAD_INPUT,
                       "remove_fixed_ip_from_instance: want instance and address");
    who = network_instance_of(call->agent, call->instance);
    if (!neutron_remove_fixed_ip(call->agent->neutron, call->ctx, &who, address, err) ||
        !finish(call, err))
        return false;
    dv_info(call->ctx, "address %s removed", address);
    return true;
}
