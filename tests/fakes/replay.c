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
    else if (replay->how->latest && strstr(key, " GET "))
        answer = g_queue_peek_tail(queue);
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

/* What nova wrote as the provider's traits, but for what does not come from the hypervisor. */
static void set_traits(Replay *replay, HostFacts *facts)
{
    static const char *const others[] = {"COMPUTE_NODE", "COMPUTE_STATUS_DISABLED", NULL};
    size_t i, j;
    json_t *message, *name;

    json_array_foreach(json_object_get(replay->fixture, "sent"), i, message)
    {
        json_t *traits = json_object_get(json_object_get(message, "body"), "traits");

        if (!traits)
            continue;
        g_ptr_array_set_size(facts->traits, 0);
        json_array_foreach(traits, j, name)
        {
            if (!g_strv_contains(others, json_string_value(name)))
                g_ptr_array_add(facts->traits, g_strdup(json_string_value(name)));
        }
    }
}

/* The recorded host's totals; its use follows from its instances. */
static void set_host(Replay *replay)
{
    json_t *node = json_object_get(replay->fixture, "node");
    Agent *agent = fake_agent(replay->fake);
    HostFacts *facts = NULL;
    json_t *object;

    assert_true(agent->virt->ops->host_facts(agent->virt->self, &facts, NULL));
    set_traits(replay, facts);
    if (!json_is_object(node)) {
        fake_virt_set_facts(fake_agent_virt(replay->fake), facts);
        host_facts_free(facts);
        return;
    }
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
        json_auto_t *whole = json_deep_copy(instance);
        g_autoptr(Ovo) row = NULL;

        json_object_update(json_object_get(whole, "nova_object.data"),
                           json_object_get(replay->fixture, "row"));
        row = ovo_view(whole, "Instance", NULL);
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

static void run(const char *const *argv)
{
    g_autoptr(GError) err = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = argv}, NULL, &err))
        fail_msg("%s", err->message);
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

    if (!qcow2) { /* which as qcow2 is broken */
        replay->image_length = 65536;
        replay->image = g_malloc0(replay->image_length);
        return;
    }
    run(argv);
    assert_true(g_file_get_contents(path, &replay->image, &replay->image_length, NULL));
    assert_true(unlink(path) == 0);
}

/* Unless nova fetched the image in this conversation. */
static void put_into_cache(Replay *replay, const char *id)
{
    static const char zeros[65536];
    const char *instances = fake_agent(replay->fake)->virt_config.instances_path;
    g_autofree char *fetched = g_strdup_printf("glance GET /v2/images/%s/file", id);
    g_autofree char *name = NULL;
    g_autofree char *folder = NULL;
    g_autofree char *path = NULL;

    if (!id || !*id || g_hash_table_contains(replay->answers, fetched))
        return;
    name = g_compute_checksum_for_string(G_CHECKSUM_SHA1, id, -1);
    folder = g_build_filename(instances, "_base", NULL);
    path = g_build_filename(folder, name, NULL);
    assert_true(dv_mkdirs(folder, 0755, NULL));
    assert_true(dv_write_file(path, zeros, sizeof zeros, 0644, NULL));
}

/* Images that nova had in its cache. */
static void fill_cache(Replay *replay)
{
    static const char *const fields[] = {"image_ref", "kernel_id", "ramdisk_id"};
    json_t *args = json_object_get(request_at(replay, 0), "args");
    json_t *data = json_object_get(json_object_get(args, "instance"), "nova_object.data");
    size_t i;
    json_t *id;

    for (i = 0; i < G_N_ELEMENTS(fields); i++) {
        put_into_cache(replay, json_string_value(json_object_get(data, fields[i])));
        put_into_cache(replay, json_string_value(json_object_get(args, fields[i])));
    }
    json_array_foreach(json_object_get(args, "image_ids"), i, id)
    {
        put_into_cache(replay, json_string_value(id));
    }
}

/* A root disk over the image in the cache, as an earlier boot left it. */
static void put_disk(Replay *replay, const json_t *data)
{
    const char *image = json_string_value(json_object_get(data, "image_ref"));
    g_autofree char *folder = disks_instance_dir(fake_agent(replay->fake)->disks, replay->uuid);
    g_autofree char *path = g_build_filename(folder, "disk", NULL);
    g_autofree char *name = g_compute_checksum_for_string(G_CHECKSUM_SHA1, image, -1);
    g_autofree char *base = g_build_filename(fake_agent(replay->fake)->virt_config.instances_path,
                                             "_base", name, NULL);
    const char *const argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", "-F",
                                "raw",      "-b",     base, path, "1G",    NULL};

    g_autofree char *info = g_strdup_printf("{\"%s\": \"qcow2\"}", path);
    g_autofree char *info_path = g_build_filename(folder, "disk.info", NULL);

    assert_true(dv_mkdirs(folder, 0755, NULL));
    assert_true(dv_write_file(info_path, info, strlen(info), 0644, NULL));
    run(argv);
}

