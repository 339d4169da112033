/* A resize or cold migration, the destination's side: prep_resize takes room and asks the source to
 * begin; finish_resize makes the guest of what the source has left or sent.
 *
 * Until the source has begun, nothing of the guest is touched: a failure gives everything back, and
 * conductor may try another host. Once the source has handed the instance over it belongs here: a
 * failure ends in ERROR with the disks in place, and a hard reboot may mend it.
 * Sources: nova compute/manager.py prep_resize, finish_resize; virt/libvirt/driver.py
 * finish_migration (Zed). */
#include "agent/disk_list.h"
#include "agent/faults.h"
#include "agent/guest_cpu.h"
#include "agent/instance_load.h"
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/move_files.h"
#include "agent/ops/move_tpm.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/spawn.h"

#include "util/fs.h"
#include "util/log.h"

#include <string.h>

/* ---- prep_resize ---- */

typedef struct Prep {
    Move move;
    Ovo *flavor;
    char *node;
    bool untouched; /* the failure is one after which the server is as it was */
} Prep;

static void prep_done(Prep *prep)
{
    move_done(&prep->move);
    ovo_unref(prep->flavor);
    g_free(prep->node);
}

static bool prep_affinity(void *self, GError **err)
{
    Move *move = &((Prep *)self)->move;
    g_autoptr(Ovo) request_spec = ovo_child(move->args, "request_spec");

    return tracker_check_affinity(move->agent->tracker, move->admin, move->instance, request_spec,
                                  err);
}

static bool prep_check(void *self, GError **err)
{
    Prep *prep = self;
    const Move *move = &prep->move;
    const char *host = ovo_str_or(move->instance, "host", NULL);
    int64_t now = ovo_i64_or(move->instance, "instance_type_id", -1);

    if (!host)
        return dv_fail(err, DV_E_INTERNAL, "Instance has no source host");
    if (strcmp(host, move->agent->config.host) == 0 && ovo_i64_or(prep->flavor, "id", -2) == now) {
        prep->untouched = true;
        return dv_fail(err, DV_E_MIGRATE_TO_SELF,
                       "Unable to migrate instance (%s) to current host (%s).", move->uuid, host);
    }
    prep->untouched = true;
    if (!move_check_guest(move, prep->flavor, err))
        return false;
    prep->untouched = false;
    return true;
}

static bool prep_remember(void *self, GError **err)
{
    Prep *prep = self;
    Move *move = &prep->move;

    ovo_set_child(move->instance, "new_flavor", prep->flavor);
    ovo_dict_set(move->instance, "system_metadata", "old_vm_state", move->old_state);
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, NULL, err);
}

static bool prep_claim(void *self, GError **err)
{
    Prep *prep = self;
    Move *move = &prep->move;

    return tracker_move_claim(move->agent->tracker, move->admin, move->instance, move->migration,
                              prep->flavor, prep->node, err);
}

static void prep_unclaim(void *self)
{
    Move *move = &((Prep *)self)->move;

    tracker_move_unclaim(move->agent->tracker, move->admin, move->instance);
}

static bool prep_cast(void *self, GError **err)
{
    Prep *prep = self;
    Move *move = &prep->move;
    Ovo *more = ovo_new_dict();

    ovo_set_from(more, "image", move->args, "image");
    ovo_set_child(more, "flavor", prep->flavor);
    ovo_set_bool(more, "clean_shutdown", ovo_bool_or(move->args, "clean_shutdown", true));
    return move_cast(move, ovo_str_or(move->instance, "host", ""), "resize_instance", more, err);
}

static const OpStep prep_steps[] = {
    {"affinity", prep_affinity, NULL}, {"check", prep_check, NULL},
    {"remember", prep_remember, NULL}, {"claim", prep_claim, prep_unclaim},
    {"cast", prep_cast, NULL},
};

/* Conductor looks for another host. False: it does not, *err says why. */
static bool reschedule(Prep *prep, const GError *cause, GError **err)
{
    Move *move = &prep->move;
    g_autoptr(Ovo) properties = ovo_child(move->args, "filter_properties");
    g_autoptr(Ovo) retry = properties ? ovo_child(properties, "retry") : NULL;
    g_autofree char *reason = fault_message(cause);
    const char *const exc[] = {reason, NULL};

    if (!retry)
        return dv_fail(err, DV_E_NOT_FOUND, "no retry information");
    ovo_set_str(move->instance, "task_state", "resize_prep");
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, NULL, err))
        return false;
    ovo_set_strv(retry, "exc", exc);
    return conductor_migrate_server(move->agent->con, move->ctx, move->args, err);
}

