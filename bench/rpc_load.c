/* Load on one compute service: N threads that call one method as fast as the answers come.
 *
 *   rpc_load URL SERVER get_host_uptime|ping IN_FLIGHT SECONDS [MAX_CALLS [TIMEOUT_MS]]
 *
 * URL is a transport URL. Prints one JSON object: calls answered, errors, timeouts, the calls per
 * second, and the latencies of the answered ones. A call that times out counts with the time waited
 * for it, as its caller had to wait so long. Used by bench/run against drover and nova-compute. */
#include "rpc/rpc.h"
#include "util/log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_S = 20, DEFAULT_TIMEOUT_MS = 10000, MAX_IN_FLIGHT = 256, STOP_MS = 2000 };

typedef struct Method {
    const char *name;
    const char *namespace_;
    const char *version;
} Method;

static const Method methods[] = {
    {"get_host_uptime", NULL, "6.0"},
    {"ping", "baseapi", "1.1"},
};

typedef struct Load {
    Rpc *rpc;           /* [const] */
    const Method *what; /* [const] */
    RpcTarget target;   /* [const] */
    int64_t end_us;     /* [const] */
    int64_t timeout_ms; /* [const] */
    gint left;          /* [atomic] calls that may still begin */
} Load;

/* What one thread counted. */
typedef struct Count {
    Load *load;
    GArray *latencies_us; /* of int64_t */
    unsigned answered, errors, timeouts;
    char *last_error;
} Count;

static void *call_on(void *arg)
{
    Count *count = arg;
    Load *load = count->load;
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();

    while (g_get_monotonic_time() < load->end_us && g_atomic_int_add(&load->left, -1) > 0) {
        json_t *args = strcmp(load->what->name, "ping") == 0 ? json_pack("{s:s}", "arg", "bench")
                                                             : json_object();
        int64_t start_us = g_get_monotonic_time();
        g_autoptr(GError) err = NULL;
        bool ok = rpc_call(load->rpc, ctx, &load->target, load->what->name, args, load->timeout_ms,
                           0, NULL, NULL, &err);
        int64_t took_us = g_get_monotonic_time() - start_us;

        if (ok)
            count->answered++;
        else if (dv_is(err, DV_E_TIMEOUT))
            count->timeouts++;
        else
            count->errors++;
        if (ok || dv_is(err, DV_E_TIMEOUT))
            g_array_append_val(count->latencies_us, took_us);
        if (!ok) {
            g_free(count->last_error);
            count->last_error = g_strdup(err->message);
            if (!dv_is(err, DV_E_TIMEOUT))
                g_usleep(G_USEC_PER_SEC / 20); /* a peer that refuses is not to be stormed */
        }
    }
    return NULL;
}

static gint by_value(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* The latency below which `share` of the calls stayed (nearest rank), in ms; null without calls. */
static json_t *percentile(const GArray *sorted, double share)
{
    guint rank;

    if (sorted->len == 0)
        return json_null();
    rank = (guint)(share * sorted->len);
    if (rank >= sorted->len)
        rank = sorted->len - 1;
    return json_real((double)g_array_index(sorted, int64_t, rank) / 1000);
}

static void report(Count *counts, guint threads, int64_t took_us)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int64_t));
    unsigned answered = 0, errors = 0, timeouts = 0;
    const char *last_error = NULL;
    double seconds = (double)took_us / G_USEC_PER_SEC;
    json_auto_t *out = NULL;

    for (guint i = 0; i < threads; i++) {
        g_array_append_vals(all, counts[i].latencies_us->data, counts[i].latencies_us->len);
        answered += counts[i].answered;
        errors += counts[i].errors;
        timeouts += counts[i].timeouts;
        if (counts[i].last_error)
            last_error = counts[i].last_error;
    }
    g_array_sort(all, by_value);
    out = json_pack("{s:i, s:i, s:i, s:f, s:f, s:o, s:o, s:o, s:s?}", "answered", (int)answered,
                    "errors", (int)errors, "timeouts", (int)timeouts, "seconds", seconds,
                    "calls_per_s", (double)answered / seconds, "p50_ms", percentile(all, 0.5),
                    "p99_ms", percentile(all, 0.99), "max_ms", percentile(all, 1), "last_error",
                    last_error);
    json_dumpf(out, stdout, JSON_COMPACT);
    putchar('\n');
}

