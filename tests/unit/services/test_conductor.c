/* The conductor client against a transport that records what it is given and answers as told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "services/conductor.h"
#include "services/conductor_priv.h"
#include "services/remote_errors.h"

typedef struct FakeWire {
    const char *answer;     /* JSON text of the result */
    const char *class_name; /* or the exception to raise */
    DvErrorCode fail_with;  /* or the local failure */
    int calls;
    char *topic, *namespace_, *version, *method, *read_deleted;
    int64_t timeout_ms;
    json_t *args;
} FakeWire;

static bool fake_call(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                      json_t *args, int64_t timeout_ms, json_t **out_result, RpcRemote *remote,
                      GError **err)
{
    FakeWire *wire = self;

    wire->calls++;
    g_free(wire->method);
    wire->method = g_strdup(method);
    g_free(wire->topic);
    wire->topic = g_strdup(target->topic);
    g_free(wire->namespace_);
    wire->namespace_ = g_strdup(target->namespace_);
    g_free(wire->version);
    wire->version = g_strdup(target->version);
    g_free(wire->read_deleted);
    wire->read_deleted = g_strdup(ctx->read_deleted);
    wire->timeout_ms = timeout_ms;
    json_decref(wire->args);
    wire->args = json_deep_copy(args); /* what was sent, as it was then */
    json_decref(args);
    if (wire->class_name) {
        remote->class_name = g_strdup(wire->class_name);
        remote->module = g_strdup("nova.exception");
        remote->message = g_strdup("it is so\nTraceback: line");
        return dv_fail(err, DV_E_REMOTE, "raised");
    }
    if (wire->fail_with)
        return dv_fail(err, wire->fail_with, "no wire");
    if (out_result)
        *out_result = json_loads(wire->answer ? wire->answer : "null", JSON_DECODE_ANY, NULL);
    return true;
}

static bool fake_cast(void *self, const DvCtx *ctx, const RpcTarget *target, const char *method,
                      json_t *args, GError **err)
{
    return fake_call(self, ctx, target, method, args, -1, NULL, NULL, err);
}

typedef struct Bench {
    FakeWire wire;
    Conductor *con;
    DvCtx *ctx;
    GError *err;
} Bench;

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);
    const ConductorTransport transport = {fake_call, fake_cast, &b->wire};

    b->con = conductor_new_with(&transport, NOVA_ZED);
    b->ctx = dv_ctx_new_admin();
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;

    conductor_free(b->con);
    dv_ctx_unref(b->ctx);
    g_clear_error(&b->err);
    g_free(b->wire.topic);
    g_free(b->wire.namespace_);
    g_free(b->wire.version);
    g_free(b->wire.method);
    g_free(b->wire.read_deleted);
    json_decref(b->wire.args);
    g_free(b);
    return 0;
}

/* Compares what was sent under `path` (keys joined by '/') with JSON text. */
static void assert_sent(Bench *b, const char *path, const char *text)
{
    g_auto(GStrv) keys = g_strsplit(path, "/", -1);
    json_auto_t *want = json_loads(text, JSON_DECODE_ANY, NULL);
    const json_t *got = b->wire.args;

    for (size_t i = 0; keys[i]; i++)
        got = json_object_get(got, keys[i]);
    assert_non_null(want);
    if (!json_equal(want, got)) {
        char *dump = json_dumps(got, JSON_ENCODE_ANY | JSON_SORT_KEYS);

        print_error("%s: %s\n  instead of %s\n", path, dump, text);
        free(dump);
        fail();
    }
}

#define DATA "objinst/nova_object.data"
#define CHANGES "objinst/nova_object.changes"
#define DONE "[{\"obj_what_changed\": []}, null]"

static Ovo *parse(const char *name, const char *version, const char *data)
{
    g_autofree char *text = g_strdup_printf(
        "{\"nova_object.name\":\"%s\",\"nova_object.namespace\":\"nova\","
        "\"nova_object.version\":\"%s\",\"nova_object.data\":%s}",
        name, version, data);
    Ovo *ovo = ovo_parse(text, name, NULL);

    assert_non_null(ovo);
    return ovo;
}

