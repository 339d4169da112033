/* One AMQP connection through librabbitmq; only its files see amqp.h.
 *
 * Single-threaded by contract: every call from the thread that opened it (rpc/conn.c). Frames are
 * taken one at a time and put together here, so that a body costs one copy and one that is over
 * the limit costs nothing.
 * Ownership  events own their strings and bodies (rpc_link_event_done).
 * Errors     false with rpc_link_alive() still true: the broker closed the channel; the reason is
 *            in rpc_link_code(), and rpc_link_channel_open opens the channel again. Otherwise the
 *            connection is gone: free the link.
 * Sources    AMQP 0-9-1; RabbitMQ: publisher confirms, blocked connections, consumer cancel
 *            notification; librabbitmq 0.11. */
#pragma once

#include "rpc/topology.h"
#include "rpc/url.h"

enum { RPC_LINK_CHANNELS = 32 }; /* channel numbers 1..31 */

/* AMQP reply codes that somebody treats differently. */
enum {
    RPC_AMQP_ACCESS_REFUSED = 403,
    RPC_AMQP_NOT_FOUND = 404,
    RPC_AMQP_PRECONDITION_FAILED = 406,
};

typedef struct RpcLink RpcLink;

typedef struct RpcLinkOptions {
    const RpcConfig *config;  /* borrowed */
    const char *program;      /* for the connection name */
    int64_t connect_ms;       /* limit for connect and handshake */
    size_t max_message_bytes; /* larger bodies are discarded */
} RpcLinkOptions;

/* Connects, negotiates and logs in; blocks for at most about options->connect_ms. */
bool rpc_link_open(const RpcLinkOptions *options, const RpcHost *host, const char *vhost,
                   RpcLink **out, GError **err);
/* Says good-bye when the connection is alive and takes it (at most a second), then frees. */
void rpc_link_free(RpcLink *link);
bool rpc_link_alive(const RpcLink *link);
int rpc_link_fd(const RpcLink *link);
/* The code of the last channel or connection exception, 0 when there was none. */
int rpc_link_code(const RpcLink *link);

/* ---- channels and topology: each waits for the broker's answer ---- */

bool rpc_link_channel_open(RpcLink *link, int channel, GError **err);
bool rpc_link_channel_close(RpcLink *link, int channel, GError **err);
bool rpc_link_confirm_select(RpcLink *link, int channel, GError **err);
bool rpc_link_qos(RpcLink *link, int channel, int64_t prefetch, GError **err);
bool rpc_link_exchange_declare(RpcLink *link, int channel, const RpcExchange *exchange,
                               GError **err);
bool rpc_link_queue_declare(RpcLink *link, int channel, const RpcQueue *queue, GError **err);
bool rpc_link_queue_bind(RpcLink *link, int channel, const RpcQueue *queue, GError **err);
bool rpc_link_queue_delete(RpcLink *link, int channel, const char *name, GError **err);
/* Consumer tags are decimal numbers, counted per connection from 1. `stream_offset` < 0: none. */
bool rpc_link_consume(RpcLink *link, int channel, const RpcQueue *queue, int64_t stream_offset,
                      unsigned *out_tag, GError **err);
bool rpc_link_cancel(RpcLink *link, int channel, unsigned tag, GError **err);

/* ---- messages ---- */

typedef struct RpcPublish {
    const char *exchange;
    const char *routing_key;
    const char *body;
    size_t length;
    int64_t expiration_ms; /* 0: none */
    bool mandatory;
} RpcPublish;

/* True when something can be published: the broker does not throttle publishers, the socket has
 * room, and no message is half-way. */
bool rpc_link_room(RpcLink *link);
/* True when the last rpc_link_room was false; asks nobody. For before rpc_link_poll_events. */
bool rpc_link_full(const RpcLink *link);
/* Sends as much as there is room for, and never waits: neither for the broker to read nor for the
 * confirm. While rpc_link_publishing, the body must stay, and nothing else may use its channel.
 * A channel that the broker closes forgets it. False: the connection is gone. */
bool rpc_link_publish(RpcLink *link, int channel, const RpcPublish *message, GError **err);
bool rpc_link_publishing(const RpcLink *link);
/* Sends more of the message that is half-way. False: the connection is gone. */
bool rpc_link_publish_more(RpcLink *link, GError **err);
bool rpc_link_ack(RpcLink *link, int channel, uint64_t delivery_tag, GError **err);

typedef enum {
    RPC_LINK_NOTHING,   /* nothing more to read now */
    RPC_LINK_DELIVERY,  /* consumer, tag, redelivered, body */
    RPC_LINK_RETURNED,  /* a mandatory message that no queue took: body */
    RPC_LINK_CONFIRMED, /* tag, multiple */
    RPC_LINK_REJECTED,  /* the broker could not keep it: tag, multiple */
    RPC_LINK_CANCELLED, /* the broker ended a consumer, mostly as its queue is gone: consumer */
    RPC_LINK_CLOSED,    /* the broker closed the channel: text, and rpc_link_code() */
    RPC_LINK_BLOCKED,   /* the broker throttles publishers: text */
    RPC_LINK_UNBLOCKED,
} RpcLinkEventType;

typedef struct RpcLinkEvent {
    RpcLinkEventType type;
    int channel;
    uint64_t tag;
    bool multiple;
    bool redelivered;
    bool discarded; /* the body was larger than the limit; `length` says how large */
    bool has_json_type;
    bool compressed;
    unsigned consumer;
    int64_t stream_offset; /* -1: none */
    char *text;
    char *routing_key;
    char *body;
    size_t length;
} RpcLinkEvent;

void rpc_link_event_done(RpcLinkEvent *event);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RpcLinkEvent, rpc_link_event_done)

/* The next event, without waiting; also sends and checks heartbeats. Call it until it says
 * RPC_LINK_NOTHING, and see rpc_link_pending, before polling rpc_link_fd. */
bool rpc_link_next(RpcLink *link, RpcLinkEvent *out, GError **err);
/* True when rpc_link_next has something that poll would not tell of: whatever waits for an answer
 * reads other messages on the way and keeps them. */
bool rpc_link_pending(const RpcLink *link);
/* What to poll rpc_link_fd for: POLLIN, and POLLOUT when something asked for room since the last
 * time and there was none. */
short rpc_link_poll_events(RpcLink *link);
