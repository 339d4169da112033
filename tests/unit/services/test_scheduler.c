/* What the fanouts to nova-scheduler carry. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "services/scheduler_priv.h"

/* args is stolen. */
static void assert_args(json_t *args, const char *text)
{
    json_auto_t *got = args;
    json_auto_t *want = json_loads(text, 0, NULL);

    assert_non_null(want);
    assert_true(json_equal(got, want));
}

static void a_sync_lists_uuids(void **state G_GNUC_UNUSED)
{
    static const char *const uuids[] = {"a", "b", NULL};

    assert_args(scheduler_sync_args("vm", uuids),
                "{\"host_name\": \"vm\", \"instance_uuids\": [\"a\", \"b\"]}");
    assert_args(scheduler_sync_args("vm", NULL), "{\"host_name\": \"vm\", \"instance_uuids\": []}");
}

static void a_delete_names_the_instance(void **state G_GNUC_UNUSED)
{
    assert_args(scheduler_delete_args("vm", "u"),
                "{\"host_name\": \"vm\", \"instance_uuid\": \"u\"}");
}

static void an_update_carries_a_list_object(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) list = ovo_new("InstanceList", "2.6");
    g_autoptr(Ovo) instance = ovo_new("Instance", "2.7");

    ovo_append(list, NULL, instance);
    ovo_reset_changes(list);
    assert_args(scheduler_update_args("vm", list),
                "{\"host_name\": \"vm\", \"instance_info\": {"
                "\"nova_object.name\": \"InstanceList\", \"nova_object.namespace\": \"nova\","
                "\"nova_object.version\": \"2.6\", \"nova_object.data\": {\"objects\": [{"
                "\"nova_object.name\": \"Instance\", \"nova_object.namespace\": \"nova\","
                "\"nova_object.version\": \"2.7\", \"nova_object.data\": {}}]}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_lists_uuids),
        cmocka_unit_test(a_delete_names_the_instance),
        cmocka_unit_test(an_update_carries_a_list_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
