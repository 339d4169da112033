/* Rescues: which disks the guest gets, what is kept of it, how it comes back, and what is left when
 * a step fails. */
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "agent/polls.h"

#define UUID FLOW_UUID
#define RESCUE_IMAGE "9f0d3a6c-58a4-4c40-a0a7-0d9b6e6f9d11"
#define RESCUE "/image/v2/images/" RESCUE_IMAGE

static int setup_with(void **state, const char *options, const char *config_drive)
{
    FakeAgent *fake = fake_agent_new(options);
    json_t *request = fake_agent_boot_request();

    json_object_set_new(fake_agent_data(request, "instance"), "config_drive",
                        json_string(config_drive));
    fake_agent_boot(fake, request);
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    *state = fake;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL, "");
}

static int setup_config_drive(void **state)
{
    return setup_with(state, NULL, "True");
}

static int setup_timeout(void **state)
{
    return setup_with(state, "rescue_timeout = 60\n", "");
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* `properties`: JSON members, ", ..." or "". */
static void script_image(FakeAgent *fake, const char *properties)
{
    static char data[65536];
    g_autofree char *record = g_strdup_printf(
        "{\"id\":\"" RESCUE_IMAGE "\",\"status\":\"active\",\"size\":65536,\"disk_format\":\"raw\","
        "\"container_format\":\"bare\",\"min_disk\":0,\"min_ram\":0%s}",
        properties);

    http_server_json(fake_agent_server(fake), "GET", RESCUE, 200, record);
    http_server_on(fake_agent_server(fake), "GET", RESCUE "/file",
                   &(HttpAnswer){.body = data, .length = sizeof(data)});
}

static json_t *rescue_args(FakeAgent *fake, const char *image)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "rescuing");
    return json_pack("{s:o, s:s, s:s?, s:b}", "instance", fake_agent_instance(fake, UUID),
                     "rescue_password", "secret", "rescue_image_ref", image, "clean_shutdown", 0);
}

static void rescue(FakeAgent *fake, const char *image)
{
    fake_agent_request(fake, "rescue_instance", rescue_args(fake, image));
    fake_agent_wait(fake, UUID);
}

static void unrescue(FakeAgent *fake)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "unrescuing");
    fake_agent_request(fake, "unrescue_instance",
                       json_pack("{s:o}", "instance", fake_agent_instance(fake, UUID)));
    fake_agent_wait(fake, UUID);
}

static char *describe(FakeAgent *fake)
{
    VirtDriver *virt = fake_agent(fake)->virt;
    char *xml = NULL;

    assert_true(virt->ops->describe(virt->self, UUID, &xml, NULL));
    return xml;
}

static GuestState guest_state(FakeAgent *fake)
{
    VirtDriver *virt = fake_agent(fake)->virt;
    GuestState state = GUEST_STATE_NONE;

    assert_true(virt->ops->state(virt->self, UUID, &state, NULL));
    return state;
}

static void assert_says(const char *xml, const char *text)
{
    if (!strstr(xml, text))
        fail_msg("'%s' is not in %s", text, xml);
}

static void assert_rescued(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "rescued");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "power_state", "1");
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
}

/* ---- as it should go ---- */

static void a_classic_rescue_boots_its_image_before_the_root_disk(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = NULL;
    g_autofree char *xml = NULL;
    g_autofree char *kept = NULL;

    script_image(fake, "");
    before = describe(fake);
    rescue(fake, RESCUE_IMAGE);
    assert_rescued(fake);
    xml = describe(fake);
    assert_says(xml,
                "<source file='disk.rescue'/><target dev='vda' bus='virtio'/><boot order='0'/>");
    assert_says(xml, "<source file='disk'/><target dev='vdb' bus='virtio'/><boot order='0'/>");
    assert_true(fake_agent_has_file(fake, UUID, "disk.rescue"));
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_true(disks_kept_guest(fake_agent(fake)->disks, UUID, &kept, NULL));
    assert_string_equal(kept, before);
}

