/* The publishing side: every message that leaves drover goes through here.
 *
 * Many messages may be on their way at once; each is done when the broker confirms it. What was not
 * confirmed when a connection broke is sent again on the next one: receivers drop duplicates by
 * _unique_id. A mandatory message that no queue took is tried again every 0.25 s until its
 * deadline.
 * Threads    rpc_sender_post from any thread, it never blocks; `done` runs on rpc-send and must not
 *            block. */
#pragma once

#include "rpc/conn.h"

typedef enum {
    RPC_OUT_CONFIRMED,
    RPC_OUT_NOT_SENT,    /* the deadline passed before it could be handed to the broker */
    RPC_OUT_UNCONFIRMED, /* it was, but the broker did not confirm in time */
    RPC_OUT_NO_QUEUE,    /* no queue took it until the deadline */
    RPC_OUT_REFUSED,     /* the broker refused it again and again */
    RPC_OUT_CANCELLED,   /* we are stopping */
} RpcOutResult;

/* text of a result for messages */
const char *rpc_out_result_text(RpcOutResult result);

typedef struct RpcOut {
    RpcExchange exchange; /* taken */
    RpcQueue *queue;      /* declared and bound first, for notifications; taken, may be NULL */
    char *routing_key;    /* taken */
    char *body;           /* taken */
    size_t length;
    int64_t expiration_ms;
    int64_t deadline_ms; /* dv_now_ms base */
    int64_t no_queue_ms; /* how long to repeat once it came back; 0: until the deadline */
    bool mandatory;
    bool reply; /* to a reply queue: mind the ones that are known to be gone */
    bool once;  /* a heartbeat: not worth a second try */
    void (*done)(void *arg, RpcOutResult result);
    void *arg;

    /* the sender's own */
    uint64_t tag;
    int64_t retry_at_ms;
    unsigned attempts; /* that ended with an exception or a nack */
    bool sent;
    bool returned;
} RpcOut;

RpcOut *rpc_out_new(void);
void rpc_out_free(RpcOut *out);

typedef struct RpcSender RpcSender;

RpcSender *rpc_sender_new(const RpcConfig *config, const RpcUrl *url);
bool rpc_sender_start(RpcSender *sender, GError **err);
/* Waits until everything posted is done, or the deadline. */
bool rpc_sender_flush(RpcSender *sender, int64_t deadline_ms);
void rpc_sender_stop(RpcSender *sender, int64_t deadline_ms);
void rpc_sender_free(RpcSender *sender);
bool rpc_sender_ready(RpcSender *sender);
int64_t rpc_sender_turn_ms(RpcSender *sender); /* rpc_conn_turn_ms */
/* How many messages were posted and are not done, and how many may be. */
size_t rpc_sender_load(RpcSender *sender, size_t *out_limit);

/* Takes `out`; `done` is called exactly once, also at stop. False: the mailbox is full or we are
 * stopping; `out` is freed without calling `done`. */
bool rpc_sender_post(RpcSender *sender, RpcOut *out, GError **err);
