/* Interrupted live migrations; see recovery_live.h. */
#include "agent/recovery_live.h"

#include "agent/methods.h"
#include "agent/network_cache.h"
#include "agent/ops/live.h"
#include "agent/recovery_moves.h"
#include "agent/recovery_priv.h"
#include "util/log.h"

#include <string.h>

/* How long conductor may take to check hosts one after the other. */
#define CHECKING_S 300
/* A host that has not reported for so long is down to nova as well. */
#define DOWN_S 60

static int64_t age_s(const Ovo *record, const char *const *fields)
{
    int64_t then_ms = 0;

    for (; *fields; fields++) {
        const char *text = ovo_str_or(record, *fields, NULL);

        if (text && dv_time_parse(text, &then_ms))
            return (dv_clock_wall_ms(dv_clock_real()) - then_ms) / 1000;
    }
    return G_MAXINT64; /* nobody says that it is new */
}

/* ---- the source ---- */

/* A guest that is off here may have run on at the destination before this host lost its power:
 * then only its definition is left here. */
static LiveOutcome look_for_it_there(const Live *live, GError **why)
{
    const VirtDriver *virt = live->agent->virt;
    GuestState state = GUEST_STATE_NONE;
    g_autoptr(GError) err = NULL;
    bool there = false;

    if (!virt->ops->state(virt->self, live->uuid, &state, &err) ||
        (!recovery_is_up(state) && !live_ask_dest(live, &there, &err))) {
        g_clear_error(why);
        g_propagate_error(why, g_steal_pointer(&err));
        return LIVE_UNKNOWN;
    }
    if (!there)
        return LIVE_STAYED;
    if (virt->ops->destroy(virt->self, live->ctx, live->uuid, &err))
        return LIVE_MOVED;
    g_clear_error(why);
    g_propagate_error(why, g_steal_pointer(&err));
    return LIVE_UNKNOWN;
}

static LiveOutcome find_guest(Live *live, bool *out_cancelled, GError **why)
{
    LiveOutcome outcome = live_job(live, true, out_cancelled, why);

    return outcome == LIVE_STAYED ? look_for_it_there(live, why) : outcome;
}

/* The instance went another way meanwhile, by an evacuation: what it has now is not ours to change.
 */
static void give_up(Live *live)
{
    Agent *agent = live->agent;
    g_autoptr(GError) err = NULL;

    dv_warning(live->ctx, "the instance is on host %s and did not get there by its live migration",
               ovo_str_or(live->instance, "host", "?"));
    if (!placement_allocations_delete(agent->placement, live->admin,
                                      ovo_str_or(live->migration, "uuid", ""), NULL, &err) ||
        !live_ended(live, "error", &err))
        dv_error(live->ctx, "its live migration stays in progress: %s", err->message);
}

static void stay(Live *live, const char *status, const char *why)
{
    g_autoptr(GError) err = NULL;

    if (strcmp(ovo_str_or(live->instance, "host", ""), live->agent->config.host) != 0) {
        give_up(live);
        return;
    }
    dv_warning(live->ctx, "the live migration to host %s has not come about: %s", live->dest, why);
    live->left = !live_rollback(live, status, &err);
    if (live->left)
        dv_error(live->ctx, "not taken back completely: %s", err->message);
}

static void adopt_run(void *arg)
{
    Live *live = arg;
    g_autoptr(GError) why = NULL;
    g_autoptr(GError) end = NULL;
    bool cancelled = false;

    switch (find_guest(live, &cancelled, &why)) {
    case LIVE_MOVED:
        live->left = !live_finish(live, &end);
        if (live->left)
            dv_error(live->ctx, "the guest has moved to host %s, but: %s", live->dest,
                     end->message);
        break;
    case LIVE_STAYED:
        cancelled |= strcmp(ovo_str_or(live->migration, "status", ""), "cancelled") == 0;
        stay(live, cancelled ? "cancelled" : "failed", why ? why->message : "nobody says why");
        break;
    case LIVE_BROKEN:
        live_broken(live, why);
        break;
    case LIVE_UNKNOWN:
        dv_warning(live->ctx, "it is not known where the guest is: %s; asking again later",
                   why ? why->message : "no answer");
        live->left = true;
        break;
    }
    live_leave(live);
}

