/* A resize or cold migration, the source's side: resize_instance stops the guest, sets its disks
 * aside, sends them to where it moves, and hands the instance over.
 *
 * It can be undone until the instance's host is saved; what it refuses (a disk that would shrink, a
 * destination that cannot be reached or has no room) is refused while the guest still runs. From
 * the save on the server is the destination's, whatever becomes of the message that says so: that
 * may have been received by the time it is given up. Sources: nova compute/manager.py
 * resize_instance; virt/libvirt/driver.py migrate_disk_and_power_off (Zed). */
#include "agent/disk_list.h"
#include "agent/guest_tpm.h"
#include "agent/network_cache.h"
#include "agent/op.h"
#include "agent/ops/move_files.h"
#include "agent/ops/move_tpm.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/power_off.h"

#include "util/log.h"

#include <string.h>

/* How the disks get to where the server goes. */
typedef enum { LEAVE_HERE, LEAVE_SHARED, LEAVE_SENT } LeaveWay;

typedef struct Leave {
    Move move;
    Ovo *flavor;
    GPtrArray *disks; /* DiskFacts: the destination is told */
    LeaveWay way;
    const char *image_id; /* the destination can have it from glance; NULL: it cannot */
    bool untouched;       /* the guest still runs as it did */
    bool handed_over;     /* the instance is the destination's, */
    bool unsure;          /* or nobody said whether it is */
} Leave;

static void leave_done(Leave *leave)
{
    move_done(&leave->move);
    ovo_unref(leave->flavor);
    if (leave->disks)
        g_ptr_array_unref(leave->disks);
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
    if (!conductor_bdms_get(move->agent->con, move->ctx, move->uuid, &bdms, err))
        return false;
    if (!now)
        return dv_fail(err, DV_E_BAD_INPUT, "Instance.flavor: want a flavor");
    if (ovo_i64_or(leave->flavor, "root_gb", 0) < ovo_i64_or(now, "root_gb", 0) ||
        ovo_i64_or(leave->flavor, "ephemeral_gb", 0) < ephemeral_gib(bdms, now))
        return dv_fail(err, DV_E_RESIZE, "Resize error: Unable to resize disk down.");
    return guest_tpm_check_move(move->instance, leave->flavor, err);
}

static uint64_t bytes_of(const GPtrArray *disks)
{
    uint64_t sum = 0;

    for (guint i = 0; i < disks->len; i++)
        sum += ((const DiskFacts *)disks->pdata[i])->allocated_bytes;
    return sum;
}

/* What is wrong between two hosts is for the operator's log. */
static bool fail_unreachable(const Leave *leave, const GError *why, GError **err)
{
    dv_error(leave->move.ctx, "the disks cannot go to %s: %s", move_address(&leave->move),
             why->message);
    return dv_fail(err, DV_E_RESIZE, "Resize error: %s",
                   dv_is(why, DV_E_NO_SPACE) ? "not enough disk space on the destination host."
                                             : "not able to reach the destination host.");
}

/* An image that is gone since is no base that another host could make. In doubt it is there: then
 * the destination says what it lacks. */
static const char *image_of(const Move *move)
{
    const char *id = ovo_str_or(move->instance, "image_ref", NULL);
    g_autoptr(GlanceImage) image = NULL;
    g_autoptr(GError) why = NULL;

    if (!id || !*id)
        return NULL;
    if (!glance_image_get(move->agent->glance, move->ctx, id, &image, &why))
        return dv_is(why, DV_E_IMAGE_NOT_FOUND) ? NULL : id;
    return strcmp(image->status, "active") == 0 ? id : NULL;
}

static bool find_way(Leave *leave, GError **err)
{
    const Move *move = &leave->move;
    g_autoptr(GPtrArray) disks = NULL;
    bool shared = false;

    if (move_same_host(move)) {
        leave->way = LEAVE_HERE;
        return true;
    }
    if (!move_files_shared(move, ovo_str_or(move->migration, "dest_compute", ""), &shared, err))
        return false;
    leave->way = shared ? LEAVE_SHARED : LEAVE_SENT;
    leave->image_id = shared ? NULL : image_of(move);
    return shared || (disks_facts(move->agent->disks, move->uuid, &disks, err) &&
                      move_files_begin(move, bytes_of(disks), err));
}

static bool leave_way(void *self, GError **err)
{
    Leave *leave = self;
    g_autoptr(GError) why = NULL;

    if (!find_way(leave, &why))
        return fail_unreachable(leave, why, err);
    leave->untouched = false;
    move_notify(&leave->move, NOTIFY_RESIZE, NOTIFY_START);
    return true;
}

