/* unshelve_instance: a server that was shelved and left its host is made again, here, from the
 * image that its shelving took.
 *
 * It is a boot with the ports that exist and an image of its own: the user's key and password are
 * in it already, so that the config drive does not bring them again. A failure gives the host back,
 * and the server stays shelved, with its image, for another try. The image is deleted when the
 * server is safely active, not before.
 * Sources: nova compute/manager.py unshelve_instance, _unshelve_instance (Zed);
 * docs/wire/flows.md. */
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/spawn.h"
#include "agent/ops/unplug.h"

#include "util/log.h"

typedef struct Unshelve {
    const OpCall *call;
    Agent *agent;
    const DvCtx *ctx;
    DvCtx *admin;
    Ovo *instance, *bdms, *image;
    char *node;
    char *own_image_ref, *key_data; /* of the instance, hidden while the guest is made */
    NetworkInfo *network;
    Spawn spawn;
} Unshelve;

static void unshelve_done(Unshelve *op)
{
    spawn_done(&op->spawn);
    network_info_free(op->network);
    ovo_unref(op->bdms);
    ovo_unref(op->image);
    g_free(op->node);
    g_free(op->own_image_ref);
    g_free(op->key_data);
    dv_ctx_unref(op->admin);
}

static bool unshelve_begin(void *self, GError **err)
{
    static const char *const attrs[] = {"flavor",        "info_cache",    "system_metadata",
                                        "keypairs",      "ec2_ids",       "pci_requests",
                                        "numa_topology", "trusted_certs", NULL};
    Unshelve *op = self;

    op->image = ovo_child(op->call->args, "image");
    if (!op->image || !ovo_has_value(op->image, "id"))
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "unshelving a volume-backed server is not supported by this host");
    return instance_load(op->agent, op->ctx, op->instance, attrs, err) &&
           spawn_check_certs(op->instance, err) &&
           conductor_bdms_get(op->agent->con, op->ctx, op->call->uuid, &op->bdms, err);
}

/* With the claim goes the task state: from here on the server counts on this host. */
static bool unshelve_claim(void *self, GError **err)
{
    static const char *const expected[] = {"unshelving", NULL};
    static const TrackerClaim how = {.expected = expected, .root = ROOT_LOCAL};
    Unshelve *op = self;

    ovo_set_str(op->instance, "task_state", "spawning");
    return tracker_claim_with(op->agent->tracker, op->admin, op->instance, op->node, &how, err);
}

static void unshelve_unclaim(void *self)
{
    Unshelve *op = self;

    tracker_unclaim(op->agent->tracker, op->admin, op->instance);
}

static bool unshelve_networks(void *self, GError **err)
{
    Unshelve *op = self;

    return spawn_networks(op->agent, op->ctx, op->instance, &op->network, err);
}

/* The instance looks as if the shelved image were its own, until unshelve_show. Not saved. */
static bool unshelve_hide(void *self, GError **err G_GNUC_UNUSED)
{
    Unshelve *op = self;

    op->own_image_ref = g_strdup(ovo_str_or(op->instance, "image_ref", NULL));
    op->key_data = g_strdup(ovo_str_or(op->instance, "key_data", NULL));
    ovo_set_from(op->instance, "image_ref", op->image, "id");
    ovo_set_null(op->instance, "key_data");
    ovo_set_bool(op->instance, "auto_disk_config", false);
    return true;
}

static void unshelve_show(void *self)
{
    Unshelve *op = self;

    ovo_set_str(op->instance, "image_ref", op->own_image_ref);
    ovo_set_str(op->instance, "key_data", op->key_data);
}

static bool unshelve_spec(void *self, GError **err)
{
    Unshelve *op = self;

    op->spawn = (Spawn){
        .agent = op->agent,
        .ctx = op->ctx,
        .instance = op->instance,
        .image = op->image,
        .bdms = op->bdms,
        .network = op->network,
    };
    return spawn_spec(&op->spawn, err) && spawn_name_devices(&op->spawn, err);
}

