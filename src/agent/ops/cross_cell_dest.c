/* A resize or cold migration between cells, the destination's side. Nothing passes between the two
 * hosts: the server comes as a snapshot image, and conductor, which waits for each of these calls,
 * decides what is next and takes back what others did when one fails.
 *
 * The record of the instance is that of this cell: until the server is finished here it says that
 * the server is elsewhere.
 * Sources    nova compute/manager.py prep_snapshot_based_resize_at_dest,
 *            finish_snapshot_based_resize_at_dest, revert_snapshot_based_resize_at_dest (Zed). */
#include "agent/guest_tpm.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/move.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/snapshot_take.h"
#include "agent/ops/spawn.h"
#include "agent/ops/unplug.h"

#include "util/log.h"

#include <string.h>

/* ---- prep_snapshot_based_resize_at_dest ---- */

/* A snapshot has nothing of what a TPM remembers. */
static bool check_tpm(const Move *move, GError **err)
{
    GuestTpm tpm;

    return guest_tpm_of(move->instance, "flavor", &tpm, err) &&
           (!tpm.version ||
            dv_fail(err, DV_E_UNSUPPORTED,
                    "a server with an emulated TPM is not moved to another cell by this agent"));
}

static bool prepare(Move *move, const Ovo *flavor, GError **err)
{
    g_autofree char *known = tracker_node(move->agent->tracker);
    const char *node = ovo_str_or(move->args, "nodename", known ? known : "");

    return check_tpm(move, err) && move_check_guest(move, flavor, err) &&
           tracker_move_claim(move->agent->tracker, move->admin, move->instance, move->migration,
                              flavor, node, err);
}

bool op_cross_prep_dest(const OpCall *call, json_t **out_result, GError **err)
{
    g_autoptr(Ovo) flavor = ovo_child(call->args, "flavor");
    g_autoptr(Ovo) context = NULL;
    g_autoptr(GError) cause = NULL;
    Move move = {0};
    bool ok = move_init(&move, call, err) &&
              (flavor || dv_fail(err, DV_E_BAD_INPUT, "%s without a flavor", call->method->name));

    if (ok) {
        notify_exists(call->agent, call->ctx, call->instance, NULL);
        move_notify_prep(&move, flavor, NOTIFY_START);
        ok = prepare(&move, flavor, &cause);
        move_notify_prep(&move, flavor, NOTIFY_END);
        context = ok ? ovo_child(call->instance, "migration_context") : NULL;
        if (ok)
            *out_result = context ? ovo_json(context) : NULL;
        else /* conductor tries another host after this class only */
            dv_fail(err, DV_E_MIGRATION_PRECHECK,
                    "Migration pre-check error: Pre-checks failed on host '%s'. Error: %s",
                    call->agent->config.host, cause->message);
    }
    move_done(&move);
    return ok;
}

/* ---- finish_snapshot_based_resize_at_dest ---- */

typedef struct Arrive {
    Move move;
    const char *snapshot_id;
    char *own_image_ref;
    Ovo *bdms;
    Ovo *image; /* dict: the snapshot's record, as far as disks ask */
    NetworkInfo *network;
    Spawn spawn;
} Arrive;

static void arrive_done(Arrive *arrive)
{
    spawn_done(&arrive->spawn);
    network_info_free(arrive->network);
    ovo_unref(arrive->bdms);
    ovo_unref(arrive->image);
    g_free(arrive->own_image_ref);
    move_done(&arrive->move);
}

static bool arrive_flavor(void *self, GError **err)
{
    static const char *const expected[] = {"resize_migrated", NULL};
    Arrive *arrive = self;
    Move *move = &arrive->move;
    g_autoptr(Ovo) old = ovo_child(move->instance, "flavor");
    g_autoptr(Ovo) new = ovo_child(move->instance, "new_flavor");
    bool resize = strcmp(ovo_str_or(move->migration, "migration_type", ""), "resize") == 0;

    if (!arrive->snapshot_id)
        return dv_fail(err, DV_E_UNSUPPORTED,
                       "servers with volumes are not supported by this host");
    if (!old || (resize && !new))
        return dv_fail(err, DV_E_BAD_INPUT, "Instance without a flavor");
    ovo_set_child(move->instance, "old_flavor", old);
    if (resize)
        move_set_flavor(move->instance, new);
    ovo_set_str(move->instance, "task_state", "resize_finish");
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err))
        return false;
    move_notify(move, NOTIFY_RESIZE_FINISH, NOTIFY_START);
    return !resize || move_set_swap(move, new, err);
}

