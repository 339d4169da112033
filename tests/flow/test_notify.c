/* What operations tell the world: the sequence of notifications of a boot, a delete and their
 * failures, where they go, and that nothing is built for an operator who wants none. */
#include "fakes/notifications.h"

#include "agent/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID
#define DRIVER "[oslo_messaging_notifications]\ndriver = messagingv2\n"

static int setup_quiet(void **state)
{
    *state = fake_agent_new(NULL);
    return 0;
}

static int setup_unversioned(void **state)
{
    *state = fake_agent_new(DRIVER);
    return 0;
}

static int setup_versioned(void **state)
{
    *state = fake_agent_new(DRIVER "[notifications]\nnotification_format = versioned\n");
    return 0;
}

static int setup_both(void **state)
{
    *state = fake_agent_new(DRIVER "driver = messaging\ntopics = one,two\n"
                                   "[notifications]\nnotification_format = both\n"
                                   "versioned_notifications_topics = vn\n"
                                   "bdms_in_notifications = true\n");
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* ---- what was sent ---- */

static const char *text_at(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* The payload of the first with that event type; of versioned ones its data. */
static json_t *payload_of(const GPtrArray *all, const char *event_type)
{
    for (guint i = 0; i < all->len; i++) {
        json_t *payload = json_object_get(all->pdata[i], "payload");
        json_t *data = json_object_get(payload, "nova_object.data");

        if (g_strcmp0(text_at(all->pdata[i], "event_type"), event_type) == 0)
            return data ? data : payload;
    }
    fail_msg("no %s", event_type);
    return NULL;
}

static void boot(FakeAgent *fake)
{
    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
}

static void terminate(FakeAgent *fake)
{
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
}

/* ---- sequences ---- */

static void nothing_is_sent_unless_wanted(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    terminate(fake);
    assert_false(notify_enabled(fake_agent(fake)));
    fake_agent_assert_events(fake, "");
}

static void a_boot_tells_of_its_start_and_end(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_events(
        fake, "compute.instance.create.start/INFO\ncompute.instance.create.end/INFO\n");
}

static void a_delete_tells_of_the_shutdown_within(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    g_ptr_array_unref(fake_agent_notifications(fake));
    terminate(fake);
    fake_agent_assert_events(
        fake, "compute.instance.delete.start/INFO\ncompute.instance.shutdown.start/INFO\n"
              "compute.instance.shutdown.end/INFO\ncompute.instance.delete.end/INFO\n");
}

static void a_delete_that_fails_tells_no_end(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    g_ptr_array_unref(fake_agent_notifications(fake));
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_POWER_OFF, 1);
    terminate(fake);
    fake_agent_assert_events(
        fake, "compute.instance.delete.start/INFO\ncompute.instance.shutdown.start/INFO\n"
              "terminate_instance/ERROR\n");
}

static void a_failed_boot_says_why(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GPtrArray) all = NULL;
    g_autofree char *events = NULL;
    const json_t *payload, *fault;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_NO_CAPACITY, 1);
    boot(fake);
    all = fake_agent_notifications(fake);
    events = fake_agent_events(all);
    assert_string_equal(events, "instance.create.start/INFO\ninstance.create.error/ERROR\n");
    payload = payload_of(all, "instance.create.error");
    fault = json_object_get(json_object_get(payload, "fault"), "nova_object.data");
    assert_string_equal(text_at(fault, "exception"), "ComputeResourcesUnavailable");
    assert_string_equal(text_at(payload, "state"), "building");
    /* the claim was given back before */
    assert_true(json_is_null(json_object_get(payload, "host")));
}

/* ---- contents ---- */

