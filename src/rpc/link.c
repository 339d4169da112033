/* librabbitmq behind a small interface; see link.h. TLS, login and socket options are in
 * link_open.c, publishing in link_publish.c. */
#include "rpc/link.h"

#include "rpc/link_priv.h"
#include "util/log.h"

#include <string.h>

/* ---- errors ---- */

static const char *bytes_dup(amqp_bytes_t bytes, char *out, size_t size)
{
    size_t length = MIN(bytes.len, size - 1);

    if (length)
        memcpy(out, bytes.bytes, length);
    out[length] = '\0';
    return out;
}

bool rpc_link_dead(RpcLink *link, int status, GError **err)
{
    link->alive = false;
    return dv_fail(err, DV_E_UNAVAILABLE, "%s: %s", link->name, amqp_error_string2(status));
}

/* The broker closed the connection. */
static bool connection_closed(RpcLink *link, const amqp_connection_close_t *close, GError **err)
{
    amqp_connection_close_ok_t ok = {0};
    char text[256];

    link->alive = false;
    link->code = close->reply_code;
    amqp_send_method(link->state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    return dv_fail(err,
                   close->reply_code == RPC_AMQP_ACCESS_REFUSED ? DV_E_DENIED : DV_E_UNAVAILABLE,
                   "%s: %d %s", link->name, close->reply_code,
                   bytes_dup(close->reply_text, text, sizeof text));
}

/* The broker closed a channel; the connection lives on. */
static bool channel_closed(RpcLink *link, int channel, const amqp_channel_close_t *close,
                           GError **err)
{
    amqp_channel_close_ok_t ok = {0};
    char text[512];
    int status = amqp_send_method(link->state, (amqp_channel_t)channel,
                                  AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);

    link->code = close->reply_code;
    link->channels[channel].open = false;
    rpc_link_assembly_reset(&link->channels[channel]);
    if (link->unsent.channel == channel)
        link->unsent = (RpcLinkUnsent){0};
    dv_fail(err, DV_E_UNAVAILABLE, "%s: %s", link->name,
            bytes_dup(close->reply_text, text, sizeof text));
    if (status != AMQP_STATUS_OK)
        link->alive = false;
    return false;
}

/* Judges the answer to the last request on `channel`. */
bool rpc_link_answered(RpcLink *link, int channel, amqp_rpc_reply_t reply, GError **err)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return true;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
            return channel_closed(link, channel, reply.reply.decoded, err);
        if (reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
            return connection_closed(link, reply.reply.decoded, err);
        link->alive = false;
        return dv_fail(err, DV_E_UNAVAILABLE, "%s: unexpected method 0x%08x", link->name,
                       (unsigned)reply.reply.id);
    default:
        return rpc_link_dead(
            link, reply.library_error ? reply.library_error : AMQP_STATUS_CONNECTION_CLOSED, err);
    }
}

static bool answered(RpcLink *link, int channel, GError **err)
{
    bool ok = rpc_link_answered(link, channel, amqp_get_rpc_reply(link->state), err);

    amqp_maybe_release_buffers_on_channel(link->state, (amqp_channel_t)channel);
    return ok;
}

bool rpc_link_alive(const RpcLink *link)
{
    return link->alive;
}

int rpc_link_fd(const RpcLink *link)
{
    return amqp_get_sockfd(link->state);
}

int rpc_link_code(const RpcLink *link)
{
    return link->code;
}

/* ---- channels and topology ---- */

static amqp_bytes_t text_bytes(const char *text)
{
    return amqp_cstring_bytes(text);
}

/* Points into `args`; entries has room for one more than RPC_ARGS_MAX. */
static amqp_table_t args_table(const RpcArgs *args, amqp_table_entry_t *entries)
{
    for (size_t i = 0; i < args->count; i++) {
        const RpcArg *arg = &args->items[i];
        amqp_table_entry_t *entry = &entries[i];

        entry->key = text_bytes(arg->name);
        switch (arg->type) {
        case RPC_ARG_INT:
            /* As py-amqp writes it: 32 bits where they suffice. Brokers compare the value. */
            if (arg->number <= INT32_MAX) {
                entry->value.kind = AMQP_FIELD_KIND_I32;
                entry->value.value.i32 = (int32_t)arg->number;
            } else {
                entry->value.kind = AMQP_FIELD_KIND_I64;
                entry->value.value.i64 = arg->number;
            }
            break;
        case RPC_ARG_BOOL:
            entry->value.kind = AMQP_FIELD_KIND_BOOLEAN;
            entry->value.value.boolean = arg->number != 0;
            break;
        case RPC_ARG_TEXT:
            entry->value.kind = AMQP_FIELD_KIND_UTF8;
            entry->value.value.bytes = text_bytes(arg->text);
            break;
        }
    }
    return (amqp_table_t){(int)args->count, entries};
}