/* True when somebody else goes on with the resize. */
static bool prep_failed(Prep *prep, const GError *cause)
{
    Move *move = &prep->move;
    g_autoptr(GError) why = NULL;

    dv_warning(move->ctx, "resize not begun: %s", cause->message);
    if (!move_revert_allocation(move, &why))
        dv_error(move->ctx, "allocation not given back: %s", why->message);
    g_clear_error(&why);
    if (reschedule(prep, cause, &why)) {
        dv_info(move->ctx, "resize given back to the scheduler");
        dispatch_record_fault(move->agent, move->ctx, move->uuid, cause, NULL);
        notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE, NOTIFY_ERROR, cause);
        return true;
    }
    dv_info(move->ctx, "resize not rescheduled: %s", why->message);
    move_failed(move);
    if (prep->untouched || dv_is(cause, DV_E_AFFINITY))
        outcome_restore(move->agent, move->ctx, move->instance, move->old_state);
    else if (!outcome_gone(cause))
        outcome_error(move->agent, move->ctx, move->instance);
    return false;
}

bool op_prep_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Prep prep = {0};
    g_autoptr(GError) cause = NULL;
    const char *node = ovo_str_or(call->args, "node", NULL);
    bool ok = move_init(&prep.move, call, err);

    if (ok) {
        prep.flavor = ovo_child(call->args, "flavor");
        if (!prep.flavor) /* the 5.x form */
            prep.flavor = ovo_child(call->args, "instance_type");
        ok = prep.flavor || dv_fail(err, DV_E_BAD_INPUT, "prep_resize without a flavor");
    }
    if (ok) {
        notify_exists(call->agent, call->ctx, call->instance, NULL);
        move_notify_prep(&prep.move, prep.flavor, NOTIFY_START);
        prep.node = node ? g_strdup(node) : tracker_node(call->agent->tracker);
        ok = op_run("prep_resize", prep_steps, G_N_ELEMENTS(prep_steps), &prep, call->ctx, &cause);
        if (!ok && prep_failed(&prep, cause))
            ok = true;
        move_notify_prep(&prep.move, prep.flavor, NOTIFY_END); /* however it ended */
        if (!ok)
            g_propagate_error(err, g_steal_pointer(&cause));
    }
    prep_done(&prep);
    return ok;
}

/* ---- finish_resize ---- */

typedef struct Finish {
    Move move;
    Ovo *bdms, *image, *old_flavor;
    NetworkInfo *network;
    Spawn spawn;
    bool up; /* an earlier try, which its agent's death has cut short, came as far as to start it */
} Finish;

static void finish_done(Finish *finish)
{
    spawn_done(&finish->spawn);
    network_info_free(finish->network);
    ovo_unref(finish->bdms);
    ovo_unref(finish->image);
    ovo_unref(finish->old_flavor);
    move_done(&finish->move);
}

static bool finish_flavor(void *self, GError **err)
{
    Finish *finish = self;
    Move *move = &finish->move;
    g_autoptr(Ovo) flavor = ovo_child(move->instance, "new_flavor");
    int64_t old_id = ovo_i64_or(move->migration, "old_instance_type_id", -1);
    int64_t new_id = ovo_i64_or(move->migration, "new_instance_type_id", -1);

    finish->old_flavor = ovo_child(move->instance, "flavor");
    if (!finish->old_flavor)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
    ovo_set_child(move->instance, "old_flavor", finish->old_flavor);
    if (old_id == new_id)
        return true;
    if (!flavor)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.new_flavor: want a flavor");
    move_set_flavor(move->instance, flavor);
    return move_set_swap(move, flavor, err);
}

static void notify_finish(Finish *finish, NotifyPhase phase)
{
    const NotifyExtra extra = {.network = finish->network};

    notify_instance_with(finish->move.agent, finish->move.ctx, finish->move.instance,
                         NOTIFY_RESIZE_FINISH, phase, &extra, NULL);
}

static bool finish_networks(void *self, GError **err)
{
    static const char *const expected[] = {"resize_migrated", NULL};
    Finish *finish = self;
    Move *move = &finish->move;

    if (!spawn_networks(move->agent, move->ctx, move->instance, &finish->network, err))
        return dv_within(err, "networks");
    ovo_set_str(move->instance, "task_state", "resize_finish");
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err))
        return false;
    notify_finish(finish, NOTIFY_START);
    return true;
}

static bool finish_spec(void *self, GError **err)
{
    Finish *finish = self;

    finish->image = ovo_child(finish->move.args, "image");
    finish->spawn.image = finish->image;
    finish->spawn.network = finish->network;
    return move_spec(&finish->move, &finish->spawn, &finish->bdms, err);
}