static void leave_way_back(void *self)
{
    const Leave *leave = self;

    if (leave->way == LEAVE_SENT && !leave->handed_over && !leave->unsure)
        move_files_take_back(&leave->move);
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

static bool leave_disks(void *self, GError **err)
{
    Leave *leave = self;
    const Move *move = &leave->move;

    if (!disks_facts(move->agent->disks, move->uuid, &leave->disks, err) ||
        !move_tpm_pack(move, err))
        return false;
    if (leave->way == LEAVE_SENT ? disks_rename_aside(move->agent->disks, move->uuid, err)
                                 : disks_set_aside(move->agent->disks, move->ctx, move->uuid, err))
        return true;
    (void)move_tpm_drop(move, NULL); /* the guest goes on with the one that libvirt has */
    return false;
}

static void leave_disks_back(void *self)
{
    const Leave *leave = self;
    const Move *move = &leave->move;
    g_autoptr(GError) err = NULL;

    if (leave->handed_over && leave->way != LEAVE_HERE)
        return;
    if (!disks_take_back(move->agent->disks, move->ctx, move->uuid, &err) ||
        !move_tpm_unpack(move, &err))
        dv_error(move->ctx, "disks not put back: %s", err->message);
}

static bool leave_send(void *self, GError **err)
{
    const Leave *leave = self;
    const Move *move = &leave->move;
    bool ok;

    if (leave->way != LEAVE_SENT)
        return true;
    ok = disks_flatten_aside(move->agent->disks, move->ctx, move->uuid, leave->image_id,
                             leave->disks, err) &&
         move_files_send(move, err);
    disks_unflatten_aside(move->agent->disks, move->ctx, move->uuid);
    return ok;
}

static void leave_send_back(void *self)
{
    leave_way_back(self);
}

static bool leave_ports(void *self, GError **err)
{
    const Leave *leave = self;

    return leave->way == LEAVE_HERE ||
           move_activate_ports(&leave->move, ovo_str_or(leave->move.migration, "dest_compute", ""),
                               err);
}

/* Back to here, where the server will be mended. */
static void leave_ports_back(void *self)
{
    const Leave *leave = self;
    const Move *move = &leave->move;
    g_autoptr(GError) err = NULL;

    if (leave->way != LEAVE_HERE && !leave->handed_over &&
        !move_activate_ports(move, move->agent->config.host, &err))
        dv_warning(move->ctx, "ports stay bound to the destination: %s", err->message);
}

/* A save without an answer may have been made: then what the record says counts. When that cannot
 * be asked either, the disks stay on both sides. */
static bool is_there_all_the_same(Leave *leave, const GError *cause)
{
    const Move *move = &leave->move;
    const char *dest = ovo_str_or(move->migration, "dest_compute", "");
    g_autoptr(Ovo) now = NULL;

    if (!dv_is(cause, DV_E_TIMEOUT) && !dv_is(cause, DV_E_UNAVAILABLE))
        return false;
    leave->unsure = !move_reread(move, &now, NULL);
    return now && strcmp(ovo_str_or(now, "host", ""), dest) == 0;
}

static bool leave_hand_over(void *self, GError **err)
{
    static const char *const expected[] = {"resize_migrating", NULL};
    Leave *leave = self;
    Move *move = &leave->move;
    g_autoptr(GError) cause = NULL;

    if (!move_status(move, "post-migrating", err))
        return false;
    ovo_set_from(move->instance, "host", move->migration, "dest_compute");
    ovo_set_from(move->instance, "node", move->migration, "dest_node");
    ovo_set_from(move->instance, "old_flavor", move->instance, "flavor");
    ovo_set_str(move->instance, "task_state", "resize_migrated");
    leave->handed_over = conductor_instance_save(move->agent->con, move->ctx, move->instance,
                                                 expected, &cause) ||
                         is_there_all_the_same(leave, cause);
    if (leave->handed_over)
        return true;
    /* What is saved of the instance from here on says that it is here. */
    ovo_set_from(move->instance, "host", move->migration, "source_compute");
    ovo_set_from(move->instance, "node", move->migration, "source_node");
    ovo_set_str(move->instance, "task_state", "resize_migrating");
    g_propagate_error(err, g_steal_pointer(&cause));
    return false;
}

static bool leave_cast(void *self, GError **err)
{
    Leave *leave = self;
    Move *move = &leave->move;
    Ovo *more = ovo_new_dict();
    g_autofree char *list = disk_list_write(leave->disks);

    ovo_set_from(more, "image", move->args, "image");
    ovo_set_str(more, "disk_info", list);
    if (!move_cast(move, ovo_str_or(move->migration, "dest_compute", ""), "finish_resize", more,
                   err))
        return false;
    move_notify(move, NOTIFY_RESIZE, NOTIFY_END);
    return true;
}

static const OpStep leave_steps[] = {
    {"begin", leave_begin, NULL},
    {"check", leave_check, NULL},
    {"way", leave_way, leave_way_back},
    {"power_off", leave_power_off, NULL},
    {"disks", leave_disks, leave_disks_back},
    {"send", leave_send, leave_send_back},
    {"ports", leave_ports, leave_ports_back},
    {"hand_over", leave_hand_over, NULL},
    {"cast", leave_cast, NULL},
};

/* Where the server is for good, its allocation is to be. */
static bool settle_allocation(Leave *leave, GError **err)
{
    return leave->handed_over && leave->way != LEAVE_HERE
               ? move_drop_allocation(&leave->move, err)
               : move_revert_allocation(&leave->move, err);
}

static void leave_failed(Leave *leave, const GError *cause)
{
    Move *move = &leave->move;
    g_autoptr(GError) why = NULL;

    dv_error(move->ctx, "resize broken off: %s", cause->message);
    move_failed(move);
    if (!settle_allocation(leave, &why))
        dv_error(move->ctx, "allocation not put right: %s", why->message);
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
