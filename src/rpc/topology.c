/* Queues as a table; see topology.h. */
#include "rpc/topology.h"

#include "rpc/ids.h"

#include <stdatomic.h>
#include <string.h>

struct RpcTopology {
    const RpcConfig *config; /* [const] */
    atomic_uint next_name;   /* [atomic] the n of queue manager names */
};

static RpcArg *args_add(RpcArgs *args, const char *name, RpcArgType type)
{
    RpcArg *arg;

    g_assert(args->count < RPC_ARGS_MAX);
    arg = &args->items[args->count++];
    *arg = (RpcArg){.name = name, .type = type};
    return arg;
}

void rpc_args_int(RpcArgs *args, const char *name, int64_t value)
{
    args_add(args, name, RPC_ARG_INT)->number = value;
}

void rpc_args_bool(RpcArgs *args, const char *name, bool value)
{
    args_add(args, name, RPC_ARG_BOOL)->number = value;
}

void rpc_args_text(RpcArgs *args, const char *name, const char *value)
{
    RpcArg *arg = args_add(args, name, RPC_ARG_TEXT);

    g_strlcpy(arg->text, value, sizeof arg->text);
}

const RpcArg *rpc_args_get(const RpcArgs *args, const char *name)
{
    for (size_t i = 0; i < args->count; i++)
        if (strcmp(args->items[i].name, name) == 0)
            return &args->items[i];
    return NULL;
}

void rpc_exchange_done(RpcExchange *exchange)
{
    g_clear_pointer(&exchange->name, g_free);
}

void rpc_queue_done(RpcQueue *queue)
{
    rpc_exchange_done(&queue->exchange);
    g_clear_pointer(&queue->name, g_free);
    g_clear_pointer(&queue->routing_key, g_free);
}

bool rpc_topology_new(const RpcConfig *config, RpcTopology **out, GError **err)
{
    RpcTopology *topology;

    if (config->ha_queues && config->quorum_queue)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "rabbit_ha_queues and rabbit_quorum_queue exclude each other");
    if (config->ha_queues && config->transient_quorum_queue)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "rabbit_ha_queues and rabbit_transient_quorum_queue exclude each other");
    if (config->stream_fanout && !config->transient_quorum_queue)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "rabbit_stream_fanout needs rabbit_transient_quorum_queue");
    if (config->stream_fanout && config->qos_prefetch_count <= 0)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "rabbit_stream_fanout needs rabbit_qos_prefetch_count > 0");
    if (config->use_queue_manager && (!config->host_name || !config->process_name))
        return dv_fail(err, DV_E_BAD_CONFIG, "use_queue_manager needs hostname and processname");
    topology = g_new0(RpcTopology, 1);
    topology->config = config;
    *out = topology;
    return true;
}

void rpc_topology_free(RpcTopology *topology)
{
    g_free(topology);
}

/* ---- names ---- */

/* The queue manager counts per host and process name. oslo keeps the counter in /dev/shm because
 * its services fork workers; drover is one process, so a counter of its own gives the same names
 * after each start. */
static char *unique_name(RpcTopology *topology, const char *prefix)
{
    const RpcConfig *config = topology->config;
    char id[RPC_ID_BYTES];

    if (config->use_queue_manager)
        return g_strdup_printf("%s_%s:%s:%u", prefix, config->host_name, config->process_name,
                               atomic_fetch_add(&topology->next_name, 1) + 1);
    rpc_id_new(id);
    return g_strconcat(prefix, "_", id, NULL);
}

/* ---- arguments ---- */

static void args_quorum(const RpcConfig *config, RpcArgs *args)
{
    rpc_args_text(args, "x-queue-type", "quorum");
    if (config->quorum_delivery_limit > 0)
        rpc_args_int(args, "x-delivery-limit", config->quorum_delivery_limit);
    if (config->quorum_max_memory_length > 0)
        rpc_args_int(args, "x-max-in-memory-length", config->quorum_max_memory_length);
    if (config->quorum_max_memory_bytes > 0)
        rpc_args_int(args, "x-max-in-memory-bytes", config->quorum_max_memory_bytes);
}

static void args_common(const RpcConfig *config, bool quorum, RpcQueue *queue)
{
    if (config->ha_queues)
        rpc_args_text(&queue->args, "x-ha-policy", "all");
    if (quorum)
        args_quorum(config, &queue->args);
    if (config->enable_cancel_on_failover)
        rpc_args_bool(&queue->consume_args, "x-cancel-on-ha-failover", true);
}

static void args_expiry(const RpcConfig *config, RpcQueue *queue)
{
    if (config->transient_queues_ttl_s > 0)
        rpc_args_int(&queue->args, "x-expires", config->transient_queues_ttl_s * 1000);
}

static void args_stream(const RpcConfig *config, RpcQueue *queue)
{
    g_autofree char *age = g_strdup_printf("%" G_GINT64_FORMAT "s", config->transient_queues_ttl_s);

    rpc_args_text(&queue->args, "x-queue-type", "stream");
    if (config->transient_queues_ttl_s > 0)
        rpc_args_text(&queue->args, "x-max-age", age);
}

