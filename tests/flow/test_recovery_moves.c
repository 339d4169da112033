/* Cold moves that the death of an agent has interrupted, as the next start finds them: at each of
 * their steps, on either side. */
#include "agent/recovery.h"
#include "agent/recovery_moves.h"
#include "agent/startup.h"
#include "flow/moves.h"

#include <sys/stat.h>

#define OTHER "cmp2"

static int setup(void **state)
{
    FakeAgent *fake = booted(NULL);

    script_allocations(fake_agent_server(fake));
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* ---- what was left ---- */

static json_t *migration(const char *status, const char *source, const char *dest)
{
    json_auto_t *object = migration_record("migration", 1, status, source, dest);

    return json_incref(json_object_get(object, "nova_object.data"));
}

/* The instance is at `host` with that task, between `source` and `dest`. */
static void left(FakeAgent *fake, const char *task, const char *host, const char *status,
                 const char *source, const char *dest)
{
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *instance = fake_agent_instance(fake, UUID);
    json_t *data = json_object_get(instance, "nova_object.data");

    fake_conductor_set(con, UUID, "task_state", task);
    fake_conductor_set(con, UUID, "host", host);
    fake_conductor_set_json(con, UUID, "old_flavor",
                            json_deep_copy(json_object_get(data, "flavor")));
    fake_conductor_set_json(con, UUID, "new_flavor",
                            json_deep_copy(json_object_get(data, "flavor")));
    fake_conductor_put_migration(con, migration(status, source, dest));
    json_decref(instance);
}

static void set_aside(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->power_off(virt->self, fake_agent_ctx(fake), UUID, NULL));
    assert_true(disks_set_aside(fake_agent(fake)->disks, fake_agent_ctx(fake), UUID, NULL));
}

static bool is_aside(FakeAgent *fake)
{
    g_auto(GStrv) uuids = NULL;

    assert_true(disks_list_aside(fake_agent(fake)->disks, &uuids, NULL));
    return g_strv_contains((const char *const *)uuids, UUID);
}

static void start(FakeAgent *fake)
{
    Agent *agent = fake_agent(fake);
    g_autoptr(GError) err = NULL;

    if (!recovery_run(agent, fake_agent_ctx(fake), &err) ||
        !tracker_audit(agent->tracker, fake_agent_ctx(fake), true, &err))
        fail_msg("%s", err->message);
    recovery_moves(agent, fake_agent_ctx(fake));
    fake_agent_wait(fake, UUID);
}

/* ---- before the source has begun ---- */

static void a_claim_of_the_dead_is_given_back(void **state)
{
    FakeAgent *fake = *state;

    left(fake, "resize_prep", OTHER, "pre-migrating", OTHER, "vm");
    start(fake);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "host", OTHER);
    fake_agent_assert_row(fake, "new_flavor", "");
    assert_status(fake, "error");
    assert_int_equal(allocations_moved(fake), 1);
}

/* Placement says that this consumer holds something on this host. */
static void start_with_consumer(FakeAgent *fake, const char *consumer)
{
    g_autofree char *provider = NULL;
    g_autofree char *target = NULL;
    g_autofree char *answer = g_strdup_printf("{\"resource_provider_generation\":1,"
                                              "\"allocations\":{\"%s\":{\"resources\":"
                                              "{\"VCPU\":1}}}}",
                                              consumer);

    assert_true(tracker_audit(fake_agent(fake)->tracker, fake_agent_ctx(fake), true, NULL));
    assert_true(tracker_node_identity(fake_agent(fake)->tracker, &provider, &(int64_t){0}));
    target = g_strconcat(FLOW_PLACEMENT "/resource_providers/", provider, "/allocations*", NULL);
    http_server_json(fake_agent_server(fake), "GET", target, 200, answer);
    startup_recover_unclaimed(fake_agent(fake), fake_agent_ctx(fake));
    recovery_moves(fake_agent(fake), fake_agent_ctx(fake));
    fake_agent_wait(fake, UUID);
}

