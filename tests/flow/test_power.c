/* Turning servers off and on: what the guest is told, what the API shows meanwhile, what gives way
 * to a delete, and what is left when the hypervisor refuses. */
#include "flow/server.h"

#include "agent/recovery.h"

static int setup(void **state)
{
    *state = booted(NULL);
    return 0;
}

static int setup_impatient(void **state)
{
    *state = booted("shutdown_timeout = 1\n[libvirt]\nwait_soft_reboot_seconds = 1\n");
    return 0;
}

static int setup_patient(void **state)
{
    *state = booted("shutdown_timeout = 600\n[libvirt]\nwait_soft_reboot_seconds = 600\n");
    return 0;
}

static int setup_waits_for_ports(void **state)
{
    *state = booted("[workarounds]\n"
                    "wait_for_vif_plugged_event_during_hard_reboot = normal\n");
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* ---- stop and start ---- */

static void a_stopped_server_is_off_and_stays_defined(void **state)
{
    FakeAgent *fake = *state;

    stop(fake, true);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_int_equal(calls(fake, "shutdown"), 1);
    assert_event(fake, "compute_stop_instance", false);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void a_guest_that_does_not_react_is_ended(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_ignore_shutdown(fake_agent_virt(fake), UUID, true);
    stop(fake, true);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_true(calls(fake, "shutdown") >= 1);
}

/* libvirt refuses to ask it at all. */
static void a_paused_guest_is_ended_after_the_wait(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;
    int64_t start_ms = dv_now_ms();

    assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
    assert_false(virt->ops->shutdown(virt->self, NULL, UUID, NULL));
    stop(fake, true);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_true(calls(fake, "shutdown") >= 2);
    assert_int_equal(calls(fake, "power_off"), 1);
    assert_true(dv_now_ms() - start_ms >= 1000); /* shutdown_timeout */
    assert_event(fake, "compute_stop_instance", false);
}

static void a_stop_that_is_not_clean_does_not_ask(void **state)
{
    FakeAgent *fake = *state;

    stop(fake, false);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_int_equal(calls(fake, "shutdown"), 0);
}

/* The image says how long: 0 is not at all. */
static void the_image_may_say_how_long_to_wait(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = args_of(fake, "powering-off");
    json_t *data = json_object_get(json_object_get(args, "instance"), "nova_object.data");

    json_object_set_new(json_object_get(data, "system_metadata"), "image_os_shutdown_timeout",
                        json_string("0"));
    fake_virt_ignore_shutdown(fake_agent_virt(fake), UUID, true);
    send(fake, "stop_instance", with(args, "clean_shutdown", json_true()));
    fake_agent_wait(fake, UUID);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_int_equal(calls(fake, "shutdown"), 0);
}

/* Nobody looks again and again: the event ends the wait. */
static void the_guests_own_end_wakes_the_stop(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    int64_t start_ms = dv_now_ms();

    fake_virt_ignore_shutdown(virt, UUID, true);
    send(fake, "stop_instance", args_of(fake, "powering-off"));
    while (calls(fake, "shutdown") == 0)
        g_usleep(1000);
    fake_virt_guest_does(virt, UUID, GUEST_EVENT_STOPPED, "shutdown");
    fake_agent_wait(fake, UUID);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_true(dv_now_ms() - start_ms < 300000);
}

/* The stop would wait ten minutes for its guest. */
static void a_delete_does_not_wait_for_the_stop_before_it(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    g_autofree char *host = NULL;

    fake_virt_ignore_shutdown(virt, UUID, true);
    send(fake, "stop_instance", args_of(fake, "powering-off"));
    while (calls(fake, "shutdown") == 0)
        g_usleep(1000);
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");
    assert_null(host);
    assert_int_equal(fake_virt_guest_count(virt), 0);
    assert_int_equal(calls(fake, "power_off"), 0);
}

/* Two requests may be in the lane when the delete comes: the second has not even begun to wait. */
static void a_delete_does_not_wait_for_what_has_not_begun(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_ignore_shutdown(virt, UUID, true);
    fake_virt_hold(virt, "pause");
    send(fake, "pause_instance", args_of(fake, "pausing"));
    assert_true(fake_virt_wait_held(virt, "pause", 300000));
    send(fake, "stop_instance", args_of(fake, "powering-off"));
    fake_agent_terminate(fake, UUID);
    fake_virt_release(virt, "pause");
    fake_agent_wait(fake, UUID);
    assert_int_equal(fake_virt_guest_count(virt), 0);
}

/* The API goes on showing what was asked for, and the next start of the agent does it. */
static void a_stop_that_the_agents_end_cuts_short_is_left_to_its_next_start(void **state)
{
    FakeAgent *fake = *state;
    Agent *agent = fake_agent(fake);

    fake_virt_ignore_shutdown(fake_agent_virt(fake), UUID, true);
    send(fake, "stop_instance", args_of(fake, "powering-off"));
    while (calls(fake, "shutdown") == 0)
        g_usleep(1000);
    atomic_store(&agent->stopping, true);
    waits_cancel(agent->waits, NULL);
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "powering-off");
    assert_int_equal(faults(fake), 0);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    atomic_store(&agent->stopping, false);
    fake_virt_ignore_shutdown(fake_agent_virt(fake), UUID, false);
    assert_true(recovery_run(agent, fake_agent_ctx(fake), NULL));
    fake_agent_wait(fake, UUID);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
}

static void a_guest_that_cannot_be_ended_leaves_the_server_as_it_was(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "power_off", DV_E_POWER_OFF, 1);
    stop(fake, false);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(faults(fake), 1);
    assert_event(fake, "compute_stop_instance", true);
}

