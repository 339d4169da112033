/* Live migrations whose agents die: what the next start of the source, or of the destination, makes
 * of a migration that goes on, is over, or never began. */
#include "live.h"

#include "agent/recovery.h"
#include "agent/recovery_moves.h"
#include "agent/startup.h"
#include "util/fs.h"

static int setup(void **state)
{
    Cloud *cloud = cloud_new(&(CloudOptions){0});
    g_autoptr(GError) err = NULL;

    if (!check(cloud, "null", &err))
        fail_msg("the check: %s", err->message);
    bind(cloud, "{\"port_filter\": true}");
    *state = cloud;
    return 0;
}

/* ---- what the dead had done ---- */

static void put_migration(Cloud *cloud, const char *status)
{
    json_t *object = make_migration(status);

    fake_conductor_put_migration(fake_agent_conductor(cloud->source),
                                 json_deep_copy(data_of(object)));
    json_decref(object);
}

/* The destination has prepared itself, and the source has written down what it answered. */
static void prepare(Cloud *cloud)
{
    Agent *agent = fake_agent(cloud->source);
    json_t *instance = fake_agent_instance(cloud->source, UUID);
    json_t *migration = make_migration("preparing");
    g_autoptr(Ovo) instance_view = ovo_view(instance, "Instance", NULL);
    g_autoptr(Ovo) migration_view = ovo_view(migration, "Migration", NULL);
    g_autoptr(Ovo) data = ovo_view(cloud->data, "LibvirtLiveMigrateData", NULL);
    g_autoptr(Ovo) args = ovo_new_dict();
    g_autoptr(Ovo) answer = NULL;
    g_autoptr(GError) err = NULL;
    json_t *result = NULL;
    Live live;

    ovo_set_child(args, "instance", instance_view);
    ovo_set_str(args, "disk", NULL);
    ovo_set_child(args, "migrate_data", data);
    if (!peer_call(agent->peers, fake_agent_ctx(cloud->source), DEST, "pre_live_migration", "6.0",
                   args, PEER_LONG, &result, &err))
        fail_msg("%s", err->message);
    answer = ovo_take(result, "LibvirtLiveMigrateData", NULL);
    live_init(&live, agent, fake_agent_ctx(cloud->source), instance_view, migration_view, answer,
              DEST);
    assert_true(live_file_write(&live, NULL));
    live_done(&live);
    json_decref(instance);
    json_decref(migration);
}

static const VirtMigration to_dest = {.dest_uri = "qemu+tcp://" DEST "/system"};

static void begin(Cloud *cloud)
{
    fake_virt_begin_migration(source_virt(cloud), UUID, &to_dest);
}

/* And has ended it without anybody being there to see. */
static void move_guest(Cloud *cloud)
{
    const VirtDriver *virt = fake_agent(cloud->source)->virt;

    assert_true(
        virt->ops->migrate(virt->self, fake_agent_ctx(cloud->source), UUID, &to_dest, NULL, NULL));
}

static void start_agent(FakeAgent *host)
{
    Agent *agent = fake_agent(host);
    g_autoptr(GError) err = NULL;

    if (!recovery_run(agent, fake_agent_ctx(host), &err))
        fail_msg("%s", err->message);
    recovery_moves(agent, fake_agent_ctx(host));
}

static void restart_source(Cloud *cloud)
{
    Agent *agent = fake_agent(cloud->source);

    /* it tells which migrations are in progress */
    assert_true(tracker_audit(agent->tracker, fake_agent_ctx(cloud->source), true, NULL));
    start_agent(cloud->source);
    fake_agent_wait_live(cloud->source, UUID);
    fake_agent_wait(cloud->dest, UUID);
}

static void assert_moved(Cloud *cloud)
{
    assert_runs_on(cloud, cloud->dest);
    assert_status(cloud->source, "completed");
    assert_int_equal(requests(cloud, "DELETE", ALLOCATIONS "/" MIGRATION), 1);
    assert_int_equal(requests(cloud, "POST", ALLOCATIONS), 0);
    assert_false(has_live_file(cloud->source));
    assert_false(fake_agent_has_disks(cloud->source, UUID));
}

static void assert_taken_back(Cloud *cloud, const char *status)
{
    assert_rolled_back(cloud);
    assert_status(cloud->source, status);
    assert_false(has_live_file(cloud->source));
    assert_false(fake_agent_has_disks(cloud->dest, UUID));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(cloud->dest)), 0);
}

/* ---- the source ---- */

static void one_that_goes_on_is_completed(void **state)
{
    Cloud *cloud = *state;

    put_migration(cloud, "running");
    prepare(cloud);
    begin(cloud);
    restart_source(cloud);
    assert_moved(cloud);
}

