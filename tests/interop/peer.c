/* A drover-side peer for the interop tests: serves a topic with a handful of methods and carries
 * out commands from standard input, one JSON object per line; results and events go to standard
 * output, likewise. Driven by tests/interop/run.
 *
 *   peer URL TOPIC SERVER     (options of [oslo_messaging_rabbit] as the URL's query)
 *
 * Commands: {"id", "op": "call"|"cast"|"notify"|"status"|"stop_server"|"quit", ...}. Each runs on a
 * thread of its own. */
#include "rpc/context.h"
#include "rpc/rpc.h"
#include "util/log.h"
#include "util/thread.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PEER_THREADS = 128 };

typedef struct Peer {
    Rpc *rpc;
    RpcServer *server;
    GThreadPool *workers;
    DvMutex out_lock;
} Peer;

/* ---- output ---- */

static void say(Peer *peer, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    dv_lock(&peer->out_lock);
    puts(text);
    fflush(stdout);
    dv_unlock(&peer->out_lock);
    free(text);
    json_decref(line);
}

static const char *text_of(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static int64_t number_of(json_t *object, const char *key)
{
    return (int64_t)json_number_value(json_object_get(object, key));
}

/* ---- the methods that are served ---- */

static void do_echo(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    rpc_request_reply(request, json_incref(rpc_request_args(request)));
}

static void do_ping(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    json_t *arg = json_object_get(rpc_request_args(request), "arg");

    rpc_request_reply(request, json_pack("{s:s, s:O}", "service", "compute", "arg", arg));
}

static void do_boom(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    json_t *args = rpc_request_args(request);
    const RpcFault fault = {
        .class_name = text_of(args, "class"),
        .module = text_of(args, "module"),
        .message = text_of(args, "message"),
        .code = (int)number_of(args, "code"),
    };

    rpc_request_fail(request, &fault);
}

static void do_slow(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    double seconds = json_number_value(json_object_get(rpc_request_args(request), "seconds"));

    g_usleep((gulong)(seconds * G_USEC_PER_SEC));
    rpc_request_reply(request, json_real(seconds));
}

static void do_size(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    size_t bytes = (size_t)number_of(rpc_request_args(request), "bytes");
    char *text = g_malloc(bytes + 1);

    memset(text, 'x', bytes);
    rpc_request_reply(request, json_stringn(text, bytes));
    g_free(text);
}

static void do_length(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    json_t *data = json_object_get(rpc_request_args(request), "data");

    rpc_request_reply(request, json_integer((json_int_t)json_string_length(data)));
}

/* Tells of a cast. */
static void do_note(Peer *peer, RpcRequest *request)
{
    say(peer, json_pack("{s:s, s:O}", "event", "note", "args", rpc_request_args(request)));
    rpc_request_reply(request, NULL);
}

static void do_context(Peer *peer G_GNUC_UNUSED, RpcRequest *request)
{
    bool elevated = json_is_true(json_object_get(rpc_request_args(request), "elevated"));
    g_autoptr(DvCtx) ctx = elevated ? dv_ctx_elevated(rpc_request_ctx(request))
                                    : dv_ctx_ref(rpc_request_ctx(request));

    rpc_request_reply(request, rpc_context_write(ctx));
}

/* Calls somebody else with the context of the request. */
static void do_relay(Peer *peer, RpcRequest *request)
{
    json_t *args = rpc_request_args(request);
    const RpcTarget target = {.topic = text_of(args, "topic"), .version = text_of(args, "version")};
    json_t *result = NULL;
    g_auto(RpcRemote) remote = {0};
    g_autoptr(GError) err = NULL;
    const RpcFault unknown = {.class_name = "RuntimeError", .module = "builtins", .message = "?"};
    RpcFault fault = unknown;

    if (rpc_call(peer->rpc, rpc_request_ctx(request), &target, text_of(args, "what"),
                 json_incref(json_object_get(args, "args")), 0, 0, &result, &remote, &err)) {
        rpc_request_reply(request, result);
        return;
    }
    if (remote.class_name)
        fault = (RpcFault){remote.class_name, remote.module, remote.message, 0};
    else
        fault.message = err->message;
    rpc_request_fail(request, &fault);
}

typedef void (*DoFn)(Peer *peer, RpcRequest *request);
typedef struct DoRow {
    DoFn run;
    bool inline_; /* on rpc-listen, as drover's own ping */
} DoRow;

static const DoRow echo_row = {do_echo, true};
static const DoRow ping_row = {do_ping, true};
static const DoRow boom_row = {do_boom, true};
static const DoRow slow_row = {do_slow, false};
static const DoRow size_row = {do_size, false};
static const DoRow length_row = {do_length, false};
static const DoRow note_row = {do_note, true};
static const DoRow context_row = {do_context, true};
static const DoRow relay_row = {do_relay, false};

static const RpcMethod manager_methods[] = {
    {"echo", &echo_row}, {"boom", &boom_row},     {"slow", &slow_row},       {"size", &size_row},
    {"note", &note_row}, {"length", &length_row}, {"context", &context_row}, {"relay", &relay_row},
};
static const RpcMethod base_methods[] = {{"ping", &ping_row}};

static const RpcEndpoint endpoints[] = {
    {NULL, "6.1", manager_methods, G_N_ELEMENTS(manager_methods)},
    {NULL, "5.13", manager_methods, G_N_ELEMENTS(manager_methods)},
    {"baseapi", "1.1", base_methods, G_N_ELEMENTS(base_methods)},
};

/* ---- work ---- */

/* Either a request that came in or a command. */
typedef struct Work {
    RpcRequest *request;
    json_t *command;
} Work;

static void work_post(Peer *peer, RpcRequest *request, json_t *command)
{
    Work *work = g_new0(Work, 1);

    work->request = request;
    work->command = command;
    g_thread_pool_push(peer->workers, work, NULL);
}

static void on_request(void *self, RpcRequest *request)
{
    Peer *peer = self;
    const DoRow *row = rpc_request_row(request);

    if (row->inline_)
        row->run(peer, request);
    else
        work_post(peer, request, NULL);
}

static RpcTarget command_target(json_t *command)
{
    return (RpcTarget){
        .topic = text_of(command, "topic"),
        .server = text_of(command, "server"),
        .namespace_ = text_of(command, "namespace"),
        .version = text_of(command, "version"),
        .fanout = json_is_true(json_object_get(command, "fanout")),
    };
}

static json_t *answer(json_t *command, int64_t started_ms, const GError *err)
{
    return json_pack("{s:O, s:I, s:s*, s:i}", "id", json_object_get(command, "id"), "ms",
                     (json_int_t)(dv_now_ms() - started_ms), "error", err ? err->message : NULL,
                     "code", err ? err->code : 0);
}

static json_t *command_args(json_t *command)
{
    json_t *args = json_object_get(command, "args");
    json_int_t fill = number_of(command, "fill");
    json_t *copy = args ? json_copy(args) : json_object();

    if (fill) {
        char *text = g_malloc((size_t)fill);

        memset(text, 'y', (size_t)fill);
        json_object_set_new(copy, "data", json_stringn(text, (size_t)fill));
        g_free(text);
    }
    return copy;
}

static void command_call(Peer *peer, json_t *command)
{
    RpcTarget target = command_target(command);
    int64_t started_ms = dv_now_ms();
    json_t *result = NULL;
    json_t *line;
    g_auto(RpcRemote) remote = {0};
    g_autoptr(GError) err = NULL;

    rpc_call(peer->rpc, NULL, &target, text_of(command, "method"), command_args(command),
             number_of(command, "timeout_ms"), number_of(command, "monitor_ms"), &result, &remote,
             &err);
    line = answer(command, started_ms, err);
    if (json_object_get(command, "measure"))
        json_object_set_new(line, "length", json_integer((json_int_t)json_string_length(result)));
    else if (result)
        json_object_set(line, "result", result);
    json_decref(result);
    if (remote.class_name)
        json_object_set_new(line, "remote",
                            json_pack("{s:s, s:s, s:s}", "class", remote.class_name, "module",
                                      remote.module, "message", remote.message));
    say(peer, line);
}

static void command_cast(Peer *peer, json_t *command)
{
    RpcTarget target = command_target(command);
    int64_t started_ms = dv_now_ms();
    g_autoptr(GError) err = NULL;

    rpc_cast(peer->rpc, NULL, &target, text_of(command, "method"), command_args(command), &err);
    say(peer, answer(command, started_ms, err));
}

static void command_notify(Peer *peer, json_t *command)
{
    const char *const topics[] = {text_of(command, "topic"), NULL};
    bool v2 = json_is_true(json_object_get(command, "v2"));
    const RpcNotice notice = {
        .topics = topics,
        .priority = text_of(command, "priority"),
        .publisher_id = text_of(command, "publisher_id"),
        .event_type = text_of(command, "event_type"),
        .v1 = !v2,
        .v2 = v2,
    };

    rpc_notify(peer->rpc, NULL, &notice, command_args(command));
    say(peer, answer(command, dv_now_ms(), NULL));
}

static void command_status(Peer *peer, json_t *command)
{
    json_t *line = answer(command, dv_now_ms(), NULL);

    json_object_set_new(line, "connected", json_boolean(rpc_connected(peer->rpc)));
    say(peer, line);
}

static void command_stop_server(Peer *peer, json_t *command)
{
    int64_t started_ms = dv_now_ms();

    rpc_server_stop(peer->server);
    say(peer, answer(command, started_ms, NULL));
}

typedef struct CommandRow {
    const char *op;
    void (*run)(Peer *peer, json_t *command);
} CommandRow;

static const CommandRow commands[] = {
    {"call", command_call},
    {"cast", command_cast},
    {"notify", command_notify},
    {"status", command_status},
    {"stop_server", command_stop_server},
};

static void work_run(void *data, void *user)
{
    Work *work = data;
    Peer *peer = user;

    if (work->request)
        ((const DoRow *)rpc_request_row(work->request))->run(peer, work->request);
    for (size_t i = 0; work->command && i < G_N_ELEMENTS(commands); i++)
        if (g_strcmp0(commands[i].op, text_of(work->command, "op")) == 0)
            commands[i].run(peer, work->command);
    json_decref(work->command);
    g_free(work);
}

/* ---- main ---- */

static void read_commands(Peer *peer)
{
    char *line = NULL;
    size_t size = 0;

    while (getline(&line, &size, stdin) > 0) {
        json_t *command = json_loads(line, 0, NULL);

        if (!command || g_strcmp0(text_of(command, "op"), "quit") == 0) {
            json_decref(command);
            break;
        }
        work_post(peer, NULL, command);
    }
    free(line);
}

static RpcConfig config_for(const char *url)
{
    return (RpcConfig){
        .transport_url = url,
        .control_exchange = "nova",
        .host_name = "interop",
        .process_name = "peer",
        .transient_queues_ttl_s = 1800,
        .heartbeat_timeout_s = 60,
        .heartbeat_rate = 2,
        .missing_consumer_retry_s = 60,
        .reconnect_delay_s = 1.0,
        .retry_interval_s = 1,
        .retry_backoff_s = 2,
        .interval_max_s = 30,
        .login_method = "AMQPLAIN",
        .ping_enabled = true,
        .response_timeout_ms = 600000,
        .max_message_bytes = 32 * 1024 * 1024,
    };
}

static bool peer_run(Peer *peer, char **argv, DvTimer *timer, GError **err)
{
    RpcConfig config = config_for(argv[1]);

    peer->rpc = rpc_new(&config, timer, err);
    if (!peer->rpc)
        return false;
    peer->server = rpc_serve(peer->rpc, argv[2], argv[3], endpoints, G_N_ELEMENTS(endpoints),
                             on_request, peer, err);
    if (!peer->server || !rpc_start(peer->rpc, err))
        return false;
    say(peer, json_pack("{s:s}", "event", "started"));
    read_commands(peer);
    rpc_stop(peer->rpc, dv_now_ms() + 5000);
    return true;
}

int main(int argc, char **argv)
{
    Peer peer = {0};
    g_autoptr(GError) err = NULL;
    g_autoptr(DvTimer) timer = dv_timer_new();
    bool ok;

    if (argc != 4)
        return 2;
    g_set_prgname("peer");
    dv_log_init(NULL, g_getenv("PEER_DEBUG") ? DV_LOG_DEBUG : DV_LOG_INFO, NULL);
    dv_mutex_init(&peer.out_lock);
    peer.workers = g_thread_pool_new(work_run, &peer, PEER_THREADS, FALSE, NULL);
    ok = peer_run(&peer, argv, timer, &err);
    if (!ok)
        say(&peer, json_pack("{s:s, s:s, s:i}", "event", "failed", "error", err->message, "code",
                             err->code));
    g_thread_pool_free(peer.workers, FALSE, TRUE);
    rpc_free(peer.rpc);
    return ok ? 0 : 1;
}