static bool wait_connected(Rpc *rpc)
{
    int64_t end_ms = dv_now_ms() + (int64_t)CONNECT_S * 1000;

    while (!rpc_connected(rpc) && dv_now_ms() < end_ms)
        g_usleep(G_USEC_PER_SEC / 50);
    if (rpc_connected(rpc))
        return true;
    fprintf(stderr, "rpc_load: no connection to the broker after %d s\n", CONNECT_S);
    return false;
}

static const Method *method_of(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    fprintf(stderr, "rpc_load: no method %s\n", name);
    return NULL;
}

static bool run(Load *load, guint threads, double seconds)
{
    g_autofree Count *counts = g_new0(Count, threads);
    g_autofree GThread **running = g_new0(GThread *, threads);
    int64_t start_us = g_get_monotonic_time();

    load->end_us = start_us + (int64_t)(seconds * G_USEC_PER_SEC);
    for (guint i = 0; i < threads; i++) {
        counts[i].load = load;
        counts[i].latencies_us = g_array_new(FALSE, FALSE, sizeof(int64_t));
        running[i] = g_thread_new("load", call_on, &counts[i]);
    }
    for (guint i = 0; i < threads; i++)
        g_thread_join(running[i]);
    report(counts, threads, g_get_monotonic_time() - start_us);
    for (guint i = 0; i < threads; i++) {
        g_array_free(counts[i].latencies_us, TRUE);
        g_free(counts[i].last_error);
    }
    return true;
}

int main(int argc, char **argv)
{
    guint threads = argc > 5 ? (guint)g_ascii_strtoull(argv[4], NULL, 10) : 0;
    double seconds = argc > 5 ? g_ascii_strtod(argv[5], NULL) : 0;
    RpcConfig config = {
        .control_exchange = "nova",
        .host_name = "bench",
        .process_name = "rpc_load",
        .transient_queues_ttl_s = 1800,
        .heartbeat_timeout_s = 60,
        .heartbeat_rate = 2,
        .missing_consumer_retry_s = 60,
        .reconnect_delay_s = 1,
        .retry_interval_s = 1,
        .retry_backoff_s = 2,
        .interval_max_s = 30,
        .login_method = "AMQPLAIN",
        .response_timeout_ms = DEFAULT_TIMEOUT_MS,
    };
    Load load = {.timeout_ms = DEFAULT_TIMEOUT_MS, .left = G_MAXINT};
    g_autoptr(DvTimer) timer = NULL;
    g_autoptr(Rpc) rpc = NULL;
    g_autoptr(GError) err = NULL;
    bool ok;

    if (threads < 1 || threads > MAX_IN_FLIGHT || seconds <= 0) {
        fprintf(stderr, "usage: rpc_load URL SERVER get_host_uptime|ping IN_FLIGHT SECONDS"
                        " [MAX_CALLS [TIMEOUT_MS]]\n");
        return 2;
    }
    load.what = method_of(argv[3]);
    if (!load.what)
        return 2;
    if (argc > 6 && g_ascii_strtoull(argv[6], NULL, 10) > 0)
        load.left = (gint)MIN(g_ascii_strtoull(argv[6], NULL, 10), G_MAXINT);
    if (argc > 7)
        load.timeout_ms = (int64_t)MAX(g_ascii_strtoull(argv[7], NULL, 10), 1);
    load.target = (RpcTarget){.topic = "compute",
                              .server = argv[2],
                              .namespace_ = load.what->namespace_,
                              .version = load.what->version};
    config.transport_url = argv[1];
    timer = dv_timer_new();
    rpc = rpc_new(&config, timer, &err);
    if (!rpc || !rpc_start(rpc, &err)) {
        fprintf(stderr, "rpc_load: %s\n", err->message);
        return 1;
    }
    load.rpc = rpc;
    ok = wait_connected(rpc) && run(&load, threads, seconds);
    rpc_stop(rpc, dv_now_ms() + STOP_MS);
    return ok ? 0 : 1;
}
