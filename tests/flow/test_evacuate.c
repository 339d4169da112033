/* Evacuations: a server of a lost host is made here, with its own disks or from its image; and what
 * is given back when that fails. */
#include "evacuation.h"

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* ---- to here ---- */

static void a_server_is_made_from_its_image(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *states = NULL;
    g_autofree char *migrations = NULL;

    evacuate(fake, evacuate_args(fake, "active"));
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_evacuated(fake);
    states = fake_conductor_states(con);
    assert_string_equal(states, "active/rebuilding\nactive/rebuilding\n"
                                "active/rebuild_block_device_mapping\nactive/rebuild_spawning\n"
                                "active/\n");
    migrations = fake_conductor_migrations(con);
    assert_string_equal(migrations, "pre-migrating\ndone\n");
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_event(fake, "compute_rebuild_instance", false);
}

/* A server is never said to be active on the host that was lost. */
static void its_host_changes_with_its_state(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *last = NULL;

    evacuate(fake, evacuate_args(fake, "active"));
    last = fake_conductor_last(fake_agent_conductor(fake), "Instance.save");
    assert_non_null(strstr(last, "\"host\": \"vm\""));
    assert_non_null(strstr(last, "\"task_state\": null"));
}

static void disks_on_shared_storage_are_used(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = evacuate_args(fake, "active");
    g_autofree char *disk = share_disks(fake);

    evacuate(fake, args);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_evacuated(fake);
    assert_written(disk);
    assert_int_equal(http_server_count(fake_agent_server(fake), "GET", FLOW_GLANCE "/file"), 0);
}

#define PROJECT "3900c7d49ef84784b86607ae092a97bc"
#define PORTS FLOW_NEUTRON "/ports?tenant_id=" PROJECT "&device_id=" UUID

static void script_ports(FakeAgent *fake, int status, const char *ports)
{
    http_server_json(fake_agent_server(fake), "GET", PORTS, status, ports);
    /* what was scripted before is answered once more */
    assert_true(neutron_bind_host(
        fake_agent(fake)->neutron, fake_agent_ctx(fake),
        &(NetworkInstance){.uuid = UUID, .project_id = PROJECT, .host = "vm"}, NULL, NULL));
}

