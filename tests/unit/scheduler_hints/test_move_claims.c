/* Move claims: what they write, how long they hold, and that audits beside them and after them
 * neither lose nor double anything. */
#include "fixture.h"

#define MOVING_UUID "c7f5f0b8-5de2-4bd4-8324-cafa60cf2933"
#define OTHER_UUID "7a368118-6d32-41f8-ab26-c8b9ddf7b761"

/* A tracker that has counted one guest here (128 MiB, 1 CPU, 1 GiB), with a flavor to go to. */
typedef struct Moving {
    Ovo *instance, *migration, *flavor;
    int64_t memory, vcpus;
} Moving;

static void moving_done(Moving *moving)
{
    ovo_unref(moving->instance);
    ovo_unref(moving->migration);
    ovo_unref(moving->flavor);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Moving, moving_done)

static Ovo *parse(const char *text, const char *name)
{
    g_autoptr(GError) err = NULL;
    Ovo *ovo = ovo_parse(text, name, &err);

    if (!ovo)
        fail_msg("%s", err->message);
    return ovo;
}

static Moving moving_start(Fixture *fx)
{
    static const TrackerClaim local_root = {.root = ROOT_LOCAL};
    Moving moving = {.instance = golden_instance(fx)};
    g_autoptr(Ovo) now = NULL;

    fixture_scene(fx, "startup_empty");
    facts_from(fx, json_object_get(json_object_get(fx->golden, "boot"), "save"));
    audit_ok(fx);
    ovo_set_str(moving.instance, "vm_state", "active");
    ovo_set_null(moving.instance, "task_state");
    assert_true(tracker_claim_with(fx->tracker, fx->ctx, moving.instance, "vm", &local_root, NULL));
    moving.memory = int_of(tracker_record(fx), "memory_mb_used");
    moving.vcpus = int_of(tracker_record(fx), "vcpus_used");
    now = ovo_child(moving.instance, "flavor");
    moving.flavor = ovo_copy(now);
    ovo_set_i64(moving.flavor, "id", 2);
    ovo_set_i64(moving.flavor, "memory_mb", 1000);
    ovo_set_i64(moving.flavor, "vcpus", 3);
    moving.migration = parse(
        "{\"nova_object.name\":\"Migration\",\"nova_object.namespace\":\"nova\","
        "\"nova_object.version\":\"1.7\",\"nova_object.data\":{\"id\":3,\"uuid\":\"" OTHER_UUID
        "\",\"instance_uuid\":\"" MOVING_UUID "\",\"source_compute\":\"vm\",\"source_node\":\"vm\","
        "\"dest_compute\":null,\"dest_node\":null,\"dest_host\":null,"
        "\"migration_type\":\"resize\",\"old_instance_type_id\":1,\"new_instance_type_id\":2,"
        "\"status\":\"accepted\"}}",
        "Migration");
    fixture_answer(
        fx, "BlockDeviceMappingList.get_by_instance_uuids",
        json_deep_copy(json_object_get(
            json_object_get(json_object_get(fx->golden, "startup_with_instance"), "answers"),
            "BlockDeviceMappingList.get_by_instance_uuids")));
    fixture_answer(fx, "Instance.get_by_uuid", ovo_json(moving.instance));
    g_ptr_array_set_size(fx->conductor.calls, 0);
    return moving;
}

static bool claim(Fixture *fx, Moving *moving, GError **err)
{
    return tracker_move_claim(fx->tracker, fx->ctx, moving->instance, moving->migration,
                              moving->flavor, "vm", err);
}

static void claim_ok(Fixture *fx, Moving *moving)
{
    g_autoptr(GError) err = NULL;

    if (!claim(fx, moving, &err))
        fail_msg("%s", err->message);
}

static int64_t memory_used(Fixture *fx)
{
    return int_of(tracker_record(fx), "memory_mb_used");
}

static json_t *sent_data(Fixture *fx, const char *key)
{
    json_t *args = fake_last(&fx->conductor, key);

    assert_non_null(args);
    return json_object_get(json_object_get(args, "objinst"), "nova_object.data");
}

/* ---- what is written ---- */

static void a_move_claim_counts_beside_the_guest(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    claim_ok(fx, &moving);
    assert_int_equal(memory_used(fx), moving.memory + 1000);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), moving.vcpus + 3);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 1);
}

static void the_migration_gets_its_destination(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    json_t *data;

    claim_ok(fx, &moving);
    data = sent_data(fx, "Migration.save");
    assert_string_equal(text_of(data, "dest_compute"), "vm");
    assert_string_equal(text_of(data, "dest_node"), "vm");
    assert_string_equal(text_of(data, "dest_host"), "127.0.0.1");
    assert_string_equal(text_of(data, "status"), "pre-migrating");
    assert_int_equal(int_of(data, "id"), 3);
}

