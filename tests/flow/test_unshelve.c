/* Unshelves: from an image to an active server, on its old ports; and what is left for another try
 * when a step fails. */
#include "flow/shelved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID

/* A server that ran here once, and is offloaded: no host, no guest, no disks. */
static void offload(FakeAgent *fake)
{
    VirtDriver *virt = fake_agent(fake)->virt;
    g_autoptr(Ovo) row = ovo_take(fake_agent_instance(fake, UUID), "Instance", NULL);

    assert_true(virt->ops->destroy(virt->self, fake_agent_ctx(fake), UUID, NULL));
    assert_true(disks_remove(fake_agent(fake)->disks, fake_agent_ctx(fake), UUID, NULL));
    ovo_set_str(row, "vm_state", "shelved_offloaded");
    ovo_set_str(row, "task_state", "unshelving");
    ovo_set_null(row, "host");
    ovo_set_null(row, "node");
    ovo_set_i64(row, "power_state", GUEST_STATE_OFF);
    ovo_set_str(row, "key_data", "ssh-rsa AAAA user");
    ovo_dict_set(row, "system_metadata", "shelved_at", "2026-01-01T00:00:00.000000");
    ovo_dict_set(row, "system_metadata", "shelved_image_id", SHELVED_IMAGE);
    ovo_dict_set(row, "system_metadata", "shelved_host", "vm");
    fake_conductor_put(fake_agent_conductor(fake), row);
    assert_true(tracker_update_usage(fake_agent(fake)->tracker, fake_agent_ctx(fake), row, NULL));
}

static int setup(void **state)
{
    FakeAgent *fake = fake_agent_new(NULL);

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    offload(fake);
    script_shelved_image(fake);
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static json_t *unshelve_args(FakeAgent *fake)
{
    return json_pack("{s:o, s:{s:s, s:s, s:i, s:{}}, s:{s:{}}, s:s, s:n, s:[]}", "instance",
                     fake_agent_instance(fake, UUID), "image", "id", SHELVED_IMAGE, "disk_format",
                     "raw", "size", 65536, "properties", "filter_properties", "limits", "node",
                     FLOW_NODE, "request_spec", "accel_uuids");
}

static void unshelve(FakeAgent *fake)
{
    fake_agent_request(fake, "unshelve_instance", unshelve_args(fake));
    fake_agent_wait(fake, UUID);
}

static unsigned images_deleted(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "DELETE", SHELVED);
}

static char *states_since(FakeAgent *fake, const char *before)
{
    g_autofree char *all = fake_conductor_states(fake_agent_conductor(fake));

    return g_strdup(all + strlen(before));
}

static void assert_active(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "power_state", "1");
    fake_agent_assert_row(fake, "host", "vm");
    fake_agent_assert_row(fake, "node", "vm");
    fake_agent_assert_row(fake, "image_ref", FLOW_IMAGE);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

/* Shelved still, with its image, on no host: it can be unshelved again. */
static void assert_shelved(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "shelved_offloaded");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "");
    fake_agent_assert_row(fake, "node", "");
    fake_agent_assert_row(fake, "image_ref", FLOW_IMAGE);
    fake_agent_assert_row(fake, "key_data", "ssh-rsa AAAA user");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_int_equal(fake_agent_allocations_deleted(fake), 1);
    assert_int_equal(images_deleted(fake), 0);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 1);
}

/* ---- as it should go ---- */

static void a_server_comes_back_from_its_image(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(fake));
    g_autofree char *states = NULL;
    g_autofree char *meta = NULL;

    unshelve(fake);
    assert_active(fake);
    states = states_since(fake, before);
    assert_string_equal(states, "shelved_offloaded/spawning\nactive/\n");
    assert_int_equal(http_server_count(fake_agent_server(fake), "GET", SHELVED "/file"), 1);
    assert_int_equal(images_deleted(fake), 1);
    meta = fake_conductor_field(fake_agent_conductor(fake), UUID, "system_metadata");
    assert_null(strstr(meta, "shelved_"));
    fake_agent_assert_row(fake, "key_data", "ssh-rsa AAAA user");
}

static void its_ports_are_bound_and_none_is_made(void **state)
{
    FakeAgent *fake = *state;
    HttpServer *server = fake_agent_server(fake);
    unsigned posts = http_server_count(server, "POST", FLOW_NEUTRON "/ports");
    unsigned stored = fake_conductor_count(fake_agent_conductor(fake), "InstanceInfoCache.save");

    unshelve(fake);
    assert_active(fake);
    assert_int_equal(http_server_count(server, "POST", FLOW_NEUTRON "/ports"), posts);
    assert_int_equal(http_server_count(server, "DELETE", FLOW_NEUTRON "/ports/*"), 0);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceInfoCache.save"),
                     stored + 1);
}

static void it_is_counted_on_this_host(void **state)
{
    FakeAgent *fake = *state;
    g_auto(GStrv) before = tracker_instances(fake_agent(fake)->tracker);
    g_auto(GStrv) after = NULL;

    assert_int_equal(g_strv_length(before), 0);
    unshelve(fake);
    after = tracker_instances(fake_agent(fake)->tracker);
    assert_int_equal(g_strv_length(after), 1);
    assert_string_equal(after[0], UUID);
}

static void an_image_that_cannot_be_deleted_is_left_behind(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "DELETE", "/image/v2/images/*", 409, "{}");
    unshelve(fake);
    assert_active(fake);
}

/* ---- failures ---- */

static void a_guest_that_does_not_start_stays_shelved(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    unshelve(fake);
    assert_shelved(fake);
}

static void a_guest_that_is_not_resumed_stays_shelved(void **state)
{
    FakeAgent *fake = *state;

    unsigned before = fake_virt_calls(fake_agent_virt(fake), "unplug");

    fake_virt_fail(fake_agent_virt(fake), "resume", DV_E_HYPERVISOR, 1);
    unshelve(fake);
    assert_shelved(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), before + 1);
}

static void an_image_that_is_gone_leaves_it_shelved(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", "/image/v2/images/" SHELVED_IMAGE "*", 404,
                     "{}");
    unshelve(fake);
    assert_shelved(fake);
}

static void ports_that_cannot_be_read_leave_it_shelved(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?*", 500, "{}");
    unshelve(fake);
    assert_shelved(fake);
}

static void a_server_without_an_image_is_refused(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = unshelve_args(fake);

    json_object_set_new(args, "image", json_null());
    fake_agent_request(fake, "unshelve_instance", args);
    fake_agent_wait(fake, UUID);
    assert_shelved(fake);
}

static void a_second_try_succeeds(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    unshelve(fake);
    assert_shelved(fake);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "unshelving");
    unshelve(fake);
    assert_active(fake);
    assert_int_equal(images_deleted(fake), 1);
}

static void a_delete_in_the_middle_wins(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "start");
    fake_agent_request(fake, "unshelve_instance", unshelve_args(fake));
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    fake_virt_release(virt, "start");
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "deleting");
    assert_int_equal(fake_virt_guest_count(virt), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_int_equal(images_deleted(fake), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_server_comes_back_from_its_image),
        T(its_ports_are_bound_and_none_is_made),
        T(it_is_counted_on_this_host),
        T(an_image_that_cannot_be_deleted_is_left_behind),
        T(a_guest_that_does_not_start_stays_shelved),
        T(a_guest_that_is_not_resumed_stays_shelved),
        T(an_image_that_is_gone_leaves_it_shelved),
        T(ports_that_cannot_be_read_leave_it_shelved),
        T(a_server_without_an_image_is_refused),
        T(a_second_try_succeeds),
        T(a_delete_in_the_middle_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
