/* Operations on one server come one after the other, in the order in which they were asked for;
 * those on different servers do not wait for each other, and neither does what only looks. */
#include "flow/reply.h"

#include <string.h>

#define OTHER "00000000-0000-4000-8000-000000000002"

static int setup(void **state)
{
    *state = booted("shutdown_timeout = 1\n");
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* A second server that runs, without a disk. */
static void add_other(FakeAgent *fake)
{
    json_t *whole = fake_agent_instance(fake, UUID);
    json_t *data = json_object_get(whole, "nova_object.data");
    g_autoptr(Ovo) row = NULL;

    json_object_set_new(data, "uuid", json_string(OTHER));
    json_object_set_new(data, "id", json_integer(4711));
    row = ovo_view(whole, "Instance", NULL);
    assert_non_null(row);
    fake_conductor_put(fake_agent_conductor(fake), row);
    fake_virt_add_guest(fake_agent_virt(fake), OTHER, "instance-00001267", GUEST_STATE_RUNNING);
    json_decref(whole);
}

static json_t *args_of_other(FakeAgent *fake, const char *task)
{
    fake_conductor_set(fake_agent_conductor(fake), OTHER, "task_state", task);
    return with(json_object(), "instance", fake_agent_instance(fake, OTHER));
}

static char *field_of(FakeAgent *fake, const char *uuid, const char *field)
{
    return fake_conductor_field(fake_agent_conductor(fake), uuid, field);
}

static void two_operations_on_one_server_do_not_interleave(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(fake));
    g_autofree char *while_held = NULL;
    g_autofree char *after = NULL;

    fake_virt_hold(virt, "pause");
    send(fake, "pause_instance", args_of(fake, "pausing"));
    assert_true(fake_virt_wait_held(virt, "pause", 60000));
    send(fake, "unpause_instance", args_of(fake, "unpausing"));
    send(fake, "suspend_instance", args_of(fake, "suspending"));
    g_usleep(100000);
    assert_int_equal(dv_lanes_depth(fake_agent(fake)->lanes, UUID), 3);
    while_held = states_since(fake, before);
    assert_string_equal(while_held, "");
    assert_int_equal(calls(fake, "save"), 0);
    /* as nova-api does, which asks for the next when the last has ended */
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "pausing");
    fake_virt_hold(virt, "save");
    fake_virt_release(virt, "pause");
    assert_true(fake_virt_wait_held(virt, "save", 60000));
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING); /* it was paused, and unpaused */
    assert_int_equal(dv_lanes_depth(fake_agent(fake)->lanes, UUID), 1);
    fake_virt_release(virt, "save");
    fake_agent_wait(fake, UUID);
    after = states_since(fake, before);
    assert_non_null(strstr(after, "paused/"));
}

static void operations_on_two_servers_do_not_wait_for_each_other(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    g_autofree char *task = NULL;
    g_autofree char *other = NULL;

    add_other(fake);
    fake_virt_hold(virt, "pause");
    send(fake, "pause_instance", args_of(fake, "pausing"));
    assert_true(fake_virt_wait_held(virt, "pause", 60000));
    send(fake, "suspend_instance", args_of_other(fake, "suspending"));
    fake_agent_wait(fake, OTHER);
    other = field_of(fake, OTHER, "vm_state");
    assert_string_equal(other, "suspended");
    task = field_of(fake, UUID, "task_state");
    assert_string_equal(task, "pausing");
    fake_virt_release(virt, "pause");
    fake_agent_wait(fake, UUID);
    assert_is(fake, "paused", "3", GUEST_STATE_PAUSED);
}

static void looking_waits_for_nobody(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "pause");
    send(fake, "pause_instance", args_of(fake, "pausing"));
    assert_true(fake_virt_wait_held(virt, "pause", 60000));
    assert_null(ask_and_wait(fake, "get_host_uptime", "6.0", json_object()));
    assert_null(ask_and_wait(fake, "get_console_output", "6.0",
                             with(args_of(fake, "pausing"), "tail_length", json_null())));
    assert_null(ask_and_wait(fake, "get_diagnostics", "6.0", args_of(fake, "pausing")));
    assert_int_equal(calls(fake, "pause"), 1);
    fake_agent_assert_row(fake, "task_state", "pausing");
    fake_virt_release(virt, "pause");
    fake_agent_wait(fake, UUID);
    assert_is(fake, "paused", "3", GUEST_STATE_PAUSED);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(two_operations_on_one_server_do_not_interleave),
        T(operations_on_two_servers_do_not_wait_for_each_other),
        T(looking_waits_for_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
