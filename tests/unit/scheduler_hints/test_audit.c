/* The audit against what a real nova-compute reported on the same host, and its troubles. */
#include "fixture.h"

#define NODE_UUID "99277029-31f8-4475-a67f-8835f13afc70"
#define GUEST_UUID "c7f5f0b8-5de2-4bd4-8324-cafa60cf2933"
#define OTHER_UUID "11111111-2222-4333-8444-555555555555"

/* ---- equal to nova-compute ---- */

static void an_empty_host_is_recorded_as_nova_compute_does(void **state)
{
    Fixture *fx = *state;
    json_t *want = fixture_scene(fx, "startup_empty");
    json_t *had = json_deep_copy(listed_node(json_object_get(fx->golden, "startup_empty")));

    audit_ok(fx);
    assert_record(had, fake_last(&fx->conductor, "ComputeNode.save"), want);
    json_decref(had);
}

static void a_host_with_a_guest_is_recorded_as_nova_compute_does(void **state)
{
    Fixture *fx = *state;
    json_t *want = fixture_scene(fx, "startup_with_instance");
    json_t *had = json_deep_copy(listed_node(json_object_get(fx->golden, "startup_with_instance")));

    audit_ok(fx);
    assert_record(had, fake_last(&fx->conductor, "ComputeNode.save"), want);
    json_decref(had);
}

static const PlacementInventory *class_of(const GArray *inventories, const char *name)
{
    for (guint i = 0; i < inventories->len; i++)
        if (g_str_equal(g_array_index(inventories, PlacementInventory, i).resource_class, name))
            return &g_array_index(inventories, PlacementInventory, i);
    return NULL;
}

static void a_new_provider_offers_what_nova_compute_offers(void **state)
{
    Fixture *fx = *state;
    json_t *placement = json_object_get(fx->golden, "placement");
    json_t *want_traits = json_object_get(placement, "traits");
    json_t *want, *name;
    const char *class;
    size_t i;

    fixture_scene(fx, "startup_with_instance");
    audit_ok(fx);
    assert_string_equal(fx->placement.provider->uuid, NODE_UUID);
    assert_string_equal(fx->placement.provider->name, "vm");
    json_object_foreach(json_object_get(placement, "inventories"), class, want)
    {
        const PlacementInventory *is = class_of(fx->placement.provider->inventories, class);

        assert_non_null(is);
        assert_int_equal(is->total, int_of(want, "total"));
        assert_int_equal(is->reserved, int_of(want, "reserved"));
        assert_int_equal(is->min_unit, int_of(want, "min_unit"));
        assert_int_equal(is->max_unit, int_of(want, "max_unit"));
        assert_int_equal(is->step_size, int_of(want, "step_size"));
        assert_true(is->allocation_ratio ==
                    json_number_value(json_object_get(want, "allocation_ratio")));
    }
    assert_int_equal(fx->placement.provider->inventories->len, 3);
    assert_int_equal(fx->placement.provider->traits->len, json_array_size(want_traits));
    json_array_foreach(want_traits, i, name)
        assert_string_equal(fx->placement.provider->traits->pdata[i], json_string_value(name));
}

/* ---- cost ---- */

static void an_idle_audit_is_four_calls_and_one_to_placement(void **state)
{
    Fixture *fx = *state;
    unsigned gets, listings;

    fixture_scene(fx, "startup_with_instance");
    audit_ok(fx);
    /* What the database has now. */
    json_object_update(
        json_object_get(
            json_array_get(json_object_get(json_object_get(g_hash_table_lookup(
                                                               fx->conductor.answers,
                                                               "ComputeNodeList.get_all_by_host"),
                                                           "nova_object.data"),
                                           "objects"),
                           0),
            "nova_object.data"),
        tracker_record(fx));
    g_ptr_array_set_size(fx->conductor.calls, 0);
    gets = fx->placement.gets;
    listings = fx->placement.listings;
    audit_ok(fx);
    assert_int_equal(fx->conductor.calls->len, 4);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 0);
    assert_int_equal(fx->placement.gets, gets);
    assert_int_equal(fx->placement.listings, listings + 1);
    assert_int_equal(fx->placement.inventory_puts, 1);
    assert_int_equal(fx->placement.trait_puts, 1);
}

