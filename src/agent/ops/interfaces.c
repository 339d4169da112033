/* Ports that come and go while an instance lives: attach_interface, detach_interface, and what
 * happens when somebody deletes a port in neutron.
 *
 * nova locks (instance, port); here the instance's lane keeps its operations apart, and a port that
 * another instance is taking just now is refused. The instance is read anew first: the request was
 * sent before the operations ahead of it had changed it. An attach that fails gives everything
 * back; a detach only goes forward, and can be asked for again where it stopped.
 * Sources: nova compute/manager.py _attach_interface, _detach_interface,
 * _process_instance_vif_deleted_event; network/neutron.py allocate_for_instance,
 * deallocate_port_for_instance (Zed); docs/wire/flows.md section 12. */
#include "agent/ops/interfaces.h"

#include "agent/device_metadata.h"
#include "agent/guest_spec.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "util/log.h"

/* What a request need not carry, or what may have changed since. */
static const char *const attrs[] = {"flavor", "info_cache", "system_metadata", "device_metadata",
                                    NULL};

typedef struct Attach {
    Agent *agent;
    const DvCtx *ctx;
    Ovo *instance;
    const char *uuid;
    NetworkRequest request;
    bool held;          /* request.port_id is in agent->ports */
    NetworkInfo *cache; /* as it was */
    NetworkInfo *made;  /* the one new port */
    NicSpec *nic;
    bool allocated;
} Attach;

static const Vif *made_vif(const Attach *attach)
{
    return network_info_at(attach->made, 0);
}

/* ---- attaching ---- */

static bool attach_read(void *self, GError **err)
{
    Attach *attach = self;

    if (!conductor_instance_get(attach->agent->con, attach->ctx, attach->uuid, attrs,
                                &attach->instance, err))
        return false;
    attach->cache = network_cache_read(attach->instance, err);
    return attach->cache != NULL;
}

static bool attach_take_port(void *self, GError **err)
{
    Attach *attach = self;
    const char *port = attach->request.port_id;

    if (port && !pending_add(attach->agent->ports, port))
        return dv_fail(err, DV_E_PORT_IN_USE, "Port %s is still in use.", port);
    attach->held = port != NULL;
    return true;
}

static void give_port(Attach *attach)
{
    if (attach->held)
        pending_remove(attach->agent->ports, attach->request.port_id);
    attach->held = false;
}

static void release_made(Attach *attach)
{
    const Vif *vif = made_vif(attach);
    g_autoptr(GError) err = NULL;

    if (!neutron_release_port(attach->agent->neutron, attach->ctx, vif->id, vif->preserve_on_delete,
                              &err))
        dv_warning(attach->ctx, "port %s of a failed attach stays: %s", vif->id, err->message);
}

/* PCI devices are the tracker's to claim, and this host offers none. */
static bool check_made(const Attach *attach, GError **err)
{
    const Vif *vif = made_vif(attach);

    if (!vif) /* its network is not visible to the user */
        return dv_fail(err, DV_E_INTERFACE_ATTACH, "no port was allocated");
    if (vif->vnic_type && strcmp(vif->vnic_type, "normal") != 0)
        return dv_fail(err, DV_E_INTERFACE_PCI_CLAIM,
                       "Failed to claim PCI device for %s during interface attach: port %s is of "
                       "type %s",
                       attach->uuid, vif->id, vif->vnic_type);
    return true;
}

static bool attach_allocate(void *self, GError **err)
{
    Attach *attach = self;
    NetworkInstance who = network_instance_of(attach->agent, attach->instance);

    if (!neutron_allocate(attach->agent->neutron, attach->ctx, &who, &attach->request, 1,
                          &attach->made, err))
        return false;
    attach->allocated = check_made(attach, err);
    if (attach->allocated)
        return true;
    if (made_vif(attach))
        release_made(attach);
    return false;
}

static void attach_deallocate(void *self)
{
    release_made(self);
}

static bool attach_record(void *self, GError **err)
{
    Attach *attach = self;
    const Vif *vif = made_vif(attach);

    return conductor_vif_create(attach->agent->con, attach->ctx, attach->uuid, vif->id,
                                vif->address, attach->request.tag, err);
}