/* It was found off, and recorded as stopped, between the request and us. */
static void a_stop_of_what_is_off_and_recorded_is_no_conflict(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = args_of(fake, "powering-off");

    fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_STOPPED, "shutdown");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", NULL);
    send(fake, "stop_instance", args);
    fake_agent_wait(fake, UUID);
    assert_is(fake, "stopped", "4", GUEST_STATE_OFF);
    assert_int_equal(faults(fake), 0);
}

static void a_started_server_is_made_anew_with_its_disks(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *cache = NULL;

    stop(fake, true);
    ask(fake, "start_instance", "powering-on");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_event(fake, "compute_start_instance", false);
    assert_int_equal(calls(fake, "retire"), 1); /* the old definition */
    assert_int_equal(calls(fake, "start"), 2);
    assert_int_equal(http_server_count(fake_agent_server(fake), "GET", FLOW_GLANCE "/file"), 1);
}

/* As after an upgrade of the API: the request's instance carries little. */
static void what_the_request_does_not_carry_is_read(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = NULL;
    json_t *data;
    unsigned before;

    stop(fake, true);
    args = args_of(fake, "powering-on");
    before = fake_conductor_count(fake_agent_conductor(fake), "Instance.get_by_uuid");
    data = json_object_get(json_object_get(args, "instance"), "nova_object.data");
    json_object_del(data, "flavor");
    json_object_del(data, "info_cache");
    json_object_del(data, "numa_topology");
    send(fake, "start_instance", args);
    fake_agent_wait(fake, UUID);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "Instance.get_by_uuid"),
                     before + 1);
}

static void a_start_that_fails_leaves_a_server_that_can_be_started(void **state)
{
    FakeAgent *fake = *state;

    stop(fake, true);
    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    ask(fake, "start_instance", "powering-on");
    fake_agent_assert_row(fake, "vm_state", "stopped");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(faults(fake), 1);
    ask(fake, "start_instance", "powering-on");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void a_start_without_its_disk_does_not_touch_the_guest(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *path = g_build_filename(dir, "disk", NULL);
    g_autofree char *fault = NULL;

    stop(fake, true);
    assert_int_equal(unlink(path), 0);
    ask(fake, "start_instance", "powering-on");
    fake_agent_assert_row(fake, "vm_state", "stopped");
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
    assert_int_equal(calls(fake, "destroy"), 0);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    assert_null(strstr(fault, dir)); /* users are not told where disks lie */
}

/* Shelved, and never offloaded: the disks are better than the image that was made of them. */
static void starting_a_shelved_server_forgets_its_image(void **state)
{
    FakeAgent *fake = *state;
    json_t *args;
    json_t *data;
    g_autofree char *metadata = NULL;

    stop(fake, true);
    http_server_json(fake_agent_server(fake), "DELETE", "/image/v2/images/shelved-image", 204, "");
    args = args_of(fake, "powering-on");
    data = json_object_get(json_object_get(args, "instance"), "nova_object.data");
    json_object_set_new(json_object_get(data, "system_metadata"), "shelved_image_id",
                        json_string("shelved-image"));
    json_object_set_new(json_object_get(data, "system_metadata"), "shelved_at",
                        json_string("2026-01-01T00:00:00Z"));
    send(fake, "start_instance", args);
    fake_agent_wait(fake, UUID);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(
        http_server_count(fake_agent_server(fake), "DELETE", "/image/v2/images/shelved-image"), 1);
    metadata = fake_conductor_field(fake_agent_conductor(fake), UUID, "system_metadata");
    assert_null(strstr(metadata, "shelved_"));
}

static void a_start_that_a_delete_overtook_says_nothing(void **state)
{
    FakeAgent *fake = *state;
    json_t *args;

    stop(fake, true);
    args = args_of(fake, "powering-on");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    send(fake, "start_instance", args);
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "deleting"); /* not reverted */
    fake_agent_assert_row(fake, "vm_state", "stopped");
}

