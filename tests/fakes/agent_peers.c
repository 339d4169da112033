/* The other compute hosts of the agent among fakes: what is for the host beside it arrives there,
 * and a test says what all others answer, and what is lost on the way. See agent.h. */
#include "fakes/agent_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "agent/faults.h"
#include "agent/methods.h"

#include <string.h>

/* ---- casts ---- */

/* Who a message is for: this host, or the one beside it. NULL: nobody listens. */
static FakeAgent *host_of(FakeAgent *fake, const char *name)
{
    if (strcmp(name, fake->host) == 0)
        return fake;
    return fake->other && strcmp(name, fake->other->host) == 0 ? fake->other : NULL;
}

/* PeerTransport: what is for a host comes to it, as it would over the broker. */
static bool cast_to_peer(void *self, const DvCtx *ctx G_GNUC_UNUSED, const RpcTarget *target,
                         const char *method, json_t *args, GError **err)
{
    FakeAgent *fake = self;
    /* Of its own: the sender goes on writing into its objects. */
    json_t *copy = json_deep_copy(args);
    FakeAgent *to = host_of(fake, target->server);
    bool fails;

    if (fake->peers.watch)
        fake->peers.watch(fake->peers.watch_arg, target, method, args);
    json_decref(args);
    dv_lock(&fake->peers.lock);
    fails = g_strcmp0(fake->peers.failing_cast, method) == 0;
    if (fails)
        g_clear_pointer(&fake->peers.failing_cast, g_free);
    else
        g_ptr_array_add(fake->peers.casts, g_strdup_printf("%s %s", method, target->server));
    dv_unlock(&fake->peers.lock);
    if (!fails && to)
        fake_agent_request(to, method, copy);
    else
        json_decref(copy);
    return !fails || dv_fail(err, DV_E_UNAVAILABLE, "no broker, says the fake");
}

/* ---- calls: the request runs where its method's row says, the caller waits ---- */

typedef struct PeerCall {
    Agent *agent;
    const AgentMethod *method;
    const DvCtx *ctx;
    json_t *args, *result;
    GError *failure;
    DvMutex lock;
    DvCond changed;
    bool ended; /* [lock] */
} PeerCall;

static void peer_call_run(void *arg)
{
    PeerCall *call = arg;
    g_autoptr(Ovo) args = ovo_view_dict(call->args, NULL);

    if (dispatch_run(call->agent, call->method, call->ctx, args, false, &call->result,
                     &call->failure) &&
        !call->result)
        call->result = json_null();
    dv_lock(&call->lock);
    call->ended = true;
    dv_cond_broadcast(&call->changed);
    dv_unlock(&call->lock);
}

static void peer_call_start(PeerCall *call)
{
    g_autoptr(Ovo) args = ovo_view_dict(call->args, NULL);
    g_autoptr(Ovo) instance = ovo_child(args, "instance");
    DvPool *pool = call->agent->pools[call->method->pool];

    if (call->method->lane == LANE_INSTANCE && instance)
        dv_lanes_submit(call->agent->lanes, ovo_str_or(instance, "uuid", ""), pool, peer_call_run,
                        call, NULL);
    else
        dv_pool_submit(pool, peer_call_run, call, NULL);
}

/* As it comes over the wire: an exception's class and text. */
static bool peer_call_end(PeerCall *call, json_t **out_result, RpcRemote *remote, GError **err)
{
    RpcFault fault;

    if (!call->failure) {
        if (out_result)
            *out_result = json_deep_copy(call->result);
        return true;
    }
    fault_of_error(call->failure, &fault);
    *remote = (RpcRemote){g_strdup(fault.class_name), g_strdup(fault.module),
                          g_strdup(fault.message)};
    return dv_fail(err, DV_E_REMOTE, "%s: %s", fault.class_name, fault.message);
}

/* Both hosts call their instances_path the same: a file there is looked for in the one that is
 * asked. Hosts that share it name the same folder. */
static void map_file(FakeAgent *from, FakeAgent *to, json_t *args)
{
    json_t *data = json_object_get(args, "data");
    const char *path = json_string_value(json_object_get(data, "filename"));
    size_t length = strlen(from->agent.config.instances_path);
    g_autofree char *there = NULL;

    if (!path || strncmp(path, from->agent.config.instances_path, length) != 0)
        return;
    there = g_strconcat(to->agent.config.instances_path, path + length, NULL);
    json_object_set_new(data, "filename", json_string(there));
}

/* What a test has said that all hosts answer; stolen. */
static bool peer_answer(json_t *answer, json_t **out_result, RpcRemote *remote, GError **err)
{
    const json_t *raised = json_object_get(answer, "raises");

    if (raised) {
        *remote = (RpcRemote){g_strdup(json_string_value(json_object_get(raised, "class"))),
                              g_strdup(json_string_value(json_object_get(raised, "module"))),
                              g_strdup(json_string_value(json_object_get(raised, "message")))};
        json_decref(answer);
        return dv_fail(err, DV_E_REMOTE, "%s: %s", remote->class_name, remote->message);
    }
    if (out_result)
        *out_result = answer;
    else
        json_decref(answer);
    return true;
}

