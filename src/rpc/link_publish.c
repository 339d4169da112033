/* Publishing, a piece at a time; see link.h.
 *
 * A broker that throttles says so and reads no more. Whoever waits for it to take bytes does not
 * read why, nor notices that the agent stops. So a piece goes out only while poll says that there
 * is room: then a third of the socket's buffer is free, far more than a piece, and what is left
 * of it is enough for heartbeats. */
#include "rpc/link.h"

#include "rpc/link_priv.h"

#include <poll.h>

enum {
    PIECE_BYTES = 16 * 1024,
    FRAME_OVERHEAD_BYTES = 8, /* type, channel, size and the end's mark */
};

/* ---- room ---- */

static bool socket_has_room(RpcLink *link)
{
    struct pollfd fd = {.fd = rpc_link_fd(link), .events = POLLOUT};

    link->full = poll(&fd, 1, 0) == 0; /* a broken one has room: the write says what is wrong */
    return !link->full;
}

bool rpc_link_room(RpcLink *link)
{
    return !link->blocked && !link->unsent.body && socket_has_room(link);
}

bool rpc_link_full(const RpcLink *link)
{
    return link->blocked || link->unsent.body || link->full;
}

short rpc_link_poll_events(RpcLink *link)
{
    bool wanted = link->full && !link->blocked;

    link->full = false;
    return (short)(wanted ? POLLIN | POLLOUT : POLLIN);
}

/* ---- messages ---- */

/* Method and header; the body follows. */
static int send_head(RpcLink *link, int channel, const RpcPublish *message,
                     amqp_basic_properties_t *props)
{
    amqp_basic_publish_t method = {
        .exchange = amqp_cstring_bytes(message->exchange),
        .routing_key = amqp_cstring_bytes(message->routing_key),
        .mandatory = message->mandatory,
    };
    amqp_frame_t header = {
        .frame_type = AMQP_FRAME_HEADER,
        .channel = (amqp_channel_t)channel,
        .payload.properties = {.class_id = AMQP_BASIC_CLASS,
                               .body_size = message->length,
                               .decoded = props},
    };
    int status = amqp_send_method(link->state, (amqp_channel_t)channel, AMQP_BASIC_PUBLISH_METHOD,
                                  &method);

    return status == AMQP_STATUS_OK ? amqp_send_frame(link->state, &header) : status;
}

static int send_piece(RpcLink *link)
{
    RpcLinkUnsent *unsent = &link->unsent;
    size_t most = MIN(PIECE_BYTES, (size_t)amqp_get_frame_max(link->state) - FRAME_OVERHEAD_BYTES);
    size_t length = MIN(unsent->length, most);
    amqp_frame_t frame = {
        .frame_type = AMQP_FRAME_BODY,
        .channel = (amqp_channel_t)unsent->channel,
        .payload.body_fragment = {length, (void *)unsent->body},
    };
    int status = amqp_send_frame(link->state, &frame);

    unsent->body += length;
    unsent->length -= length;
    if (!unsent->length)
        *unsent = (RpcLinkUnsent){0};
    return status;
}

bool rpc_link_publish_more(RpcLink *link, GError **err)
{
    while (link->unsent.body && !link->blocked && socket_has_room(link)) {
        int status = send_piece(link);

        if (status != AMQP_STATUS_OK)
            return rpc_link_dead(link, status, err);
    }
    return true;
}

bool rpc_link_publishing(const RpcLink *link)
{
    return link->unsent.body != NULL;
}

bool rpc_link_publish(RpcLink *link, int channel, const RpcPublish *message, GError **err)
{
    amqp_basic_properties_t props = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG |
                  AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG |
                  AMQP_BASIC_PRIORITY_FLAG,
        .content_type = amqp_cstring_bytes("application/json"),
        .content_encoding = amqp_cstring_bytes("utf-8"),
        .headers = amqp_empty_table,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
        .priority = 0,
    };
    char expiration[24];
    int status;

    g_assert(!link->unsent.body);
    if (message->expiration_ms > 0) {
        g_snprintf(expiration, sizeof expiration, "%" G_GINT64_FORMAT, message->expiration_ms);
        props._flags |= AMQP_BASIC_EXPIRATION_FLAG;
        props.expiration = amqp_cstring_bytes(expiration);
    }
    if (message->length <= PIECE_BYTES) { /* librabbitmq puts its frames into one packet */
        status = amqp_basic_publish(
            link->state, (amqp_channel_t)channel, amqp_cstring_bytes(message->exchange),
            amqp_cstring_bytes(message->routing_key), message->mandatory, false, &props,
            (amqp_bytes_t){message->length, (void *)message->body});
        return status == AMQP_STATUS_OK || rpc_link_dead(link, status, err);
    }
    status = send_head(link, channel, message, &props);
    if (status != AMQP_STATUS_OK)
        return rpc_link_dead(link, status, err);
    link->unsent = (RpcLinkUnsent){channel, message->body, message->length};
    return rpc_link_publish_more(link, err);
}
