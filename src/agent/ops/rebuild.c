/* rebuild_instance: a server gets a new root disk, on the same host and with the same ports.
 *
 * Everything that this host cannot do is refused before the guest is touched. From then on the old
 * disks are gone: a failure ends in ERROR, without a guest, and another rebuild starts from there.
 * A server that was stopped is made and then stopped again. An evacuation (recreate) comes with the
 * same method: evacuate.c, which shares steps with this file (rebuild.h).
 * Sources: nova compute/manager.py rebuild_instance, _do_rebuild_instance, _rebuild_default_impl
 * (Zed); docs/wire/flows.md. */
#include "agent/ops/rebuild.h"

#include "agent/image_meta.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/power_off.h"
#include "agent/ops/unplug.h"

#include "util/log.h"

#include <string.h>

void rebuild_init(Rebuild *rebuild, const OpCall *call)
{
    *rebuild = (Rebuild){
        .agent = call->agent,
        .args = call->args,
        .instance = call->instance,
        .uuid = call->uuid,
        .admin = dv_ctx_elevated(call->ctx),
        .old_state = g_strdup(ovo_str_or(call->instance, "vm_state", "")),
    };
    rebuild->ctx = rebuild->admin;
}

void rebuild_done(Rebuild *rebuild)
{
    spawn_done(&rebuild->spawn);
    network_info_free(rebuild->network);
    ovo_unref(rebuild->bdms);
    ovo_unref(rebuild->image);
    g_free(rebuild->old_state);
    dv_ctx_unref(rebuild->admin);
}

static bool save_task(Rebuild *rebuild, const char *task, const char *expected, GError **err)
{
    const char *const list[] = {expected, NULL};

    ovo_set_str(rebuild->instance, "task_state", task);
    return conductor_instance_save(rebuild->agent->con, rebuild->ctx, rebuild->instance, list, err);
}

/* ---- before anything is touched ---- */

bool rebuild_begin(void *self, GError **err)
{
    Rebuild *rebuild = self;
    const VirtDriver *virt = rebuild->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, rebuild->uuid, &state, err))
        return false;
    ovo_set_i64(rebuild->instance, "power_state", state);
    return save_task(rebuild, "rebuilding", "rebuilding", err);
}

/* Config drive and guest description need what a request of the API does not carry. */
bool rebuild_load(void *self, GError **err)
{
    static const char *const attrs[] = {"flavor",        "info_cache",      "keypairs",
                                        "ec2_ids",       "pci_requests",    "numa_topology",
                                        "trusted_certs", "device_metadata", NULL};
    Rebuild *rebuild = self;

    if (ovo_bool_or(rebuild->args, "preserve_ephemeral", false))
        return dv_fail(err, DV_E_PRESERVE_EPHEMERAL,
                       "The current driver does not support preserving ephemeral partitions.");
    if (!instance_load(rebuild->agent, rebuild->ctx, rebuild->instance, attrs, err) ||
        !instance_bdms(rebuild->agent, rebuild->ctx, rebuild->args, "bdms", rebuild->uuid,
                       &rebuild->bdms, err))
        return false;
    return spawn_check_certs(rebuild->instance, err);
}

bool rebuild_spec(Rebuild *rebuild, GError **err)
{
    spawn_done(&rebuild->spawn);
    rebuild->spawn = (Spawn){
        .agent = rebuild->agent,
        .ctx = rebuild->ctx,
        .instance = rebuild->instance,
        .image = rebuild->image,
        .bdms = rebuild->bdms,
        .args = rebuild->args,
        .network = rebuild->network,
    };
    return spawn_spec(&rebuild->spawn, err);
}

static bool rebuild_facts(void *self, GError **err)
{
    Rebuild *rebuild = self;

    if (!rebuild_load(rebuild, err))
        return false;
    if (!rebuild->image)
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "rebuilding a volume-backed server is not supported by this host");
    rebuild->network = network_cache_read(rebuild->instance, err);
    return rebuild->network && rebuild_spec(rebuild, err);
}

/* ---- what is told of it ---- */

void rebuild_notify(const Rebuild *rebuild, NotifyPhase phase, const GError *cause)
{
    const NotifyExtra extra = {
        .bdms = rebuild->bdms,
        .network = phase == NOTIFY_END ? rebuild->network : NULL,
        .image_name = rebuild->image && !cause ? ovo_str_or(rebuild->image, "name", NULL) : NULL,
    };

    notify_instance_with(rebuild->agent, rebuild->ctx, rebuild->instance, NOTIFY_REBUILD, phase,
                         &extra, cause);
}

/* The API has put the new image into the record already: what existed until now is the old one. */
bool rebuild_announce(void *self, GError **err G_GNUC_UNUSED)
{
    const Rebuild *rebuild = self;
    g_autoptr(Ovo) before = NULL;

    if (!notify_enabled(rebuild->agent))
        return true;
    before = ovo_copy(rebuild->instance);
    ovo_set_from(before, "image_ref", rebuild->args, "orig_image_ref");
    ovo_set_from(before, "system_metadata", rebuild->args, "orig_sys_metadata");
    notify_exists(rebuild->agent, rebuild->ctx, rebuild->instance, before);
    rebuild_notify(rebuild, NOTIFY_START, NULL);
    return true;
}

/* ---- the old guest goes ---- */