/* ---- the two general forms ---- */

static void a_class_action_carries_the_manifest(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) service = NULL;

    b->wire.answer = "{\"nova_object.name\":\"Service\",\"nova_object.namespace\":\"nova\","
                     "\"nova_object.version\":\"1.22\",\"nova_object.data\":{\"id\":4}}";
    assert_true(conductor_service_get(b->con, b->ctx, "vm", "nova-compute", &service, &b->err));
    assert_int_equal(ovo_i64_or(service, "id", 0), 4);
    assert_string_equal(b->wire.topic, "conductor");
    assert_null(b->wire.namespace_);
    assert_string_equal(b->wire.version, "3.0");
    assert_string_equal(b->wire.method, "object_class_action_versions");
    assert_sent(b, "objname", "\"Service\"");
    assert_sent(b, "objmethod", "\"get_by_host_and_binary\"");
    assert_sent(b, "args", "[\"vm\", \"nova-compute\"]");
    assert_sent(b, "kwargs", "{}");
    assert_sent(b, "object_versions",
                "{\"Service\": \"1.22\", \"ComputeNode\": \"1.19\", \"HVSpec\": \"1.2\","
                " \"PciDevicePoolList\": \"1.1\", \"PciDevicePool\": \"1.1\"}");
    assert_int_equal(conductor_calls(b->con), 1);
}

static void the_release_decides_the_versions(void **state)
{
    Bench *b = *state;

    conductor_set_release(b->con, NOVA_2026_1);
    b->wire.class_name = "InstanceNotFound";
    assert_false(conductor_instance_get(b->con, b->ctx, "u", NULL, NULL, NULL));
    assert_sent(b, "object_versions/Instance", "\"2.8\"");
    assert_sent(b, "kwargs", "{\"expected_attrs\": []}");
}

static void a_missing_service_is_no_error(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) service = NULL;

    assert_true(conductor_service_get(b->con, b->ctx, "vm", "nova-compute", &service, NULL));
    assert_null(service);
}

static void an_answer_of_another_class_is_refused(void **state)
{
    Bench *b = *state;
    Ovo *out = NULL;

    b->wire.answer = "{\"nova_object.name\":\"Flavor\",\"nova_object.namespace\":\"nova\","
                     "\"nova_object.version\":\"1.2\",\"nova_object.data\":{}}";
    assert_false(conductor_bdms_get(b->con, b->ctx, "u", &out, &b->err));
    assert_true(dv_is(b->err, DV_E_BAD_INPUT));
    b->wire.answer = "null";
    assert_false(conductor_bdms_get(b->con, b->ctx, "u", &out, NULL));
    b->wire.answer = "7";
    assert_false(conductor_bdms_get(b->con, b->ctx, "u", &out, NULL));
    assert_null(out);
}

static void an_unknown_class_is_our_bug(void **state)
{
    Bench *b = *state;

    assert_false(conductor_class_action(b->con, b->ctx, "Nothing", "get", json_array(),
                                        json_object(), NULL, &b->err));
    assert_true(dv_is(b->err, DV_E_INTERNAL));
    assert_int_equal(b->wire.calls, 0);
}

static void an_action_applies_the_updates(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) fault = ovo_new("InstanceFault", "1.2");
    json_auto_t *result = NULL;

    ovo_set_i64(fault, "code", 500);
    b->wire.answer = "[{\"id\": 9, \"obj_what_changed\": []}, \"done\"]";
    assert_true(
        conductor_object_action(b->con, b->ctx, fault, "create", NULL, NULL, &result, &b->err));
    assert_string_equal(json_string_value(result), "done");
    assert_int_equal(ovo_i64_or(fault, "id", 0), 9);
    assert_false(ovo_any_changed(fault));
    assert_sent(b, "objmethod", "\"create\"");
    assert_sent(b, DATA, "{\"code\": 500}");
    assert_sent(b, CHANGES, "[\"code\"]");
}

