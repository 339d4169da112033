/* Consumers and their re-declaration; see listener.h. */
#include "rpc/listener.h"

#include "rpc/limit.h"
#include "util/log.h"
#include "util/thread.h"

#include <stdatomic.h>
#include <string.h>

enum {
    FEED_MAX_QUEUES = 4,
    FEED_RETRY_MS = 5000,         /* after the broker refused a declaration */
    FEED_DECLARE_ATTEMPTS = 4,    /* within one go: 404 and exchange fallbacks */
    FEED_REDECLARE_PAUSE_MS = 100 /* after a cancel: a deleted queue may be deleted again */
};

typedef enum { FEED_WANTED, FEED_UP, FEED_STOPPING, FEED_STOPPED } FeedState;

struct RpcFeed {
    RpcListener *listener; /* [const], likewise the next five */
    int channel;
    RpcQueue queues[FEED_MAX_QUEUES];
    size_t count;
    RpcFeedFn fn;
    void *self;
    FeedState state;                      /* [lock] */
    unsigned tags[FEED_MAX_QUEUES];       /* [thread: rpc-listen] likewise the rest */
    int64_t offsets[FEED_MAX_QUEUES];     /* next stream offset, -1: none seen */
    bool exchange_as_is[FEED_MAX_QUEUES]; /* exists with other properties: do not declare */
    int64_t retry_at_ms;
    bool was_up;
    RpcLimit limit;
};

struct RpcListener {
    const RpcConfig *config;    /* [const] */
    RpcConn *conn;              /* [const] */
    void (*renewed)(void *arg); /* [const] or NULL */
    void *renewed_arg;          /* [const] */
    DvMutex lock;
    DvCond changed;   /* with lock: a feed's state */
    GPtrArray *feeds; /* [lock] of RpcFeed, owned */
    bool stopping;    /* [lock] */
};

/* ---- state ---- */

static FeedState feed_state(RpcFeed *feed)
{
    RpcListener *listener = feed->listener;
    FeedState state;

    dv_lock(&listener->lock);
    state = feed->state;
    dv_unlock(&listener->lock);
    return state;
}

/* A feed that is stopping stays so whatever happens to its channel. */
static void feed_set_state(RpcFeed *feed, FeedState state)
{
    RpcListener *listener = feed->listener;

    dv_lock(&listener->lock);
    if (feed->state != FEED_STOPPED && (feed->state != FEED_STOPPING || state == FEED_STOPPED))
        feed->state = state;
    dv_cond_broadcast(&listener->changed);
    dv_unlock(&listener->lock);
}

static unsigned feeds_snapshot(RpcListener *listener, RpcFeed **out)
{
    unsigned count;

    dv_lock(&listener->lock);
    count = listener->feeds->len;
    for (unsigned i = 0; i < count; i++)
        out[i] = g_ptr_array_index(listener->feeds, i);
    dv_unlock(&listener->lock);
    return count;
}

/* ---- declaring ---- */

/* The exchange may have been made by a service with other options. It works for us as it is, and
 * oslo falls back in the same way; but it must be said. */
static bool exchange_declare(RpcFeed *feed, RpcLink *link, size_t i, GError **err)
{
    const RpcQueue *queue = &feed->queues[i];
    GError *why = NULL;

    if (!queue->exchange.type || feed->exchange_as_is[i] ||
        rpc_link_exchange_declare(link, feed->channel, &queue->exchange, &why))
        return true;
    if (rpc_link_alive(link) && rpc_link_code(link) == RPC_AMQP_PRECONDITION_FAILED) {
        feed->exchange_as_is[i] = true;
        dv_warning(NULL, "%s; using the exchange as it is: %s", why->message,
                   rpc_topology_advice(why->message));
    }
    g_propagate_error(err, why);
    return false;
}

static bool queue_consume(RpcFeed *feed, RpcLink *link, size_t i, GError **err)
{
    const RpcQueue *queue = &feed->queues[i];

    if (!exchange_declare(feed, link, i, err) ||
        !rpc_link_queue_declare(link, feed->channel, queue, err))
        return false;
    if (queue->exchange.type && !rpc_link_queue_bind(link, feed->channel, queue, err))
        return false;
    return rpc_link_consume(link, feed->channel, queue, feed->offsets[i], &feed->tags[i], err);
}

