/* "exists" notifications of whole audit periods, and the record of having sent them. */
#include "agent/usage_audit.h"
#include "fakes/agent.h"
#include "fakes/notifications.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MESSAGING "[oslo_messaging_notifications]\ndriver = messaging\n"
#define ACTIVE "InstanceList._get_active_by_window_joined"

static int setup(void **state)
{
    *state = fake_agent_new("instance_usage_audit = true\n" MESSAGING);
    return 0;
}

static int setup_off(void **state)
{
    *state = fake_agent_new(MESSAGING);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static bool audit(FakeAgent *fake, GError **err)
{
    return usage_audit(fake_agent(fake), fake_agent_ctx(fake), err);
}

/* One instance existed in the period. */
static void one_existed(FakeAgent *fake)
{
    json_t *request = fake_agent_boot_request();
    json_t *instance = json_object_get(json_object_get(request, "args"), "instance");

    fake_conductor_answer(
        fake_agent_conductor(fake), ACTIVE,
        fake_agent_object("InstanceList", "2.6", json_pack("{s:[O]}", "objects", instance)));
    json_decref(request);
}

static const char *arg_at(const json_t *args, size_t i)
{
    return json_string_value(json_array_get(json_object_get(args, "args"), i));
}

static json_t *last_of(FakeAgent *fake, const char *call)
{
    g_autofree char *text = fake_conductor_last(fake_agent_conductor(fake), call);

    assert_non_null(text);
    return json_loads(text, 0, NULL);
}

static void what_existed_is_told_once(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    g_autoptr(GPtrArray) all = NULL;
    json_auto_t *asked = NULL;
    json_auto_t *begun = NULL;
    json_auto_t *ended = NULL;
    const json_t *payload, *log;

    one_existed(fake);
    assert_true(audit(fake, NULL));
    all = fake_agent_notifications(fake);
    assert_int_equal(all->len, 1);
    payload = json_object_get(all->pdata[0], "payload");
    assert_string_equal(json_string_value(json_object_get(payload, "instance_id")), FLOW_UUID);
    asked = last_of(fake, ACTIVE);
    assert_string_equal(arg_at(asked, 3), "vm");
    /* the whole period, which is over: of a month it is its first day in both */
    assert_non_null(strstr(json_string_value(json_object_get(payload, "audit_period_beginning")),
                           "-01 00:00:00"));
    assert_non_null(
        strstr(json_string_value(json_object_get(payload, "audit_period_ending")), "-01 00:00:00"));
    assert_true(g_str_has_suffix(arg_at(asked, 0), "-01T00:00:00Z"));
    begun = last_of(fake, "TaskLog.begin_task");
    log = json_object_get(json_object_get(begun, "objinst"), "nova_object.data");
    assert_int_equal(json_integer_value(json_object_get(log, "task_items")), 1);
    assert_string_equal(json_string_value(json_object_get(log, "period_ending")), arg_at(asked, 1));
    ended = last_of(fake, "TaskLog.end_task");
    log = json_object_get(json_object_get(ended, "objinst"), "nova_object.data");
    assert_non_null(
        strstr(json_string_value(json_object_get(log, "message")), "ran for host vm, 1 instances"));

    fake_conductor_answer(con, "TaskLog.get", fake_agent_object("TaskLog", "1.0", json_object()));
    assert_true(audit(fake, NULL));
    fake_agent_assert_events(fake, "");
    assert_int_equal(fake_conductor_count(con, "TaskLog.begin_task"), 1);
}

static void who_is_too_late_tells_nothing(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GError) err = NULL;

    one_existed(fake);
    fake_conductor_fail(fake_agent_conductor(fake), "TaskLog.begin_task", "TaskAlreadyRunning");
    assert_false(audit(fake, &err));
    fake_agent_assert_events(fake, "");
}

static void nothing_is_told_unless_wanted(void **state)
{
    FakeAgent *fake = *state;

    one_existed(fake);
    assert_true(audit(fake, NULL));
    fake_agent_assert_events(fake, "");
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "TaskLog.get"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_existed_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(who_is_too_late_tells_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_told_unless_wanted, setup_off, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