static void an_answer_that_is_no_pair_changes_nothing(void **state)
{
    static const char *const answers[] = {"null", "[]", "[{}]", "[7, null]", "{\"a\": 1}"};
    Bench *b = *state;
    g_autoptr(Ovo) ovo = ovo_new("InstanceFault", "1.2");

    ovo_set_i64(ovo, "code", 1);
    for (size_t i = 0; i < G_N_ELEMENTS(answers); i++) {
        b->wire.answer = answers[i];
        g_clear_error(&b->err);
        assert_false(conductor_create(b->con, b->ctx, ovo, &b->err));
        assert_true(dv_is(b->err, DV_E_BAD_INPUT));
        assert_true(ovo_changed(ovo, "code"));
    }
}

/* ---- errors ---- */

static void exception_classes_become_codes(void **state)
{
    static const struct {
        const char *class_name;
        DvErrorCode code;
    } rows[] = {
        {"InstanceNotFound", DV_E_INSTANCE_NOT_FOUND},
        {"InstanceNotFound_Remote", DV_E_INSTANCE_NOT_FOUND},
        {"UnexpectedTaskStateError", DV_E_UNEXPECTED_TASK_STATE},
        {"UnexpectedDeletingTaskStateError", DV_E_DELETING},
        {"InstanceActionNotFound", DV_E_ACTION_NOT_FOUND},
        {"ComputeHostNotFound", DV_E_HOST_NOT_FOUND},
        {"ServiceNotFound", DV_E_SERVICE_NOT_FOUND},
        {"HostBinaryNotFound", DV_E_SERVICE_NOT_FOUND},
        {"ServiceTopicExists", DV_E_SERVICE_EXISTS},
        {"ServiceBinaryExists", DV_E_SERVICE_EXISTS},
        {"InstanceGroupNotFound", DV_E_NOT_FOUND},
        {"DBConnectionError", DV_E_UNAVAILABLE},
        {"ObjectActionError", DV_E_REMOTE},
        {"_Remote", DV_E_REMOTE},
    };
    Bench *b = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Ovo *out = NULL;

        b->wire.class_name = rows[i].class_name;
        g_clear_error(&b->err);
        assert_false(conductor_bdms_get(b->con, b->ctx, "u", &out, &b->err));
        assert_int_equal(dv_code(b->err), rows[i].code);
    }
    assert_int_equal(remote_code(NULL), DV_E_REMOTE);
    b->wire.class_name = "InstanceNotFound";
    assert_false(conductor_vifs_delete(b->con, b->ctx, "u", NULL));
}

static void an_error_says_who_raised_what(void **state)
{
    Bench *b = *state;

    b->wire.class_name = "InstanceActionNotFound";
    assert_false(conductor_event_start(b->con, b->ctx, "u", "compute_x", "vm", &b->err));
    assert_string_equal(b->err->message, "conductor: InstanceActionEvent.event_start: "
                                         "InstanceActionNotFound: it is so");
}

static void a_local_failure_keeps_its_code(void **state)
{
    Bench *b = *state;

    b->wire.fail_with = DV_E_TIMEOUT;
    assert_false(conductor_ping(b->con, b->ctx, 10000, &b->err));
    assert_true(dv_is(b->err, DV_E_TIMEOUT));
    assert_string_equal(b->err->message, "conductor: ping: no wire");
}

static void an_endless_message_is_cut(void **state)
{
    Bench *b = *state;
    g_autofree char *message = g_strnfill(100000, 'x');
    const RpcRemote remote = {.class_name = (char *)(uintptr_t) "ValueError", .message = message};

    assert_false(remote_fail(&b->err, &remote));
    assert_in_range(strlen(b->err->message), 100, 1000);
    assert_true(dv_is(b->err, DV_E_REMOTE));
}