/* ---- the kinds ---- */

void rpc_topology_exchange(const RpcTopology *topology, const char *topic, bool fanout,
                           RpcExchange *out)
{
    const RpcConfig *config = topology->config;

    if (fanout)
        *out = (RpcExchange){g_strconcat(topic, "_fanout", NULL), "fanout",
                             config->transient_quorum_queue, true};
    else
        *out = (RpcExchange){g_strdup(config->control_exchange), "topic",
                             config->durable_queues || config->quorum_queue, config->auto_delete};
}

static void queue_topic(RpcTopology *topology, const char *name, RpcQueue *out)
{
    const RpcConfig *config = topology->config;

    rpc_topology_exchange(topology, NULL, false, &out->exchange);
    out->name = g_strdup(name);
    out->routing_key = g_strdup(name);
    out->durable = out->exchange.durable;
    out->auto_delete = out->exchange.auto_delete;
    args_common(config, config->quorum_queue, out);
}

static void queue_fanout(RpcTopology *topology, const char *topic, RpcQueue *out)
{
    const RpcConfig *config = topology->config;
    g_autofree char *prefix = g_strconcat(topic, "_fanout", NULL);

    rpc_topology_exchange(topology, topic, true, &out->exchange);
    out->routing_key = g_strdup(topic);
    out->durable = config->transient_quorum_queue;
    if (config->stream_fanout) {
        out->name = g_steal_pointer(&prefix);
        out->stream = true;
        args_stream(config, out);
        return;
    }
    out->name = unique_name(topology, prefix);
    out->delete_on_stop = !config->use_queue_manager;
    args_common(config, config->transient_quorum_queue, out);
    args_expiry(config, out);
}

static void queue_reply(RpcTopology *topology, RpcQueue *out)
{
    const RpcConfig *config = topology->config;

    out->exchange = (RpcExchange){.name = g_strdup("")};
    out->name = unique_name(topology, "reply");
    out->routing_key = g_strdup(out->name);
    out->durable = config->transient_quorum_queue;
    args_common(config, config->transient_quorum_queue, out);
    args_expiry(config, out);
}

void rpc_topology_queue(RpcTopology *topology, RpcQueueKind kind, const char *topic,
                        const char *server, RpcQueue *out)
{
    g_autofree char *host = NULL;

    *out = (RpcQueue){.kind = kind};
    switch (kind) {
    case RPC_QUEUE_SHARED:
    case RPC_QUEUE_NOTIFY:
        queue_topic(topology, topic, out);
        break;
    case RPC_QUEUE_HOST:
        host = g_strconcat(topic, ".", server, NULL);
        queue_topic(topology, host, out);
        break;
    case RPC_QUEUE_FANOUT:
        queue_fanout(topology, topic, out);
        break;
    case RPC_QUEUE_REPLY:
        queue_reply(topology, out);
        break;
    }
}

/* ---- advice ---- */

typedef struct AdviceRow {
    const char *arg;
    const char *text;
} AdviceRow;

/* clang-format off */
static const AdviceRow advice_rows[] = {
    {"'durable'", "set amqp_durable_queues, rabbit_quorum_queue and rabbit_transient_quorum_queue "
                  "in [oslo_messaging_rabbit] to the values that the other services use"},
    {"'auto_delete'", "set amqp_auto_delete in [oslo_messaging_rabbit] to the value that the other "
                      "services use"},
    {"'x-queue-type'", "set rabbit_quorum_queue, rabbit_transient_quorum_queue and "
                       "rabbit_stream_fanout in [oslo_messaging_rabbit] to the values that the "
                       "other services use"},
    {"'x-expires'", "set rabbit_transient_queues_ttl in [oslo_messaging_rabbit] to the value that "
                    "the queue was made with, or delete the queue"},
    {"'x-max-age'", "set rabbit_transient_queues_ttl in [oslo_messaging_rabbit] to the value that "
                    "the other services use"},
    {"'x-ha-policy'", "set rabbit_ha_queues in [oslo_messaging_rabbit] to the value that the other "
                      "services use"},
    {"'x-delivery-limit'", "set rabbit_quorum_delivery_limit in [oslo_messaging_rabbit] to the "
                           "value that the other services use"},
    {"'x-max-in-memory", "set rabbit_quorum_max_memory_length and rabbit_quorum_max_memory_bytes "
                         "in [oslo_messaging_rabbit] to the values that the other services use"},
    {"'type'", "an exchange of that name and another type exists: set [DEFAULT] control_exchange "
               "to the value that the other services use"},
};
/* clang-format on */

const char *rpc_topology_advice(const char *broker_text)
{
    for (size_t i = 0; broker_text && i < G_N_ELEMENTS(advice_rows); i++)
        if (strstr(broker_text, advice_rows[i].arg))
            return advice_rows[i].text;
    return "make [oslo_messaging_rabbit] equal to that of the other services";
}