static void the_provider_is_read_again_when_its_time_has_come(void **state)
{
    Fixture *fx = *state;
    unsigned gets;

    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    gets = fx->placement.gets;
    fx->clock.now_ms += 299 * 1000;
    audit_ok(fx);
    assert_int_equal(fx->placement.gets, gets);
    fx->clock.now_ms += 1000;
    audit_ok(fx);
    assert_int_equal(fx->placement.gets, gets + 1);
}

static void volume_roots_are_asked_once_and_not_counted_as_disk(void **state)
{
    Fixture *fx = *state;
    json_t *list, *bdm;

    fixture_scene(fx, "startup_with_instance");
    list = g_hash_table_lookup(fx->conductor.answers,
                               "BlockDeviceMappingList.get_by_instance_uuids");
    bdm = json_array_get(json_object_get(json_object_get(list, "nova_object.data"), "objects"), 0);
    json_object_set_new(json_object_get(bdm, "nova_object.data"), "destination_type",
                        json_string("volume"));
    audit_ok(fx);
    audit_ok(fx);
    assert_int_equal(fake_count(&fx->conductor, "BlockDeviceMappingList.get_by_instance_uuids"), 1);
    assert_int_equal(int_of(tracker_record(fx), "local_gb_used"), 0);
    assert_int_equal(int_of(tracker_record(fx), "memory_mb_used"), 704);
}

/* ---- identity ---- */

static void identity_is_known_and_kept_in_the_state_folder(void **state)
{
    Fixture *fx = *state;
    g_autofree char *path = g_build_filename(fx->state_path, "compute_id", NULL);
    g_autofree char *uuid = NULL, *node = NULL, *kept = NULL;
    int64_t id = 0;

    fixture_scene(fx, "startup_empty");
    assert_null(tracker_node(fixture_tracker(fx)));
    assert_false(tracker_node_identity(fx->tracker, &uuid, &id));
    audit_ok(fx);
    node = tracker_node(fx->tracker);
    assert_string_equal(node, "vm");
    assert_true(tracker_node_identity(fx->tracker, &uuid, &id));
    assert_string_equal(uuid, NODE_UUID);
    assert_int_equal(id, 1);
    assert_true(dv_read_file(path, 100, &kept, NULL, NULL));
    assert_string_equal(kept, NODE_UUID "\n");
}

static void from_2023_1_on_another_identity_ends_the_start(void **state)
{
    Fixture *fx = *state;
    g_autofree char *path = g_build_filename(fx->state_path, "compute_id", NULL);
    g_autoptr(GError) err = NULL;

    assert_true(dv_write_file(path, OTHER_UUID, strlen(OTHER_UUID), 0644, NULL));
    conductor_set_release(fx->con, NOVA_2023_1);
    fixture_scene(fx, "startup_empty");
    assert_false(tracker_audit(fixture_tracker(fx), fx->ctx, true, &err));
    assert_int_equal(err->code, DV_E_BAD_CONFIG);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 0);
    assert_null(fx->placement.provider);
}

static json_t *created(void)
{
    return json_pack("{sissss}", "id", 7, "uuid", OTHER_UUID, "created_at", "2026-11-22T06:19:14Z");
}

static void a_missing_record_is_made_with_initial_ratios(void **state)
{
    Fixture *fx = *state;
    json_t *data;

    fixture_scene(fx, "startup_empty");
    fixture_fail(fx, "ComputeNodeList.get_all_by_host", "ComputeHostNotFound");
    fixture_answer(fx, "ComputeNode.create", created());
    audit_ok(fx);
    data = json_object_get(
        json_object_get(fake_last(&fx->conductor, "ComputeNode.create"), "objinst"),
        "nova_object.data");
    assert_string_equal(text_of(data, "host"), "vm");
    assert_string_equal(text_of(data, "hypervisor_hostname"), "vm");
    assert_null(json_object_get(data, "uuid")); /* Zed: conductor's choice */
    assert_true(json_real_value(json_object_get(data, "cpu_allocation_ratio")) == 16.0);
    assert_true(json_real_value(json_object_get(data, "ram_allocation_ratio")) == 1.5);
    assert_int_equal(int_of(data, "free_ram_mb"), 8666);
    assert_string_equal(fx->placement.provider->uuid, OTHER_UUID);
    /* It has just been made: nothing to save, no allocation can be stale. */
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 0);
    assert_int_equal(fx->placement.listings, 0);
}

