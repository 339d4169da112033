/* oslo.messaging RPC over RabbitMQ: what the rest of drover sees of the wire.
 *
 * One Rpc has two connections, each with its own thread: rpc-listen consumes requests and replies,
 * rpc-send publishes with confirms. Both reconnect by themselves with full jitter through all hosts
 * of the transport URL; consumers are declared again, and publishes wait in a bounded mailbox
 * meanwhile.
 *
 * Ownership  json_t arguments marked "stolen" belong to rpc from then on, also on failure.
 * Errors     DV_E_TIMEOUT no reply in time; DV_E_UNAVAILABLE the broker is away or the mailbox is
 *            full: nothing was sent; DV_E_CANCELLED rpc is stopping; DV_E_REMOTE the peer raised
 *            (see RpcRemote); DV_E_BAD_INPUT the reply cannot be read.
 * Threads    every function from any thread except where said. Handlers run on rpc-listen: they
 *            must not block and hand the request over to a worker.
 * Sources    oslo.messaging 14.0.3: _drivers/amqpdriver.py, _drivers/impl_rabbit.py, rpc/. */
#pragma once

#include "util/clock.h"
#include "util/ctx.h"
#include "util/error.h"
#include "util/timer.h"

#include <stdint.h>

typedef struct json_t json_t;
typedef struct Rpc Rpc;
typedef struct RpcRequest RpcRequest;

/* Filled from [DEFAULT] and [oslo_messaging_rabbit] by agent/options.c; strings borrowed until
 * rpc_free. */
typedef struct RpcConfig {
    const char *transport_url;
    const char *control_exchange; /* "nova" */
    const char *host_name;        /* for queue manager names */
    const char *process_name;
    bool durable_queues; /* amqp_durable_queues */
    bool auto_delete;    /* amqp_auto_delete */
    bool ha_queues;      /* rabbit_ha_queues */
    bool quorum_queue;   /* rabbit_quorum_queue */
    int64_t quorum_delivery_limit;
    int64_t quorum_max_memory_length;
    int64_t quorum_max_memory_bytes;
    bool transient_quorum_queue;
    bool stream_fanout;
    bool use_queue_manager;
    int64_t transient_queues_ttl_s;
    int64_t qos_prefetch_count;
    int64_t heartbeat_timeout_s; /* heartbeat_timeout_threshold, 0: off */
    int64_t heartbeat_rate;
    int64_t missing_consumer_retry_s; /* kombu_missing_consumer_retry_timeout */
    double reconnect_delay_s;         /* kombu_reconnect_delay */
    double reconnect_splay_s;
    int64_t retry_interval_s, retry_backoff_s, interval_max_s;
    bool failover_shuffle;    /* kombu_failover_strategy = shuffle */
    const char *login_method; /* AMQPLAIN, PLAIN, EXTERNAL */
    bool ssl;
    const char *ssl_version, *ssl_key_file, *ssl_cert_file, *ssl_ca_file;
    bool ssl_enforce_hostname;
    bool enable_cancel_on_failover;
    bool ping_enabled;           /* rpc_ping_enabled */
    int64_t response_timeout_ms; /* rpc_response_timeout */
    size_t max_message_bytes;    /* 0: 64 MiB */
} RpcConfig;

/* Checks the config (transport URL, exclusive options) without connecting. */
Rpc *rpc_new(const RpcConfig *config, DvTimer *timer, GError **err);
/* `fn` runs on rpc-listen, where it must not block, whenever queues that were consumed before are
 * consumed again, after a reconnect for one: what was sent in between may be lost. Before start. */
void rpc_on_renewed(Rpc *rpc, void (*fn)(void *arg), void *arg);
/* Starts both threads. The broker need not be there yet. */
bool rpc_start(Rpc *rpc, GError **err);
/* The same for one that only sends notifications: it has no listening connection. */
bool rpc_start_sending(Rpc *rpc, GError **err);
/* True while both connections are up. */
bool rpc_connected(Rpc *rpc);

/* For health. */
typedef struct RpcStatus {
    bool listening;   /* connected, and every queue is consumed */
    bool sending;     /* connected */
    int64_t quiet_ms; /* since the slower of the two threads came round its loop, 15 s at most
                         unless the broker keeps it waiting */
    size_t unsent, unsent_limit; /* messages that wait to be confirmed by the broker */
} RpcStatus;
/* Never blocks. */
void rpc_status(Rpc *rpc, RpcStatus *out);
/* Ends both threads after flushing what is queued (until deadline, dv_now_ms base); waiting calls
 * end with DV_E_CANCELLED. */