static void one_that_fails_after_all_is_taken_back(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &(FakeMigration){.end = FAKE_MIGRATION_FAILS});
    put_migration(cloud, "running");
    prepare(cloud);
    begin(cloud);
    restart_source(cloud);
    assert_taken_back(cloud, "failed");
}

static void one_that_was_over_is_completed(void **state)
{
    Cloud *cloud = *state;

    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    restart_source(cloud);
    assert_moved(cloud);
}

/* Killed before the hypervisor was asked, at each status that it may have had by then. */
static void one_that_never_began_is_taken_back(void **state)
{
    static const char *const statuses[] = {"queued", "preparing", "running"};

    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        void *cloud = NULL;

        setup(&cloud);
        put_migration(cloud, statuses[i]);
        prepare(cloud);
        restart_source(cloud);
        assert_taken_back(cloud, "failed");
        teardown(&cloud);
    }
    (void)state;
}

static void one_that_was_being_taken_back_is_taken_back(void **state)
{
    Cloud *cloud = *state;

    put_migration(cloud, "error");
    prepare(cloud);
    restart_source(cloud);
    assert_taken_back(cloud, "failed");
}

/* The destination had it already; what is left to do here is done. */
static void one_that_was_handed_over_is_completed(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *con = fake_agent_conductor(cloud->source);

    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    fake_conductor_set(con, UUID, "host", DEST);
    fake_conductor_set(con, UUID, "node", DEST);
    fake_conductor_set(con, UUID, "task_state", NULL);
    restart_source(cloud);
    assert_moved(cloud);
}

/* Until its record says that it has ended, the next start needs what this one knew. */
static void one_whose_end_is_not_recorded_is_completed_later(void **state)
{
    Cloud *cloud = *state;

    fake_agent(cloud->source)->second_look_ms = 3600 * 1000;
    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    fake_conductor_fail(fake_agent_conductor(cloud->source), "Migration.save", "timeout");
    restart_source(cloud);
    assert_runs_on(cloud, cloud->dest);
    assert_status(cloud->source, "running");
    assert_true(has_live_file(cloud->source));
    fake_agent(cloud->source)->second_look_ms = 0;
    restart_source(cloud);
    assert_runs_on(cloud, cloud->dest);
    assert_status(cloud->source, "completed");
    assert_false(has_live_file(cloud->source));
}

static void await_status(Cloud *cloud, const char *wanted)
{
    g_autofree char *status = NULL;

    while (g_strcmp0(status, wanted) != 0) {
        g_usleep(1000);
        g_free(status);
        status = fake_conductor_migration_status(fake_agent_conductor(cloud->source), MIGRATION_ID);
    }
}

/* Conductor is away when it is over, and still when it is looked at again. */
static void and_without_another_start(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *conductor = fake_agent_conductor(cloud->source);

    fake_agent(cloud->source)->second_look_ms = 20;
    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    fake_conductor_fail(conductor, "Migration.save", "timeout");
    restart_source(cloud);
    fake_conductor_fail(conductor, "Instance.get_by_uuid", "timeout");
    await_status(cloud, "completed");
    fake_agent_wait_live(cloud->source, UUID);
    assert_runs_on(cloud, cloud->dest);
    assert_false(has_live_file(cloud->source));
}

/* Its host lost power after the guest had left: only the definition is here, off. */
static void a_definition_that_is_left_goes(void **state)
{
    Cloud *cloud = *state;

    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    fake_virt_add_guest(source_virt(cloud), UUID, "instance-00000012", GUEST_STATE_OFF);
    restart_source(cloud);
    assert_moved(cloud);
}

/* The same, and the guest went down with its host. */
static void a_guest_that_went_down_with_its_host_stays(void **state)
{
    Cloud *cloud = *state;
    const VirtDriver *virt = fake_agent(cloud->source)->virt;

    put_migration(cloud, "running");
    prepare(cloud);
    assert_true(virt->ops->power_off(virt->self, fake_agent_ctx(cloud->source), UUID, NULL));
    restart_source(cloud);
    assert_int_equal(guest(cloud->source), GUEST_STATE_OFF);
    assert_int_equal(guest(cloud->dest), GUEST_STATE_NONE);
    fake_agent_assert_row(cloud->source, "host", FLOW_NODE);
    fake_agent_assert_row(cloud->source, "task_state", "");
    assert_status(cloud->source, "failed");
    assert_true(fake_agent_has_file(cloud->source, UUID, "disk"));
}

static void guests_that_moved_are_not_started_here(void **state)
{
    Cloud *cloud = cloud_new(
        &(CloudOptions){.source = "resume_guests_state_on_host_boot = true\n"});
    g_autoptr(GError) err = NULL;

    assert_true(check(cloud, "null", &err));
    bind(cloud, "{\"port_filter\": true}");
    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    restart_source(cloud);
    assert_moved(cloud);
    cloud_free(cloud);
    (void)state;
}