static bool unshelve_disks(void *self, GError **err)
{
    return spawn_disks(&((Unshelve *)self)->spawn, err);
}

static void unshelve_remove_disks(void *self)
{
    Unshelve *op = self;
    g_autoptr(GError) err = NULL;

    if (!disks_remove(op->agent->disks, op->ctx, op->call->uuid, &err))
        dv_warning(op->ctx, "disks of a failed unshelve stay: %s", err->message);
}

static bool unshelve_guest(void *self, GError **err)
{
    return spawn_guest(&((Unshelve *)self)->spawn, err);
}

static void unshelve_destroy_guest(void *self)
{
    Unshelve *op = self;
    const VirtDriver *virt = op->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->destroy(virt->self, op->ctx, op->call->uuid, &err)) {
        dv_warning(op->ctx, "guest of a failed unshelve stays: %s", err->message);
        return;
    }
    op_unplug(op->agent, op->ctx, op->instance, op->network);
}

static bool unshelve_plugged(void *self, GError **err)
{
    return spawn_plugged(&((Unshelve *)self)->spawn, err);
}

static bool unshelve_resume(void *self, GError **err)
{
    return spawn_resume(&((Unshelve *)self)->spawn, err);
}

static bool unshelve_active(void *self, GError **err)
{
    static const char *const expected[] = {"spawning", NULL};
    Unshelve *op = self;

    unshelve_show(op);
    spawn_record(&op->spawn);
    outcome_active(op->instance, "active");
    op_drop_shelved_keys(op->instance);
    return conductor_instance_save(op->agent->con, op->ctx, op->instance, expected, err);
}

static const OpStep unshelve_steps[] = {
    {"begin", unshelve_begin, NULL},
    {"claim", unshelve_claim, unshelve_unclaim},
    {"networks", unshelve_networks, NULL},
    {"hide", unshelve_hide, unshelve_show},
    {"spec", unshelve_spec, NULL},
    {"disks", unshelve_disks, unshelve_remove_disks},
    {"guest", unshelve_guest, unshelve_destroy_guest},
    {"plugged", unshelve_plugged, NULL},
    {"resume", unshelve_resume, NULL},
    {"active", unshelve_active, NULL},
};

/* The scheduler has put the server's resources on this host, and the claim's end does not take them
 * away. */
static void delete_allocation(const Unshelve *op)
{
    g_autoptr(GError) err = NULL;

    if (!placement_allocations_delete(op->agent->placement, op->ctx, op->call->uuid, NULL, &err))
        dv_warning(op->ctx, "allocation not deleted: %s", err->message);
}

bool op_unshelve(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    int64_t start_ms = dv_now_ms();
    const char *node = ovo_str_or(call->args, "node", NULL);
    Unshelve op = {
        .call = call,
        .agent = call->agent,
        .ctx = call->ctx,
        .instance = call->instance,
    };
    bool ok;

    if (!call->instance)
        return dv_fail(err, DV_E_BAD_INPUT, "unshelve_instance without an instance");
    op.admin = dv_ctx_elevated(call->ctx);
    op.node = node ? g_strdup(node) : tracker_node(call->agent->tracker);
    notify_instance(call->agent, call->ctx, call->instance, NOTIFY_UNSHELVE, NOTIFY_START, NULL);
    ok = op_run("unshelve", unshelve_steps, G_N_ELEMENTS(unshelve_steps), &op, call->ctx, err);
    if (ok) {
        dv_info(call->ctx, "unshelved after %d ms", (int)(dv_now_ms() - start_ms));
        op_delete_shelved_image(call, ovo_str_or(op.image, "id", ""));
        outcome_announce(call->agent, op.admin, call->instance);
        notify_instance(call->agent, call->ctx, call->instance, NOTIFY_UNSHELVE, NOTIFY_END, NULL);
    } else {
        delete_allocation(&op);
    }
    unshelve_done(&op);
    return ok;
}
