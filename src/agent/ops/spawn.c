/* The steps that make a guest; see spawn.h. */
#include "agent/ops/spawn.h"

#include "agent/device_metadata.h"
#include "agent/guest_cpu.h"
#include "agent/guest_defaults.h"
#include "agent/guest_spec.h"
#include "agent/guest_tpm.h"
#include "agent/network_cache.h"
#include "agent/ops/unplug.h"
#include "util/log.h"

#include <string.h>

void spawn_done(Spawn *spawn)
{
    g_clear_pointer(&spawn->plugged, wait_set_free);
    g_clear_pointer(&spawn->spec, guest_spec_free);
}

static GuestSource source_of(const Spawn *spawn)
{
    return (GuestSource){spawn->instance, spawn->image, spawn->bdms, spawn->network, spawn->ctx};
}

bool spawn_check_certs(const Ovo *instance, GError **err)
{
    return !ovo_has_value(instance, "trusted_certs") ||
           dv_fail(err, DV_E_TRUSTED_CERTS,
                   "Trusted image certificates provided on create but host does not support the "
                   "feature.");
}

/* ---- devices ---- */

bool spawn_spec(Spawn *spawn, GError **err)
{
    GuestSource source = source_of(spawn);

    g_clear_pointer(&spawn->spec, guest_spec_free);
    spawn->spec = guest_spec_build(spawn->agent, &source, err);
    return spawn->spec != NULL;
}

static const DiskSpec *disk_of_bdm(const Spawn *spawn, const Ovo *bdm, unsigned *ephemerals)
{
    bool blank = strcmp(ovo_str_or(bdm, "source_type", ""), "blank") == 0;
    bool swap = g_strcmp0(ovo_str_or(bdm, "guest_format", NULL), "swap") == 0;
    unsigned wanted = 0;

    if (!blank)
        return ovo_i64_or(bdm, "boot_index", -1) == 0 ? guest_spec_disk(spawn->spec, DISK_ROLE_ROOT)
                                                      : NULL;
    if (swap)
        return guest_spec_disk(spawn->spec, DISK_ROLE_SWAP);
    wanted = (*ephemerals)++;
    for (guint i = 0; i < spawn->spec->disks->len; i++) {
        const DiskSpec *disk = g_ptr_array_index(spawn->spec->disks, i);

        if (disk->role == DISK_ROLE_EPHEMERAL && wanted-- == 0)
            return disk;
    }
    return NULL;
}

static bool name_mappings(Spawn *spawn, GError **err)
{
    unsigned ephemerals = 0;
    size_t count = spawn->bdms ? ovo_count(spawn->bdms, NULL) : 0;

    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) bdm = ovo_at(spawn->bdms, NULL, i);
        const DiskSpec *disk = disk_of_bdm(spawn, bdm, &ephemerals);
        g_autofree char *device = disk ? g_strconcat("/dev/", disk->target, NULL) : NULL;

        if (!disk)
            continue;
        if (!ovo_has_value(bdm, "device_name"))
            ovo_set_str(bdm, "device_name", device);
        if (!ovo_has_value(bdm, "disk_bus"))
            ovo_set_str(bdm, "disk_bus", disk->bus);
        if (!ovo_has_value(bdm, "device_type") && disk->role != DISK_ROLE_SWAP)
            ovo_set_str(bdm, "device_type", disk->device);
        if (!conductor_save(spawn->agent->con, spawn->ctx, bdm, err))
            return false;
    }
    return true;
}

bool spawn_name_devices(Spawn *spawn, GError **err)
{
    const DiskSpec *root = guest_spec_disk(spawn->spec, DISK_ROLE_ROOT);

    if (!name_mappings(spawn, err))
        return dv_within(err, "naming block devices");
    if (root && !ovo_has_value(spawn->instance, "root_device_name")) {
        g_autofree char *device = g_strconcat("/dev/", root->target, NULL);

        ovo_set_str(spawn->instance, "root_device_name", device);
    }
    return true;
}

/* ---- the TPM ---- */

bool spawn_tpm(Spawn *spawn, GError **err)
{
    GuestSpec *spec = spawn->spec;
    bool had_secret;

    if (!spec->tpm_version || spec->tpm_secret.value)
        return true;
    had_secret = guest_tpm_has_secret(spawn->instance);
    if (!guest_tpm_secret(spawn->agent, spawn->ctx, spawn->instance, &spec->tpm_secret, err))
        return dv_within(err, "the secret of the server's TPM");
    spawn->secret_made = !had_secret;
    return true;
}