static bool feed_declare_once(RpcFeed *feed, RpcLink *link, GError **err)
{
    int64_t prefetch = feed->listener->config->qos_prefetch_count;

    memset(feed->tags, 0, sizeof feed->tags);
    if (!rpc_link_channel_close(link, feed->channel, err) ||
        !rpc_link_channel_open(link, feed->channel, err) ||
        (prefetch > 0 && !rpc_link_qos(link, feed->channel, prefetch, err)))
        return false;
    for (size_t i = 0; i < feed->count; i++)
        if (!queue_consume(feed, link, i, err))
            return false;
    return true;
}

/* The broker said no. 404 is a race with a queue or exchange that is being deleted, and a 406 on an
 * exchange has been dealt with: try at once. Anything else is the operator's: later. */
static bool worth_repeating(RpcFeed *feed, RpcLink *link, const bool *as_is_before)
{
    return rpc_link_code(link) == RPC_AMQP_NOT_FOUND ||
           memcmp(as_is_before, feed->exchange_as_is, sizeof feed->exchange_as_is) != 0;
}

static void feed_up(RpcFeed *feed)
{
    RpcListener *listener = feed->listener;

    feed_set_state(feed, FEED_UP);
    if (feed->was_up && listener->renewed)
        listener->renewed(listener->renewed_arg);
    feed->was_up = true;
}

