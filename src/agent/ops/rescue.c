/* rescue_instance and unrescue_instance: the guest boots another image for a while, with its own
 * disks at hand, and comes back as it was.
 *
 * What it was is kept as the hypervisor's own description in unrescue.xml, where nova keeps it, so
 * that the agent that ends a rescue need not be the one that began it. A rescue that fails puts the
 * guest's definition back, off; its disks are only read from. Whether this host can describe the
 * rescue at all is found out while the guest still runs.
 * Sources: nova compute/manager.py rescue_instance, unrescue_instance; virt/libvirt/driver.py
 * rescue, unrescue (Zed). */
#include "agent/guest_tpm.h"
#include "agent/guest_cpu.h"
#include "agent/guest_spec.h"
#include "agent/image_meta.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/power_off.h"
#include "agent/ops/relaunch.h"
#include "agent/ops/spawn.h"
#include "agent/rescue_spec.h"

#include "util/log.h"

#include <string.h>

static const char *const rescue_attrs[] = {"flavor",        "info_cache",    "system_metadata",
                                           "keypairs",      "ec2_ids",       "pci_requests",
                                           "numa_topology", "trusted_certs", NULL};

/* ---- rescue ---- */

typedef struct Rescue {
    Agent *agent;
    DvCtx *ctx; /* elevated: nova does all of it so */
    const Ovo *args;
    Ovo *instance, *bdms, *image, *own_image;
    const char *uuid;
    NetworkInfo *network;
    char *kept; /* the guest as it was */
    RescueImages images;
    Spawn spawn;
} Rescue;

static void rescue_done(Rescue *rescue)
{
    spawn_done(&rescue->spawn);
    network_info_free(rescue->network);
    ovo_unref(rescue->bdms);
    ovo_unref(rescue->image);
    ovo_unref(rescue->own_image);
    g_free(rescue->kept);
    dv_ctx_unref(rescue->ctx);
}

/* The user's choice; else what the guest's own image was made of, so that the rescue is a system
 * the user knows. */
static const char *rescue_image_id(const Rescue *rescue)
{
    const char *id = ovo_str_or(rescue->args, "rescue_image_ref", NULL);

    if (!id || !*id)
        id = ovo_dict_str(rescue->instance, "system_metadata", "image_base_image_ref");
    if (!id || !*id)
        id = ovo_str_or(rescue->instance, "image_ref", NULL);
    return id && *id ? id : NULL;
}

static bool read_images(Rescue *rescue, GError **err)
{
    const char *own = ovo_str_or(rescue->instance, "image_ref", NULL);
    const AgentConfig *config = &rescue->agent->config;

    rescue->images.id = rescue_image_id(rescue);
    if (!rescue->images.id)
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "rescuing a volume-backed server is not supported by this host");
    if (!image_meta_get(rescue->agent, rescue->ctx, rescue->images.id, &rescue->image, err))
        return false;
    rescue->images.meta = rescue->image;
    rescue->images.kernel_id = config->rescue_kernel_id
                                   ? config->rescue_kernel_id
                                   : ovo_str_or(rescue->instance, "kernel_id", NULL);
    rescue->images.ramdisk_id = config->rescue_ramdisk_id
                                    ? config->rescue_ramdisk_id
                                    : ovo_str_or(rescue->instance, "ramdisk_id", NULL);
    if (rescue->images.kernel_id && !*rescue->images.kernel_id)
        rescue->images.kernel_id = NULL;
    if (rescue->images.ramdisk_id && !*rescue->images.ramdisk_id)
        rescue->images.ramdisk_id = NULL;
    return !rescue_is_stable(rescue->image) || !own || !*own ||
           image_meta_get(rescue->agent, rescue->ctx, own, &rescue->own_image, err);
}

static bool rescue_facts(void *self, GError **err)
{
    Rescue *rescue = self;

    if (!instance_load(rescue->agent, rescue->ctx, rescue->instance, rescue_attrs, err) ||
        !network_cache_refresh(rescue->agent, rescue->ctx, rescue->instance, &rescue->network,
                               err) ||
        !spawn_check_certs(rescue->instance, err) ||
        !conductor_bdms_get(rescue->agent->con, rescue->ctx, rescue->uuid, &rescue->bdms, err) ||
        !read_images(rescue, err))
        return false;
    rescue->spawn = (Spawn){
        .agent = rescue->agent,
        .ctx = rescue->ctx,
        .instance = rescue->instance,
        /* a stable rescue keeps the machine of the guest's own image */
        .image = rescue_is_stable(rescue->image) ? rescue->own_image : rescue->image,
        .bdms = rescue->bdms,
        .args = rescue->args,
        .network = rescue->network,
    };
    if (!spawn_spec(&rescue->spawn, err) ||
        !rescue_spec_apply(rescue->agent, rescue->spawn.spec, rescue->image, err) ||
        !guest_cpu_record(rescue->agent, rescue->spawn.spec, rescue->instance, err))
        return false;
    rescue_spec_kernel(rescue->agent, rescue->spawn.spec, rescue->images.kernel_id,
                       rescue->images.ramdisk_id);
    return true;
}

