/* Recorded conversations, played; see replay.h. */
#include "fakes/replay_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "agent/startup.h"
#include "fakes/keystone.h"
#include "fakes/replay_message.h"
#include "rpc/envelope.h"
#include "rpc/rpc_priv.h"
#include "rpc/sender_priv.h"

#define FOLDER "tests/wire/data/"
#define WAIT_MS 120000
#define STILL 5 /* looks, 2 ms apart, that must all find the agent idle */
#define OPTIONS                                           \
    "vif_plugging_timeout = 300\n"                        \
    "[filter_scheduler]\ntrack_instance_changes = true\n" \
    "[DEFAULT]\n"

/* ---- parts of a conversation ---- */

/* The instance whose message this is: one of its ids is named in it. NULL: nobody's. */
static const char *owner_of(const Replay *replay, const json_t *message)
{
    char *text = json_dumps(message, 0);
    const char *owner = NULL;
    const char *id;
    json_t *uuid;

    json_object_foreach(json_object_get(replay->fixture, "owners"), id, uuid)
    {
        if (!owner && strstr(text, id))
            owner = json_string_value(uuid);
    }
    free(text);
    return owner;
}

static unsigned step_of(const json_t *object)
{
    return (unsigned)json_integer_value(json_object_get(object, "step"));
}

static bool is_of(const json_t *request, unsigned step, const char *when)
{
    return step_of(request) == step &&
           strcmp(json_string_value(json_object_get(request, "when")), when) == 0;
}

/* What several operations may be. */
static const struct {
    const char *method, *name;
    const char *hold; /* the hypervisor call that they are all brought to */
} operations[] = {
    {"build_and_run_instance", "boot", "start"},
    {"terminate_instance", "delete", "destroy"},
};

static size_t operation_of(const json_t *request)
{
    const char *method = json_string_value(json_object_get(request, "method"));

    for (size_t i = 0; i < G_N_ELEMENTS(operations); i++)
        if (strcmp(operations[i].method, method) == 0)
            return i;
    fail_msg("of several operations one is %s", method);
    return 0;
}

/* "boot.2": what that step begins on an instance, the second in it to begin; "host" when nothing.
 * Caller frees. */
static char *operation_on(const Replay *replay, unsigned step, const char *uuid)
{
    unsigned number = 0;
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        const json_t *data = json_object_get(replay_instance_of(request), "nova_object.data");

        if (!is_of(request, step, "start"))
            continue;
        number++;
        if (g_strcmp0(json_string_value(json_object_get(data, "uuid")), uuid) == 0)
            return g_strdup_printf("%s.%u", operations[operation_of(request)].name, number);
    }
    return g_strdup("host");
}

/* Says which part of the conversation it belongs to, when there are several. */
static void set_part(const Replay *replay, json_t *message, unsigned step)
{
    const char *job = json_string_value(
        json_array_get(json_object_get(replay->fixture, "jobs"), step));
    g_autofree char *operation = NULL;
    g_autofree char *part = NULL;

    if (json_object_get(replay->fixture, "owners"))
        operation = operation_on(replay, step, owner_of(replay, message));
    if (job || operation)
        part = g_strdup_printf("%s/%s %u", replay->how->name, job ? job : operation, step);
    if (part)
        json_object_set_new(message, "part", json_string(part));
}

/* ---- what is sent ---- */

static void keep(Replay *replay, json_t *message)
{
    set_part(replay, message, atomic_load(&replay->step));
    dv_lock(&replay->lock);
    if (replay->recording)
        json_array_append(replay->sent, message);
    dv_unlock(&replay->lock);
    json_decref(message);
}

static void on_conductor(void *arg, const RpcTarget *target, const char *method, const json_t *args)
{
    keep(arg, replay_conductor_message(target, method, args));
}

static void on_peer(void *arg, const RpcTarget *target, const char *method, const json_t *args)
{
    g_autofree char *key = g_strdup_printf("%s.%s", target->topic, target->server);
    json_auto_t *inner = json_pack("{ss ss sO}", "method", method, "version", target->version,
                                   "args", args);

    keep(arg, replay_cast("nova", key, inner));
}

static void on_published(Replay *replay, const RpcOut *out)
{
    json_auto_t *inner = rpc_envelope_read(out->body, out->length, NULL);

    assert_non_null(inner);
    if (json_object_get(inner, "method"))
        keep(replay, replay_cast(out->exchange.name, out->routing_key, inner));
    else if (json_is_true(json_object_get(inner, "ending")))
        keep(replay, replay_reply(json_string_value(json_object_get(inner, "_msg_id")), inner));
}

