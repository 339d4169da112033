/* The Rpc object: puts listener, sender and calls together; see rpc.h. */
#include "rpc/rpc.h"

#include "rpc/rpc_priv.h"
#include "util/log.h"

#include <string.h>

enum { RPC_CUT_MS = 1000 /* for the connections' good-bye, after everything is flushed */ };

/* ---- configuration ---- */

static bool login_method_check(const RpcConfig *config, GError **err)
{
    const char *method = config->login_method;

    if (!method || !*method || g_ascii_strcasecmp(method, "PLAIN") == 0 ||
        g_ascii_strcasecmp(method, "EXTERNAL") == 0)
        return true;
    if (g_ascii_strcasecmp(method, "AMQPLAIN") != 0)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "rabbit_login_method %s: want AMQPLAIN, PLAIN or EXTERNAL", method);
    /* The default of oslo, so no warning: a broker that offers only AMQPLAIN refuses the login with
     * an error of its own. */
    dv_info(NULL, "rabbit_login_method AMQPLAIN: logging in with PLAIN, which carries the same");
    return true;
}

static bool limits_check(const RpcConfig *config, GError **err)
{
    if (config->heartbeat_timeout_s < 0 || config->transient_queues_ttl_s < 0 ||
        config->qos_prefetch_count < 0 || config->missing_consumer_retry_s < 0 ||
        config->retry_interval_s < 0 || config->retry_backoff_s < 0 || config->interval_max_s < 0)
        return dv_fail(err, DV_E_BAD_CONFIG, "[oslo_messaging_rabbit]: a negative value");
    if (config->response_timeout_ms <= 0)
        return dv_fail(err, DV_E_BAD_CONFIG, "rpc_response_timeout: want more than 0");
    if (!config->control_exchange || !*config->control_exchange)
        return dv_fail(err, DV_E_BAD_CONFIG, "control_exchange is empty");
    return true;
}

static bool config_read(Rpc *rpc, GError **err)
{
    return rpc_url_read(rpc->config.transport_url, &rpc->url, err) &&
           rpc_url_apply(rpc->url, &rpc->config, err) && login_method_check(&rpc->config, err) &&
           limits_check(&rpc->config, err) && rpc_topology_new(&rpc->config, &rpc->topology, err);
}

Rpc *rpc_new(const RpcConfig *config, DvTimer *timer, GError **err)
{
    g_autoptr(Rpc) rpc = g_new0(Rpc, 1);

    rpc->config = *config;
    rpc->timer = timer;
    rpc->servers = g_ptr_array_new();
    dv_mutex_init(&rpc->lock);
    if (!config_read(rpc, err))
        return NULL;
    rpc->calls = rpc_calls_new();
    rpc->listener = rpc_listener_new(&rpc->config, rpc->url);
    rpc->sender = rpc_sender_new(&rpc->config, rpc->url);
    rpc->metrics.requests = dv_metric("drover_rpc_requests_total", "Requests received.");
    rpc->metrics.dropped = dv_metric("drover_rpc_dropped_total",
                                     "Messages dropped: unreadable or duplicate.");
    rpc->metrics.calls = dv_metric("drover_rpc_calls_total", "Calls made to other services.");
    rpc->metrics.call_failures = dv_metric("drover_rpc_call_failures_total",
                                           "Calls that ended without a result.");
    rpc->metrics.heartbeats = dv_metric("drover_rpc_monitor_beats_total",
                                        "Call-monitor heartbeats sent.");
    return g_steal_pointer(&rpc);
}

void rpc_on_renewed(Rpc *rpc, void (*fn)(void *arg), void *arg)
{
    rpc_listener_on_renewed(rpc->listener, fn, arg);
}

bool rpc_start(Rpc *rpc, GError **err)
{
    dv_lock(&rpc->lock);
    g_assert(!rpc->started);
    rpc->started = true;
    dv_unlock(&rpc->lock);
    return rpc_sender_start(rpc->sender, err) && rpc_listener_start(rpc->listener, err);
}

bool rpc_start_sending(Rpc *rpc, GError **err)
{
    dv_lock(&rpc->lock);
    g_assert(!rpc->started);
    rpc->started = true;
    dv_unlock(&rpc->lock);
    return rpc_sender_start(rpc->sender, err);
}

bool rpc_connected(Rpc *rpc)
{
    return rpc_sender_ready(rpc->sender) && rpc_listener_ready(rpc->listener);
}

void rpc_status(Rpc *rpc, RpcStatus *out)
{
    int64_t turn_ms = MIN(rpc_listener_turn_ms(rpc->listener), rpc_sender_turn_ms(rpc->sender));

    *out = (RpcStatus){
        .listening = rpc_listener_ready(rpc->listener),
        .sending = rpc_sender_ready(rpc->sender),
        .quiet_ms = MAX(dv_now_ms() - turn_ms, 0),
    };
    out->unsent = rpc_sender_load(rpc->sender, &out->unsent_limit);
}

/* ---- stopping ---- */

static bool stop_begin(Rpc *rpc, bool *out_started)
{
    bool first;

    dv_lock(&rpc->lock);
    first = !rpc->stopped;
    rpc->stopped = true;
    *out_started = rpc->started;
    dv_unlock(&rpc->lock);
    return first;
}

static unsigned servers_count(Rpc *rpc)
{
    unsigned count;

    dv_lock(&rpc->lock);
    count = rpc->servers->len;
    dv_unlock(&rpc->lock);
    return count;
}

static RpcServer *server_at(Rpc *rpc, unsigned i)
{
    RpcServer *server;

    dv_lock(&rpc->lock);
    server = g_ptr_array_index(rpc->servers, i);
    dv_unlock(&rpc->lock);
    return server;
}

/* First no new requests, then what is queued goes out, then the waits end, then the threads. */
void rpc_stop(Rpc *rpc, int64_t deadline_ms)
{
    bool started;

    if (!stop_begin(rpc, &started))
        return;
    if (started)
        for (unsigned i = 0; i < servers_count(rpc); i++)
            rpc_server_stop(server_at(rpc, i));
    if (started && !rpc_sender_flush(rpc->sender, deadline_ms))
        dv_warning(NULL, "stopping: not every message was confirmed by the broker");
    rpc_calls_cancel(rpc->calls);
    deadline_ms = MAX(deadline_ms, dv_now_ms() + RPC_CUT_MS);
    rpc_sender_stop(rpc->sender, deadline_ms);
    rpc_listener_stop(rpc->listener, deadline_ms);
}

void rpc_free(Rpc *rpc)
{
    if (!rpc)
        return;
    if (rpc->sender)
        rpc_stop(rpc, 0);
    for (unsigned i = 0; i < rpc->servers->len; i++)
        rpc_server_free(g_ptr_array_index(rpc->servers, i));
    g_ptr_array_unref(rpc->servers);
    rpc_sender_free(rpc->sender);
    rpc_listener_free(rpc->listener);
    rpc_calls_free(rpc->calls);
    rpc_topology_free(rpc->topology);
    rpc_url_free(rpc->url);
    dv_mutex_done(&rpc->lock);
    g_free(rpc);
}

/* ---- shared ---- */

RpcOut *rpc_out_for(const json_t *inner, const char *routing_key)
{
    RpcOut *out;
    size_t length = 0;
    char *body = rpc_envelope_write(inner, &length);

    if (!body)
        return NULL;
    out = rpc_out_new();
    out->body = body;
    out->length = length;
    out->routing_key = g_strdup(routing_key);
    return out;
}
