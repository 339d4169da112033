/* A guest made anew; see relaunch.h. */
#include "agent/ops/relaunch.h"

#include "agent/guest_cpu.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/spawn.h"
#include "agent/ops/unplug.h"
#include "util/log.h"

typedef struct Relaunch {
    Spawn spawn;
    unsigned flags;
    Ovo *bdms;
    NetworkInfo *network;
} Relaunch;

static void relaunch_done(Relaunch *relaunch)
{
    spawn_done(&relaunch->spawn);
    network_info_free(relaunch->network);
    ovo_unref(relaunch->bdms);
}

static bool relaunch_records(void *self, GError **err)
{
    static const char *const attrs[] = {"flavor",       "system_metadata", "info_cache",
                                        "pci_requests", "numa_topology",   NULL};
    Relaunch *relaunch = self;
    Spawn *spawn = &relaunch->spawn;

    if (!instance_load(spawn->agent, spawn->ctx, spawn->instance, attrs, err) ||
        !conductor_bdms_get(spawn->agent->con, spawn->ctx, ovo_str_or(spawn->instance, "uuid", ""),
                            &relaunch->bdms, err))
        return false;
    spawn->bdms = relaunch->bdms;
    return true;
}

static bool relaunch_networks(void *self, GError **err)
{
    Relaunch *relaunch = self;
    Spawn *spawn = &relaunch->spawn;

    if (relaunch->flags & RELAUNCH_CACHED_NETWORKS)
        relaunch->network = network_cache_read(spawn->instance, err);
    else if (!network_cache_refresh(spawn->agent, spawn->ctx, spawn->instance, &relaunch->network,
                                    err))
        return false;
    spawn->network = relaunch->network;
    return relaunch->network != NULL;
}

static bool relaunch_spec(void *self, GError **err)
{
    Relaunch *relaunch = self;

    return spawn_spec(&relaunch->spawn, err) &&
           guest_cpu_record(relaunch->spawn.agent, relaunch->spawn.spec, relaunch->spawn.instance,
                            err);
}

static bool relaunch_disks(void *self, GError **err)
{
    Relaunch *relaunch = self;
    BootDisks disks = spawn_boot_disks(&relaunch->spawn);

    return boot_disks_adopt(&disks, err);
}

/* One that stays off needs no more of its secret than the name. */
static bool relaunch_tpm(void *self, GError **err)
{
    Relaunch *relaunch = self;

    return ((relaunch->flags & RELAUNCH_OFF) && relaunch->spawn.spec->tpm_secret.uuid) ||
           spawn_tpm(&relaunch->spawn, err);
}

static bool relaunch_end_old(void *self, GError **err)
{
    Relaunch *relaunch = self;
    const Spawn *spawn = &relaunch->spawn;
    const VirtDriver *virt = spawn->agent->virt;

    if (!virt->ops->retire(virt->self, spawn->ctx, spawn->spec->uuid, err))
        return false;
    op_unplug(spawn->agent, spawn->ctx, spawn->instance, spawn->network);
    return true;
}

/* Ports of the kinds that the workaround names; when there are none, those that are not active, as
 * nova has it. NULL-terminated, borrowed. */
static GPtrArray *ports_to_wait_for(const Relaunch *relaunch, const char *const *kinds)
{
    GPtrArray *ports = g_ptr_array_new();
    size_t count = network_info_count(relaunch->network);

    for (size_t i = 0; i < count; i++) {
        const Vif *vif = network_info_at(relaunch->network, i);

        if (vif->vnic_type && g_strv_contains(kinds, vif->vnic_type))
            g_ptr_array_add(ports, (void *)vif->id);
    }
    for (size_t i = 0; ports->len == 0 && i < count; i++) {
        const Vif *vif = network_info_at(relaunch->network, i);

        if (!vif->active)
            g_ptr_array_add(ports, (void *)vif->id);
    }
    g_ptr_array_add(ports, NULL);
    return ports;
}

static bool relaunch_guest(void *self, GError **err)
{
    Relaunch *relaunch = self;
    Spawn *spawn = &relaunch->spawn;
    const AgentConfig *config = &spawn->agent->config;
    const char *const *kinds = config->wait_for_vif_plugged_event_during_hard_reboot;
    const VirtDriver *virt = spawn->agent->virt;

    if (relaunch->flags & RELAUNCH_OFF)
        return virt->ops->plug(virt->self, spawn->ctx, spawn->spec, err) &&
               virt->ops->define(virt->self, spawn->ctx, spawn->spec, err);
    if (relaunch->flags & RELAUNCH_WAIT_PLUGGED)
        return spawn_guest(spawn, err);
    if (kinds && *kinds && config->vif_plugging_timeout_s > 0) {
        g_autoptr(GPtrArray) ports = ports_to_wait_for(relaunch, kinds);

        spawn->plugged = waits_register(spawn->agent->waits, spawn->spec->uuid,
                                        "network-vif-plugged", (const char *const *)ports->pdata);
    }
    return virt->ops->plug(virt->self, spawn->ctx, spawn->spec, err) &&
           virt->ops->start(virt->self, spawn->ctx, spawn->spec, spawn->plugged != NULL, err);
}

static void relaunch_destroy_guest(void *self)
{
    g_autoptr(GError) err = NULL;

    if (!relaunch_end_old(self, &err))
        dv_warning(((Relaunch *)self)->spawn.ctx, "a guest that did not start: %s", err->message);
}

static bool relaunch_plugged(void *self, GError **err)
{
    Relaunch *relaunch = self;

    return spawn_plugged(&relaunch->spawn, err);
}

static bool relaunch_resume(void *self, GError **err)
{
    Relaunch *relaunch = self;

    return (relaunch->flags & RELAUNCH_OFF) || spawn_resume(&relaunch->spawn, err);
}

static const OpStep relaunch_steps[] = {
    {"records", relaunch_records, NULL},
    {"networks", relaunch_networks, NULL},
    {"spec", relaunch_spec, NULL},
    {"disks", relaunch_disks, NULL},
    {"tpm", relaunch_tpm, NULL},
    {"end_old", relaunch_end_old, NULL},
    {"guest", relaunch_guest, relaunch_destroy_guest},
    {"plugged", relaunch_plugged, NULL},
    {"resume", relaunch_resume, NULL},
};

bool guest_relaunch(Agent *agent, const DvCtx *ctx, Ovo *instance, unsigned flags, GError **err)
{
    Relaunch relaunch = {
        .spawn = {.agent = agent, .ctx = ctx, .instance = instance},
        .flags = flags,
    };
    bool ok = op_run("relaunch", relaunch_steps, G_N_ELEMENTS(relaunch_steps), &relaunch, ctx, err);

    relaunch_done(&relaunch);
    return ok;
}
