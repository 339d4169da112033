/* Requests to lanes and workers, and what nova's decorators do around a method; see dispatch.h.
 * Sources: nova compute/manager.py: reverts_task_state, wrap_instance_fault; compute/utils.py:
 * EventReporter. */
#include "agent/dispatch.h"

#include "agent/faults.h"
#include "agent/methods.h"
#include "agent/notify.h"
#include "util/log.h"
#include "util/metrics.h"

typedef struct Job {
    Agent *agent;
    const AgentMethod *method;
    RpcRequest *request;
    char *closed; /* instance whose waits `arrive` closed, or NULL */
} Job;

/* ---- what surrounds an operation ---- */

void dispatch_record_fault(Agent *agent, const DvCtx *ctx, const char *uuid, const GError *err,
                           const char *message)
{
    g_autoptr(GError) save_err = NULL;
    g_autofree char *text = message ? g_strdup(message) : fault_message(err);
    g_autofree char *details = NULL;
    RpcFault fault;
    int code;

    fault_of_error(err, &fault);
    /* A message of its own is that of an exception that nova wraps around the cause: those are 500.
     */
    code = message || !fault.code ? 500 : fault.code;
    /* Details are shown to administrators only; nova puts a traceback there for code 500. */
    details = code == 500 ? dv_redact(err->message) : g_strdup("");
    if (!conductor_fault_create(agent->con, ctx, uuid, code, text, details, agent->config.host,
                                &save_err) &&
        !dv_is(save_err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(ctx, "instance fault not recorded: %s", save_err->message);
}

/* Cut short because the agent ends: what the task state says is taken up by the next start. */
static bool left_for_next_start(const OpCall *call, const GError *cause)
{
    return dv_is(cause, DV_E_CANCELLED) && agent_stopping(call->agent);
}

static void revert_task_state(const OpCall *call, const GError *cause)
{
    g_autoptr(GError) err = NULL;

    if (dv_is(cause, DV_E_UNEXPECTED_TASK_STATE) || dv_is(cause, DV_E_DELETING) ||
        (dv_is(cause, DV_E_CANCELLED) && waits_closed(call->agent->waits, call->uuid))) {
        dv_info(call->ctx, "task possibly preempted: %s", cause->message);
        return;
    }
    if (left_for_next_start(call, cause)) {
        dv_info(call->ctx, "task left to the next start: %s", cause->message);
        return;
    }
    ovo_set_null(call->instance, "task_state");
    if (!conductor_instance_save(call->agent->con, call->ctx, call->instance, NULL, &err) &&
        !dv_is(err, DV_E_INSTANCE_NOT_FOUND))
        dv_warning(call->ctx, "task state not reverted: %s", err->message);
}

static bool run_surrounded(const OpCall *call, json_t **out_result, GError **err)
{
    const AgentMethod *method = call->method;
    unsigned flags = call->instance ? method->flags : 0;
    g_autofree char *event = g_strconcat("compute_", method->name, NULL);
    g_autoptr(GError) cause = NULL;
    g_autoptr(GError) event_err = NULL;
    bool ok;

    if ((flags & METHOD_EVENT) && !conductor_event_start(call->agent->con, call->ctx, call->uuid,
                                                         event, call->agent->config.host, err)) {
        dv_within(err, "%s", method->name);
        if (flags & METHOD_REVERT)
            revert_task_state(call, err ? *err : NULL);
        return false;
    }
    ok = method->run(call, out_result, &cause);
    if (!ok && (flags & METHOD_FAULT) && !dv_is(cause, DV_E_INSTANCE_NOT_FOUND) &&
        !left_for_next_start(call, cause))
        dispatch_record_fault(call->agent, call->ctx, call->uuid, cause, NULL);
    if (flags & METHOD_EVENT) {
        g_autofree char *text = ok ? NULL : fault_message(cause);

        if (!conductor_event_finish(call->agent->con, call->ctx, call->uuid, event, text, text,
                                    &event_err))
            dv_warning(call->ctx, "action event %s not finished: %s", event, event_err->message);
    }
    if (!ok && (flags & METHOD_REVERT))
        revert_task_state(call, cause);
    if (!ok)
        g_propagate_error(err, g_steal_pointer(&cause));
    return ok;
}

bool dispatch_run(Agent *agent, const AgentMethod *method, const DvCtx *ctx, const Ovo *args,
                  bool old_form, json_t **out_result, GError **err)
{
    g_autoptr(Ovo) instance = ovo_child(args, "instance");
    const char *uuid = instance ? ovo_str_or(instance, "uuid", NULL) : NULL;
    g_autoptr(DvCtx) mine = uuid ? dv_ctx_with_instance(ctx, uuid) : dv_ctx_ref(ctx);
    OpCall call = {agent, method, mine, args, uuid ? instance : NULL, uuid, old_form};

    if (instance && !uuid)
        return dv_fail(err, DV_E_BAD_INPUT, "%s: the instance has no uuid", method->name);
    return run_surrounded(&call, out_result, err);
}

/* ---- requests ---- */

static void job_free(Job *job)
{
    if (job->closed)
        waits_open(job->agent->waits, job->closed);
    g_free(job->closed);
    g_free(job);
}

static void job_drop(void *arg)
{
    Job *job = arg;

    if (job->request)
        rpc_request_fail(job->request,
                         &(RpcFault){"ServiceUnavailable", "nova.exception", "stopping", 0});
    job_free(job);
}

/* Methods that answer on the RPC thread need nothing of the host, all others wait for its start. */
static bool may_run(const Job *job, GError **err)
{
    return job->method->lane == LANE_INLINE || gate_pass(job->agent->gate) ||
           dv_fail(err, DV_E_CANCELLED, "%s: the service is stopping", job->method->name);
}

/* For /metrics: how often, how it ended, how long it took without the wait for its lane. */
static void count(const AgentMethod *method, bool ok, int64_t took_ms)
{
    g_autofree char *total = g_strdup_printf(
        "drover_operations_total{method=\"%s\",outcome=\"%s\"}", method->name,
        ok ? "done" : "failed");
    g_autofree char *seconds = g_strdup_printf("drover_operation_seconds{method=\"%s\"}",
                                               method->name);

    dv_metric_add(dv_metric(total, "Requests worked on; builds that failed are done, see "
                                   "drover_builds_total."),
                  1);
    dv_histogram_time(dv_histogram(seconds, "How long the work on a request took."), took_ms);
}

static void job_run(void *arg)
{
    Job *job = arg;
    RpcRequest *request = g_steal_pointer(&job->request);
    g_autoptr(DvCtx) ctx = dv_ctx_ref(rpc_request_ctx(request));
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) args = ovo_view_dict(rpc_request_args(request), &err);
    json_t *result = NULL;
    int64_t start_ms = 0;
    bool ok = false;
    bool old_form = rpc_request_version(request) && rpc_request_version(request)[0] == '5';

    if (args && may_run(job, &err)) {
        start_ms = dv_now_ms();
        ok = dispatch_run(job->agent, job->method, ctx, args, old_form, &result, &err);
        count(job->method, ok, dv_now_ms() - start_ms);
    }
    if (ok) {
        rpc_request_reply(request, result);
    } else {
        RpcFault fault;
        g_autofree char *text = dv_redact(err->message);

        dv_warning(ctx, "%s failed: %s", job->method->name, text);
        if (args && start_ms && methods_find(job->method->name) == job->method)
            notify_failed_request(job->agent, ctx, job->method->name, args, err);
        fault_of_error(err, &fault);
        fault.message = text;
        ovo_value_free(result);
        rpc_request_fail(request, &fault);
    }
    job_free(job);
}

/* The instance uuid of a request without taking the object apart; NULL when it has none. */
static char *instance_uuid_of(RpcRequest *request)
{
    g_autoptr(Ovo) args = ovo_view_dict(rpc_request_args(request), NULL);
    g_autoptr(Ovo) instance = args ? ovo_child(args, "instance") : NULL;

    return instance ? g_strdup(ovo_str_or(instance, "uuid", NULL)) : NULL;
}

void dispatch_request(void *self, RpcRequest *request)
{
    Agent *agent = self;
    const AgentMethod *method = rpc_request_row(request);
    g_autofree char *uuid = instance_uuid_of(request);
    Job *job = g_new0(Job, 1);

    *job = (Job){.agent = agent, .method = method, .request = request};
    if (method->arrive && uuid) {
        job->closed = g_strdup(uuid);
        method->arrive(agent, uuid);
    }
    if (method->lane == LANE_INLINE)
        job_run(job);
    else if (method->lane == LANE_INSTANCE && uuid)
        dv_lanes_submit(agent->lanes, uuid, agent->pools[method->pool], job_run, job, job_drop);
    else if (method->lane == LANE_HOST)
        dv_lanes_submit(agent->lanes, "host", agent->pools[method->pool], job_run, job, job_drop);
    else
        dv_pool_submit(agent->pools[method->pool], job_run, job, job_drop);
}