/* With a place in the queue, so that others can end it, and wait for its end. */
static bool take_place(Live *live, GError **err)
{
    live->ticket = live_queue_enter(live->agent->live, live->uuid, live->dest, NULL, err);
    if (!live->ticket)
        return false;
    return (live_ticket_prepare(live->ticket) && live_ticket_run(live->ticket)) ||
           dv_fail(err, DV_E_CANCELLED, "the migration was cancelled just now");
}

bool recovery_live_adopt(Interrupted *move, GError **err)
{
    Agent *agent = move->agent;
    Live *live = g_new0(Live, 1);

    if (!live_load(live, agent, move->ctx, move->instance, move->migration, err) ||
        !take_place(live, err)) {
        live_free(live);
        return false;
    }
    dv_pool_submit(agent->pools[POOL_MIGRATE], adopt_run, live, live_free);
    return true;
}

bool recovery_live_accepted(Interrupted *move, GError **err)
{
    static const char *const fields[] = {"updated_at", "created_at", NULL};

    /* Conductor names the node once it has checked the hosts, and sends the request right then. */
    if (!ovo_has_value(move->migration, "dest_node") &&
        age_s(move->migration, fields) < CHECKING_S) {
        recovery_live_later(move->agent, move->ctx, move->uuid);
        return true;
    }
    return recovery_live_adopt(move, err);
}

/* ---- the destination ---- */

static bool is_source_down(const Interrupted *move, bool *out, GError **err)
{
    static const char *const fields[] = {"last_seen_up", "updated_at", NULL};
    g_autoptr(Ovo) service = NULL;

    if (!conductor_service_get(move->agent->con, move->ctx,
                               ovo_str_or(move->migration, "source_compute", ""), "nova-compute",
                               &service, err))
        return false;
    *out = !service || ovo_bool_or(service, "forced_down", false) ||
           age_s(service, fields) > DOWN_S;
    return true;
}

/* One that still comes in is paused. While the source lives, the rest is its to do, and it may give
 * up: nova-compute that gets no answer from here says "completed", and leaves the instance so. */
bool recovery_live_take_over(Interrupted *move, GError **err)
{
    bool done = strcmp(ovo_str_or(move->migration, "status", ""), "completed") == 0;
    bool down = false;
    g_autoptr(Ovo) args = NULL;

    if (!done && move->power != GUEST_STATE_RUNNING)
        return true;
    if (!recovery_is_up(move->power) || (!done && !is_source_down(move, &down, err)))
        return !err || !*err;
    if (!done && !down) {
        recovery_live_later(move->agent, move->ctx, move->uuid);
        return true;
    }
    dv_warning(move->ctx, "the guest has come from host %s, which did not say so",
               ovo_str_or(move->migration, "source_compute", "?"));
    args = ovo_new_dict();
    ovo_set_child(args, "instance", move->instance);
    ovo_set_bool(args, "block_migration", false);
    return dispatch_run(move->agent, methods_find("post_live_migration_at_destination"), move->ctx,
                        args, false, NULL, err);
}

/* A drover at the other end asks again until it has its answer; nova-compute does not. */
bool recovery_live_settle(Interrupted *move, GError **err)
{
    Agent *agent = move->agent;
    const NetworkInstance who = network_instance_of(agent, move->instance);

    return neutron_forget_host(agent->neutron, move->ctx, &who,
                               ovo_str_or(move->migration, "source_compute", ""), err) &&
           disks_receive_done(agent->disks, move->uuid, err);
}