/* ---- start ---- */

static void a_ping_goes_to_the_base_api(void **state)
{
    Bench *b = *state;

    b->wire.answer = "{\"service\": \"conductor\", \"arg\": \"drover\"}";
    assert_true(conductor_ping(b->con, b->ctx, 10000, &b->err));
    assert_string_equal(b->wire.namespace_, "baseapi");
    assert_string_equal(b->wire.version, "1.0");
    assert_int_equal(b->wire.timeout_ms, 10000);
    b->wire.answer = "\"pong\"";
    assert_false(conductor_ping(b->con, b->ctx, 10000, NULL));
}

static void the_minimum_version_is_a_number(void **state)
{
    Bench *b = *state;
    int version = -1;

    b->wire.answer = "64";
    assert_true(conductor_minimum_version(b->con, b->ctx, "nova-compute", &version, NULL));
    assert_int_equal(version, 64);
    b->wire.answer = "\"64\"";
    assert_false(conductor_minimum_version(b->con, b->ctx, "nova-compute", &version, NULL));
    b->wire.answer = "99999999999";
    assert_false(conductor_minimum_version(b->con, b->ctx, "nova-compute", &version, NULL));
}

/* ---- saves ---- */

static void a_clean_object_is_not_sent(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) node = parse("ComputeNode", "1.19", "{\"id\":1}");
    g_autoptr(Ovo) instance = parse("Instance", "2.7", "{\"uuid\":\"u\"}");

    assert_true(conductor_save(b->con, b->ctx, node, NULL));
    assert_true(conductor_save(b->con, b->ctx, instance, NULL));
    assert_true(conductor_instance_save(b->con, b->ctx, instance, NULL, NULL));
    assert_int_equal(b->wire.calls, 0);
}

static void a_save_sends_identity_and_changes(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo)
        node = parse("ComputeNode", "1.19",
                     "{\"id\":1,\"uuid\":\"n\",\"host\":\"vm\",\"vcpus\":2,\"stats\":{}}");

    ovo_set_i64(node, "vcpus", 4);
    b->wire.answer = DONE;
    assert_true(conductor_save(b->con, b->ctx, node, &b->err));
    assert_sent(b, DATA, "{\"id\": 1, \"uuid\": \"n\", \"host\": \"vm\", \"vcpus\": 4}");
    assert_sent(b, CHANGES, "[\"vcpus\"]");
    assert_false(ovo_any_changed(node));
}

static void a_service_is_sent_whole(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) service = parse("Service", "1.22",
                                   "{\"id\":4,\"version\":64,\"host\":\"vm\",\"report_count\":1}");

    ovo_set_i64(service, "report_count", 2);
    b->wire.answer = DONE;
    assert_true(conductor_save(b->con, b->ctx, service, &b->err));
    assert_sent(b, DATA, "{\"id\": 4, \"version\": 64, \"host\": \"vm\", \"report_count\": 2}");
    assert_sent(b, CHANGES, "[\"report_count\"]");
}

static void an_instance_save_checks_the_task_state(void **state)
{
    static const char *const expected[] = {"scheduling", "", NULL};
    Bench *b = *state;
    g_autoptr(Ovo)
        instance = parse("Instance", "2.7",
                         "{\"id\":7,\"uuid\":\"u\",\"host\":\"h\",\"task_state\":null,\"flavor\":{"
                         "\"nova_object.name\":\"Flavor\",\"nova_object.version\":\"1.2\",\"nova_"
                         "object.data\":{}}}");

    ovo_set_str(instance, "task_state", "networking");
    b->wire.answer = "[{\"updated_at\": \"2026-01-02T03:04:05Z\", \"obj_what_changed\": []}, null]";
    assert_true(conductor_instance_save(b->con, b->ctx, instance, expected, &b->err));
    assert_sent(b, "kwargs", "{\"expected_task_state\": [\"scheduling\", null]}");
    assert_sent(b, DATA, "{\"id\": 7, \"uuid\": \"u\", \"task_state\": \"networking\"}");
    assert_string_equal(ovo_str_or(instance, "updated_at", ""), "2026-01-02T03:04:05Z");
}