/* ---- soft delete and restore ---- */

static void a_soft_deleted_server_can_be_restored(void **state)
{
    FakeAgent *fake = *state;

    ask(fake, "soft_delete_instance", "soft-deleting");
    assert_is(fake, "soft-delete", "4", GUEST_STATE_OFF);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
    ask(fake, "restore_instance", "restoring");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

/* ---- reboot ---- */

static void a_soft_reboot_is_the_guests_own(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(fake));
    g_autofree char *states = NULL;

    reboot(fake, "SOFT");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "shutdown"), 1);
    assert_int_equal(calls(fake, "launch"), 1);
    assert_int_equal(calls(fake, "destroy"), 0);
    states = states_since(fake, before);
    assert_string_equal(states, "active/reboot_pending\nactive/reboot_started\nactive/\n");
    assert_event(fake, "compute_reboot_instance", false);
}

static void a_guest_that_does_not_reboot_is_rebooted_hard(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_ignore_shutdown(fake_agent_virt(fake), UUID, true);
    reboot(fake, "SOFT");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "launch"), 0);
    assert_int_equal(calls(fake, "retire"), 1);
    assert_int_equal(calls(fake, "start"), 2);
}

static void a_guest_that_does_not_start_again_is_rebooted_hard(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "launch", DV_E_HYPERVISOR, 1);
    reboot(fake, "SOFT");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "start"), 2);
}

static void a_hard_reboot_makes_the_guest_anew(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(fake));
    g_autofree char *states = NULL;

    reboot(fake, "HARD");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "shutdown"), 0);
    assert_int_equal(calls(fake, "retire"), 1);
    states = states_since(fake, before);
    assert_string_equal(states,
                        "active/reboot_pending_hard\nactive/reboot_started_hard\nactive/\n");
}

/* What hard reboots are for: a server in error whose guest is gone. */
static void a_hard_reboot_brings_a_lost_guest_back(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_UNDEFINED, "undefined");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "error");
    reboot(fake, "HARD");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void a_rescued_server_stays_rescued(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "rescued");
    reboot(fake, "SOFT");
    assert_is(fake, "rescued", "1", GUEST_STATE_RUNNING);
}

static void a_reboot_that_fails_is_forgiven_when_the_guest_runs(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "plug", DV_E_IO, 1);
    fake_virt_fail(fake_agent_virt(fake), "retire", DV_E_POWER_OFF, 1);
    reboot(fake, "HARD");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(faults(fake), 1);
    assert_event(fake, "compute_reboot_instance", false);
}

static void a_reboot_that_fails_is_an_error_when_it_does_not(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    reboot(fake, "HARD");
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(faults(fake), 1);
    reboot(fake, "HARD");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
}

static void neutron_away_fails_a_hard_reboot_before_the_guest_is_touched(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?*", 500, "");
    reboot(fake, "HARD");
    assert_int_equal(calls(fake, "destroy"), 0);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(faults(fake), 1);
}

static void a_delete_does_not_wait_for_the_soft_reboot_before_it(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_ignore_shutdown(virt, UUID, true);
    send(fake, "reboot_instance", reboot_args(fake, "SOFT"));
    while (calls(fake, "shutdown") == 0)
        g_usleep(1000);
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    assert_int_equal(fake_virt_guest_count(virt), 0);
    assert_int_equal(calls(fake, "start"), 1);
}

/* The workaround for back ends that report ports of a reboot too. */
static void a_hard_reboot_waits_for_ports_when_told_to(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_agent(fake)->config.vif_plugging_timeout_s = 300;
    fake_virt_hold(virt, "start");
    send(fake, "reboot_instance", reboot_args(fake, "HARD"));
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_virt_release(virt, "start");
    while (guest(fake) != GUEST_STATE_PAUSED)
        g_usleep(1000);
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_A, "completed");
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_B, "completed");
    fake_agent_wait(fake, UUID);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "resume"), 2);
}

/* ---- pause, suspend ---- */

static void a_paused_server_goes_on(void **state)
{
    FakeAgent *fake = *state;

    ask(fake, "pause_instance", "pausing");
    assert_is(fake, "paused", "3", GUEST_STATE_PAUSED);
    assert_event(fake, "compute_pause_instance", false);
    ask(fake, "unpause_instance", "unpausing");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "sync_time"), 1);
}

