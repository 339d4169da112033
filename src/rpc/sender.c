/* Publishing with confirms; see sender.h.
 *
 * A message is in one of five places: the conn's mailbox, `again` (to be sent before the mailbox),
 * `sending` (the broker has a part of it), `flying` (sent, in order of delivery tags), or `waiting`
 * (returned, until its next try). */
#include "rpc/sender.h"

#include "rpc/absent.h"
#include "rpc/limit.h"
#include "rpc/sender_priv.h"
#include "util/log.h"
#include "util/metrics.h"
#include "util/thread.h"

#include <string.h>

enum {
    SENDER_CHANNEL = 1,
    SENDER_MAIL_ITEMS = 8192,
    SENDER_MAIL_BYTES = 256 * 1024 * 1024,
    SENDER_WINDOW_ITEMS = 512,
    SENDER_WINDOW_BYTES = 16 * 1024 * 1024,
    SENDER_PER_ROUND = 64, /* then confirms are read */
    SENDER_RETRY_MS = 250,
    SENDER_MAX_ATTEMPTS = 4,
    SENDER_SWEEP_MS = 500, /* deadlines are looked at this often */
};

struct RpcSender {
    const RpcConfig *config; /* [const], likewise the next */
    RpcConn *conn;

    /* [thread: rpc-send] down to limit */
    GQueue again;
    RpcOut *sending;
    GQueue flying;
    GQueue waiting;
    size_t flying_bytes;
    uint64_t next_tag;
    GHashTable *declared; /* exchange and queue names declared on this link */
    GHashTable *as_is;    /* exchanges that exist with other properties */
    RpcAbsent *absent;
    int64_t next_sweep_ms;
    RpcLimit limit;

    DvMutex lock;
    DvCond idle;   /* with lock */
    size_t undone; /* [lock] posted and not done */
    DvMetric *published;
    DvMetric *dropped;
};

const char *rpc_out_result_text(RpcOutResult result)
{
    static const char *const texts[] = {
        [RPC_OUT_CONFIRMED] = "confirmed",
        [RPC_OUT_NOT_SENT] = "the broker is away",
        [RPC_OUT_UNCONFIRMED] = "the broker did not confirm it in time",
        [RPC_OUT_NO_QUEUE] = "no queue takes it",
        [RPC_OUT_REFUSED] = "the broker refuses it",
        [RPC_OUT_CANCELLED] = "stopping",
    };

    return texts[result];
}

RpcOut *rpc_out_new(void)
{
    return g_new0(RpcOut, 1);
}

void rpc_out_free(RpcOut *out)
{
    if (!out)
        return;
    if (out->queue)
        rpc_queue_done(out->queue);
    g_free(out->queue);
    rpc_exchange_done(&out->exchange);
    g_free(out->routing_key);
    g_free(out->body);
    g_free(out);
}

/* ---- ends ---- */

static void out_done(RpcSender *sender, RpcOut *out, RpcOutResult result)
{
    unsigned suppressed = 0;

    if (result == RPC_OUT_CONFIRMED)
        dv_metric_add(sender->published, 1);
    else
        dv_metric_add(sender->dropped, 1);
    if (out->done)
        out->done(out->arg, result);
    else if (result != RPC_OUT_CONFIRMED && !out->once && result != RPC_OUT_CANCELLED &&
             rpc_limit_pass(&sender->limit, dv_now_ms(), &suppressed))
        dv_warning(NULL, "message to %s given up: %s (%u more before)", out->routing_key,
                   rpc_out_result_text(result), suppressed);
    rpc_out_free(out);
    dv_lock(&sender->lock);
    if (--sender->undone == 0)
        dv_cond_broadcast(&sender->idle);
    dv_unlock(&sender->lock);
}

static RpcOutResult late_result(const RpcOut *out)
{
    if (out->returned)
        return RPC_OUT_NO_QUEUE;
    return out->sent ? RPC_OUT_UNCONFIRMED : RPC_OUT_NOT_SENT;
}

static void sweep_queue(RpcSender *sender, GQueue *queue, int64_t now_ms)
{
    GList *next;

    for (GList *at = queue->head; at; at = next) {
        RpcOut *out = at->data;

        next = at->next;
        if (now_ms < out->deadline_ms)
            continue;
        g_queue_delete_link(queue, at);
        out_done(sender, out, late_result(out));
    }
}