void spawn_tpm_undo(Spawn *spawn)
{
    g_autoptr(GError) err = NULL;

    if (!spawn->secret_made)
        return;
    spawn->secret_made = false;
    if (!guest_tpm_forget(spawn->agent, spawn->ctx, spawn->instance, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(spawn->ctx, "the secret of a TPM that was not made stays: %s", err->message);
}

/* ---- disks and guest ---- */

/* Whether the user has tagged a device. A request that names networks tells of theirs; otherwise
 * the ports are on record. */
static bool has_tags(const Spawn *spawn, bool *out, GError **err)
{
    g_autoptr(Ovo) networks = NULL;

    *out = false;
    if (!spawn->args || !ovo_has(spawn->args, "requested_networks"))
        return device_metadata_wanted(spawn->agent, spawn->ctx, spawn->instance, spawn->bdms, out,
                                      err);
    for (size_t i = 0; spawn->bdms && i < ovo_count(spawn->bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(spawn->bdms, NULL, i);

        *out = *out || (bdm && ovo_has_value(bdm, "tag"));
    }
    networks = ovo_child(spawn->args, "requested_networks");
    for (size_t i = 0; networks && i < ovo_count(networks, NULL); i++) {
        g_autoptr(Ovo) request = ovo_at(networks, NULL, i);

        *out = *out || (request && ovo_has_value(request, "tag"));
    }
    return true;
}

/* Takes back a definition that came before the start. */
static void undefine(Spawn *spawn)
{
    const VirtDriver *virt = spawn->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!spawn->defined)
        return;
    spawn->defined = false;
    if (!virt->ops->destroy(virt->self, spawn->ctx, spawn->spec->uuid, &err))
        dv_warning(spawn->ctx, "a guest that was not started stays defined: %s", err->message);
}

/* The config drive tells where tagged devices are, which only a defined guest knows, whose disks
 * must be there: so it is defined, asked, and the drive made again. */
static bool tell_devices(Spawn *spawn, const BootDisks *disks, GError **err)
{
    const VirtDriver *virt = spawn->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, spawn->spec->uuid, &state, err))
        return false;
    if (state != GUEST_STATE_NONE && state != GUEST_STATE_OFF) /* not ours to define anew */
        return dv_fail(err, DV_E_INSTANCE_EXISTS, "guest %s runs already", spawn->spec->uuid);
    if (!virt->ops->define(virt->self, spawn->ctx, spawn->spec, err))
        return false;
    spawn->defined = true;
    if (device_metadata_build(spawn->agent, spawn->ctx, spawn->instance, spawn->bdms, err) &&
        (!ovo_has_value(spawn->instance, "device_metadata") ||
         boot_disks_rewrite_config(disks, err)))
        return true;
    undefine(spawn);
    return false;
}

BootDisks spawn_boot_disks(const Spawn *spawn)
{
    return (BootDisks){
        .agent = spawn->agent,
        .ctx = spawn->ctx,
        .instance = spawn->instance,
        .image = spawn->image,
        .bdms = spawn->bdms,
        .args = spawn->args,
        .network = spawn->network,
        .spec = spawn->spec,
    };
}

bool spawn_disks(Spawn *spawn, GError **err)
{
    BootDisks disks = spawn_boot_disks(spawn);
    g_autoptr(GError) left = NULL;
    bool tags = false;

    if (!boot_disks_create(&disks, err))
        return false;
    if (spawn_tpm(spawn, err) && has_tags(spawn, &tags, err) &&
        (!tags || tell_devices(spawn, &disks, err)))
        return true;
    spawn_tpm_undo(spawn);
    if (!disks_remove(spawn->agent->disks, spawn->ctx, spawn->spec->uuid, &left))
        dv_warning(spawn->ctx, "disks of a guest that was not made stay: %s", left->message);
    return false;
}

/* Ports that are not active yet will be reported by network-vif-plugged. NULL-terminated, borrowed.
 */
static GPtrArray *ports_to_plug(const NetworkInfo *network)
{
    GPtrArray *ports = g_ptr_array_new();

    for (size_t i = 0; i < network_info_count(network); i++) {
        const Vif *vif = network_info_at(network, i);

        if (!vif->active)
            g_ptr_array_add(ports, (void *)vif->id);
    }
    g_ptr_array_add(ports, NULL);
    return ports;
}

bool spawn_guest(Spawn *spawn, GError **err)
{
    const VirtDriver *virt = spawn->agent->virt;
    g_autoptr(GPtrArray) ports = ports_to_plug(spawn->network);
    g_autoptr(GError) cause = NULL;

    if (spawn->agent->config.vif_plugging_timeout_s > 0)
        spawn->plugged = waits_register(spawn->agent->waits, spawn->spec->uuid,
                                        "network-vif-plugged", (const char *const *)ports->pdata);
    if (guest_cpu_record(spawn->agent, spawn->spec, spawn->instance, &cause) &&
        spawn_tpm(spawn, &cause) && virt->ops->plug(virt->self, spawn->ctx, spawn->spec, &cause) &&
        virt->ops->start(virt->self, spawn->ctx, spawn->spec, true, &cause))
        return true;
    if (!dv_is(cause, DV_E_INSTANCE_EXISTS)) { /* that one is somebody's, and keeps its ports */
        undefine(spawn);
        op_unplug(spawn->agent, spawn->ctx, spawn->instance, spawn->network);
    }
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

/* An event that was sent while the broker was away does not come any more: the ports themselves
 * tell. */
static void look_at_ports(const Spawn *spawn)
{
    NetworkInstance who = network_instance_of(spawn->agent, spawn->instance);
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) active = NULL;
    unsigned count;

    if (!neutron_active_ports(spawn->agent->neutron, spawn->ctx, &who, &active, &err)) {
        dv_warning(spawn->ctx, "whether the ports are plugged is not known: %s", err->message);
        return;
    }
    count = wait_set_complete(spawn->plugged, (const char *const *)active);
    if (count)
        dv_info(spawn->ctx, "%u ports are active whose network-vif-plugged did not come", count);
}

