/* Claims: what they write, what they refuse, and that audits beside them lose nothing. */
#include "fixture.h"

#define GUEST_UUID "c7f5f0b8-5de2-4bd4-8324-cafa60cf2933"

static const TrackerClaim local_root = {.root = ROOT_LOCAL};

/* A tracker after its first audit on an empty host, and the instance that comes to it. */
static Ovo *arriving(Fixture *fx)
{
    Ovo *instance = golden_instance(fx);

    fixture_scene(fx, "startup_empty");
    facts_from(fx, json_object_get(json_object_get(fx->golden, "boot"), "save"));
    audit_ok(fx);
    g_ptr_array_set_size(fx->conductor.calls, 0);
    ovo_set_str(instance, "vm_state", "building");
    ovo_set_null(instance, "task_state");
    return instance;
}

static json_t *sent(Fixture *fx, const char *key)
{
    json_t *args = fake_last(&fx->conductor, key);

    assert_non_null(args);
    return json_object_get(args, "objinst");
}

static bool lists(json_t *names, const char *name)
{
    json_t *item;
    size_t i;

    json_array_foreach(names, i, item) if (strcmp(json_string_value(item), name) == 0) return true;
    return false;
}

/* ---- what is written ---- */

static void a_claim_writes_what_nova_compute_writes(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    json_t *boot = json_object_get(fx->golden, "boot");
    json_t *want = json_object_get(boot, "save");
    json_t *had = json_deep_copy(tracker_record(fx));
    json_t *data, *value;
    const char *field;

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, NULL));
    data = json_object_get(sent(fx, "Instance.save"), "nova_object.data");
    json_object_foreach(json_object_get(boot, "claim_save"), field, value) if (!json_is_null(value))
        assert_true(json_equal(json_object_get(data, field), value));
    assert_record(had, fake_last(&fx->conductor, "ComputeNode.save"), want);
    assert_int_equal(fx->conductor.calls->len, 2);
    json_decref(had);
}

/* Everything else follows from the audit: a claim does not send it. */
static void a_claim_sends_only_usage(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    json_t *may = json_object_get(json_object_get(fx->golden, "boot"), "changes");
    json_t *changes, *name;
    size_t i;

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, NULL));
    changes = json_object_get(sent(fx, "ComputeNode.save"), "nova_object.changes");
    assert_true(json_array_size(changes) > 0);
    json_array_foreach(changes, i, name) assert_true(lists(may, json_string_value(name)));
}

static void the_callers_changes_and_check_travel_with_the_claim(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    static const char *const expected[] = {"scheduling", "", NULL};
    const TrackerClaim how = {.expected = expected, .root = ROOT_LOCAL};
    json_t *changes, *kwargs;

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &how, NULL));
    assert_int_equal(fake_count(&fx->conductor, "Instance.save"), 1);
    changes = json_object_get(sent(fx, "Instance.save"), "nova_object.changes");
    assert_true(lists(changes, "task_state"));
    assert_true(lists(changes, "host"));
    kwargs = json_object_get(fake_last(&fx->conductor, "Instance.save"), "kwargs");
    assert_int_equal(json_array_size(json_object_get(kwargs, "expected_task_state")), 2);
}

static void an_unknown_root_is_asked_for_once(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);

    fixture_answer(
        fx, "BlockDeviceMappingList.get_by_instance_uuids",
        json_deep_copy(json_object_get(
            json_object_get(json_object_get(fx->golden, "startup_with_instance"), "answers"),
            "BlockDeviceMappingList.get_by_instance_uuids")));
    assert_true(tracker_claim(fx->tracker, fx->ctx, instance, "vm", NULL));
    assert_int_equal(fake_count(&fx->conductor, "BlockDeviceMappingList.get_by_instance_uuids"), 1);
    assert_int_equal(int_of(tracker_record(fx), "local_gb_used"), 1);
}

static void a_volume_root_takes_no_disk_here(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    const TrackerClaim how = {.root = ROOT_VOLUME};

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &how, NULL));
    assert_int_equal(int_of(tracker_record(fx), "local_gb_used"), 0);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 1);
}