static bool rescue_power_off(void *self, GError **err)
{
    Rescue *rescue = self;

    return guest_power_off(rescue->agent, rescue->ctx, rescue->instance,
                           ovo_bool_or(rescue->args, "clean_shutdown", true), err);
}

/* A server in ERROR may have no guest any more: it is defined first as it should be. */
static bool define_missing(Rescue *rescue, GError **err)
{
    const VirtDriver *virt = rescue->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, rescue->uuid, &state, err))
        return false;
    return state != GUEST_STATE_NONE ||
           guest_relaunch(rescue->agent, rescue->ctx, rescue->instance,
                          RELAUNCH_CACHED_NETWORKS | RELAUNCH_OFF, err);
}

static bool rescue_keep(void *self, GError **err)
{
    Rescue *rescue = self;
    const VirtDriver *virt = rescue->agent->virt;

    return define_missing(rescue, err) &&
           virt->ops->describe(virt->self, rescue->uuid, &rescue->kept, err) &&
           disks_keep_guest(rescue->agent->disks, rescue->uuid, rescue->kept, err);
}

static void rescue_forget(void *self)
{
    Rescue *rescue = self;
    g_autoptr(GError) err = NULL;

    if (!disks_end_rescue(rescue->agent->disks, rescue->uuid, true, &err))
        dv_warning(rescue->ctx, "files of a failed rescue stay: %s", err->message);
}

/* What an earlier rescue left is not to be taken for this one's. */
static bool rescue_disks(void *self, GError **err)
{
    Rescue *rescue = self;
    BootDisks disks = spawn_boot_disks(&rescue->spawn);

    return disks_end_rescue(rescue->agent->disks, rescue->uuid, false, err) &&
           boot_disks_rescue(&disks, &rescue->images, err);
}

static bool rescue_guest(void *self, GError **err)
{
    Rescue *rescue = self;
    const VirtDriver *virt = rescue->agent->virt;
    g_autoptr(GError) back = NULL;

    if (!spawn_tpm(&rescue->spawn, err) ||
        !virt->ops->retire(virt->self, rescue->ctx, rescue->uuid, err))
        return false;
    if (virt->ops->plug(virt->self, rescue->ctx, rescue->spawn.spec, err) &&
        virt->ops->start(virt->self, rescue->ctx, rescue->spawn.spec, false, err))
        return true;
    if (!virt->ops->define_xml(virt->self, rescue->ctx, rescue->uuid, rescue->kept, &back))
        dv_error(rescue->ctx, "the guest is not defined any more: %s", back->message);
    return false;
}

static void rescue_guest_back(void *self)
{
    Rescue *rescue = self;
    const VirtDriver *virt = rescue->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->retire(virt->self, rescue->ctx, rescue->uuid, &err) ||
        !virt->ops->define_xml(virt->self, rescue->ctx, rescue->uuid, rescue->kept, &err))
        dv_error(rescue->ctx, "the guest was not put back: %s", err->message);
}

static bool rescue_rescued(void *self, GError **err)
{
    static const char *const expected[] = {"rescuing", NULL};
    Rescue *rescue = self;

    notify_exists(rescue->agent, rescue->ctx, rescue->instance, NULL);
    outcome_active(rescue->instance, "rescued");
    ovo_set_i64(rescue->instance, "power_state", GUEST_STATE_RUNNING);
    return conductor_instance_save(rescue->agent->con, rescue->ctx, rescue->instance, expected,
                                   err);
}

/* Nothing was done to the guest when one of these fails. */
static const OpStep look_steps[] = {
    {"facts", rescue_facts, NULL},
};

static const OpStep rescue_steps[] = {
    {"power_off", rescue_power_off, NULL}, {"keep", rescue_keep, rescue_forget},
    {"disks", rescue_disks, NULL},         {"guest", rescue_guest, rescue_guest_back},
    {"rescued", rescue_rescued, NULL},
};

static void notify(const Rescue *rescue, NotifyPhase phase)
{
    const NotifyExtra extra = {
        .network = rescue->network,
        .rescue_image_ref = ovo_str_or(rescue->args, "rescue_image_ref", NULL),
        .rescue_image_name = rescue->image ? ovo_str_or(rescue->image, "name", "") : "",
    };

    notify_instance_with(rescue->agent, rescue->ctx, rescue->instance, NOTIFY_RESCUE, phase, &extra,
                         NULL);
}