static void tell_when_late(RpcOut *out, int64_t now_ms)
{
    if (now_ms < out->deadline_ms || !out->done)
        return;
    out->done(out->arg, late_result(out));
    out->done = NULL;
    out->once = true;
}

/* Messages in flight stay: their confirm will still come, and `done` of a late one is no better
 * than an early "unconfirmed". But their waiters must not wait for ever, so those with a deadline
 * are told. */
static void sweep_flying(RpcSender *sender, int64_t now_ms)
{
    for (GList *at = sender->flying.head; at; at = at->next)
        tell_when_late(at->data, now_ms);
    if (sender->sending)
        tell_when_late(sender->sending, now_ms);
}

/* ---- declaring ---- */

/* False when the channel or the link is gone. */
static bool exchange_ensure(RpcSender *sender, RpcLink *link, const RpcExchange *exchange,
                            GError **err)
{
    GError *why = NULL;

    if (!exchange->type || g_hash_table_contains(sender->declared, exchange->name))
        return true;
    if (g_hash_table_contains(sender->as_is, exchange->name) ||
        rpc_link_exchange_declare(link, SENDER_CHANNEL, exchange, &why)) {
        g_hash_table_add(sender->declared, g_strdup(exchange->name));
        return true;
    }
    if (rpc_link_alive(link) && rpc_link_code(link) == RPC_AMQP_PRECONDITION_FAILED) {
        g_hash_table_add(sender->as_is, g_strdup(exchange->name));
        dv_warning(NULL, "%s; publishing to the exchange as it is: %s", why->message,
                   rpc_topology_advice(why->message));
    }
    g_propagate_error(err, why);
    return false;
}

static bool queue_ensure(RpcSender *sender, RpcLink *link, const RpcQueue *queue, GError **err)
{
    GError *why = NULL;
    g_autofree char *key = NULL;

    if (!queue)
        return true;
    key = g_strconcat("queue:", queue->name, NULL);
    if (g_hash_table_contains(sender->declared, key))
        return true;
    if (g_hash_table_contains(sender->as_is, key) ||
        (rpc_link_queue_declare(link, SENDER_CHANNEL, queue, &why) &&
         rpc_link_queue_bind(link, SENDER_CHANNEL, queue, &why))) {
        g_hash_table_add(sender->declared, g_steal_pointer(&key));
        return true;
    }
    if (rpc_link_alive(link) && rpc_link_code(link) == RPC_AMQP_PRECONDITION_FAILED) {
        g_hash_table_add(sender->as_is, g_steal_pointer(&key));
        dv_warning(NULL, "%s; using the queue as it is: %s", why->message,
                   rpc_topology_advice(why->message));
    }
    g_propagate_error(err, why);
    return false;
}

/* ---- sending ---- */

/* What was in flight goes back in front, oldest first. */
static void requeue_flying(RpcSender *sender)
{
    RpcOut *out;

    if (sender->sending)
        g_queue_push_head(&sender->again, g_steal_pointer(&sender->sending));
    while ((out = g_queue_pop_tail(&sender->flying)))
        g_queue_push_head(&sender->again, out);
    sender->flying_bytes = 0;
}

static bool channel_setup(RpcSender *sender, RpcLink *link, GError **err)
{
    g_hash_table_remove_all(sender->declared);
    sender->next_tag = 1;
    return rpc_link_channel_open(link, SENDER_CHANNEL, err) &&
           rpc_link_confirm_select(link, SENDER_CHANNEL, err);
}

/* The broker closed the channel: everything in flight counts one attempt, since it does not say
 * which message it disliked. */
static bool channel_restart(RpcSender *sender, RpcLink *link, const char *text, GError **err)
{
    GList *next;

    dv_warning(NULL, "publishing channel closed by the broker: %s", text);
    requeue_flying(sender);
    for (GList *at = sender->again.head; at; at = next) {
        RpcOut *out = at->data;

        next = at->next;
        if (!out->sent || ++out->attempts < SENDER_MAX_ATTEMPTS)
            continue;
        g_queue_delete_link(&sender->again, at);
        out_done(sender, out, RPC_OUT_REFUSED);
    }
    return channel_setup(sender, link, err);
}

