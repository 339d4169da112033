/* What tests can make migrations between two hypervisors in memory do: the plan, its end, and the
 * moments at which they may be held or failed. What holds for every hypervisor is in the contract
 * (test_driver_contract.c). */
#include "util/thread.h"
#include "virt/fake/fake_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UUID "00000000-0000-4000-8000-000000000001"
#define WAIT_MS 20000

typedef struct Pair {
    VirtDriver *here, *there;
    VirtJob told[64];
    unsigned told_count;
    void (*act)(struct Pair *pair, const VirtJob *job);
} Pair;

static const VirtMigration to_peer = {.dest_uri = "qemu+tcp://b.example/system",
                                      .dest_xml = "<domain type='fake'>there</domain>",
                                      .post_copy = true};

static int open_pair(void **state)
{
    Pair *pair = g_new0(Pair, 1);

    pair->here = virt_fake_new(NULL);
    pair->there = virt_fake_new(NULL);
    fake_virt_add_peer(fake_virt(pair->here), "b.example", fake_virt(pair->there));
    fake_virt_add_guest(fake_virt(pair->here), UUID, "instance-1", GUEST_STATE_RUNNING);
    *state = pair;
    return 0;
}

static int close_pair(void **state)
{
    Pair *pair = *state;

    virt_driver_free(pair->here);
    virt_driver_free(pair->there);
    g_free(pair);
    return 0;
}

static void hear(void *arg, const VirtJob *job)
{
    Pair *pair = arg;

    if (pair->told_count < G_N_ELEMENTS(pair->told))
        pair->told[pair->told_count++] = *job;
    if (pair->act)
        pair->act(pair, job);
}

/* 0: it succeeded. */
static int migrate(Pair *pair, const VirtMigration *migration)
{
    const VirtWatch watch = {hear, pair};
    g_autoptr(GError) err = NULL;

    return pair->here->ops->migrate(pair->here->self, NULL, UUID, migration, &watch, &err)
               ? 0
               : err->code;
}

static int watch_on(Pair *pair)
{
    const VirtWatch watch = {hear, pair};
    g_autoptr(GError) err = NULL;

    return pair->here->ops->migrate_watch(pair->here->self, NULL, UUID, &watch, &err) ? 0
                                                                                      : err->code;
}

static GuestState state_at(VirtDriver *driver)
{
    GuestState state = GUEST_STATE_CRASHED;

    assert_true(driver->ops->state(driver->self, UUID, &state, NULL));
    return state;
}

static void assert_places(const Pair *pair, GuestState here, GuestState there)
{
    assert_int_equal(state_at(pair->here), here);
    assert_int_equal(state_at(pair->there), there);
}

static void passes_report_what_the_plan_says(void **state)
{
    Pair *pair = *state;
    const VirtJob jobs[] = {
        {.memory_total = 100, .memory_remaining = 80, .dirty_rate = 7, .elapsed_ms = 10},
        {.memory_total = 100, .memory_remaining = 20, .dirty_rate = 5, .elapsed_ms = 20},
    };
    g_autofree char *asked = NULL;

    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){.jobs = jobs, .job_count = 2});
    assert_int_equal(migrate(pair, &(VirtMigration){.dest_uri = to_peer.dest_uri,
                                                    .migrate_uri = "tcp://b",
                                                    .disks = (const char *[]){"vda", "vdb", NULL},
                                                    .bandwidth_mib = 8,
                                                    .connections = 2,
                                                    .tls = true}),
                     0);
    assert_places(pair, GUEST_STATE_NONE, GUEST_STATE_RUNNING);
    assert_int_equal(pair->told_count, 3);
    assert_int_equal(pair->told[0].memory_remaining, 80);
    assert_int_equal(pair->told[0].iteration, 1);
    assert_int_equal(pair->told[0].state, VIRT_JOB_RUNNING);
    assert_int_equal(pair->told[1].dirty_rate, 5);
    assert_int_equal(pair->told[1].iteration, 2);
    assert_int_equal(pair->told[2].state, VIRT_JOB_COMPLETED);
    asked = fake_virt_last_migration(fake_virt(pair->here));
    assert_string_equal(asked, "qemu+tcp://b.example/system tcp://b disks=vda,vdb bandwidth=8 "
                               "connections=2 tls");
}

