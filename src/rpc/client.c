/* Calls and casts: the other services as we see them; see rpc.h. */
#include "rpc/rpc.h"

#include "rpc/context.h"
#include "rpc/rpc_priv.h"
#include "util/log.h"

#include <jansson.h>
#include <string.h>

/* ---- the reply queue ---- */

/* Made on the first call, as oslo does: a process that never calls has none. */
static RpcFeed *reply_feed(Rpc *rpc, GError **err)
{
    RpcQueue queue;

    dv_lock(&rpc->lock);
    if (!rpc->reply_feed) {
        rpc_topology_queue(rpc->topology, RPC_QUEUE_REPLY, NULL, NULL, &queue);
        rpc->reply_feed = rpc_listener_add(rpc->listener, &queue, 1, rpc_client_on_reply, rpc, err);
        if (!rpc->reply_feed)
            rpc_queue_done(&queue);
    }
    dv_unlock(&rpc->lock);
    return rpc->reply_feed;
}

static void reply_unreadable(Rpc *rpc, const GError *err)
{
    unsigned suppressed = 0;

    dv_metric_add(rpc->metrics.dropped, 1);
    if (rpc_limit_pass(&rpc->reply_limit, dv_now_ms(), &suppressed))
        dv_warning(NULL, "reply dropped: %s (%u more before)", err->message, suppressed);
}

/* Out of the message, so that the two threads share nothing. */
static json_t *result_take(json_t *inner)
{
    json_t *result = json_incref(json_object_get(inner, "result"));

    json_object_del(inner, "result");
    return result;
}

void rpc_client_on_reply(void *self, RpcLinkEvent *event)
{
    Rpc *rpc = self;
    g_autoptr(GError) err = NULL;
    json_auto_t *inner = rpc_envelope_read(event->body, event->length, &err);
    RpcReplyView reply;

    if (!inner || !rpc_reply_view(inner, &reply, &err)) {
        /* The caller, if we can tell which, need not wait for its timeout. */
        const char *msg_id = json_string_value(json_object_get(inner, "_msg_id"));

        if (msg_id)
            rpc_calls_fail(rpc->calls, msg_id, DV_E_BAD_INPUT, err->message);
        reply_unreadable(rpc, err);
        return;
    }
    if (rpc_dedup_seen(&rpc->reply_dedup, reply.unique_id)) {
        dv_metric_add(rpc->metrics.dropped, 1);
        return;
    }
    if (!rpc_calls_deliver(rpc->calls, &reply, result_take(inner)))
        dv_debug(NULL, "reply to %s came too late or twice", reply.msg_id);
}

/* ---- requests ---- */

static char *target_key(const RpcTarget *target)
{
    return target->server && !target->fanout ? g_strconcat(target->topic, ".", target->server, NULL)
                                             : g_strdup(target->topic);
}

/* Writes the request; `view` carries what differs between calls and casts. */
static RpcOut *request_out(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target,
                           RpcRequestView *view, int64_t deadline_ms, GError **err)
{
    char unique_id[RPC_ID_BYTES];
    json_auto_t *context = rpc_context_write(ctx);
    json_auto_t *inner = NULL;
    g_autofree char *key = target_key(target);
    RpcOut *out;

    rpc_id_new(unique_id);
    view->namespace_ = target->namespace_;
    view->version = target->version;
    view->unique_id = unique_id;
    inner = rpc_request_write(view, context);
    out = rpc_out_for(inner, key);
    if (!out) {
        dv_fail(err, DV_E_INTERNAL, "%s: the arguments cannot be written as JSON", view->method);
        return NULL;
    }
    rpc_topology_exchange(rpc->topology, target->topic, target->fanout, &out->exchange);
    out->deadline_ms = deadline_ms;
    /* oslo publishes requests unmandatory and loses them when a restarted broker does not know the
     * queue yet; the flag is the publisher's own affair, so we ask to hear of it. */
    out->mandatory = !target->fanout;
    return out;
}

/* ---- calls ---- */

typedef struct CallSent {
    Rpc *rpc;
    char msg_id[RPC_ID_BYTES];
} CallSent;

/* On rpc-send. A confirmed or doubtful request keeps its caller waiting for the reply. */
static void call_sent(void *arg, RpcOutResult result)
{
    CallSent *sent = arg;

    if (result == RPC_OUT_CANCELLED)
        rpc_calls_fail(sent->rpc->calls, sent->msg_id, DV_E_CANCELLED, "stopping");
    else if (result != RPC_OUT_CONFIRMED && result != RPC_OUT_UNCONFIRMED)
        rpc_calls_fail(sent->rpc->calls, sent->msg_id, DV_E_UNAVAILABLE,
                       rpc_out_result_text(result));
    g_free(sent);
}

static RpcOut *call_out(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method,
                        json_t *args, const char *msg_id, const RpcFeed *feed, int64_t timeout_ms,
                        int64_t monitor_ms, int64_t deadline_ms, GError **err)
{
    RpcRequestView view = {
        .method = method,
        .args = args,
        .path = {msg_id, rpc_feed_queue(feed, 0)},
        .timeout_s = (monitor_ms + 999) / 1000,
    };
    RpcOut *out = request_out(rpc, ctx, target, &view, deadline_ms, err);
    CallSent *sent;

    if (!out)
        return NULL;
    sent = g_new0(CallSent, 1);
    sent->rpc = rpc;
    g_strlcpy(sent->msg_id, msg_id, sizeof sent->msg_id);
    out->done = call_sent;
    out->arg = sent;
    out->expiration_ms = timeout_ms;
    return out;
}

