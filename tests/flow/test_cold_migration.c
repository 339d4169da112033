/* Cold migrations and resizes between two hosts: what arrives where, what is left, and who holds
 * what when a step fails. */
#include "flow/pair.h"

#include "agent/polls.h"

#include <unistd.h>

static int setup_with(void **state, const char *dest_options, bool shared)
{
    *state = pair_of(booted(NULL), dest_options, shared);
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, PEER_OPTIONS, false);
}

static int setup_window(void **state)
{
    return setup_with(state, PEER_OPTIONS "resize_confirm_window = 60\n", false);
}

static int setup_shared(void **state)
{
    return setup_with(state, PEER_OPTIONS, true);
}

static int teardown(void **state)
{
    pair_free(*state);
    return 0;
}

/* ---- as it should go ---- */

static void a_server_moves_with_its_disks(void **state)
{
    Pair *pair = *state;
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(pair->source));
    g_autofree char *states = NULL;
    g_autofree char *migrations = NULL;

    move_to(pair, &same);
    states = states_since(pair->source, before);
    assert_string_equal(states, "active/resize_prep\nactive/resize_prep\n"
                                "active/resize_migrating\nactive/resize_migrated\n"
                                "active/resize_finish\nresized/\n");
    migrations = fake_conductor_migrations(fake_agent_conductor(pair->source));
    assert_string_equal(migrations, "migrating\npost-migrating\nfinished\n");
    assert_row(pair, "host", DEST);
    assert_row(pair, "node", DEST);
    assert_row(pair, "vm_state", "resized");
    assert_runs_only(pair->dest, pair->source);
    assert_true(fake_agent_has_file(pair->dest, UUID, "disk"));
    assert_true(fake_agent_has_file(pair->dest, UUID, "disk.info"));
    assert_true(holds_mark(pair->dest, ""));
    assert_true(is_aside(pair->source));
    assert_false(fake_agent_has_disks(pair->source, UUID));
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(pair->source), "InstanceFault.create"), 0);
}

/* The destination takes the image from glance; what the disk has beside it came with it. */
static void the_disk_stands_on_the_destinations_own_base(void **state)
{
    Pair *pair = *state;
    g_autofree char *cache = g_build_filename(fake_agent_instances_path(pair->dest), "_base", NULL);
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *base = NULL;
    const DiskFacts *root;

    move_to(pair, &same);
    assert_true(disks_facts(fake_agent(pair->dest)->disks, UUID, &disks, NULL));
    root = disks->pdata[0];
    assert_non_null(root->backing_file);
    base = g_build_filename(cache, root->backing_file, NULL);
    assert_true(dv_exists(base));
    assert_int_equal(disk_gib(pair->dest), 1);
}

static void a_resize_goes_to_the_other_host(void **state)
{
    Pair *pair = *state;

    move_to(pair, &larger);
    assert_row(pair, "vm_state", "resized");
    assert_row(pair, "memory_mb", "192");
    assert_int_equal(flavor_id(pair->source), 2);
    assert_guest_says(pair->dest, "<memory unit='MiB'>192</memory>");
    assert_int_equal(disk_gib(pair->dest), 2);
}

static void a_confirmed_move_leaves_nothing_at_the_source(void **state)
{
    Pair *pair = *state;

    move_to(pair, &same);
    confirm(pair, &same);
    assert_row(pair, "vm_state", "active");
    assert_row(pair, "task_state", "");
    assert_row(pair, "host", DEST);
    assert_row(pair, "old_flavor", "");
    assert_row(pair, "migration_context", "");
    assert_int_equal(guest(pair->source), GUEST_STATE_NONE);
    assert_int_equal(guest(pair->dest), GUEST_STATE_RUNNING);
    assert_false(is_aside(pair->source));
    assert_false(fake_agent_has_disks(pair->source, UUID));
    assert_true(holds_mark(pair->dest, ""));
    assert_int_equal(migration_allocations_deleted(pair->source), 1);
    audit(pair->source);
    assert_false(tracks(pair->source));
    /* neutron forgets the source as a place of the ports */
    assert_int_equal(http_server_count(fake_agent_server(pair->source), "DELETE",
                                       FLOW_NEUTRON "/ports/" FLOW_PORT_A "/bindings/vm"),
                     1);
}

