/* Serving: from a message to a handler, and from its answer to a reply; see rpc.h and server.h. */
#include "rpc/server.h"

#include "rpc/context.h"
#include "rpc/fault.h"
#include "rpc/rpc_priv.h"
#include "rpc/watch.h"
#include "util/log.h"

#include <jansson.h>
#include <string.h>

enum {
    SERVER_STOP_MS = 5000,
    SERVER_REPLY_KEEP_MS = 30 * 60 * 1000, /* a reply waits this long for the broker */
};

struct RpcServer {
    Rpc *rpc; /* [const] likewise the next six */
    char *topic;
    const RpcEndpoint *endpoints;
    size_t endpoint_count;
    RpcHandlerFn handler;
    void *self;
    RpcFeed *feed;
    RpcDedup dedup; /* [thread: rpc-listen] */
    RpcLimit limit; /* [thread: rpc-listen] */
};

struct RpcRequest {
    RpcServer *server;
    json_t *inner; /* the message without its context; the next three borrow from it */
    RpcRequestView view;
    json_t *args;
    json_t *no_args; /* owned, when the message has none */
    const RpcEndpoint *endpoint;
    const RpcMethod *method;
    DvCtx *ctx;
    uint64_t watch;
};

/* ---- matching ---- */

/* Up to three numbers; a missing third is 0. */
static bool version_read(const char *text, guint64 out[3])
{
    g_auto(GStrv) parts = g_strsplit(text, ".", 4);
    size_t count = g_strv_length(parts);

    out[2] = 0;
    if (count < 2 || count > 3)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!g_ascii_string_to_unsigned(parts[i], 10, 0, G_MAXINT32, &out[i], NULL))
            return false;
    return true;
}

bool rpc_version_compatible(const char *offered, const char *wanted)
{
    guint64 o[3];
    guint64 w[3];

    if (!version_read(offered, o) || !version_read(wanted, w) || o[0] != w[0])
        return false;
    return w[1] < o[1] || (w[1] == o[1] && w[2] <= o[2]);
}

RpcMatch rpc_endpoint_match(const RpcEndpoint *endpoints, size_t count, const char *namespace_,
                            const char *version, const char *method,
                            const RpcEndpoint **out_endpoint, const RpcMethod **out_method)
{
    RpcMatch match = RPC_MATCH_NO_VERSION;

    for (size_t e = 0; e < count; e++) {
        const RpcEndpoint *endpoint = &endpoints[e];

        if (g_strcmp0(endpoint->namespace_, namespace_) != 0 ||
            !rpc_version_compatible(endpoint->version, version))
            continue;
        match = RPC_MATCH_NO_METHOD;
        for (size_t m = 0; m < endpoint->method_count && *method != '_'; m++) {
            if (strcmp(endpoint->methods[m].name, method) != 0)
                continue;
            *out_endpoint = endpoint;
            *out_method = &endpoint->methods[m];
            return RPC_MATCH_FOUND;
        }
    }
    return match;
}

/* ---- replies ---- */

/* Posts one reply message. Never blocks. */
static void reply_post(Rpc *rpc, const RpcReturnPath *path, json_t *result, const char *failure,
                       bool ending)
{
    const RpcReplyView view = {
        .msg_id = path->msg_id,
        .result = result,
        .failure = failure,
        .failure_length = failure ? strlen(failure) : 0,
        .ending = ending,
    };
    json_auto_t *inner = rpc_reply_write(&view);
    g_autoptr(GError) err = NULL;
    RpcOut *out = rpc_out_for(inner, path->reply_q);

    if (!out) {
        dv_error(NULL, "reply to %s cannot be written as JSON", path->msg_id);
        return;
    }
    out->exchange = (RpcExchange){.name = g_strdup("")};
    out->deadline_ms = dv_now_ms() + SERVER_REPLY_KEEP_MS;
    out->no_queue_ms = rpc->config.missing_consumer_retry_s * 1000;
    out->mandatory = true;
    out->reply = true;
    out->once = !ending;
    if (!rpc_sender_post(rpc->sender, out, &err))
        dv_warning(NULL, "reply to %s lost: %s", path->msg_id, err->message);
}

