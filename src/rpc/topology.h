/* Names and properties of everything we declare on the broker, from the operator's options.
 *
 * Whatever is declared must equal what the other services declared, to the last argument, else the
 * broker answers 406; so the options are applied literally.
 * Ownership  an RpcQueue owns its strings (rpc_queue_done).
 * Threads    the topology may be shared; its name counter is atomic.
 * Sources    oslo.messaging 14.0.3 impl_rabbit (declare_*_consumer, _get_queue_arguments),
 *            amqpdriver (listen, _get_reply_q); master for stream and queue manager names. */
#pragma once

#include "rpc/rpc.h"

enum { RPC_ARGS_MAX = 8 };

typedef enum { RPC_ARG_INT, RPC_ARG_BOOL, RPC_ARG_TEXT } RpcArgType;

typedef struct RpcArg {
    const char *name; /* static */
    RpcArgType type;
    int64_t number; /* also the bool */
    char text[32];
} RpcArg;

typedef struct RpcArgs {
    RpcArg items[RPC_ARGS_MAX];
    size_t count;
} RpcArgs;

void rpc_args_int(RpcArgs *args, const char *name, int64_t value);
void rpc_args_bool(RpcArgs *args, const char *name, bool value);
void rpc_args_text(RpcArgs *args, const char *name, const char *value);
const RpcArg *rpc_args_get(const RpcArgs *args, const char *name);

/* type NULL: the default exchange, which is never declared. */
typedef struct RpcExchange {
    char *name;
    const char *type; /* "topic", "fanout" */
    bool durable;
    bool auto_delete;
} RpcExchange;

typedef enum {
    RPC_QUEUE_SHARED, /* T */
    RPC_QUEUE_HOST,   /* T.S */
    RPC_QUEUE_FANOUT, /* T_fanout_<id> */
    RPC_QUEUE_REPLY,  /* reply_<id> */
    RPC_QUEUE_NOTIFY, /* <topic>.<priority> */
} RpcQueueKind;

typedef struct RpcQueue {
    RpcQueueKind kind;
    RpcExchange exchange;
    char *name;
    char *routing_key;
    bool durable;
    bool auto_delete;
    bool stream;         /* consumed by offset */
    bool delete_on_stop; /* no other process may want it */
    RpcArgs args;
    RpcArgs consume_args;
} RpcQueue;

void rpc_exchange_done(RpcExchange *exchange);
void rpc_queue_done(RpcQueue *queue);

typedef struct RpcTopology RpcTopology;
/* `config` is borrowed. Fails with DV_E_BAD_CONFIG for options that exclude each other. */
bool rpc_topology_new(const RpcConfig *config, RpcTopology **out, GError **err);
void rpc_topology_free(RpcTopology *topology);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcTopology, rpc_topology_free)

/* Fills `out`. topic: the server's topic, or "<topic>.<priority>" for RPC_QUEUE_NOTIFY, unused for
 * RPC_QUEUE_REPLY; server: only for RPC_QUEUE_HOST. Each call makes a new name where names are
 * unique. */
void rpc_topology_queue(RpcTopology *topology, RpcQueueKind kind, const char *topic,
                        const char *server, RpcQueue *out);
/* The exchange that a request to `topic` goes to. */
void rpc_topology_exchange(const RpcTopology *topology, const char *topic, bool fanout,
                           RpcExchange *out);

/* What an operator can do about "inequivalent arg '<name>'" in a 406 from the broker; never NULL.
 */
const char *rpc_topology_advice(const char *broker_text);