static void a_check_is_made_without_anything_new(void **state)
{
    static const char *const expected[] = {"", NULL};
    Bench *b = *state;
    g_autoptr(Ovo)
        instance = parse("Instance", "2.7", "{\"id\":7,\"uuid\":\"u\",\"task_state\":null}");

    b->wire.answer = DONE;
    assert_true(conductor_instance_save(b->con, b->ctx, instance, expected, &b->err));
    assert_int_equal(b->wire.calls, 1);
    assert_sent(b, CHANGES, "[\"task_state\"]");
    assert_sent(b, "kwargs", "{\"expected_task_state\": [null]}");
}

static void a_refused_save_stays_dirty(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) instance = parse("Instance", "2.7", "{\"uuid\":\"u\"}");

    ovo_set_str(instance, "vm_state", "active");
    b->wire.class_name = "UnexpectedDeletingTaskStateError";
    assert_false(conductor_instance_save(b->con, b->ctx, instance, NULL, &b->err));
    assert_true(dv_is(b->err, DV_E_DELETING));
    assert_true(ovo_changed(instance, "vm_state"));
}

static void flavors_go_together(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) instance = parse(
        "Instance", "2.7",
        "{\"id\":7,\"uuid\":\"u\",\"host\":\"h\",\"old_flavor\":null,\"new_flavor\":null,"
        "\"flavor\":{\"nova_object.name\":\"Flavor\",\"nova_object.version\":\"1.2\","
        "\"nova_object.data\":{\"id\":1}}}");
    g_autoptr(Ovo) flavor = parse("Flavor", "1.2", "{\"id\":2}");

    ovo_set_child(instance, "new_flavor", flavor);
    b->wire.answer = DONE;
    assert_true(conductor_save(b->con, b->ctx, instance, &b->err));
    assert_sent(b, CHANGES, "[\"new_flavor\"]");
    assert_sent(b, DATA "/flavor/nova_object.data", "{\"id\": 1}");
    assert_sent(b, DATA "/old_flavor", "null");
    assert_sent(b, DATA "/new_flavor/nova_object.data", "{\"id\": 2}");
}

static void compute_id_goes_with_the_node(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) old = parse("Instance", "2.7", "{\"id\":7,\"uuid\":\"u\"}");
    g_autoptr(Ovo) newer = parse("Instance", "2.8", "{\"id\":7,\"uuid\":\"u\",\"compute_id\":3}");

    b->wire.answer = DONE;
    ovo_set_str(old, "node", "n");
    assert_true(conductor_instance_save(b->con, b->ctx, old, NULL, &b->err));
    assert_sent(b, DATA, "{\"id\": 7, \"uuid\": \"u\", \"node\": \"n\"}");
    ovo_set_str(newer, "node", "n");
    assert_true(conductor_instance_save(b->con, b->ctx, newer, NULL, &b->err));
    assert_sent(b, DATA, "{\"id\": 7, \"uuid\": \"u\", \"node\": \"n\", \"compute_id\": 3}");
    assert_sent(b, CHANGES, "[\"compute_id\", \"node\"]");
}

/* ---- the rest, by what nova-compute was seen to send ---- */