static void a_reverted_move_is_the_old_server(void **state)
{
    Pair *pair = *state;
    g_autofree char *host = NULL;

    move_to(pair, &larger);
    revert(pair, &larger);
    assert_row(pair, "vm_state", "active");
    assert_row(pair, "task_state", "");
    assert_row(pair, "host", "vm");
    assert_row(pair, "node", "vm");
    assert_row(pair, "memory_mb", "128");
    assert_row(pair, "migration_context", "");
    assert_runs_only(pair->source, pair->dest);
    assert_int_equal(guest(pair->dest), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(pair->dest, UUID));
    assert_true(holds_mark(pair->source, ""));
    assert_false(is_aside(pair->source));
    assert_int_equal(disk_gib(pair->source), 1);
    assert_int_equal(allocations_moved(pair->source), 1);
    assert_int_equal(fake_agent_casts(pair->dest, "finish_revert_resize", &host), 1);
    assert_string_equal(host, "vm");
    audit(pair->source);
    assert_true(tracks(pair->source));
    assert_false(tracks(pair->dest));
}

static void a_server_can_move_again_after_a_revert(void **state)
{
    Pair *pair = *state;

    move_to(pair, &same);
    revert(pair, &same);
    move_to(pair, &same);
    assert_row(pair, "vm_state", "resized");
    confirm(pair, &same);
    assert_row(pair, "host", DEST);
    assert_true(holds_mark(pair->dest, ""));
}

static void a_stopped_server_moves_and_stays_off(void **state)
{
    Pair *pair = *state;
    VirtDriver *virt = fake_agent(pair->source)->virt;

    assert_true(virt->ops->power_off(virt->self, fake_agent_ctx(pair->source), UUID, NULL));
    fake_conductor_set(fake_agent_conductor(pair->source), UUID, "vm_state", "stopped");
    move_to(pair, &same);
    assert_row(pair, "vm_state", "resized");
    assert_int_equal(guest(pair->dest), GUEST_STATE_OFF);
    revert(pair, &same);
    assert_row(pair, "vm_state", "stopped");
    assert_int_equal(guest(pair->source), GUEST_STATE_OFF);
    assert_int_equal(guest(pair->dest), GUEST_STATE_NONE);
}

static void the_destination_confirms_by_itself_with_the_source(void **state)
{
    Pair *pair = *state;
    json_t *list = NULL;
    g_autofree char *host = NULL;
    g_autoptr(GError) err = NULL;

    move_to(pair, &same);
    list = json_pack("{s:[o]}", "objects", migration_of(&same, "finished", DEST));
    fake_conductor_answer(fake_agent_conductor(pair->dest),
                          "MigrationList.get_unconfirmed_by_dest_compute",
                          fake_agent_object("MigrationList", "1.5", list));
    if (!poll_unconfirmed_resizes(fake_agent(pair->dest), fake_agent_ctx(pair->dest), &err))
        fail_msg("%s", err->message);
    settle(pair);
    assert_int_equal(fake_agent_casts(pair->dest, "confirm_resize", &host), 1);
    assert_string_equal(host, "vm");
    assert_row(pair, "vm_state", "active");
    assert_false(is_aside(pair->source));
}

static void forget_image(Pair *pair)
{
    http_server_json(fake_agent_server(pair->source), "GET", FLOW_GLANCE "*", 404, "{}");
}

/* Another host cannot make the base of such a disk. */
static void a_server_whose_image_is_gone_takes_its_whole_disk(void **state)
{
    Pair *pair = *state;
    g_autoptr(GPtrArray) disks = NULL;

    forget_image(pair);
    move_to(pair, &same);
    assert_row(pair, "vm_state", "resized");
    assert_int_equal(guest(pair->dest), GUEST_STATE_RUNNING);
    assert_true(disks_facts(fake_agent(pair->dest)->disks, UUID, &disks, NULL));
    assert_null(((const DiskFacts *)disks->pdata[0])->backing_file);
    revert(pair, &same);
    assert_row(pair, "vm_state", "active");
    assert_runs_only(pair->source, pair->dest);
}

