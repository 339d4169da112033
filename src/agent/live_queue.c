/* Live migrations from this host; see live_queue.h. */
#include "agent/live_queue.h"

#include "util/clock.h"
#include "util/thread.h"

typedef enum { PORTS_HERE, PORTS_MOVING, PORTS_MOVED } PortsPhase;

struct LiveTicket {
    LiveQueue *queue; /* [const] */
    char *uuid;       /* [const] */
    char *dest;       /* [const] */
    char *network;    /* [queue->lock] network info text of its ports, or NULL */
    LivePhase phase;  /* [queue->lock] likewise what follows; LIVE_NONE: cancelled while queued */
    PortsPhase ports;
    bool cancelled, force;
};

struct LiveQueue {
    unsigned workers; /* [const] 0: any number */
    DvMutex lock;
    DvCond changed;
    GHashTable *tickets DV_GUARDED_BY(lock); /* instance uuid -> LiveTicket, borrowed */
};

LiveQueue *live_queue_new(unsigned workers)
{
    LiveQueue *queue = g_new0(LiveQueue, 1);

    queue->workers = workers;
    dv_mutex_init(&queue->lock);
    dv_cond_init(&queue->changed);
    queue->tickets = g_hash_table_new(g_str_hash, g_str_equal);
    return queue;
}

void live_queue_free(LiveQueue *queue) DV_NO_ANALYSIS
{
    if (!queue)
        return;
    g_hash_table_unref(queue->tickets);
    dv_cond_done(&queue->changed);
    dv_mutex_done(&queue->lock);
    g_free(queue);
}

/* ---- the worker's side ---- */

LiveTicket *live_queue_enter(LiveQueue *queue, const char *instance_uuid, const char *dest,
                             bool *out_turn, GError **err)
{
    LiveTicket *ticket = NULL;

    dv_lock(&queue->lock);
    if (!g_hash_table_contains(queue->tickets, instance_uuid)) {
        ticket = g_new0(LiveTicket, 1);
        *ticket = (LiveTicket){.queue = queue,
                               .uuid = g_strdup(instance_uuid),
                               .dest = g_strdup(dest),
                               .phase = LIVE_QUEUED};
        g_hash_table_insert(queue->tickets, ticket->uuid, ticket);
        if (out_turn)
            *out_turn = !queue->workers || g_hash_table_size(queue->tickets) <= queue->workers;
    }
    dv_unlock(&queue->lock);
    if (!ticket)
        dv_fail(err, DV_E_MIGRATION,
                "Migration error: a live migration of instance %s is under way", instance_uuid);
    return ticket;
}

/* False when it was cancelled. */
static bool advance(LiveTicket *ticket, LivePhase from, LivePhase to)
{
    LiveQueue *queue = ticket->queue;
    bool ok;

    dv_lock(&queue->lock);
    ok = ticket->phase == from && !ticket->cancelled;
    if (ok)
        ticket->phase = to;
    dv_unlock(&queue->lock);
    return ok;
}

bool live_ticket_prepare(LiveTicket *ticket)
{
    return advance(ticket, LIVE_QUEUED, LIVE_PREPARING);
}

bool live_ticket_run(LiveTicket *ticket)
{
    return advance(ticket, LIVE_PREPARING, LIVE_RUNNING);
}

bool live_ticket_cancelled(LiveTicket *ticket)
{
    bool cancelled;

    dv_lock(&ticket->queue->lock);
    cancelled = ticket->cancelled;
    dv_unlock(&ticket->queue->lock);
    return cancelled;
}

bool live_ticket_take_force(LiveTicket *ticket)
{
    bool force;

    dv_lock(&ticket->queue->lock);
    force = ticket->force;
    ticket->force = false;
    dv_unlock(&ticket->queue->lock);
    return force;
}

void live_ticket_leave(LiveTicket *ticket)
{
    LiveQueue *queue;

    if (!ticket)
        return;
    queue = ticket->queue;
    dv_lock(&queue->lock);
    if (g_hash_table_lookup(queue->tickets, ticket->uuid) == ticket)
        g_hash_table_remove(queue->tickets, ticket->uuid);
    dv_cond_broadcast(&queue->changed);
    dv_unlock(&queue->lock);
    g_free(ticket->uuid);
    g_free(ticket->dest);
    g_free(ticket->network);
    g_free(ticket);
}