static void from_2_8_on_the_instance_names_the_record(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) old = arriving(fx);
    json_t *prim = ovo_json(old);
    g_autoptr(Ovo) instance = NULL;
    json_t *data;

    json_object_set_new(prim, "nova_object.version", json_string("2.8"));
    instance = ovo_take(prim, "Instance", NULL);
    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, NULL));
    data = json_object_get(sent(fx, "Instance.save"), "nova_object.data");
    assert_int_equal(int_of(data, "compute_id"), 1);
    tracker_unclaim(fx->tracker, fx->ctx, instance);
    assert_false(ovo_has_value(instance, "compute_id"));
}

/* ---- what is refused ---- */

static void numa_and_pci_are_refused_not_ignored(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    g_autoptr(Ovo) numa = ovo_new("InstanceNUMATopology", "1.3");
    g_autoptr(Ovo) request = ovo_new("InstancePCIRequest", "1.3");
    g_autoptr(Ovo) requests = ovo_child(instance, "pci_requests");
    g_autoptr(GError) err = NULL;

    ovo_set_child(instance, "numa_topology", numa);
    assert_false(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, &err));
    assert_int_equal(err->code, DV_E_NO_CAPACITY);
    g_clear_error(&err);
    ovo_set_null(instance, "numa_topology");
    ovo_append(requests, "requests", request);
    assert_false(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, &err));
    assert_int_equal(err->code, DV_E_NO_CAPACITY);
    assert_int_equal(fx->conductor.calls->len, 0);
    assert_false(ovo_has_value(instance, "host"));
}

static void a_claim_that_cannot_be_saved_takes_nothing(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) tracked = NULL;

    fixture_fail(fx, "Instance.save", "UnexpectedDeletingTaskStateError");
    assert_false(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, &err));
    assert_int_equal(err->code, DV_E_DELETING);
    assert_false(ovo_has_value(instance, "host"));
    assert_false(ovo_has_value(instance, "launched_on"));
    tracked = tracker_instances(fx->tracker);
    assert_int_equal(g_strv_length(tracked), 0);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 0);
}

static void an_unknown_node_is_taken_without_a_claim(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "elsewhere", &local_root, NULL));
    assert_string_equal(ovo_str_or(instance, "node", ""), "elsewhere");
    assert_int_equal(fake_count(&fx->conductor, "Instance.save"), 1);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 0);
}

/* ---- giving back, changing ---- */

static void unclaim_gives_all_back(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, NULL));
    g_ptr_array_set_size(fx->conductor.calls, 0);
    tracker_unclaim(fx->tracker, fx->ctx, instance);
    assert_int_equal(fake_count(&fx->conductor, "Instance.save"), 0);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 1);
    assert_false(ovo_has_value(instance, "host"));
    assert_false(ovo_has_value(instance, "node"));
    assert_false(ovo_has_value(instance, "launched_on"));
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 0);
    assert_int_equal(int_of(tracker_record(fx), "memory_mb_used"), 512);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 0);
}

static void a_deleted_guest_leaves_the_record_as_nova_compute_does(void **state)
{
    Fixture *fx = *state;
    json_t *want = json_object_get(json_object_get(fx->golden, "delete"), "save");
    g_autoptr(Ovo) instance = golden_instance(fx);
    json_t *had;

    fixture_scene(fx, "startup_with_instance");
    facts_from(fx, want);
    audit_ok(fx);
    had = json_deep_copy(tracker_record(fx));
    ovo_set_str(instance, "host", "vm");
    ovo_set_str(instance, "vm_state", "deleted");
    ovo_set_null(instance, "task_state");
    assert_true(tracker_update_usage(fx->tracker, fx->ctx, instance, NULL));
    assert_record(had, fake_last(&fx->conductor, "ComputeNode.save"), want);
    json_decref(had);
}

static void an_untracked_instance_changes_nothing(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);

    ovo_set_str(instance, "host", "vm");
    assert_true(tracker_update_usage(fx->tracker, fx->ctx, instance, NULL));
    assert_int_equal(fx->conductor.calls->len, 0);
}

