/* Interrupted moves as one table; see recovery_moves.h. */
#include "agent/recovery_moves.h"

#include "agent/disk_list.h"
#include "agent/methods.h"
#include "agent/ops/move_files.h"
#include "agent/ops/move_tpm.h"
#include "agent/ops/ops.h"
#include "agent/ops/outcome.h"
#include "agent/ops/rebuild.h"
#include "agent/ops/relaunch.h"
#include "agent/recovery_live.h"
#include "agent/recovery_priv.h"
#include "util/fs.h"
#include "util/log.h"

#include <string.h>

static const char *const attrs[] = {"info_cache", "metadata",   "system_metadata",   "flavor",
                                    "old_flavor", "new_flavor", "migration_context", NULL};

static const char *task_of(const Interrupted *move)
{
    return ovo_str_or(move->instance, "task_state", "");
}

static bool is_in_progress(const Ovo *migration)
{
    static const char *const over[] = {"confirmed", "reverted",  "error", "failed",
                                       "completed", "cancelled", "done",  NULL};

    return !g_strv_contains(over, ovo_str_or(migration, "status", ""));
}

/* ---- doing again what was asked for ---- */

static bool run_again(const Interrupted *move, const char *method, GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();

    ovo_set_child(args, "instance", move->instance);
    ovo_set_child(args, "migration", move->migration);
    return dispatch_run(move->agent, methods_find(method), move->ctx, args, false, NULL, err);
}

