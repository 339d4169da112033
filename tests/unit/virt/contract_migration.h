/* The part of the driver contract that is about live migration; see contract.h, which is included
 * first. CONTRACT_MIGRATION_TESTS need one hypervisor, CONTRACT_PAIR_TESTS a second one that the
 * first can migrate to: the fake's pair in test_driver_contract.c, two libvirtds in tests/virt. */
#pragma once

#include "unit/virt/contract.h"

/* The second hypervisor, and what a dest_uri must be to reach it. */
static VirtDriver *contract_peer(void);
static const char *contract_peer_uri(void);

#define NOWHERE "qemu+unix:///system?socket=/nonexistent/libvirt-sock"

/* Every operation that needs a guest says so when there is none. */
static void contract_absent_guest_is_not_migrated(void **state)
{
    VirtDriver *driver = *state;
    const VirtOps *ops = driver->ops;
    const char *uuid = "00000000-0000-4000-8000-00000000dead";
    const VirtMigration migration = {.dest_uri = NOWHERE};
    const VirtDestination destination = {.vnc_listen = "127.0.0.1"};
    GPtrArray *disks = NULL;
    char *xml = NULL;
    VirtJob job;
    GError *errs[8] = {NULL};

    assert_false(ops->migrate(driver->self, NULL, uuid, &migration, NULL, &errs[0]));
    assert_false(ops->migrate_watch(driver->self, NULL, uuid, NULL, &errs[1]));
    assert_false(ops->job(driver->self, uuid, &job, &errs[2]));
    assert_false(ops->post_copy(driver->self, NULL, uuid, &errs[3]));
    assert_false(ops->set_max_downtime(driver->self, NULL, uuid, 500, &errs[4]));
    assert_false(ops->set_bandwidth(driver->self, NULL, uuid, 100, &errs[5]));
    assert_false(ops->migration_xml(driver->self, uuid, &destination, &xml, &errs[6]));
    assert_false(ops->disks(driver->self, uuid, &disks, &errs[7]));
    for (size_t i = 0; i < G_N_ELEMENTS(errs); i++) {
        assert_int_equal(errs[i]->code, DV_E_INSTANCE_NOT_FOUND);
        g_clear_error(&errs[i]);
    }
}

static void contract_guest_at_rest_has_no_migration(void **state)
{
    VirtDriver *driver = *state;
    const VirtOps *ops = driver->ops;
    g_autoptr(GuestSpec) spec = contract_spec(30);
    g_autoptr(GError) e1 = NULL;
    g_autoptr(GError) e2 = NULL;
    g_autoptr(GError) e3 = NULL;
    g_autoptr(GError) e4 = NULL;
    g_autoptr(GError) e5 = NULL;
    VirtJob job = {.state = VIRT_JOB_RUNNING};

    start(driver, spec, false);
    must(ops->job(driver->self, spec->uuid, &job, &e1), e1);
    assert_int_equal(job.state, VIRT_JOB_NONE);
    assert_false(ops->migrate_watch(driver->self, NULL, spec->uuid, NULL, &e2));
    assert_int_equal(e2->code, DV_E_NOT_FOUND);
    assert_false(ops->post_copy(driver->self, NULL, spec->uuid, &e3));
    assert_int_equal(e3->code, DV_E_HYPERVISOR);
    assert_false(ops->set_max_downtime(driver->self, NULL, spec->uuid, 500, &e4));
    assert_int_equal(e4->code, DV_E_HYPERVISOR);
    assert_false(ops->set_bandwidth(driver->self, NULL, spec->uuid, 100, &e5));
    assert_int_equal(e5->code, DV_E_HYPERVISOR);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
}

