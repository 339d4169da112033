/* Resizes on one host: prepare, leave, finish, and then confirm or revert; the casts between the
 * two sides come back to the agent as over the broker. What is refused while the guest runs, and
 * what is left when a step fails. */
#include "flow/resize.h"

#include "agent/polls.h"

static int setup_with(void **state, const char *options)
{
    FakeAgent *fake = booted(options);

    script_allocations(fake_agent_server(fake));
    *state = fake;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL);
}

static int setup_telling(void **state)
{
    int result = setup_with(state, "[oslo_messaging_notifications]\ndriver = messagingv2\n");

    g_ptr_array_unref(fake_agent_notifications(*state));
    return result;
}

static int setup_window(void **state)
{
    return setup_with(state, "resize_confirm_window = 60\n");
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static void resize_to(FakeAgent *fake, const NewFlavor *flavor)
{
    send_and_wait(fake, "prep_resize", prep_args(fake, flavor, "vm"));
}

static void confirm(FakeAgent *fake)
{
    end_with(fake, "confirm_resize", "confirming");
}

static void revert(FakeAgent *fake)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "resize_reverting");
    end_with(fake, "revert_resize", "reverting");
}

/* ---- as it should go ---- */

static void a_resize_goes_through_novas_states(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(fake));
    g_autofree char *states = NULL;
    g_autofree char *migrations = NULL;

    resize_to(fake, &larger);
    states = states_since(fake, before);
    /* the flavor and the claim are saved before the guest is touched */
    assert_string_equal(states, "active/resize_prep\nactive/resize_prep\n"
                                "active/resize_migrating\nactive/resize_migrated\n"
                                "active/resize_finish\nresized/\n");
    migrations = fake_conductor_migrations(fake_agent_conductor(fake));
    assert_string_equal(migrations, "migrating\npost-migrating\nfinished\n");
    /* the source's side takes the ports away, the destination's puts them back */
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "plug"), 2);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 0);
}

static void a_resized_server_has_the_new_flavor(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *host = NULL;

    assert_int_equal(disk_gib(fake), 1);
    resize_to(fake, &larger);
    fake_agent_assert_row(fake, "vm_state", "resized");
    assert_int_equal(flavor_id(fake), 2);
    fake_agent_assert_row(fake, "memory_mb", "192");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_guest_says(fake, "<memory unit='MiB'>192</memory>");
    assert_int_equal(disk_gib(fake), 2);
    assert_true(is_aside(fake));
    assert_true(fake_agent_has_file(fake, UUID, "disk.info"));
    assert_int_equal(fake_agent_casts(fake, "resize_instance", &host), 1);
    assert_string_equal(host, "vm");
    assert_int_equal(fake_agent_casts(fake, "finish_resize", NULL), 1);
    assert_int_equal(allocations_moved(fake), 0);
}

static void room_is_held_for_both_flavors(void **state)
{
    FakeAgent *fake = *state;
    int64_t before = node_figure(fake, "memory_mb_used");

    resize_to(fake, &larger);
    assert_int_equal(node_figure(fake, "memory_mb_used"), before + 192);
    confirm(fake);
    assert_int_equal(node_figure(fake, "memory_mb_used"), before + 64);
}

static void a_confirmed_resize_leaves_nothing_of_the_old(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    confirm(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "old_flavor", "");
    fake_agent_assert_row(fake, "new_flavor", "");
    fake_agent_assert_row(fake, "migration_context", "");
    assert_int_equal(flavor_id(fake), 2);
    assert_false(is_aside(fake));
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_int_equal(migration_allocations_deleted(fake), 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "destroy"), 0);
}

static void confirming_twice_is_no_harm(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    confirm(fake);
    end_with(fake, "confirm_resize", "confirmed");
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(migration_allocations_deleted(fake), 1);
}

static void a_server_found_off_is_confirmed_as_stopped(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(Ovo) row = NULL;
    json_t *primitive;

    resize_to(fake, &larger);
    primitive = fake_agent_instance(fake, UUID);
    row = ovo_take(primitive, "Instance", NULL);
    ovo_set_i64(row, "power_state", GUEST_STATE_OFF);
    fake_conductor_put(fake_agent_conductor(fake), row);
    confirm(fake);
    fake_agent_assert_row(fake, "vm_state", "stopped");
}

