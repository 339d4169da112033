/* How live migrations end when somebody who has to say so is away: libvirt here lost sight of the
 * guest at the switch, or conductor does not answer; and what is told of each end. */
#include "live.h"

#include "fakes/notifications.h"

static int setup_shared(void **state)
{
    *state = cloud_new(&(CloudOptions){.shared = true});
    return 0;
}

/* ---- libvirt has lost sight of it at the switch: the destination is asked ---- */

static void a_guest_that_is_there_does_not_stay_here(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &(FakeMigration){.end = FAKE_MIGRATION_FORGETS});
    migrate(cloud, "null");
    assert_int_equal(fake_agent_casts(cloud->source, "get_console_output", NULL), 1);
    assert_runs_on(cloud, cloud->dest);
    assert_migrations(cloud, "preparing\nrunning\ncompleted\n");
}

static void a_guest_that_is_not_there_goes_on_here(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud),
                             &(FakeMigration){.end = FAKE_MIGRATION_FORGETS_HERE});
    migrate(cloud, "null");
    assert_int_equal(fake_agent_casts(cloud->source, "get_console_output", NULL), 1);
    assert_rolled_back(cloud);
}

/* What has come in of it there is taken for a guest by nobody: only the one here is whole. */
static void half_a_guest_there_is_none(void **state)
{
    Cloud *cloud = *state;
    const VirtDriver *there = fake_agent(cloud->dest)->virt;

    fake_virt_plan_migration(source_virt(cloud),
                             &(FakeMigration){.end = FAKE_MIGRATION_FORGETS_HALF});
    check_and_start(cloud, "null");
    while (fake_agent_casts(cloud->source, "get_diagnostics", NULL) == 0)
        g_usleep(1000);
    assert_int_equal(guest(cloud->source), GUEST_STATE_PAUSED);
    assert_true(there->ops->destroy(there->self, NULL, UUID, NULL));
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
    assert_migrations(cloud, "preparing\nrunning\nfailed\n");
}

/* ---- conductor is away when it ends ---- */

static void await_migration(Cloud *cloud, const char *wanted)
{
    FakeConductor *conductor = fake_agent_conductor(cloud->source);
    g_autofree char *status = NULL;

    while (g_strcmp0(status, wanted) != 0) {
        g_usleep(1000);
        g_free(status);
        status = fake_conductor_migration_status(conductor, MIGRATION_ID);
    }
    fake_agent_wait_live(cloud->source, UUID);
    fake_agent_wait(cloud->source, UUID);
}

/* Its record says so, and the job has begun. */
static void await_migration_running(Cloud *cloud)
{
    while (fake_virt_calls(source_virt(cloud), "set_max_downtime") == 0)
        g_usleep(1000);
}

static void keep_record(Cloud *cloud)
{
    json_t *object = make_migration("accepted");

    fake_conductor_put_migration(fake_agent_conductor(cloud->source),
                                 json_deep_copy(data_of(object)));
    json_decref(object);
}

static void an_end_that_is_not_saved_is_saved_later(void **state)
{
    Cloud *cloud = *state;

    keep_record(cloud);
    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    await_migration_running(cloud);
    fake_conductor_fail(fake_agent_conductor(cloud->source), "Migration.save", "timeout");
    force_it(cloud);
    await_migration(cloud, "completed");
    fake_agent_assert_row(cloud->source, "host", DEST);
    fake_agent_assert_row(cloud->source, "task_state", "");
    assert_false(has_live_file(cloud->source));
}

static void await_no_task(Cloud *cloud)
{
    FakeConductor *conductor = fake_agent_conductor(cloud->source);
    g_autofree char *task = NULL;

    do {
        g_usleep(1000);
        g_free(task);
        task = fake_conductor_field(conductor, UUID, "task_state");
    } while (g_strcmp0(task, "migrating") == 0);
}

static void a_way_back_that_is_not_saved_is_gone_later(void **state)
{
    Cloud *cloud = *state;

    keep_record(cloud);
    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    await_migration_running(cloud);
    fake_conductor_fail(fake_agent_conductor(cloud->source), "Instance.save", "timeout");
    abort_it(cloud, "running");
    await_migration(cloud, "cancelled");
    await_no_task(cloud);
    await_migration(cloud, "cancelled");
    assert_runs_on(cloud, cloud->source);
    assert_false(has_live_file(cloud->source));
}

/* The instance is not free before: by its task the migration is found again. */
static void neither_is_forgotten_when_the_migration_is_not_saved(void **state)
{
    Cloud *cloud = *state;

    keep_record(cloud);
    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    await_migration_running(cloud);
    fake_conductor_fail(fake_agent_conductor(cloud->source), "Migration.save", "timeout");
    abort_it(cloud, "running");
    await_migration(cloud, "failed");
    await_no_task(cloud);
    fake_agent_wait_live(cloud->source, UUID);
    assert_runs_on(cloud, cloud->source);
    assert_int_equal(
        fake_agent_casts(cloud->source, "rollback_live_migration_at_destination", NULL), 2);
    assert_false(has_live_file(cloud->source));
}

/* ---- what is told ---- */

#define UNVERSIONED "[oslo_messaging_notifications]\ndriver = messagingv2\n"
#define VERSIONED UNVERSIONED "[notifications]\nnotification_format = versioned\n"