/* Neutron has them on the lost host. */
static void its_ports_are_bound_here(void **state)
{
    FakeAgent *fake = *state;
    g_auto(GStrv) parts = g_strsplit(recorded_ports, "\"binding:host_id\":\"vm\"", -1);
    g_autofree char *ports = g_strjoinv("\"binding:host_id\":\"" LOST "\"", parts);

    script_ports(fake, 200, ports);
    evacuate(fake, evacuate_args(fake, "active"));
    assert_evacuated(fake);
    assert_int_equal(
        http_server_count(fake_agent_server(fake), "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_A), 1);
    assert_int_equal(
        http_server_count(fake_agent_server(fake), "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_B), 1);
}

static void a_stopped_server_is_stopped_again(void **state)
{
    FakeAgent *fake = *state;

    evacuate(fake, evacuate_args(fake, "stopped"));
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_evacuated(fake);
}

static void a_target_state_stops_it(void **state)
{
    FakeAgent *fake = *state;

    evacuate(fake, with(evacuate_args(fake, "active"), "target_state", json_string("stopped")));
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_evacuated(fake);
}

static void a_server_in_error_runs_whatever_the_target_state(void **state)
{
    FakeAgent *fake = *state;

    evacuate(fake, with(evacuate_args(fake, "error"), "target_state", json_string("stopped")));
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_evacuated(fake);
}

static void it_counts_here_at_once(void **state)
{
    FakeAgent *fake = *state;
    g_auto(GStrv) tracked = NULL;

    evacuate(fake, evacuate_args(fake, "active"));
    tracked = tracker_instances(fake_agent(fake)->tracker);
    assert_true(g_strv_contains((const char *const *)tracked, UUID));
}

/* ---- failures ---- */

static void assert_fault(FakeAgent *fake, const char *text)
{
    g_autofree char *fault = fake_conductor_last(fake_agent_conductor(fake),
                                                 "InstanceFault.create");

    if (!strstr(fault, text))
        fail_msg("%s is not in %s", text, fault);
}

static void a_guest_that_does_not_start_leaves_nothing_here(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    evacuate(fake, evacuate_args(fake, "active"));
    assert_failed(fake, "error");
    assert_false(fake_agent_has_disks(fake, UUID));
}

static void shared_disks_outlive_every_failure(void **state)
{
    static const char *const ops[] = {"plug", "start", "resume"};

    for (size_t i = 0; i < G_N_ELEMENTS(ops); i++) {
        FakeAgent *fake = fake_agent_new(NULL);
        json_t *args = evacuate_args(fake, "active");
        g_autofree char *disk = share_disks(fake);

        fake_virt_fail(fake_agent_virt(fake), ops[i], DV_E_HYPERVISOR, 1);
        evacuate(fake, args);
        assert_failed(fake, "error");
        assert_written(disk);
        fake_agent_free(fake);
    }
    (void)state;
}

static void a_host_that_cannot_take_it_leaves_it_as_it_was(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *args = evacuate_args(fake, "active");

    fake_conductor_set_json(
        con, UUID, "numa_topology",
        fake_agent_object("InstanceNUMATopology", "1.3", json_pack("{s:[]}", "cells")));
    evacuate(fake, args);
    assert_failed(fake, "active");
    assert_fault(fake, "Build of instance " UUID " aborted");
}

static void a_guest_that_is_here_already_is_not_touched(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    evacuate(fake, evacuate_args(fake, "active"));
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "host", LOST);
    assert_status(fake, "failed");
    assert_fault(fake, "already exists");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "destroy"), 0);
}

static void storage_that_is_not_as_the_user_says_is_refused(void **state)
{
    FakeAgent *fake = *state;

    evacuate(fake, with(evacuate_args(fake, "active"), "on_shared_storage", json_true()));
    assert_failed(fake, "error");
    assert_fault(fake, "Invalid state of instance files on shared storage");
}

static void shared_storage_that_the_user_denies_is_refused(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = with(evacuate_args(fake, "active"), "on_shared_storage", json_false());
    g_autofree char *disk = share_disks(fake);

    evacuate(fake, args);
    assert_failed(fake, "error");
    assert_written(disk);
}

static void a_target_state_we_do_not_know_is_refused(void **state)
{
    FakeAgent *fake = *state;

    evacuate(fake, with(evacuate_args(fake, "active"), "target_state", json_string("paused")));
    assert_failed(fake, "error");
    assert_fault(fake, "Target state 'paused'");
}

static void ports_that_cannot_be_read_end_it(void **state)
{
    FakeAgent *fake = *state;

    script_ports(fake, 500, "{}");
    evacuate(fake, evacuate_args(fake, "active"));
    assert_failed(fake, "error");
}

static void a_delete_in_the_middle_ends_it_quietly(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "start");
    fake_agent_request(fake, "rebuild_instance", evacuate_args(fake, "active"));
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    fake_virt_release(virt, "start");
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "deleting");
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "host", LOST);
    assert_status(fake, "failed");
    assert_int_equal(faults(fake), 0);
    assert_int_equal(fake_virt_guest_count(virt), 0);
}

/* Conductor's answer was lost, not the save: the guest stays. */
static void a_last_save_without_an_answer_is_looked_up(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    FakeConductor *con = fake_agent_conductor(fake);

    fake_virt_hold(virt, "resume");
    fake_agent_request(fake, "rebuild_instance", evacuate_args(fake, "active"));
    assert_true(fake_virt_wait_held(virt, "resume", 300000));
    fake_conductor_set(con, UUID, "host", "vm");
    fake_conductor_fail(con, "Instance.save", "timeout");
    fake_virt_release(virt, "resume");
    fake_agent_wait(fake, UUID);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_status(fake, "done");
}

static void a_last_save_that_was_not_made_is_undone(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "resume");
    fake_agent_request(fake, "rebuild_instance", evacuate_args(fake, "active"));
    assert_true(fake_virt_wait_held(virt, "resume", 300000));
    fake_conductor_fail(fake_agent_conductor(fake), "Instance.save", "timeout");
    fake_virt_release(virt, "resume");
    fake_agent_wait(fake, UUID);
    assert_failed(fake, "error");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_server_is_made_from_its_image),
        T(its_host_changes_with_its_state),
        T(disks_on_shared_storage_are_used),
        T(its_ports_are_bound_here),
        T(a_stopped_server_is_stopped_again),
        T(a_target_state_stops_it),
        T(a_server_in_error_runs_whatever_the_target_state),
        T(it_counts_here_at_once),
        T(a_guest_that_does_not_start_leaves_nothing_here),
        cmocka_unit_test(shared_disks_outlive_every_failure),
        T(a_host_that_cannot_take_it_leaves_it_as_it_was),
        T(a_guest_that_is_here_already_is_not_touched),
        T(storage_that_is_not_as_the_user_says_is_refused),
        T(shared_storage_that_the_user_denies_is_refused),
        T(a_target_state_we_do_not_know_is_refused),
        T(ports_that_cannot_be_read_end_it),
        T(a_delete_in_the_middle_ends_it_quietly),
        T(a_last_save_without_an_answer_is_looked_up),
        T(a_last_save_that_was_not_made_is_undone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