/* ---- the others' ---- */

LivePhase live_queue_cancel(LiveQueue *queue, const char *instance_uuid)
{
    LivePhase phase = LIVE_NONE;
    LiveTicket *ticket;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    if (ticket) {
        phase = ticket->phase;
        ticket->cancelled = true;
    }
    if (phase == LIVE_QUEUED) { /* the worker's turn is still to come: the place is free at once */
        ticket->phase = LIVE_NONE;
        g_hash_table_remove(queue->tickets, instance_uuid);
        dv_cond_broadcast(&queue->changed);
    }
    dv_unlock(&queue->lock);
    return phase;
}

bool live_queue_force(LiveQueue *queue, const char *instance_uuid)
{
    LiveTicket *ticket;
    bool running;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    running = ticket && ticket->phase == LIVE_RUNNING;
    if (running)
        ticket->force = true;
    dv_unlock(&queue->lock);
    return running;
}

LivePhase live_queue_phase(LiveQueue *queue, const char *instance_uuid)
{
    const LiveTicket *ticket;
    LivePhase phase;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    phase = ticket ? ticket->phase : LIVE_NONE;
    dv_unlock(&queue->lock);
    return phase;
}

char *live_queue_dest(LiveQueue *queue, const char *instance_uuid)
{
    const LiveTicket *ticket;
    char *dest;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    dest = ticket ? g_strdup(ticket->dest) : NULL;
    dv_unlock(&queue->lock);
    return dest;
}

void live_ticket_set_ports(LiveTicket *ticket, const char *network_info)
{
    dv_lock(&ticket->queue->lock);
    g_free(ticket->network);
    ticket->network = g_strdup(network_info);
    dv_unlock(&ticket->queue->lock);
}

char *live_queue_ports(LiveQueue *queue, const char *instance_uuid)
{
    const LiveTicket *ticket;
    char *network;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    network = ticket ? g_strdup(ticket->network) : NULL;
    dv_unlock(&queue->lock);
    return network;
}

bool live_queue_wait_gone(LiveQueue *queue, const char *instance_uuid, int64_t timeout_ms)
{
    int64_t end_ms = dv_now_ms() + timeout_ms;
    bool gone;

    dv_lock(&queue->lock);
    while (g_hash_table_contains(queue->tickets, instance_uuid) &&
           dv_cond_wait_until(&queue->changed, &queue->lock, end_ms))
        ;
    gone = !g_hash_table_contains(queue->tickets, instance_uuid);
    dv_unlock(&queue->lock);
    return gone;
}

char **live_queue_waiting(LiveQueue *queue)
{
    GPtrArray *uuids = g_ptr_array_new();
    GHashTableIter iter;
    gpointer ticket;

    dv_lock(&queue->lock);
    g_hash_table_iter_init(&iter, queue->tickets);
    while (g_hash_table_iter_next(&iter, NULL, &ticket)) {
        if (((const LiveTicket *)ticket)->phase == LIVE_QUEUED)
            g_ptr_array_add(uuids, g_strdup(((const LiveTicket *)ticket)->uuid));
    }
    dv_unlock(&queue->lock);
    g_ptr_array_add(uuids, NULL);
    return (char **)g_ptr_array_free(uuids, FALSE);
}

/* ---- ports ---- */

bool live_queue_bind(LiveQueue *queue, const char *instance_uuid)
{
    LiveTicket *ticket;
    bool mine;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    while (ticket && ticket->ports == PORTS_MOVING) {
        dv_cond_wait(&queue->changed, &queue->lock);
        ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    }
    mine = ticket && ticket->phase == LIVE_RUNNING && ticket->ports == PORTS_HERE;
    if (mine)
        ticket->ports = PORTS_MOVING;
    dv_unlock(&queue->lock);
    return mine;
}

void live_queue_bound(LiveQueue *queue, const char *instance_uuid, bool ok)
{
    LiveTicket *ticket;

    dv_lock(&queue->lock);
    ticket = g_hash_table_lookup(queue->tickets, instance_uuid);
    if (ticket)
        ticket->ports = ok ? PORTS_MOVED : PORTS_HERE;
    dv_cond_broadcast(&queue->changed);
    dv_unlock(&queue->lock);
}