bool rpc_link_channel_open(RpcLink *link, int channel, GError **err)
{
    g_assert(channel > 0 && channel < RPC_LINK_CHANNELS);
    amqp_channel_open(link->state, (amqp_channel_t)channel);
    if (!answered(link, channel, err))
        return dv_within(err, "opening channel %d", channel);
    link->channels[channel].open = true;
    return true;
}

bool rpc_link_channel_close(RpcLink *link, int channel, GError **err)
{
    if (!link->channels[channel].open)
        return true;
    link->channels[channel].open = false;
    rpc_link_assembly_reset(&link->channels[channel]);
    return rpc_link_answered(
        link, channel, amqp_channel_close(link->state, (amqp_channel_t)channel, AMQP_REPLY_SUCCESS),
        err);
}

bool rpc_link_confirm_select(RpcLink *link, int channel, GError **err)
{
    amqp_confirm_select(link->state, (amqp_channel_t)channel);
    return answered(link, channel, err) || dv_within(err, "asking for confirms");
}

bool rpc_link_qos(RpcLink *link, int channel, int64_t prefetch, GError **err)
{
    amqp_basic_qos(link->state, (amqp_channel_t)channel, 0, (uint16_t)MIN(prefetch, UINT16_MAX),
                   false);
    return answered(link, channel, err) || dv_within(err, "setting the prefetch count");
}

bool rpc_link_exchange_declare(RpcLink *link, int channel, const RpcExchange *exchange,
                               GError **err)
{
    amqp_exchange_declare(link->state, (amqp_channel_t)channel, text_bytes(exchange->name),
                          text_bytes(exchange->type), false, exchange->durable,
                          exchange->auto_delete, false, amqp_empty_table);
    return answered(link, channel, err) || dv_within(err, "declaring exchange %s", exchange->name);
}

bool rpc_link_queue_declare(RpcLink *link, int channel, const RpcQueue *queue, GError **err)
{
    amqp_table_entry_t entries[RPC_ARGS_MAX + 1];

    amqp_queue_declare(link->state, (amqp_channel_t)channel, text_bytes(queue->name), false,
                       queue->durable, false, queue->auto_delete,
                       args_table(&queue->args, entries));
    return answered(link, channel, err) || dv_within(err, "declaring queue %s", queue->name);
}

bool rpc_link_queue_bind(RpcLink *link, int channel, const RpcQueue *queue, GError **err)
{
    amqp_queue_bind(link->state, (amqp_channel_t)channel, text_bytes(queue->name),
                    text_bytes(queue->exchange.name), text_bytes(queue->routing_key),
                    amqp_empty_table);
    return answered(link, channel, err) || dv_within(err, "binding queue %s", queue->name);
}

bool rpc_link_queue_delete(RpcLink *link, int channel, const char *name, GError **err)
{
    amqp_queue_delete(link->state, (amqp_channel_t)channel, text_bytes(name), false, false);
    return answered(link, channel, err) || dv_within(err, "deleting queue %s", name);
}

bool rpc_link_consume(RpcLink *link, int channel, const RpcQueue *queue, int64_t stream_offset,
                      unsigned *out_tag, GError **err)
{
    amqp_table_entry_t entries[RPC_ARGS_MAX + 1];
    amqp_table_t table = args_table(&queue->consume_args, entries);
    char tag[16];

    if (queue->stream) {
        amqp_table_entry_t *entry = &entries[table.num_entries++];

        entry->key = text_bytes("x-stream-offset");
        if (stream_offset >= 0) {
            entry->value.kind = AMQP_FIELD_KIND_I64;
            entry->value.value.i64 = stream_offset;
        } else {
            entry->value.kind = AMQP_FIELD_KIND_UTF8;
            entry->value.value.bytes = text_bytes("last");
        }
    }
    g_snprintf(tag, sizeof tag, "%u", ++link->last_tag);
    /* The broker may deliver before we return: the caller must know the tag by then. */
    *out_tag = link->last_tag;
    amqp_basic_consume(link->state, (amqp_channel_t)channel, text_bytes(queue->name),
                       text_bytes(tag), false, false, false, table);
    return answered(link, channel, err) || dv_within(err, "consuming queue %s", queue->name);
}

bool rpc_link_cancel(RpcLink *link, int channel, unsigned tag, GError **err)
{
    char text[16];

    g_snprintf(text, sizeof text, "%u", tag);
    amqp_basic_cancel(link->state, (amqp_channel_t)channel, text_bytes(text));
    return answered(link, channel, err) || dv_within(err, "cancelling consumer %u", tag);
}

