/* Reconnect pacing; see reconnect.h. */
#include "rpc/reconnect.h"

struct RpcReconnect {
    size_t *order; /* host indexes, shuffled once */
    size_t count;
    size_t at;         /* into order */
    unsigned failures; /* since the last usable connection */
    bool pick_random;
    double first_s; /* ceiling of the first wait */
    double interval_s, backoff_s, max_s;
    GRand *rand;
};

RpcReconnect *rpc_reconnect_new(const RpcConfig *config, size_t host_count, GRand *rand)
{
    RpcReconnect *r = g_new0(RpcReconnect, 1);

    r->order = g_new0(size_t, host_count);
    r->count = host_count;
    r->pick_random = config->failover_shuffle;
    r->first_s = config->reconnect_delay_s + config->reconnect_splay_s;
    r->interval_s = (double)config->retry_interval_s;
    r->backoff_s = (double)config->retry_backoff_s;
    r->max_s = (double)config->interval_max_s;
    r->rand = rand ? rand : g_rand_new();
    for (size_t i = 0; i < host_count; i++) {
        size_t j = (size_t)g_rand_int_range(r->rand, 0, (gint32)i + 1);

        r->order[i] = r->order[j];
        r->order[j] = i;
    }
    return r;
}

void rpc_reconnect_free(RpcReconnect *r)
{
    if (!r)
        return;
    g_rand_free(r->rand);
    g_free(r->order);
    g_free(r);
}

size_t rpc_reconnect_host(const RpcReconnect *r)
{
    return r->order[r->at];
}

/* The first wait is short, so that a restarted broker is found soon; each further round through
 * all hosts raises the ceiling. Full jitter keeps a thousand agents from coming back at once. */
int64_t rpc_reconnect_failed(RpcReconnect *r)
{
    unsigned rounds = r->failures / (unsigned)r->count;
    double ceiling = r->failures == 0 ? r->first_s
                                      : r->first_s + r->interval_s + r->backoff_s * rounds;

    if (r->max_s > 0)
        ceiling = MIN(ceiling, r->max_s);
    if (r->failures < G_MAXINT)
        r->failures++;
    r->at = r->pick_random ? (size_t)g_rand_int_range(r->rand, 0, (gint32)r->count)
                           : (r->at + 1) % r->count;
    return ceiling > 0 ? (int64_t)(g_rand_double(r->rand) * ceiling * 1000) : 0;
}

void rpc_reconnect_succeeded(RpcReconnect *r)
{
    r->failures = 0;
}
