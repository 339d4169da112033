/* The host as it was before a recorded conversation began; see replay_priv.h. */
#include "fakes/replay_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "fakes/keystone.h"
#include "util/fs.h"
#include "util/spawn.h"

/* ---- the host ---- */

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

/* The traits in a message, that nova wrote or that placement had; NULL when it has none. New. */
static json_t *traits_in(const json_t *message)
{
    const char *call = json_string_value(json_object_get(message, "call"));
    json_t *body = json_object_get(message, "body");
    json_auto_t *answer = NULL;

    if (json_object_get(body, "traits"))
        return json_incref(json_object_get(body, "traits"));
    if (g_str_has_prefix(call, "GET /resource_providers/") && g_str_has_suffix(call, "/traits"))
        answer = json_loads(json_string_value(json_object_get(message, "answer")), 0, NULL);
    return json_incref(json_object_get(answer, "traits"));
}

static void set_traits_of(const json_t *messages, HostFacts *facts)
{
    static const char *const others[] = {"COMPUTE_NODE", "COMPUTE_STATUS_DISABLED", NULL};
    size_t i, j;
    json_t *message, *name;

    json_array_foreach(messages, i, message)
    {
        json_auto_t *traits = traits_in(message);

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

/* As the last message has them, but for what does not come from the hypervisor. */
static void set_traits(Replay *replay, HostFacts *facts)
{
    set_traits_of(json_object_get(replay->fixture, "known"), facts);
    set_traits_of(json_object_get(replay->fixture, "sent"), facts);
}

/* The node's record, as it is before a conversation that finds it changed. */
static void put_node(Replay *replay, json_t *node)
{
    json_t *object = json_pack("{ss ss ss sO}", "nova_object.name", "ComputeNode",
                               "nova_object.namespace", "nova", "nova_object.version", "1.19",
                               "nova_object.data", node);

    fake_conductor_answer(fake_agent_conductor(replay->fake), "ComputeNodeList.get_all_by_host",
                          json_pack("{ss ss ss s{s[o]}}", "nova_object.name", "ComputeNodeList",
                                    "nova_object.namespace", "nova", "nova_object.version", "1.17",
                                    "nova_object.data", "objects", object));
}

/* The recorded host's totals; its use follows from its instances. */
static void set_host(Replay *replay)
{
    json_t *node = json_object_get(replay->fixture, "node");
    Agent *agent = fake_agent(replay->fake);
    HostFacts *facts = NULL;

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
    if (!replay->how->start) /* which answers with what was recorded */
        put_node(replay, node);
}

/* ---- rows ---- */

json_t *replay_request(const Replay *replay, size_t i)
{
    return json_array_get(json_object_get(replay->fixture, "requests"), i);
}

json_t *replay_instance_of(const json_t *request)
{
    json_t *instance = json_object_get(json_object_get(request, "args"), "instance");

    return json_is_object(instance) ? instance : NULL;
}

/* The first instance of the conversation, NULL when there is none. */
static json_t *first_instance(const Replay *replay)
{
    json_t *brought = NULL;

    for (size_t i = 0; !brought && replay_request(replay, i); i++)
        brought = replay_instance_of(replay_request(replay, i));
    return brought ? brought : json_array_get(json_object_get(replay->fixture, "instances"), 0);
}

void replay_put(Replay *replay, const json_t *instance)
{
    json_auto_t *whole = json_deep_copy(instance);
    g_autoptr(Ovo) row = NULL;

    json_object_update_missing(json_object_get(whole, "nova_object.data"),
                               json_object_get(replay->fixture, "row"));
    row = ovo_view(whole, "Instance", NULL);
    assert_non_null(row);
    fake_conductor_put(fake_agent_conductor(replay->fake), row);
}

/* Those of the host, and that of the operation, which is what the request brings. */
static void put_instances(Replay *replay)
{
    json_t *first = first_instance(replay);
    const char *call;
    size_t i;
    json_t *item;

    json_array_foreach(json_object_get(replay->fixture, "instances"), i, item)
    {
        replay_put(replay, item);
    }
    if (first) {
        replay_put(replay, first);
        replay->uuid = json_string_value(
            json_object_get(json_object_get(first, "nova_object.data"), "uuid"));
    }
    json_object_foreach(json_object_get(replay->fixture, "peers"), call, item)
    {
        fake_agent_peer_answers(replay->fake, call, json_incref(item));
    }
    json_object_foreach(json_object_get(replay->fixture, "answers"), call, item)
    {
        fake_conductor_answer(fake_agent_conductor(replay->fake), call, json_incref(item));
    }
}

/* ---- images and disks ---- */

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

static bool was_sent(const Replay *replay, const char *service, const char *call)
{
    size_t i;
    json_t *message;

    json_array_foreach(json_object_get(replay->fixture, "sent"), i, message)
    {
        if (strcmp(json_string_value(json_object_get(message, "to")), service) == 0 &&
            strcmp(json_string_value(json_object_get(message, "call")), call) == 0)
            return true;
    }
    return false;
}

/* Unless nova fetched the image in this conversation. */
static void put_into_cache(Replay *replay, const char *id)
{
    static const char zeros[65536];
    const char *instances = fake_agent(replay->fake)->virt_config.instances_path;
    g_autofree char *fetched = g_strdup_printf("GET /v2/images/%s/file", id);
    g_autofree char *name = NULL;
    g_autofree char *folder = NULL;
    g_autofree char *path = NULL;

    if (!id || !*id || was_sent(replay, "glance", fetched))
        return;
    name = g_compute_checksum_for_string(G_CHECKSUM_SHA1, id, -1);
    folder = g_build_filename(instances, "_base", NULL);
    path = g_build_filename(folder, name, NULL);
    assert_true(dv_mkdirs(folder, 0755, NULL));
    assert_true(dv_write_file(path, zeros, sizeof zeros, 0644, NULL));
}

static void put_images_of(Replay *replay, const json_t *args, const json_t *instance)
{
    static const char *const fields[] = {"image_ref", "kernel_id", "ramdisk_id"};
    const json_t *data = json_object_get(instance, "nova_object.data");
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

/* Images that nova had in its cache. */
static void fill_cache(Replay *replay)
{
    size_t i;
    json_t *request;

    json_array_foreach(json_object_get(replay->fixture, "requests"), i, request)
    {
        put_images_of(replay, json_object_get(request, "args"), replay_instance_of(request));
    }
    json_array_foreach(json_object_get(replay->fixture, "instances"), i, request)
    {
        put_images_of(replay, NULL, request);
    }
}

void replay_put_disk(Replay *replay, const json_t *data)
{
    const char *image = json_string_value(json_object_get(data, "image_ref"));
    const char *uuid = json_string_value(json_object_get(data, "uuid"));
    g_autofree char *folder = disks_instance_dir(fake_agent(replay->fake)->disks, uuid);
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
    const json_t *args = json_object_get(replay_request(replay, 0), "args");
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

static void put_guest_with_disk(Replay *replay)
{
    const VirtDriver *virt = fake_agent(replay->fake)->virt;
    g_autofree char *folder = disks_instance_dir(fake_agent(replay->fake)->disks, replay->uuid);
    g_autoptr(GuestSpec) spec = guest_spec_new();
    DiskSpec *disk = guest_spec_add_disk(spec, DISK_ROLE_ROOT);

    spec->uuid = g_strdup(replay->uuid);
    spec->name = g_strdup("instance-00000001");
    disk->path = g_build_filename(folder, "disk", NULL);
    disk->format = DISK_FORMAT_QCOW2;
    disk->target = g_strdup("vda");
    assert_true(virt->ops->start(virt->self, fake_agent_ctx(replay->fake), spec, false, NULL));
}

static void put_neighbour(Replay *replay)
{
    json_t *instance = first_instance(replay);
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

static void put_guest_of(Replay *replay, const json_t *instance, unsigned number)
{
    static const GuestState states[] = {
        [REPLAY_GUEST_OFF] = GUEST_STATE_OFF,
        [REPLAY_GUEST_RUNNING] = GUEST_STATE_RUNNING,
        [REPLAY_GUEST_PAUSED] = GUEST_STATE_PAUSED,
    };
    const json_t *data = json_object_get(instance, "nova_object.data");
    g_autofree char *name = g_strdup_printf("instance-%08u", number);

    if (replay->how->half && replay->how->guest == REPLAY_GUEST_RUNNING) {
        replay_put_disk(replay, data);
        put_guest_with_disk(replay);
        return;
    }
    fake_virt_add_guest(fake_agent_virt(replay->fake),
                        json_string_value(json_object_get(data, "uuid")), name,
                        states[replay->how->guest]);
    replay_put_disk(replay, data);
}

/* Of the operation's instance, or of all that the host had. */
static void put_guests(Replay *replay)
{
    json_t *brought = json_object_get(replay->fixture, "instances") ? NULL : first_instance(replay);
    size_t i;
    json_t *instance;

    if (replay->how->guest == REPLAY_NO_GUEST)
        return;
    if (replay->how->screen) {
        put_guest_with_screen(replay);
        replay_put_disk(replay, json_object_get(brought, "nova_object.data"));
    } else if (brought) {
        put_guest_of(replay, brought, 1);
    }
    json_array_foreach(json_object_get(replay->fixture, "instances"), i, instance)
    {
        put_guest_of(replay, instance, (unsigned)i + 1);
    }
    put_console(replay);
    put_token(replay);
}

static void put_migration(Replay *replay)
{
    json_t *args = json_object_get(replay_request(replay, 0), "args");

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

void replay_set_stage(Replay *replay)
{
    put_instances(replay);
    set_host(replay);
    make_image(replay);
    fill_cache(replay);
    put_guests(replay);
    if (replay->how->half)
        replay_set_peer(replay);
    if (replay->how->moved)
        put_migration(replay);
    if (replay->how->neighbour)
        put_neighbour(replay);
    if (!replay->how->start)
        audit(replay);
}
