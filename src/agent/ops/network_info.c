/* inject_network_info: what neutron has of the instance's ports is read again.
 *
 * nova's libvirt driver puts nothing into the guest either. Sources: nova compute/manager.py
 * inject_network_info (Zed). */
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/ops/ops.h"

bool op_inject_network_info(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const attrs[] = {"info_cache", NULL};

    return instance_load(call->agent, call->ctx, call->instance, attrs, err) &&
           network_cache_refresh(call->agent, call->ctx, call->instance, NULL, err);
}