static void contract_unreachable_destination_leaves_the_guest(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(31);
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) job_err = NULL;
    const VirtMigration migration = {.dest_uri = NOWHERE};
    VirtJob job = {.state = VIRT_JOB_RUNNING};

    start(driver, spec, false);
    assert_false(driver->ops->migrate(driver->self, NULL, spec->uuid, &migration, NULL, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    must(driver->ops->job(driver->self, spec->uuid, &job, &job_err), job_err);
    assert_int_equal(job.state, VIRT_JOB_NONE);
    destroy(driver, spec);
}

static void contract_disks_do_not_go_through_a_tunnel(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(38);
    g_autoptr(GError) err = NULL;
    const VirtMigration migration = {
        .dest_uri = NOWHERE, .disks = (const char *[]){"vda", NULL}, .tunnelled = true};

    start(driver, spec, false);
    assert_false(driver->ops->migrate(driver->self, NULL, spec->uuid, &migration, NULL, &err));
    assert_int_equal(err->code, DV_E_UNSUPPORTED);
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    destroy(driver, spec);
}

static void contract_description_is_rewritten_for_the_destination(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GuestSpec) spec = contract_spec(32);
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;
    const VirtDestination destination = {.vnc_listen = "127.0.0.99"};

    start(driver, spec, true);
    must(driver->ops->migration_xml(driver->self, spec->uuid, &destination, &xml, &err), err);
    assert_non_null(strstr(xml, spec->uuid));
    assert_non_null(strstr(xml, "127.0.0.99"));
    destroy(driver, spec);
}

static void contract_serial_ports_are_reserved_once(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    const char *first = "0d20e000-0000-4000-8000-0000000000f1";
    const char *second = "0d20e000-0000-4000-8000-0000000000f2";
    int ports[2] = {0, 0}, others[1] = {0};

    must(driver->ops->reserve_serial(driver->self, first, "127.0.0.1", 2, ports, &err), err);
    must(driver->ops->reserve_serial(driver->self, second, "127.0.0.1", 1, others, &err), err);
    assert_in_range(ports[0], 1, 65535);
    assert_in_range(ports[1], 1, 65535);
    assert_int_not_equal(ports[0], ports[1]);
    assert_int_not_equal(others[0], ports[0]);
    assert_int_not_equal(others[0], ports[1]);
    /* Destroying what never came gives them back. */
    must(driver->ops->destroy(driver->self, NULL, first, &err), err);
    must(driver->ops->destroy(driver->self, NULL, second, &err), err);
}

/* Emulated CPUs run anywhere, and these drivers emulate. */
static void contract_emulated_cpus_run_anywhere(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(VirtCpu) cpu = virt_cpu_new();

    cpu->arch = g_strdup("x86_64");
    cpu->model = g_strdup("no-such-model");
    cpu->vendor = g_strdup("Nobody");
    must(driver->ops->compare_cpu(driver->self, NULL, cpu, &err), err);
}

/* ---- two hypervisors ---- */

/* What a watch was told. */
typedef struct Told {
    VirtDriver *driver;
    const char *uuid;
    unsigned calls;
    VirtJob last;
    void (*act)(struct Told *told); /* at the first sight of a running job, or NULL */
    bool acted;
} Told;

static void take_note(void *arg, const VirtJob *job)
{
    Told *told = arg;

    told->calls++;
    told->last = *job;
    if (job->state == VIRT_JOB_RUNNING && told->act && !told->acted) {
        told->acted = true;
        told->act(told);
    }
}

static void cancel(Told *told)
{
    g_autoptr(GError) err = NULL;

    must(told->driver->ops->abort_job(told->driver->self, NULL, told->uuid, &err), err);
}

/* The description for the peer, with an address that tells it from the source's. */
static char *for_peer(VirtDriver *driver, const GuestSpec *spec)
{
    const VirtDestination destination = {.vnc_listen = "127.0.0.2"};
    g_autoptr(GError) err = NULL;
    char *xml = NULL;

    must(driver->ops->migration_xml(driver->self, spec->uuid, &destination, &xml, &err), err);
    return xml;
}

static void assert_is_at_peer(VirtDriver *driver, const GuestSpec *spec, GuestState state)
{
    VirtDriver *peer = contract_peer();
    g_autofree char *xml = NULL;
    g_autoptr(GError) err = NULL;

    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_NONE);
    assert_int_equal(state_now(peer, spec->uuid), state);
    must(peer->ops->describe(peer->self, spec->uuid, &xml, &err), err);
    assert_non_null(strstr(xml, "127.0.0.2"));
}