static bool arrive_networks(void *self, GError **err)
{
    Arrive *arrive = self;
    const Move *move = &arrive->move;

    return spawn_networks(move->agent, move->ctx, move->instance, &arrive->network, err);
}

/* Where the record still says the server is. */
static void arrive_networks_back(void *self)
{
    const Move *move = &((Arrive *)self)->move;
    g_autoptr(GError) err = NULL;

    if (!move_activate_ports(move, ovo_str_or(move->migration, "source_compute", ""), &err))
        dv_warning(move->ctx, "ports stay bound to this host: %s", err->message);
}

/* As if the snapshot were the server's image, until arrive_show. Not saved. */
static bool arrive_hide(void *self, GError **err G_GNUC_UNUSED)
{
    Arrive *arrive = self;
    Ovo *instance = arrive->move.instance;

    arrive->own_image_ref = g_strdup(ovo_str_or(instance, "image_ref", NULL));
    ovo_set_str(instance, "image_ref", arrive->snapshot_id);
    return true;
}

static void arrive_show(void *self)
{
    const Arrive *arrive = self;

    ovo_set_str(arrive->move.instance, "image_ref", arrive->own_image_ref);
}

static bool arrive_spec(void *self, GError **err)
{
    Arrive *arrive = self;

    arrive->spawn.network = arrive->network;
    return move_spec(&arrive->move, &arrive->spawn, &arrive->bdms, err);
}

static bool read_image(Arrive *arrive, GError **err)
{
    const Move *move = &arrive->move;
    g_autoptr(GlanceImage) image = NULL;

    if (!glance_image_get(move->agent->glance, move->ctx, arrive->snapshot_id, &image, err))
        return false;
    arrive->image = ovo_new_dict();
    ovo_set_str(arrive->image, "disk_format", image->disk_format);
    ovo_set_i64(arrive->image, "size", (int64_t)image->size_bytes);
    return true;
}

/* Only the disk is the snapshot's: everything else is as the server's own image has it. */
static bool arrive_disks(void *self, GError **err)
{
    Arrive *arrive = self;
    bool ok;

    if (!read_image(arrive, err))
        return false;
    arrive->spawn.image = arrive->image;
    ok = spawn_disks(&arrive->spawn, err);
    arrive->spawn.image = NULL;
    return ok;
}

static void arrive_remove_disks(void *self)
{
    const Move *move = &((Arrive *)self)->move;
    g_autoptr(GError) err = NULL;

    if (!disks_drop(move->agent->disks, move->uuid, &err))
        dv_warning(move->ctx, "disks of a server that did not arrive stay: %s", err->message);
}

static bool stays_off(const Arrive *arrive)
{
    return strcmp(move_old_state(&arrive->move), "active") != 0;
}

static bool arrive_guest(void *self, GError **err)
{
    Arrive *arrive = self;
    Spawn *spawn = &arrive->spawn;
    const VirtDriver *virt = spawn->agent->virt;

    if (!stays_off(arrive))
        return spawn_guest(spawn, err);
    return virt->ops->plug(virt->self, spawn->ctx, spawn->spec, err) &&
           virt->ops->define(virt->self, spawn->ctx, spawn->spec, err);
}

static void arrive_destroy_guest(void *self)
{
    const Arrive *arrive = self;
    const Move *move = &arrive->move;
    const VirtDriver *virt = move->agent->virt;
    g_autoptr(GError) err = NULL;

    if (!virt->ops->destroy(virt->self, move->ctx, move->uuid, &err))
        dv_warning(move->ctx, "the guest of a server that did not arrive stays: %s", err->message);
    else
        op_unplug(move->agent, move->ctx, move->instance, arrive->network);
}

static bool arrive_plugged(void *self, GError **err)
{
    return stays_off(self) || spawn_plugged(&((Arrive *)self)->spawn, err);
}

