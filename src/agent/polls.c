/* Servers whose user did not come back; see polls.h. */
#include "agent/polls.h"

#include "util/clock.h"
#include "util/log.h"

#include <string.h>

/* ---- resizes ---- */

typedef enum { RESIZE_CONFIRM, RESIZE_LEAVE, RESIZE_BROKEN } ResizeVerdict;

static ResizeVerdict judge_resize(const Ovo *instance)
{
    static const char *const busy[] = {"deleting", "soft-deleting", "resize_finish", NULL};
    const char *vm = ovo_str_or(instance, "vm_state", "");
    const char *task = ovo_str_or(instance, "task_state", NULL);

    if (strcmp(vm, "error") != 0 && task && g_strv_contains(busy, task))
        return RESIZE_LEAVE;
    return strcmp(vm, "resized") == 0 && !task ? RESIZE_CONFIRM : RESIZE_BROKEN;
}

static bool migration_broken(Agent *agent, const DvCtx *ctx, Ovo *migration, const char *why,
                             GError **err)
{
    dv_warning(ctx, "migration %" G_GINT64_FORMAT " becomes error: %s",
               ovo_i64_or(migration, "id", 0), why);
    ovo_set_str(migration, "status", "error");
    return conductor_save(agent->con, ctx, migration, err);
}

/* What the API does when a user confirms. */
static bool request_confirm(Agent *agent, const DvCtx *ctx, Ovo *instance, Ovo *migration,
                            GError **err)
{
    g_autoptr(Ovo) args = ovo_new_dict();

    ovo_set_str(migration, "status", "confirming");
    if (!conductor_save(agent->con, ctx, migration, err) ||
        !conductor_action_start(agent->con, ctx, ovo_str_or(instance, "uuid", ""), "confirmResize",
                                err))
        return false;
    ovo_set_child(args, "instance", instance);
    ovo_set_child(args, "migration", migration);
    return peer_cast(agent->peers, ctx, ovo_str_or(migration, "source_compute", ""),
                     "confirm_resize", PEER_VERSION, args, err);
}

static bool poll_resize(Agent *agent, const DvCtx *ctx, Ovo *migration, GError **err)
{
    static const char *const attrs[] = {"metadata", "system_metadata", "flavor", "info_cache",
                                        NULL};
    const char *uuid = ovo_str_or(migration, "instance_uuid", "");
    g_autoptr(DvCtx) mine = dv_ctx_with_instance(ctx, uuid);
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(GError) cause = NULL;

    if (!conductor_instance_get(agent->con, mine, uuid, attrs, &instance, &cause)) {
        if (dv_is(cause, DV_E_INSTANCE_NOT_FOUND))
            return migration_broken(agent, mine, migration, "its instance is gone", err);
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    switch (judge_resize(instance)) {
    case RESIZE_LEAVE:
        return true;
    case RESIZE_BROKEN:
        return migration_broken(agent, mine, migration, "its instance is not resized", err);
    case RESIZE_CONFIRM:
        break;
    }
    dv_info(mine, "nobody confirmed the resize: confirming it");
    return request_confirm(agent, mine, instance, migration, err);
}

bool poll_unconfirmed_resizes(Agent *agent, const DvCtx *ctx, GError **err)
{
    g_autoptr(Ovo) list = NULL;

    if (agent->config.resize_confirm_window_s <= 0)
        return true;
    if (!conductor_unconfirmed_resizes(agent->con, ctx, agent->config.resize_confirm_window_s,
                                       agent->config.host, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) migration = ovo_at(list, NULL, i);
        g_autoptr(GError) cause = NULL;

        /* One that cannot be confirmed just now is found again by the next run. */
        if (migration && !poll_resize(agent, ctx, migration, &cause))
            dv_warning(ctx, "resize of %s: %s", ovo_str_or(migration, "instance_uuid", "?"),
                       cause->message);
    }
    return true;
}

/* ---- rescues ---- */

static bool is_over(const Ovo *instance, int64_t timeout_s)
{
    const char *launched = ovo_str_or(instance, "launched_at", "");
    int64_t since_ms = 0;

    return dv_time_parse(launched, &since_ms) &&
           dv_clock_wall_ms(dv_clock_real()) - since_ms > timeout_s * 1000;
}

/* What the API does when a user ends the rescue. */
static bool request_unrescue(Agent *agent, const DvCtx *ctx, Ovo *instance, GError **err)
{
    static const char *const expected[] = {"", NULL};
    g_autoptr(Ovo) args = ovo_new_dict();

    ovo_set_str(instance, "task_state", "unrescuing");
    if (!conductor_instance_save(agent->con, ctx, instance, expected, err) ||
        !conductor_action_start(agent->con, ctx, ovo_str_or(instance, "uuid", ""), "unrescue", err))
        return false;
    ovo_set_child(args, "instance", instance);
    return peer_cast(agent->peers, ctx, ovo_str_or(instance, "host", ""), "unrescue_instance",
                     PEER_VERSION, args, err);
}

bool poll_rescued(Agent *agent, const DvCtx *ctx, GError **err)
{
    static const char *const attrs[] = {"system_metadata", NULL};
    g_autoptr(Ovo) filters = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;

    if (agent->config.rescue_timeout_s <= 0)
        return true;
    ovo_set_str(filters, "vm_state", "rescued");
    ovo_set_str(filters, "host", agent->config.host);
    if (!conductor_instances_by_filters(agent->con, ctx, filters, attrs, &list, err))
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        g_autoptr(DvCtx) mine = NULL;
        g_autoptr(GError) cause = NULL;

        if (!instance || !is_over(instance, agent->config.rescue_timeout_s))
            continue;
        mine = dv_ctx_with_instance(ctx, ovo_str_or(instance, "uuid", ""));
        dv_info(mine, "rescued for long enough: ending it");
        if (!request_unrescue(agent, mine, instance, &cause))
            dv_warning(mine, "rescue not ended: %s", cause->message);
    }
    return true;
}