/* It died before its claim: only the allocation tells of it. */
static void one_that_only_placement_knows_of_is_given_back(void **state)
{
    FakeAgent *fake = *state;

    left(fake, "resize_prep", OTHER, "accepted", OTHER, NULL);
    start_with_consumer(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", OTHER);
    assert_status(fake, "error");
    assert_int_equal(allocations_moved(fake), 1);
}

/* As nova's conductor makes the record: no host is named in it, but it is pre-migrating already. */
static void what_conductor_made_for_it_is_given_back(void **state)
{
    FakeAgent *fake = *state;

    left(fake, "resize_prep", OTHER, "pre-migrating", OTHER, NULL);
    start_with_consumer(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", OTHER);
    assert_status(fake, "error");
    assert_int_equal(allocations_moved(fake), 1);
}

/* The cast had been sent: the source is at it by now. */
static void a_claim_that_the_source_goes_on_with_stays(void **state)
{
    FakeAgent *fake = *state;

    left(fake, "resize_migrating", OTHER, "migrating", OTHER, "vm");
    start(fake);
    fake_agent_assert_row(fake, "task_state", "resize_migrating");
    assert_status(fake, "migrating");
    assert_int_equal(allocations_moved(fake), 0);
}

static void the_source_forgets_a_resize_that_another_host_prepares(void **state)
{
    FakeAgent *fake = *state;

    left(fake, "resize_prep", "vm", "accepted", "vm", OTHER);
    start(fake);
    fake_agent_assert_row(fake, "task_state", "");
    assert_status(fake, "accepted");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
}

/* The destination has claimed its room and has no more to do; its message died with this agent. */
static void the_source_takes_back_a_resize_that_was_claimed(void **state)
{
    FakeAgent *fake = *state;

    left(fake, "resize_prep", "vm", "pre-migrating", "vm", OTHER);
    start(fake);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "new_flavor", "");
    assert_status(fake, "error");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_int_equal(allocations_moved(fake), 1);
}

/* ---- the source ---- */

static void disks_that_were_set_aside_are_put_back(void **state)
{
    FakeAgent *fake = *state;

    set_aside(fake);
    left(fake, "resize_migrating", "vm", "migrating", "vm", OTHER);
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_false(is_aside(fake));
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_status(fake, "error");
    assert_int_equal(allocations_moved(fake), 1);
}

static void a_guest_that_still_runs_goes_on(void **state)
{
    FakeAgent *fake = *state;
    unsigned starts = calls(fake, "start");

    left(fake, "resize_migrating", "vm", "migrating", "vm", OTHER);
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "start"), starts);
    assert_status(fake, "error");
    assert_int_equal(allocations_moved(fake), 1);
    /* the destination may have its empty directory by now */
    assert_int_equal(calls(fake, "remove_files"), 1);
}