static void a_failing_migration_leaves_the_guest(void **state)
{
    Pair *pair = *state;

    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){.end = FAKE_MIGRATION_FAILS});
    assert_int_equal(migrate(pair, &to_peer), DV_E_HYPERVISOR);
    assert_places(pair, GUEST_STATE_RUNNING, GUEST_STATE_NONE);
    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){0});
    fake_virt_fail(fake_virt(pair->here), "switch", DV_E_HYPERVISOR, 1);
    assert_int_equal(migrate(pair, &to_peer), DV_E_HYPERVISOR);
    assert_places(pair, GUEST_STATE_RUNNING, GUEST_STATE_NONE);
    fake_virt_set_connected(fake_virt(pair->there), false);
    assert_int_equal(migrate(pair, &to_peer), DV_E_HYPERVISOR);
    fake_virt_set_connected(fake_virt(pair->there), true);
    assert_places(pair, GUEST_STATE_RUNNING, GUEST_STATE_NONE);
}

static void a_forgotten_switch_leaves_the_guest_standing(void **state)
{
    Pair *pair = *state;

    fake_virt_plan_migration(fake_virt(pair->here),
                             &(FakeMigration){.end = FAKE_MIGRATION_FORGETS_HERE});
    assert_int_equal(migrate(pair, &to_peer), DV_E_INSTANCE_NOT_FOUND);
    assert_places(pair, GUEST_STATE_PAUSED, GUEST_STATE_NONE);
    assert_true(pair->here->ops->resume(pair->here->self, NULL, UUID, NULL));
    fake_virt_plan_migration(fake_virt(pair->here),
                             &(FakeMigration){.end = FAKE_MIGRATION_FORGETS});
    assert_int_equal(migrate(pair, &to_peer), DV_E_INSTANCE_NOT_FOUND);
    assert_places(pair, GUEST_STATE_PAUSED, GUEST_STATE_RUNNING);
    assert_true(pair->here->ops->destroy(pair->here->self, NULL, UUID, NULL));
}

static void allow_more_each_time(Pair *pair, const VirtJob *job)
{
    if (job->state == VIRT_JOB_RUNNING)
        assert_true(pair->here->ops->set_max_downtime(pair->here->self, NULL, UUID,
                                                      100 * job->iteration, NULL));
}

static void one_that_stays_ends_with_enough_downtime(void **state)
{
    Pair *pair = *state;
    const VirtJob job = {.downtime_ms = 350, .elapsed_ms = 1000};

    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){.jobs = &job,
                                                                     .job_count = 1,
                                                                     .pass_ms = 500,
                                                                     .end = FAKE_MIGRATION_STAYS});
    pair->act = allow_more_each_time;
    assert_int_equal(migrate(pair, &to_peer), 0);
    assert_places(pair, GUEST_STATE_NONE, GUEST_STATE_RUNNING);
    assert_int_equal(pair->told_count, 5); /* four passes and the end */
    assert_int_equal(pair->told[3].elapsed_ms, 2500);
}

static void pause_at_third(Pair *pair, const VirtJob *job)
{
    if (job->iteration == 3 && job->state == VIRT_JOB_RUNNING)
        assert_true(pair->here->ops->pause(pair->here->self, NULL, UUID, NULL));
}

static void one_that_stays_ends_when_the_guest_is_paused(void **state)
{
    Pair *pair = *state;

    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){.end = FAKE_MIGRATION_STAYS});
    pair->act = pause_at_third;
    assert_int_equal(migrate(pair, &to_peer), 0);
    assert_places(pair, GUEST_STATE_NONE, GUEST_STATE_RUNNING);
}

static void switch_to_post_copy(Pair *pair, const VirtJob *job)
{
    g_autoptr(GError) err = NULL;

    if (job->state != VIRT_JOB_RUNNING)
        return;
    assert_true(pair->here->ops->post_copy(pair->here->self, NULL, UUID, NULL));
    /* No way back from here. */
    assert_false(pair->here->ops->abort_job(pair->here->self, NULL, UUID, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
}

static void post_copy_ends_one_that_stays(void **state)
{
    Pair *pair = *state;

    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){.end = FAKE_MIGRATION_STAYS});
    pair->act = switch_to_post_copy;
    assert_int_equal(migrate(pair, &to_peer), 0);
    assert_int_equal(pair->told[1].state, VIRT_JOB_POST_COPY);
    assert_places(pair, GUEST_STATE_NONE, GUEST_STATE_RUNNING);
}

static void post_copy_may_break(void **state)
{
    Pair *pair = *state;

    fake_virt_plan_migration(fake_virt(pair->here), &(FakeMigration){.end = FAKE_MIGRATION_BREAKS});
    pair->act = switch_to_post_copy;
    assert_int_equal(migrate(pair, &to_peer), DV_E_POST_COPY_BROKEN);
    assert_places(pair, GUEST_STATE_PAUSED, GUEST_STATE_NONE);
}