void rpc_stop(Rpc *rpc, int64_t deadline_ms);
void rpc_free(Rpc *rpc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rpc, rpc_free)

/* ---- serving ---- */

typedef struct RpcMethod {
    const char *name;
    const void *row; /* the caller's own row for this method, handed back by rpc_request_row */
} RpcMethod;

/* One endpoint: a namespace (NULL: none) at a version, "6.1"; requests with the same major and a
 * minor up to this one match. Tables must outlive the Rpc. */
typedef struct RpcEndpoint {
    const char *namespace_;
    const char *version;
    const RpcMethod *methods;
    size_t method_count;
} RpcEndpoint;

/* Takes the request; runs on rpc-listen; must not block. Exactly one of rpc_request_reply or
 * rpc_request_fail must follow at some time from any thread, for casts too (it then only frees). */
typedef void (*RpcHandlerFn)(void *self, RpcRequest *request);

typedef struct RpcServer RpcServer;
/* Consumes `topic`, `topic`.`server` and the fanout of `topic`. Before rpc_start or after.
 * Endpoints are matched in order. Unknown method or version is answered (calls) or logged (casts)
 * by rpc itself. */
RpcServer *rpc_serve(Rpc *rpc, const char *topic, const char *server, const RpcEndpoint *endpoints,
                     size_t endpoint_count, RpcHandlerFn handler, void *self, GError **err);
/* Stops consuming on this server (graceful stop); requests taken keep their replies. Blocks up to 5
 * s. */
void rpc_server_stop(RpcServer *server);

const char *rpc_request_method(const RpcRequest *request);
const char *rpc_request_version(const RpcRequest *request); /* as sent, "6.0" */
const RpcEndpoint *rpc_request_endpoint(const RpcRequest *request);
const void *rpc_request_row(const RpcRequest *request);
const DvCtx *rpc_request_ctx(const RpcRequest *request); /* borrowed */
json_t *rpc_request_args(RpcRequest *request);           /* borrowed object, never NULL */
bool rpc_request_is_call(const RpcRequest *request);

/* How an exception looks on the wire. Strings are borrowed for the call. */
typedef struct RpcFault {
    const char *class_name; /* "InstanceNotFound" */
    const char *module;     /* "nova.exception", "builtins" */
    const char *message;
    int code; /* kwargs {"code": n} when not 0 */
} RpcFault;

/* Answers and frees the request. `result` is stolen; NULL is null. */
void rpc_request_reply(RpcRequest *request, json_t *result);
void rpc_request_fail(RpcRequest *request, const RpcFault *fault);

/* ---- calling ---- */

typedef struct RpcTarget {
    const char *topic;      /* "conductor" */
    const char *server;     /* or NULL: any server of the topic */
    const char *namespace_; /* or NULL */
    const char *version;    /* "3.0" */
    bool fanout;            /* casts only */
} RpcTarget;

/* What a remote exception said. Fields are owned; rpc_remote_done frees them. */
typedef struct RpcRemote {
    char *class_name;
    char *module;
    char *message;
} RpcRemote;
void rpc_remote_done(RpcRemote *remote);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RpcRemote, rpc_remote_done)

/* Calls and waits. `args` is stolen. timeout_ms 0: response_timeout_ms. monitor_ms not 0: the peer
 * is asked for heartbeats and each one extends a timer of that length (the total timeout still
 * holds). `out_result` (may be NULL) is the caller's; `remote` (may be NULL) is filled when the
 * error is DV_E_REMOTE. */
bool rpc_call(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method, json_t *args,
              int64_t timeout_ms, int64_t monitor_ms, json_t **out_result, RpcRemote *remote,
              GError **err);
/* Sends without an answer; returns when the broker has confirmed it. `args` is stolen. */
bool rpc_cast(Rpc *rpc, const DvCtx *ctx, const RpcTarget *target, const char *method, json_t *args,
              GError **err);

/* ---- notifications ---- */

/* Strings are borrowed for the call. */
typedef struct RpcNotice {
    const char *const *topics; /* NULL-terminated: one message to each */
    const char *priority;      /* "INFO" */
    const char *publisher_id, *event_type;
    bool v1, v2;     /* without and with the envelope: oslo's drivers messaging and messagingv2 */
    int64_t keep_ms; /* how long to keep it while the broker is away; 0: half an hour */
} RpcNotice;
/* Publishes to "<topic>.<priority>" on the control exchange, declaring that queue first. `payload`
 * is stolen. The context goes along without its secrets. Queued, never blocks; failures are
 * logged. */
void rpc_notify(Rpc *rpc, const DvCtx *ctx, const RpcNotice *notice, json_t *payload);