static void attach_unrecord(void *self)
{
    Attach *attach = self;
    g_autoptr(GError) err = NULL;

    if (!conductor_vif_delete(attach->agent->con, attach->ctx, made_vif(attach)->id, &err))
        dv_warning(attach->ctx, "record of port %s stays: %s", made_vif(attach)->id, err->message);
}

static bool attach_cache(void *self, GError **err)
{
    Attach *attach = self;
    g_autoptr(NetworkInfo) all = network_cache_read(attach->instance, err);

    return all && network_info_put(all, attach->made, 0, err) &&
           network_cache_store(attach->agent, attach->ctx, attach->instance, all, err);
}

static void attach_uncache(void *self)
{
    Attach *attach = self;
    g_autoptr(GError) err = NULL;

    if (!network_cache_store(attach->agent, attach->ctx, attach->instance, attach->cache, &err))
        dv_warning(attach->ctx, "network info cache still names a port that is gone: %s",
                   err->message);
}

static bool attach_device(void *self, GError **err)
{
    Attach *attach = self;
    const VirtDriver *virt = attach->agent->virt;

    GuestSource source = {
        .instance = attach->instance, .network = attach->made, .ctx = attach->ctx};

    attach->nic = guest_nic_build(attach->agent, &source, made_vif(attach)->id, err);
    return attach->nic &&
           virt->ops->attach_nic(virt->self, attach->ctx, attach->uuid, attach->nic, err);
}

static void attach_remove_device(void *self)
{
    Attach *attach = self;
    const VirtDriver *virt = attach->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->detach_nic(virt->self, attach->ctx, attach->uuid, attach->nic, &err))
        dv_warning(attach->ctx, "device of a failed attach stays: %s", err->message);
}

static bool attach_metadata(void *self, GError **err)
{
    Attach *attach = self;

    return device_metadata_build(attach->agent, attach->ctx, attach->instance, NULL, err) &&
           conductor_instance_save(attach->agent->con, attach->ctx, attach->instance, NULL, err);
}

static const OpStep attach_steps[] = {
    {"read", attach_read, NULL},
    {"port", attach_take_port, NULL},
    {"network", attach_allocate, attach_deallocate},
    {"record", attach_record, attach_unrecord},
    {"cache", attach_cache, attach_uncache},
    {"device", attach_device, attach_remove_device},
    {"metadata", attach_metadata, NULL},
};

/* What the API tells of an attach that failed: the reasons a user can do something about are told
 * as they are, everything that went wrong on this host is one class. */
static bool attach_failed(const Attach *attach, GError *cause, GError **err)
{
    if (!attach->allocated && !dv_is(cause, DV_E_INTERFACE_ATTACH)) {
        g_propagate_error(err, cause);
        return false;
    }
    dv_warning(attach->ctx, "interface not attached: %s", cause->message);
    notify_instance(attach->agent, attach->ctx, attach->instance, NOTIFY_INTERFACE_ATTACH,
                    NOTIFY_ERROR, cause);
    g_error_free(cause);
    return dv_fail(err, DV_E_INTERFACE_ATTACH, "Failed to attach network adapter device to %s",
                   attach->uuid);
}

bool op_attach_interface(const OpCall *call, json_t **out_result, GError **err)
{
    Attach attach = {
        .agent = call->agent,
        .ctx = call->ctx,
        .uuid = call->uuid,
        .request =
            {
                .network_id = ovo_str_or(call->args, "network_id", NULL),
                .port_id = ovo_str_or(call->args, "port_id", NULL),
                .address = ovo_str_or(call->args, "requested_ip", NULL),
                .tag = ovo_str_or(call->args, "tag", NULL),
            },
    };
    GError *cause = NULL;
    bool ok;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "attach_interface without an instance");
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_INTERFACE_ATTACH, NOTIFY_START,
                    NULL);
    ok = op_run("attach_interface", attach_steps, G_N_ELEMENTS(attach_steps), &attach, call->ctx,
                &cause);
    give_port(&attach);
    if (ok) {
        dv_info(call->ctx, "port %s attached", made_vif(&attach)->id);
        *out_result = network_info_value_at(attach.made, 0);
        notify_instance(call->agent, call->ctx, attach.instance, NOTIFY_INTERFACE_ATTACH,
                        NOTIFY_END, NULL);
    } else {
        attach_failed(&attach, cause, err);
    }
    nic_spec_free(attach.nic);
    network_info_free(attach.made);
    network_info_free(attach.cache);
    ovo_unref(attach.instance);
    return ok;
}