static void reply_fault(Rpc *rpc, const RpcReturnPath *path, const RpcFault *fault)
{
    g_autofree char *failure = rpc_fault_write(fault);

    reply_post(rpc, path, NULL, failure, true);
}

/* ---- requests ---- */

static void request_free(RpcRequest *request)
{
    dv_ctx_unref(request->ctx);
    json_decref(request->inner);
    json_decref(request->no_args);
    g_free(request);
}

/* On the timer thread. */
static void request_beat(void *arg)
{
    RpcRequest *request = arg;
    Rpc *rpc = request->server->rpc;

    dv_metric_add(rpc->metrics.heartbeats, 1);
    reply_post(rpc, &request->view.path, NULL, NULL, false);
}

static void request_end(RpcRequest *request, json_t *result, const RpcFault *fault)
{
    Rpc *rpc = request->server->rpc;
    json_auto_t *owned = result;

    rpc_watch_stop(rpc->timer, request->watch);
    if (request->view.path.msg_id && fault)
        reply_fault(rpc, &request->view.path, fault);
    else if (request->view.path.msg_id)
        reply_post(rpc, &request->view.path, owned, NULL, true);
    request_free(request);
}

void rpc_request_reply(RpcRequest *request, json_t *result)
{
    request_end(request, result, NULL);
}

void rpc_request_fail(RpcRequest *request, const RpcFault *fault)
{
    request_end(request, NULL, fault);
}

const char *rpc_request_method(const RpcRequest *request)
{
    return request->view.method;
}

const char *rpc_request_version(const RpcRequest *request)
{
    return request->view.version;
}

const RpcEndpoint *rpc_request_endpoint(const RpcRequest *request)
{
    return request->endpoint;
}

const void *rpc_request_row(const RpcRequest *request)
{
    return request->method->row;
}

const DvCtx *rpc_request_ctx(const RpcRequest *request)
{
    return request->ctx;
}

json_t *rpc_request_args(RpcRequest *request)
{
    return request->args;
}

bool rpc_request_is_call(const RpcRequest *request)
{
    return request->view.path.msg_id != NULL;
}

/* ---- refusals ---- */

static void refuse(RpcServer *server, const DvCtx *ctx, const json_t *inner, const RpcFault *fault)
{
    RpcReturnPath path = rpc_return_path(inner);
    unsigned suppressed = 0;

    dv_metric_add(server->rpc->metrics.dropped, 1);
    if (rpc_limit_pass(&server->limit, dv_now_ms(), &suppressed))
        dv_warning(ctx, "message on %s refused: %s (%u more before)", server->topic, fault->message,
                   suppressed);
    if (path.msg_id)
        reply_fault(server->rpc, &path, fault);
}

static void refuse_unreadable(RpcServer *server, const json_t *inner, const GError *err)
{
    const RpcFault fault = {
        .class_name = "ValueError", .module = "builtins", .message = err->message};

    refuse(server, NULL, inner, &fault);
}

static void refuse_unmatched(RpcServer *server, const RpcRequest *request, RpcMatch match)
{
    bool version = match == RPC_MATCH_NO_VERSION;
    g_autofree char *text =
        version ? g_strdup_printf("Endpoint does not support RPC version %s. Attempted method: %s",
                                  request->view.version, request->view.method)
                : g_strdup_printf("Endpoint does not support RPC method %s", request->view.method);
    const RpcFault fault = {
        .class_name = version ? "UnsupportedVersion" : "NoSuchMethod",
        .module = "oslo_messaging.rpc.dispatcher",
        .message = text,
    };

    refuse(server, request->ctx, request->inner, &fault);
}

/* ---- from the wire to the handler ---- */

/* The one method of our own: a sign of life that needs no worker. */
static const RpcMethod ping_method = {.name = "oslo_rpc_server_ping"};
static const RpcEndpoint ping_endpoint = {NULL, "1.0", &ping_method, 1};

