/* Replays what a real nova-compute asked of conductor: our client, asked for the same, sends the
 * same arguments, and takes the real answer. Saves may send less than nova does, never more and
 * nothing else. Data: tests/wire/data/conductor.jsonl, made by tests/wire/collect.py. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "services/conductor.h"
#include "services/conductor_priv.h"

#define DATA "tests/wire/data/conductor.jsonl"

/* The wire: keeps what was sent, answers what conductor answered then. */
typedef struct Replay {
    const json_t *record;
    json_t *sent; /* {"method", "namespace", "version", "args"} */
    int calls;
    size_t bytes_nova, bytes_ours; /* of objects in saves */
} Replay;

static json_t *string_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static bool replay_call(void *self, const DvCtx *ctx G_GNUC_UNUSED, const RpcTarget *target,
                        const char *method, json_t *args, int64_t timeout_ms G_GNUC_UNUSED,
                        json_t **out_result, RpcRemote *remote, GError **err)
{
    Replay *replay = self;
    const json_t *failure = json_object_get(replay->record, "failure");
    json_auto_t *given = args;

    replay->calls++;
    json_decref(replay->sent);
    replay->sent = json_pack("{ss so so so}", "method", method, "namespace",
                             string_or_null(target->namespace_), "version",
                             string_or_null(target->version), "args", json_deep_copy(given));
    if (failure) {
        remote->class_name = g_strdup(json_string_value(json_object_get(failure, "class")));
        remote->module = g_strdup(json_string_value(json_object_get(failure, "module")));
        remote->message = g_strdup(json_string_value(json_object_get(failure, "message")));
        return dv_fail(err, DV_E_REMOTE, "remote");
    }
    if (out_result)
        *out_result = json_deep_copy(json_object_get(replay->record, "result"));
    return true;
}

static bool replay_cast(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                        json_t *args, GError **err)
{
    return replay_call(self, ctx, target, method, args, 0, NULL, NULL, err);
}

/* ---- class actions: one row for each that the client has a function for ---- */

typedef struct Asker {
    Conductor *con;
    const DvCtx *ctx;
    json_t *args, *kwargs;
    GError **err;
} Asker;

static const char *text_arg(const Asker *a, size_t i)
{
    return json_string_value(json_array_get(a->args, i));
}

static const char *text_kwarg(const Asker *a, const char *name)
{
    return json_string_value(json_object_get(a->kwargs, name));
}

static const char **attrs_of(const Asker *a)
{
    const json_t *list = json_object_get(a->kwargs, "expected_attrs");
    const char **attrs = g_new0(const char *, json_array_size(list) + 1);

    for (size_t i = 0; i < json_array_size(list); i++)
        attrs[i] = json_string_value(json_array_get(list, i));
    return attrs;
}

static bool ask_minimum(Asker *a)
{
    int version = 0;

    return conductor_minimum_version(a->con, a->ctx, text_arg(a, 0), &version, a->err) &&
           version == 64;
}

static bool ask_service(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_service_get(a->con, a->ctx, text_arg(a, 0), text_arg(a, 1), &out, a->err);
}

static bool ask_nodes(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_compute_nodes_by_host(a->con, a->ctx, text_arg(a, 0), &out, a->err);
}

static bool ask_node(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_compute_node_get(a->con, a->ctx, text_arg(a, 0), text_arg(a, 1), &out, a->err);
}

static bool ask_pci(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_pci_devices(a->con, a->ctx, json_integer_value(json_array_get(a->args, 0)),
                                 &out, a->err);
}

static bool ask_instance(Asker *a)
{
    g_autofree const char **attrs = attrs_of(a);
    g_autoptr(Ovo) out = NULL;

    return conductor_instance_get(a->con, a->ctx, text_arg(a, 0), attrs, &out, a->err);
}

static bool ask_by_host(Asker *a)
{
    g_autofree const char **attrs = attrs_of(a);
    g_autoptr(Ovo) out = NULL;

    return conductor_instances_by_host(a->con, a->ctx, text_arg(a, 0), attrs, &out, a->err);
}

