/* External events that nova-api passes on: what each does to the instance, and what is ignored. */
#include "flow/interfaces.h"

#define BOTH FLOW_PORT_A " " FLOW_PORT_B " "

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    boot_two_ports(*state);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static json_t *event(const char *uuid, const char *name, const char *tag)
{
    return fake_agent_object("InstanceExternalEvent", "1.5",
                             json_pack("{s:s, s:s, s:s?, s:s}", "instance_uuid", uuid, "name", name,
                                       "tag", tag, "status", "completed"));
}

/* Runs the method itself, so that what it queues is queued when this returns. */
static void send_events(FakeAgent *fake, json_t *events)
{
    const AgentMethod *method = methods_find("external_instance_event");
    json_t *args = json_pack("{s:[], s:o}", "instances", "events", events);
    g_autoptr(Ovo) dict = ovo_view_dict(args, NULL);

    assert_true(
        dispatch_run(fake_agent(fake), method, fake_agent_ctx(fake), dict, false, NULL, NULL));
    json_decref(args);
    fake_agent_wait(fake, UUID);
}

static void send_event(FakeAgent *fake, const char *name, const char *tag)
{
    send_events(fake, json_pack("[o]", event(UUID, name, tag)));
}

static unsigned calls(FakeAgent *fake, const char *call)
{
    return fake_conductor_count(fake_agent_conductor(fake), call);
}

static void deleted_port_leaves_cache_and_guest(void **state)
{
    FakeAgent *fake = *state;

    send_event(fake, "network-vif-deleted", FLOW_PORT_B);
    assert_false(guest_has(fake, MAC_B));
    assert_true(guest_has(fake, MAC_A));
    assert_cached(fake, FLOW_PORT_A " ");
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/*"), 0); /* neutron has done it */
    send_event(fake, "network-vif-deleted", FLOW_PORT_B);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "detach_nic"), 1);
}

static void device_that_stays_does_not_stay_in_the_cache(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "detach_nic", DV_E_DEVICE_DETACH, 1);
    send_event(fake, "network-vif-deleted", FLOW_PORT_B);
    assert_cached(fake, FLOW_PORT_A " ");
    assert_int_equal(calls(fake, "InstanceFault.create"), 0);
}

static void changed_port_is_refreshed_alone(void **state)
{
    FakeAgent *fake = *state;
    unsigned subnets = sent(fake, "GET", FLOW_NEUTRON "/subnets?id=*");
    g_autofree char *cache = NULL;
    g_autofree char *moved = with_text(recorded_ports, "10.78.0.209", "10.78.0.44");
    g_autofree char *both_moved = with_text(moved, "10.77.0.77", "10.77.0.44");

    http_server_json(fake_agent_server(fake), "GET", OWN_PORTS "*", 200, both_moved);
    send_event(fake, "network-changed", FLOW_PORT_B);
    assert_int_equal(sent(fake, "GET", FLOW_NEUTRON "/subnets?id=*"), subnets + 1);
    cache = fake_conductor_field(fake_agent_conductor(fake), UUID, "info_cache");
    assert_non_null(strstr(cache, "10.78.0.44"));
    assert_non_null(strstr(cache, "10.77.0.77"));
    g_clear_pointer(&cache, g_free);
    send_event(fake, "network-changed", NULL);
    cache = fake_conductor_field(fake_agent_conductor(fake), UUID, "info_cache");
    assert_non_null(strstr(cache, "10.77.0.44"));
}

static void power_update_fails_as_with_nova(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *states = NULL;
    g_autofree char *finished = NULL;

    send_event(fake, "power-update", "POWER_OFF");
    states = fake_conductor_states(fake_agent_conductor(fake));
    assert_true(g_str_has_suffix(states, "active/powering-off\nactive/\n"));
    assert_int_equal(calls(fake, "InstanceFault.create"), 1);
    finished = fake_conductor_last(fake_agent_conductor(fake),
                                   "InstanceActionEvent.event_finish_with_failure");
    assert_non_null(strstr(finished, "compute_power_update"));
    assert_non_null(strstr(finished, "not with libvirt"));
}

static void power_update_that_changes_nothing_does_nothing(void **state)
{
    FakeAgent *fake = *state;

    send_event(fake, "power-update", "POWER_ON"); /* it is on */
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "rebooting");
    send_event(fake, "power-update", "POWER_OFF");
    assert_int_equal(calls(fake, "InstanceFault.create"), 0);
    fake_agent_assert_row(fake, "task_state", "rebooting");
}

static void others_are_ignored(void **state)
{
    static const char *const names[] = {"volume-extended", "volume-reimaged",
                                        "accelerator-request-bound", "moon-is-full"};
    FakeAgent *fake = *state;
    json_t *events = json_array();

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        json_array_append_new(events, event(UUID, names[i], "x"));
    json_array_append_new(events, event(UUID, "network-vif-unplugged", FLOW_PORT_A));
    send_events(fake, events);
    assert_cached(fake, BOTH);
    assert_int_equal(calls(fake, "InstanceFault.create"), 0);
    fake_agent_assert_row(fake, "vm_state", "active");
}

static void instance_of_another_host_is_left_alone(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", "elsewhere");
    send_event(fake, "network-vif-deleted", FLOW_PORT_B);
    send_event(fake, "power-update", "POWER_OFF");
    assert_true(guest_has(fake, MAC_B));
    assert_cached(fake, BOTH);
    fake_agent_assert_row(fake, "task_state", "");
    fake_conductor_remove(fake_agent_conductor(fake), UUID);
    send_event(fake, "network-vif-deleted", FLOW_PORT_B);
    assert_true(guest_has(fake, MAC_B));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(deleted_port_leaves_cache_and_guest),
        T(device_that_stays_does_not_stay_in_the_cache),
        T(changed_port_is_refreshed_alone),
        T(power_update_fails_as_with_nova),
        T(power_update_that_changes_nothing_does_nothing),
        T(others_are_ignored),
        T(instance_of_another_host_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