static bool rebuild_destroy(void *self, GError **err)
{
    Rebuild *rebuild = self;
    const VirtDriver *virt = rebuild->agent->virt;

    if (!guest_power_off(rebuild->agent, rebuild->ctx, rebuild->instance, true, err) ||
        !virt->ops->destroy(virt->self, rebuild->ctx, rebuild->uuid, err))
        return false;
    op_unplug(rebuild->agent, rebuild->ctx, rebuild->instance, rebuild->network);
    return disks_remove(rebuild->agent->disks, rebuild->ctx, rebuild->uuid, err);
}

/* ---- the new one ---- */

bool rebuild_devices(void *self, GError **err)
{
    Rebuild *rebuild = self;

    return save_task(rebuild, "rebuild_block_device_mapping", "rebuilding", err) &&
           spawn_name_devices(&rebuild->spawn, err) &&
           save_task(rebuild, "rebuild_spawning", "rebuild_block_device_mapping", err);
}

static bool rebuild_disks(void *self, GError **err)
{
    return spawn_disks(&((Rebuild *)self)->spawn, err);
}

static void rebuild_remove_disks(void *self)
{
    Rebuild *rebuild = self;
    g_autoptr(GError) err = NULL;

    if (!disks_remove(rebuild->agent->disks, rebuild->ctx, rebuild->uuid, &err))
        dv_warning(rebuild->ctx, "disks of a failed rebuild stay: %s", err->message);
}

static bool rebuild_guest(void *self, GError **err)
{
    return spawn_guest(&((Rebuild *)self)->spawn, err);
}

static void rebuild_destroy_guest(void *self)
{
    Rebuild *rebuild = self;
    const VirtDriver *virt = rebuild->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->destroy(virt->self, rebuild->ctx, rebuild->uuid, &err)) {
        dv_warning(rebuild->ctx, "guest of a failed rebuild stays: %s", err->message);
        return;
    }
    op_unplug(rebuild->agent, rebuild->ctx, rebuild->instance, rebuild->network);
}

static bool rebuild_plugged(void *self, GError **err)
{
    return spawn_plugged(&((Rebuild *)self)->spawn, err);
}

static bool rebuild_resume(void *self, GError **err)
{
    return spawn_resume(&((Rebuild *)self)->spawn, err);
}

static bool rebuild_active(void *self, GError **err)
{
    Rebuild *rebuild = self;
    static const char *const expected[] = {"rebuild_spawning", NULL};

    spawn_record(&rebuild->spawn);
    outcome_active(rebuild->instance, "active");
    return conductor_instance_save(rebuild->agent->con, rebuild->ctx, rebuild->instance, expected,
                                   err);
}

bool rebuild_stop_again(Rebuild *rebuild, GError **err)
{
    if (strcmp(rebuild->old_state, "stopped") != 0)
        return true;
    dv_info(rebuild->ctx, "rebuilt; stopping it, as it was before");
    ovo_set_str(rebuild->instance, "vm_state", "active");
    ovo_set_str(rebuild->instance, "task_state", "powering-off");
    ovo_set_i64(rebuild->instance, "progress", 0);
    return conductor_instance_save(rebuild->agent->con, rebuild->ctx, rebuild->instance, NULL,
                                   err) &&
           outcome_stop(rebuild->agent, rebuild->ctx, rebuild->instance, false, err);
}

static const OpStep rebuild_steps[] = {
    {"begin", rebuild_begin, NULL},
    {"facts", rebuild_facts, NULL},
    {"announce", rebuild_announce, NULL},
    {"destroy", rebuild_destroy, NULL},
    {"devices", rebuild_devices, NULL},
    {"disks", rebuild_disks, rebuild_remove_disks},
    {"guest", rebuild_guest, rebuild_destroy_guest},
    {"plugged", rebuild_plugged, NULL},
    {"resume", rebuild_resume, NULL},
    {"active", rebuild_active, NULL},
};

/* ---- the operation ---- */

static bool run(Rebuild *rebuild, GError **err)
{
    g_autoptr(GError) cause = NULL;

    /* Beside the table: what was rebuilt is not undone when it cannot be stopped. */
    if (op_run("rebuild", rebuild_steps, G_N_ELEMENTS(rebuild_steps), rebuild, rebuild->ctx,
               &cause) &&
        rebuild_stop_again(rebuild, &cause))
        return true;
    rebuild_notify(rebuild, NOTIFY_ERROR, cause);
    if (outcome_gone(cause)) {
        dv_info(rebuild->ctx, "instance was deleted while rebuilding: %s", cause->message);
        return true;
    }
    outcome_error(rebuild->agent, rebuild->ctx, rebuild->instance);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

bool op_rebuild(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    int64_t start_ms = dv_now_ms();
    const char *image_ref = ovo_str_or(call->args, "image_ref", NULL);
    Rebuild rebuild;
    bool ok;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "rebuild_instance without an instance");
    if (ovo_bool_or(call->args, "recreate", false))
        return op_evacuate(call, err);
    rebuild_init(&rebuild, call);
    /* An image that is not there leaves the server as it is. */
    ok = (!image_ref || !*image_ref ||
          image_meta_get(call->agent, call->ctx, image_ref, &rebuild.image, err)) &&
         run(&rebuild, err);
    if (ok) {
        dv_info(call->ctx, "rebuilt after %d ms", (int)(dv_now_ms() - start_ms));
        outcome_announce(call->agent, rebuild.admin, call->instance);
        rebuild_notify(&rebuild, NOTIFY_END, NULL);
    }
    rebuild_done(&rebuild);
    return ok;
}