static void unversioned_payloads_are_those_of_nova(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GPtrArray) all = NULL;
    const json_t *start, *end, *first;

    boot(fake);
    all = fake_agent_notifications(fake);
    first = all->pdata[0];
    assert_string_equal(text_at(first, "publisher_id"), "compute.vm");
    assert_string_equal(text_at(first, "key"), "notifications.info");
    start = payload_of(all, "compute.instance.create.start");
    assert_string_equal(text_at(start, "instance_id"), UUID);
    assert_string_equal(text_at(start, "state"), "building");
    assert_string_equal(text_at(start, "state_description"), "");
    assert_non_null(text_at(start, "image_name"));
    assert_true(g_str_has_suffix(text_at(start, "image_ref_url"), "/image/images/" FLOW_IMAGE));
    assert_null(json_object_get(start, "fixed_ips"));
    end = payload_of(all, "compute.instance.create.end");
    assert_string_equal(text_at(end, "state"), "active");
    assert_string_equal(text_at(end, "message"), "Success");
    assert_string_equal(text_at(end, "host"), "vm");
    assert_true(json_array_size(json_object_get(end, "fixed_ips")) >= 2);
    assert_true(strlen(text_at(end, "launched_at")) == strlen("2026-01-02T03:04:05.000000"));
}

static void versioned_payloads_are_those_of_nova(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GPtrArray) all = NULL;
    json_t *end, *deleted;

    boot(fake);
    terminate(fake);
    all = fake_agent_notifications(fake);
    end = payload_of(all, "instance.create.end");
    assert_string_equal(text_at(all->pdata[0], "publisher_id"), "nova-compute:vm");
    assert_string_equal(text_at(all->pdata[0], "key"), "versioned_notifications.info");
    assert_string_equal(text_at(end, "uuid"), UUID);
    assert_string_equal(text_at(end, "power_state"), "running");
    assert_int_equal(json_array_size(json_object_get(end, "ip_addresses")), 2);
    assert_true(json_is_array(json_object_get(end, "keypairs")));
    deleted = payload_of(all, "instance.delete.end");
    assert_string_equal(text_at(deleted, "state"), "deleted");
    assert_int_equal(json_array_size(json_object_get(deleted, "ip_addresses")), 0);
    /* its root disk is no volume */
    assert_int_equal(json_array_size(json_object_get(deleted, "block_devices")), 0);
    assert_true(json_is_array(json_object_get(deleted, "block_devices")));
}

/* What belongs to the user who asked goes along, what opens doors does not. */
static void the_context_goes_along_without_its_token(void **state)
{
    FakeAgent *fake = *state;
    json_t *request = fake_agent_boot_request();
    g_autoptr(GPtrArray) all = NULL;
    g_autofree char *text = NULL;

    json_object_set_new(request, "_context_auth_token", json_string("t0psecret"));
    fake_agent_boot(fake, request);
    fake_agent_wait(fake, UUID);
    all = fake_agent_notifications(fake);
    text = json_dumps(all->pdata[0], 0);
    assert_null(strstr(text, "t0psecret"));
    assert_non_null(text_at(all->pdata[0], "_context_request_id"));
}

/* Both formats, both drivers, two topics: a message to each, of which copies share an id. */
static void each_topic_and_driver_gets_its_copy(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GPtrArray) all = NULL;

    boot(fake);
    all = fake_agent_notifications(fake);
    assert_int_equal(all->len, 2 * (2 * 2 + 2));
    assert_string_equal(text_at(all->pdata[0], "key"), "one.info");
    assert_string_equal(text_at(all->pdata[2], "key"), "two.info");
    assert_string_equal(text_at(all->pdata[4], "key"), "vn.info");
    assert_string_equal(text_at(all->pdata[0], "message_id"), text_at(all->pdata[3], "message_id"));
    assert_string_not_equal(text_at(all->pdata[0], "_unique_id"),
                            text_at(all->pdata[1], "_unique_id"));
    assert_string_not_equal(text_at(all->pdata[0], "message_id"),
                            text_at(all->pdata[4], "message_id"));
}

/* ---- what an instance lacks ---- */

