/* Ends of operations; see outcome.h. Sources: nova compute/manager.py
 * _error_out_instance_on_exception, _update_instance_after_spawn, _update_scheduler_instance_info
 * (Zed). */
#include "agent/ops/outcome.h"

#include "agent/dispatch.h"
#include "agent/methods.h"
#include "services/scheduler.h"
#include "util/log.h"

bool outcome_gone(const GError *cause)
{
    return dv_is(cause, DV_E_INSTANCE_NOT_FOUND) || dv_is(cause, DV_E_DELETING);
}

void outcome_active(Ovo *instance, const char *vm_state)
{
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));

    ovo_set_str(instance, "vm_state", vm_state);
    ovo_set_null(instance, "task_state");
    ovo_set_str(instance, "launched_at", now);
}

static void save_end(Agent *agent, const DvCtx *ctx, Ovo *instance)
{
    g_autoptr(GError) err = NULL;

    if (!conductor_instance_save(agent->con, ctx, instance, NULL, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_error(ctx, "instance not set to %s: %s", ovo_str_or(instance, "vm_state", "null"),
                 err->message);
}

void outcome_error(Agent *agent, const DvCtx *ctx, Ovo *instance)
{
    ovo_set_str(instance, "vm_state", "error");
    save_end(agent, ctx, instance);
}

void outcome_restore(Agent *agent, const DvCtx *ctx, Ovo *instance, const char *vm_state)
{
    ovo_set_str(instance, "vm_state", vm_state);
    ovo_set_null(instance, "task_state");
    save_end(agent, ctx, instance);
}

bool outcome_stop(Agent *agent, const DvCtx *ctx, Ovo *instance, bool clean, GError **err)
{
    const AgentMethod *stop = methods_find("stop_instance");
    g_autoptr(Ovo) args = ovo_new_dict();

    g_assert(stop);
    ovo_set_child(args, "instance", instance);
    ovo_set_bool(args, "clean_shutdown", clean);
    return dispatch_run(agent, stop, ctx, args, false, NULL, err);
}

void outcome_announce(Agent *agent, const DvCtx *ctx, const Ovo *instance)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) list = NULL;

    if (!agent->config.track_instance_changes)
        return;
    list = ovo_new("InstanceList", ovo_version_of(conductor_release(agent->con), "InstanceList"));
    ovo_append(list, NULL, instance);
    if (!scheduler_update_instance_info(agent->rpc, ctx, agent->config.host, list, &err))
        dv_warning(ctx, "scheduler not told: %s", err->message);
}

void outcome_withdraw(Agent *agent, const DvCtx *ctx, const char *uuid)
{
    g_autoptr(GError) err = NULL;

    if (agent->config.track_instance_changes &&
        !scheduler_delete_instance_info(agent->rpc, ctx, agent->config.host, uuid, &err))
        dv_warning(ctx, "scheduler not told: %s", err->message);
}
