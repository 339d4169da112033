/* What the start of the agent makes of the instances that an earlier run left in the middle of
 * something. */
#include "agent/recovery.h"
#include "agent/startup.h"
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

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* The row that the database has of an instance of this host. */
static void left_as(FakeAgent *fake, const char *vm_state, const char *task_state)
{
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *request = fake_agent_boot_request();
    g_autoptr(Ovo) instance = ovo_view(
        json_object_get(json_object_get(request, "args"), "instance"), "Instance", NULL);

    fake_conductor_put(con, instance);
    fake_conductor_set(con, UUID, "host", "vm");
    fake_conductor_set(con, UUID, "node", "vm");
    fake_conductor_set(con, UUID, "vm_state", vm_state);
    fake_conductor_set(con, UUID, "task_state", task_state);
    json_decref(request);
}

static void start(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!recovery_run(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
}

static void assert_states(FakeAgent *fake, const char *vm_state, const char *task_state)
{
    fake_agent_assert_row(fake, "vm_state", vm_state);
    fake_agent_assert_row(fake, "task_state", task_state);
}

typedef struct Left {
    const char *name;
    const char *vm_state, *task_state; /* NULL: null */
    GuestState guest;                  /* GUEST_STATE_NONE: there is none */
    const char *then_vm_state, *then_task_state;
} Left;

/* docs/wire/flows.md, per instance recovery. */
static const Left left[] = {
    {"a boot before its claim", "building", "scheduling", GUEST_STATE_NONE, "error", ""},
    {"a boot without a task", "building", NULL, GUEST_STATE_NONE, "error", ""},
    {"a boot at its networks", "building", "networking", GUEST_STATE_NONE, "error", ""},
    {"a boot at its guest", "building", "spawning", GUEST_STATE_PAUSED, "error", ""},
    {"a rebuild", "active", "rebuild_spawning", GUEST_STATE_NONE, "error", ""},
    {"a snapshot", "active", "image_uploading", GUEST_STATE_RUNNING, "active", ""},
    {"a backup", "active", "image_backup", GUEST_STATE_RUNNING, "active", ""},
    {"a shelve", "active", "shelving_image_uploading", GUEST_STATE_OFF, "active", ""},
    {"an offload", "shelved", "shelving_offloading", GUEST_STATE_OFF, "shelved", ""},
    {"a resize", "active", "resize_prep", GUEST_STATE_RUNNING, "active", ""},
    {"a reboot that was done", "active", "reboot_started_hard", GUEST_STATE_RUNNING, "active", ""},
    {"a pause that had no effect", "active", "pausing", GUEST_STATE_RUNNING, "active", ""},
    {"an unpause that was done", "paused", "unpausing", GUEST_STATE_RUNNING, "active", ""},
    {"an error", "error", "spawning", GUEST_STATE_NONE, "error", "spawning"},
    {"a soft delete", "soft-delete", "deleting", GUEST_STATE_OFF, "soft-delete", "deleting"},
    {"nothing", "active", NULL, GUEST_STATE_RUNNING, "active", ""},
};

static void one_left(void **state)
{
    const Left *row = *state;
    FakeAgent *fake = fake_agent_new(NULL);

    left_as(fake, row->vm_state, row->task_state);
    if (row->guest != GUEST_STATE_NONE)
        fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", row->guest);
    start(fake);
    assert_states(fake, row->then_vm_state, row->then_task_state);
    fake_agent_free(fake);
}

static void assert_gone(FakeAgent *fake)
{
    g_autofree char *host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");

    assert_null(host);
    assert_int_equal(fake_agent_allocations_deleted(fake), 1);
}

static void a_delete_is_finished(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", "deleting");
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    start(fake);
    assert_gone(fake);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     2);
}

static void a_delete_of_a_boot_is_finished(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "building", "deleting");
    start(fake);
    assert_gone(fake);
}

/* Only the tail is left: the guest and its ports went before the record said so. */
static void a_record_that_says_deleted_goes(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "deleted", NULL);
    start(fake);
    assert_gone(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     0);
}

static void a_delete_that_still_fails_is_an_error_to_try_again(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", "deleting");
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, 1);
    start(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    start(fake);
    assert_gone(fake);
}

static void another_hosts_instance_is_left_alone(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "building", "spawning");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", "other");
    start(fake);
    assert_states(fake, "building", "spawning");
}

/* Its allocation is here, but the process died before the claim named the host. */
static void a_boot_that_was_never_claimed_is_found_by_its_allocation(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *provider = NULL;
    g_autofree char *target = NULL;

    left_as(fake, "building", "scheduling");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", NULL);
    assert_true(tracker_node_identity(fake_agent(fake)->tracker, &provider, &(int64_t){0}));
    target = g_strconcat(FLOW_PLACEMENT "/resource_providers/", provider, "/allocations*", NULL);
    http_server_json(fake_agent_server(fake), "GET", target, 200,
                     "{\"resource_provider_generation\":1,\"allocations\":{\"" UUID
                     "\":{\"resources\":{\"VCPU\":1}}}}");
    startup_recover_unclaimed(fake_agent(fake), fake_agent_ctx(fake));
    assert_states(fake, "error", "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    struct CMUnitTest tests[G_N_ELEMENTS(left) + 6] = {
        T(a_delete_is_finished),
        T(a_delete_of_a_boot_is_finished),
        T(a_record_that_says_deleted_goes),
        T(a_delete_that_still_fails_is_an_error_to_try_again),
        T(another_hosts_instance_is_left_alone),
        T(a_boot_that_was_never_claimed_is_found_by_its_allocation),
    };

    for (size_t i = 0; i < G_N_ELEMENTS(left); i++)
        tests[i + 6] = (struct CMUnitTest){left[i].name, one_left, NULL, NULL, (void *)&left[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