static void events_are_started_and_finished(void **state)
{
    Bench *b = *state;

    assert_true(conductor_event_start(b->con, b->ctx, "u", "compute_stop", "vm", &b->err));
    assert_sent(b, "args", "[\"u\", \"compute_stop\"]");
    assert_sent(b, "kwargs", "{\"want_result\": false, \"host\": \"vm\"}");
    assert_true(conductor_event_finish(b->con, b->ctx, "u", "compute_stop", NULL, NULL, &b->err));
    assert_sent(b, "objmethod", "\"event_finish_with_failure\"");
    assert_sent(b, "kwargs", "{\"exc_val\": null, \"exc_tb\": null, \"want_result\": false}");
    assert_true(
        conductor_event_finish(b->con, b->ctx, "u", "compute_stop", "bad \xff", "tb", &b->err));
    assert_sent(b, "kwargs",
                "{\"exc_val\": \"bad \xef\xbf\xbd\", \"exc_tb\": \"tb\", \"want_result\": false}");
    assert_true(conductor_action_start(b->con, b->ctx, "u", "stop", &b->err));
    assert_sent(b, "objname", "\"InstanceAction\"");
    assert_sent(b, "kwargs", "{\"want_result\": false}");
}

static void a_fault_fits_its_column(void **state)
{
    Bench *b = *state;
    g_autoptr(GString) text = g_string_new(NULL);
    const char *sent;

    for (int i = 0; i < 200; i++)
        g_string_append(text, "\xc3\xa9"); /* two bytes each */
    b->wire.answer = DONE;
    assert_true(conductor_fault_create(b->con, b->ctx, "u", 500, text->str, NULL, "vm", &b->err));
    sent = json_string_value(json_object_get(
        json_object_get(json_object_get(b->wire.args, "objinst"), "nova_object.data"), "message"));
    assert_int_equal(strlen(sent), 254);
    assert_true(g_utf8_validate(sent, -1, NULL));
    assert_sent(b, DATA "/details", "\"\"");
}

static void a_vif_has_the_port_in_its_address(void **state)
{
    Bench *b = *state;

    b->wire.answer = DONE;
    assert_true(
        conductor_vif_create(b->con, b->ctx, "u", "port", "fa:16:3e:00:00:01", NULL, &b->err));
    assert_sent(b, DATA,
                "{\"address\": \"fa:16:3e:00:00:01/port\", \"instance_uuid\": \"u\","
                " \"uuid\": \"port\", \"tag\": null}");
    assert_true(conductor_info_cache_save(b->con, b->ctx, "u", "[]", &b->err));
    assert_sent(b, DATA, "{\"instance_uuid\": \"u\", \"network_info\": \"[]\"}");
    assert_sent(b, "objmethod", "\"save\"");
}

static void a_console_is_authorized(void **state)
{
    Bench *b = *state;
    g_autofree char *token = NULL;

    b->wire.answer = "[{\"id\": 2, \"token\": \"t\", \"obj_what_changed\": []}, \"t\"]";
    assert_true(conductor_console_authorize(b->con, b->ctx, "u", "novnc", "127.0.0.1", 5900, NULL,
                                            "http://x", 600, &token, &b->err));
    assert_string_equal(token, "t");
    assert_sent(b, "args", "[600]");
    assert_sent(b, DATA,
                "{\"console_type\": \"novnc\", \"host\": \"127.0.0.1\", \"port\": 5900,"
                " \"internal_access_path\": null, \"instance_uuid\": \"u\","
                " \"access_url_base\": \"http://x\"}");
    b->wire.answer = DONE;
    assert_false(conductor_console_authorize(b->con, b->ctx, "u", "novnc", "127.0.0.1", 5900, NULL,
                                             "http://x", 600, &token, &b->err));
}

static void uuids_of_a_host_are_strings(void **state)
{
    Bench *b = *state;
    g_auto(GStrv) uuids = NULL;

    b->wire.answer = "[\"a\", \"b\"]";
    assert_true(conductor_instance_uuids_by_host(b->con, b->ctx, "vm", &uuids, &b->err));
    assert_int_equal(g_strv_length(uuids), 2);
    assert_string_equal(uuids[1], "b");
    b->wire.answer = "[\"a\", 7]";
    assert_false(conductor_instance_uuids_by_host(b->con, b->ctx, "vm", &uuids, NULL));
    b->wire.answer = "{}";
    assert_false(conductor_instance_uuids_by_host(b->con, b->ctx, "vm", &uuids, NULL));
}

