/* What the two hosts of a cold migration tell each other, held against what two nova-computes told
 * each other: the rows are of a recorded migration, its revert and its confirmation. */
#include "flow/resize.h"

#include "../unit/services/neutron_recorded.h"
#include "util/thread.h"

#define DEST "cmp2"
#define DEST_IP "198.51.100.2"
#define SEEN_MAX 16

/* Argument and kind: an object with its version, or a kind of value. */
static const struct {
    const char *method, *host, *args;
} recorded[] = {
    {"resize_instance", "vm",
     "clean_shutdown bool|flavor Flavor 1.2|image dict|instance Instance 2.7|"
     "migration Migration 1.7|request_spec RequestSpec 1.14"},
    {"check_instance_shared_storage", DEST, "data dict"},
    {"finish_resize", DEST,
     "disk_info text|image dict|instance Instance 2.7|migration Migration 1.7|"
     "request_spec RequestSpec 1.14"},
    {"check_instance_shared_storage", "vm", "data dict"},
    {"finish_revert_resize", "vm",
     "instance Instance 2.7|migration Migration 1.7|request_spec RequestSpec 1.14"},
};

/* Fields that a host reads of what it is sent. */
static const struct {
    const char *method, *object, *field, *value; /* NULL: any but null */
} fields[] = {
    {"resize_instance", "instance", "task_state", "resize_prep"},
    {"resize_instance", "instance", "host", "vm"},
    {"resize_instance", "instance", "new_flavor", NULL},
    {"resize_instance", "instance", "migration_context", NULL},
    {"resize_instance", "migration", "status", "pre-migrating"},
    {"resize_instance", "migration", "dest_compute", DEST},
    {"resize_instance", "migration", "dest_node", DEST},
    {"resize_instance", "migration", "dest_host", DEST_IP},
    {"finish_resize", "instance", "task_state", "resize_migrated"},
    {"finish_resize", "instance", "host", DEST},
    {"finish_resize", "instance", "node", DEST},
    {"finish_resize", "instance", "old_flavor", NULL},
    {"finish_resize", "instance", "new_flavor", NULL},
    {"finish_resize", "instance", "migration_context", NULL},
    {"finish_resize", "migration", "status", "post-migrating"},
    {"finish_revert_resize", "instance", "task_state", "resize_reverting"},
    {"finish_revert_resize", "instance", "old_flavor", NULL},
    {"finish_revert_resize", "migration", "status", "reverted"},
};

typedef struct Seen {
    char *method, *host, *version;
    json_t *args;
} Seen;

typedef struct Pair {
    FakeAgent *source, *dest;
    DvMutex lock;
    Seen seen[SEEN_MAX]; /* [lock] */
    size_t count;        /* [lock] */
} Pair;

static void see(void *arg, const RpcTarget *target, const char *method, const json_t *args)
{
    Pair *pair = arg;

    dv_lock(&pair->lock);
    assert_true(pair->count < SEEN_MAX);
    pair->seen[pair->count++] = (Seen){g_strdup(method), g_strdup(target->server),
                                       g_strdup(target->version), json_deep_copy(args)};
    dv_unlock(&pair->lock);
}

static int setup(void **state)
{
    Pair *pair = g_new0(Pair, 1);
    HttpServer *server;

    dv_mutex_init(&pair->lock);
    pair->source = fake_agent_new(NULL);
    server = fake_agent_server(pair->source);
    script_allocations(server);
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=" FLOW_UUID "&tenant_id=*", 200,
                     recorded_ports);
    fake_agent_boot(pair->source, fake_agent_boot_request());
    fake_agent_wait(pair->source, UUID);
    pair->dest = fake_agent_new_beside(pair->source, DEST, "my_ip = " DEST_IP "\n");
    fake_virt_add_host(fake_agent_virt(pair->source), "qemu+tcp://" DEST_IP "/system",
                       fake_agent_virt(pair->dest), fake_agent_instances_path(pair->source),
                       fake_agent_instances_path(pair->dest));
    fake_agent_watch_casts(pair->source, see, pair);
    fake_agent_watch_casts(pair->dest, see, pair);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    Pair *pair = *state;

    fake_agent_free(pair->dest);
    fake_agent_free(pair->source);
    for (size_t i = 0; i < pair->count; i++) {
        g_free(pair->seen[i].method);
        g_free(pair->seen[i].host);
        g_free(pair->seen[i].version);
        json_decref(pair->seen[i].args);
    }
    dv_mutex_done(&pair->lock);
    g_free(pair);
    return 0;
}