/* The broker: everything that is published arrives. */
static gpointer pump(gpointer arg)
{
    Replay *replay = arg;
    RpcSender *sender = fake_agent(replay->fake)->rpc->sender;

    while (!atomic_load(&replay->stop)) {
        RpcOut *out = rpc_sender_take(sender);

        if (!out) {
            atomic_fetch_add(&replay->lulls, 1);
            g_usleep(1000);
            continue;
        }
        on_published(replay, out);
        if (out->done)
            out->done(out->arg, RPC_OUT_CONFIRMED);
        rpc_out_free(out);
    }
    return NULL;
}

/* ---- what is answered ---- */

static const struct {
    const char *prefix, *service;
} places[] = {
    {"/network/", "neutron"},
    {"/placement/", "placement"},
    {"/image/", "glance"},
};

/* Answers that are one instance's go to requests that name it. */
static json_t *answer_for(const GQueue *queue, const char *key, const char *body)
{
    for (GList *item = queue->head; item; item = item->next) {
        const char *whose = json_string_value(json_object_get(item->data, "for"));

        if (whose && (strstr(key, whose) || (body && strstr(body, whose))))
            return item->data;
    }
    return NULL;
}

static json_t *next_answer(Replay *replay, const char *key, const char *body)
{
    GQueue *queue;
    json_t *answer = NULL;

    dv_lock(&replay->lock);
    queue = g_hash_table_lookup(replay->answers, key);
    if (queue)
        answer = answer_for(queue, key, body);
    if (queue && !answer && replay->how->latest && strstr(key, " GET "))
        answer = g_queue_peek_tail(queue);
    else if (queue && !answer)
        answer = queue->length > 1 ? g_queue_pop_head(queue) : g_queue_peek_head(queue);
    dv_unlock(&replay->lock);
    return answer;
}

/* Without a log of nova's nobody knows what it asked over HTTP. */
static bool is_http_known(const Replay *replay)
{
    return !json_is_false(json_object_get(replay->fixture, "logged"));
}

static bool on_http(void *arg, const HttpSeen *seen, HttpAnswer *out)
{
    Replay *replay = arg;

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        size_t length = strlen(places[i].prefix) - 1;
        json_t *message;
        g_autofree char *key = NULL;
        json_t *answer;

        if (!g_str_has_prefix(seen->target, places[i].prefix))
            continue;
        message = replay_http(places[i].service, seen->method, seen->target + length, seen->body);
        key = g_strdup_printf("%s %s", places[i].service,
                              json_string_value(json_object_get(message, "call")));
        if (is_http_known(replay))
            keep(replay, message);
        else
            json_decref(message);
        answer = next_answer(replay, key, seen->body);
        if (!answer) {
            g_printerr("  %s: nova did not ask for %s\n", replay->how->name, key);
            return false;
        }
        out->status = (int)json_integer_value(json_object_get(answer, "status"));
        out->headers = "Content-Type: application/json\r\n";
        out->body = json_string_value(json_object_get(answer, "answer"));
        if (g_str_has_suffix(seen->target, "/file") && strcmp(seen->method, "GET") == 0) {
            out->headers = "Content-Type: application/octet-stream\r\n";
            out->body = replay->image;
            out->length = replay->image_length;
        }
        return true;
    }
    return false;
}

/* The image that is given is not the one that was recorded: it has other sums and another size. */
static void fit_image_record(Replay *replay, json_t *answer)
{
    static const char *const sums[] = {"checksum", "os_hash_algo", "os_hash_value"};
    json_t *record = json_loads(json_string_value(json_object_get(answer, "answer")), 0, NULL);
    char *text;

    if (!record || !json_object_get(record, "disk_format")) {
        json_decref(record);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(sums); i++)
        json_object_set_new(record, sums[i], json_null());
    json_object_set_new(record, "size", json_integer((json_int_t)replay->image_length));
    text = json_dumps(record, 0);
    json_object_set_new(answer, "answer", json_string(text));
    free(text);
    json_decref(record);
}

static void queue_free(gpointer queue)
{
    g_queue_free(queue);
}

static void take_answers(Replay *replay, const char *list)
{
    size_t i;
    json_t *message;

    json_array_foreach(json_object_get(replay->fixture, list), i, message)
    {
        const char *to = json_string_value(json_object_get(message, "to"));
        g_autofree char *key = g_strdup_printf("%s %s", to,
                                               json_string_value(json_object_get(message, "call")));
        GQueue *queue;

        if (!json_object_get(message, "status"))
            continue;
        if (strcmp(to, "glance") == 0 && json_object_get(message, "answer"))
            fit_image_record(replay, message);
        queue = g_hash_table_lookup(replay->answers, key);
        if (!queue) {
            queue = g_queue_new();
            g_hash_table_insert(replay->answers, g_strdup(key), queue);
        }
        g_queue_push_tail(queue, message);
    }
}

/* ---- the conversation ---- */