static void not_there_is_a_result(void **state)
{
    Bench *b = *state;
    Ovo *out = (Ovo *)b;

    b->wire.class_name = "ComputeHostNotFound";
    assert_true(conductor_compute_node_get(b->con, b->ctx, "vm", "vm", &out, &b->err));
    assert_null(out);
    b->wire.class_name = "InstanceGroupNotFound";
    out = (Ovo *)b;
    assert_true(conductor_group_of_instance(b->con, b->ctx, "u", &out, &b->err));
    assert_null(out);
    b->wire.class_name = "DBConnectionError";
    assert_false(conductor_group_of_instance(b->con, b->ctx, "u", &out, &b->err));
    assert_true(dv_is(b->err, DV_E_UNAVAILABLE));
}

static void evacuations_are_found_with_deleted_rows(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) list = NULL;

    b->wire.answer = "{\"nova_object.name\":\"MigrationList\",\"nova_object.namespace\":\"nova\","
                     "\"nova_object.version\":\"1.5\",\"nova_object.data\":{\"objects\":[]}}";
    assert_true(conductor_evacuations_from(b->con, b->ctx, "vm", &list, &b->err));
    assert_int_equal(ovo_count(list, NULL), 0);
    assert_string_equal(b->wire.read_deleted, "yes");
    assert_sent(b, "args",
                "[{\"source_compute\": \"vm\", \"status\": [\"accepted\", \"pre-migrating\","
                " \"done\"], \"migration_type\": \"evacuation\"}]");
}

/* None with that status is an answer, not a failure. */
static void a_migration_is_found_by_its_status(void **state)
{
    Bench *b = *state;
    g_autoptr(Ovo) none = NULL;
    g_autoptr(Ovo) found = NULL;

    b->wire.class_name = "MigrationNotFoundByStatus";
    assert_true(conductor_migration_by_status(b->con, b->ctx, "i", "running", &none, &b->err));
    assert_null(none);
    b->wire.class_name = "ValueError";
    assert_false(conductor_migration_by_status(b->con, b->ctx, "i", "running", &none, &b->err));
    g_clear_error(&b->err);
    b->wire.class_name = NULL;
    b->wire.answer = "{\"nova_object.name\":\"Migration\",\"nova_object.namespace\":\"nova\","
                     "\"nova_object.version\":\"1.7\",\"nova_object.data\":{\"id\":7}}";
    assert_true(conductor_migration_by_status(b->con, b->ctx, "i", "running", &found, &b->err));
    assert_int_equal(ovo_i64_or(found, "id", 0), 7);
    assert_sent(b, "args", "[\"i\", \"running\"]");
    assert_sent(b, "objmethod", "\"get_by_instance_and_status\"");
}

static void expired_console_tokens_are_cleaned_in_one_call(void **state)
{
    Bench *b = *state;

    b->wire.answer = "null";
    assert_true(conductor_console_clean_expired(b->con, b->ctx, &b->err));
    assert_sent(b, "objname", "\"ConsoleAuthToken\"");
    assert_sent(b, "objmethod", "\"clean_expired_console_auths\"");
    assert_sent(b, "args", "[]");
}