/* False only when the link is gone. */
static bool feed_declare(RpcFeed *feed, RpcLink *link, GError **err)
{
    g_autoptr(GError) why = NULL;

    for (int attempt = 0; attempt < FEED_DECLARE_ATTEMPTS; attempt++) {
        bool as_is[FEED_MAX_QUEUES];

        memcpy(as_is, feed->exchange_as_is, sizeof as_is);
        g_clear_error(&why);
        if (feed_declare_once(feed, link, &why)) {
            feed_up(feed);
            return true;
        }
        if (!rpc_link_alive(link)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        if (!worth_repeating(feed, link, as_is))
            break;
    }
    feed->retry_at_ms = dv_now_ms() + FEED_RETRY_MS;
    if (rpc_link_code(link) == RPC_AMQP_PRECONDITION_FAILED)
        dv_error(NULL, "%s. To mend it, %s", why->message, rpc_topology_advice(why->message));
    else
        dv_error(NULL, "%s; trying again in %d s", why->message, FEED_RETRY_MS / 1000);
    return true;
}

/* ---- stopping ---- */

/* False only when the link is gone; a queue that is gone already is fine. */
static bool feed_close(RpcFeed *feed, RpcLink *link, GError **err)
{
    for (size_t i = 0; i < feed->count; i++)
        if (feed->tags[i] && !rpc_link_cancel(link, feed->channel, feed->tags[i], err))
            break;
    for (size_t i = 0; i < feed->count && rpc_link_alive(link); i++) {
        if (!feed->queues[i].delete_on_stop || !feed->tags[i])
            continue;
        g_clear_error(err);
        rpc_link_queue_delete(link, feed->channel, feed->queues[i].name, err);
    }
    if (!rpc_link_alive(link))
        return false;
    /* Messages that came before the cancel are on this channel still: unacknowledged, they go back
     * to the queue for another server. */
    g_clear_error(err);
    if (!rpc_link_channel_close(link, feed->channel, err) && !rpc_link_alive(link))
        return false;
    g_clear_error(err);
    return true;
}

/* ---- ops of the conn ---- */

static bool listener_up(void *self, RpcLink *link, GError **err)
{
    RpcFeed *feeds[RPC_LINK_CHANNELS];
    unsigned count = feeds_snapshot(self, feeds);

    for (unsigned i = 0; i < count; i++)
        if (feed_state(feeds[i]) == FEED_WANTED && !feed_declare(feeds[i], link, err))
            return false;
    return true;
}

static void listener_down(void *self)
{
    RpcFeed *feeds[RPC_LINK_CHANNELS];
    unsigned count = feeds_snapshot(self, feeds);

    for (unsigned i = 0; i < count; i++) {
        memset(feeds[i]->tags, 0, sizeof feeds[i]->tags);
        feeds[i]->retry_at_ms = 0;
        feed_set_state(feeds[i],
                       feed_state(feeds[i]) == FEED_STOPPING ? FEED_STOPPED : FEED_WANTED);
    }
}

static RpcFeed *feed_of_channel(RpcListener *listener, int channel)
{
    RpcFeed *feed = NULL;

    dv_lock(&listener->lock);
    for (unsigned i = 0; i < listener->feeds->len && !feed; i++) {
        feed = g_ptr_array_index(listener->feeds, i);
        if (feed->channel != channel)
            feed = NULL;
    }
    dv_unlock(&listener->lock);
    return feed;
}

/* Acknowledged before anything else is done with it: what crashes us must not come again. */
static bool on_delivery(RpcFeed *feed, RpcLink *link, RpcLinkEvent *event, GError **err)
{
    unsigned suppressed = 0;

    if (!rpc_link_ack(link, feed->channel, event->tag, err))
        return false;
    for (size_t i = 0; i < feed->count; i++)
        if (feed->queues[i].stream && feed->tags[i] == event->consumer && event->stream_offset >= 0)
            feed->offsets[i] = event->stream_offset + 1;
    if (event->discarded || event->compressed) {
        if (rpc_limit_pass(&feed->limit, dv_now_ms(), &suppressed))
            dv_warning(NULL, "message of %zu bytes from %s dropped: %s (%u more before)",
                       event->length, feed->queues[0].name,
                       event->discarded ? "larger than the limit"
                                        : "compressed (kombu_compression), which is not supported",
                       suppressed);
        return true;
    }
    feed->fn(feed->self, event);
    return true;
}

static bool on_lost_channel(RpcFeed *feed, const char *what)
{
    dv_warning(NULL, "%s %s; declaring it again", feed->queues[0].name, what);
    feed->retry_at_ms = dv_now_ms() + FEED_REDECLARE_PAUSE_MS;
    feed_set_state(feed, FEED_WANTED);
    return true;
}

static bool listener_event(void *self, RpcLink *link, RpcLinkEvent *event, GError **err)
{
    RpcFeed *feed = event->channel ? feed_of_channel(self, event->channel) : NULL;

    if (!feed)
        return true; /* a throttled publisher is rpc-send's affair */
    switch (event->type) {
    case RPC_LINK_DELIVERY:
        return on_delivery(feed, link, event, err);
    case RPC_LINK_CANCELLED:
        return on_lost_channel(feed, "was cancelled by the broker");
    case RPC_LINK_CLOSED:
        return on_lost_channel(feed, event->text);
    default:
        return true;
    }
}

static bool listener_work(void *self, RpcLink *link, int64_t now_ms, int64_t *wake_ms, GError **err)
{
    RpcFeed *feeds[RPC_LINK_CHANNELS];
    unsigned count = feeds_snapshot(self, feeds);

    for (unsigned i = 0; i < count; i++) {
        RpcFeed *feed = feeds[i];

        switch (feed_state(feed)) {
        case FEED_WANTED:
            if (link && now_ms >= feed->retry_at_ms && !feed_declare(feed, link, err))
                return false;
            /* Without a link there is nothing to do before the next one: it wakes us. */
            if (link && feed_state(feed) == FEED_WANTED)
                *wake_ms = MIN(*wake_ms, feed->retry_at_ms);
            break;
        case FEED_STOPPING:
            if (link && !feed_close(feed, link, err))
                return false;
            feed_set_state(feed, FEED_STOPPED);
            break;
        case FEED_UP:
        case FEED_STOPPED:
            break;
        }
    }
    return true;
}

static const RpcConnOps listener_ops = {
    .up = listener_up,
    .event = listener_event,
    .work = listener_work,
    .down = listener_down,
};

/* ---- public ---- */

static void feed_free(void *arg)
{
    RpcFeed *feed = arg;

    for (size_t i = 0; i < feed->count; i++)
        rpc_queue_done(&feed->queues[i]);
    g_free(feed);
}

RpcListener *rpc_listener_new(const RpcConfig *config, const RpcUrl *url)
{
    RpcListener *listener = g_new0(RpcListener, 1);
    const RpcConnConfig conn = {
        .thread_name = "rpc-listen",
        .rpc = config,
        .url = url,
        .drop = g_free,
    };

    listener->config = config;
    listener->feeds = g_ptr_array_new_with_free_func(feed_free);
    dv_mutex_init(&listener->lock);
    dv_cond_init(&listener->changed);
    listener->conn = rpc_conn_new(&conn, &listener_ops, listener);
    return listener;
}

void rpc_listener_on_renewed(RpcListener *listener, void (*fn)(void *arg), void *arg)
{
    listener->renewed = fn;
    listener->renewed_arg = arg;
}

bool rpc_listener_start(RpcListener *listener, GError **err)
{
    return rpc_conn_start(listener->conn, err);
}

void rpc_listener_stop(RpcListener *listener, int64_t deadline_ms)
{
    dv_lock(&listener->lock);
    listener->stopping = true;
    dv_cond_broadcast(&listener->changed);
    dv_unlock(&listener->lock);
    rpc_conn_stop(listener->conn, deadline_ms);
}

void rpc_listener_free(RpcListener *listener)
{
    if (!listener)
        return;
    rpc_conn_free(listener->conn);
    g_ptr_array_unref(listener->feeds);
    dv_cond_done(&listener->changed);
    dv_mutex_done(&listener->lock);
    g_free(listener);
}

bool rpc_listener_ready(RpcListener *listener)
{
    bool ready = rpc_conn_up(listener->conn);

    dv_lock(&listener->lock);
    for (unsigned i = 0; i < listener->feeds->len; i++) {
        RpcFeed *feed = g_ptr_array_index(listener->feeds, i);

        if (feed->state == FEED_WANTED)
            ready = false;
    }
    dv_unlock(&listener->lock);
    return ready;
}

int64_t rpc_listener_turn_ms(RpcListener *listener)
{
    return rpc_conn_turn_ms(listener->conn);
}

RpcFeed *rpc_listener_add(RpcListener *listener, RpcQueue *queues, size_t count, RpcFeedFn fn,
                          void *self, GError **err)
{
    RpcFeed *feed = g_new0(RpcFeed, 1);

    g_assert(count <= FEED_MAX_QUEUES);
    feed->listener = listener;
    feed->count = count;
    feed->fn = fn;
    feed->self = self;
    memcpy(feed->queues, queues, count * sizeof *queues);
    for (size_t i = 0; i < FEED_MAX_QUEUES; i++)
        feed->offsets[i] = -1;
    dv_lock(&listener->lock);
    feed->channel = (int)listener->feeds->len + 1;
    if (feed->channel < RPC_LINK_CHANNELS)
        g_ptr_array_add(listener->feeds, feed);
    dv_unlock(&listener->lock);
    if (feed->channel >= RPC_LINK_CHANNELS) {
        feed_free(feed);
        dv_fail(err, DV_E_INTERNAL, "more than %d RPC servers", RPC_LINK_CHANNELS - 1);
        return NULL;
    }
    rpc_conn_wake(listener->conn);
    return feed;
}

const char *rpc_feed_queue(const RpcFeed *feed, size_t index)
{
    return feed->queues[index].name;
}

bool rpc_feed_wait(RpcFeed *feed, int64_t deadline_ms)
{
    RpcListener *listener = feed->listener;
    bool up;

    dv_lock(&listener->lock);
    while (feed->state == FEED_WANTED && !listener->stopping &&
           dv_cond_wait_until(&listener->changed, &listener->lock, deadline_ms))
        ;
    up = feed->state == FEED_UP;
    dv_unlock(&listener->lock);
    return up;
}

void rpc_feed_stop(RpcFeed *feed, int64_t deadline_ms)
{
    RpcListener *listener = feed->listener;

    feed_set_state(feed, FEED_STOPPING);
    rpc_conn_wake(listener->conn);
    dv_lock(&listener->lock);
    while (feed->state == FEED_STOPPING && !listener->stopping &&
           dv_cond_wait_until(&listener->changed, &listener->lock, deadline_ms))
        ;
    dv_unlock(&listener->lock);
}
