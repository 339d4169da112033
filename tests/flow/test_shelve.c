/* Shelving: an instance becomes an image and leaves the host, at once, later or never; what is kept
 * when a step fails, and that nothing is given up before the image is safe. */
#include "fakes/agent.h"

#include "agent/ops/shelve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID
#define SNAP_ID "eaaf13f0-156d-4ed6-afa8-6611def5fe76"
#define SNAP "/image/v2/images/" SNAP_ID
#define DATA SNAP "/file"
#define NEVER "shelved_offload_time = -1\n"
#define LATER "shelved_offload_time = 60\n"

static FakeAgent *booted(const char *options)
{
    FakeAgent *fake = fake_agent_new(options);
    HttpServer *server = fake_agent_server(fake);

    http_server_json(server, "GET", SNAP, 200,
                     "{\"id\":\"" SNAP_ID "\",\"status\":\"queued\",\"name\":\"cap-shelved\"}");
    http_server_json(server, "PATCH", SNAP, 200, "{}");
    http_server_json(server, "PUT", DATA, 204, "");
    http_server_json(server, "DELETE", SNAP, 204, "");
    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    return fake;
}

static int setup(void **state)
{
    *state = booted(NULL);
    return 0;
}

static int setup_never(void **state)
{
    *state = booted(NEVER);
    return 0;
}

static int setup_later(void **state)
{
    *state = booted(LATER);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static void ask_shelve(FakeAgent *fake)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "shelving");
    fake_agent_request(fake, "shelve_instance",
                       json_pack("{s:s, s:o, s:b, s:[]}", "image_id", SNAP_ID, "instance",
                                 fake_agent_instance(fake, UUID), "clean_shutdown", 1,
                                 "accel_uuids"));
}

static void shelve(FakeAgent *fake)
{
    ask_shelve(fake);
    fake_agent_wait(fake, UUID);
}

static void offload(FakeAgent *fake)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "shelving_offloading");
    fake_agent_request(fake, "shelve_offload_instance",
                       json_pack("{s:o, s:b, s:[]}", "instance", fake_agent_instance(fake, UUID),
                                 "clean_shutdown", 1, "accel_uuids"));
    fake_agent_wait(fake, UUID);
}

static unsigned deletes(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "DELETE", SNAP);
}

static unsigned faults(FakeAgent *fake)
{
    return fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create");
}

static GuestState guest_state(FakeAgent *fake)
{
    GuestState state = GUEST_STATE_NONE;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->state(virt->self, UUID, &state, NULL));
    return state;
}

/* The last "<key>": "<value>" of the row's system_metadata; caller frees. */
static char *metadata_of(FakeAgent *fake, const char *key)
{
    json_t *instance = fake_agent_instance(fake, UUID);
    json_t *data = json_object_get(instance, "nova_object.data");
    char *value = g_strdup(
        json_string_value(json_object_get(json_object_get(data, "system_metadata"), key)));

    json_decref(instance);
    return value;
}

static void assert_offloaded(FakeAgent *fake)
{
    static const char *const empty[] = {"task_state", "host", "node", "launched_on",
                                        "availability_zone"};
    g_auto(GStrv) tracked = tracker_instances(fake_agent(fake)->tracker);

    fake_agent_assert_row(fake, "vm_state", "shelved_offloaded");
    for (size_t i = 0; i < G_N_ELEMENTS(empty); i++)
        fake_agent_assert_row(fake, empty[i], "");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_int_equal(fake_agent_allocations_deleted(fake), 1);
    assert_null(tracked[0]);
    /* The ports stay the instance's. */
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     0);
}

static void assert_shelved_here(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "shelved");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
    assert_int_equal(guest_state(fake), GUEST_STATE_OFF);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
}

/* ---- what works ---- */

static void an_instance_is_shelved_and_leaves_at_once(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *states = NULL;
    g_autofree char *image = NULL;
    g_autofree char *host = NULL;
    g_autofree char *at = NULL;
    int64_t at_ms = 0;

    shelve(fake);
    assert_offloaded(fake);
    states = fake_conductor_states(fake_agent_conductor(fake));
    assert_true(g_str_has_suffix(states, "active/shelving_image_pending_upload\n"
                                         "active/shelving_image_uploading\n"
                                         "shelved/shelving_offloading\n"
                                         "shelved_offloaded/\nshelved_offloaded/\n"));
    image = metadata_of(fake, "shelved_image_id");
    assert_string_equal(image, SNAP_ID);
    host = metadata_of(fake, "shelved_host");
    assert_string_equal(host, "vm");
    at = metadata_of(fake, "shelved_at");
    assert_true(dv_time_parse(at, &at_ms));
    fake_agent_assert_row(fake, "power_state", "4");
    assert_int_equal(http_server_count(fake_agent_server(fake), "PUT", DATA), 1);
    assert_int_equal(deletes(fake), 0);
    assert_int_equal(faults(fake), 0);
    /* The guest was asked to power itself off, and its disk was read after that. */
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "shutdown"), 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "block_copy"), 0);
}

static void a_shelved_instance_stays_when_it_shall(void **state)
{
    FakeAgent *fake = *state;

    shelve(fake);
    assert_shelved_here(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 0);
    offload(fake);
    assert_offloaded(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 1);
}

static void a_paused_guest_is_not_asked(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "paused");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "power_state", "3");
    shelve(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "shutdown"), 0);
    assert_offloaded(fake);
}

/* ---- failures ---- */

static void assert_still_here(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
    assert_int_equal(faults(fake), 1);
}

static void without_an_image_nothing_is_given_up(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "PUT", DATA "*", 413, "{}");
    shelve(fake);
    assert_still_here(fake);
    assert_int_equal(deletes(fake), 1);
}