static void a_reverted_resize_is_the_old_server(void **state)
{
    FakeAgent *fake = *state;
    int64_t used = node_figure(fake, "memory_mb_used");
    g_autofree char *migrations = NULL;
    g_autofree char *path = instance_path(fake, "", "disk");
    g_autofree char *content = NULL;

    resize_to(fake, &larger);
    write_marker(fake, "");
    revert(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"),
                     3 /* source, revert, new start */);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(flavor_id(fake), 1);
    fake_agent_assert_row(fake, "memory_mb", "128");
    fake_agent_assert_row(fake, "old_flavor", "");
    fake_agent_assert_row(fake, "migration_context", "");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_guest_says(fake, "<memory unit='MiB'>128</memory>");
    assert_false(is_aside(fake));
    assert_int_equal(disk_gib(fake), 1);
    assert_int_equal(allocations_moved(fake), 1);
    assert_int_equal(node_figure(fake, "memory_mb_used"), used);
    assert_int_equal(fake_agent_casts(fake, "finish_revert_resize", NULL), 1);
    migrations = fake_conductor_migrations(fake_agent_conductor(fake));
    assert_non_null(strstr(migrations, "reverted"));
}

static void a_resize_can_follow_a_revert(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    revert(fake);
    resize_to(fake, &larger);
    fake_agent_assert_row(fake, "vm_state", "resized");
    confirm(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(flavor_id(fake), 2);
}

static void stop_first(FakeAgent *fake)
{
    VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->power_off(virt->self, fake_agent_ctx(fake), UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
}

static void a_stopped_server_stays_off(void **state)
{
    FakeAgent *fake = *state;

    stop_first(fake);
    resize_to(fake, &larger);
    fake_agent_assert_row(fake, "vm_state", "resized");
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
    assert_guest_says(fake, "<memory unit='MiB'>192</memory>");
}

static void a_stopped_server_is_stopped_after_a_revert(void **state)
{
    FakeAgent *fake = *state;

    stop_first(fake);
    resize_to(fake, &larger);
    revert(fake);
    fake_agent_assert_row(fake, "vm_state", "stopped");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
    assert_guest_says(fake, "<memory unit='MiB'>128</memory>");
}

static void a_flavor_with_swap_brings_the_disk(void **state)
{
    FakeAgent *fake = *state;
    const NewFlavor with_swap = {2, 128, 1, 0, 64};

    resize_to(fake, &with_swap);
    fake_agent_assert_row(fake, "vm_state", "resized");
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "BlockDeviceMapping.create"),
                     1);
}

/* ---- refused while the guest runs ---- */

static void assert_untouched(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(flavor_id(fake), 1);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_false(is_aside(fake));
    assert_int_equal(allocations_moved(fake), 1);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 1);
}

static void a_root_disk_does_not_shrink(void **state)
{
    FakeAgent *fake = *state;
    const NewFlavor smaller = {2, 192, 0, 0, 0};

    resize_to(fake, &smaller);
    assert_untouched(fake);
    assert_fault(fake, "Unable to resize disk down.");
}

static void an_ephemeral_disk_does_not_shrink(void **state)
{
    FakeAgent *fake = *state;
    json_t *bdm = fake_agent_object("BlockDeviceMapping", "1.20",
                                    json_pack("{s:i, s:s, s:s, s:s, s:i, s:s, s:n}", "id", 9,
                                              "source_type", "blank", "destination_type", "local",
                                              "device_name", "/dev/vdb", "volume_size", 3,
                                              "disk_bus", "virtio", "guest_format"));

    fake_conductor_answer(
        fake_agent_conductor(fake), "BlockDeviceMappingList.get_by_instance_uuid",
        fake_agent_object("BlockDeviceMappingList", "1.18", json_pack("{s:[o]}", "objects", bdm)));
    resize_to(fake, &larger);
    assert_untouched(fake);
    assert_fault(fake, "Unable to resize disk down.");
}

static void a_migration_to_the_same_host_is_refused(void **state)
{
    FakeAgent *fake = *state;
    const NewFlavor same = {1, 128, 1, 0, 0};

    resize_to(fake, &same);
    assert_untouched(fake);
    assert_fault(fake, "to current host (vm).");
}

static void a_flavor_that_this_host_cannot_give_is_refused(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = prep_args(fake, &larger, "vm");
    json_t *flavor = json_object_get(json_object_get(args, "flavor"), "nova_object.data");

    json_object_set_new(flavor, "extra_specs", json_pack("{s:s}", "hw:cpu_policy", "dedicated"));
    send_and_wait(fake, "prep_resize", args);
    assert_untouched(fake);
}

static void conductor_may_look_for_another_host(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = prep_args(fake, &larger, "vm");
    json_t *flavor = json_object_get(json_object_get(args, "flavor"), "nova_object.data");

    json_object_set_new(flavor, "extra_specs", json_pack("{s:s}", "hw:cpu_policy", "dedicated"));
    json_object_set_new(args, "filter_properties",
                        json_pack("{s:{s:i, s:[]}}", "retry", "num_attempts", 1, "hosts"));
    send_and_wait(fake, "prep_resize", args);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "resize_prep");
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "migrate_server"), 1);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 1);
    assert_int_equal(allocations_moved(fake), 1);
}