/* ---- detaching ---- */

/* The device is found, and unplugged, by what the port says of it; the flavor does not matter any
 * more. */
static bool detach_device(Agent *agent, const DvCtx *ctx, const Ovo *instance,
                          const NetworkInfo *network, const char *port_id, GError **err)
{
    g_autoptr(GuestSpec) ports = guest_spec_of_ports(instance, network);

    for (guint i = 0; i < ports->nics->len; i++) {
        const NicSpec *nic = g_ptr_array_index(ports->nics, i);

        if (g_strcmp0(nic->port_id, port_id) == 0)
            return agent->virt->ops->detach_nic(agent->virt->self, ctx, ports->uuid, nic, err);
    }
    return dv_fail(err, DV_E_PORT_NOT_FOUND, "Port %s is not attached", port_id);
}

static bool forget_port(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo *network,
                        const char *port_id, GError **err)
{
    const Vif *vif = network_info_find(network, port_id);

    if (!neutron_release_port(agent->neutron, ctx, port_id, vif->preserve_on_delete, err) ||
        !conductor_vif_delete(agent->con, ctx, port_id, err))
        return false;
    network_info_remove(network, port_id);
    return network_cache_store(agent, ctx, instance, network, err) &&
           device_metadata_build(agent, ctx, instance, NULL, err) &&
           conductor_instance_save(agent->con, ctx, instance, NULL, err);
}

bool op_detach_interface(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    const char *port_id = ovo_str_or(call->args, "port_id", "");
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(NetworkInfo) network = NULL;
    g_autoptr(GError) cause = NULL;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "detach_interface without an instance");
    if (!conductor_instance_get(call->agent->con, call->ctx, call->uuid, attrs, &instance, err) ||
        !(network = network_cache_read(instance, err)))
        return false;
    if (!network_info_find(network, port_id))
        return dv_fail(err, DV_E_PORT_NOT_FOUND, "Port %s is not attached", port_id);
    notify_instance(call->agent, call->ctx, instance, NOTIFY_INTERFACE_DETACH, NOTIFY_START, NULL);
    if (!detach_device(call->agent, call->ctx, instance, network, port_id, &cause)) {
        dv_warning(call->ctx, "port %s not detached: %s", port_id, cause->message);
        return dv_fail(err, DV_E_INTERFACE_DETACH,
                       "Failed to detach network adapter device from %s", call->uuid);
    }
    if (!forget_port(call->agent, call->ctx, instance, network, port_id, err))
        return dv_within(err, "port %s", port_id);
    notify_instance(call->agent, call->ctx, instance, NOTIFY_INTERFACE_DETACH, NOTIFY_END, NULL);
    dv_info(call->ctx, "port %s detached", port_id);
    return true;
}

/* ---- a port that neutron has deleted ---- */

void interfaces_port_deleted(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *port_id)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkInfo) network = network_cache_read(instance, &err);
    g_autoptr(NetworkInfo) rest = network ? network_cache_read(instance, &err) : NULL;

    if (!rest) {
        dv_warning(ctx, "port %s was deleted, and stays with the guest: %s", port_id, err->message);
        return;
    }
    if (!network_info_remove(rest, port_id)) {
        dv_debug(ctx, "deleted port %s is not the instance's (any more)", port_id);
        return;
    }
    dv_info(ctx, "port %s was deleted in neutron: detaching it", port_id);
    if (!network_cache_store(agent, ctx, instance, rest, &err)) {
        dv_warning(ctx, "network info cache: %s", err->message);
        g_clear_error(&err);
    }
    if (!detach_device(agent, ctx, instance, network, port_id, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(ctx, "device of deleted port %s stays with the guest: %s", port_id,
                   err->message);
}