static unsigned busy(Replay *replay)
{
    Agent *agent = fake_agent(replay->fake);
    unsigned count = 0;

    for (size_t i = 0; i < POOL_COUNT; i++)
        count += dv_pool_queued(agent->pools[i]) + dv_pool_running(agent->pools[i]);
    return count;
}

/* Until no more than `allowed` jobs are under way. */
static void settle(Replay *replay, unsigned allowed)
{
    int64_t end_ms = dv_now_ms() + WAIT_MS;

    for (unsigned still = 0; still < STILL; g_usleep(2000)) {
        still = busy(replay) <= allowed ? still + 1 : 0;
        if (dv_now_ms() > end_ms)
            fail_msg("%s: the agent is still busy", replay->how->name);
    }
}

/* The API has written the task state, or the whole row of an instance that is new. */
static void write_row(Replay *replay, const json_t *request)
{
    const json_t *instance = replay_instance_of(request);
    const json_t *data = json_object_get(instance, "nova_object.data");
    const char *uuid = json_string_value(json_object_get(data, "uuid"));
    g_autofree char *task = uuid ? fake_conductor_field(fake_agent_conductor(replay->fake), uuid,
                                                        "task_state")
                                 : NULL;

    if (task)
        fake_conductor_set(fake_agent_conductor(replay->fake), uuid, "task_state",
                           json_string_value(json_object_get(data, "task_state")));
    else if (uuid)
        replay_put(replay, instance);
}

static void deliver(Replay *replay, json_t *request)
{
    json_t *message = json_pack("{sO sO sO}", "method", json_object_get(request, "method"),
                                "version", json_object_get(request, "version"), "args",
                                json_object_get(request, "args"));

    if (json_is_true(json_object_get(request, "call"))) {
        json_object_set(message, "_msg_id", json_object_get(request, "method"));
        json_object_set_new(message, "_reply_q", json_string("reply_replay"));
        json_object_set_new(message, "_timeout", json_null());
    }
    if (replay->how->half)
        replay_before(replay, request);
    else
        write_row(replay, request);
    fake_agent_deliver(replay->fake, message);
}

static void deliver_all(Replay *replay, const char *when, unsigned allowed)
{
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        if (!is_of(request, atomic_load(&replay->step), when))
            continue;
        deliver(replay, request);
        settle(replay, allowed);
    }
}

/* False when they have ended without that call. */
static bool wait_held(Replay *replay, const char *hold, unsigned count)
{
    for (unsigned still = 0; still < STILL; g_usleep(2000)) {
        unsigned held = fake_virt_held(fake_agent_virt(replay->fake), hold);

        if (held == count)
            return true;
        still = busy(replay) == held ? still + 1 : 0;
    }
    return false;
}

/* The operations of this step. The next begins when the one before is at `hold`, so that what they
 * do before it has one order; NULL: when all are done. Says how many are held. */
static unsigned deliver_starts(Replay *replay, const char *hold)
{
    unsigned count = 0;
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        if (!is_of(request, atomic_load(&replay->step), "start"))
            continue;
        deliver(replay, request);
        if (!hold)
            settle(replay, 0);
        else if (wait_held(replay, hold, count + 1))
            count++;
        else
            g_printerr("  %s: an operation did not come to %s\n", replay->how->name, hold);
    }
    return count;
}

static bool comes_anything(const Replay *replay, const char *when)
{
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        if (is_of(request, atomic_load(&replay->step), when))
            return true;
    }
    return false;
}

/* Where events arrive: as the talk says, or of several operations where those of the step do. */
static const char *hold_of(const Replay *replay)
{
    size_t i;
    json_t *request;

    if (replay->how->half && !comes_anything(replay, "during"))
        return NULL;
    if (replay->how->hold || !json_object_get(replay->fixture, "owners"))
        return replay->how->hold;
    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        if (is_of(request, atomic_load(&replay->step), "start"))
            return operations[operation_of(request)].hold;
    }
    return NULL;
}

/* Until what was published has been taken, too: a whole look at the queue has found nothing. */
static void settle_all(Replay *replay)
{
    int64_t end_ms = dv_now_ms() + WAIT_MS;
    unsigned before;

    settle(replay, 0);
    before = atomic_load(&replay->lulls);
    while (atomic_load(&replay->lulls) - before < 2) {
        if (dv_now_ms() > end_ms)
            fail_msg("%s: there is no end to what is published", replay->how->name);
        g_usleep(500);
    }
}

/* The operations of one step, and what came meanwhile. */
static void converse(Replay *replay)
{
    FakeVirt *virt = fake_agent_virt(replay->fake);
    const char *hold = hold_of(replay);
    unsigned held;

    if (hold)
        fake_virt_hold(virt, hold);
    held = deliver_starts(replay, hold);
    if (hold && held == 0)
        fake_virt_release(virt, hold);
    deliver_all(replay, "during", held);
    if (held)
        fake_virt_release(virt, hold);
    settle(replay, 0);
    deliver_all(replay, "after", 0);
    settle_all(replay);
}

