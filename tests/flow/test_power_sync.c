/* Power states: what the hypervisor has wins, and what follows from it for the server, by nova's
 * table; events of guests and the periodic look come to the same. */
#include "agent/lifecycle.h"
#include "agent/power_sync.h"
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID

/* A server of this host that the database has as said, with its guest (NONE: without). */
static FakeAgent *server(const char *vm_state, const char *task_state, GuestState guest)
{
    FakeAgent *fake = fake_agent_new("shutdown_timeout = 1\n");
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *request = fake_agent_boot_request();
    g_autoptr(Ovo) instance = ovo_view(
        json_object_get(json_object_get(request, "args"), "instance"), "Instance", NULL);

    fake_conductor_put(con, instance);
    fake_conductor_set(con, UUID, "host", "vm");
    fake_conductor_set(con, UUID, "node", "vm");
    fake_conductor_set(con, UUID, "vm_state", vm_state);
    fake_conductor_set(con, UUID, "task_state", task_state);
    fake_conductor_set_json(con, UUID, "power_state", json_integer(GUEST_STATE_RUNNING));
    if (guest != GUEST_STATE_NONE)
        fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", guest);
    json_decref(request);
    return fake;
}

static void sync_all(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!power_sync_all(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    fake_agent_wait(fake, UUID);
}

static GuestState guest(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;
    GuestState state = GUEST_STATE_NONE;

    assert_true(virt->ops->state(virt->self, UUID, &state, NULL));
    return state;
}

typedef struct Case {
    const char *name;
    const char *vm_state, *task_state;
    GuestState guest;
    const char *then_vm_state, *then_power;
    GuestState then_guest;
} Case;

/* nova compute/manager.py _sync_instance_power_state. */
static const Case cases[] = {
    {"a guest that is off stops its server", "active", NULL, GUEST_STATE_OFF, "stopped", "4",
     GUEST_STATE_OFF},
    {"a guest that crashed stops its server", "active", NULL, GUEST_STATE_CRASHED, "stopped", "4",
     GUEST_STATE_OFF},
    {"a guest that put itself to sleep is stopped", "active", NULL, GUEST_STATE_SUSPENDED,
     "stopped", "4", GUEST_STATE_OFF},
    {"a guest that somebody paused is left", "active", NULL, GUEST_STATE_PAUSED, "active", "3",
     GUEST_STATE_PAUSED},
    {"a guest that is gone is left", "active", NULL, GUEST_STATE_NONE, "active", "0",
     GUEST_STATE_NONE},
    {"a guest that runs is as it should be", "active", NULL, GUEST_STATE_RUNNING, "active", "1",
     GUEST_STATE_RUNNING},
    {"a stopped server's guest is stopped again", "stopped", NULL, GUEST_STATE_RUNNING, "stopped",
     "4", GUEST_STATE_OFF},
    {"a stopped server's paused guest, too", "stopped", NULL, GUEST_STATE_PAUSED, "stopped", "4",
     GUEST_STATE_OFF},
    {"a stopped server's guest may be gone", "stopped", NULL, GUEST_STATE_NONE, "stopped", "0",
     GUEST_STATE_NONE},
    {"a paused guest that ended stops its server", "paused", NULL, GUEST_STATE_OFF, "stopped", "4",
     GUEST_STATE_OFF},
    {"a soft-deleted server's guest is only reported", "soft-delete", NULL, GUEST_STATE_RUNNING,
     "soft-delete", "1", GUEST_STATE_RUNNING},
    {"a server in error is left alone", "error", NULL, GUEST_STATE_OFF, "error", "4",
     GUEST_STATE_OFF},
    {"a rescued server is left alone", "rescued", NULL, GUEST_STATE_OFF, "rescued", "4",
     GUEST_STATE_OFF},
    {"a suspended server is left alone", "suspended", NULL, GUEST_STATE_OFF, "suspended", "4",
     GUEST_STATE_OFF},
    {"a server with a task is another operation's", "active", "rebooting", GUEST_STATE_OFF,
     "active", "1", GUEST_STATE_OFF},
};

static void one_case(void **state)
{
    const Case *row = *state;
    FakeAgent *fake = server(row->vm_state, row->task_state, row->guest);

    sync_all(fake);
    fake_agent_assert_row(fake, "vm_state", row->then_vm_state);
    fake_agent_assert_row(fake, "task_state", row->task_state ? row->task_state : "");
    fake_agent_assert_row(fake, "power_state", row->then_power);
    assert_int_equal(guest(fake), row->then_guest);
    fake_agent_free(fake);
}

static void a_stop_that_was_found_has_its_action_and_event(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = server("active", NULL, GUEST_STATE_OFF);
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *states = NULL;
    g_autofree char *action = NULL;

    sync_all(fake);
    states = fake_conductor_states(con);
    assert_string_equal(states, "active/\nactive/powering-off\nstopped/\n");
    action = fake_conductor_last(con, "InstanceAction.action_start");
    assert_non_null(strstr(action, "\"stop\""));
    assert_int_equal(fake_conductor_count(con, "InstanceActionEvent.event_start"), 1);
    fake_agent_free(fake);
}

static void a_server_that_ends_with_its_guest_is_deleted(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = server("active", NULL, GUEST_STATE_OFF);
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *host = NULL;
    g_autofree char *action = NULL;

    fake_conductor_set_json(con, UUID, "shutdown_terminate", json_true());
    sync_all(fake);
    host = fake_conductor_field(con, UUID, "host");
    assert_null(host);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    action = fake_conductor_last(con, "InstanceAction.action_start");
    assert_non_null(strstr(action, "\"delete\""));
    fake_agent_free(fake);
}

static void another_hosts_server_is_left_alone(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = server("active", NULL, GUEST_STATE_OFF);

    power_sync_want(fake_agent(fake), UUID);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", "other");
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_free(fake);
}

/* A start by somebody else is known at once; a stop only after a while, since it may be a reboot's.
 */
static void an_event_leads_to_the_same(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = server("stopped", NULL, GUEST_STATE_OFF);

    fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_STARTED, "booted");
    while (guest(fake) != GUEST_STATE_OFF)
        g_usleep(2000);
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "stopped");
    fake_agent_assert_row(fake, "power_state", "4");
    fake_agent_free(fake);
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(a_stop_that_was_found_has_its_action_and_event),
        cmocka_unit_test(a_server_that_ends_with_its_guest_is_deleted),
        cmocka_unit_test(another_hosts_server_is_left_alone),
        cmocka_unit_test(an_event_leads_to_the_same),
    };
    struct CMUnitTest tests[G_N_ELEMENTS(cases) + G_N_ELEMENTS(others)];

    memcpy(tests, others, sizeof others);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        tests[G_N_ELEMENTS(others) + i] = (struct CMUnitTest){cases[i].name, one_case, NULL, NULL,
                                                              (void *)&cases[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
