/* The periodic looks for what should not be here any more. */
#include "agent/cleanup.h"
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID
#define LONG_AGO "2020-01-01T00:00:00Z"

typedef bool (*CleanupFn)(Agent *agent, const DvCtx *ctx, GError **err);

static FakeAgent *booted(const char *options)
{
    FakeAgent *fake = fake_agent_new(options);

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    return fake;
}

static void run(FakeAgent *fake, CleanupFn job)
{
    g_autoptr(GError) err = NULL;

    if (!job(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    fake_agent_wait(fake, UUID);
}

static void set(FakeAgent *fake, const char *field, const char *value)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, field, value);
}

static void set_now(FakeAgent *fake, const char *field)
{
    g_autofree char *now = dv_time_object(dv_clock_wall_ms(dv_clock_real()));

    set(fake, field, now);
}

static bool is_there(FakeAgent *fake)
{
    g_autofree char *host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");

    return host != NULL;
}

/* ---- soft-deleted servers ---- */

static FakeAgent *soft_deleted(const char *options)
{
    FakeAgent *fake = booted(options);

    set(fake, "vm_state", "soft-delete");
    set(fake, "deleted_at", LONG_AGO);
    return fake;
}

static void soft_deleted_servers_go_when_their_time_is_over(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = soft_deleted("reclaim_instance_interval = 60\n");

    set_now(fake, "deleted_at");
    run(fake, cleanup_reclaim);
    assert_true(is_there(fake));
    set(fake, "deleted_at", LONG_AGO);
    run(fake, cleanup_reclaim);
    assert_false(is_there(fake));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_int_equal(fake_agent_allocations_deleted(fake), 1);
    fake_agent_free(fake);
}

static void work_for_a_moment(void *arg G_GNUC_UNUSED)
{
    g_usleep(200000);
}

/* As the refresh of its network cache does, which comes once a minute, too. */
static void other_work_delays_reclaiming_only(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = soft_deleted("reclaim_instance_interval = 60\n");
    Agent *agent = fake_agent(fake);

    dv_lanes_submit(agent->lanes, UUID, agent->pools[POOL_GENERAL], work_for_a_moment, NULL, NULL);
    run(fake, cleanup_reclaim);
    assert_false(is_there(fake));
    fake_agent_free(fake);
}

static void nothing_is_reclaimed_unless_told_to(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = soft_deleted(NULL);

    run(fake, cleanup_reclaim);
    assert_true(is_there(fake));
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(fake), "InstanceList.get_by_filters"), 0);
    fake_agent_free(fake);
}

static void a_server_that_is_being_restored_is_not_reclaimed(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = soft_deleted("reclaim_instance_interval = 60\n");

    set(fake, "task_state", "restoring");
    run(fake, cleanup_reclaim);
    assert_true(is_there(fake));
    fake_agent_free(fake);
}

/* ---- builds, reboots ---- */

static void a_build_that_does_not_end_is_an_error(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = booted("instance_build_timeout = 600\n");

    set(fake, "vm_state", "building");
    set(fake, "task_state", "spawning");
    set_now(fake, "created_at");
    run(fake, cleanup_stuck_builds);
    fake_agent_assert_row(fake, "vm_state", "building");
    set(fake, "created_at", LONG_AGO);
    run(fake, cleanup_stuck_builds);
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "spawning"); /* as nova leaves it */
    fake_agent_free(fake);
}

static void builds_may_take_their_time_by_default(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = booted(NULL);

    set(fake, "vm_state", "building");
    set(fake, "created_at", LONG_AGO);
    run(fake, cleanup_stuck_builds);
    fake_agent_assert_row(fake, "vm_state", "building");
    fake_agent_free(fake);
}

static void reboots_are_looked_for_only_when_told_to(void **state G_GNUC_UNUSED)
{
    FakeAgent *idle = booted(NULL);
    FakeAgent *looking = booted("reboot_timeout = 60\n");

    run(idle, cleanup_stuck_reboots);
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(idle), "InstanceList.get_by_filters"), 0);
    set(looking, "task_state", "reboot_started");
    set(looking, "updated_at", LONG_AGO);
    run(looking, cleanup_stuck_reboots);
    fake_agent_assert_row(looking, "task_state", "reboot_started");
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(looking), "InstanceList.get_by_filters"), 1);
    fake_agent_free(idle);
    fake_agent_free(looking);
}

/* ---- guests of deleted servers ---- */

static FakeAgent *deleted(const char *options)
{
    FakeAgent *fake = booted(options);

    fake_conductor_set_json(fake_agent_conductor(fake), UUID, "deleted", json_true());
    set(fake, "vm_state", "deleted");
    set(fake, "deleted_at", LONG_AGO);
    return fake;
}

static GuestState guest(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;
    GuestState state = GUEST_STATE_NONE;

    assert_true(virt->ops->state(virt->self, UUID, &state, NULL));
    return state;
}

static void guests_of_deleted_servers_are_destroyed(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = deleted(NULL);

    run(fake, cleanup_running_deleted);
    assert_int_equal(guest(fake), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     2);
    fake_agent_free(fake);
}

static void guests_of_servers_that_live_are_not(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = booted(NULL);

    run(fake, cleanup_running_deleted);
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    fake_agent_free(fake);
}

