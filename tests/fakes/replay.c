/* Recorded conversations, played; see replay.h. */
#include "fakes/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/keystone.h"
#include "fakes/replay_message.h"
#include "rpc/envelope.h"
#include "rpc/rpc_priv.h"
#include "rpc/sender_priv.h"
#include "util/fs.h"
#include "util/spawn.h"

#define FOLDER "tests/wire/data/replay/"
#define WAIT_MS 120000
#define STILL 5 /* looks, 2 ms apart, that must all find the agent idle */
#define OPTIONS                                           \
    "vif_plugging_timeout = 300\n"                        \
    "[filter_scheduler]\ntrack_instance_changes = true\n" \
    "[DEFAULT]\n"

typedef struct Replay {
    const ReplayHow *how;
    FakeAgent *fake;
    json_t *fixture;
    const char *method, *uuid; /* of the operation; borrowed */
    GThread *pump;
    atomic_bool stop;
    char *image; /* what glance gives as any image */
    size_t image_length;
    DvMutex lock;
    bool recording;      /* [lock] */
    json_t *sent;        /* [lock] */
    GHashTable *answers; /* [lock] "neutron GET /v2.0/..." -> GQueue of json_t, borrowed */
} Replay;

/* ---- what is sent ---- */

static void keep(Replay *replay, json_t *message)
{
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

static void on_published(Replay *replay, const RpcOut *out)
{
    json_auto_t *inner = rpc_envelope_read(out->body, out->length, NULL);

    assert_non_null(inner);
    if (json_object_get(inner, "method"))
        keep(replay, replay_cast(out->exchange.name, out->routing_key, inner));
    else if (json_is_true(json_object_get(inner, "ending")))
        keep(replay, replay_reply(replay->method, inner));
}

/* The broker: everything that is published arrives. */
static gpointer pump(gpointer arg)
{
    Replay *replay = arg;
    RpcSender *sender = fake_agent(replay->fake)->rpc->sender;

    while (!atomic_load(&replay->stop)) {
        RpcOut *out = rpc_sender_take(sender);

        if (!out) {
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

static json_t *next_answer(Replay *replay, const char *key)
{
    GQueue *queue;
    json_t *answer;

    dv_lock(&replay->lock);
    queue = g_hash_table_lookup(replay->answers, key);
    if (!queue)
        answer = NULL;
    else
        answer = queue->length > 1 ? g_queue_pop_head(queue) : g_queue_peek_head(queue);
    dv_unlock(&replay->lock);
    return answer;
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
        keep(replay, message);
        answer = next_answer(replay, key);
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

/* ---- the host before the operation ---- */

static int64_t number(const json_t *data, const char *field)
{
    return json_integer_value(json_object_get(data, field));
}

static void set_text(char **out, const json_t *data, const char *field)
{
    const char *text = json_string_value(json_object_get(data, field));

    if (text) {
        g_free(*out);
        *out = g_strdup(text);
    }
}

/* The recorded host's totals; its use follows from its instances. */
static void set_host(Replay *replay)
{
    json_t *node = json_object_get(replay->fixture, "node");
    Agent *agent = fake_agent(replay->fake);
    HostFacts *facts = NULL;
    json_t *object;

    if (!json_is_object(node))
        return;
    assert_true(agent->virt->ops->host_facts(agent->virt->self, &facts, NULL));
    facts->vcpus = number(node, "vcpus");
    facts->memory_mib = number(node, "memory_mb");
    facts->disk_gib = number(node, "local_gb");
    facts->disk_available_least_gib = number(node, "disk_available_least");
    facts->hypervisor_version = number(node, "hypervisor_version");
    set_text(&facts->cpu_info, node, "cpu_info");
    set_text(&facts->numa_topology, node, "numa_topology");
    g_ptr_array_set_size(facts->specs, 0);
    for (size_t i = 0; i < json_array_size(json_object_get(node, "supported_hv_specs")); i++) {
        json_t *spec = json_object_get(
            json_array_get(json_object_get(node, "supported_hv_specs"), i), "nova_object.data");

        g_ptr_array_add(facts->specs,
                        host_spec_triple_new(json_string_value(json_object_get(spec, "arch")),
                                             json_string_value(json_object_get(spec, "hv_type")),
                                             json_string_value(json_object_get(spec, "vm_mode"))));
    }
    fake_virt_set_facts(fake_agent_virt(replay->fake), facts);
    host_facts_free(facts);
    object = json_pack("{ss ss ss sO}", "nova_object.name", "ComputeNode", "nova_object.namespace",
                       "nova", "nova_object.version", "1.19", "nova_object.data", node);
    fake_conductor_answer(fake_agent_conductor(replay->fake), "ComputeNodeList.get_all_by_host",
                          json_pack("{ss ss ss s{s[o]}}", "nova_object.name", "ComputeNodeList",
                                    "nova_object.namespace", "nova", "nova_object.version", "1.17",
                                    "nova_object.data", "objects", object));
}

static json_t *request_at(const Replay *replay, size_t i)
{
    return json_array_get(json_object_get(replay->fixture, "requests"), i);
}

/* The row of the operation's instance is what the request brings. */
static void put_instance(Replay *replay)
{
    json_t *args = json_object_get(request_at(replay, 0), "args");
    json_t *instance = json_object_get(args, "instance");
    json_t *answers = json_object_get(replay->fixture, "answers");
    const char *call;
    json_t *answer;

    if (json_is_object(instance)) {
        g_autoptr(Ovo) row = ovo_view(instance, "Instance", NULL);

        assert_non_null(row);
        fake_conductor_put(fake_agent_conductor(replay->fake), row);
        replay->uuid = json_string_value(
            json_object_get(json_object_get(instance, "nova_object.data"), "uuid"));
    }
    json_object_foreach(answers, call, answer)
    {
        fake_conductor_answer(fake_agent_conductor(replay->fake), call, json_incref(answer));
    }
}

static void put_guest(Replay *replay)
{
    static const GuestState states[] = {
        [REPLAY_GUEST_OFF] = GUEST_STATE_OFF,
        [REPLAY_GUEST_RUNNING] = GUEST_STATE_RUNNING,
        [REPLAY_GUEST_PAUSED] = GUEST_STATE_PAUSED,
    };

    if (replay->how->guest != REPLAY_NO_GUEST)
        fake_virt_add_guest(fake_agent_virt(replay->fake), replay->uuid, "instance-00000001",
                            states[replay->how->guest]);
}

/* The format that glance's record of a fetched image names. */
static char *recorded_format(const Replay *replay)
{
    size_t i;
    json_t *message;
    char *format = NULL;

    json_array_foreach(json_object_get(replay->fixture, "sent"), i, message)
    {
        const char *text = json_string_value(json_object_get(message, "answer"));
        json_t *record = text ? json_loads(text, 0, NULL) : NULL;
        const char *name = json_string_value(json_object_get(record, "disk_format"));

        if (name && !format)
            format = g_strdup(name);
        json_decref(record);
    }
    return format ? format : g_strdup("raw");
}

/* What glance gives: a small image of the format that its record names, or not. */
static void make_image(Replay *replay)
{
    g_autofree char *path = g_build_filename(fake_agent(replay->fake)->virt_config.instances_path,
                                             "replay-image", NULL);
    g_autofree char *format = recorded_format(replay);
    bool qcow2 = strcmp(format, "qcow2") == 0 && !replay->how->broken_image;
    const char *const argv[] = {"qemu-img", "create",           "-q", "-f", "qcow2",
                                "-o",       "cluster_size=512", path, "1M", NULL};
    g_autoptr(GError) err = NULL;

    if (!qcow2) { /* which as qcow2 is broken */
        replay->image_length = 65536;
        replay->image = g_malloc0(replay->image_length);
        return;
    }
    if (!dv_spawn(&(DvSpawn){.argv = argv}, NULL, &err))
        fail_msg("%s", err->message);
    assert_true(g_file_get_contents(path, &replay->image, &replay->image_length, NULL));
    assert_true(unlink(path) == 0);
}

/* Images that nova did not fetch are in the cache here, too. */
static void fill_cache(Replay *replay)
{
    json_t *args = json_object_get(request_at(replay, 0), "args");
    json_t *data = json_object_get(json_object_get(args, "instance"), "nova_object.data");
    const char *ids[] = {
        json_string_value(json_object_get(data, "image_ref")),
        json_string_value(json_object_get(args, "image_ref")),
        json_string_value(json_object_get(data, "kernel_id")),
        json_string_value(json_object_get(data, "ramdisk_id")),
    };
    const char *instances = fake_agent(replay->fake)->virt_config.instances_path;
    static const char zeros[65536];

    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autofree char *fetched = g_strdup_printf("glance GET /v2/images/%s/file", ids[i]);
        g_autofree char *name = NULL;
        g_autofree char *path = NULL;

        if (!ids[i] || !*ids[i] || g_hash_table_contains(replay->answers, fetched))
            continue;
        name = g_compute_checksum_for_string(G_CHECKSUM_SHA1, ids[i], -1);
        path = g_build_filename(instances, "_base", NULL);
        assert_true(dv_mkdirs(path, 0755, NULL));
        g_free(path);
        path = g_build_filename(instances, "_base", name, NULL);
        assert_true(dv_write_file(path, zeros, sizeof zeros, 0644, NULL));
    }
}

/* What the host knew of the instance before the API set its task state for this operation. */
static void audit(Replay *replay)
{
    FakeConductor *conductor = fake_agent_conductor(replay->fake);
    g_autofree char *task = replay->uuid
                                ? fake_conductor_field(conductor, replay->uuid, "task_state")
                                : NULL;
    g_autoptr(GError) err = NULL;

    if (task)
        fake_conductor_set(conductor, replay->uuid, "task_state", NULL);
    if (!tracker_audit(fake_agent(replay->fake)->tracker, fake_agent_ctx(replay->fake), false,
                       &err))
        fail_msg("audit: %s", err->message);
    if (task && *task)
        fake_conductor_set(conductor, replay->uuid, "task_state", task);
}

static void set_stage(Replay *replay)
{
    HttpServer *server = fake_agent_server(replay->fake);

    put_instance(replay);
    set_host(replay);
    put_guest(replay);
    make_image(replay);
    replay->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, queue_free);
    take_answers(replay, "sent");
    take_answers(replay, "known");
    fill_cache(replay);
    audit(replay);
    http_server_reset(server);
    keystone_grant(server, "replay", 3600);
    http_server_hook(server, on_http, replay);
    fake_conductor_watch(fake_agent_conductor(replay->fake), on_conductor, replay);
    replay->recording = true;
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

static void deliver(Replay *replay, const json_t *request)
{
    json_t *message = json_pack("{sO sO sO}", "method", json_object_get(request, "method"),
                                "version", json_object_get(request, "version"), "args",
                                json_object_get(request, "args"));

    if (json_is_true(json_object_get(request, "call"))) {
        json_object_set_new(message, "_msg_id", json_string("replay"));
        json_object_set_new(message, "_reply_q", json_string("reply_replay"));
        json_object_set_new(message, "_timeout", json_null());
    }
    fake_agent_deliver(replay->fake, message);
}

static void deliver_all(Replay *replay, const char *when, unsigned allowed)
{
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        if (strcmp(json_string_value(json_object_get(request, "when")), when) != 0)
            continue;
        deliver(replay, request);
        settle(replay, allowed);
    }
}

/* False when the operation has ended without that call. */
static bool wait_held(Replay *replay, const char *hold)
{
    for (unsigned still = 0; still < STILL;) {
        if (fake_virt_wait_held(fake_agent_virt(replay->fake), hold, 20))
            return true;
        still = busy(replay) == 0 ? still + 1 : 0;
    }
    return false;
}

static void converse(Replay *replay)
{
    FakeVirt *virt = fake_agent_virt(replay->fake);
    const char *hold = replay->how->hold;

    if (hold)
        fake_virt_hold(virt, hold);
    deliver(replay, request_at(replay, 0));
    if (hold && !wait_held(replay, hold)) {
        g_printerr("  %s: the operation did not come to %s\n", replay->how->name, hold);
        hold = NULL;
    }
    if (!hold)
        settle(replay, 0);
    deliver_all(replay, "during", hold ? 1 : 0);
    if (hold)
        fake_virt_release(virt, hold);
    settle(replay, 0);
    deliver_all(replay, "after", 0);
    g_usleep(5000); /* the pump takes the last reply */
}

static json_t *without_answers(const json_t *sent)
{
    json_t *out = json_deep_copy(sent);
    size_t i;
    json_t *message;

    json_array_foreach(out, i, message)
    {
        json_object_del(message, "status");
        json_object_del(message, "answer");
    }
    return out;
}

static json_t *load(const char *name)
{
    g_autofree char *path = g_strconcat(FOLDER, name, ".json", NULL);
    json_error_t why;
    json_t *json = json_load_file(path, 0, &why);

    if (!json)
        fail_msg("%s: %s", path, why.text);
    return json;
}

void replay_run(const ReplayHow *how, json_t **out_nova, json_t **out_ours)
{
    g_autofree char *options = g_strconcat(OPTIONS, how->options, NULL);
    Replay replay = {.how = how, .fixture = load(how->name)};

    dv_mutex_init(&replay.lock);
    replay.sent = json_array();
    replay.method = json_string_value(json_object_get(request_at(&replay, 0), "method"));
    replay.fake = fake_agent_new(options);
    set_stage(&replay);
    replay.pump = g_thread_new("pump", pump, &replay);
    converse(&replay);
    atomic_store(&replay.stop, true);
    g_thread_join(replay.pump);
    fake_agent_free(replay.fake);
    *out_nova = without_answers(json_object_get(replay.fixture, "sent"));
    *out_ours = replay.sent;
    g_hash_table_unref(replay.answers);
    g_free(replay.image);
    json_decref(replay.fixture);
    dv_mutex_done(&replay.lock);
}