/* ---- failures ---- */

static void assert_error(FakeAgent *fake, int64_t flavor)
{
    g_autofree char *migrations = fake_conductor_migrations(fake_agent_conductor(fake));

    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(flavor_id(fake), flavor);
    assert_true(g_str_has_suffix(migrations, "error\n"));
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_true(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create") >= 1);
}

static void a_cast_that_cannot_be_sent_gives_the_claim_back(void **state)
{
    FakeAgent *fake = *state;
    int64_t used = node_figure(fake, "memory_mb_used");

    fake_agent_fail_cast(fake, "resize_instance");
    resize_to(fake, &larger);
    assert_error(fake, 1);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_int_equal(node_figure(fake, "memory_mb_used"), used);
    assert_int_equal(allocations_moved(fake), 1);
    fake_agent_assert_row(fake, "migration_context", "");
}

static void a_guest_that_does_not_power_off_keeps_running(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "power_off", DV_E_POWER_OFF, 1);
    resize_to(fake, &larger);
    assert_error(fake, 1);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_false(is_aside(fake));
    assert_int_equal(allocations_moved(fake), 1);
}

static void disks_come_back_when_the_hand_over_fails(void **state)
{
    FakeAgent *fake = *state;

    fake_agent_fail_cast(fake, "finish_resize");
    resize_to(fake, &larger);
    assert_error(fake, 1);
    assert_false(is_aside(fake));
    assert_int_equal(disk_gib(fake), 1);
    assert_int_equal(allocations_moved(fake), 1);
}

static void a_guest_that_does_not_start_leaves_its_disks_here(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    resize_to(fake, &larger);
    assert_error(fake, 1);
    assert_int_equal(migration_allocations_deleted(fake), 1);
    assert_int_equal(allocations_moved(fake), 0);
}

static void ports_that_cannot_be_bound_end_the_resize(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_hold(fake_agent_virt(fake), "power_off"); /* after the source has read them */
    fake_agent_request(fake, "prep_resize", prep_args(fake, &larger, "vm"));
    assert_true(fake_virt_wait_held(fake_agent_virt(fake), "power_off", 300000));
    http_server_json(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?tenant_id=*", 500, "{}");
    fake_virt_release(fake_agent_virt(fake), "power_off");
    fake_agent_wait(fake, UUID);
    assert_error(fake, 1);
}

static void a_revert_that_cannot_destroy_the_guest_can_be_seen(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    fake_virt_fail(fake_agent_virt(fake), "retire", DV_E_POWER_OFF, 1);
    revert(fake);
    assert_error(fake, 2);
    assert_true(is_aside(fake));
}

static void a_revert_that_cannot_start_the_guest_has_the_old_disks(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    revert(fake);
    assert_error(fake, 1);
    assert_false(is_aside(fake));
    assert_int_equal(disk_gib(fake), 1);
    assert_int_equal(allocations_moved(fake), 1);
    fake_agent_assert_row(fake, "old_flavor", "");
}

static void allocations_that_change_meanwhile_fail_the_revert(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    http_server_json(fake_agent_server(fake), "POST", ALLOCATIONS "*", 409,
                     "{\"errors\":[{\"code\":\"placement.concurrent_update\",\"detail\":"
                     "\"consumer generation conflict\"}]}");
    revert(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    assert_fault(fake, "Failed to move allocations");
}

static void a_confirm_without_placement_leaves_an_error(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    http_server_json(fake_agent_server(fake), "DELETE", ALLOCATIONS "/" MIGRATION, 500, "{}");
    confirm(fake);
    assert_error(fake, 2);
}

static void a_confirm_of_a_deleted_server_does_nothing(void **state)
{
    FakeAgent *fake = *state;
    json_t *args;

    resize_to(fake, &larger);
    args = json_pack("{s:o, s:o}", "instance", fake_agent_instance(fake, UUID), "migration",
                     make_migration("confirming", "vm", "vm"));
    fake_conductor_remove(fake_agent_conductor(fake), UUID);
    send_and_wait(fake, "confirm_resize", args);
    assert_int_equal(migration_allocations_deleted(fake), 0);
    assert_true(is_aside(fake));
}

/* ---- the periodic confirmation ---- */

static void answer_unconfirmed(FakeAgent *fake)
{
    json_t *list = json_pack("{s:[o]}", "objects", make_migration("finished", "vm", "vm"));

    fake_conductor_answer(fake_agent_conductor(fake),
                          "MigrationList.get_unconfirmed_by_dest_compute",
                          fake_agent_object("MigrationList", "1.5", list));
}

static void poll(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!poll_unconfirmed_resizes(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    fake_agent_wait(fake, UUID);
}

static void a_resize_is_confirmed_by_itself(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    answer_unconfirmed(fake);
    poll(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_false(is_aside(fake));
    assert_int_equal(fake_agent_casts(fake, "confirm_resize", NULL), 1);
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(fake), "InstanceAction.action_start"), 1);
}

static void a_resize_in_error_is_not_confirmed(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *migrations = NULL;

    resize_to(fake, &larger);
    answer_unconfirmed(fake);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "error");
    poll(fake);
    assert_int_equal(fake_agent_casts(fake, "confirm_resize", NULL), 0);
    migrations = fake_conductor_migrations(fake_agent_conductor(fake));
    assert_true(g_str_has_suffix(migrations, "error\n"));
}

static void a_resize_being_deleted_is_left_alone(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *migrations = NULL;

    resize_to(fake, &larger);
    answer_unconfirmed(fake);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    poll(fake);
    assert_int_equal(fake_agent_casts(fake, "confirm_resize", NULL), 0);
    migrations = fake_conductor_migrations(fake_agent_conductor(fake));
    assert_true(g_str_has_suffix(migrations, "finished\n"));
}

static void without_a_window_nobody_asks(void **state)
{
    FakeAgent *fake = *state;

    poll(fake);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake),
                                          "MigrationList.get_unconfirmed_by_dest_compute"),
                     0);
}