static bool ask_by_node(Asker *a)
{
    g_autofree const char **attrs = attrs_of(a);
    g_autoptr(Ovo) out = NULL;

    return conductor_instances_by_host_and_node(a->con, a->ctx, text_arg(a, 0), text_arg(a, 1),
                                                attrs, &out, a->err);
}

static bool ask_bdms(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_bdms_get(a->con, a->ctx, text_arg(a, 0), &out, a->err);
}

static bool ask_group(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_group_of_instance(a->con, a->ctx, text_arg(a, 0), &out, a->err);
}

static bool ask_migrations(Asker *a)
{
    g_autoptr(Ovo) out = NULL;

    return conductor_migrations_in_progress_and_error(a->con, a->ctx, text_arg(a, 0),
                                                      text_arg(a, 1), &out, a->err);
}

static bool ask_evacuations(Asker *a)
{
    g_autoptr(Ovo) out = NULL;
    const char *host = json_string_value(
        json_object_get(json_array_get(a->args, 0), "source_compute"));

    return conductor_evacuations_from(a->con, a->ctx, host, &out, a->err);
}

static bool ask_event_start(Asker *a)
{
    return conductor_event_start(a->con, a->ctx, text_arg(a, 0), text_arg(a, 1),
                                 text_kwarg(a, "host"), a->err);
}

static bool ask_event_finish(Asker *a)
{
    return conductor_event_finish(a->con, a->ctx, text_arg(a, 0), text_arg(a, 1),
                                  text_kwarg(a, "exc_val"), text_kwarg(a, "exc_tb"), a->err);
}

static bool ask_action_start(Asker *a)
{
    return conductor_action_start(a->con, a->ctx, text_arg(a, 0), text_arg(a, 1), a->err);
}

static bool ask_vifs_delete(Asker *a)
{
    return conductor_vifs_delete(a->con, a->ctx, text_arg(a, 0), a->err);
}

static bool ask_console_clean(Asker *a)
{
    return conductor_console_clean(a->con, a->ctx, text_arg(a, 0), a->err);
}

static const struct {
    const char *objname, *objmethod;
    bool (*ask)(Asker *a);
} askers[] = {
    {"Service", "get_minimum_version", ask_minimum},
    {"Service", "get_by_host_and_binary", ask_service},
    {"ComputeNodeList", "get_all_by_host", ask_nodes},
    {"ComputeNode", "get_by_host_and_nodename", ask_node},
    {"PciDeviceList", "get_by_compute_node", ask_pci},
    {"Instance", "get_by_uuid", ask_instance},
    {"InstanceList", "get_by_host", ask_by_host},
    {"InstanceList", "get_by_host_and_node", ask_by_node},
    {"BlockDeviceMappingList", "get_by_instance_uuid", ask_bdms},
    {"InstanceGroup", "get_by_instance_uuid", ask_group},
    {"MigrationList", "get_in_progress_and_error", ask_migrations},
    {"MigrationList", "get_by_filters", ask_evacuations},
    {"InstanceActionEvent", "event_start", ask_event_start},
    {"InstanceActionEvent", "event_finish_with_failure", ask_event_finish},
    {"InstanceAction", "action_start", ask_action_start},
    {"VirtualInterface", "delete_by_instance_uuid", ask_vifs_delete},
    {"ConsoleAuthToken", "clean_console_auths_for_instance", ask_console_clean},
};

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* A copy of a call without the hint that a slower database may answer, and with a uuid that nova
 * gave by keyword in its place. */
static json_t *comparable(const json_t *call)
{
    json_t *copy = json_deep_copy(call);
    json_t *args = json_object_get(copy, "args");
    json_t *kwargs = json_object_get(args, "kwargs");
    json_t *uuid = json_object_get(kwargs, "uuid");

    if (uuid)
        json_array_append(json_object_get(args, "args"), uuid);
    json_object_del(kwargs, "uuid");
    json_object_del(kwargs, "use_slave");
    return copy;
}