static void a_renamed_hypervisor_takes_its_old_record_with_it(void **state)
{
    Fixture *fx = *state;

    fixture_scene(fx, "startup_with_instance");
    fx->facts.hypervisor_hostname = (char *)"vm.example.org";
    fixture_answer(fx, "ComputeNode.create", created());
    audit_ok(fx);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.destroy"), 1);
    assert_int_equal(fx->placement.deleted_providers->len, 1);
    assert_string_equal(fx->placement.deleted_providers->pdata[0], NODE_UUID);
    assert_int_equal(fx->placement.deleted->len, 1);
    assert_string_equal(fx->placement.deleted->pdata[0], GUEST_UUID);
}

static void later_releases_leave_the_old_record(void **state)
{
    Fixture *fx = *state;

    conductor_set_release(fx->con, NOVA_2024_1);
    fixture_scene(fx, "startup_with_instance");
    fx->facts.hypervisor_hostname = (char *)"vm.example.org";
    fixture_answer(fx, "ComputeNode.create", created());
    audit_ok(fx);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.destroy"), 0);
    assert_int_equal(fx->placement.deleted_providers->len, 0);
}

/* ---- stale allocations ---- */

static json_t *gone_instance(Fixture *fx, bool deleted, const char *host)
{
    json_t *prim = json_deep_copy(json_object_get(json_object_get(fx->golden, "boot"), "instance"));
    json_t *data = json_object_get(prim, "nova_object.data");

    json_object_set_new(data, "uuid", json_string(OTHER_UUID));
    json_object_set_new(data, "deleted", json_boolean(deleted));
    json_object_set_new(data, "hidden", json_false());
    json_object_set_new(data, "host", host ? json_string(host) : json_null());
    return prim;
}

static void heal_case(Fixture *fx, json_t *instance, const char *exception, size_t want)
{
    fixture_restart(fx);
    g_ptr_array_set_size(fx->placement.deleted, 0);
    g_ptr_array_set_size(fx->placement.consumers, 0);
    g_ptr_array_add(fx->placement.consumers, g_strdup(GUEST_UUID));
    g_ptr_array_add(fx->placement.consumers, g_strdup(OTHER_UUID));
    fixture_scene(fx, "startup_with_instance");
    if (instance)
        fixture_answer(fx, "Instance.get_by_uuid", instance);
    fixture_fail(fx, "Instance.get_by_uuid", exception);
    audit_ok(fx);
    assert_int_equal(fx->placement.deleted->len, want);
    if (want)
        assert_string_equal(fx->placement.deleted->pdata[0], OTHER_UUID);
}

static void only_deleted_instances_lose_their_allocation(void **state)
{
    Fixture *fx = *state;
    json_t *hidden = gone_instance(fx, true, "vm");

    json_object_set_new(json_object_get(hidden, "nova_object.data"), "hidden", json_true());
    heal_case(fx, gone_instance(fx, true, "vm"), NULL, 1);
    heal_case(fx, hidden, NULL, 0);
    heal_case(fx, gone_instance(fx, false, NULL), NULL, 0);    /* not here yet */
    heal_case(fx, gone_instance(fx, false, "vm"), NULL, 0);    /* here, untracked */
    heal_case(fx, gone_instance(fx, false, "other"), NULL, 0); /* moved */
    heal_case(fx, NULL, "InstanceNotFound", 0);                /* on its way */
    heal_case(fx, NULL, "timeout", 0);
}

/* ---- failures ---- */

