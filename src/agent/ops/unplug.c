/* Unplugging an instance's ports; see unplug.h.
 * Sources    nova virt/libvirt/driver.py cleanup, _unplug_vifs with ignore_errors (Zed). */
#include "agent/ops/unplug.h"

#include "agent/guest_spec.h"
#include "util/log.h"

void op_unplug(Agent *agent, const DvCtx *ctx, const char *uuid, const NetworkInfo *network)
{
    const VirtDriver *virt = agent->virt;
    g_autoptr(GuestSpec) ports = guest_spec_new();
    g_autoptr(GError) err = NULL;

    if (!network || network_info_count(network) == 0)
        return;
    ports->uuid = g_strdup(uuid);
    guest_spec_add_ports(ports, network, NULL);
    if (!virt->ops->unplug(virt->self, ctx, ports, &err))
        dv_warning(ctx, "%s", err->message);
}