static void converse_all(Replay *replay)
{
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        if (i > 0 && step_of(request) == atomic_load(&replay->step))
            continue;
        atomic_store(&replay->step, step_of(request));
        converse(replay);
    }
}

/* ---- what the host does by itself ---- */

/* The record that the heartbeat saves. */
static Ovo *service_of(Replay *replay)
{
    Ovo *service = NULL;

    assert_true(conductor_service_get(fake_agent(replay->fake)->con, fake_agent_ctx(replay->fake),
                                      "vm", "nova-compute", &service, NULL));
    return service;
}

static void start(Replay *replay)
{
    Agent *agent = fake_agent(replay->fake);
    g_autoptr(GError) err = NULL;
    Ovo *service = NULL;

    if (!startup_register(agent, fake_agent_ctx(replay->fake), &service, &err) ||
        !startup_open(agent, fake_agent_ctx(replay->fake), &err))
        fail_msg("%s: %s", replay->how->name, err->message);
    replay->beat = heartbeat_new(agent, service);
}

static void do_job(Replay *replay, const char *job)
{
    if (strcmp(job, "start") == 0)
        start(replay);
    else if (strcmp(job, "beat") == 0)
        heartbeat_beat(replay->beat);
    else if (!periodic_run(replay->periodic, job))
        fail_msg("%s: there is no job %s", replay->how->name, job);
}

static void do_jobs(Replay *replay)
{
    size_t i;
    json_t *job;

    json_array_foreach(json_object_get(replay->fixture, "jobs"), i, job)
    {
        atomic_store(&replay->step, (unsigned)i);
        do_job(replay, json_string_value(job));
        settle_all(replay);
    }
}

/* ---- from the fixture to what was sent ---- */

static json_t *without_answers(const Replay *replay)
{
    json_t *out = json_deep_copy(json_object_get(replay->fixture, "sent"));
    size_t i;
    json_t *message;

    json_array_foreach(out, i, message)
    {
        unsigned step = step_of(message);

        json_object_del(message, "status");
        json_object_del(message, "answer");
        json_object_del(message, "step");
        set_part(replay, message, step);
    }
    return out;
}

static json_t *load(const ReplayHow *how)
{
    g_autofree char *path = g_strconcat(FOLDER, how->half ? "moves/" : "replay/", how->name,
                                        ".json", NULL);
    json_error_t why;
    json_t *json = json_load_file(path, 0, &why);

    if (!json)
        fail_msg("%s: %s", path, why.text);
    return json;
}

/* From now on the neighbours are the recorded ones. */
static void listen_to(Replay *replay)
{
    HttpServer *server = fake_agent_server(replay->fake);

    replay->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, queue_free);
    take_answers(replay, "sent");
    take_answers(replay, "known");
    http_server_reset(server);
    keystone_grant(server, "replay", 3600);
    http_server_hook(server, on_http, replay);
    fake_conductor_watch(fake_agent_conductor(replay->fake), on_conductor, replay);
    fake_agent_watch_casts(replay->fake, on_peer, replay);
    replay->recording = true;
}

void replay_run(const ReplayHow *how, json_t **out_nova, json_t **out_ours)
{
    g_autofree char *options = g_strconcat(OPTIONS, how->half ? REPLAY_HALF_OPTIONS : "",
                                           how->options, NULL);
    Replay replay = {.how = how, .fixture = load(how)};

    dv_mutex_init(&replay.lock);
    replay.sent = json_array();
    replay.method = json_string_value(json_object_get(replay_request(&replay, 0), "method"));
    replay.fake = how->start ? fake_agent_new_unstarted(options) : fake_agent_new(options);
    replay_set_stage(&replay);
    replay.periodic = periodic_new(fake_agent(replay.fake));
    if (json_object_get(replay.fixture, "jobs") && !how->start)
        replay.beat = heartbeat_new(fake_agent(replay.fake), service_of(&replay));
    listen_to(&replay);
    replay.pump = g_thread_new("pump", pump, &replay);
    converse_all(&replay);
    do_jobs(&replay);
    atomic_store(&replay.stop, true);
    g_thread_join(replay.pump);
    heartbeat_free(replay.beat);
    periodic_free(replay.periodic);
    fake_agent_free(replay.fake);
    replay_peer_done(&replay);
    *out_nova = without_answers(&replay);
    *out_ours = replay.sent;
    g_hash_table_unref(replay.answers);
    g_free(replay.image);
    json_decref(replay.fixture);
    dv_mutex_done(&replay.lock);
}
