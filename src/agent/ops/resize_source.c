/* A resize, the source's side: resize_instance stops the guest, sets its disks aside and hands the
 * instance over; confirm_resize throws away what was set aside; finish_revert_resize puts it back.
 *
 * resize_instance can be undone until the instance's host is saved; what it refuses (a disk that
 * would shrink, another host) is refused while the guest still runs. The two ends only go forward.
 * Sources: nova compute/manager.py resize_instance, confirm_resize, finish_revert_resize,
 * check_instance_shared_storage; virt/libvirt/driver.py migrate_disk_and_power_off,
 * confirm_migration, finish_revert_migration (Zed). */
#include "agent/network_cache.h"
#include "agent/notify.h"
#include "agent/op.h"
#include "agent/ops/move.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/power_off.h"
#include "agent/ops/relaunch.h"
#include "agent/ops/spawn.h"

#include "util/fs.h"
#include "util/log.h"

#include <string.h>

/* ---- resize_instance ---- */

typedef struct Leave {
    Move move;
    Ovo *flavor;
    char *disk_list; /* for the destination: JSON */
    bool untouched;  /* the guest still runs as it did */
} Leave;

static void leave_done(Leave *leave)
{
    move_done(&leave->move);
    ovo_unref(leave->flavor);
    g_free(leave->disk_list);
}

/* For one that is about to move: its addresses go along. */
static void notify(Move *move, NotifyAction action, NotifyPhase phase)
{
    g_autoptr(NetworkInfo) network = network_cache_read(move->instance, NULL);
    const NotifyExtra extra = {.network = network};

    notify_instance_with(move->agent, move->ctx, move->instance, action, phase, &extra, NULL);
}

