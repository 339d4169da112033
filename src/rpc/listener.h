/* The consuming side: which queues are heard, and keeping them heard.
 *
 * A feed is a set of queues on one channel whose messages go to one function. Feeds are declared
 * when they are added, after each reconnect, when the broker cancels a consumer (its queue went
 * away) and when it closes the channel. A feed that cannot be declared does not disturb the others.
 * Threads    feed functions run on rpc-listen and must not block; everything else from any. */
#pragma once

#include "rpc/conn.h"

typedef struct RpcListener RpcListener;
typedef struct RpcFeed RpcFeed;

/* A message, acknowledged already. `event->body` may be stolen. */
typedef void (*RpcFeedFn)(void *self, RpcLinkEvent *event);

RpcListener *rpc_listener_new(const RpcConfig *config, const RpcUrl *url);
/* Called on rpc-listen, where it must not block, whenever a feed is declared that was up before:
 * messages may have been lost in between. Before start. */
void rpc_listener_on_renewed(RpcListener *listener, void (*fn)(void *arg), void *arg);
bool rpc_listener_start(RpcListener *listener, GError **err);
void rpc_listener_stop(RpcListener *listener, int64_t deadline_ms);
void rpc_listener_free(RpcListener *listener);
/* Connected, and every feed consuming. */
bool rpc_listener_ready(RpcListener *listener);
int64_t rpc_listener_turn_ms(RpcListener *listener); /* rpc_conn_turn_ms */

/* Takes the contents of `queues`. The feed lives until rpc_listener_free. */
RpcFeed *rpc_listener_add(RpcListener *listener, RpcQueue *queues, size_t count, RpcFeedFn fn,
                          void *self, GError **err);
/* The name of queue `index`; borrowed. */
const char *rpc_feed_queue(const RpcFeed *feed, size_t index);
/* Waits until the feed is consuming; false when the deadline passed or we are stopping. */
bool rpc_feed_wait(RpcFeed *feed, int64_t deadline_ms);
/* Ends consuming and deletes the queues that are ours alone. After return the function does not
 * run any more, unless the broker was away until the deadline. Not from rpc-listen. */
void rpc_feed_stop(RpcFeed *feed, int64_t deadline_ms);