static bool run(Rescue *rescue, GError **err)
{
    g_autoptr(GError) cause = NULL;

    if (!op_run("rescue_look", look_steps, G_N_ELEMENTS(look_steps), rescue, rescue->ctx, err))
        return false;
    notify(rescue, NOTIFY_START);
    if (op_run("rescue", rescue_steps, G_N_ELEMENTS(rescue_steps), rescue, rescue->ctx, &cause)) {
        notify(rescue, NOTIFY_END);
        return true;
    }
    if (outcome_gone(cause)) {
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    outcome_error(rescue->agent, rescue->ctx, rescue->instance);
    return dv_fail(err, DV_E_NOT_RESCUABLE, "Instance %s cannot be rescued: Driver Error: %s",
                   rescue->uuid, cause->message);
}

bool op_rescue(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    int64_t start_ms = dv_now_ms();
    Rescue rescue = {
        .agent = call->agent,
        .args = call->args,
        .instance = call->instance,
        .uuid = call->uuid,
    };
    bool ok;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "rescue_instance without an instance");
    rescue.ctx = dv_ctx_elevated(call->ctx);
    ok = run(&rescue, err);
    if (ok)
        dv_info(call->ctx, "rescued after %d ms", (int)(dv_now_ms() - start_ms));
    rescue_done(&rescue);
    return ok;
}

/* ---- unrescue ---- */

typedef struct Unrescue {
    const OpCall *call;
    NetworkInfo *network;
    char *kept;
} Unrescue;

static void notify_unrescue(const Unrescue *op, NotifyPhase phase)
{
    const NotifyExtra extra = {.network = op->network};

    notify_instance_with(op->call->agent, op->call->ctx, op->call->instance, NOTIFY_UNRESCUE, phase,
                         &extra, NULL);
}

static bool unrescue_facts(void *self, GError **err)
{
    Unrescue *op = self;
    const OpCall *call = op->call;

    if (!instance_load(call->agent, call->ctx, call->instance, rescue_attrs, err) ||
        !network_cache_refresh(call->agent, call->ctx, call->instance, &op->network, err))
        return false;
    notify_unrescue(op, NOTIFY_START);
    return disks_kept_guest(call->agent->disks, call->uuid, &op->kept, err);
}

/* Without a description of the guest it is made anew from what its instance is. */
static bool unrescue_guest(void *self, GError **err)
{
    Unrescue *op = self;
    const OpCall *call = op->call;
    const VirtDriver *virt = call->agent->virt;
    g_autoptr(GuestSpec) ports = NULL;
    g_auto(GuestSecret) keep = {0};
    const GuestSecret *secret = NULL;

    if (!op->kept) {
        dv_warning(call->ctx, "unrescue.xml is gone: the guest is made anew");
        return guest_relaunch(call->agent, call->ctx, call->instance, RELAUNCH_CACHED_NETWORKS,
                              err);
    }
    ports = guest_spec_of_ports(call->instance, op->network);
    return guest_tpm_launch(call->agent, call->ctx, call->instance, &keep, &secret, err) &&
           virt->ops->retire(virt->self, call->ctx, call->uuid, err) &&
           virt->ops->define_xml(virt->self, call->ctx, call->uuid, op->kept, err) &&
           virt->ops->plug(virt->self, call->ctx, ports, err) &&
           virt->ops->launch(virt->self, call->ctx, call->uuid, secret, false, err);
}

static bool unrescue_files(void *self, GError **err)
{
    Unrescue *op = self;

    return disks_end_rescue(op->call->agent->disks, op->call->uuid, true, err);
}

static const OpStep unrescue_steps[] = {
    {"facts", unrescue_facts, NULL},
    {"guest", unrescue_guest, NULL},
    {"files", unrescue_files, NULL},
};

bool op_unrescue(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    static const char *const expected[] = {"unrescuing", NULL};
    Unrescue op = {.call = call};
    g_autoptr(GError) cause = NULL;
    bool ok;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "unrescue_instance without an instance");
    ok = op_run("unrescue", unrescue_steps, G_N_ELEMENTS(unrescue_steps), &op, call->ctx, &cause);
    if (ok) {
        ok = op_power_saved(call, "active", expected, &cause);
        if (ok)
            notify_unrescue(&op, NOTIFY_END);
    } else if (!outcome_gone(cause)) {
        outcome_error(call->agent, call->ctx, call->instance);
    }
    network_info_free(op.network);
    g_free(op.kept);
    if (!ok)
        g_propagate_error(err, g_steal_pointer(&cause));
    return ok;
}
