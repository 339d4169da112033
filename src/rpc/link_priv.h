/* Shared by link.c, link_open.c and link_publish.c. */
#pragma once

#include "rpc/link.h"

#include <amqp.h>
#include <amqp_framing.h>

typedef enum {
    RPC_LINK_WANT_METHOD,
    RPC_LINK_WANT_HEADER,
    RPC_LINK_WANT_BODY,
    RPC_LINK_COMPLETE
} RpcLinkWant;

/* A message under way on one channel. */
typedef struct RpcLinkChannel {
    bool open;
    RpcLinkWant want;
    size_t received;
    RpcLinkEvent event;
} RpcLinkChannel;

/* A message that is not sent whole yet. `body` NULL: none. */
typedef struct RpcLinkUnsent {
    int channel;
    const char *body; /* borrowed from who publishes */
    size_t length;    /* what is left of it */
} RpcLinkUnsent;

struct RpcLink {
    amqp_connection_state_t state;
    char *name; /* "host:port" */
    bool alive;
    int code;
    size_t max_message_bytes;
    unsigned user_timeout_ms; /* TCP_USER_TIMEOUT while the broker reads */
    bool blocked;             /* the broker throttles publishers */
    bool full;                /* the socket had no room when it was last asked */
    RpcLinkUnsent unsent;
    unsigned last_tag;
    RpcLinkChannel channels[RPC_LINK_CHANNELS];
};

void rpc_link_assembly_reset(RpcLinkChannel *channel);
/* Marks the connection as gone. Returns false. */
bool rpc_link_dead(RpcLink *link, int status, GError **err);
/* Sets TCP_USER_TIMEOUT; 0: the system's own. */
void rpc_link_user_timeout(RpcLink *link, unsigned timeout_ms);
bool rpc_link_answered(RpcLink *link, int channel, amqp_rpc_reply_t reply, GError **err);