/* As the source handed it over: the first try may have saved the new flavor already. */
static bool hand_over_again(const Interrupted *move, GError **err)
{
    static const char *const expected[] = {"resize_finish", NULL};
    g_autoptr(Ovo) old = ovo_child(move->instance, "old_flavor");

    if (strcmp(task_of(move), "resize_finish") != 0)
        return true;
    if (old)
        move_set_flavor(move->instance, old);
    ovo_set_str(move->instance, "task_state", "resize_migrated");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static bool finish_again(Interrupted *move, GError **err)
{
    return hand_over_again(move, err) && run_again(move, "finish_resize", err);
}

static bool confirm_again(Interrupted *move, GError **err)
{
    return run_again(move, "confirm_resize", err);
}

static bool confirmed_again(Interrupted *move, GError **err)
{
    return resize_confirmed(move->agent, move->ctx, move->instance, move->migration, err);
}

static bool revert_again(Interrupted *move, GError **err)
{
    return run_again(move, "revert_resize", err);
}

static bool finish_revert_again(Interrupted *move, GError **err)
{
    return run_again(move, "finish_revert_resize", err);
}

/* ---- the other side was not told ---- */

/* more: a dict, taken; may be NULL. */
static bool tell(const Interrupted *move, const char *side, const char *method, Ovo *more,
                 GError **err)
{
    g_autoptr(Ovo) args = more ? more : ovo_new_dict();

    ovo_set_child(args, "instance", move->instance);
    ovo_set_child(args, "migration", move->migration);
    ovo_set_null(args, "request_spec");
    return peer_cast(move->agent->peers, move->ctx, ovo_str_or(move->migration, side, ""), method,
                     PEER_VERSION, args, err);
}

static bool tell_source_to_finish_revert(Interrupted *move, GError **err)
{
    return tell(move, "source_compute", "finish_revert_resize", NULL, err);
}

static bool tell_dest_to_finish(Interrupted *move, GError **err)
{
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *list = NULL;
    Ovo *more;

    if (!disks_facts_aside(move->agent->disks, move->uuid, &disks, err))
        return false;
    list = disk_list_write(disks);
    more = ovo_new_dict();
    ovo_set_null(more, "image"); /* what the instance remembers of it has to do */
    ovo_set_str(more, "disk_info", list);
    return tell(move, "dest_compute", "finish_resize", more, err);
}

/* ---- taking it back ---- */

static bool give_back(const Interrupted *move, GError **err)
{
    Agent *agent = move->agent;
    const char *from = ovo_str_or(move->migration, "uuid", "");
    g_autoptr(GError) cause = NULL;
    bool moved = false;

    if (!placement_allocations_move(agent->placement, move->ctx, from, move->uuid, &moved, &cause))
        dv_error(move->ctx, "allocation of migration %s not given back: %s", from, cause->message);
    ovo_set_str(move->migration, "status", "error");
    return conductor_save(agent->con, move->ctx, move->migration, err);
}

/* Whoever changes the task state first has the instance. */
static bool clear_task(const Interrupted *move, GError **err)
{
    g_autofree char *task = g_strdup(task_of(move));
    const char *const expected[] = {task, NULL};

    ovo_set_null(move->instance, "task_state");
    ovo_set_null(move->instance, "new_flavor");
    ovo_set_null(move->instance, "migration_context");
    ovo_dict_set(move->instance, "system_metadata", "old_vm_state", NULL);
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static bool undo_prep(Interrupted *move, GError **err)
{
    return clear_task(move, err) && give_back(move, err);
}

/* Another host may be at it: it finds out when it goes on. */
static bool forget_prep(Interrupted *move, GError **err)
{
    static const char *const expected[] = {"resize_prep", NULL};

    ovo_set_null(move->instance, "task_state");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

/* What had got across by then, down to the directory that the destination was found by. */
static void take_files_back(const Move *files)
{
    if (files->migration && !move_same_host(files) &&
        !ovo_bool_or(files->migration, "cross_cell_move", false))
        move_files_take_back(files);
}

static bool take_guest_back(const Interrupted *move, GError **err)
{
    bool was_off = g_strcmp0(ovo_dict_str(move->instance, "system_metadata", "old_vm_state"),
                             "stopped") == 0;
    unsigned flags = RELAUNCH_CACHED_NETWORKS | (was_off ? RELAUNCH_OFF : 0);
    const Move files = {
        .agent = move->agent,
        .ctx = move->ctx,
        .instance = move->instance,
        .migration = move->migration,
        .uuid = move->uuid,
    };

    if (recovery_is_up(move->power)) { /* it had not come to the guest yet, and sent nothing */
        g_autofree char *aside = disks_aside_dir(move->agent->disks, move->uuid);

        if (!dv_exists(aside))
            take_files_back(&files);
        return true;
    }
    take_files_back(&files);
    return disks_take_back(move->agent->disks, move->ctx, move->uuid, err) &&
           move_tpm_unpack(&files, err) &&
           guest_relaunch(move->agent, move->ctx, move->instance, flags, err);
}

/* Whatever came of the guest, the instance gets its freedom and its allocation back. */
static bool undo_resize(Interrupted *move, GError **err)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) saving = NULL;
    bool back = take_guest_back(move, &cause);
    bool saved = clear_task(move, &saving) && (!move->migration || give_back(move, &saving));

    if (back && saved)
        return true;
    g_propagate_error(err, back ? g_steal_pointer(&saving) : g_steal_pointer(&cause));
    return false;
}

/* A job that still runs is ended. Its record says error, so that the operator looks. */
static bool end_live_migration(Interrupted *move, GError **err)
{
    static const char *const expected[] = {"migrating", NULL};
    const VirtDriver *virt = move->agent->virt;
    g_autoptr(GError) cause = NULL;

    if (!virt->ops->abort_job(virt->self, move->ctx, move->uuid, &cause))
        dv_error(move->ctx, "the live migration is not aborted: %s", cause->message);
    if (move->migration && is_in_progress(move->migration)) {
        ovo_set_str(move->migration, "status", "error");
        if (!conductor_save(move->agent->con, move->ctx, move->migration, err))
            return false;
    }
    ovo_set_null(move->instance, "task_state");
    return conductor_instance_save(move->agent->con, move->ctx, move->instance, expected, err);
}

static bool recover_evacuation(Interrupted *move, GError **err)
{
    return evacuate_recover(move->agent, move->ctx, move->instance, move->migration, move->power,
                            err);
}

/* ---- the table ---- */

#define ANY NULL
#define COLD "migration|resize"
#define LIVE "live-migration"
#define HERE 1
#define AWAY 2
#define EITHER (HERE | AWAY)
#define SOURCE 4
#define DEST 8
#define NO_DEST 16 /* none is on record: looked at here since placement has it on this host */
#define TWICE true
#define AT_ONCE false

/* clang-format off */
static const struct {
    const char *types, *statuses, *tasks; /* "a|b" */
    unsigned where;                       /* the instance's host, and this host's side of the move */
    bool twice;                           /* the request may still be on its way */
    const char *what;
    bool (*run)(Interrupted *move, GError **err);
} rows[] = {
    {"evacuation", "pre-migrating", ANY,                AWAY | DEST,   AT_ONCE, "an evacuation to here", recover_evacuation},
    {"evacuation", "accepted", "rebuilding",            AWAY | DEST | NO_DEST, TWICE, "an evacuation to here", recover_evacuation},
    {COLD, "accepted|pre-migrating", "resize_prep",     EITHER | DEST, TWICE,   "taking a resize's claim back", undo_prep},
    {COLD, "accepted|pre-migrating", "resize_prep",     AWAY | NO_DEST, TWICE,  "taking a resize back", undo_prep},
    {COLD, "pre-migrating", "resize_prep",              HERE | SOURCE, TWICE,   "taking a resize back", undo_prep},
    {COLD, ANY, "resize_migrating",                     HERE | SOURCE, AT_ONCE, "taking a resize back", undo_resize},
    {COLD, "post-migrating", "resize_migrated|resize_finish",
                                                        HERE | DEST,   TWICE,   "finishing a resize", finish_again},
    {COLD, "post-migrating", "resize_migrated",         AWAY | SOURCE, TWICE,   "handing a resize over", tell_dest_to_finish},
    {COLD, "confirming", "",                            EITHER | SOURCE, TWICE, "confirming a resize", confirm_again},
    {COLD, "confirmed", "",                             EITHER | SOURCE, AT_ONCE, "ending a confirmed resize", confirmed_again},
    {COLD, "reverting", "resize_reverting",             HERE | DEST,   TWICE,   "reverting a resize", revert_again},
    {COLD, "reverted", "resize_reverting",              EITHER | SOURCE, TWICE, "finishing a revert", finish_revert_again},
    {COLD, "reverted", "resize_reverting",              HERE | DEST,   TWICE,   "handing a revert over", tell_source_to_finish_revert},
    {LIVE, "accepted", "migrating",                     HERE | SOURCE, TWICE,   "a live migration nobody began", recovery_live_accepted},
    {LIVE, ANY, "migrating",                            HERE | SOURCE, AT_ONCE, "adopting a live migration", recovery_live_adopt},
    {LIVE, "running|running (post-copy)", ANY,          AWAY | SOURCE, TWICE,   "ending a live migration", recovery_live_adopt},
    {LIVE, "completed|running|running (post-copy)", "migrating",
                                                        AWAY | DEST,   TWICE,   "a guest that has come here", recovery_live_take_over},
    {LIVE, "completed|running|running (post-copy)", "", HERE | DEST,   TWICE,   "a guest that was taken over", recovery_live_settle},
    /* whatever its migrations are: the instance is not to stay in its task state */
    {ANY, ANY, "resize_prep",                           HERE,          TWICE,   "forgetting a resize", forget_prep},
    {ANY, ANY, "resize_migrating",                      HERE,          AT_ONCE, "taking a resize back", undo_resize},
    {ANY, ANY, "migrating",                             HERE,          AT_ONCE, "ending a live migration", end_live_migration},
};
/* clang-format on */

static bool is_mine(const Interrupted *move, const char *field)
{
    return strcmp(ovo_str_or(move->migration, field, ""), move->agent->config.host) == 0;
}

static bool migration_fits(const Interrupted *move, size_t row)
{
    unsigned where = rows[row].where;
    const Ovo *migration = move->migration;

    if (!rows[row].types)
        return true;
    /* between cells conductor leads, and takes back what it has no answer to */
    if (!migration || ovo_bool_or(migration, "cross_cell_move", false))
        return false;
    return (((where & SOURCE) && is_mine(move, "source_compute")) ||
            ((where & DEST) && is_mine(move, "dest_compute")) ||
            ((where & NO_DEST) && !ovo_has_value(migration, "dest_compute"))) &&
           recovery_is_one_of(rows[row].types, ovo_str_or(migration, "migration_type", "")) &&
           (!rows[row].statuses ||
            recovery_is_one_of(rows[row].statuses, ovo_str_or(migration, "status", "")));
}

static bool fits(const Interrupted *move, size_t row)
{
    bool here = strcmp(ovo_str_or(move->instance, "host", ""), move->agent->config.host) == 0;

    return (rows[row].where & (here ? HERE : AWAY)) && migration_fits(move, row) &&
           (!rows[row].tasks || recovery_is_one_of(rows[row].tasks, task_of(move)));
}

/* ---- looking ---- */

typedef struct Look {
    Agent *agent;
    DvCtx *ctx; /* with the instance's uuid */
    char *uuid;
    bool second;
    bool live; /* nothing but live migrations */
} Look;

static void look_free(void *arg)
{
    Look *look = arg;

    dv_ctx_unref(look->ctx);
    g_free(look->uuid);
    g_free(look);
}

static Look *look_new(Agent *agent, const DvCtx *ctx, const char *uuid)
{
    Look *look = g_new0(Look, 1);

    look->agent = agent;
    look->ctx = dv_ctx_with_instance(ctx, uuid);
    look->uuid = g_strdup(uuid);
    return look;
}

static void look_run(void *arg);

static void look_queue(Look *look)
{
    dv_lanes_submit(look->agent->lanes, look->uuid, look->agent->pools[POOL_GENERAL], look_run,
                    look, look_free);
}

/* What the timer holds is its own, and ends with its entry. */
static void look_due(void *arg)
{
    const Look *due = arg;
    Look *look = look_new(due->agent, due->ctx, due->uuid);

    look->second = due->second;
    look->live = due->live;
    look_queue(look);
}

/* The look goes on, later. */
static void look_later(Look *look)
{
    int64_t pause_ms = look->agent->second_look_ms;

    look->second = true;
    if (pause_ms > 0)
        dv_timer_add(look->agent->timer, pause_ms, 0, look_due, look, look_free);
    else
        look_queue(look);
}

static bool read_move(const Look *look, Interrupted *out, GError **err)
{
    Agent *agent = look->agent;
    const VirtDriver *virt = agent->virt;

    return conductor_instance_get(agent->con, look->ctx, look->uuid, attrs, &out->instance, err) &&
           conductor_migration_newest(agent->con, look->ctx, look->uuid, &out->migration, err) &&
           virt->ops->state(virt->self, look->uuid, &out->power, err);
}

/* True: it is to be looked at again. */
static bool look_at(const Look *look, Interrupted *move, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (!fits(move, i) || (look->live && g_strcmp0(rows[i].types, LIVE) != 0))
            continue;
        if (rows[i].twice && !look->second)
            return true;
        dv_warning(look->ctx, "found %s/%s, %s %s, at start: %s",
                   ovo_str_or(move->instance, "vm_state", "?"), task_of(move),
                   move->migration ? ovo_str_or(move->migration, "migration_type", "?") : "no",
                   move->migration ? ovo_str_or(move->migration, "status", "?") : "migration",
                   rows[i].what);
        rows[i].run(move, err);
        return false;
    }
    return false;
}