static void a_failed_save_is_made_up_for_by_the_next_audit(void **state)
{
    Fixture *fx = *state;
    g_autoptr(GError) err = NULL;

    fixture_scene(fx, "startup_empty");
    fixture_fail(fx, "ComputeNode.save", "timeout");
    assert_false(tracker_audit(fixture_tracker(fx), fx->ctx, false, &err));
    assert_int_equal(err->code, DV_E_TIMEOUT);
    fixture_fail(fx, "ComputeNode.save", NULL);
    g_ptr_array_set_size(fx->conductor.calls, 0);
    audit_ok(fx);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 1);
}

static void without_placement_the_record_is_still_written(void **state)
{
    Fixture *fx = *state;
    g_autoptr(GError) err = NULL;

    fixture_scene(fx, "startup_empty");
    fx->placement.fail_with = DV_E_UNAVAILABLE;
    assert_false(tracker_audit(fixture_tracker(fx), fx->ctx, false, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
    assert_int_equal(fake_count(&fx->conductor, "ComputeNode.save"), 1);
}

static void without_facts_nothing_is_touched(void **state)
{
    Fixture *fx = *state;
    g_autoptr(GError) err = NULL;

    fixture_scene(fx, "startup_empty");
    fx->facts_fail = DV_E_HYPERVISOR;
    assert_false(tracker_audit(fixture_tracker(fx), fx->ctx, false, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(fx->conductor.calls->len, 0);
}

/* ---- migrations ---- */

static json_t *migration(int id, const char *type, const char *source, const char *dest,
                         const char *updated_at)
{
    return json_pack("{ssssssso}", "nova_object.name", "Migration", "nova_object.namespace", "nova",
                     "nova_object.version", "1.7", "nova_object.data",
                     json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s?,s:i,s:s}", "id", id,
                               "uuid", OTHER_UUID, "instance_uuid", GUEST_UUID, "migration_type",
                               type, "source_compute", source, "source_node", source,
                               "dest_compute", dest, "dest_node", dest, "created_at",
                               "2026-11-22T06:00:00Z", "updated_at", updated_at,
                               "old_instance_type_id", 1, "status", "migrating"));
}

static void migrations_answer(Fixture *fx, json_t *first, json_t *second)
{
    json_t *objects = json_array();

    json_array_append_new(objects, first);
    if (second)
        json_array_append_new(objects, second);
    fixture_answer(fx, "MigrationList.get_in_progress_and_error",
                   json_pack("{sssssss{so}}", "nova_object.name", "MigrationList",
                             "nova_object.namespace", "nova", "nova_object.version", "1.5",
                             "nova_object.data", "objects", objects));
}

/* A guest of another host with flavors of 1000 (its own), 2000 (old) and 4000 MiB (new). */
static json_t *moving_instance(Fixture *fx, const char *vm_state, const char *task_state)
{
    json_t *prim = gone_instance(fx, false, "other");
    json_t *data = json_object_get(prim, "nova_object.data");
    static const char *const fields[] = {"flavor", "old_flavor", "new_flavor"};
    static const int memory[] = {1000, 2000, 4000};

    json_object_set_new(data, "uuid", json_string(GUEST_UUID));
    json_object_set_new(data, "vm_state", json_string(vm_state));
    json_object_set_new(data, "task_state", task_state ? json_string(task_state) : json_null());
    for (size_t i = 0; i < 3; i++) {
        json_t *flavor = json_deep_copy(json_object_get(data, "flavor"));

        json_object_set_new(json_object_get(flavor, "nova_object.data"), "memory_mb",
                            json_integer(memory[i]));
        json_object_set_new(data, fields[i], flavor);
    }
    return prim;
}

static int64_t memory_held(Fixture *fx, json_t *instance, json_t *first, json_t *second)
{
    fixture_restart(fx);
    fixture_scene(fx, "startup_empty");
    fixture_answer(fx, "Instance.get_by_uuid", instance);
    fixture_answer(
        fx, "BlockDeviceMappingList.get_by_instance_uuids",
        json_deep_copy(json_object_get(
            json_object_get(json_object_get(fx->golden, "startup_with_instance"), "answers"),
            "BlockDeviceMappingList.get_by_instance_uuids")));
    migrations_answer(fx, first, second);
    audit_ok(fx);
    assert_int_equal(int_of(tracker_record(fx), "running_vms"), 0);
    return int_of(tracker_record(fx), "memory_mb_used") - 512;
}

static void room_is_held_for_moves_in_both_directions(void **state)
{
    Fixture *fx = *state;

    assert_int_equal(memory_held(fx, moving_instance(fx, "active", "resize_prep"),
                                 migration(3, "resize", "other", "vm", NULL), NULL),
                     4000);
    assert_int_equal(memory_held(fx, moving_instance(fx, "resized", NULL),
                                 migration(3, "resize", "vm", "other", NULL), NULL),
                     2000);
    assert_int_equal(memory_held(fx, moving_instance(fx, "active", "migrating"),
                                 migration(3, "live-migration", "other", "vm", NULL), NULL),
                     1000);
    /* Not moving any more, whatever the record says. */
    assert_int_equal(memory_held(fx, moving_instance(fx, "active", NULL),
                                 migration(3, "resize", "other", "vm", NULL), NULL),
                     0);
}

static void the_newest_of_several_migrations_counts(void **state)
{
    Fixture *fx = *state;

    assert_int_equal(
        memory_held(fx, moving_instance(fx, "active", "migrating"),
                    migration(3, "resize", "other", "vm", "2026-11-22T06:10:00Z"),
                    migration(4, "live-migration", "other", "vm", "2026-11-22T06:20:00Z")),
        1000);
    assert_int_equal(
        memory_held(fx, moving_instance(fx, "active", "migrating"),
                    migration(4, "live-migration", "other", "vm", "2026-11-22T06:20:00Z"),
                    migration(3, "resize", "other", "vm", "2026-11-22T06:10:00Z")),
        1000);
}

static void a_migration_that_the_instance_denies_is_an_error(void **state)
{
    Fixture *fx = *state;
    json_t *instance = moving_instance(fx, "resized", NULL);
    json_t *data = json_object_get(instance, "nova_object.data");
    json_t *save;

    json_object_set_new(data, "migration_context",
                        json_pack("{sssssss{si}}", "nova_object.name", "MigrationContext",
                                  "nova_object.namespace", "nova", "nova_object.version", "1.2",
                                  "nova_object.data", "migration_id", 99));
    assert_int_equal(memory_held(fx, instance, migration(3, "resize", "vm", "other", NULL), NULL),
                     0);
    save = json_object_get(json_object_get(fake_last(&fx->conductor, "Migration.save"), "objinst"),
                           "nova_object.data");
    assert_string_equal(text_of(save, "status"), "error");
    assert_int_equal(int_of(save, "id"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(an_empty_host_is_recorded_as_nova_compute_does),
        fixture_test(a_host_with_a_guest_is_recorded_as_nova_compute_does),
        fixture_test(a_new_provider_offers_what_nova_compute_offers),
        fixture_test(an_idle_audit_is_four_calls_and_one_to_placement),
        fixture_test(the_provider_is_read_again_when_its_time_has_come),
        fixture_test(volume_roots_are_asked_once_and_not_counted_as_disk),
        fixture_test(identity_is_known_and_kept_in_the_state_folder),
        fixture_test(from_2023_1_on_another_identity_ends_the_start),
        fixture_test(a_missing_record_is_made_with_initial_ratios),
        fixture_test(a_renamed_hypervisor_takes_its_old_record_with_it),
        fixture_test(later_releases_leave_the_old_record),
        fixture_test(only_deleted_instances_lose_their_allocation),
        fixture_test(a_failed_save_is_made_up_for_by_the_next_audit),
        fixture_test(without_placement_the_record_is_still_written),
        fixture_test(without_facts_nothing_is_touched),
        fixture_test(room_is_held_for_moves_in_both_directions),
        fixture_test(the_newest_of_several_migrations_counts),
        fixture_test(a_migration_that_the_instance_denies_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