static void what_the_request_left_out_is_loaded(void **state)
{
    FakeAgent *fake = *state;
    Agent *agent = fake_agent(fake);
    json_t *request = fake_agent_boot_request();
    json_t *whole = json_object_get(json_object_get(request, "args"), "instance");
    g_autoptr(Ovo) row = ovo_view(whole, "Instance", NULL);
    g_autoptr(Ovo) bare = ovo_copy(row);
    g_autoptr(GPtrArray) all = NULL;
    const json_t *payload;

    fake_conductor_put(fake_agent_conductor(fake), row);
    ovo_unset(bare, "flavor");
    ovo_unset(bare, "info_cache");
    ovo_unset(bare, "system_metadata");
    ovo_reset_changes(bare);
    notify_instance(agent, fake_agent_ctx(fake), bare, NOTIFY_POWER_OFF, NOTIFY_START, NULL);
    all = fake_agent_notifications(fake);
    payload = payload_of(all, "instance.power_off.start");
    assert_true(json_is_object(json_object_get(payload, "flavor")));
    assert_false(ovo_any_changed(bare)); /* a save does not send what was only read */
    json_decref(request);
}

/* The operation goes on, whatever becomes of what is told of it. */
static void what_cannot_be_loaded_is_not_told(void **state)
{
    FakeAgent *fake = *state;
    json_t *request = fake_agent_boot_request();
    json_t *whole = json_object_get(json_object_get(request, "args"), "instance");
    g_autoptr(Ovo) instance = ovo_view(whole, "Instance", NULL);

    ovo_unset(instance, "flavor");
    notify_instance(fake_agent(fake), fake_agent_ctx(fake), instance, NOTIFY_PAUSE, NOTIFY_END,
                    NULL);
    fake_agent_assert_events(fake, "");
    json_decref(request);
}

static void some_events_have_forms_of_their_own(void **state)
{
    FakeAgent *fake = *state;
    Agent *agent = fake_agent(fake);
    const DvCtx *ctx = fake_agent_ctx(fake);
    const NotifyExtra volume = {.volume_id = "v"};
    json_t *request = fake_agent_boot_request();
    json_t *whole = json_object_get(json_object_get(request, "args"), "instance");
    g_autoptr(Ovo) instance = ovo_view(whole, "Instance", NULL);

    notify_instance_with(agent, ctx, instance, NOTIFY_VOLUME_ATTACH, NOTIFY_START, &volume, NULL);
    notify_instance_with(agent, ctx, instance, NOTIFY_VOLUME_ATTACH, NOTIFY_END, &volume, NULL);
    notify_instance(agent, ctx, instance, NOTIFY_INTERFACE_ATTACH, NOTIFY_START, NULL);
    notify_instance(agent, ctx, instance, NOTIFY_LIVE_MIGRATION_POST, NOTIFY_START, NULL);
    notify_exists(agent, ctx, instance, NULL);
    fake_agent_assert_events(fake, "compute.instance.volume.attach/INFO\n"
                                   "compute.instance.live_migration._post.start/INFO\n"
                                   "compute.instance.exists/INFO\n");
    json_decref(request);
}

#define TEST(name, how) cmocka_unit_test_setup_teardown(name, setup_##how, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_sent_unless_wanted, quiet),
        TEST(a_boot_tells_of_its_start_and_end, unversioned),
        TEST(a_delete_tells_of_the_shutdown_within, unversioned),
        TEST(a_delete_that_fails_tells_no_end, unversioned),
        TEST(a_failed_boot_says_why, versioned),
        TEST(unversioned_payloads_are_those_of_nova, unversioned),
        TEST(versioned_payloads_are_those_of_nova, versioned),
        TEST(the_context_goes_along_without_its_token, unversioned),
        TEST(each_topic_and_driver_gets_its_copy, both),
        TEST(what_the_request_left_out_is_loaded, versioned),
        TEST(what_cannot_be_loaded_is_not_told, unversioned),
        TEST(some_events_have_forms_of_their_own, unversioned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