static bool leave_begin(void *self, GError **err)
{
    static const char *const expected[] = {"resize_prep", NULL};
    Move *move = &((Leave *)self)->move;

    if (!network_cache_refresh(move->agent, move->ctx, move->instance, NULL, err) ||
        !move_status(move, "migrating", err))
        return false;
    ovo_set_str(move->instance, "task_state", "resize_migrating");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

/* GiB of the ephemeral disks that the instance has. */
static int64_t ephemeral_gib(const Ovo *bdms, const Ovo *flavor)
{
    int64_t sum = 0;

    for (size_t i = 0; i < ovo_count(bdms, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(bdms, NULL, i);

        if (bdm && g_strcmp0(ovo_str_or(bdm, "source_type", NULL), "blank") == 0 &&
            g_strcmp0(ovo_str_or(bdm, "guest_format", NULL), "swap") != 0)
            sum += MAX(ovo_i64_or(bdm, "volume_size", 0), 0);
    }
    return sum ? sum : ovo_i64_or(flavor, "ephemeral_gb", 0);
}

static bool leave_check(void *self, GError **err)
{
    Leave *leave = self;
    const Move *move = &leave->move;
    g_autoptr(Ovo) now = ovo_child(move->instance, "flavor");
    g_autoptr(Ovo) bdms = NULL;

    leave->untouched = true;
    if (!move_is_local(move, err) ||
        !conductor_bdms_get(move->agent->con, move->ctx, move->uuid, &bdms, err))
        return false;
    if (!now)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
    if (ovo_i64_or(leave->flavor, "root_gb", 0) < ovo_i64_or(now, "root_gb", 0) ||
        ovo_i64_or(leave->flavor, "ephemeral_gb", 0) < ephemeral_gib(bdms, now))
        return dv_fail(err, DV_E_RESIZE, "Resize error: Unable to resize disk down.");
    leave->untouched = false;
    notify(&leave->move, NOTIFY_RESIZE, NOTIFY_START);
    return true;
}

static bool leave_power_off(void *self, GError **err)
{
    Move *move = &((Leave *)self)->move;

    if (!guest_power_off(move->agent, move->ctx, move->instance,
                         ovo_bool_or(move->args, "clean_shutdown", true), err))
        return false;
    move_unplug(move);
    return true;
}

/* nova's disk_info: a JSON list, one object a disk. */
static char *disk_list_of(const GPtrArray *disks)
{
    g_autoptr(GString) text = g_string_new("[");

    for (guint i = 0; i < disks->len; i++) {
        const DiskFacts *disk = disks->pdata[i];
        int64_t more = (int64_t)disk->virtual_bytes - (int64_t)disk->allocated_bytes;
        g_autoptr(Ovo) entry = ovo_new_dict();
        g_autofree char *one = NULL;

        ovo_set_str(entry, "type", disk->format == DISK_FORMAT_QCOW2 ? "qcow2" : "raw");
        ovo_set_str(entry, "path", disk->path);
        ovo_set_i64(entry, "virt_disk_size", (int64_t)disk->virtual_bytes);
        ovo_set_str(entry, "backing_file", disk->backing_file ? disk->backing_file : "");
        ovo_set_i64(entry, "disk_size", (int64_t)disk->allocated_bytes);
        ovo_set_i64(entry, "over_committed_disk_size", MAX(more, 0));
        one = ovo_text(entry);
        g_string_append_printf(text, "%s%s", i ? ", " : "", one);
    }
    g_string_append_c(text, ']');
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static bool leave_disks(void *self, GError **err)
{
    Leave *leave = self;
    const Move *move = &leave->move;
    g_autoptr(GPtrArray) disks = NULL;

    if (!disks_facts(move->agent->disks, move->uuid, &disks, err) ||
        !disks_set_aside(move->agent->disks, move->ctx, move->uuid, err))
        return false;
    leave->disk_list = disk_list_of(disks);
    return true;
}

static void leave_disks_back(void *self)
{
    const Move *move = &((Leave *)self)->move;
    g_autoptr(GError) err = NULL;

    if (!disks_take_back(move->agent->disks, move->ctx, move->uuid, &err))
        dv_error(move->ctx, "disks not put back: %s", err->message);
}

static bool leave_hand_over(void *self, GError **err)
{
    static const char *const expected[] = {"resize_migrating", NULL};
    Move *move = &((Leave *)self)->move;

    if (!move_status(move, "post-migrating", err))
        return false;
    ovo_set_from(move->instance, "host", move->migration, "dest_compute");
    ovo_set_from(move->instance, "node", move->migration, "dest_node");
    ovo_set_from(move->instance, "old_flavor", move->instance, "flavor");
    ovo_set_str(move->instance, "task_state", "resize_migrated");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static bool leave_cast(void *self, GError **err)
{
    Leave *leave = self;
    Move *move = &leave->move;
    Ovo *more = ovo_new_dict();

    ovo_set_from(more, "image", move->args, "image");
    ovo_set_str(more, "disk_info", leave->disk_list);
    if (!move_cast(move, ovo_str_or(move->migration, "dest_compute", ""), "finish_resize", more,
                   err))
        return false;
    notify(move, NOTIFY_RESIZE, NOTIFY_END);
    return true;
}

static const OpStep leave_steps[] = {
    {"begin", leave_begin, NULL},         {"check", leave_check, NULL},
    {"power_off", leave_power_off, NULL}, {"disks", leave_disks, leave_disks_back},
    {"hand_over", leave_hand_over, NULL}, {"cast", leave_cast, NULL},
};

static void leave_failed(Leave *leave, const GError *cause)
{
    Move *move = &leave->move;
    g_autoptr(GError) why = NULL;

    dv_error(move->ctx, "resize broken off: %s", cause->message);
    move_failed(move);
    if (!move_revert_allocation(move, &why))
        dv_error(move->ctx, "allocation not given back: %s", why->message);
    if (leave->untouched)
        outcome_restore(move->agent, move->ctx, move->instance, move->old_state);
    else if (!outcome_gone(cause))
        outcome_error(move->agent, move->ctx, move->instance);
}

bool op_resize_instance(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Leave leave = {0};
    g_autoptr(GError) cause = NULL;
    bool ok = move_init(&leave.move, call, &cause);

    if (ok) {
        leave.flavor = ovo_child(call->args, "flavor");
        if (!leave.flavor) /* the 5.x form */
            leave.flavor = ovo_child(call->args, "instance_type");
        ok = (leave.flavor ||
              dv_fail(&cause, DV_E_BAD_INPUT, "resize_instance without a flavor")) &&
             op_run("resize_instance", leave_steps, G_N_ELEMENTS(leave_steps), &leave, call->ctx,
                    &cause);
    }
    if (!ok) {
        if (leave.move.migration)
            leave_failed(&leave, cause);
        g_propagate_error(err, g_steal_pointer(&cause));
    }
    leave_done(&leave);
    return ok;
}

/* ---- confirm_resize ---- */

static bool confirm_aside(void *self, GError **err)
{
    Move *move = self;

    notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_CONFIRM, NOTIFY_START,
                    NULL);
    return disks_forget_aside(move->agent->disks, move->ctx, move->uuid, err);
}

static bool confirm_claim(void *self, GError **err)
{
    Move *move = self;
    g_autoptr(Ovo) flavor = ovo_child(move->instance, "flavor");

    if (!flavor)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
    return move_status(move, "confirmed", err) &&
           tracker_move_end(move->agent->tracker, move->admin, move->instance, flavor, err);
}

/* A server that was stopped may have been started to look at it, and the other way round. */
static bool confirm_active(void *self, GError **err)
{
    static const char *const expected[] = {"", "deleting", "soft-deleting", NULL};
    Move *move = self;
    bool off = ovo_i64_or(move->instance, "power_state", 0) == GUEST_STATE_OFF;

    ovo_set_str(move->instance, "vm_state", off ? "stopped" : "active");
    ovo_set_null(move->instance, "task_state");
    ovo_set_null(move->instance, "migration_context");
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err))
        return false;
    notify(move, NOTIFY_RESIZE_CONFIRM, NOTIFY_END);
    return true;
}

static const OpStep confirm_steps[] = {
    {"aside", confirm_aside, NULL},
    {"claim", confirm_claim, NULL},
    {"active", confirm_active, NULL},
};

/* Whatever happened, the instance is on the destination: nothing is held for it here. */
static bool confirm_end(Move *move, GError **err)
{
    bool here = strcmp(ovo_str_or(move->instance, "host", ""), move->agent->config.host) == 0;

    if (!move_drop_allocation(move, err))
        return false;
    /* nova tells so on one host, too; the schedulers would then not count a server that is here. */
    if (!here)
        outcome_withdraw(move->agent, move->admin, move->uuid);
    return move_forget_flavors(move, err);
}

/* The record as it is now: it may have been deleted, or confirmed by somebody else. */
static bool reread(Move *move, GError **err)
{
    static const char *const attrs[] = {"metadata", "system_metadata", "flavor", "info_cache",
                                        NULL};

    return conductor_instance_get(move->agent->con, move->ctx, move->uuid, attrs, &move->instance,
                                  err);
}

static bool confirm(Move *move, GError **err)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) end = NULL;
    bool ok = op_run("confirm_resize", confirm_steps, G_N_ELEMENTS(confirm_steps), move, move->ctx,
                     &cause);

    if (!ok)
        dv_error(move->ctx, "confirming the resize: %s", cause->message);
    if (!confirm_end(move, &end)) {
        dv_error(move->ctx, "ending the resize: %s", end->message);
        if (!cause)
            cause = g_steal_pointer(&end);
    }
    if (!cause)
        return true;
    move_failed(move);
    if (!outcome_gone(cause))
        outcome_error(move->agent, move->ctx, move->instance);
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static bool may_confirm(const Move *move)
{
    static const char *const wanted[] = {"finished", "confirming", NULL};
    const char *status = ovo_str_or(move->migration, "status", "");

    if (g_strv_contains(wanted, status))
        return true;
    dv_info(move->ctx, "migration %" G_GINT64_FORMAT " is %s: there is nothing to confirm",
            ovo_i64_or(move->migration, "id", 0), status);
    return false;
}

