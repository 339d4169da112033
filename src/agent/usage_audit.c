/* The usage audit; see usage_audit.h. */
#include "agent/usage_audit.h"

#include "agent/notify.h"
#include "objects/notification.h"
#include "util/log.h"

#define TASK_NAME "instance_usage_audit"

static Ovo *new_log(Agent *agent, int64_t begin_ms, int64_t end_ms, size_t instances)
{
    Ovo *log = ovo_new("TaskLog", ovo_version_of(conductor_release(agent->con), "TaskLog"));
    g_autofree char *begin = dv_time_object(begin_ms);
    g_autofree char *end = dv_time_object(end_ms);

    ovo_set_str(log, "task_name", TASK_NAME);
    ovo_set_str(log, "period_beginning", begin);
    ovo_set_str(log, "period_ending", end);
    ovo_set_str(log, "host", agent->config.host);
    ovo_set_i64(log, "task_items", (int64_t)instances);
    ovo_set_str(log, "message", "Instance usage audit started...");
    return log;
}

static bool run(Agent *agent, const DvCtx *ctx, int64_t begin_ms, int64_t end_ms, GError **err)
{
    static const char *const attrs[] = {"system_metadata", "info_cache", "metadata", "flavor",
                                        NULL};
    int64_t start_ms = dv_now_ms();
    g_autoptr(Ovo) list = NULL;
    g_autoptr(Ovo) log = NULL;
    g_autofree char *message = NULL;
    size_t count;

    if (!conductor_instances_active(agent->con, ctx, begin_ms, end_ms, agent->config.host, attrs,
                                    &list, err))
        return false;
    count = ovo_count(list, NULL);
    dv_info(ctx, "usage audit of %zu instances", count);
    log = new_log(agent, begin_ms, end_ms, count);
    /* whoever begins first tells it */
    if (!conductor_task_log_begin(agent->con, ctx, log, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        g_autoptr(Ovo) instance = ovo_at(list, NULL, i);
        g_autoptr(DvCtx) mine = NULL;

        if (!instance)
            continue;
        mine = dv_ctx_with_instance(ctx, ovo_str_or(instance, "uuid", NULL));
        notify_existed(agent, mine, instance, begin_ms, end_ms);
    }
    message = g_strdup_printf(
        "Instance usage audit ran for host %s, %zu instances in %.3f seconds.", agent->config.host,
        count, (double)(dv_now_ms() - start_ms) / 1000);
    ovo_set_i64(log, "errors", 0); /* what cannot be sent is logged where it happens */
    ovo_set_str(log, "message", message);
    return conductor_task_log_end(agent->con, ctx, log, err);
}

bool usage_audit(Agent *agent, const DvCtx *ctx, GError **err)
{
    const char *period = agent->config.notify.audit_period;
    int64_t begin_ms, end_ms;
    g_autoptr(Ovo) log = NULL;

    if (!agent->config.instance_usage_audit)
        return true;
    if (!notification_period(period, dv_clock_wall_ms(dv_clock_real()), &begin_ms, &end_ms))
        return dv_fail(err, DV_E_BAD_CONFIG, "instance_usage_audit_period %s has no day this month",
                       period);
    return conductor_task_log_get(agent->con, ctx, TASK_NAME, begin_ms, end_ms, agent->config.host,
                                  &log, err) &&
           (log || run(agent, ctx, begin_ms, end_ms, err));
}