static void contract_running_guest_moves(void **state)
{
    VirtDriver *driver = *state, *peer = contract_peer();
    g_autoptr(GuestSpec) spec = contract_spec(33);
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;
    Told told = {0};
    const VirtWatch watch = {take_note, &told};
    static EventLog here, there; /* outlive a test that fails */

    event_log_start(&here, driver);
    event_log_start(&there, peer);
    start(driver, spec, false);
    xml = for_peer(driver, spec);
    must(driver->ops->migrate(driver->self, NULL, spec->uuid,
                              &(VirtMigration){.dest_uri = contract_peer_uri(), .dest_xml = xml},
                              &watch, &err),
         err);
    assert_is_at_peer(driver, spec, GUEST_STATE_RUNNING);
    assert_true(told.calls > 0);
    assert_int_equal(told.last.state, VIRT_JOB_COMPLETED);
    assert_true(wait_event(&here, spec->uuid, GUEST_EVENT_MIGRATION_SWITCHES));
    assert_true(wait_event(&here, spec->uuid, GUEST_EVENT_MOVED_AWAY));
    assert_true(wait_event(&there, spec->uuid, GUEST_EVENT_INCOMING));
    assert_true(wait_event(&there, spec->uuid, GUEST_EVENT_RESUMED));
    assert_false(has_event(&here, spec->uuid, GUEST_EVENT_STOPPED));
    assert_false(has_event(&here, spec->uuid, GUEST_EVENT_PAUSED));
    assert_false(has_event(&there, spec->uuid, GUEST_EVENT_STOPPED));
    destroy(peer, spec);
    event_log_stop(&there, peer);
    event_log_stop(&here, driver);
}

static void contract_paused_guest_moves_and_stays_paused(void **state)
{
    VirtDriver *driver = *state, *peer = contract_peer();
    g_autoptr(GuestSpec) spec = contract_spec(34);
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;

    start(driver, spec, true);
    xml = for_peer(driver, spec);
    /* Post-copy is for guests that run; permitting it does no harm. */
    must(driver->ops->migrate(
             driver->self, NULL, spec->uuid,
             &(VirtMigration){.dest_uri = contract_peer_uri(), .dest_xml = xml, .post_copy = true},
             NULL, &err),
         err);
    assert_is_at_peer(driver, spec, GUEST_STATE_PAUSED);
    must(peer->ops->resume(peer->self, NULL, spec->uuid, &err), err);
    assert_int_equal(state_now(peer, spec->uuid), GUEST_STATE_RUNNING);
    destroy(peer, spec);
}

static void contract_cancelled_guest_stays(void **state)
{
    VirtDriver *driver = *state, *peer = contract_peer();
    g_autoptr(GuestSpec) spec = contract_spec(35);
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) again = NULL;
    g_autofree char *xml = NULL;
    Told told = {.driver = driver, .uuid = spec->uuid, .act = cancel};
    const VirtWatch watch = {take_note, &told};
    VirtMigration migration = {.dest_uri = contract_peer_uri(), .bandwidth_mib = 1};

    start(driver, spec, false);
    xml = for_peer(driver, spec);
    migration.dest_xml = xml;
    assert_false(driver->ops->migrate(driver->self, NULL, spec->uuid, &migration, &watch, &err));
    assert_true(told.acted);
    /* libvirt now and then tells the broken connection rather than who broke it. */
    assert_true(dv_is(err, DV_E_CANCELLED) || dv_is(err, DV_E_HYPERVISOR));
    assert_int_equal(state_now(driver, spec->uuid), GUEST_STATE_RUNNING);
    assert_int_equal(state_now(peer, spec->uuid), GUEST_STATE_NONE);
    /* Nothing of it sticks: the next one is as quick as any. */
    migration.bandwidth_mib = 0;
    must(driver->ops->migrate(driver->self, NULL, spec->uuid, &migration, NULL, &again), again);
    assert_is_at_peer(driver, spec, GUEST_STATE_RUNNING);
    destroy(peer, spec);
}

/* clang-format off */
#define CONTRACT_MIGRATION_TESTS                                               \
        cmocka_unit_test(contract_absent_guest_is_not_migrated),               \
        cmocka_unit_test(contract_guest_at_rest_has_no_migration),             \
        cmocka_unit_test(contract_unreachable_destination_leaves_the_guest),   \
        cmocka_unit_test(contract_disks_do_not_go_through_a_tunnel),           \
        cmocka_unit_test(contract_description_is_rewritten_for_the_destination),\
        cmocka_unit_test(contract_serial_ports_are_reserved_once),             \
        cmocka_unit_test(contract_emulated_cpus_run_anywhere)

#define CONTRACT_PAIR_TESTS                                                    \
        cmocka_unit_test(contract_running_guest_moves),                        \
        cmocka_unit_test(contract_paused_guest_moves_and_stays_paused),        \
        cmocka_unit_test(contract_cancelled_guest_stays)
/* clang-format on */