static void a_rescue_sets_when_it_began(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, "");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "launched_at", "2020-01-01T00:00:00Z");
    rescue(fake, RESCUE_IMAGE);
    assert_rescued(fake);
    {
        g_autofree char *launched = fake_conductor_field(fake_agent_conductor(fake), UUID,
                                                         "launched_at");

        assert_string_not_equal(launched, "2020-01-01T00:00:00Z");
    }
}

static void a_rescue_has_a_config_drive_of_its_own(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *xml = NULL;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    assert_rescued(fake);
    xml = describe(fake);
    assert_says(xml, "<source file='disk.config.rescue'/>");
    assert_null(strstr(xml, "<source file='disk.config'/>"));
    assert_true(fake_agent_has_file(fake, UUID, "disk.config"));
    assert_true(fake_agent_has_file(fake, UUID, "disk.config.rescue"));
}

static void without_an_image_the_guests_own_is_taken(void **state)
{
    FakeAgent *fake = *state;

    rescue(fake, NULL);
    assert_rescued(fake);
    assert_true(fake_agent_has_file(fake, UUID, "disk.rescue"));
}

static void a_stable_rescue_keeps_all_devices(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *xml = NULL;

    script_image(fake, ",\"hw_rescue_device\":\"cdrom\",\"hw_rescue_bus\":\"usb\"");
    rescue(fake, RESCUE_IMAGE);
    assert_rescued(fake);
    xml = describe(fake);
    assert_says(xml, "<source file='disk'/><target dev='vda' bus='virtio'/>");
    assert_says(xml,
                "<disk device='cdrom'><source file='disk.rescue'/><target dev='sda' bus='usb'/>"
                "<boot order='1'/>");
}

static void an_unrescued_guest_is_what_it_was(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = describe(fake);
    g_autofree char *after = NULL;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    unrescue(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    after = describe(fake);
    assert_string_equal(after, before);
    assert_false(fake_agent_has_file(fake, UUID, "disk.rescue"));
    assert_false(fake_agent_has_file(fake, UUID, "unrescue.xml"));
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void a_guest_without_its_description_is_made_anew(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *xml = NULL;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    assert_true(disks_end_rescue(fake_agent(fake)->disks, UUID, true, NULL));
    unrescue(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    xml = describe(fake);
    assert_says(xml, "<source file='disk'/><target dev='vda' bus='virtio'/>");
}

static void a_server_can_be_rescued_again(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    unrescue(fake);
    rescue(fake, NULL);
    assert_rescued(fake);
}

/* ---- refused, with the guest running ---- */

static void assert_untouched(FakeAgent *fake, const char *fault_text)
{
    g_autofree char *fault = NULL;

    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "power_off"), 0);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    assert_non_null(fault);
    assert_says(fault, fault_text);
}

static void an_unknown_bus_is_refused(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, ",\"hw_rescue_bus\":\"xen\"");
    rescue(fake, RESCUE_IMAGE);
    assert_untouched(fake, "Requested rescue bus 'xen' is not supported");
}

static void an_unknown_device_is_refused(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, ",\"hw_rescue_device\":\"floppy\"");
    rescue(fake, RESCUE_IMAGE);
    assert_untouched(fake, "Requested rescue device 'floppy' is not supported");
}

static void a_missing_image_is_refused(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", RESCUE, 404, "{}");
    rescue(fake, RESCUE_IMAGE);
    assert_untouched(fake, RESCUE_IMAGE);
}

/* ---- failures ---- */