static void the_operator_says_what_becomes_of_them(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *options;
        GuestState then;
    } rows[] = {
        {"running_deleted_instance_action = noop\n", GUEST_STATE_RUNNING},
        {"running_deleted_instance_action = log\n", GUEST_STATE_RUNNING},
        {"running_deleted_instance_action = shutdown\n", GUEST_STATE_OFF},
        {"running_deleted_instance_timeout = 2000000000\n", GUEST_STATE_RUNNING},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeAgent *fake = deleted(rows[i].options);

        run(fake, cleanup_running_deleted);
        assert_int_equal(guest(fake), rows[i].then);
        assert_true(fake_agent_has_file(fake, UUID, "disk"));
        fake_agent_free(fake);
    }
}

static void a_host_without_guests_asks_nobody(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);

    run(fake, cleanup_running_deleted);
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(fake), "InstanceList.get_by_filters"), 0);
    fake_agent_free(fake);
}

/* ---- files of deleted servers ---- */

static void files_that_were_left_are_removed(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = deleted(NULL);

    fake_conductor_set_json(fake_agent_conductor(fake), UUID, "cleaned", json_false());
    run(fake, cleanup_pending_deletes);
    assert_false(fake_agent_has_disks(fake, UUID));
    fake_agent_assert_row(fake, "cleaned", "true");
    run(fake, cleanup_pending_deletes);
    fake_agent_free(fake);
}

/* A name that can be no folder of ours is one that cannot be removed. */
static void removing_them_is_tried_so_often(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new("maximum_instance_delete_attempts = 2\n");
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *request = fake_agent_boot_request();
    g_autoptr(Ovo) instance = ovo_view(
        json_object_get(json_object_get(request, "args"), "instance"), "Instance", NULL);
    g_autofree char *metadata = NULL;
    g_autofree char *cleaned = NULL;

    ovo_set_str(instance, "uuid", "../x");
    ovo_set_str(instance, "host", "vm");
    ovo_set_bool(instance, "deleted", true);
    ovo_set_bool(instance, "cleaned", false);
    fake_conductor_put(con, instance);
    for (int i = 0; i < 3; i++)
        run(fake, cleanup_pending_deletes);
    assert_int_equal(fake_conductor_count(con, "Instance.save"), 2);
    metadata = fake_conductor_field(con, "../x", "system_metadata");
    assert_non_null(strstr(metadata, "\"clean_attempts\": \"2\""));
    cleaned = fake_conductor_field(con, "../x", "cleaned");
    assert_string_equal(cleaned, "false");
    json_decref(request);
    fake_agent_free(fake);
}

static void expired_console_tokens_go(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = fake_agent_new(NULL);

    run(fake, cleanup_console_tokens);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake),
                                          "ConsoleAuthToken.clean_expired_console_auths"),
                     1);
    fake_agent_free(fake);
}

/* ---- moves in error ---- */

static void put_move(FakeAgent *fake, const char *status)
{
    fake_conductor_put_migration(fake_agent_conductor(fake),
                                 json_pack("{s:i, s:s, s:s, s:s, s:s}", "id", 7, "instance_uuid",
                                           UUID, "status", status, "source_compute", "vm",
                                           "dest_compute", "cmp2"));
}

static void what_a_move_left_of_a_deleted_server_goes(void **state G_GNUC_UNUSED)
{
    FakeAgent *fake = deleted(NULL);
    g_autofree char *status = NULL;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", "cmp2");
    put_move(fake, "error");
    run(fake, cleanup_incomplete_migrations);
    assert_false(fake_agent_has_disks(fake, UUID));
    status = fake_conductor_migration_status(fake_agent_conductor(fake), 7);
    assert_string_equal(status, "failed");
    fake_agent_free(fake);
}

/* Deleted here: another job's. Alive: nobody's. Still moving: the move's. */
static void nothing_else_of_a_move_goes(void **state G_GNUC_UNUSED)
{
    static const struct {
        const char *host, *status;
        bool alive;
    } rows[] = {{"vm", "error", false}, {"cmp2", "error", true}, {"cmp2", "running", false}};

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        FakeAgent *fake = rows[i].alive ? booted(NULL) : deleted(NULL);
        g_autofree char *status = NULL;

        fake_conductor_set(fake_agent_conductor(fake), UUID, "host", rows[i].host);
        put_move(fake, rows[i].status);
        run(fake, cleanup_incomplete_migrations);
        assert_true(fake_agent_has_file(fake, UUID, "disk"));
        status = fake_conductor_migration_status(fake_agent_conductor(fake), 7);
        assert_string_equal(status, rows[i].status);
        fake_agent_free(fake);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(soft_deleted_servers_go_when_their_time_is_over),
        cmocka_unit_test(other_work_delays_reclaiming_only),
        cmocka_unit_test(nothing_is_reclaimed_unless_told_to),
        cmocka_unit_test(a_server_that_is_being_restored_is_not_reclaimed),
        cmocka_unit_test(a_build_that_does_not_end_is_an_error),
        cmocka_unit_test(builds_may_take_their_time_by_default),
        cmocka_unit_test(reboots_are_looked_for_only_when_told_to),
        cmocka_unit_test(guests_of_deleted_servers_are_destroyed),
        cmocka_unit_test(guests_of_servers_that_live_are_not),
        cmocka_unit_test(the_operator_says_what_becomes_of_them),
        cmocka_unit_test(a_host_without_guests_asks_nobody),
        cmocka_unit_test(files_that_were_left_are_removed),
        cmocka_unit_test(removing_them_is_tried_so_often),
        cmocka_unit_test(expired_console_tokens_go),
        cmocka_unit_test(what_a_move_left_of_a_deleted_server_goes),
        cmocka_unit_test(nothing_else_of_a_move_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