static bool replay_class(Replay *replay, Conductor *con, const DvCtx *ctx, const json_t *call)
{
    const json_t *args = json_object_get(call, "args");
    json_auto_t *want = comparable(call);
    json_auto_t *got = NULL;
    g_autoptr(GError) err = NULL;
    const json_t *plain = json_object_get(want, "args");
    Asker asker = {con, ctx, json_object_get(plain, "args"), json_object_get(plain, "kwargs"),
                   &err};

    for (size_t i = 0; i < G_N_ELEMENTS(askers); i++) {
        if (g_strcmp0(askers[i].objname, text_of(args, "objname")) != 0 ||
            g_strcmp0(askers[i].objmethod, text_of(args, "objmethod")) != 0)
            continue;
        if (!askers[i].ask(&asker))
            fail_msg("%s.%s: %s", askers[i].objname, askers[i].objmethod,
                     err ? err->message : "wrong answer");
        got = comparable(replay->sent);
        if (!json_equal(want, got)) {
            char *text = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS);

            fail_msg("%s.%s: sent %s", askers[i].objname, askers[i].objmethod, text);
        }
        return true;
    }
    return false;
}

/* ---- object actions ---- */

static bool act(Conductor *con, const DvCtx *ctx, Ovo *obj, const json_t *args, GError **err)
{
    const char *method = text_of(args, "objmethod");
    json_t *kwargs = json_object_get(args, "kwargs");
    const json_t *states = json_object_get(kwargs, "expected_task_state");
    const char *expected[8] = {NULL};

    if (g_str_equal(method, "save") && json_is_string(states)) {
        expected[0] = json_string_value(states);
        return conductor_instance_save(con, ctx, obj, expected, err);
    }
    if (g_str_equal(method, "save") && json_is_array(states)) {
        assert_in_range(json_array_size(states), 1, G_N_ELEMENTS(expected) - 1);
        for (size_t i = 0; i < json_array_size(states); i++) {
            const char *state = json_string_value(json_array_get(states, i));

            expected[i] = state ? state : "";
        }
        return conductor_instance_save(con, ctx, obj, expected, err);
    }
    if (g_str_equal(method, "save"))
        return conductor_save(con, ctx, obj, err);
    if (g_str_equal(method, "create"))
        return conductor_create(con, ctx, obj, err);
    if (g_str_equal(method, "destroy"))
        return conductor_destroy(con, ctx, obj, err);
    return conductor_object_action(con, ctx, obj, method,
                                   json_incref(json_object_get(args, "args")), json_incref(kwargs),
                                   NULL, err);
}

static bool same_set(const json_t *a, const json_t *b)
{
    size_t found = 0;
    const json_t *x, *y;
    size_t i, j;

    json_array_foreach(a, i, x) json_array_foreach(b, j, y) found += (size_t)json_equal(x, y);
    return found == json_array_size(a) && found == json_array_size(b);
}

static size_t text_size(const json_t *value)
{
    return json_dumpb(value, NULL, 0, JSON_COMPACT);
}

/* What we sent of the object is a part of what nova sent, with the same change list. */
static void check_sent_object(Replay *replay, const json_t *theirs, const char *what)
{
    const json_t *ours = json_object_get(json_object_get(replay->sent, "args"), "objinst");
    const json_t *their_data = json_object_get(theirs, "nova_object.data");
    const char *field;
    json_t *value;

    json_object_foreach(json_object_get(ours, "nova_object.data"), field,
                        value) if (!json_equal(value, json_object_get(their_data, field)))
        fail_msg("%s: %s is not what nova sent", what, field);
    if (!same_set(json_object_get(ours, "nova_object.changes"),
                  json_object_get(theirs, "nova_object.changes")))
        fail_msg("%s: another change list", what);
    assert_string_equal(text_of(ours, "nova_object.version"),
                        text_of(theirs, "nova_object.version"));
    if (g_str_has_suffix(what, ".save")) {
        replay->bytes_nova += text_size(theirs);
        replay->bytes_ours += text_size(ours);
    }
}

