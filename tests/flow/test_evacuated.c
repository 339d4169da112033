/* The two ends of an evacuation that an agent's start finds: one that this host was making when its
 * agent died, and one that another host made of a server of this one. */
#include "agent/evacuated.h"
#include "agent/recovery.h"
#include "agent/recovery_moves.h"
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

/* ---- the agent dies in the middle ---- */

/* As it was when the agent died: claimed, and no further than `task`. */
static void died_at(FakeAgent *fake, const char *task, GuestState guest_is, bool marked)
{
    FakeConductor *con = fake_agent_conductor(fake);

    put_lost(fake, "active");
    fake_conductor_set(con, UUID, "task_state", task);
    fake_conductor_put_migration(con, migration("pre-migrating", LOST, "vm"));
    if (marked)
        assert_true(disks_mark_made(fake_agent(fake)->disks, UUID, NULL));
    if (guest_is != GUEST_STATE_NONE)
        fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", guest_is);
}

static void start(FakeAgent *fake)
{
    Agent *agent = fake_agent(fake);
    g_autoptr(GError) err = NULL;

    if (!recovery_run(agent, fake_agent_ctx(fake), &err) ||
        !tracker_audit(agent->tracker, fake_agent_ctx(fake), true, &err) ||
        !evacuated_settle(agent, fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    recovery_moves(agent, fake_agent_ctx(fake));
    fake_agent_wait(fake, UUID);
}

static void one_whose_guest_runs_is_finished(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = NULL;

    died_at(fake, "rebuild_spawning", GUEST_STATE_PAUSED, true);
    disk = share_disks(fake);
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_evacuated(fake);
    assert_written(disk);
    assert_false(disks_are_marked(fake_agent(fake)->disks, UUID));
}

static void one_without_a_guest_has_failed(void **state)
{
    FakeAgent *fake = *state;

    died_at(fake, "rebuild_spawning", GUEST_STATE_NONE, true);
    start(fake);
    assert_failed(fake, "error");
    assert_false(fake_agent_has_disks(fake, UUID));
}

static void one_that_failed_keeps_the_disks_that_it_found(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = NULL;

    died_at(fake, "rebuilding", GUEST_STATE_NONE, false);
    disk = share_disks(fake);
    start(fake);
    assert_failed(fake, "error");
    assert_written(disk);
}

/* The operator has reset the state: only what is here goes. */
static void one_that_nobody_waits_for_leaves_the_state_alone(void **state)
{
    FakeAgent *fake = *state;

    died_at(fake, NULL, GUEST_STATE_RUNNING, true);
    start(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "host", LOST);
    assert_status(fake, "failed");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_int_equal(allocations_written(fake), 1);
}

/* ---- the lost host comes back ---- */

/* This host was evacuated; its guest and its disks are still here. */
static char *came_back(FakeAgent *fake, const char *status, const char *host, const char *task)
{
    FakeConductor *con = fake_agent_conductor(fake);

    put_lost(fake, "active");
    fake_conductor_set(con, UUID, "host", host);
    fake_conductor_set(con, UUID, "task_state", task);
    fake_conductor_put_migration(con, migration(status, "vm", "cmp2"));
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    return share_disks(fake);
}

static void its_guest_its_disks_and_its_allocation_go(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = came_back(fake, "done", "cmp2", NULL);
    g_autofree char *asked = NULL;

    fake_agent_peer_answers(fake, "check_instance_shared_storage", json_false());
    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_int_equal(allocations_written(fake), 1);
    assert_status(fake, "completed");
    fake_agent_assert_row(fake, "host", "cmp2");
    assert_int_equal(fake_agent_casts(fake, "check_instance_shared_storage", &asked), 1);
    assert_string_equal(asked, "cmp2");
}

static void shared_disks_stay(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = came_back(fake, "done", "cmp2", NULL);

    fake_agent_peer_answers(fake, "check_instance_shared_storage", json_true());
    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_written(disk);
    assert_status(fake, "completed");
}

static void disks_that_nobody_tells_of_stay(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = came_back(fake, "done", "cmp2", NULL);

    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_written(disk);
    assert_status(fake, "completed");
}

static void one_that_is_just_being_made_loses_its_guest_only(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = came_back(fake, "pre-migrating", "vm", "rebuild_spawning");

    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_written(disk);
    assert_status(fake, "pre-migrating");
    assert_int_equal(allocations_written(fake), 0);
    fake_agent_assert_row(fake, "task_state", "rebuild_spawning");
    fake_agent_assert_row(fake, "vm_state", "active");
}

/* And is looked at until its destination has it. */
static void one_that_was_being_made_is_settled_afterwards(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *disk = came_back(fake, "pre-migrating", "vm", "rebuild_spawning");

    fake_agent_peer_answers(fake, "check_instance_shared_storage", json_false());
    start(fake);
    fake_conductor_set(con, UUID, "host", "cmp2");
    fake_conductor_set(con, UUID, "task_state", NULL);
    assert_true(evacuated_settle(fake_agent(fake), fake_agent_ctx(fake), NULL));
    fake_agent_wait(fake, UUID);
    assert_status(fake, "completed");
    assert_int_equal(allocations_written(fake), 1);
    assert_false(fake_agent_has_disks(fake, UUID));
}

/* The agent was there all the time, and the host was forced down. */
static void a_host_that_is_forced_down_ends_what_is_made_elsewhere(void **state)
{
    static const struct {
        const char *status, *host, *task;
        GuestState then;
    } rows[] = {
        {"accepted", "vm", "rebuilding", GUEST_STATE_RUNNING}, /* there may be no other host */
        {"pre-migrating", "vm", "rebuilding", GUEST_STATE_NONE},
        {"done", "cmp2", NULL, GUEST_STATE_NONE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeAgent *fake = fake_agent_new(NULL);
        g_autofree char *disk = came_back(fake, rows[i].status, rows[i].host, rows[i].task);

        atomic_store(&fake_agent(fake)->evacuating, true);
        assert_true(evacuated_settle(fake_agent(fake), fake_agent_ctx(fake), NULL));
        fake_agent_wait(fake, UUID);
        assert_int_equal(guest(fake), rows[i].then);
        assert_written(disk);
        fake_agent_free(fake);
    }
    (void)state;
}

static void one_that_is_here_by_right_is_not_touched(void **state)
{
    static const char *const statuses[] = {"done", "pre-migrating", "accepted"};

    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        FakeAgent *fake = fake_agent_new(NULL);
        g_autofree char *disk = came_back(fake, statuses[i], "vm", NULL);

        start(fake);
        assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
        assert_written(disk);
        assert_int_equal(allocations_written(fake), 0);
        assert_status(fake, i == 0 ? "completed" : "failed");
        fake_agent_free(fake);
    }
    (void)state;
}

static void one_that_is_on_its_way_back_is_not_touched(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *disk = came_back(fake, "done", "cmp2", "migrating");
    json_t *back = migration("running", "cmp2", "vm");

    json_object_set_new(back, "id", json_integer(MIGRATION + 1));
    json_object_set_new(back, "migration_type", json_string("live-migration"));
    fake_conductor_put_migration(con, back);
    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_written(disk);
    assert_int_equal(allocations_written(fake), 0);
    assert_status(fake, "completed");
}

static void one_that_is_deleted_leaves_nothing(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = came_back(fake, "done", "cmp2", NULL);

    fake_conductor_remove(fake_agent_conductor(fake), UUID);
    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_status(fake, "completed");
}

static void a_guest_that_cannot_be_destroyed_is_tried_again(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *disk = came_back(fake, "done", "cmp2", NULL);

    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, 2);
    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_status(fake, "done");
    assert_true(evacuated_settle(fake_agent(fake), fake_agent_ctx(fake), NULL));
    fake_agent_wait(fake, UUID);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_status(fake, "completed");
}

static void nothing_to_settle_costs_no_call(void **state)
{
    FakeAgent *fake = *state;
    unsigned before;

    start(fake);
    before = fake_conductor_total(fake_agent_conductor(fake));
    assert_true(evacuated_settle(fake_agent(fake), fake_agent_ctx(fake), NULL));
    assert_int_equal(fake_conductor_total(fake_agent_conductor(fake)), before);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_whose_guest_runs_is_finished),
        T(one_without_a_guest_has_failed),
        T(one_that_failed_keeps_the_disks_that_it_found),
        T(one_that_nobody_waits_for_leaves_the_state_alone),
        T(its_guest_its_disks_and_its_allocation_go),
        T(shared_disks_stay),
        T(disks_that_nobody_tells_of_stay),
        T(one_that_is_just_being_made_loses_its_guest_only),
        T(one_that_was_being_made_is_settled_afterwards),
        cmocka_unit_test(a_host_that_is_forced_down_ends_what_is_made_elsewhere),
        cmocka_unit_test(one_that_is_here_by_right_is_not_touched),
        T(one_that_is_on_its_way_back_is_not_touched),
        T(one_that_is_deleted_leaves_nothing),
        T(a_guest_that_cannot_be_destroyed_is_tried_again),
        T(nothing_to_settle_costs_no_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