/* ---- receiving ---- */

bool rpc_link_ack(RpcLink *link, int channel, uint64_t delivery_tag, GError **err)
{
    int status = amqp_basic_ack(link->state, (amqp_channel_t)channel, delivery_tag, false);

    return status == AMQP_STATUS_OK || rpc_link_dead(link, status, err);
}

void rpc_link_event_done(RpcLinkEvent *event)
{
    g_clear_pointer(&event->text, g_free);
    g_clear_pointer(&event->routing_key, g_free);
    g_clear_pointer(&event->body, g_free);
}

void rpc_link_assembly_reset(RpcLinkChannel *channel)
{
    rpc_link_event_done(&channel->event);
    channel->event = (RpcLinkEvent){.stream_offset = -1};
    channel->want = RPC_LINK_WANT_METHOD;
    channel->received = 0;
}

static unsigned consumer_number(amqp_bytes_t tag)
{
    char text[16];
    guint64 number = 0;

    if (!g_ascii_string_to_unsigned(bytes_dup(tag, text, sizeof text), 10, 0, G_MAXUINT, &number,
                                    NULL))
        return 0;
    return (unsigned)number;
}

static char *bytes_text(amqp_bytes_t bytes)
{
    return g_strndup(bytes.bytes ? bytes.bytes : "", bytes.len);
}

static void begin_content(RpcLinkChannel *channel, int number, RpcLinkEventType type)
{
    rpc_link_assembly_reset(channel);
    channel->event.type = type;
    channel->event.channel = number;
    channel->want = RPC_LINK_WANT_HEADER;
}

static void on_deliver(RpcLinkChannel *channel, int number, const amqp_basic_deliver_t *deliver)
{
    begin_content(channel, number, RPC_LINK_DELIVERY);
    channel->event.consumer = consumer_number(deliver->consumer_tag);
    channel->event.tag = deliver->delivery_tag;
    channel->event.redelivered = deliver->redelivered;
}

static void on_return(RpcLinkChannel *channel, int number, const amqp_basic_return_t *returned)
{
    begin_content(channel, number, RPC_LINK_RETURNED);
    channel->event.routing_key = bytes_text(returned->routing_key);
}

static bool protocol_error(RpcLink *link, const char *what, GError **err)
{
    link->alive = false;
    return dv_fail(err, DV_E_UNAVAILABLE, "%s: protocol error: %s", link->name, what);
}

static void headers_read(RpcLinkEvent *event, const amqp_basic_properties_t *props)
{
    static const char json[] = "application/json";

    event->has_json_type = (props->_flags & AMQP_BASIC_CONTENT_TYPE_FLAG) &&
                           props->content_type.len == strlen(json) &&
                           memcmp(props->content_type.bytes, json, strlen(json)) == 0;
    if (!(props->_flags & AMQP_BASIC_HEADERS_FLAG))
        return;
    for (int i = 0; i < props->headers.num_entries; i++) {
        const amqp_table_entry_t *entry = &props->headers.entries[i];
        char key[32];

        bytes_dup(entry->key, key, sizeof key);
        if (strcmp(key, "compression") == 0)
            event->compressed = true;
        else if (strcmp(key, "x-stream-offset") == 0 && entry->value.kind == AMQP_FIELD_KIND_I64)
            event->stream_offset = entry->value.value.i64;
    }
}

/* A body is allocated whole when its header announces it, after a look at the limit. */
static bool on_header(RpcLink *link, RpcLinkChannel *channel, const amqp_frame_t *frame,
                      GError **err)
{
    RpcLinkEvent *event = &channel->event;
    uint64_t size = frame->payload.properties.body_size;

    if (channel->want != RPC_LINK_WANT_HEADER)
        return protocol_error(link, "a content header that nothing announced", err);
    headers_read(event, frame->payload.properties.decoded);
    event->length = (size_t)size;
    channel->received = 0;
    event->discarded = size > link->max_message_bytes;
    if (!event->discarded) {
        event->body = g_try_malloc(event->length + 1);
        event->discarded = event->body == NULL;
    }
    channel->want = size ? RPC_LINK_WANT_BODY : RPC_LINK_COMPLETE;
    return true;
}

static bool on_body(RpcLink *link, RpcLinkChannel *channel, const amqp_frame_t *frame, GError **err)
{
    RpcLinkEvent *event = &channel->event;
    amqp_bytes_t part = frame->payload.body_fragment;

    if (channel->want != RPC_LINK_WANT_BODY || part.len > event->length - channel->received)
        return protocol_error(link, "more body than announced", err);
    if (event->body && part.len)
        memcpy(event->body + channel->received, part.bytes, part.len);
    channel->received += part.len;
    if (channel->received == event->length)
        channel->want = RPC_LINK_COMPLETE;
    return true;
}