/* What is aside belongs to another move, and names files that the guest may use. */
static void files_of_a_guest_that_runs_beside_others_stay(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *aside = disks_aside_dir(fake_agent(fake)->disks, UUID);

    assert_int_equal(mkdir(aside, 0755), 0);
    left(fake, "resize_migrating", "vm", "migrating", "vm", OTHER);
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_int_equal(calls(fake, "remove_files"), 0);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void one_that_was_off_stays_off(void **state)
{
    FakeAgent *fake = *state;

    set_aside(fake);
    left(fake, "resize_migrating", "vm", "migrating", "vm", OTHER);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
    fake_conductor_set_json(fake_agent_conductor(fake), UUID, "system_metadata",
                            json_pack("{s:s}", "old_vm_state", "stopped"));
    start(fake);
    fake_agent_assert_row(fake, "vm_state", "stopped");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void a_guest_that_cannot_be_put_back_keeps_its_disks(void **state)
{
    FakeAgent *fake = *state;

    set_aside(fake);
    left(fake, "resize_migrating", "vm", "migrating", "vm", OTHER);
    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    start(fake);
    fake_agent_assert_row(fake, "task_state", "");
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_status(fake, "error");
    assert_int_equal(allocations_moved(fake), 1);
}

static void a_destination_that_was_not_told_is_told(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *host = NULL;

    set_aside(fake);
    left(fake, "resize_migrated", OTHER, "post-migrating", "vm", OTHER);
    start(fake);
    assert_int_equal(fake_agent_casts(fake, "finish_resize", &host), 1);
    assert_string_equal(host, OTHER);
    assert_true(is_aside(fake));
}

/* ---- the destination ---- */

static void finished_from(FakeAgent *fake, const char *task)
{
    set_aside(fake);
    left(fake, task, "vm", "post-migrating", "vm", "vm");
    start(fake);
    assert_is(fake, "resized", "1", GUEST_STATE_RUNNING);
    assert_status(fake, "finished");
    assert_true(is_aside(fake));
}

static void a_guest_that_has_arrived_is_made(void **state)
{
    finished_from(*state, "resize_migrated");
}

static void a_guest_that_was_being_made_is_made_again(void **state)
{
    finished_from(*state, "resize_finish");
}

/* The source had handed it over, and the message may come: nobody does it twice. */
static void nothing_is_done_before_the_second_look(void **state)
{
    FakeAgent *fake = *state;

    fake_agent(fake)->second_look_ms = 3600 * 1000;
    set_aside(fake);
    left(fake, "resize_migrated", "vm", "post-migrating", "vm", "vm");
    start(fake);
    fake_agent_assert_row(fake, "task_state", "resize_migrated");
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
}

static void the_second_look_does_it(void **state)
{
    FakeAgent *fake = *state;
    int64_t limit_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    fake_agent(fake)->second_look_ms = 20;
    set_aside(fake);
    left(fake, "resize_migrated", "vm", "post-migrating", "vm", "vm");
    start(fake);
    for (bool done = false; !done && g_get_monotonic_time() < limit_us; g_usleep(5000)) {
        g_autofree char *is = fake_conductor_field(fake_agent_conductor(fake), UUID, "vm_state");

        done = g_strcmp0(is, "resized") == 0;
    }
    fake_agent_wait(fake, UUID);
    assert_is(fake, "resized", "1", GUEST_STATE_RUNNING);
    assert_status(fake, "finished");
}

/* ---- the ends ---- */

static void resized(FakeAgent *fake)
{
    finished_from(fake, "resize_migrated");
}

static void set_migration(FakeAgent *fake, const char *status, const char *task)
{
    FakeConductor *con = fake_agent_conductor(fake);
    g_autoptr(Ovo) migration = NULL;

    assert_true(conductor_migration_newest(fake_agent(fake)->con, fake_agent_ctx(fake), UUID,
                                           &migration, NULL));
    ovo_set_str(migration, "status", status);
    assert_true(conductor_save(fake_agent(fake)->con, fake_agent_ctx(fake), migration, NULL));
    fake_conductor_set(con, UUID, "task_state", task);
}

/* Killed between the start of the guest and the word of it: nothing is done to the guest again. */
static void a_guest_that_was_started_goes_on(void **state)
{
    FakeAgent *fake = *state;
    unsigned starts;

    finished_from(fake, "resize_migrated");
    starts = calls(fake, "start");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "active");
    set_migration(fake, "post-migrating", "resize_finish");
    start(fake);
    assert_is(fake, "resized", "1", GUEST_STATE_RUNNING);
    assert_status(fake, "finished");
    assert_int_equal(calls(fake, "start"), starts);
    assert_true(is_aside(fake));
}

static void one_that_waits_for_its_user_is_left_alone(void **state)
{
    FakeAgent *fake = *state;

    resized(fake);
    start(fake);
    assert_is(fake, "resized", "1", GUEST_STATE_RUNNING);
    assert_status(fake, "finished");
    assert_true(is_aside(fake));
}

static void a_confirmation_is_carried_out(void **state)
{
    FakeAgent *fake = *state;

    resized(fake);
    set_migration(fake, "confirming", NULL);
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_status(fake, "confirmed");
    assert_false(is_aside(fake));
}

static unsigned allocations_dropped(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "DELETE", ALLOCATIONS "/" MIGRATION);
}

/* The migration says that it is over; the allocation, that it is not. */
static void the_rest_of_a_confirmation_is_carried_out(void **state)
{
    FakeAgent *fake = *state;

    resized(fake);
    assert_true(disks_forget_aside(fake_agent(fake)->disks, fake_agent_ctx(fake), UUID, NULL));
    set_migration(fake, "confirmed", NULL);
    start_with_consumer(fake, MIGRATION);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    fake_agent_assert_row(fake, "old_flavor", "");
    assert_status(fake, "confirmed");
    assert_int_equal(allocations_dropped(fake), 1);
}