static bool call_run(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method,
                     json_t *args, int64_t timeout_ms, int64_t monitor_ms, json_t **out_result,
                     RpcRemote *remote, GError **err)
{
    int64_t deadline_ms = dv_now_ms() + timeout_ms;
    char msg_id[RPC_ID_BYTES];
    RpcFeed *feed = reply_feed(rpc, err);
    RpcWait *wait;
    RpcOut *out;
    void *arg;

    if (!feed)
        return false;
    /* The peer drops its reply when it cannot route it for a minute: the queue comes first. */
    if (!rpc_feed_wait(feed, deadline_ms))
        return dv_now_ms() < deadline_ms ? dv_fail(err, DV_E_CANCELLED, "stopping")
                                         : dv_fail(err, DV_E_UNAVAILABLE, "the broker is away");
    rpc_id_new(msg_id);
    out = call_out(rpc, ctx, target, method, args, msg_id, feed, timeout_ms, monitor_ms,
                   deadline_ms, err);
    if (!out)
        return false;
    wait = rpc_calls_begin(rpc->calls, msg_id, deadline_ms, monitor_ms);
    arg = out->arg;
    if (!wait) {
        g_free(arg);
        rpc_out_free(out);
        return dv_fail(err, DV_E_CANCELLED, "stopping");
    }
    if (!rpc_sender_post(rpc->sender, out, err)) {
        g_free(arg);
        rpc_calls_fail(rpc->calls, msg_id, DV_E_UNAVAILABLE, "not sent");
        rpc_calls_wait(rpc->calls, wait, NULL, NULL, NULL);
        return false;
    }
    return rpc_calls_wait(rpc->calls, wait, out_result, remote, err);
}

bool rpc_call(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method, json_t *args,
              int64_t timeout_ms, int64_t monitor_ms, json_t **out_result, RpcRemote *remote,
              GError **err)
{
    json_auto_t *owned = args;
    bool ok;

    g_assert(!target->fanout);
    dv_metric_add(rpc->metrics.calls, 1);
    ok = call_run(rpc, ctx, target, method, owned,
                  timeout_ms ? timeout_ms : rpc->config.response_timeout_ms, monitor_ms, out_result,
                  remote, err);
    if (ok)
        return true;
    dv_metric_add(rpc->metrics.call_failures, 1);
    return dv_within(err, "%s.%s", target->topic, method);
}

/* ---- casts ---- */

typedef struct CastWait {
    gatomicrefcount refs; /* the caller's and the sender's */
    DvMutex lock;
    DvCond cond; /* with lock, like the rest */
    bool done;
    RpcOutResult result;
} CastWait;

static CastWait *cast_wait_new(void)
{
    CastWait *wait = g_new0(CastWait, 1);

    g_atomic_ref_count_init(&wait->refs);
    g_atomic_ref_count_inc(&wait->refs);
    dv_mutex_init(&wait->lock);
    dv_cond_init(&wait->cond);
    return wait;
}

static void cast_wait_unref(CastWait *wait)
{
    if (!g_atomic_ref_count_dec(&wait->refs))
        return;
    dv_cond_done(&wait->cond);
    dv_mutex_done(&wait->lock);
    g_free(wait);
}

/* On rpc-send. */
static void cast_sent(void *arg, RpcOutResult result)
{
    CastWait *wait = arg;

    dv_lock(&wait->lock);
    wait->done = true;
    wait->result = result;
    dv_cond_signal(&wait->cond);
    dv_unlock(&wait->lock);
    cast_wait_unref(wait);
}

/* The sender tells of every end, a passed deadline too, so there is no second clock here. */
static bool cast_confirmed(CastWait *wait, GError **err)
{
    RpcOutResult result;

    dv_lock(&wait->lock);
    while (!wait->done)
        dv_cond_wait(&wait->cond, &wait->lock);
    result = wait->result;
    dv_unlock(&wait->lock);
    if (result == RPC_OUT_CONFIRMED)
        return true;
    if (result == RPC_OUT_CANCELLED)
        return dv_fail(err, DV_E_CANCELLED, "stopping");
    return dv_fail(err, result == RPC_OUT_UNCONFIRMED ? DV_E_TIMEOUT : DV_E_UNAVAILABLE, "%s",
                   rpc_out_result_text(result));
}

static bool cast_run(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method,
                     json_t *args, GError **err)
{
    RpcRequestView view = {.method = method, .args = args};
    RpcOut *out = request_out(rpc, ctx, target, &view,
                              dv_now_ms() + rpc->config.response_timeout_ms, err);
    CastWait *wait;
    bool ok;

    if (!out)
        return false;
    wait = cast_wait_new();
    out->done = cast_sent;
    out->arg = wait;
    ok = rpc_sender_post(rpc->sender, out, err);
    if (ok)
        ok = cast_confirmed(wait, err);
    else
        cast_wait_unref(wait);
    cast_wait_unref(wait);
    return ok;
}

bool rpc_cast(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method, json_t *args,
              GError **err)
{
    json_auto_t *owned = args;

    return cast_run(rpc, ctx, target, method, owned, err) ||
           dv_within(err, "%s.%s", target->topic, method);
}
