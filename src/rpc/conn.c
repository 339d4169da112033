/* The I/O thread of a connection; see conn.h. */
#include "rpc/conn.h"

#include "rpc/reconnect.h"
#include "util/log.h"
#include "util/metrics.h"
#include "util/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONN_CONNECT_MS = 10000,
    CONN_EVENTS_PER_ROUND = 256, /* then acks and the mailbox get their turn */
    CONN_MAX_SLEEP_MS = 15000,
    CONN_DEFAULT_MESSAGE_BYTES = 64 * 1024 * 1024,
};

typedef struct MailItem {
    void *item;
    size_t bytes;
} MailItem;

struct RpcConn {
    RpcConnConfig config; /* [const], likewise the next three */
    const RpcConnOps *ops;
    void *self;
    GThread *thread;

    RpcLink *link;           /* [thread: conn] */
    RpcReconnect *reconnect; /* [thread: conn] */
    int64_t retry_at_ms;     /* [thread: conn] */
    int64_t down_since_ms;   /* [thread: conn] 0: up, or never tried */

    DvMutex lock;
    DvCond ended;            /* with lock */
    GQueue mail;             /* [lock] of MailItem */
    size_t mail_bytes;       /* [lock] */
    int socket_fd;           /* [lock] of the live link, for cutting it; -1 */
    bool thread_ended;       /* [lock] */
    atomic_bool stopping;    /* [atomic] */
    atomic_bool is_up;       /* [atomic] */
    atomic_bool signalled;   /* [atomic] the eventfd is set and not read yet */
    _Atomic int64_t turn_ms; /* [atomic] when the loop last came round */
    int event_fd;            /* [const] */
    DvMetric *reconnects;    /* [const] */
};

RpcConn *rpc_conn_new(const RpcConnConfig *config, const RpcConnOps *ops, void *self)
{
    RpcConn *conn = g_new0(RpcConn, 1);

    conn->config = *config;
    conn->ops = ops;
    conn->self = self;
    conn->event_fd = -1;
    conn->socket_fd = -1;
    atomic_init(&conn->turn_ms, dv_now_ms());
    conn->reconnect = rpc_reconnect_new(config->rpc, config->url->host_count, NULL);
    conn->reconnects = dv_metric("drover_rpc_reconnects_total", "Broker connections lost.");
    dv_mutex_init(&conn->lock);
    dv_cond_init(&conn->ended);
    g_queue_init(&conn->mail);
    return conn;
}

void rpc_conn_free(RpcConn *conn)
{
    MailItem *mail;

    if (!conn)
        return;
    g_assert(!conn->thread); /* rpc_conn_stop comes first */
    while ((mail = g_queue_pop_head(&conn->mail))) {
        conn->config.drop(mail->item);
        g_free(mail);
    }
    if (conn->event_fd >= 0)
        close(conn->event_fd);
    rpc_reconnect_free(conn->reconnect);
    dv_cond_done(&conn->ended);
    dv_mutex_done(&conn->lock);
    g_free(conn);
}

/* ---- mailbox ---- */

bool rpc_conn_up(RpcConn *conn)
{
    return atomic_load(&conn->is_up);
}

int64_t rpc_conn_turn_ms(RpcConn *conn)
{
    return atomic_load(&conn->turn_ms);
}