static bool finish_look(void *self, GError **err)
{
    Finish *finish = self;
    const Move *move = &finish->move;
    const VirtDriver *virt = move->agent->virt;
    GuestState state = GUEST_STATE_NONE;

    if (!virt->ops->state(virt->self, move->uuid, &state, err))
        return false;
    finish->up = state == GUEST_STATE_RUNNING || state == GUEST_STATE_PAUSED;
    return true;
}

/* From another host the disks bring its own idea of where they are, and what the TPM remembers. */
static bool finish_arrived(void *self, GError **err)
{
    Finish *finish = self;
    Move *move = &finish->move;
    const char *text = ovo_str_or(move->args, "disk_info", "[]");
    g_autofree char *aside = disks_aside_dir(move->agent->disks, move->uuid);
    g_autoptr(GPtrArray) told = NULL;
    DiskArrival arrival = {.uuid = move->uuid, .fetch = move_files_fetch, .fetch_arg = move};

    if (finish->up || move_same_host(move))
        return move_tpm_drop(move, err);
    told = disk_list_read(text, err);
    arrival.told = told;
    arrival.shared = dv_exists(aside); /* what the source has set aside is seen here */
    return told && boot_disks_arrived(move->agent, move->ctx, move->instance, &arrival, err) &&
           move_tpm_unpack(move, err);
}

/* Base files of the disks are in this host's cache before the guest starts. */
static bool finish_disks(void *self, GError **err)
{
    Finish *finish = self;
    Spawn *spawn = &finish->spawn;
    BootDisks disks = spawn_boot_disks(spawn);

    if (finish->up)
        return true;
    return boot_disks_complete(&disks, err) &&
           (move_same_host(&finish->move) || boot_disks_adopt(&disks, err)) &&
           disks_grow(spawn->agent->disks, spawn->ctx, spawn->spec, err);
}

/* nova waits for no event here: whether neutron notices that a port was unplugged in between is not
 * certain. */
static bool finish_guest(void *self, GError **err)
{
    Finish *finish = self;
    Spawn *spawn = &finish->spawn;
    const VirtDriver *virt = spawn->agent->virt;
    bool off = strcmp(move_old_state(&finish->move), "stopped") == 0;

    if (!guest_cpu_record(spawn->agent, spawn->spec, spawn->instance, err))
        return false;
    if (finish->up)
        return true;
    if (!(off && spawn->spec->tpm_secret.uuid) && !spawn_tpm(spawn, err))
        return false; /* a guest that stays off needs no secret, but one to be named */
    if (!virt->ops->plug(virt->self, spawn->ctx, spawn->spec, err))
        return false;
    if (off)
        return virt->ops->define(virt->self, spawn->ctx, spawn->spec, err);
    return virt->ops->start(virt->self, spawn->ctx, spawn->spec, false, err);
}

static bool finish_resized(void *self, GError **err)
{
    static const char *const expected[] = {"resize_finish", NULL};
    Finish *finish = self;
    Move *move = &finish->move;

    if (!move_status(move, "finished", err))
        return false;
    outcome_active(move->instance, "resized");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static const OpStep finish_steps[] = {
    {"flavor", finish_flavor, NULL},   {"networks", finish_networks, NULL},
    {"spec", finish_spec, NULL},       {"look", finish_look, NULL},
    {"arrived", finish_arrived, NULL}, {"disks", finish_disks, NULL},
    {"guest", finish_guest, NULL},     {"resized", finish_resized, NULL},
};

/* The instance is here for good, so what the source held for it goes; its disks are those of the
 * old flavor, or larger. */
static void finish_failed(Finish *finish, const GError *cause)
{
    Move *move = &finish->move;
    g_autoptr(GError) why = NULL;

    dv_error(move->ctx, "resize not finished: %s; a hard reboot may mend the server",
             cause->message);
    if (!move_drop_allocation(move, &why))
        dv_error(move->ctx, "allocation of the migration stays: %s", why->message);
    move_failed(move);
    if (outcome_gone(cause))
        return;
    if (finish->old_flavor)
        move_set_flavor(move->instance, finish->old_flavor);
    outcome_error(move->agent, move->ctx, move->instance);
}

bool op_finish_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Finish finish = {0};
    g_autoptr(GError) cause = NULL;
    bool ok = move_init(&finish.move, call, &cause) &&
              op_run("finish_resize", finish_steps, G_N_ELEMENTS(finish_steps), &finish, call->ctx,
                     &cause);

    if (ok) {
        dv_info(call->ctx, "resized, waiting to be confirmed");
        outcome_announce(call->agent, finish.move.admin, call->instance);
        notify_finish(&finish, NOTIFY_END);
    } else {
        if (finish.move.migration)
            finish_failed(&finish, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    finish_done(&finish);
    return ok;
}