/* Methods of channel 0. */
static bool on_connection_method(RpcLink *link, const amqp_method_t *method, RpcLinkEvent *out,
                                 GError **err)
{
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
        return connection_closed(link, method->decoded, err);
    if (method->id == AMQP_CONNECTION_BLOCKED_METHOD) {
        const amqp_connection_blocked_t *blocked = method->decoded;

        out->type = RPC_LINK_BLOCKED;
        out->text = bytes_text(blocked->reason);
        /* It reads nothing for as long as that takes: bytes it does not take are no sign of death
         * now, its heartbeats tell. */
        link->blocked = true;
        rpc_link_user_timeout(link, 0);
    } else if (method->id == AMQP_CONNECTION_UNBLOCKED_METHOD) {
        out->type = RPC_LINK_UNBLOCKED;
        link->blocked = false;
        rpc_link_user_timeout(link, link->user_timeout_ms);
    }
    return true;
}

static void on_confirm(RpcLinkEvent *out, RpcLinkEventType type, uint64_t tag, bool multiple)
{
    out->type = type;
    out->tag = tag;
    out->multiple = multiple;
}

static void on_channel_close(RpcLink *link, int number, const amqp_channel_close_t *close,
                             RpcLinkEvent *out)
{
    out->type = RPC_LINK_CLOSED;
    out->text = bytes_text(close->reply_text);
    channel_closed(link, number, close, NULL);
}

static void on_cancel(RpcLinkEvent *out, const amqp_basic_cancel_t *cancel)
{
    out->type = RPC_LINK_CANCELLED;
    out->consumer = consumer_number(cancel->consumer_tag);
}

static void on_method(RpcLink *link, int number, const amqp_method_t *method, RpcLinkEvent *out)
{
    RpcLinkChannel *channel = &link->channels[number];

    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        on_deliver(channel, number, method->decoded);
        break;
    case AMQP_BASIC_RETURN_METHOD:
        on_return(channel, number, method->decoded);
        break;
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;

        on_confirm(out, RPC_LINK_CONFIRMED, ack->delivery_tag, ack->multiple);
        break;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;

        on_confirm(out, RPC_LINK_REJECTED, nack->delivery_tag, nack->multiple);
        break;
    }
    case AMQP_BASIC_CANCEL_METHOD:
        on_cancel(out, method->decoded);
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        on_channel_close(link, number, method->decoded, out);
        break;
    default:
        break; /* a late answer to a request that timed out */
    }
}

/* One frame: either it completes an event (out->type is set) or it does not. */
static bool on_frame(RpcLink *link, const amqp_frame_t *frame, RpcLinkEvent *out, GError **err)
{
    RpcLinkChannel *channel;

    *out = (RpcLinkEvent){.channel = frame->channel, .stream_offset = -1};
    if (frame->channel == 0)
        return frame->frame_type != AMQP_FRAME_METHOD ||
               on_connection_method(link, &frame->payload.method, out, err);
    if (frame->channel >= RPC_LINK_CHANNELS || !link->channels[frame->channel].open)
        return true; /* closed meanwhile */
    channel = &link->channels[frame->channel];
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        on_method(link, frame->channel, &frame->payload.method, out);
        break;
    case AMQP_FRAME_HEADER:
        if (!on_header(link, channel, frame, err))
            return false;
        break;
    case AMQP_FRAME_BODY:
        if (!on_body(link, channel, frame, err))
            return false;
        break;
    default:
        break;
    }
    if (channel->want == RPC_LINK_COMPLETE) {
        *out = channel->event;
        channel->event = (RpcLinkEvent){.stream_offset = -1};
        channel->want = RPC_LINK_WANT_METHOD;
    }
    return true;
}

bool rpc_link_next(RpcLink *link, RpcLinkEvent *out, GError **err)
{
    const struct timeval now = {0};
    amqp_frame_t frame;
    bool ok;

    do {
        int status = amqp_simple_wait_frame_noblock(link->state, &frame, &now);

        *out = (RpcLinkEvent){.stream_offset = -1};
        if (status == AMQP_STATUS_TIMEOUT)
            return true;
        if (status != AMQP_STATUS_OK)
            return rpc_link_dead(link, status, err);
        ok = on_frame(link, &frame, out, err);
        amqp_maybe_release_buffers_on_channel(link->state, frame.channel);
    } while (ok && out->type == RPC_LINK_NOTHING);
    return ok;
}

bool rpc_link_pending(const RpcLink *link)
{
    return amqp_frames_enqueued(link->state) || amqp_data_in_buffer(link->state);
}