static void try_post_copy(Pair *pair, const VirtJob *job)
{
    g_autoptr(GError) err = NULL;

    if (job->state != VIRT_JOB_RUNNING)
        return;
    assert_false(pair->here->ops->post_copy(pair->here->self, NULL, UUID, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
}

static void post_copy_must_be_permitted(void **state)
{
    Pair *pair = *state;

    pair->act = try_post_copy;
    assert_int_equal(migrate(pair, &(VirtMigration){.dest_uri = to_peer.dest_uri}), 0);
    assert_places(pair, GUEST_STATE_NONE, GUEST_STATE_RUNNING);
}

static gpointer migrate_in_thread(gpointer arg)
{
    return GINT_TO_POINTER(migrate(arg, &to_peer));
}

static void a_held_pass_can_be_cancelled(void **state)
{
    Pair *pair = *state;
    FakeVirt *fake = fake_virt(pair->here);

    for (int fails = 0; fails < 2; fails++) {
        GThread *thread;

        fake_virt_plan_migration(fake, &(FakeMigration){.cancel_fails = fails});
        fake_virt_hold(fake, "iteration");
        thread = g_thread_new("migrate", migrate_in_thread, pair);
        assert_true(fake_virt_wait_held(fake, "iteration", WAIT_MS));
        assert_int_equal(state_at(pair->there), GUEST_STATE_PAUSED);
        assert_true(pair->here->ops->abort_job(pair->here->self, NULL, UUID, NULL));
        assert_int_equal(GPOINTER_TO_INT(g_thread_join(thread)),
                         fails ? DV_E_HYPERVISOR : DV_E_CANCELLED);
        fake_virt_release(fake, "iteration");
        assert_places(pair, GUEST_STATE_RUNNING, GUEST_STATE_NONE);
    }
}

static void a_migration_goes_on_without_its_caller(void **state)
{
    Pair *pair = *state;
    VirtJob job = {0};

    assert_int_equal(watch_on(pair), DV_E_NOT_FOUND);
    fake_virt_begin_migration(fake_virt(pair->here), UUID, &to_peer);
    assert_true(pair->here->ops->job(pair->here->self, UUID, &job, NULL));
    assert_int_equal(job.state, VIRT_JOB_RUNNING);
    /* The connection is lost, and comes back. */
    fake_virt_fail(fake_virt(pair->here), "iteration", DV_E_UNAVAILABLE, 1);
    assert_int_equal(watch_on(pair), DV_E_UNAVAILABLE);
    assert_places(pair, GUEST_STATE_RUNNING, GUEST_STATE_PAUSED);
    assert_int_equal(watch_on(pair), 0);
    assert_places(pair, GUEST_STATE_NONE, GUEST_STATE_RUNNING);
    assert_int_equal(watch_on(pair), DV_E_INSTANCE_NOT_FOUND);
}

static void a_port_must_be_among_the_destinations(void **state)
{
    Pair *pair = *state;
    g_autoptr(GuestSpec) spec = guest_spec_new();
    g_autoptr(GPtrArray) nics = g_ptr_array_new();
    NicSpec *nic = guest_spec_add_nic(spec);
    NicSpec there = {.mac = (char *)"FA:16:3E:00:00:01",
                     .type = (char *)"bridge",
                     .bridge = (char *)"brq-there",
                     .devname = (char *)"tap1"};
    VirtDestination destination = {.nics = nics};
    const VirtOps *ops = pair->here->ops;
    g_autofree char *xml = NULL;
    g_autoptr(GError) err = NULL;

    spec->uuid = g_strdup("00000000-0000-4000-8000-000000000002");
    spec->name = g_strdup("instance-2");
    nic->mac = g_strdup("fa:16:3e:00:00:01");
    assert_true(ops->start(pair->here->self, NULL, spec, false, NULL));
    assert_false(ops->migration_xml(pair->here->self, spec->uuid, &destination, &xml, &err));
    assert_int_equal(err->code, DV_E_MIGRATION_PRECHECK);
    g_ptr_array_add(nics, &there);
    assert_true(ops->migration_xml(pair->here->self, spec->uuid, &destination, &xml, NULL));
    assert_non_null(strstr(xml, "brq-there"));
}

#define PAIR_TEST(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(passes_report_what_the_plan_says),
        PAIR_TEST(a_failing_migration_leaves_the_guest),
        PAIR_TEST(a_forgotten_switch_leaves_the_guest_standing),
        PAIR_TEST(one_that_stays_ends_with_enough_downtime),
        PAIR_TEST(one_that_stays_ends_when_the_guest_is_paused),
        PAIR_TEST(post_copy_ends_one_that_stays),
        PAIR_TEST(post_copy_may_break),
        PAIR_TEST(post_copy_must_be_permitted),
        PAIR_TEST(a_held_pass_can_be_cancelled),
        PAIR_TEST(a_migration_goes_on_without_its_caller),
        PAIR_TEST(a_port_must_be_among_the_destinations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