void rpc_conn_wake(RpcConn *conn)
{
    const uint64_t one = 1;

    /* One write per wake-up, however many items arrive meanwhile. */
    if (conn->event_fd >= 0 && !atomic_exchange(&conn->signalled, true) &&
        write(conn->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        dv_error(NULL, "eventfd: %s", g_strerror(errno));
}

bool rpc_conn_post(RpcConn *conn, void *item, size_t bytes)
{
    MailItem *mail;
    bool fits;

    dv_lock(&conn->lock);
    fits = !atomic_load(&conn->stopping) && conn->mail.length < conn->config.mailbox_items &&
           (conn->mail.length == 0 || conn->mail_bytes + bytes <= conn->config.mailbox_bytes);
    if (fits) {
        mail = g_new(MailItem, 1);
        *mail = (MailItem){item, bytes};
        g_queue_push_tail(&conn->mail, mail);
        conn->mail_bytes += bytes;
    }
    dv_unlock(&conn->lock);
    if (fits)
        rpc_conn_wake(conn);
    return fits;
}

void *rpc_conn_take(RpcConn *conn, size_t *out_bytes)
{
    MailItem *mail;
    void *item = NULL;

    dv_lock(&conn->lock);
    mail = g_queue_pop_head(&conn->mail);
    if (mail) {
        conn->mail_bytes -= mail->bytes;
        item = mail->item;
        if (out_bytes)
            *out_bytes = mail->bytes;
    }
    dv_unlock(&conn->lock);
    g_free(mail);
    return item;
}

/* ---- the link ---- */

static void socket_note(RpcConn *conn, int fd)
{
    dv_lock(&conn->lock);
    conn->socket_fd = fd;
    dv_unlock(&conn->lock);
}

static void link_drop(RpcConn *conn)
{
    if (!conn->link)
        return;
    atomic_store(&conn->is_up, false);
    conn->ops->down(conn->self); /* also after an `up` that failed half-way */
    socket_note(conn, -1);
    g_clear_pointer(&conn->link, rpc_link_free);
}

static void schedule_retry(RpcConn *conn, const GError *why)
{
    int64_t wait_ms = rpc_reconnect_failed(conn->reconnect);

    conn->retry_at_ms = dv_now_ms() + wait_ms;
    if (!conn->down_since_ms)
        conn->down_since_ms = dv_now_ms();
    dv_error(NULL, "AMQP (%s): %s; trying the next broker in %.1f s", conn->config.thread_name,
             why ? why->message : "connection lost", (double)wait_ms / 1000);
}

static void link_lost(RpcConn *conn, const GError *why)
{
    link_drop(conn);
    if (atomic_load(&conn->stopping))
        return;
    dv_metric_add(conn->reconnects, 1);
    schedule_retry(conn, why);
}

static bool link_connect(RpcConn *conn, GError **err)
{
    const RpcConfig *rpc = conn->config.rpc;
    const RpcUrl *url = conn->config.url;
    const RpcHost *host = &url->hosts[rpc_reconnect_host(conn->reconnect)];
    const RpcLinkOptions options = {
        .config = rpc,
        .program = g_get_prgname() ? g_get_prgname() : "drover",
        .connect_ms = CONN_CONNECT_MS,
        .max_message_bytes = rpc->max_message_bytes ? rpc->max_message_bytes
                                                    : CONN_DEFAULT_MESSAGE_BYTES,
    };

    if (!rpc_link_open(&options, host, url->vhost, &conn->link, err))
        return false;
    socket_note(conn, rpc_link_fd(conn->link));
    if (!conn->ops->up(conn->self, conn->link, err))
        return false;
    dv_info(NULL, "AMQP (%s): connected to %s:%d", conn->config.thread_name, host->host,
            host->port);
    return true;
}

static void link_try(RpcConn *conn)
{
    g_autoptr(GError) err = NULL;

    if (!link_connect(conn, &err)) {
        link_drop(conn);
        schedule_retry(conn, err);
        return;
    }
    rpc_reconnect_succeeded(conn->reconnect);
    conn->down_since_ms = 0;
    atomic_store(&conn->is_up, true);
}

/* ---- the loop ---- */

/* True: more may be waiting, so do not sleep. */
static bool drain(RpcConn *conn, bool *out_more, GError **err)
{
    *out_more = false;
    for (int i = 0; i < CONN_EVENTS_PER_ROUND; i++) {
        g_auto(RpcLinkEvent) event = {0};

        if (!rpc_link_next(conn->link, &event, err))
            return false;
        if (event.type == RPC_LINK_NOTHING)
            return true;
        if (!conn->ops->event(conn->self, conn->link, &event, err))
            return false;
    }
    *out_more = true;
    return true;
}

/* librabbitmq sends heartbeats from inside its calls: wake several times in each interval. */
static int64_t longest_sleep(const RpcConn *conn)
{
    int64_t heartbeat_ms = conn->config.rpc->heartbeat_timeout_s * 1000;

    return heartbeat_ms > 0 ? MIN(heartbeat_ms / 4, CONN_MAX_SLEEP_MS) : CONN_MAX_SLEEP_MS;
}

static void sleep_until(RpcConn *conn, int64_t wake_ms)
{
    struct pollfd fds[2] = {{.fd = conn->event_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int64_t wait_ms = wake_ms - dv_now_ms();
    uint64_t count;

    if (conn->link) {
        fds[1].fd = rpc_link_fd(conn->link);
        fds[1].events = rpc_link_poll_events(conn->link);
    }
    if (poll(fds, 2, (int)CLAMP(wait_ms, 0, longest_sleep(conn))) < 0)
        return;
    if (fds[0].revents) {
        /* In this order: a post between the two does not signal, and is seen when the mailbox is
         * read after this. The other way round, its signal would be read here and the mark stay:
         * nobody would ever signal again. */
        if (read(conn->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
            dv_error(NULL, "eventfd: %s", g_strerror(errno));
        atomic_store(&conn->signalled, false);
    }
}

static void run_once(RpcConn *conn)
{
    g_autoptr(GError) err = NULL;
    int64_t now_ms = dv_now_ms();
    int64_t wake_ms = now_ms + CONN_MAX_SLEEP_MS;
    bool more = false;

    atomic_store(&conn->turn_ms, now_ms);
    if (!conn->link && now_ms >= conn->retry_at_ms)
        link_try(conn);
    if (conn->link && !drain(conn, &more, &err)) {
        link_lost(conn, err);
        return;
    }
    if (!conn->ops->work(conn->self, conn->link, dv_now_ms(), &wake_ms, &err)) {
        link_lost(conn, err);
        return;
    }
    if (!conn->link)
        wake_ms = MIN(wake_ms, conn->retry_at_ms);
    else if (rpc_link_pending(conn->link))
        more = true;
    sleep_until(conn, more ? 0 : wake_ms);
}

static void *conn_main(void *arg)
{
    RpcConn *conn = arg;

    while (!atomic_load(&conn->stopping))
        run_once(conn);
    link_drop(conn);
    dv_lock(&conn->lock);
    conn->thread_ended = true;
    dv_cond_broadcast(&conn->ended);
    dv_unlock(&conn->lock);
    return NULL;
}

bool rpc_conn_start(RpcConn *conn, GError **err)
{
    conn->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (conn->event_fd < 0)
        return dv_fail(err, DV_E_INTERNAL, "eventfd: %s", g_strerror(errno));
    conn->thread = dv_thread_new(conn->config.thread_name, conn_main, conn);
    return true;
}

void rpc_conn_stop(RpcConn *conn, int64_t deadline_ms)
{
    atomic_store(&conn->stopping, true);
    if (!conn->thread)
        return;
    rpc_conn_wake(conn);
    dv_lock(&conn->lock);
    while (!conn->thread_ended && dv_cond_wait_until(&conn->ended, &conn->lock, deadline_ms))
        ;
    if (!conn->thread_ended && conn->socket_fd >= 0)
        shutdown(conn->socket_fd, SHUT_RDWR); /* whatever it waits for fails now */
    dv_unlock(&conn->lock);
    g_thread_join(g_steal_pointer(&conn->thread));
}