static void workload_follows_the_task(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    json_t *stats;

    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, NULL));
    ovo_set_str(instance, "vm_state", "active");
    ovo_set_str(instance, "task_state", "image_snapshot");
    assert_true(tracker_update_usage(fx->tracker, fx->ctx, instance, NULL));
    assert_int_equal(int_of(tracker_record(fx), "current_workload"), 1);
    stats = json_object_get(tracker_record(fx), "stats");
    assert_string_equal(text_of(stats, "io_workload"), "1");
    assert_string_equal(text_of(stats, "num_vm_active"), "1");
    assert_string_equal(text_of(stats, "num_vm_building"), "0");
    assert_string_equal(text_of(stats, "num_task_None"), "0");
    assert_string_equal(text_of(stats, "num_task_image_snapshot"), "1");
}

static void failed_builds_are_counted_until_one_succeeds(void **state)
{
    Fixture *fx = *state;
    json_t *stats;

    ovo_unref(arriving(fx));
    tracker_build_failed(fx->tracker);
    tracker_build_failed(fx->tracker);
    assert_int_equal(fx->conductor.calls->len, 0); /* waits for the next write */
    audit_ok(fx);
    stats = json_object_get(tracker_record(fx), "stats");
    assert_string_equal(text_of(stats, "failed_builds"), "2");
    tracker_build_succeeded(fx->tracker);
    audit_ok(fx);
    stats = json_object_get(tracker_record(fx), "stats");
    assert_string_equal(text_of(stats, "failed_builds"), "0");
}

/* ---- beside an audit ---- */

typedef struct Beside {
    Fixture *fx;
    Ovo *instance;
    const char *at; /* the call during which it happens */
    bool claim, done;
} Beside;

static void beside_hook(void *arg, const char *key)
{
    Beside *beside = arg;
    Fixture *fx = beside->fx;

    if (beside->done || strcmp(key, beside->at) != 0)
        return;
    beside->done = true;
    if (beside->claim)
        assert_true(
            tracker_claim_with(fx->tracker, fx->ctx, beside->instance, "vm", &local_root, NULL));
    else
        tracker_unclaim(fx->tracker, fx->ctx, beside->instance);
}

/* The audit has listed the instances (none) before the claim, and writes after it. */
static void a_claim_during_an_audit_is_kept(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    Beside beside = {fx, instance, "MigrationList.get_in_progress_and_error", true, false};

    fx->conductor.hook = beside_hook;
    fx->conductor.hook_arg = &beside;
    audit_ok(fx);
    assert_true(beside.done);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 1);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 1);
    /* The next audit believes its listing: the database does not count the instance here. */
    audit_ok(fx);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 0);
}

static void an_instance_unclaimed_during_an_audit_does_not_come_back(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = golden_instance(fx);
    Beside beside = {fx, instance, "MigrationList.get_in_progress_and_error", false, false};

    fixture_scene(fx, "startup_with_instance");
    audit_ok(fx);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 1);
    fx->conductor.hook = beside_hook;
    fx->conductor.hook_arg = &beside;
    audit_ok(fx);
    assert_true(beside.done);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 0);
}

static void audit_hook(void *arg, const char *key)
{
    Beside *beside = arg;

    if (beside->done || strcmp(key, "Instance.save") != 0)
        return;
    beside->done = true;
    audit_ok(beside->fx);
}

/* No listing can know an instance whose claim is being saved. */
static void a_claim_outlives_an_audit_during_its_save(void **state)
{
    Fixture *fx = *state;
    g_autoptr(Ovo) instance = arriving(fx);
    Beside beside = {.fx = fx};

    fx->conductor.hook = audit_hook;
    fx->conductor.hook_arg = &beside;
    assert_true(tracker_claim_with(fx->tracker, fx->ctx, instance, "vm", &local_root, NULL));
    assert_true(beside.done);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 1);
}

/* ---- many at once ---- */

#define CLAIMERS 8
#define ROUNDS 20

typedef struct Claimer {
    Fixture *fx;
    Ovo *instance;
} Claimer;

static gpointer claimer_run(gpointer arg)
{
    Claimer *claimer = arg;
    Fixture *fx = claimer->fx;

    for (int i = 0; i < ROUNDS; i++) {
        if (!tracker_claim_with(fx->tracker, fx->ctx, claimer->instance, "vm", &local_root, NULL))
            return GINT_TO_POINTER(1);
        if (i < ROUNDS - 1)
            tracker_unclaim(fx->tracker, fx->ctx, claimer->instance);
    }
    return NULL;
}

