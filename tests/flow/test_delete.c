/* Deletes: what goes, in which order, and what stays when something refuses; and lanes, which keep
 * the operations of one instance apart. */
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    return 0;
}

static int setup_waiting(void **state)
{
    *state = fake_agent_new("vif_plugging_timeout = 300\n");
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static void boot(FakeAgent *fake)
{
    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
}

static void terminate(FakeAgent *fake)
{
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
}

static unsigned ports_deleted(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*");
}

static void assert_gone(FakeAgent *fake)
{
    g_autofree char *host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");

    assert_null(host);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_true(fake_agent_allocations_deleted(fake) >= 1);
}

static void a_delete_leaves_nothing(void **state)
{
    FakeAgent *fake = *state;
    g_auto(GStrv) tracked = NULL;

    boot(fake);
    terminate(fake);
    assert_gone(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 1);
    assert_int_equal(ports_deleted(fake), 2);
    tracked = tracker_instances(fake_agent(fake)->tracker);
    assert_null(tracked[0]);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake),
                                          "ConsoleAuthToken.clean_console_auths_for_instance"),
                     1);
}

/* The record is the last to go: a crash on the way leaves something to finish. */
static void the_record_is_the_last_to_go(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *log = NULL;
    const char *destroy, *save;

    boot(fake);
    terminate(fake);
    log = fake_conductor_log(fake_agent_conductor(fake));
    destroy = strstr(log, "Instance.destroy");
    assert_non_null(destroy);
    save = g_strrstr(log, "\nInstance.save");
    assert_true(save && save < destroy);
    assert_null(strstr(destroy, "Console"));
}

static void a_guest_that_cannot_be_ended_keeps_its_addresses(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_POWER_OFF, 1);
    terminate(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 0);
    assert_int_equal(ports_deleted(fake), 0);
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 1);
}

static void any_other_refusal_gives_the_addresses_up(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, 1);
    terminate(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    assert_int_equal(ports_deleted(fake), 2);
}

static void a_delete_that_failed_can_be_repeated(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, 1);
    terminate(fake);
    terminate(fake);
    assert_gone(fake);
}

static void an_instance_that_is_gone_already_is_no_failure(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_conductor_fail(fake_agent_conductor(fake), "Instance.save", "InstanceNotFound");
    terminate(fake);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 0);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
}

/* ---- lanes ---- */

static void a_delete_waits_for_the_boot_before_it(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "start");
    fake_agent_boot(fake, fake_agent_boot_request());
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_agent_terminate(fake, UUID);
    assert_int_equal(dv_lanes_depth(fake_agent(fake)->lanes, UUID), 2);
    assert_int_equal(fake_virt_calls(virt, "destroy"), 0);
    fake_virt_release(virt, "start");
    fake_agent_wait(fake, UUID);
    assert_gone(fake);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "build_instances"), 0);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 0);
}

/* Without this the delete would come after vif_plugging_timeout, minutes later. */
static void a_delete_ends_the_wait_for_ports(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "start");
    fake_agent_boot(fake, fake_agent_boot_request());
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_virt_release(virt, "start");
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    assert_gone(fake);
    assert_int_equal(fake_virt_calls(virt, "resume"), 0);
}

static void another_instance_does_not_wait(void **state)
{
    static const char other[] = "00000000-0000-4000-8000-000000000001";
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    json_t *request = fake_agent_boot_request();
    g_autofree char *vm_state = NULL;

    json_object_set_new(fake_agent_data(request, "instance"), "uuid", json_string(other));
    json_array_clear(json_object_get(fake_agent_data(request, "requested_networks"), "objects"));
    json_array_append_new(
        json_object_get(fake_agent_data(request, "requested_networks"), "objects"),
        json_pack("{s:s, s:s, s:s, s:{s:s}}", "nova_object.name", "NetworkRequest",
                  "nova_object.namespace", "nova", "nova_object.version", "1.3", "nova_object.data",
                  "network_id", "none"));
    fake_virt_hold(virt, "resume");
    fake_agent_boot(fake, fake_agent_boot_request());
    assert_true(fake_virt_wait_held(virt, "resume", 300000));
    fake_agent_boot(fake, request);
    while (fake_virt_calls(virt, "resume") < 2)
        g_usleep(2000);
    assert_int_equal(fake_virt_guest_count(virt), 2);
    fake_virt_release(virt, "resume");
    fake_agent_wait(fake, UUID);
    fake_agent_wait(fake, other);
    vm_state = fake_conductor_field(fake_agent_conductor(fake), other, "vm_state");
    assert_string_equal(vm_state, "active");
    fake_agent_assert_row(fake, "vm_state", "active");
}

#define T(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_delete_leaves_nothing, setup),
        T(the_record_is_the_last_to_go, setup),
        T(a_guest_that_cannot_be_ended_keeps_its_addresses, setup),
        T(any_other_refusal_gives_the_addresses_up, setup),
        T(a_delete_that_failed_can_be_repeated, setup),
        T(an_instance_that_is_gone_already_is_no_failure, setup),
        T(a_delete_waits_for_the_boot_before_it, setup),
        T(a_delete_ends_the_wait_for_ports, setup_waiting),
        T(another_instance_does_not_wait, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
