/* Unplugging an instance's ports; see unplug.h.
 * Sources    nova virt/libvirt/driver.py cleanup, _unplug_vifs with ignore_errors (Zed). */
#include "agent/ops/unplug.h"

#include "agent/guest_spec.h"
#include "util/log.h"

void op_unplug(Agent *agent, const DvCtx *ctx, const Ovo *instance, const NetworkInfo *network)
{
    const VirtDriver *virt = agent->virt;
    g_autoptr(GuestSpec) ports = NULL;
    g_autoptr(GError) err = NULL;

    if (!network || network_info_count(network) == 0)
        return;
    ports = guest_spec_of_ports(instance, network);
    if (!virt->ops->unplug(virt->self, ctx, ports, &err))
        dv_warning(ctx, "%s", err->message);
}