static bool arrive_resume(void *self, GError **err)
{
    return stays_off(self) || spawn_resume(&((Arrive *)self)->spawn, err);
}

/* From here on the server counts on this host. */
static bool arrive_resized(void *self, GError **err)
{
    static const char *const expected[] = {"resize_finish", NULL};
    Arrive *arrive = self;
    Move *move = &arrive->move;

    arrive_show(arrive);
    if (!move_status(move, "finished", err))
        return false;
    spawn_record(&arrive->spawn);
    if (stays_off(arrive))
        ovo_set_i64(move->instance, "power_state", GUEST_STATE_OFF);
    outcome_active(move->instance, "resized");
    ovo_set_from(move->instance, "host", move->migration, "dest_compute");
    ovo_set_from(move->instance, "node", move->migration, "dest_node");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static const OpStep arrive_steps[] = {
    {"flavor", arrive_flavor, NULL},
    {"networks", arrive_networks, arrive_networks_back},
    {"hide", arrive_hide, arrive_show},
    {"spec", arrive_spec, NULL},
    {"disks", arrive_disks, arrive_remove_disks},
    {"guest", arrive_guest, arrive_destroy_guest},
    {"plugged", arrive_plugged, NULL},
    {"resume", arrive_resume, NULL},
    {"resized", arrive_resized, NULL},
};

bool op_cross_finish(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Arrive arrive = {.snapshot_id = ovo_str_or(call->args, "snapshot_id", NULL)};
    g_autoptr(GError) cause = NULL;
    bool ok = move_init(&arrive.move, call, &cause) &&
              op_run("finish_snapshot_based_resize", arrive_steps, G_N_ELEMENTS(arrive_steps),
                     &arrive, call->ctx, &cause);

    if (ok) {
        dv_info(call->ctx, "arrived from another cell, waiting to be confirmed");
        snapshot_forget_image(call->agent, call->ctx, arrive.snapshot_id, false);
        outcome_announce(call->agent, arrive.move.admin, call->instance);
        move_notify(&arrive.move, NOTIFY_RESIZE_FINISH, NOTIFY_END);
    } else {
        move_broken(&arrive.move, call, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    arrive_done(&arrive);
    return ok;
}

/* ---- revert_snapshot_based_resize_at_dest ---- */

static bool leave_guest(void *self, GError **err)
{
    Move *move = self;
    const VirtDriver *virt = move->agent->virt;

    if (!network_cache_refresh(move->agent, move->ctx, move->instance, NULL, err) ||
        !virt->ops->destroy(virt->self, move->ctx, move->uuid, err))
        return false;
    move_unplug(move);
    return disks_drop(move->agent->disks, move->uuid, err);
}

/* The source's bindings first: a port whose active binding goes is bound nowhere. */
static bool leave_ports(void *self, GError **err)
{
    Move *move = self;
    NetworkInstance who = network_instance_of(move->agent, move->instance);
    g_autoptr(GError) left = NULL;

    who.host = ovo_str_or(move->migration, "source_compute", "");
    if (!move_activate_ports(move, who.host, err))
        return false;
    if (!neutron_forget_host(move->agent->neutron, move->admin, &who, move->agent->config.host,
                             &left))
        dv_error(move->ctx, "%s", left->message);
    return true;
}

static bool leave_claim(void *self, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    Move *move = self;

    return move_status(move, "reverted", err) &&
           tracker_move_end(move->agent->tracker, move->admin, move->instance, NULL, err) &&
           conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static const OpStep leave_steps[] = {
    {"guest", leave_guest, NULL},
    {"ports", leave_ports, NULL},
    {"claim", leave_claim, NULL},
};

bool op_cross_revert(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    g_autoptr(GError) cause = NULL;
    Move move = {0};
    bool ok;

    if (call->instance)
        notify_exists(call->agent, call->ctx, call->instance, NULL);
    ok = move_init(&move, call, &cause) &&
         op_run("revert_snapshot_based_resize", leave_steps, G_N_ELEMENTS(leave_steps), &move,
                call->ctx, &cause);
    if (ok) {
        outcome_withdraw(call->agent, move.admin, call->uuid);
        waits_cancel(call->agent->waits, call->uuid);
    } else {
        move_broken(&move, call, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    move_done(&move);
    return ok;
}