bool op_confirm_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(Ovo) fresh = NULL;
    g_autoptr(GError) cause = NULL;
    bool ok = move_init(&move, call, &cause);

    if (ok && may_confirm(&move)) {
        if (reread(&move, &cause)) {
            fresh = move.instance;
            ok = move_is_local(&move, &cause) && confirm(&move, &cause);
        } else {
            move.instance = call->instance;
            ok = dv_is(cause, DV_E_INSTANCE_NOT_FOUND);
        }
    }
    if (!ok)
        g_propagate_error(err, g_steal_pointer(&cause));
    move_done(&move);
    return ok;
}

/* ---- finish_revert_resize ---- */

static bool back_flavor(void *self, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    Move *move = self;
    g_autoptr(Ovo) old = ovo_child(move->instance, "old_flavor");

    if (!old)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.old_flavor: want a flavor");
    notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_REVERT, NOTIFY_START,
                    NULL);
    move_set_flavor(move->instance, old);
    ovo_set_from(move->instance, "host", move->migration, "source_compute");
    ovo_set_from(move->instance, "node", move->migration, "source_node");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err) &&
           move_set_swap(move, old, err);
}

static bool back_allocation(void *self, GError **err)
{
    return move_revert_allocation(self, err);
}

static bool back_networks(void *self, GError **err)
{
    Move *move = self;
    g_autoptr(NetworkInfo) network = NULL;

    return spawn_bind_networks(move->agent, move->ctx, move->instance, &network, err) &&
           network_cache_store(move->agent, move->ctx, move->instance, network, err);
}

