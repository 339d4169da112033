/* Notifications; see rpc.h. Their queue is declared by the publisher, so that they are kept when
 * nobody listens yet. */
#include "rpc/rpc.h"

#include "rpc/context.h"
#include "rpc/rpc_priv.h"
#include "util/log.h"

#include <jansson.h>

enum { NOTIFY_KEEP_MS = 30 * 60 * 1000 };

static void member_default(json_t *body, const char *key, const char *text)
{
    if (!json_object_get(body, key))
        json_object_set_new(body, key, json_string(text));
}

/* "2026-01-02 03:04:05.678901": the context form with a blank. */
static void stamp(json_t *body)
{
    g_autofree char *now = dv_time_context(dv_clock_wall_ms(dv_clock_real()));
    g_autofree char *uuid = g_uuid_string_random();
    char id[RPC_ID_BYTES];

    rpc_id_new(id);
    g_strdelimit(now, "T", ' ');
    member_default(body, "message_id", uuid);
    member_default(body, "timestamp", now);
    member_default(body, "_unique_id", id);
}

static RpcOut *notify_out(const json_t *body, const char *key, bool v2)
{
    RpcOut *out;
    size_t length = 0;
    char *text;

    if (v2)
        return rpc_out_for(body, key);
    text = rpc_json_text(body, &length);
    if (!text)
        return NULL;
    out = rpc_out_new();
    out->body = text;
    out->length = length;
    out->routing_key = g_strdup(key);
    return out;
}

void rpc_notify(Rpc *rpc, const DvCtx *ctx, const char *topic, const char *priority, json_t *body,
                bool v2)
{
    g_autofree char *level = g_ascii_strdown(priority, -1);
    g_autofree char *key = g_strconcat(topic, ".", level, NULL);
    json_auto_t *owned = body;
    json_auto_t *context = rpc_context_write_public(ctx);
    g_autoptr(GError) err = NULL;
    RpcOut *out;

    stamp(owned);
    json_object_update(owned, context);
    out = notify_out(owned, key, v2);
    if (!out) {
        dv_error(ctx, "notification %s cannot be written as JSON", key);
        return;
    }
    out->queue = g_new0(RpcQueue, 1);
    rpc_topology_queue(rpc->topology, RPC_QUEUE_NOTIFY, key, NULL, out->queue);
    rpc_topology_exchange(rpc->topology, topic, false, &out->exchange);
    out->deadline_ms = dv_now_ms() + NOTIFY_KEEP_MS;
    if (!rpc_sender_post(rpc->sender, out, &err))
        dv_warning(ctx, "notification %s lost: %s", key, err->message);
}