/* It was evacuated to a third host while its live migration was in progress. */
static void one_whose_instance_went_another_way_is_given_up(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *con = fake_agent_conductor(cloud->source);
    const VirtDriver *virt = fake_agent(cloud->source)->virt;

    put_migration(cloud, "running");
    prepare(cloud);
    assert_true(virt->ops->destroy(virt->self, fake_agent_ctx(cloud->source), UUID, NULL));
    fake_conductor_set(con, UUID, "host", "cmp3");
    fake_conductor_set(con, UUID, "task_state", NULL);
    restart_source(cloud);
    fake_agent_assert_row(cloud->source, "host", "cmp3");
    assert_status(cloud->source, "error");
    assert_int_equal(requests(cloud, "POST", ALLOCATIONS), 0);
    assert_int_equal(requests(cloud, "DELETE", ALLOCATIONS "/" MIGRATION), 1);
}

static void put_accepted_now(Cloud *cloud, json_t *dest_node)
{
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));
    json_t *object = make_migration("accepted");

    json_object_set_new(data_of(object), "updated_at", json_string(now));
    json_object_set_new(data_of(object), "dest_node", dest_node);
    fake_conductor_put_migration(fake_agent_conductor(cloud->source),
                                 json_deep_copy(data_of(object)));
    json_decref(object);
}

/* Conductor may still be looking for a host. */
static void one_that_was_accepted_just_now_is_left_alone(void **state)
{
    Cloud *cloud = *state;

    put_accepted_now(cloud, json_null());
    fake_agent(cloud->source)->second_look_ms = 3600 * 1000;
    restart_source(cloud);
    assert_status(cloud->source, "accepted");
    fake_agent_assert_row(cloud->source, "task_state", "migrating");
}

static void one_that_nobody_began_is_taken_back(void **state)
{
    Cloud *cloud = *state;

    put_migration(cloud, "accepted");
    restart_source(cloud);
    assert_runs_on(cloud, cloud->source);
    assert_status(cloud->source, "failed");
    assert_int_equal(requests(cloud, "POST", ALLOCATIONS), 1);
}

/* Its request came and died with the agent. */
static void one_whose_hosts_were_checked_is_not_waited_for(void **state)
{
    Cloud *cloud = *state;

    put_accepted_now(cloud, json_string(DEST));
    restart_source(cloud);
    assert_runs_on(cloud, cloud->source);
    assert_status(cloud->source, "failed");
}

static void one_that_was_adopted_can_be_aborted(void **state)
{
    static const VirtJob pass = {.memory_total = 1 << 20, .memory_remaining = 1 << 20};
    Cloud *cloud = *state;
    FakeVirt *virt = source_virt(cloud);

    fake_virt_plan_migration(
        virt, &(FakeMigration){.end = FAKE_MIGRATION_STAYS, .jobs = &pass, .job_count = 1});
    put_migration(cloud, "running");
    prepare(cloud);
    begin(cloud);
    start_agent(cloud->source);
    while (live_queue_phase(fake_agent(cloud->source)->live, UUID) != LIVE_RUNNING)
        g_usleep(1000);
    assert_int_equal(live_queue_cancel(fake_agent(cloud->source)->live, UUID), LIVE_RUNNING);
    fake_agent_wait_live(cloud->source, UUID);
    fake_agent_wait(cloud->dest, UUID);
    assert_taken_back(cloud, "cancelled");
}

/* ---- the destination ---- */

static void restart_dest(Cloud *cloud)
{
    start_agent(cloud->dest);
    fake_agent_wait(cloud->dest, UUID);
}

/* The source has done its part; what it said to this host was lost. */
static void a_guest_that_nobody_announced_is_taken_over(void **state)
{
    Cloud *cloud = *state;

    put_migration(cloud, "completed");
    prepare(cloud);
    move_guest(cloud);
    restart_dest(cloud);
    assert_runs_on(cloud, cloud->dest);
}

/* The source has reported just now; the destination's agent looks again and again. */
static void restart_dest_of_a_living_source(Cloud *cloud)
{
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));
    FakeConductor *con = fake_agent_conductor(cloud->source);
    int64_t limit_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    fake_conductor_answer(con, "Service.get_by_host_and_binary",
                          fake_agent_object("Service", "1.22",
                                            json_pack("{s:i, s:s}", "id", 1, "last_seen_up", now)));
    fake_agent(cloud->dest)->second_look_ms = 20;
    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    restart_dest(cloud);
    while (fake_conductor_count(con, "Service.get_by_host_and_binary") < 2 &&
           g_get_monotonic_time() < limit_us)
        g_usleep(5000);
}