static void a_server_whose_confirmation_was_told_stays_as_it_is(void **state)
{
    FakeAgent *fake = *state;

    resized(fake);
    assert_true(disks_forget_aside(fake_agent(fake)->disks, fake_agent_ctx(fake), UUID, NULL));
    set_migration(fake, "confirmed", NULL);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "paused");
    start_with_consumer(fake, MIGRATION);
    fake_agent_assert_row(fake, "vm_state", "paused");
    assert_int_equal(allocations_dropped(fake), 1);
}

static void a_revert_is_carried_out(void **state)
{
    FakeAgent *fake = *state;

    resized(fake);
    set_migration(fake, "reverting", "resize_reverting");
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_status(fake, "reverted");
    assert_false(is_aside(fake));
}

static void the_rest_of_a_revert_is_carried_out(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    resized(fake);
    assert_true(virt->ops->destroy(virt->self, fake_agent_ctx(fake), UUID, NULL));
    set_migration(fake, "reverted", "resize_reverting");
    start(fake);
    assert_is(fake, "active", "1", GUEST_STATE_RUNNING);
    assert_false(is_aside(fake));
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void a_source_that_was_not_told_of_a_revert_is_told(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *host = NULL;

    left(fake, "resize_reverting", "vm", "reverted", OTHER, "vm");
    start(fake);
    assert_int_equal(fake_agent_casts(fake, "finish_revert_resize", &host), 1);
    assert_string_equal(host, OTHER);
}

static void moves_of_others_are_left_alone(void **state)
{
    static const struct {
        const char *task, *status;
    } moves[] = {
        {"resize_prep", "pre-migrating"},
        {"resize_migrating", "migrating"},
        {"resize_migrated", "post-migrating"},
        {"resize_reverting", "reverting"},
        {"migrating", "running"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(moves); i++) {
        FakeAgent *fake = booted(NULL);

        left(fake, moves[i].task, OTHER, moves[i].status, OTHER, "cmp3");
        start(fake);
        fake_agent_assert_row(fake, "task_state", moves[i].task);
        assert_status(fake, moves[i].status);
        assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
        fake_agent_free(fake);
    }
    (void)state;
}

static void moves_between_cells_are_conductors(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *record = migration("post-migrating", OTHER, "vm");

    json_object_set_new(record, "cross_cell_move", json_true());
    fake_conductor_put_migration(con, record);
    fake_conductor_set(con, UUID, "task_state", "resize_migrated");
    start(fake);
    fake_agent_assert_row(fake, "task_state", "resize_migrated");
    assert_status(fake, "post-migrating");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_claim_of_the_dead_is_given_back),
        T(one_that_only_placement_knows_of_is_given_back),
        T(what_conductor_made_for_it_is_given_back),
        T(a_claim_that_the_source_goes_on_with_stays),
        T(the_source_forgets_a_resize_that_another_host_prepares),
        T(the_source_takes_back_a_resize_that_was_claimed),
        T(disks_that_were_set_aside_are_put_back),
        T(a_guest_that_still_runs_goes_on),
        T(files_of_a_guest_that_runs_beside_others_stay),
        T(one_that_was_off_stays_off),
        T(a_guest_that_cannot_be_put_back_keeps_its_disks),
        T(a_destination_that_was_not_told_is_told),
        T(a_guest_that_has_arrived_is_made),
        T(a_guest_that_was_being_made_is_made_again),
        T(a_guest_that_was_started_goes_on),
        T(nothing_is_done_before_the_second_look),
        T(the_second_look_does_it),
        T(one_that_waits_for_its_user_is_left_alone),
        T(a_confirmation_is_carried_out),
        T(the_rest_of_a_confirmation_is_carried_out),
        T(a_server_whose_confirmation_was_told_stays_as_it_is),
        T(a_revert_is_carried_out),
        T(the_rest_of_a_revert_is_carried_out),
        T(a_source_that_was_not_told_of_a_revert_is_told),
        cmocka_unit_test(moves_of_others_are_left_alone),
        T(moves_between_cells_are_conductors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
