/* Shared by link.c and link_open.c. */
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

struct RpcLink {
    amqp_connection_state_t state;
    char *name; /* "host:port" */
    bool alive;
    int code;
    size_t max_message_bytes;
    unsigned last_tag;
    RpcLinkChannel channels[RPC_LINK_CHANNELS];
};

void rpc_link_assembly_reset(RpcLinkChannel *channel);
/* Marks the connection as gone. Returns false. */
bool rpc_link_dead(RpcLink *link, int status, GError **err);
bool rpc_link_answered(RpcLink *link, int channel, amqp_rpc_reply_t reply, GError **err);