static void a_guest_that_still_comes_is_left_alone(void **state)
{
    Cloud *cloud = *state;

    restart_dest_of_a_living_source(cloud);
    assert_int_equal(guest(cloud->dest), GUEST_STATE_RUNNING);
    fake_agent_assert_row(cloud->source, "host", FLOW_NODE);
    fake_agent_assert_row(cloud->source, "task_state", "migrating");
    assert_status(cloud->source, "running");
}

/* nova-compute as the source: once it has waited long enough for this host, it says that the
 * migration is completed, and never asks again. */
static void a_guest_whose_source_gives_up_is_taken_over(void **state)
{
    Cloud *cloud = *state;
    int64_t limit_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    restart_dest_of_a_living_source(cloud);
    put_migration(cloud, "completed");
    for (bool done = false; !done && g_get_monotonic_time() < limit_us; g_usleep(5000)) {
        g_autofree char *is = fake_conductor_field(fake_agent_conductor(cloud->source), UUID,
                                                   "host");

        done = g_strcmp0(is, DEST) == 0;
    }
    fake_agent_wait(cloud->dest, UUID);
    assert_runs_on(cloud, cloud->dest);
}

/* It died between its record and the binding at the source: nova-compute there does not ask again.
 */
static void what_is_left_of_taking_over_is_done(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *con = fake_agent_conductor(cloud->source);

    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    fake_conductor_set(con, UUID, "host", DEST);
    fake_conductor_set(con, UUID, "node", DEST);
    fake_conductor_set(con, UUID, "task_state", "");
    recovery_moves_note(fake_agent(cloud->dest), UUID); /* it is in the audit's list */
    restart_dest(cloud);
    assert_runs_on(cloud, cloud->dest);
    assert_int_equal(
        requests(cloud, "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_A "/bindings/" FLOW_NODE), 1);
    assert_int_equal(
        requests(cloud, "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_B "/bindings/" FLOW_NODE), 1);
}

/* The host that it comes from is lost, and cannot say so any more. */
static void a_guest_whose_source_is_lost_is_taken_over(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *con = fake_agent_conductor(cloud->source);

    fake_conductor_answer(con, "Service.get_by_host_and_binary",
                          fake_agent_object("Service", "1.22",
                                            json_pack("{s:i, s:s}", "id", 1, "last_seen_up",
                                                      "2020-01-01T00:00:00Z")));
    put_migration(cloud, "running");
    prepare(cloud);
    move_guest(cloud);
    restart_dest(cloud);
    assert_runs_on(cloud, cloud->dest);
}

/* Other hosts may ask at this moment, and share the folder. */
static void files_of_a_question_that_died_go(void **state)
{
    static const struct {
        const char *name;
        bool stays;
    } files[] = {
        {"tmp-" DEST "-aB3dE9", false},     {"tmp-" DEST "-000000", false},
        {"tmp-" DEST "-2-aB3dE9", true},    {"tmp-" DEST "--B3dE9", true},
        {"tmp-" FLOW_NODE "-aB3dE9", true}, {"tmpaB3dE9f", true},
    };
    Cloud *cloud = *state;
    const char *folder = fake_agent_instances_path(cloud->dest);

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(folder, files[i].name, NULL);

        assert_true(dv_write_file(path, "", 0, 0600, NULL));
    }
    assert_true(startup_open(fake_agent(cloud->dest), fake_agent_ctx(cloud->dest), NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(folder, files[i].name, NULL);

        if (dv_exists(path) != files[i].stays)
            fail_msg("%s", files[i].name);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_that_goes_on_is_completed),
        T(one_that_fails_after_all_is_taken_back),
        T(one_that_was_over_is_completed),
        cmocka_unit_test(one_that_never_began_is_taken_back),
        T(one_that_was_being_taken_back_is_taken_back),
        T(one_that_was_handed_over_is_completed),
        T(one_whose_end_is_not_recorded_is_completed_later),
        T(and_without_another_start),
        T(a_definition_that_is_left_goes),
        T(a_guest_that_went_down_with_its_host_stays),
        cmocka_unit_test(guests_that_moved_are_not_started_here),
        T(one_whose_instance_went_another_way_is_given_up),
        T(one_that_was_accepted_just_now_is_left_alone),
        T(one_that_nobody_began_is_taken_back),
        T(one_whose_hosts_were_checked_is_not_waited_for),
        T(one_that_was_adopted_can_be_aborted),
        T(a_guest_that_nobody_announced_is_taken_over),
        T(a_guest_that_still_comes_is_left_alone),
        T(a_guest_whose_source_gives_up_is_taken_over),
        T(a_guest_whose_source_is_lost_is_taken_over),
        T(what_is_left_of_taking_over_is_done),
        T(files_of_a_question_that_died_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