bool spawn_plugged(Spawn *spawn, GError **err)
{
    int64_t end_ms = dv_now_ms() + spawn->agent->config.vif_plugging_timeout_s * 1000;
    bool late = false;
    g_autoptr(GError) cause = NULL;

    if (!spawn->plugged)
        return true;
    while (!waits_wait(spawn->plugged, MAX(end_ms - dv_now_ms(), 0), &cause)) {
        if ((late && dv_is(cause, DV_E_TIMEOUT)) || dv_is(cause, DV_E_CANCELLED) ||
            dv_is(cause, DV_E_VIF_PLUG))
            break;
        late = dv_is(cause, DV_E_TIMEOUT);
        g_clear_error(&cause);
        look_at_ports(spawn);
    }
    if (!cause)
        return true;
    if (dv_is(cause, DV_E_CANCELLED)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    if (spawn->agent->config.vif_plugging_is_fatal)
        return dv_fail(err, DV_E_VIF_PLUG, "%s", cause->message);
    dv_warning(spawn->ctx, "%s; going on, as vif_plugging_is_fatal is off", cause->message);
    return true;
}

bool spawn_resume(Spawn *spawn, GError **err)
{
    const VirtDriver *virt = spawn->agent->virt;

    return virt->ops->resume(virt->self, spawn->ctx, spawn->spec->uuid, err);
}

/* ---- what is remembered of a guest that runs ---- */

/* The metadata service shows it. */
static void record_swap(Spawn *spawn)
{
    const DiskSpec *swap = guest_spec_disk(spawn->spec, DISK_ROLE_SWAP);
    g_autofree char *device = swap ? g_strconcat("/dev/", swap->target, NULL) : NULL;

    if (device)
        ovo_set_str(spawn->instance, "default_swap_device", device);
}

static void record_access_ips(Spawn *spawn)
{
    const char *label = spawn->agent->config.default_access_ip_network_name;

    if (!label || ovo_has_value(spawn->instance, "access_ip_v4") ||
        ovo_has_value(spawn->instance, "access_ip_v6"))
        return;
    for (size_t i = 0; i < network_info_count(spawn->network); i++) {
        const Vif *vif = network_info_at(spawn->network, i);

        if (g_strcmp0(vif->label, label) != 0)
            continue;
        for (size_t j = 0; j < vif->subnet_count; j++) {
            const VifSubnet *subnet = &vif->subnets[j];
            const char *field = subnet->version == 6 ? "access_ip_v6" : "access_ip_v4";

            if (subnet->ips && subnet->ips[0] && !ovo_has_value(spawn->instance, field))
                ovo_set_str(spawn->instance, field, subnet->ips[0]);
        }
        return;
    }
}

void spawn_record(Spawn *spawn)
{
    GuestSource source = source_of(spawn);

    if (guest_needs_config_drive(spawn->agent, &source))
        ovo_set_str(spawn->instance, "config_drive", "True");
    guest_defaults_record(spawn->spec, spawn->instance);
    record_swap(spawn);
    record_access_ips(spawn);
    ovo_set_i64(spawn->instance, "power_state", GUEST_STATE_RUNNING);
}

/* ---- networks ---- */

bool spawn_bind_networks(Agent *agent, const DvCtx *ctx, const Ovo *instance, NetworkInfo **out,
                         GError **err)
{
    NetworkInstance who = network_instance_of(agent, instance);
    g_autoptr(NetworkInfo) old = network_cache_read(instance, err);

    return old && neutron_bind_host(agent->neutron, ctx, &who, NULL, err) &&
           neutron_refresh(agent->neutron, ctx, &who, old, NULL, out, err);
}

bool spawn_networks(Agent *agent, const DvCtx *ctx, Ovo *instance, NetworkInfo **out, GError **err)
{
    g_autoptr(NetworkInfo) network = NULL;
    bool ok = spawn_bind_networks(agent, ctx, instance, &network, err) &&
              network_cache_store(agent, ctx, instance, network, err);

    if (out)
        *out = g_steal_pointer(&network);
    return ok;
}
