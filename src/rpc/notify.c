/* Notifications; see rpc.h. Their queue is declared by the publisher, so that they are kept when
 * nobody listens yet. */
#include "rpc/rpc.h"

#include "rpc/context.h"
#include "rpc/rpc_priv.h"
#include "util/log.h"

#include <jansson.h>

enum { NOTIFY_KEEP_MS = 30 * 60 * 1000 };

/* "2026-01-02 03:04:05.678901": the context form with a blank. */
static char *timestamp(void)
{
    return g_strdelimit(dv_time_context(dv_clock_wall_ms(dv_clock_real())), "T", ' ');
}

/* What all copies of a notification have in common. `payload` is stolen. */
static json_t *message_new(const DvCtx *ctx, const RpcNotice *notice, json_t *payload)
{
    g_autofree char *now = timestamp();
    g_autofree char *uuid = g_uuid_string_random();
    json_auto_t *context = rpc_context_write_public(ctx);
    json_t *message = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "message_id", uuid,
                                "publisher_id", notice->publisher_id, "timestamp", now, "priority",
                                notice->priority, "event_type", notice->event_type, "payload",
                                payload ? payload : json_null());

    if (message)
        json_object_update(message, context);
    return message;
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

static void send_to(Rpc *rpc, const DvCtx *ctx, const RpcNotice *notice, const char *topic,
                    json_t *message, bool v2)
{
    g_autofree char *level = g_ascii_strdown(notice->priority, -1);
    g_autofree char *key = g_strconcat(topic, ".", level, NULL);
    g_autoptr(GError) err = NULL;
    char id[RPC_ID_BYTES];
    RpcOut *out;

    rpc_id_new(id);
    json_object_set_new(message, "_unique_id", json_string(id));
    out = notify_out(message, key, v2);
    if (!out) {
        dv_error(ctx, "notification %s cannot be written as JSON", notice->event_type);
        return;
    }
    out->queue = g_new0(RpcQueue, 1);
    rpc_topology_queue(rpc->topology, RPC_QUEUE_NOTIFY, key, NULL, out->queue);
    rpc_topology_exchange(rpc->topology, topic, false, &out->exchange);
    out->deadline_ms = dv_now_ms() + (notice->keep_ms > 0 ? notice->keep_ms : NOTIFY_KEEP_MS);
    if (!rpc_sender_post(rpc->sender, out, &err))
        dv_warning(ctx, "notification %s lost: %s", notice->event_type, err->message);
}

void rpc_notify(Rpc *rpc, const DvCtx *ctx, const RpcNotice *notice, json_t *payload)
{
    json_auto_t *message = message_new(ctx, notice, payload);

    if (!message) {
        dv_error(ctx, "notification %s cannot be written as JSON", notice->event_type);
        return;
    }
    for (const char *const *topic = notice->topics; *topic; topic++) {
        if (notice->v1)
            send_to(rpc, ctx, notice, *topic, message, false);
        if (notice->v2)
            send_to(rpc, ctx, notice, *topic, message, true);
    }
}