/* As nova-compute sends it: the disk alone. */
static void a_base_without_an_image_is_fetched_from_the_source(void **state)
{
    Pair *pair = *state;
    json_t *node = json_pack("{s:s, s:s}", "host", "vm", "host_ip", "vm");
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *base = NULL;
    const char *name;

    fake_conductor_answer(fake_agent_conductor(pair->source),
                          "ComputeNode.get_first_node_by_host_for_old_compat",
                          fake_agent_object("ComputeNode", "1.19", node));
    fake_virt_hold(fake_agent_virt(pair->source), "send_files");
    begin(pair, &same);
    assert_true(fake_virt_wait_held(fake_agent_virt(pair->source), "send_files", 300000));
    fake_virt_release(fake_agent_virt(pair->source), "send_files");
    forget_image(pair); /* the source has seen it */
    settle(pair);
    assert_row(pair, "vm_state", "resized");
    assert_int_equal(guest(pair->dest), GUEST_STATE_RUNNING);
    assert_true(disks_facts(fake_agent(pair->dest)->disks, UUID, &disks, NULL));
    name = ((const DiskFacts *)disks->pdata[0])->backing_file;
    base = g_build_filename(fake_agent_instances_path(pair->dest), "_base", name, NULL);
    assert_true(dv_exists(base));
    assert_int_equal(fake_virt_calls(fake_agent_virt(pair->dest), "fetch_files"), 1);
}

/* ---- one folder for both ---- */

static void shared_disks_are_not_sent(void **state)
{
    Pair *pair = *state;

    move_to(pair, &same);
    assert_row(pair, "vm_state", "resized");
    assert_int_equal(fake_virt_calls(fake_agent_virt(pair->source), "send_files"), 0);
    assert_runs_only(pair->dest, pair->source);
    assert_true(is_aside(pair->source));
    assert_true(holds_mark(pair->dest, ""));
}

static void a_confirmed_move_leaves_shared_disks(void **state)
{
    Pair *pair = *state;

    move_to(pair, &same);
    confirm(pair, &same);
    assert_row(pair, "vm_state", "active");
    assert_false(is_aside(pair->source));
    assert_true(holds_mark(pair->dest, ""));
    assert_int_equal(guest(pair->source), GUEST_STATE_NONE);
}

static void a_reverted_move_leaves_shared_disks(void **state)
{
    Pair *pair = *state;

    move_to(pair, &same);
    revert(pair, &same);
    assert_row(pair, "vm_state", "active");
    assert_runs_only(pair->source, pair->dest);
    assert_true(holds_mark(pair->source, ""));
    assert_false(is_aside(pair->source));
}

/* ---- refused while the guest runs ---- */

static void assert_untouched(Pair *pair)
{
    assert_row(pair, "vm_state", "active");
    assert_row(pair, "task_state", "");
    assert_row(pair, "host", "vm");
    assert_runs_only(pair->source, pair->dest);
    assert_false(is_aside(pair->source));
    assert_true(holds_mark(pair->source, ""));
    assert_false(fake_agent_has_disks(pair->dest, UUID));
    assert_int_equal(allocations_moved(pair->source), 1);
}

static void a_destination_that_cannot_be_reached_is_refused(void **state)
{
    Pair *pair = *state;

    fake_virt_set_connected(fake_agent_virt(pair->dest), false);
    move_to(pair, &same);
    fake_virt_set_connected(fake_agent_virt(pair->dest), true);
    assert_untouched(pair);
    assert_fault(pair->source, "Resize error: not able to reach the destination host.");
}

static void a_destination_without_room_is_refused(void **state)
{
    Pair *pair = *state;

    fake_virt_set_room(fake_agent_virt(pair->source), DEST_URI, 1000);
    move_to(pair, &same);
    assert_untouched(pair);
    assert_fault(pair->source, "not enough disk space on the destination host.");
}

static void a_destination_that_does_not_answer_is_refused(void **state)
{
    Pair *pair = *state;

    fake_agent_lose_calls(pair->source, "check_instance_shared_storage", true, 1);
    move_to(pair, &same);
    assert_untouched(pair);
}

static void disks_do_not_shrink_on_another_host_either(void **state)
{
    Pair *pair = *state;
    const NewFlavor smaller = {2, 192, 0, 0, 0};

    move_to(pair, &smaller);
    assert_untouched(pair);
    assert_fault(pair->source, "Unable to resize disk down.");
}

/* As nova-compute has it of a port whose bandwidth is guaranteed. */
static void promise_bandwidth(Pair *pair)
{
    json_t *row = fake_agent_instance(pair->source, UUID);
    g_autoptr(Ovo) instance = ovo_take(row, "Instance", NULL);
    json_t *data = json_object_get(
        json_object_get(json_object_get(row, "nova_object.data"), "info_cache"),
        "nova_object.data");
    json_t *vifs = json_loads(json_string_value(json_object_get(data, "network_info")), 0, NULL);
    char *text;

    json_object_set_new(json_array_get(vifs, 0), "profile", json_pack("{s:s}", "allocation", "rp"));
    text = json_dumps(vifs, 0);
    json_object_set_new(data, "network_info", json_string(text));
    fake_conductor_put(fake_agent_conductor(pair->source), instance);
    free(text);
    json_decref(vifs);
}