/* A message that has gone out whole waits for its confirm. */
static void sending_done(RpcSender *sender, const RpcLink *link)
{
    if (!sender->sending || rpc_link_publishing(link))
        return;
    sender->flying_bytes += sender->sending->length;
    g_queue_push_tail(&sender->flying, g_steal_pointer(&sender->sending));
}

/* Hands one message to the broker. False: the link is gone; the message is kept. */
static bool send_one(RpcSender *sender, RpcLink *link, RpcOut *out, int64_t now_ms, GError **err)
{
    const RpcPublish message = {
        .exchange = out->exchange.name,
        .routing_key = out->routing_key,
        .body = out->body,
        .length = out->length,
        .expiration_ms = out->expiration_ms,
        .mandatory = out->mandatory,
    };
    g_autoptr(GError) why = NULL;

    if (now_ms >= out->deadline_ms) {
        out_done(sender, out, late_result(out));
        return true;
    }
    if (out->reply && rpc_absent_has(sender->absent, out->routing_key, now_ms)) {
        out_done(sender, out, RPC_OUT_NO_QUEUE);
        return true;
    }
    if (!exchange_ensure(sender, link, &out->exchange, &why) ||
        !queue_ensure(sender, link, out->queue, &why)) {
        out->sent = true; /* so that attempts are counted */
        g_queue_push_head(&sender->again, out);
        if (rpc_link_alive(link))
            return channel_restart(sender, link, why->message, err);
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    out->tag = sender->next_tag++;
    out->sent = true;
    out->returned = false;
    sender->sending = out;
    if (!rpc_link_publish(link, SENDER_CHANNEL, &message, err))
        return false;
    sending_done(sender, link);
    return true;
}

static bool window_open(const RpcSender *sender)
{
    return sender->flying.length < SENDER_WINDOW_ITEMS &&
           (sender->flying.length == 0 || sender->flying_bytes < SENDER_WINDOW_BYTES);
}

static RpcOut *next_out(RpcSender *sender)
{
    RpcOut *out = g_queue_pop_head(&sender->again);

    return out ? out : rpc_conn_take(sender->conn, NULL);
}

/* Sets *out_more when it stopped only to let confirms be read. */
static bool send_some(RpcSender *sender, RpcLink *link, int64_t now_ms, bool *out_more,
                      GError **err)
{
    if (!rpc_link_publish_more(link, err))
        return false;
    sending_done(sender, link);
    for (int i = 0; window_open(sender) && rpc_link_room(link); i++) {
        RpcOut *out;

        if (i == SENDER_PER_ROUND) {
            *out_more = true;
            return true;
        }
        out = next_out(sender);
        if (!out)
            return true;
        if (!send_one(sender, link, out, now_ms, err))
            return false;
    }
    return true;
}

/* ---- what the broker says ---- */

static void confirm_one(RpcSender *sender, GList *at, bool accepted, int64_t now_ms)
{
    RpcOut *out = at->data;

    g_queue_delete_link(&sender->flying, at);
    sender->flying_bytes -= out->length;
    if (!accepted && !out->once && ++out->attempts >= SENDER_MAX_ATTEMPTS) {
        out_done(sender, out, RPC_OUT_REFUSED);
    } else if (out->returned || !accepted) {
        if (out->once || now_ms + SENDER_RETRY_MS >= out->deadline_ms) {
            if (out->reply && out->returned && !out->once)
                rpc_absent_add(sender->absent, out->routing_key, now_ms);
            out_done(sender, out, out->returned ? RPC_OUT_NO_QUEUE : RPC_OUT_REFUSED);
            return;
        }
        out->retry_at_ms = now_ms + SENDER_RETRY_MS;
        g_queue_push_tail(&sender->waiting, out);
    } else {
        out_done(sender, out, RPC_OUT_CONFIRMED);
    }
}

static void on_confirm(RpcSender *sender, const RpcLinkEvent *event, bool accepted)
{
    int64_t now_ms = dv_now_ms();
    GList *next;

    for (GList *at = sender->flying.head; at; at = next) {
        const RpcOut *out = at->data;

        next = at->next;
        if (out->tag > event->tag)
            break;
        if (event->multiple || out->tag == event->tag)
            confirm_one(sender, at, accepted, now_ms);
    }
}

/* A returned message comes back whole and before its confirm; bodies are unique by _unique_id. */
static void on_returned(RpcSender *sender, const RpcLinkEvent *event)
{
    for (GList *at = sender->flying.head; at; at = at->next) {
        RpcOut *out = at->data;

        if (out->mandatory && !out->returned && out->length == event->length && event->body &&
            strcmp(out->routing_key, event->routing_key) == 0 &&
            memcmp(out->body, event->body, out->length) == 0) {
            out->returned = true;
            if (out->no_queue_ms > 0)
                out->deadline_ms = MIN(out->deadline_ms, dv_now_ms() + out->no_queue_ms);
            out->no_queue_ms = 0;
            return;
        }
    }
}

/* ---- ops of the conn ---- */

static bool sender_up(void *self, RpcLink *link, GError **err)
{
    RpcSender *sender = self;

    return channel_setup(sender, link, err);
}

static void sender_down(void *self)
{
    requeue_flying(self);
}

static bool sender_event(void *self, RpcLink *link, RpcLinkEvent *event, GError **err)
{
    RpcSender *sender = self;

    switch (event->type) {
    case RPC_LINK_CONFIRMED:
    case RPC_LINK_REJECTED:
        on_confirm(sender, event, event->type == RPC_LINK_CONFIRMED);
        return true;
    case RPC_LINK_RETURNED:
        on_returned(sender, event);
        return true;
    case RPC_LINK_BLOCKED:
        dv_error(NULL, "the broker blocks publishers (%s): messages wait here", event->text);
        return true;
    case RPC_LINK_UNBLOCKED:
        dv_info(NULL, "the broker takes messages again");
        return true;
    case RPC_LINK_CLOSED:
        return channel_restart(sender, link, event->text, err);
    default:
        return true;
    }
}

/* Returned messages whose pause is over. */
static void wake_waiting(RpcSender *sender, int64_t now_ms, int64_t *wake_ms)
{
    while (sender->waiting.head) {
        RpcOut *out = sender->waiting.head->data;

        if (out->retry_at_ms > now_ms) {
            *wake_ms = MIN(*wake_ms, out->retry_at_ms);
            return;
        }
        g_queue_push_tail(&sender->again, g_queue_pop_head(&sender->waiting));
    }
}

/* While nothing can be sent, what waits in the mailbox must still meet its deadline. */
static void pull_mail(RpcSender *sender)
{
    size_t bytes = 0;
    RpcOut *out;

    for (GList *at = sender->again.head; at; at = at->next)
        bytes += ((RpcOut *)at->data)->length;
    while (sender->again.length < SENDER_MAIL_ITEMS && bytes < SENDER_MAIL_BYTES &&
           (out = rpc_conn_take(sender->conn, NULL))) {
        bytes += out->length;
        g_queue_push_tail(&sender->again, out);
    }
}

static void sweep(RpcSender *sender, int64_t now_ms, int64_t *wake_ms)
{
    if (now_ms >= sender->next_sweep_ms) {
        sender->next_sweep_ms = now_ms + SENDER_SWEEP_MS;
        sweep_queue(sender, &sender->again, now_ms);
        sweep_queue(sender, &sender->waiting, now_ms);
        sweep_flying(sender, now_ms);
    }
    if (sender->again.length || sender->waiting.length || sender->flying.length || sender->sending)
        *wake_ms = MIN(*wake_ms, sender->next_sweep_ms);
}

static bool sender_work(void *self, RpcLink *link, int64_t now_ms, int64_t *wake_ms, GError **err)
{
    RpcSender *sender = self;
    bool more = false;

    wake_waiting(sender, now_ms, wake_ms);
    if (link && !send_some(sender, link, now_ms, &more, err))
        return false;
    if (!link || rpc_link_full(link))
        pull_mail(sender);
    sweep(sender, now_ms, wake_ms);
    if (more)
        *wake_ms = now_ms;
    return true;
}

static const RpcConnOps sender_ops = {
    .up = sender_up,
    .event = sender_event,
    .work = sender_work,
    .down = sender_down,
};

/* ---- public ---- */

static void drop_mail(void *item)
{
    rpc_out_free(item);
}

RpcSender *rpc_sender_new(const RpcConfig *config, const RpcUrl *url)
{
    RpcSender *sender = g_new0(RpcSender, 1);
    const RpcConnConfig conn = {
        .thread_name = "rpc-send",
        .rpc = config,
        .url = url,
        .mailbox_items = SENDER_MAIL_ITEMS,
        .mailbox_bytes = SENDER_MAIL_BYTES,
        .drop = drop_mail,
    };

    sender->config = config;
    sender->declared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sender->as_is = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    sender->absent = rpc_absent_new();
    sender->published = dv_metric("drover_rpc_published_total", "Messages the broker confirmed.");
    sender->dropped = dv_metric("drover_rpc_unsent_total", "Messages given up.");
    g_queue_init(&sender->again);
    g_queue_init(&sender->flying);
    g_queue_init(&sender->waiting);
    dv_mutex_init(&sender->lock);
    dv_cond_init(&sender->idle);
    sender->conn = rpc_conn_new(&conn, &sender_ops, sender);
    return sender;
}

bool rpc_sender_start(RpcSender *sender, GError **err)
{
    return rpc_conn_start(sender->conn, err);
}

bool rpc_sender_flush(RpcSender *sender, int64_t deadline_ms)
{
    bool idle;

    dv_lock(&sender->lock);
    while (sender->undone && dv_cond_wait_until(&sender->idle, &sender->lock, deadline_ms))
        ;
    idle = sender->undone == 0;
    dv_unlock(&sender->lock);
    return idle;
}

static void cancel_all(RpcSender *sender, GQueue *queue)
{
    RpcOut *out;

    while ((out = g_queue_pop_head(queue)))
        out_done(sender, out, RPC_OUT_CANCELLED);
}

void rpc_sender_stop(RpcSender *sender, int64_t deadline_ms)
{
    RpcOut *out;

    rpc_conn_stop(sender->conn, deadline_ms);
    /* The thread is gone: its queues are ours now. */
    cancel_all(sender, &sender->again);
    cancel_all(sender, &sender->flying);
    cancel_all(sender, &sender->waiting);
    while ((out = rpc_conn_take(sender->conn, NULL)))
        out_done(sender, out, RPC_OUT_CANCELLED);
}

void rpc_sender_free(RpcSender *sender)
{
    if (!sender)
        return;
    rpc_conn_free(sender->conn);
    g_hash_table_unref(sender->declared);
    g_hash_table_unref(sender->as_is);
    rpc_absent_free(sender->absent);
    dv_cond_done(&sender->idle);
    dv_mutex_done(&sender->lock);
    g_free(sender);
}

bool rpc_sender_ready(RpcSender *sender)
{
    return rpc_conn_up(sender->conn);
}

int64_t rpc_sender_turn_ms(RpcSender *sender)
{
    return rpc_conn_turn_ms(sender->conn);
}

size_t rpc_sender_load(RpcSender *sender, size_t *out_limit)
{
    size_t undone;

    dv_lock(&sender->lock);
    undone = sender->undone;
    dv_unlock(&sender->lock);
    *out_limit = SENDER_MAIL_ITEMS;
    return undone;
}

bool rpc_sender_post(RpcSender *sender, RpcOut *out, GError **err)
{
    dv_lock(&sender->lock);
    sender->undone++;
    dv_unlock(&sender->lock);
    if (rpc_conn_post(sender->conn, out, out->length + 256))
        return true;
    dv_lock(&sender->lock);
    if (--sender->undone == 0)
        dv_cond_broadcast(&sender->idle);
    dv_unlock(&sender->lock);
    rpc_out_free(out);
    return dv_fail(err, DV_E_UNAVAILABLE, "too many messages wait for the broker");
}

/* ---- for tests ---- */

RpcOut *rpc_sender_take(RpcSender *sender)
{
    RpcOut *out = rpc_conn_take(sender->conn, NULL);

    dv_lock(&sender->lock);
    if (out)
        sender->undone--;
    dv_unlock(&sender->lock);
    return out;
}