static void lists_are_asked_for_as_nova_does(void **state)
{
    static const char *const attrs[] = {"info_cache", "metadata", NULL};
    Bench *b = *state;
    g_autoptr(Ovo) filters = ovo_new_dict();

    b->wire.class_name = "ValueError";
    ovo_set_str(filters, "vm_state", "building");
    assert_false(conductor_instances_by_filters(b->con, b->ctx, filters, attrs, NULL, NULL));
    assert_sent(b, "args", "[{\"vm_state\": \"building\"}]");
    assert_sent(b, "kwargs", "{\"expected_attrs\": [\"info_cache\", \"metadata\"]}");
    assert_false(conductor_instances_by_host_and_node(b->con, b->ctx, "h", "n", attrs, NULL, NULL));
    assert_sent(b, "args", "[\"h\", \"n\"]");
    assert_false(conductor_instances_by_host(b->con, b->ctx, "h", NULL, NULL, NULL));
    assert_sent(b, "kwargs", "{\"expected_attrs\": []}");
    assert_false(conductor_pci_devices(b->con, b->ctx, 3, NULL, NULL));
    assert_sent(b, "args", "[3]");
    assert_false(conductor_compute_nodes_by_host(b->con, b->ctx, "h", NULL, NULL));
    assert_sent(b, "kwargs", "{\"use_slave\": true}");
    assert_false(conductor_migrations_in_progress(b->con, b->ctx, "h", "n", NULL, NULL));
    assert_sent(b, "objmethod", "\"get_in_progress_by_host_and_node\"");
    assert_false(conductor_migrations_in_progress_and_error(b->con, b->ctx, "h", "n", NULL, NULL));
    assert_sent(b, "objmethod", "\"get_in_progress_and_error\"");
    assert_false(conductor_console_clean(b->con, b->ctx, "u", NULL));
    assert_sent(b, "objmethod", "\"clean_console_auths_for_instance\"");
}

/* args: those of build_and_run_instance */
static void a_reschedule_is_a_cast_to_compute_task(void **state)
{
    static const char *const hosts[] = {"first", "second", NULL};
    Bench *b = *state;
    g_autoptr(Ovo) args = ovo_new_dict();
    g_autoptr(Ovo) instance = parse("Instance", "2.7", "{\"uuid\": \"u\"}");

    ovo_set_child(args, "instance", instance);
    ovo_set_str(args, "admin_password", NULL);
    ovo_set_strv(args, "host_list", hosts);
    ovo_set_str(args, "node", "vm");
    assert_true(conductor_build_instances(b->con, b->ctx, args, &b->err));
    assert_string_equal(b->wire.namespace_, "compute_task");
    assert_string_equal(b->wire.version, "1.19");
    assert_string_equal(b->wire.method, "build_instances");
    assert_int_equal(b->wire.timeout_ms, -1);
    assert_sent(b, "host_lists", "[[\"first\", \"second\"]]");
    assert_sent(b, "admin_password", "null");
    assert_sent(b, "image", "null");
    assert_int_equal(json_array_size(json_object_get(b->wire.args, "instances")), 1);
    assert_null(json_object_get(b->wire.args, "node"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_class_action_carries_the_manifest),
        T(the_release_decides_the_versions),
        T(a_missing_service_is_no_error),
        T(an_answer_of_another_class_is_refused),
        T(an_unknown_class_is_our_bug),
        T(an_action_applies_the_updates),
        T(an_answer_that_is_no_pair_changes_nothing),
        T(exception_classes_become_codes),
        T(an_error_says_who_raised_what),
        T(a_local_failure_keeps_its_code),
        T(an_endless_message_is_cut),
        T(a_ping_goes_to_the_base_api),
        T(the_minimum_version_is_a_number),
        T(a_clean_object_is_not_sent),
        T(a_save_sends_identity_and_changes),
        T(a_service_is_sent_whole),
        T(an_instance_save_checks_the_task_state),
        T(a_check_is_made_without_anything_new),
        T(a_refused_save_stays_dirty),
        T(flavors_go_together),
        T(compute_id_goes_with_the_node),
        T(events_are_started_and_finished),
        T(a_fault_fits_its_column),
        T(a_vif_has_the_port_in_its_address),
        T(a_console_is_authorized),
        T(uuids_of_a_host_are_strings),
        T(not_there_is_a_result),
        T(evacuations_are_found_with_deleted_rows),
        T(a_migration_is_found_by_its_status),
        T(expired_console_tokens_are_cleaned_in_one_call),
        T(lists_are_asked_for_as_nova_does),
        T(a_reschedule_is_a_cast_to_compute_task),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