/* Field by field what nova-compute saved in the captured resize. */
static void the_instance_gets_a_migration_context(void **state)
{
    static const char *const empty[] = {"new_numa_topology", "new_resources", "old_resources",
                                        "old_numa_topology"};
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    json_t *context;

    claim_ok(fx, &moving);
    context = json_object_get(sent_data(fx, "Instance.save"), "migration_context");
    assert_string_equal(text_of(context, "nova_object.name"), "MigrationContext");
    assert_string_equal(text_of(context, "nova_object.version"), "1.2");
    context = json_object_get(context, "nova_object.data");
    assert_int_equal(int_of(context, "migration_id"), 3);
    assert_string_equal(text_of(context, "instance_uuid"), MOVING_UUID);
    for (size_t i = 0; i < G_N_ELEMENTS(empty); i++) {
        assert_non_null(json_object_get(context, empty[i]));
        assert_true(json_is_null(json_object_get(context, empty[i])));
    }
    assert_string_equal(text_of(json_object_get(context, "new_pci_devices"), "nova_object.name"),
                        "PciDeviceList");
    assert_string_equal(text_of(json_object_get(context, "new_pci_requests"), "nova_object.name"),
                        "InstancePCIRequests");
    assert_non_null(json_object_get(context, "old_pci_devices"));
    assert_non_null(json_object_get(context, "old_pci_requests"));
}

/* ---- what is refused, and failures ---- */

static void pci_devices_are_refused_not_ignored(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    g_autoptr(Ovo) requests = parse(
        "{\"nova_object.name\":\"InstancePCIRequests\",\"nova_object.namespace\":\"nova\","
        "\"nova_object.version\":\"1.1\",\"nova_object.data\":{\"requests\":[{}]}}",
        NULL);
    g_autoptr(Ovo) has = ovo_copy(moving.instance);
    g_autoptr(GError) err = NULL;

    ovo_set_child(has, "pci_requests", requests);
    fixture_answer(fx, "Instance.get_by_uuid", ovo_json(has));
    assert_false(claim(fx, &moving, &err));
    assert_int_equal(err->code, DV_E_NO_CAPACITY);
    assert_int_equal(memory_used(fx), moving.memory);
    assert_int_equal(fake_count(&fx->conductor, "Instance.save"), 0);
}

static void a_claim_that_cannot_be_saved_holds_nothing(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    g_autoptr(GError) err = NULL;

    fixture_fail(fx, "Instance.save", "InstanceNotFound");
    assert_false(claim(fx, &moving, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(memory_used(fx), moving.memory);
    assert_false(ovo_has_value(moving.instance, "migration_context"));
}

static void a_migration_that_cannot_be_saved_ends_it(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    fixture_fail(fx, "Migration.save", "timeout");
    assert_false(claim(fx, &moving, NULL));
    assert_int_equal(memory_used(fx), moving.memory);
}

static void an_unclaimed_move_leaves_no_trace(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    claim_ok(fx, &moving);
    tracker_move_unclaim(fx->tracker, fx->ctx, moving.instance);
    assert_int_equal(memory_used(fx), moving.memory);
    assert_true(json_is_null(json_object_get(sent_data(fx, "Instance.save"), "migration_context")));
}

/* ---- the end of a move ---- */

static void a_confirmed_move_leaves_the_new_flavor(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    claim_ok(fx, &moving);
    assert_true(tracker_move_end(fx->tracker, fx->ctx, moving.instance, moving.flavor, NULL));
    assert_int_equal(memory_used(fx), moving.memory - 128 + 1000);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 1);
}

static void a_reverted_move_leaves_the_old_flavor(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    g_autoptr(Ovo) old = ovo_child(moving.instance, "flavor");

    claim_ok(fx, &moving);
    assert_true(tracker_move_end(fx->tracker, fx->ctx, moving.instance, old, NULL));
    assert_int_equal(memory_used(fx), moving.memory);
}

static void a_server_that_moved_away_leaves_nothing(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    claim_ok(fx, &moving);
    ovo_set_str(moving.instance, "host", "other");
    assert_true(tracker_move_end(fx->tracker, fx->ctx, moving.instance, moving.flavor, NULL));
    assert_int_equal(memory_used(fx), moving.memory - 128);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 0);
}

/* Its record still names this host: the source changes it when it has the server again. */
static void a_server_that_goes_back_leaves_nothing(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    claim_ok(fx, &moving);
    assert_true(tracker_move_end(fx->tracker, fx->ctx, moving.instance, NULL, NULL));
    assert_int_equal(memory_used(fx), moving.memory - 128);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 0);
}

/* ---- audits ---- */