static bool back_disks(void *self, GError **err)
{
    Move *move = self;

    return disks_take_back(move->agent->disks, move->ctx, move->uuid, err);
}

static bool was_stopped(const Move *move)
{
    return strcmp(move_old_state(move), "stopped") == 0;
}

static bool back_guest(void *self, GError **err)
{
    Move *move = self;
    unsigned flags = RELAUNCH_CACHED_NETWORKS | RELAUNCH_WAIT_PLUGGED;

    return guest_relaunch(move->agent, move->ctx, move->instance,
                          flags | (was_stopped(move) ? RELAUNCH_OFF : 0), err);
}

static bool back_active(void *self, GError **err)
{
    static const char *const expected[] = {"resize_reverting", NULL};
    Move *move = self;

    ovo_set_null(move->instance, "migration_context");
    outcome_active(move->instance, "active");
    if (was_stopped(move)) {
        ovo_set_str(move->instance, "vm_state", "resized");
        ovo_set_str(move->instance, "task_state", "powering-off");
    }
    if (!conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err) ||
        (was_stopped(move) && !outcome_stop(move->agent, move->ctx, move->instance, true, err)))
        return false;
    notify_instance(move->agent, move->ctx, move->instance, NOTIFY_RESIZE_REVERT, NOTIFY_END, NULL);
    return true;
}

static const OpStep back_steps[] = {
    {"flavor", back_flavor, NULL},     {"allocation", back_allocation, NULL},
    {"networks", back_networks, NULL}, {"disks", back_disks, NULL},
    {"guest", back_guest, NULL},       {"active", back_active, NULL},
};

bool op_finish_revert_resize(const OpCall *call, json_t **out_result G_GNUC_UNUSED, GError **err)
{
    Move move = {0};
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) end = NULL;
    bool ok = move_init(&move, call, &cause) && move_is_local(&move, &cause) &&
              op_run("finish_revert_resize", back_steps, G_N_ELEMENTS(back_steps), &move, call->ctx,
                     &cause);

    if (!ok) {
        move_failed(&move);
        if (call->instance && !outcome_gone(cause))
            outcome_error(call->agent, call->ctx, call->instance);
    }
    if (move.migration && !move_forget_flavors(&move, &end) && !dv_is(end, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(call->ctx, "flavors of the resize stay in the record: %s", end->message);
    if (ok)
        dv_info(call->ctx, "resize reverted");
    else
        g_propagate_error(err, g_steal_pointer(&cause));
    move_done(&move);
    return ok;
}

/* ---- check_instance_shared_storage ---- */

bool op_check_shared_storage(const OpCall *call, json_t **out_result, GError **err)
{
    g_autoptr(Ovo) data = ovo_child(call->args, "data");
    const char *path = NULL;

    if (!data)
        return dv_fail(err, DV_E_BAD_INPUT, "check_instance_shared_storage without data");
    if (!ovo_str(data, "filename", &path, err))
        return false;
    *out_result = ovo_value_bool(g_path_is_absolute(path) && dv_exists(path));
    return true;
}