static void claims_from_many_threads_add_up(void **state)
{
    Fixture *fx = *state;
    Claimer claimers[CLAIMERS];
    GThread *threads[CLAIMERS];

    ovo_unref(arriving(fx));
    for (int i = 0; i < CLAIMERS; i++) {
        g_autofree char *uuid = g_uuid_string_random();

        claimers[i] = (Claimer){fx, golden_instance(fx)};
        ovo_set_str(claimers[i].instance, "uuid", uuid);
        threads[i] = dv_thread_new("claimer", claimer_run, &claimers[i]);
    }
    for (int i = 0; i < CLAIMERS; i++) {
        assert_null(g_thread_join(threads[i]));
        ovo_unref(claimers[i].instance);
    }
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), CLAIMERS);
    assert_int_equal(int_of(tracker_record(fx), "memory_mb_used"), 512 + CLAIMERS * 128);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), CLAIMERS);
}

static gpointer comer_and_goer_run(gpointer arg)
{
    Claimer *claimer = arg;
    Fixture *fx = claimer->fx;

    for (int i = 0; i < ROUNDS; i++) {
        if (!tracker_claim_with(fx->tracker, fx->ctx, claimer->instance, "vm", &local_root, NULL))
            return GINT_TO_POINTER(1);
        tracker_unclaim(fx->tracker, fx->ctx, claimer->instance);
    }
    return NULL;
}

static gpointer auditor_run(gpointer arg)
{
    Fixture *fx = arg;

    for (int i = 0; i < ROUNDS; i++)
        if (!tracker_audit(fx->tracker, fx->ctx, false, NULL))
            return GINT_TO_POINTER(1);
    return NULL;
}

static void claims_and_audits_run_beside_each_other(void **state)
{
    Fixture *fx = *state;
    Claimer claimers[2];
    GThread *threads[4];
    g_auto(GStrv) left = NULL;

    ovo_unref(arriving(fx));
    for (int i = 0; i < 2; i++) {
        g_autofree char *uuid = g_uuid_string_random();

        claimers[i] = (Claimer){fx, golden_instance(fx)};
        ovo_set_str(claimers[i].instance, "uuid", uuid);
        threads[i] = dv_thread_new("claimer", comer_and_goer_run, &claimers[i]);
        threads[2 + i] = dv_thread_new("auditor", auditor_run, fx);
    }
    for (int i = 0; i < 4; i++)
        assert_null(g_thread_join(threads[i]));
    for (int i = 0; i < 2; i++)
        ovo_unref(claimers[i].instance);
    left = tracker_instances(fx->tracker);
    assert_int_equal(g_strv_length(left), 0);
    audit_ok(fx);
    assert_int_equal(int_of(tracker_record(fx), "vcpus_used"), 0);
    assert_int_equal(int_of(tracker_record(fx), "memory_mb_used"), 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(a_claim_writes_what_nova_compute_writes),
        fixture_test(a_claim_sends_only_usage),
        fixture_test(the_callers_changes_and_check_travel_with_the_claim),
        fixture_test(an_unknown_root_is_asked_for_once),
        fixture_test(a_volume_root_takes_no_disk_here),
        fixture_test(from_2_8_on_the_instance_names_the_record),
        fixture_test(numa_and_pci_are_refused_not_ignored),
        fixture_test(a_claim_that_cannot_be_saved_takes_nothing),
        fixture_test(an_unknown_node_is_taken_without_a_claim),
        fixture_test(unclaim_gives_all_back),
        fixture_test(a_deleted_guest_leaves_the_record_as_nova_compute_does),
        fixture_test(an_untracked_instance_changes_nothing),
        fixture_test(workload_follows_the_task),
        fixture_test(failed_builds_are_counted_until_one_succeeds),
        fixture_test(a_claim_during_an_audit_is_kept),
        fixture_test(an_instance_unclaimed_during_an_audit_does_not_come_back),
        fixture_test(a_claim_outlives_an_audit_during_its_save),
        fixture_test(claims_from_many_threads_add_up),
        fixture_test(claims_and_audits_run_beside_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