/* What the database shows of the move in that stage. */
static void database_shows(Fixture *fx, const Moving *moving, const char *vm_state,
                           const char *task_state, bool moved)
{
    g_autoptr(Ovo) row = ovo_copy(moving->instance);
    g_autoptr(Ovo) old = ovo_child(moving->instance, "flavor");
    json_t *objects = json_array();

    ovo_set_str(row, "vm_state", vm_state);
    ovo_set_str(row, "task_state", task_state);
    ovo_set_child(row, "new_flavor", moving->flavor);
    if (moved) {
        ovo_set_child(row, "old_flavor", old);
        ovo_set_child(row, "flavor", moving->flavor);
        ovo_set_i64(row, "instance_type_id", 2);
    } else {
        ovo_set_i64(row, "instance_type_id", 1);
    }
    json_array_append_new(objects, ovo_json(row));
    fixture_answer(fx, "InstanceList.get_by_host_and_node",
                   json_pack("{sssssss{so}}", "nova_object.name", "InstanceList",
                             "nova_object.namespace", "nova", "nova_object.version", "2.6",
                             "nova_object.data", "objects", objects));
    objects = json_array();
    json_array_append_new(objects, ovo_json(moving->migration));
    fixture_answer(fx, "MigrationList.get_in_progress_and_error",
                   json_pack("{sssssss{so}}", "nova_object.name", "MigrationList",
                             "nova_object.namespace", "nova", "nova_object.version", "1.5",
                             "nova_object.data", "objects", objects));
}

static void audits_on_the_way_change_nothing(void **state)
{
    static const struct {
        const char *vm, *task;
        bool moved;
    } stages[] = {
        {"active", "resize_prep", false},
        {"active", "resize_migrated", false},
        {"active", "resize_finish", true},
        {"resized", NULL, true},
    };
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);

    claim_ok(fx, &moving);
    for (size_t i = 0; i < G_N_ELEMENTS(stages); i++) {
        database_shows(fx, &moving, stages[i].vm, stages[i].task, stages[i].moved);
        audit_ok(fx);
        assert_int_equal(memory_used(fx), moving.memory + 1000);
    }
    assert_true(tracker_move_end(fx->tracker, fx->ctx, moving.instance, moving.flavor, NULL));
    assert_int_equal(memory_used(fx), moving.memory - 128 + 1000);
}

typedef struct Meanwhile {
    Fixture *fx;
    Moving *moving;
    bool end; /* the move ends; else it is claimed */
    bool done;
} Meanwhile;

/* Between the audit's listings and what it makes of them. */
static void during_audit(void *arg, const char *key)
{
    Meanwhile *meanwhile = arg;
    Fixture *fx = meanwhile->fx;

    if (meanwhile->done || !g_str_equal(key, "MigrationList.get_in_progress_and_error"))
        return;
    meanwhile->done = true;
    if (meanwhile->end)
        assert_true(tracker_move_end(fx->tracker, fx->ctx, meanwhile->moving->instance,
                                     meanwhile->moving->flavor, NULL));
    else
        claim_ok(fx, meanwhile->moving);
}

/* The listing has the guest and not the move. */
static void a_move_claimed_during_an_audit_is_kept(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    Meanwhile meanwhile = {.fx = fx, .moving = &moving};

    database_shows(fx, &moving, "active", NULL, false);
    fx->conductor.hook_arg = &meanwhile;
    fx->conductor.hook = during_audit;
    audit_ok(fx);
    fx->conductor.hook = NULL;
    assert_true(meanwhile.done);
    assert_int_equal(memory_used(fx), moving.memory + 1000);
}

/* The listing still has the move. */
static void a_move_that_ended_during_an_audit_does_not_come_back(void **state)
{
    Fixture *fx = *state;
    g_auto(Moving) moving = moving_start(fx);
    Meanwhile meanwhile = {.fx = fx, .moving = &moving, .end = true};

    claim_ok(fx, &moving);
    database_shows(fx, &moving, "resized", NULL, true);
    fx->conductor.hook_arg = &meanwhile;
    fx->conductor.hook = during_audit;
    audit_ok(fx);
    fx->conductor.hook = NULL;
    assert_true(meanwhile.done);
    assert_int_equal(memory_used(fx), moving.memory - 128 + 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(a_move_claim_counts_beside_the_guest),
        fixture_test(the_migration_gets_its_destination),
        fixture_test(the_instance_gets_a_migration_context),
        fixture_test(pci_devices_are_refused_not_ignored),
        fixture_test(a_claim_that_cannot_be_saved_holds_nothing),
        fixture_test(a_migration_that_cannot_be_saved_ends_it),
        fixture_test(an_unclaimed_move_leaves_no_trace),
        fixture_test(a_confirmed_move_leaves_the_new_flavor),
        fixture_test(a_reverted_move_leaves_the_old_flavor),
        fixture_test(a_server_that_moved_away_leaves_nothing),
        fixture_test(a_server_that_goes_back_leaves_nothing),
        fixture_test(audits_on_the_way_change_nothing),
        fixture_test(a_move_claimed_during_an_audit_is_kept),
        fixture_test(a_move_that_ended_during_an_audit_does_not_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