static const json_t *recorded_result(const Replay *replay)
{
    size_t i;
    json_t *message;

    json_array_foreach(json_object_get(replay->fixture, "sent"), i, message)
    {
        if (strcmp(json_string_value(json_object_get(message, "to")), "reply") == 0)
            return json_object_get(message, "result");
    }
    return NULL;
}

/* What the recorded guest had said, with more before it where only the end was asked for. */
static void put_console(Replay *replay)
{
    const json_t *args = json_object_get(request_at(replay, 0), "args");
    const char *text = json_string_value(recorded_result(replay));
    g_autofree char *whole = NULL;

    if (!text || strcmp(replay->method, "get_console_output") != 0)
        return;
    whole = g_strconcat(json_is_integer(json_object_get(args, "tail_length")) ? "CUT OFF\r\n" : "",
                        text, NULL);
    fake_virt_set_console(fake_agent_virt(replay->fake), replay->uuid, whole);
}

/* The token comes from conductor. */
static void put_token(Replay *replay)
{
    json_t *token = json_object_get(recorded_result(replay), "token");

    if (token)
        fake_conductor_answer_action(fake_agent_conductor(replay->fake),
                                     "ConsoleAuthToken.authorize", json_incref(token));
}

static void put_guest_with_screen(Replay *replay)
{
    const VirtDriver *virt = fake_agent(replay->fake)->virt;
    g_autoptr(GuestSpec) spec = guest_spec_new();

    spec->uuid = g_strdup(replay->uuid);
    spec->name = g_strdup("instance-00000001");
    spec->vnc_listen = g_strdup("127.0.0.1");
    assert_true(virt->ops->start(virt->self, fake_agent_ctx(replay->fake), spec, false, NULL));
}

static void put_neighbour(Replay *replay)
{
    json_t *instance = json_object_get(json_object_get(request_at(replay, 0), "args"), "instance");
    json_auto_t *whole = json_deep_copy(instance);
    json_t *data = json_object_get(whole, "nova_object.data");
    g_autoptr(Ovo) row = NULL;

    json_object_set_new(data, "uuid", json_string("00000000-0000-4000-8000-00000000beef"));
    json_object_set_new(data, "host", json_string("vm"));
    json_object_set_new(data, "node", json_string("vm"));
    json_object_set_new(data, "vm_state", json_string("active"));
    json_object_set_new(data, "task_state", json_string("rebuilding"));
    row = ovo_view(whole, "Instance", NULL);
    assert_non_null(row);
    fake_conductor_put(fake_agent_conductor(replay->fake), row);
}

static void put_guest(Replay *replay)
{
    static const GuestState states[] = {
        [REPLAY_GUEST_OFF] = GUEST_STATE_OFF,
        [REPLAY_GUEST_RUNNING] = GUEST_STATE_RUNNING,
        [REPLAY_GUEST_PAUSED] = GUEST_STATE_PAUSED,
    };
    json_t *instance = json_object_get(json_object_get(request_at(replay, 0), "args"), "instance");

    if (replay->how->guest == REPLAY_NO_GUEST)
        return;
    if (replay->how->screen)
        put_guest_with_screen(replay);
    else
        fake_virt_add_guest(fake_agent_virt(replay->fake), replay->uuid, "instance-00000001",
                            states[replay->how->guest]);
    put_console(replay);
    put_token(replay);
    put_disk(replay, json_object_get(instance, "nova_object.data"));
}

static void put_migration(Replay *replay)
{
    json_t *args = json_object_get(request_at(replay, 0), "args");

    fake_conductor_answer(
        fake_agent_conductor(replay->fake), "MigrationList.get_in_progress_and_error",
        json_pack("{ss ss ss s{s[O]}}", "nova_object.name", "MigrationList",
                  "nova_object.namespace", "nova", "nova_object.version", "1.5", "nova_object.data",
                  "objects", json_object_get(args, "migration")));
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
    make_image(replay);
    replay->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, queue_free);
    take_answers(replay, "sent");
    take_answers(replay, "known");
    fill_cache(replay);
    put_guest(replay);
    if (replay->how->moved)
        put_migration(replay);
    if (replay->how->neighbour)
        put_neighbour(replay);
    audit(replay);
    http_server_reset(server);
    keystone_grant(server, "replay", 3600);
    http_server_hook(server, on_http, replay);
    fake_conductor_watch(fake_agent_conductor(replay->fake), on_conductor, replay);
    fake_agent_watch_casts(replay->fake, on_peer, replay);
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