static void assert_error(FakeAgent *fake, const char *own_xml)
{
    g_autofree char *fault = fake_conductor_last(fake_agent_conductor(fake),
                                                 "InstanceFault.create");
    g_autofree char *xml = describe(fake);

    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    assert_says(fault, "cannot be rescued: Driver Error: ");
    assert_string_equal(xml, own_xml);
    assert_false(fake_agent_has_file(fake, UUID, "disk.rescue"));
    assert_false(fake_agent_has_file(fake, UUID, "unrescue.xml"));
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void an_image_that_cannot_be_read_leaves_the_guest_off(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *own = describe(fake);

    script_image(fake, "");
    http_server_json(fake_agent_server(fake), "GET", RESCUE "/fil*", 404, "");
    rescue(fake, RESCUE_IMAGE);
    assert_error(fake, own);
    assert_int_equal(guest_state(fake), GUEST_STATE_OFF);
}

static void a_rescue_that_does_not_start_puts_the_guest_back(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *own = describe(fake);

    script_image(fake, "");
    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    rescue(fake, RESCUE_IMAGE);
    assert_error(fake, own);
    assert_int_equal(guest_state(fake), GUEST_STATE_OFF);
}

static void a_guest_that_does_not_power_off_keeps_running(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *own = describe(fake);

    script_image(fake, "");
    fake_virt_fail(fake_agent_virt(fake), "power_off", DV_E_POWER_OFF, 1);
    rescue(fake, RESCUE_IMAGE);
    assert_error(fake, own);
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
}

static void a_delete_in_the_middle_is_not_made_an_error(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    script_image(fake, "");
    fake_virt_hold(virt, "start");
    fake_agent_request(fake, "rescue_instance", rescue_args(fake, RESCUE_IMAGE));
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    fake_virt_release(virt, "start");
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "deleting");
    assert_false(fake_agent_has_file(fake, UUID, "disk.rescue"));
}

static void an_unrescue_that_does_not_launch_is_an_error(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    fake_virt_fail(fake_agent_virt(fake), "launch", DV_E_HYPERVISOR, 1);
    unrescue(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
}

/* ---- the periodic end ---- */

static void answer_rescued(FakeAgent *fake)
{
    json_t *list = json_pack("{s:[o]}", "objects", fake_agent_instance(fake, UUID));

    fake_conductor_answer(fake_agent_conductor(fake), "InstanceList.get_by_filters",
                          fake_agent_object("InstanceList", "2.6", list));
}

static void poll(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!poll_rescued(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    fake_agent_wait(fake, UUID);
}

static void a_rescue_ends_by_itself(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    answer_rescued(fake);
    poll(fake);
    assert_rescued(fake); /* not yet */
    fake_conductor_set(fake_agent_conductor(fake), UUID, "launched_at", "2020-01-01T00:00:00Z");
    answer_rescued(fake);
    poll(fake);
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(fake_agent_casts(fake, "unrescue_instance", NULL), 1);
}

static void a_rescue_in_some_other_task_is_left_alone(void **state)
{
    FakeAgent *fake = *state;

    script_image(fake, "");
    rescue(fake, RESCUE_IMAGE);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "launched_at", "2020-01-01T00:00:00Z");
    answer_rescued(fake);
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    poll(fake);
    fake_agent_assert_row(fake, "task_state", "deleting");
    assert_int_equal(fake_agent_casts(fake, "unrescue_instance", NULL), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define D(name) cmocka_unit_test_setup_teardown(name, setup_config_drive, teardown)
#define P(name) cmocka_unit_test_setup_teardown(name, setup_timeout, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_classic_rescue_boots_its_image_before_the_root_disk),
        T(a_rescue_sets_when_it_began),
        D(a_rescue_has_a_config_drive_of_its_own),
        T(without_an_image_the_guests_own_is_taken),
        T(a_stable_rescue_keeps_all_devices),
        T(an_unrescued_guest_is_what_it_was),
        T(a_guest_without_its_description_is_made_anew),
        T(a_server_can_be_rescued_again),
        T(an_unknown_bus_is_refused),
        T(an_unknown_device_is_refused),
        T(a_missing_image_is_refused),
        T(an_image_that_cannot_be_read_leaves_the_guest_off),
        T(a_rescue_that_does_not_start_puts_the_guest_back),
        T(a_guest_that_does_not_power_off_keeps_running),
        T(a_delete_in_the_middle_is_not_made_an_error),
        T(an_unrescue_that_does_not_launch_is_an_error),
        P(a_rescue_ends_by_itself),
        P(a_rescue_in_some_other_task_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