static void a_port_with_a_resource_request_is_refused(void **state)
{
    Pair *pair = *state;

    promise_bandwidth(pair);
    move_to(pair, &same);
    assert_untouched(pair);
    assert_int_equal(fake_agent_casts(pair->dest, "resize_instance", NULL), 0);
}

/* ---- failures ---- */

/* Stops when the source's guest is off, before anything is sent. */
static void begin_until_off(Pair *pair)
{
    fake_virt_hold(fake_agent_virt(pair->source), "power_off");
    begin(pair, &same);
    assert_true(fake_virt_wait_held(fake_agent_virt(pair->source), "power_off", 300000));
}

static void go_on(Pair *pair)
{
    fake_virt_release(fake_agent_virt(pair->source), "power_off");
    settle(pair);
}

static void assert_error(Pair *pair, const char *host)
{
    g_autofree char *migrations = fake_conductor_migrations(fake_agent_conductor(pair->source));

    assert_row(pair, "vm_state", "error");
    assert_row(pair, "task_state", "");
    assert_row(pair, "host", host);
    assert_true(g_str_has_suffix(migrations, "error\n"));
    assert_true(fake_conductor_count(fake_agent_conductor(pair->source), "InstanceFault.create") >=
                1);
}

static void disks_that_cannot_be_sent_come_back(void **state)
{
    Pair *pair = *state;

    begin_until_off(pair);
    fake_virt_fail(fake_agent_virt(pair->source), "send_files", DV_E_NO_SPACE, 1);
    go_on(pair);
    assert_error(pair, "vm");
    assert_false(is_aside(pair->source));
    assert_true(holds_mark(pair->source, ""));
    assert_true(fake_agent_has_file(pair->source, UUID, "disk"));
    assert_false(fake_agent_has_disks(pair->dest, UUID));
    assert_int_equal(guest(pair->dest), GUEST_STATE_NONE);
    assert_int_equal(allocations_moved(pair->source), 1);
    assert_int_equal(migration_allocations_deleted(pair->source), 0);
}

static void a_hard_reboot_mends_it(FakeAgent *at)
{
    fake_conductor_set(fake_agent_conductor(at), UUID, "task_state", "rebooting_hard");
    send_and_wait(at, "reboot_instance",
                  json_pack("{s:o, s:n, s:s}", "instance", fake_agent_instance(at, UUID),
                            "block_device_info", "reboot_type", "HARD"));
    fake_agent_assert_row(at, "vm_state", "active");
    assert_int_equal(guest(at), GUEST_STATE_RUNNING);
}

static void what_came_back_can_be_started(void **state)
{
    Pair *pair = *state;

    begin_until_off(pair);
    fake_virt_fail(fake_agent_virt(pair->source), "send_files", DV_E_UNAVAILABLE, 1);
    go_on(pair);
    assert_error(pair, "vm");
    a_hard_reboot_mends_it(pair->source);
}

static void a_hand_over_that_is_not_saved_leaves_the_server_here(void **state)
{
    Pair *pair = *state;

    begin_until_off(pair);
    fake_conductor_fail(fake_agent_conductor(pair->source), "Instance.save", "timeout");
    go_on(pair);
    assert_error(pair, "vm");
    assert_row(pair, "node", "vm");
    assert_false(is_aside(pair->source));
    assert_true(holds_mark(pair->source, ""));
    assert_false(fake_agent_has_disks(pair->dest, UUID));
    assert_int_equal(allocations_moved(pair->source), 1);
    assert_int_equal(fake_agent_casts(pair->source, "finish_resize", NULL), 0);
}

/* The message may have been received all the same: the server is the destination's. */
static void a_lost_message_leaves_the_server_there(void **state)
{
    Pair *pair = *state;

    fake_agent_fail_cast(pair->source, "finish_resize");
    move_to(pair, &same);
    assert_error(pair, DEST);
    assert_true(is_aside(pair->source));
    assert_true(holds_mark(pair->dest, ""));
    assert_int_equal(migration_allocations_deleted(pair->source), 1);
    assert_int_equal(allocations_moved(pair->source), 0);
}