static void settle(Pair *pair)
{
    for (int i = 0; i < 3; i++) {
        fake_agent_wait(pair->dest, UUID);
        fake_agent_wait(pair->source, UUID);
    }
}

static void move_and_revert(Pair *pair)
{
    json_t *args = prep_args(pair->source, &larger, "vm");
    json_t *migration = make_migration("reverting", "vm", DEST);

    json_object_set_new(args, "node", json_string(DEST));
    fake_agent_request(pair->dest, "prep_resize", args);
    settle(pair);
    fake_agent_assert_row(pair->source, "vm_state", "resized");
    fake_conductor_set(fake_agent_conductor(pair->source), UUID, "task_state", "resize_reverting");
    fake_agent_request(pair->dest, "revert_resize",
                       json_pack("{s:o, s:o, s:o}", "instance",
                                 fake_agent_instance(pair->source, UUID), "migration", migration,
                                 "request_spec", request_spec()));
    settle(pair);
    fake_agent_assert_row(pair->source, "vm_state", "active");
}

/* ---- comparing ---- */

static char *kind_of(const json_t *value)
{
    const json_t *name = json_object_get(value, "nova_object.name");

    if (name)
        return g_strdup_printf("%s %s", json_string_value(name),
                               json_string_value(json_object_get(value, "nova_object.version")));
    return g_strdup(json_is_object(value)    ? "dict"
                    : json_is_string(value)  ? "text"
                    : json_is_boolean(value) ? "bool"
                                             : "other");
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *shape_of(json_t *args)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    const char *name;
    json_t *value;

    json_object_foreach(args, name, value)
    {
        g_autofree char *kind = kind_of(value);

        g_ptr_array_add(lines, g_strdup_printf("%s %s", name, kind));
    }
    g_ptr_array_sort(lines, by_text);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("|", (char **)lines->pdata);
}

static const Seen *sent(const Pair *pair, const char *method)
{
    for (size_t i = 0; i < pair->count; i++)
        if (strcmp(pair->seen[i].method, method) == 0)
            return &pair->seen[i];
    fail_msg("%s was not sent", method);
    return NULL;
}

static void messages_have_novas_shape_and_order(void **state)
{
    Pair *pair = *state;

    move_and_revert(pair);
    assert_int_equal(pair->count, G_N_ELEMENTS(recorded));
    for (size_t i = 0; i < pair->count; i++) {
        g_autofree char *shape = shape_of(pair->seen[i].args);

        assert_string_equal(pair->seen[i].method, recorded[i].method);
        assert_string_equal(pair->seen[i].host, recorded[i].host);
        assert_string_equal(pair->seen[i].version, "6.0");
        assert_string_equal(shape, recorded[i].args);
    }
}

static void messages_say_what_the_other_host_reads(void **state)
{
    Pair *pair = *state;

    move_and_revert(pair);
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        const Seen *seen = sent(pair, fields[i].method);
        const json_t *object = json_object_get(seen->args, fields[i].object);
        const json_t *value = json_object_get(json_object_get(object, "nova_object.data"),
                                              fields[i].field);

        if (!value || json_is_null(value) ||
            (fields[i].value && g_strcmp0(json_string_value(value), fields[i].value) != 0))
            fail_msg("%s %s.%s is not %s", fields[i].method, fields[i].object, fields[i].field,
                     fields[i].value ? fields[i].value : "set");
    }
}

static void the_disk_list_is_novas(void **state)
{
    static const char *const keys[] = {"type",         "path",      "virt_disk_size",
                                       "backing_file", "disk_size", "over_committed_disk_size"};
    Pair *pair = *state;
    json_t *list;
    const json_t *disk;

    move_and_revert(pair);
    list = json_loads(
        json_string_value(json_object_get(sent(pair, "finish_resize")->args, "disk_info")), 0,
        NULL);
    assert_int_equal(json_array_size(list), 1);
    disk = json_array_get(list, 0);
    assert_int_equal(json_object_size(disk), G_N_ELEMENTS(keys));
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        assert_non_null(json_object_get(disk, keys[i]));
    assert_string_equal(json_string_value(json_object_get(disk, "type")), "qcow2");
    json_decref(list);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(messages_have_novas_shape_and_order),
        T(messages_say_what_the_other_host_reads),
        T(the_disk_list_is_novas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
