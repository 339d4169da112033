/* A connection that stays: its thread, its mailbox, and reconnecting.
 *
 * The thread owns the RpcLink. Others talk to it through the bounded mailbox; an eventfd wakes it.
 * Ownership  items in the mailbox belong to the conn until rpc_conn_take; what is left at
 *            rpc_conn_free goes to `drop`.
 * Threads    ops run on the conn's thread; rpc_conn_take is for that thread only, the rest may be
 *            called from any. */
#pragma once

#include "rpc/link.h"

typedef struct RpcConn RpcConn;

typedef struct RpcConnOps {
    /* A link was opened: declare what is needed on it. False: give it up and try the next host. */
    bool (*up)(void *self, RpcLink *link, GError **err);
    /* Something was read. False: the link is gone. */
    bool (*event)(void *self, RpcLink *link, RpcLinkEvent *event, GError **err);
    /* Mailbox and timed work, after every wake-up; `link` is NULL while there is none. Lowers
     * *wake_ms to when it wants to run again. False: the link is gone. */
    bool (*work)(void *self, RpcLink *link, int64_t now_ms, int64_t *wake_ms, GError **err);
    /* The link went away, or `up` failed on it. */
    void (*down)(void *self);
} RpcConnOps;

typedef struct RpcConnConfig {
    const char *thread_name;
    const RpcConfig *rpc; /* borrowed, like the next */
    const RpcUrl *url;
    size_t mailbox_items;
    size_t mailbox_bytes;
    GDestroyNotify drop;
} RpcConnConfig;

RpcConn *rpc_conn_new(const RpcConnConfig *config, const RpcConnOps *ops, void *self);
bool rpc_conn_start(RpcConn *conn, GError **err);
/* Ends the thread; past `deadline_ms` its socket is cut. */
void rpc_conn_stop(RpcConn *conn, int64_t deadline_ms);
void rpc_conn_free(RpcConn *conn);

bool rpc_conn_up(RpcConn *conn);
/* When the thread last came round its loop (dv_now_ms base); it does so every 15 s at the latest,
 * unless the broker keeps it waiting. */
int64_t rpc_conn_turn_ms(RpcConn *conn);
/* Runs `work` soon. */
void rpc_conn_wake(RpcConn *conn);
/* False when the mailbox is full or the conn is stopping; the item is then still the caller's. */
bool rpc_conn_post(RpcConn *conn, void *item, size_t bytes);
/* The oldest item, NULL when there is none. `bytes` is what it was posted with. */
void *rpc_conn_take(RpcConn *conn, size_t *out_bytes);