static void a_guest_that_does_not_start_there_keeps_its_disks(void **state)
{
    Pair *pair = *state;

    fake_virt_fail(fake_agent_virt(pair->dest), "start", DV_E_HYPERVISOR, 1);
    move_to(pair, &larger);
    assert_error(pair, DEST);
    assert_int_equal(flavor_id(pair->source), 1);
    assert_true(is_aside(pair->source));
    assert_true(holds_mark(pair->source, "_resize"));
    assert_true(holds_mark(pair->dest, ""));
    assert_int_equal(migration_allocations_deleted(pair->source), 1);
    a_hard_reboot_mends_it(pair->dest);
    assert_true(guest(pair->source) != GUEST_STATE_RUNNING);
}

static void a_disk_that_did_not_arrive_is_an_error(void **state)
{
    Pair *pair = *state;
    g_autofree char *path = instance_path(pair->dest, "", "disk");

    fake_virt_hold(fake_agent_virt(pair->dest), "plug");
    begin_until_off(pair);
    fake_virt_release(fake_agent_virt(pair->dest), "plug");
    fake_conductor_set(fake_agent_conductor(pair->source), UUID, "task_state", "resize_migrating");
    fake_agent_request(pair->dest, "finish_resize",
                       json_pack("{s:o, s:o, s:s, s:{}, s:n}", "instance",
                                 fake_agent_instance(pair->source, UUID), "migration",
                                 migration_of(&same, "post-migrating", DEST), "disk_info", "[]",
                                 "image", "request_spec"));
    fake_agent_wait(pair->dest, UUID);
    assert_false(dv_exists(path));
    assert_row(pair, "vm_state", "error");
    fake_virt_release(fake_agent_virt(pair->source), "power_off");
    settle(pair);
}

static void a_delete_ends_the_copy(void **state)
{
    Pair *pair = *state;

    begin_until_off(pair);
    fake_virt_hold(fake_agent_virt(pair->source), "send_files");
    fake_virt_release(fake_agent_virt(pair->source), "power_off");
    assert_true(fake_virt_wait_held(fake_agent_virt(pair->source), "send_files", 300000));
    fake_agent_terminate(pair->source, UUID);
    fake_virt_release(fake_agent_virt(pair->source), "send_files");
    settle(pair);
    assert_null(fake_conductor_field(fake_agent_conductor(pair->source), UUID, "host"));
    assert_false(fake_agent_has_disks(pair->source, UUID));
    assert_false(fake_agent_has_disks(pair->dest, UUID));
    assert_false(is_aside(pair->source));
    assert_int_equal(guest(pair->source), GUEST_STATE_NONE);
    assert_int_equal(fake_agent_casts(pair->source, "finish_resize", NULL), 0);
}

/* Nobody says that the disks are not the source's as well. */
static void in_doubt_a_revert_removes_no_disks(void **state)
{
    Pair *pair = *state;

    move_to(pair, &same);
    fake_agent_lose_calls(pair->dest, "check_instance_shared_storage", true, 1);
    revert(pair, &same);
    assert_row(pair, "vm_state", "active");
    assert_row(pair, "host", "vm");
    assert_runs_only(pair->source, pair->dest);
    assert_true(holds_mark(pair->dest, ""));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define S(name) cmocka_unit_test_setup_teardown(name, setup_shared, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_server_moves_with_its_disks),
        T(the_disk_stands_on_the_destinations_own_base),
        T(a_resize_goes_to_the_other_host),
        T(a_confirmed_move_leaves_nothing_at_the_source),
        T(a_reverted_move_is_the_old_server),
        T(a_server_can_move_again_after_a_revert),
        T(a_stopped_server_moves_and_stays_off),
        cmocka_unit_test_setup_teardown(the_destination_confirms_by_itself_with_the_source,
                                        setup_window, teardown),
        T(a_server_whose_image_is_gone_takes_its_whole_disk),
        T(a_base_without_an_image_is_fetched_from_the_source),
        S(shared_disks_are_not_sent),
        S(a_confirmed_move_leaves_shared_disks),
        S(a_reverted_move_leaves_shared_disks),
        T(a_destination_that_cannot_be_reached_is_refused),
        T(a_destination_without_room_is_refused),
        T(a_destination_that_does_not_answer_is_refused),
        T(disks_do_not_shrink_on_another_host_either),
        T(a_port_with_a_resource_request_is_refused),
        T(disks_that_cannot_be_sent_come_back),
        T(what_came_back_can_be_started),
        T(a_hand_over_that_is_not_saved_leaves_the_server_here),
        T(a_lost_message_leaves_the_server_there),
        T(a_guest_that_does_not_start_there_keeps_its_disks),
        T(a_disk_that_did_not_arrive_is_an_error),
        T(a_delete_ends_the_copy),
        T(in_doubt_a_revert_removes_no_disks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