static void an_image_that_is_gone_is_a_failure_here(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", SNAP "*", 404, "{}");
    shelve(fake);
    assert_still_here(fake);
}

static void a_guest_that_cannot_be_ended_is_not_shelved(void **state)
{
    FakeAgent *fake = *state;

    fake_agent(fake)->config.shutdown_timeout_s = 1;
    fake_virt_ignore_shutdown(fake_agent_virt(fake), UUID, true);
    fake_virt_fail(fake_agent_virt(fake), "power_off", DV_E_POWER_OFF, 1);
    shelve(fake);
    assert_still_here(fake);
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_int_equal(http_server_count(fake_agent_server(fake), "PUT", DATA), 0);
}

/* Conductor may have written what it did not confirm: then the image is all there is of the disk
 * once somebody offloads the instance. */
static void an_image_that_may_be_needed_stays(void **state)
{
    FakeAgent *fake = *state;

    http_server_on(fake_agent_server(fake), "PUT", DATA "*",
                   &(HttpAnswer){.status = 204, .stall_ms = 1000});
    ask_shelve(fake);
    while (http_server_count(fake_agent_server(fake), "PUT", DATA) == 0)
        g_usleep(2000);
    fake_conductor_fail(fake_agent_conductor(fake), "Instance.save", "timeout");
    fake_agent_wait(fake, UUID);
    assert_int_equal(deletes(fake), 0);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void an_instance_with_a_volume_is_refused(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_answer(
        fake_agent_conductor(fake), "BlockDeviceMappingList.get_by_instance_uuid",
        fake_agent_object(
            "BlockDeviceMappingList", "1.18",
            json_pack("{s:[o]}", "objects",
                      fake_agent_object("BlockDeviceMapping", "1.20",
                                        json_pack("{s:s, s:s}", "source_type", "volume",
                                                  "destination_type", "volume")))));
    shelve(fake);
    assert_still_here(fake);
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_int_equal(deletes(fake), 1);
}

static void an_offload_that_failed_can_be_repeated(void **state)
{
    FakeAgent *fake = *state;

    shelve(fake);
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, 1);
    offload(fake);
    assert_shelved_here(fake);
    assert_int_equal(faults(fake), 1);
    offload(fake);
    assert_offloaded(fake);
}

static void an_offload_without_placement_keeps_the_record(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "DELETE", FLOW_PLACEMENT "/allocations/" UUID, 500,
                     "{}");
    shelve(fake);
    fake_agent_assert_row(fake, "vm_state", "shelved");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", "vm");
    assert_int_equal(deletes(fake), 0);
}

static void a_delete_takes_over(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *host = NULL;

    http_server_on(fake_agent_server(fake), "PUT", DATA "*",
                   &(HttpAnswer){.status = 204, .stall_ms = 1000});
    ask_shelve(fake);
    while (http_server_count(fake_agent_server(fake), "PUT", DATA) == 0)
        g_usleep(2000);
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");
    assert_null(host);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_int_equal(deletes(fake), 1);
}

/* ---- by the clock ---- */

static void answer_listing(FakeAgent *fake)
{
    fake_conductor_answer(
        fake_agent_conductor(fake), "InstanceList.get_by_filters",
        fake_agent_object("InstanceList", "2.6",
                          json_pack("{s:[o]}", "objects", fake_agent_instance(fake, UUID))));
}

static void look(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!shelve_offload_due(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    fake_agent_wait(fake, UUID);
}

/* Moves shelved_at of the row into the past. */
static void shelved_before(FakeAgent *fake, int64_t seconds)
{
    g_autoptr(Ovo) row = NULL;
    json_t *instance = fake_agent_instance(fake, UUID);
    g_autofree char *then = dv_time_context(dv_clock_wall_ms(dv_clock_real()) - seconds * 1000);

    row = ovo_take(instance, "Instance", NULL);
    ovo_dict_set(row, "system_metadata", "shelved_at", then);
    ovo_reset_changes(row);
    fake_conductor_put(fake_agent_conductor(fake), row);
}

static void an_instance_leaves_when_its_time_has_come(void **state)
{
    FakeAgent *fake = *state;

    shelve(fake);
    assert_shelved_here(fake);
    answer_listing(fake);
    look(fake);
    assert_shelved_here(fake);
    shelved_before(fake, 120);
    answer_listing(fake);
    look(fake);
    assert_offloaded(fake);
}

/* The listing is a moment old when the instance's turn comes. */
static void an_instance_that_was_unshelved_meanwhile_stays(void **state)
{
    FakeAgent *fake = *state;

    shelve(fake);
    shelved_before(fake, 120);
    answer_listing(fake);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "powering-on");
    look(fake);
    fake_agent_assert_row(fake, "task_state", "powering-on");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", NULL);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "active");
    look(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
}

#define T(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_instance_is_shelved_and_leaves_at_once, setup),
        T(a_shelved_instance_stays_when_it_shall, setup_never),
        T(a_paused_guest_is_not_asked, setup),
        T(without_an_image_nothing_is_given_up, setup),
        T(an_image_that_is_gone_is_a_failure_here, setup),
        T(a_guest_that_cannot_be_ended_is_not_shelved, setup),
        T(an_image_that_may_be_needed_stays, setup_never),
        T(an_instance_with_a_volume_is_refused, setup),
        T(an_offload_that_failed_can_be_repeated, setup_never),
        T(an_offload_without_placement_keeps_the_record, setup),
        T(a_delete_takes_over, setup),
        T(an_instance_leaves_when_its_time_has_come, setup_later),
        T(an_instance_that_was_unshelved_meanwhile_stays, setup_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