static RpcMatch request_match(RpcServer *server, RpcRequest *request)
{
    const RpcRequestView *view = &request->view;
    RpcMatch match = rpc_endpoint_match(server->endpoints, server->endpoint_count, view->namespace_,
                                        view->version, view->method, &request->endpoint,
                                        &request->method);

    if (match != RPC_MATCH_FOUND && server->rpc->config.ping_enabled &&
        rpc_endpoint_match(&ping_endpoint, 1, view->namespace_, view->version, view->method,
                           &request->endpoint, &request->method) == RPC_MATCH_FOUND)
        return RPC_MATCH_FOUND;
    return match;
}

/* Takes the request. */
static void request_dispatch(RpcServer *server, RpcRequest *request)
{
    RpcMatch match = request_match(server, request);

    if (match != RPC_MATCH_FOUND) {
        refuse_unmatched(server, request, match);
        request_free(request);
        return;
    }
    if (request->method == &ping_method) {
        rpc_request_reply(request, json_string("pong"));
        return;
    }
    if (request->view.path.msg_id)
        request->watch = rpc_watch_start(server->rpc->timer, request->view.timeout_s, request_beat,
                                         request);
    server->handler(server->self, request);
}

/* On rpc-listen, after the ack. */
void rpc_server_message(void *self, RpcLinkEvent *event)
{
    RpcServer *server = self;
    g_autoptr(GError) err = NULL;
    json_auto_t *inner = rpc_envelope_read(event->body, event->length, &err);
    RpcRequest *request;
    RpcRequestView view;
    DvCtx *ctx;

    g_clear_pointer(&event->body, g_free); /* parsed: halve what a large request holds */
    dv_metric_add(server->rpc->metrics.requests, 1);
    if (!inner || !rpc_request_view(inner, &view, &err)) {
        refuse_unreadable(server, inner, err);
        return;
    }
    if (rpc_dedup_seen(&server->dedup, view.unique_id)) {
        dv_metric_add(server->rpc->metrics.dropped, 1);
        dv_info(NULL, "request %s (%s) came twice: the second is ignored", view.unique_id,
                view.method);
        return;
    }
    ctx = rpc_context_read(inner, &err);
    if (!ctx) {
        refuse_unreadable(server, inner, err);
        return;
    }
    request = g_new0(RpcRequest, 1);
    request->server = server;
    request->inner = g_steal_pointer(&inner);
    request->view = view;
    request->no_args = view.args ? NULL : json_object();
    request->args = view.args ? view.args : request->no_args;
    request->ctx = ctx;
    request_dispatch(server, request);
}

/* ---- servers ---- */

RpcServer *rpc_serve(Rpc *rpc, const char *topic, const char *server_name,
                     const RpcEndpoint *endpoints, size_t endpoint_count, RpcHandlerFn handler,
                     void *self, GError **err)
{
    RpcServer *server = g_new0(RpcServer, 1);
    RpcQueue queues[3];

    server->rpc = rpc;
    server->topic = g_strdup(topic);
    server->endpoints = endpoints;
    server->endpoint_count = endpoint_count;
    server->handler = handler;
    server->self = self;
    rpc_topology_queue(rpc->topology, RPC_QUEUE_SHARED, topic, NULL, &queues[0]);
    rpc_topology_queue(rpc->topology, RPC_QUEUE_HOST, topic, server_name, &queues[1]);
    rpc_topology_queue(rpc->topology, RPC_QUEUE_FANOUT, topic, NULL, &queues[2]);
    server->feed = rpc_listener_add(rpc->listener, queues, 3, rpc_server_message, server, err);
    if (!server->feed) {
        for (size_t i = 0; i < G_N_ELEMENTS(queues); i++)
            rpc_queue_done(&queues[i]);
        rpc_server_free(server);
        return NULL;
    }
    dv_lock(&rpc->lock);
    g_ptr_array_add(rpc->servers, server);
    dv_unlock(&rpc->lock);
    return server;
}

void rpc_server_stop(RpcServer *server)
{
    rpc_feed_stop(server->feed, dv_now_ms() + SERVER_STOP_MS);
}

void rpc_server_free(RpcServer *server)
{
    if (!server)
        return;
    g_free(server->topic);
    g_free(server);
}