static bool call_to_peer(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                         json_t *args, int64_t timeout_ms G_GNUC_UNUSED,
                         int64_t monitor_ms G_GNUC_UNUSED, json_t **out_result, RpcRemote *remote,
                         GError **err)
{
    FakeAgent *fake = self;
    FakeAgent *to = host_of(fake, target->server);
    PeerCall call = {.method = methods_find(method), .ctx = ctx, .args = json_deep_copy(args)};
    bool lost;
    bool lost_before;
    json_t *answer;
    bool ok = false;

    if (fake->peers.watch)
        fake->peers.watch(fake->peers.watch_arg, target, method, args);
    json_decref(args);
    dv_lock(&fake->peers.lock);
    g_ptr_array_add(fake->peers.casts, g_strdup_printf("%s %s", method, target->server));
    lost = g_strcmp0(fake->peers.lost_call, method) == 0;
    lost_before = fake->peers.lost_before;
    if (lost && --fake->peers.lost_times == 0)
        g_clear_pointer(&fake->peers.lost_call, g_free);
    answer = json_deep_copy(json_object_get(fake->peers.answers, method));
    dv_unlock(&fake->peers.lock);
    if (answer) {
        json_decref(call.args);
        return peer_answer(answer, out_result, remote, err);
    }
    if (to && call.method && !(lost && lost_before)) {
        map_file(fake, to, call.args);
        call.agent = &to->agent;
        dv_mutex_init(&call.lock);
        dv_cond_init(&call.changed);
        peer_call_start(&call);
        dv_lock(&call.lock);
        while (!call.ended)
            dv_cond_wait(&call.changed, &call.lock);
        dv_unlock(&call.lock);
        ok = !lost && peer_call_end(&call, out_result, remote, err);
        dv_cond_done(&call.changed);
        dv_mutex_done(&call.lock);
    }
    if (lost || !to)
        dv_fail(err, DV_E_TIMEOUT, "no answer, says the fake");
    json_decref(call.args);
    json_decref(call.result);
    g_clear_error(&call.failure);
    return ok;
}

PeerTransport fake_peers_transport(FakeAgent *fake)
{
    return (PeerTransport){cast_to_peer, call_to_peer, fake};
}

void fake_peers_init(FakePeers *peers)
{
    peers->casts = g_ptr_array_new_with_free_func(g_free);
    peers->answers = json_object();
    dv_mutex_init(&peers->lock);
}

void fake_peers_done(FakePeers *peers)
{
    g_ptr_array_unref(peers->casts);
    json_decref(peers->answers);
    g_free(peers->failing_cast);
    g_free(peers->lost_call);
    dv_mutex_done(&peers->lock);
}

/* ---- what a test says of them ---- */

void fake_agent_lose_calls(FakeAgent *fake, const char *method, bool before_work, unsigned times)
{
    dv_lock(&fake->peers.lock);
    g_free(fake->peers.lost_call);
    fake->peers.lost_call = g_strdup(method);
    fake->peers.lost_before = before_work;
    fake->peers.lost_times = times;
    dv_unlock(&fake->peers.lock);
}

void fake_agent_peer_answers(FakeAgent *fake, const char *method, json_t *answer)
{
    dv_lock(&fake->peers.lock);
    json_object_set_new(fake->peers.answers, method, answer);
    dv_unlock(&fake->peers.lock);
}

void fake_agent_watch_casts(FakeAgent *fake, FakeConductorWatch watch, void *arg)
{
    fake->peers.watch_arg = arg;
    fake->peers.watch = watch;
}

unsigned fake_agent_casts(FakeAgent *fake, const char *method, char **out_host)
{
    unsigned count = 0;

    if (out_host)
        *out_host = NULL;
    dv_lock(&fake->peers.lock);
    for (guint i = 0; i < fake->peers.casts->len; i++) {
        g_auto(GStrv) parts = g_strsplit(fake->peers.casts->pdata[i], " ", 2);

        if (strcmp(parts[0], method) != 0)
            continue;
        count++;
        if (out_host) {
            g_free(*out_host);
            *out_host = g_strdup(parts[1]);
        }
    }
    dv_unlock(&fake->peers.lock);
    return count;
}

void fake_agent_fail_cast(FakeAgent *fake, const char *method)
{
    dv_lock(&fake->peers.lock);
    g_free(fake->peers.failing_cast);
    fake->peers.failing_cast = g_strdup(method);
    dv_unlock(&fake->peers.lock);
}