static int setup_telling(void **state)
{
    Cloud *cloud = cloud_new(&(CloudOptions){.source = UNVERSIONED, .dest = UNVERSIONED});

    g_ptr_array_unref(fake_agent_notifications(cloud->source));
    *state = cloud;
    return 0;
}

static int setup_telling_versioned(void **state)
{
    Cloud *cloud = cloud_new(&(CloudOptions){.source = VERSIONED, .dest = VERSIONED});

    g_ptr_array_unref(fake_agent_notifications(cloud->source));
    *state = cloud;
    return 0;
}

static void each_side_tells_its_part(void **state)
{
    Cloud *cloud = *state;

    migrate(cloud, "null");
    fake_agent_wait(cloud->dest, UUID);
    fake_agent_assert_events(cloud->source, "compute.instance.live_migration._post.start/INFO\n"
                                            "compute.instance.live_migration._post.end/INFO\n");
    fake_agent_assert_events(cloud->dest, "compute.instance.live_migration.pre.start/INFO\n"
                                          "compute.instance.live_migration.pre.end/INFO\n"
                                          "compute.instance.live_migration.post.dest.start/INFO\n"
                                          "compute.instance.live_migration.post.dest.end/INFO\n");
}

static void the_versioned_names_are_others(void **state)
{
    Cloud *cloud = *state;

    migrate(cloud, "null");
    fake_agent_wait(cloud->dest, UUID);
    fake_agent_assert_events(cloud->source, "instance.live_migration_post.start/INFO\n"
                                            "instance.live_migration_post.end/INFO\n");
    fake_agent_assert_events(cloud->dest, "instance.live_migration_pre.start/INFO\n"
                                          "instance.live_migration_pre.end/INFO\n"
                                          "instance.live_migration_post_dest.start/INFO\n"
                                          "instance.live_migration_post_dest.end/INFO\n");
}

static void abort_one_that_runs(Cloud *cloud)
{
    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    await_migration_running(cloud);
    abort_it(cloud, "running");
    fake_agent_wait_live(cloud->source, UUID);
    await_events(cloud, 4);
    fake_agent_wait(cloud->dest, UUID);
}

/* The abort and the way back are told by two workers. */
static void assert_told(FakeAgent *host, const char *const *wanted)
{
    g_autoptr(GPtrArray) all = fake_agent_notifications(host);
    g_autofree char *events = fake_agent_events(all);

    for (; *wanted; wanted++) {
        if (!strstr(events, *wanted))
            fail_msg("no %s in\n%s", *wanted, events);
    }
}

static void an_abort_and_its_way_back_are_told(void **state)
{
    static const char *const here[] = {"compute.instance.live.migration.abort.start/INFO\n",
                                       "compute.instance.live.migration.abort.end/INFO\n",
                                       "compute.instance.live_migration._rollback.start/INFO\n",
                                       "compute.instance.live_migration._rollback.end/INFO\n",
                                       NULL};
    Cloud *cloud = *state;

    abort_one_that_runs(cloud);
    assert_told(cloud->source, here);
    fake_agent_assert_events(cloud->dest,
                             "compute.instance.live_migration.pre.start/INFO\n"
                             "compute.instance.live_migration.pre.end/INFO\n"
                             "compute.instance.live_migration.rollback.dest.start/INFO\n"
                             "compute.instance.live_migration.rollback.dest.end/INFO\n");
}

static void the_versioned_names_of_these_too(void **state)
{
    static const char *const here[] = {"instance.live_migration_abort.start/INFO\n",
                                       "instance.live_migration_abort.end/INFO\n",
                                       "instance.live_migration_rollback.start/INFO\n",
                                       "instance.live_migration_rollback.end/INFO\n", NULL};
    Cloud *cloud = *state;

    abort_one_that_runs(cloud);
    assert_told(cloud->source, here);
    fake_agent_assert_events(cloud->dest, "instance.live_migration_pre.start/INFO\n"
                                          "instance.live_migration_pre.end/INFO\n"
                                          "instance.live_migration_rollback_dest.start/INFO\n"
                                          "instance.live_migration_rollback_dest.end/INFO\n");
}

static void one_that_is_forced_is_told(void **state)
{
    static const char *const here[] = {"instance.live_migration_force_complete.start/INFO\n",
                                       "instance.live_migration_force_complete.end/INFO\n",
                                       "instance.live_migration_post.end/INFO\n", NULL};
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    force_it(cloud);
    fake_agent_wait_live(cloud->source, UUID);
    await_events(cloud, 4);
    assert_told(cloud->source, here);
}

#define CASE(test, kind) cmocka_unit_test_setup_teardown(test, setup_##kind, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_end_that_is_not_saved_is_saved_later, shared),
        CASE(a_way_back_that_is_not_saved_is_gone_later, shared),
        CASE(neither_is_forgotten_when_the_migration_is_not_saved, shared),
        CASE(a_guest_that_is_there_does_not_stay_here, shared),
        CASE(a_guest_that_is_not_there_goes_on_here, shared),
        CASE(half_a_guest_there_is_none, shared),
        CASE(each_side_tells_its_part, telling),
        CASE(the_versioned_names_are_others, telling_versioned),
        CASE(an_abort_and_its_way_back_are_told, telling),
        CASE(the_versioned_names_of_these_too, telling_versioned),
        CASE(one_that_is_forced_is_told, telling_versioned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