/* ---- what is told ---- */

#define TOLD(event, phase) "compute.instance." event "." phase "/INFO\n"
#define TOLD_RESIZE                                                                          \
    "compute.instance.exists/INFO\n" TOLD("resize.prep", "start") TOLD("resize.prep", "end") \
        TOLD("resize", "start") TOLD("resize", "end") TOLD("finish_resize", "start")         \
            TOLD("finish_resize", "end")

static void a_confirmed_resize_tells_of_each_part(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    fake_agent_assert_events(fake, TOLD_RESIZE);
    confirm(fake);
    fake_agent_assert_events(fake, TOLD("resize.confirm", "start") TOLD("resize.confirm", "end"));
}

static void a_reverted_resize_tells_of_its_way_back(void **state)
{
    FakeAgent *fake = *state;

    resize_to(fake, &larger);
    g_ptr_array_unref(fake_agent_notifications(fake));
    revert(fake);
    fake_agent_assert_events(fake, "compute.instance.exists/INFO\n" TOLD("resize.revert", "start")
                                       TOLD("resize.revert", "end"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define N(name) cmocka_unit_test_setup_teardown(name, setup_telling, teardown)
#define W(name) cmocka_unit_test_setup_teardown(name, setup_window, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_resize_goes_through_novas_states),
        T(a_resized_server_has_the_new_flavor),
        T(room_is_held_for_both_flavors),
        T(a_confirmed_resize_leaves_nothing_of_the_old),
        T(confirming_twice_is_no_harm),
        T(a_server_found_off_is_confirmed_as_stopped),
        T(a_reverted_resize_is_the_old_server),
        T(a_resize_can_follow_a_revert),
        T(a_stopped_server_stays_off),
        T(a_stopped_server_is_stopped_after_a_revert),
        T(a_flavor_with_swap_brings_the_disk),
        T(a_root_disk_does_not_shrink),
        T(an_ephemeral_disk_does_not_shrink),
        T(a_migration_to_the_same_host_is_refused),
        T(a_flavor_that_this_host_cannot_give_is_refused),
        T(conductor_may_look_for_another_host),
        T(a_cast_that_cannot_be_sent_gives_the_claim_back),
        T(a_guest_that_does_not_power_off_keeps_running),
        T(disks_come_back_when_the_hand_over_fails),
        T(a_guest_that_does_not_start_leaves_its_disks_here),
        T(ports_that_cannot_be_bound_end_the_resize),
        T(a_revert_that_cannot_destroy_the_guest_can_be_seen),
        T(a_revert_that_cannot_start_the_guest_has_the_old_disks),
        T(allocations_that_change_meanwhile_fail_the_revert),
        T(a_confirm_without_placement_leaves_an_error),
        T(a_confirm_of_a_deleted_server_does_nothing),
        W(a_resize_is_confirmed_by_itself),
        W(a_resize_in_error_is_not_confirmed),
        W(a_resize_being_deleted_is_left_alone),
        T(without_a_window_nobody_asks),
        N(a_confirmed_resize_tells_of_each_part),
        N(a_reverted_resize_tells_of_its_way_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
