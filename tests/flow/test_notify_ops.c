/* What the operations on a running server tell, in nova's order: each with a start and an end, and
 * what is told when they fail. */
#include "fakes/notifications.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID
#define PREFIX "compute.instance."

static int setup(void **state)
{
    FakeAgent *fake = fake_agent_new("[oslo_messaging_notifications]\ndriver = messagingv2\n");

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    g_ptr_array_unref(fake_agent_notifications(fake));
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* Also what runs beside the instance's lane. */
static void wait_for_workers(FakeAgent *fake)
{
    DvPool *pool = fake_agent(fake)->pools[POOL_GENERAL];

    fake_agent_wait(fake, UUID);
    while (dv_pool_queued(pool) + dv_pool_running(pool) > 0)
        g_usleep(1000);
}

/* Asks as the API does, which has set the task state; `more` (stolen, or NULL) joins the args. */
static void ask(FakeAgent *fake, const char *method, const char *task, json_t *more)
{
    json_t *args = json_object();

    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", task);
    json_object_set_new(args, "instance", fake_agent_instance(fake, UUID));
    if (more)
        json_object_update(args, more);
    json_decref(more);
    fake_agent_request(fake, method, args);
    wait_for_workers(fake);
}

static void each_operation_tells_of_its_start_and_end(void **state)
{
    static const struct {
        const char *method, *task, *event;
    } rows[] = {
        {"pause_instance", "pausing", "pause"},
        {"unpause_instance", "unpausing", "unpause"},
        {"suspend_instance", "suspending", "suspend"},
        {"resume_instance", "resuming", "resume"},
        {"stop_instance", "powering-off", "power_off"},
        {"start_instance", "powering-on", "power_on"},
        {"reboot_instance", "rebooting_hard", "reboot"},
        {"trigger_crash_dump", NULL, "trigger_crash_dump"},
        {"soft_delete_instance", "soft-deleting", "soft_delete"},
        {"restore_instance", "restoring", "restore"},
    };
    FakeAgent *fake = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *want = g_strdup_printf(PREFIX "%s.start/INFO\n" PREFIX "%s.end/INFO\n",
                                                rows[i].event, rows[i].event);
        json_t *more = json_pack("{s:b, s:s}", "clean_shutdown", 0, "reboot_type", "HARD");

        ask(fake, rows[i].method, rows[i].task, more);
        fake_agent_assert_events(fake, want);
    }
    fake_agent_assert_row(fake, "vm_state", "active");
}

/* And the request itself, as nova's decorator of every method does. */
static void a_failure_tells_no_end(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GPtrArray) all = NULL;
    g_autofree char *events = NULL;
    const json_t *payload, *args;

    fake_virt_fail(fake_agent_virt(fake), "pause", DV_E_HYPERVISOR, 1);
    ask(fake, "pause_instance", "pausing", json_pack("{s:s}", "admin_password", "s3cret"));
    all = fake_agent_notifications(fake);
    events = fake_agent_events(all);
    assert_string_equal(events, PREFIX "pause.start/INFO\npause_instance/ERROR\n");
    payload = json_object_get(all->pdata[1], "payload");
    args = json_object_get(payload, "args");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(args, "instance"), "uuid")), UUID);
    assert_null(json_object_get(args, "admin_password"));
}

/* nova's context manager tells of the end in every case. */
static void a_soft_delete_tells_its_end_also_when_it_fails(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "power_off", DV_E_POWER_OFF, 1);
    ask(fake, "soft_delete_instance", "soft-deleting", NULL);
    fake_agent_assert_events(fake, PREFIX "soft_delete.start/INFO\n" PREFIX "soft_delete.end/INFO\n"
                                          "soft_delete_instance/ERROR\n");
}

/* The guest still runs: an error is told, and an end. */
static void a_reboot_that_fails_says_so(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "power_off", DV_E_POWER_OFF, 1);
    fake_virt_fail(fake_agent_virt(fake), "retire", DV_E_POWER_OFF, 1);
    ask(fake, "reboot_instance", "rebooting_hard", json_pack("{s:s}", "reboot_type", "HARD"));
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_events(fake, PREFIX "reboot.start/INFO\n" PREFIX "reboot.error/ERROR\n" PREFIX
                                          "reboot.end/INFO\n");
}

/* ---- rebuild ---- */

static json_t *rebuild_args(void)
{
    return json_pack("{s:s, s:[], s:s, s:s, s:{s:s}, s:[], s:b, s:b}", "new_pass", "secret",
                     "injected_files", "image_ref", FLOW_IMAGE, "orig_image_ref", "old-image",
                     "orig_sys_metadata", "image_os_distro", "old", "bdms", "recreate", 0,
                     "preserve_ephemeral", 0);
}

/* What was used until now is billed with the image that it had. */
static void a_rebuild_tells_what_existed_before(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GPtrArray) all = NULL;
    g_autofree char *events = NULL;
    const json_t *exists, *start;

    ask(fake, "rebuild_instance", "rebuilding", rebuild_args());
    fake_agent_assert_row(fake, "vm_state", "active");
    all = fake_agent_notifications(fake);
    events = fake_agent_events(all);
    assert_string_equal(events, PREFIX "exists/INFO\n" PREFIX "rebuild.start/INFO\n" PREFIX
                                       "rebuild.end/INFO\n");
    exists = json_object_get(all->pdata[0], "payload");
    start = json_object_get(all->pdata[1], "payload");
    assert_true(g_str_has_suffix(json_string_value(json_object_get(exists, "image_ref_url")),
                                 "/images/old-image"));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(exists, "image_meta"), "os_distro")),
        "old");
    assert_non_null(json_object_get(exists, "audit_period_beginning"));
    assert_true(g_str_has_suffix(json_string_value(json_object_get(start, "image_ref_url")),
                                 "/images/" FLOW_IMAGE));
}

static void a_rebuild_that_fails_says_why(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    ask(fake, "rebuild_instance", "rebuilding", rebuild_args());
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_events(fake, PREFIX "exists/INFO\n" PREFIX "rebuild.start/INFO\n" PREFIX
                                          "rebuild.error/ERROR\n"
                                          "rebuild_instance/ERROR\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_operation_tells_of_its_start_and_end),
        TEST(a_failure_tells_no_end),
        TEST(a_soft_delete_tells_its_end_also_when_it_fails),
        TEST(a_reboot_that_fails_says_so),
        TEST(a_rebuild_tells_what_existed_before),
        TEST(a_rebuild_that_fails_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