static void look_run(void *arg)
{
    Look *look = arg;
    Interrupted move = {.agent = look->agent, .ctx = look->ctx, .uuid = look->uuid};
    g_autoptr(GError) err = NULL;
    bool known = read_move(look, &move, &err);
    /* one that was seen to be interrupted is not forgotten while nobody answers */
    bool again = known ? look_at(look, &move, &err)
                       : dv_is(err, DV_E_TIMEOUT) || dv_is(err, DV_E_UNAVAILABLE);

    if (err && !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(look->ctx, "a move that was interrupted: %s", err->message);
    ovo_unref(move.instance);
    ovo_unref(move.migration);
    if (again)
        look_later(look);
    else
        look_free(look);
}

void recovery_live_later(Agent *agent, const DvCtx *ctx, const char *instance_uuid)
{
    Look *look;

    if (agent_stopping(agent))
        return;
    look = look_new(agent, ctx, instance_uuid);
    look->live = true;
    look_later(look);
}

bool recover_move(const Recovery *rec, GError **err G_GNUC_UNUSED)
{
    recovery_moves_note(rec->agent, rec->uuid);
    return true;
}

/* ---- what there is to look at ---- */

static bool is_resting(const Ovo *migration)
{
    static const char *const statuses[] = {"finished", "error", NULL};

    return g_strv_contains(statuses, ovo_str_or(migration, "status", ""));
}

void recovery_moves_note(Agent *agent, const char *instance_uuid)
{
    if (!agent->moving)
        agent->moving = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_add(agent->moving, g_strdup(instance_uuid));
}

static void note_migrations(Agent *agent)
{
    g_autoptr(Ovo) list = tracker_migrations(agent->tracker);

    for (size_t i = 0; list && i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(list, NULL, i);

        if (migration && !is_resting(migration))
            recovery_moves_note(agent, ovo_str_or(migration, "instance_uuid", ""));
    }
}

static void note_disks_aside(Agent *agent, const DvCtx *ctx)
{
    g_auto(GStrv) uuids = NULL;
    g_autoptr(GError) err = NULL;

    if (!disks_list_aside(agent->disks, &uuids, &err))
        dv_warning(ctx, "disks set aside for resizes are not looked for: %s", err->message);
    for (size_t i = 0; uuids && uuids[i]; i++)
        recovery_moves_note(agent, uuids[i]);
}

void recovery_moves(Agent *agent, const DvCtx *ctx)
{
    g_autoptr(GHashTable) all = NULL;
    GHashTableIter iter;
    gpointer uuid;

    note_migrations(agent);
    note_disks_aside(agent, ctx);
    all = g_steal_pointer(&agent->moving);
    if (!all)
        return;
    g_hash_table_iter_init(&iter, all);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        look_queue(look_new(agent, ctx, uuid));
}