static void check_updates(const Ovo *obj, const json_t *updates, const char *what)
{
    json_auto_t *json = ovo_json(obj);
    const json_t *data = json_object_get(json, "nova_object.data");
    const char *field;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)updates, field,
                        value) if (strcmp(field, "obj_what_changed") != 0 &&
                                   !json_equal(value, json_object_get(data, field)))
        fail_msg("%s: the update of %s was not taken", what, field);
    assert_int_equal(ovo_any_changed(obj),
                     json_array_size(json_object_get(updates, "obj_what_changed")) > 0);
}

static json_t *kwargs_of(const json_t *call)
{
    return json_object_get(json_object_get(call, "args"), "kwargs");
}

static void replay_action(Replay *replay, Conductor *con, const DvCtx *ctx, const json_t *call)
{
    json_t *args = json_object_get(call, "args");
    const json_t *theirs = json_object_get(args, "objinst");
    g_autofree char *what = g_strdup_printf("%s.%s", text_of(theirs, "nova_object.name"),
                                            text_of(args, "objmethod"));
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) obj = ovo_take(json_deep_copy(theirs), NULL, &err);
    bool clean = !ovo_any_changed(obj);

    assert_non_null(obj);
    replay->calls = 0;
    if (!act(con, ctx, obj, args, &err))
        fail_msg("%s: %s", what, err->message);
    if (clean && g_str_equal(text_of(args, "objmethod"), "save")) {
        assert_int_equal(replay->calls, 0); /* nova asks although nothing changed */
        return;
    }
    assert_int_equal(replay->calls, 1);
    assert_true(json_equal(kwargs_of(call), kwargs_of(replay->sent)) ||
                json_object_size(kwargs_of(replay->sent)) == 1);
    check_sent_object(replay, theirs, what);
    check_updates(obj, json_array_get(json_object_get(replay->record, "result"), 0), what);
}

/* ---- the test ---- */

static void what_nova_asked_is_asked_the_same_way(void **state G_GNUC_UNUSED)
{
    FILE *file = fopen(DATA, "r");
    Replay replay = {0};
    const ConductorTransport transport = {replay_call, replay_cast, &replay};
    g_autoptr(Conductor) con = conductor_new_with(&transport, NOVA_ZED);
    g_autoptr(DvCtx) ctx = dv_ctx_new_admin();
    size_t actions = 0, classes = 0;
    char *line = NULL;
    size_t size = 0;

    assert_non_null(file);
    while (getline(&line, &size, file) > 0) {
        json_auto_t *record = json_loads(line, 0, NULL);
        const json_t *call = json_object_get(record, "call");

        assert_non_null(record);
        replay.record = record;
        if (g_strcmp0(text_of(call, "method"), "object_action") == 0) {
            replay_action(&replay, con, ctx, call);
            actions++;
        } else if (g_strcmp0(text_of(call, "method"), "object_class_action_versions") == 0) {
            classes += replay_class(&replay, con, ctx, call);
        } else {
            assert_string_equal(text_of(call, "method"), "ping");
            assert_true(conductor_ping(con, ctx, 10000, NULL));
            assert_string_equal(text_of(replay.sent, "namespace"), text_of(call, "namespace"));
            assert_string_equal(text_of(replay.sent, "version"), text_of(call, "version"));
        }
    }
    assert_in_range(actions, 40, 10000);
    assert_in_range(classes, G_N_ELEMENTS(askers), 10000);
    print_message("objects in saves: %zu bytes of nova, %zu of ours\n", replay.bytes_nova,
                  replay.bytes_ours);
    assert_true(replay.bytes_ours * 2 < replay.bytes_nova); /* why only changes are sent */
    json_decref(replay.sent);
    free(line);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nova_asked_is_asked_the_same_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