static void a_pause_that_fails_changes_nothing(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "pause", DV_E_HYPERVISOR, 1);
    ask(fake, "pause_instance", "pausing");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(faults(fake), 1);
}

static void a_suspended_server_comes_back_as_it_was(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *suspended = NULL;
    g_autofree char *resumed = NULL;

    ask(fake, "suspend_instance", "suspending");
    assert_is(fake, "suspended", "4", GUEST_STATE_OFF);
    suspended = fake_conductor_field(fake_agent_conductor(fake), UUID, "system_metadata");
    assert_non_null(strstr(suspended, "\"old_vm_state\": \"active\""));
    ask(fake, "resume_instance", "resuming");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "launch"), 1);
    assert_int_equal(calls(fake, "start"), 1); /* not made anew: its memory is in the definition */
    resumed = fake_conductor_field(fake_agent_conductor(fake), UUID, "system_metadata");
    assert_null(strstr(resumed, "old_vm_state"));
}

static void a_suspended_guest_that_is_gone_boots(void **state)
{
    FakeAgent *fake = *state;

    ask(fake, "suspend_instance", "suspending");
    fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_UNDEFINED, "undefined");
    ask(fake, "resume_instance", "resuming");
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "start"), 2);
}

static void a_suspend_or_resume_that_fails_is_an_error(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "save", DV_E_HYPERVISOR, 1);
    ask(fake, "suspend_instance", "suspending");
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "active");
    ask(fake, "suspend_instance", "suspending");
    fake_virt_fail(fake_agent_virt(fake), "launch", DV_E_HYPERVISOR, 1);
    ask(fake, "resume_instance", "resuming");
    fake_agent_assert_row(fake, "vm_state", "error");
    assert_int_equal(faults(fake), 2);
}

/* Writing a large memory takes minutes. */
static void a_delete_ends_the_suspend_before_it(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "save");
    send(fake, "suspend_instance", args_of(fake, "suspending"));
    assert_true(fake_virt_wait_held(virt, "save", 300000));
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    assert_int_equal(fake_virt_guest_count(virt), 0);
    assert_true(calls(fake, "abort_job") >= 1);
}

#define T(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_stopped_server_is_off_and_stays_defined, setup),
        T(a_guest_that_does_not_react_is_ended, setup_impatient),
        T(a_paused_guest_is_ended_after_the_wait, setup_impatient),
        T(a_stop_that_is_not_clean_does_not_ask, setup),
        T(the_image_may_say_how_long_to_wait, setup),
        T(the_guests_own_end_wakes_the_stop, setup_patient),
        T(a_delete_does_not_wait_for_the_stop_before_it, setup_patient),
        T(a_delete_does_not_wait_for_what_has_not_begun, setup_patient),
        T(a_stop_that_the_agents_end_cuts_short_is_left_to_its_next_start, setup_patient),
        T(a_guest_that_cannot_be_ended_leaves_the_server_as_it_was, setup),
        T(a_stop_of_what_is_off_and_recorded_is_no_conflict, setup),
        T(a_started_server_is_made_anew_with_its_disks, setup),
        T(what_the_request_does_not_carry_is_read, setup),
        T(a_start_that_fails_leaves_a_server_that_can_be_started, setup),
        T(a_start_without_its_disk_does_not_touch_the_guest, setup),
        T(starting_a_shelved_server_forgets_its_image, setup),
        T(a_start_that_a_delete_overtook_says_nothing, setup),
        T(a_soft_deleted_server_can_be_restored, setup),
        T(a_soft_reboot_is_the_guests_own, setup),
        T(a_guest_that_does_not_reboot_is_rebooted_hard, setup_impatient),
        T(a_guest_that_does_not_start_again_is_rebooted_hard, setup),
        T(a_hard_reboot_makes_the_guest_anew, setup),
        T(a_hard_reboot_brings_a_lost_guest_back, setup),
        T(a_rescued_server_stays_rescued, setup),
        T(a_reboot_that_fails_is_forgiven_when_the_guest_runs, setup),
        T(a_reboot_that_fails_is_an_error_when_it_does_not, setup),
        T(neutron_away_fails_a_hard_reboot_before_the_guest_is_touched, setup),
        T(a_delete_does_not_wait_for_the_soft_reboot_before_it, setup_patient),
        T(a_hard_reboot_waits_for_ports_when_told_to, setup_waits_for_ports),
        T(a_paused_server_goes_on, setup),
        T(a_pause_that_fails_changes_nothing, setup),
        T(a_suspended_server_comes_back_as_it_was, setup),
        T(a_suspended_guest_that_is_gone_boots, setup),
        T(a_suspend_or_resume_that_fails_is_an_error, setup),
        T(a_delete_ends_the_suspend_before_it, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
