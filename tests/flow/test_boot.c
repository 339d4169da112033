/* Boots that succeed: what they leave with conductor, neutron, placement and the hypervisor, what
 * they wait for, and what a second one need not do again. */
#include "../unit/services/neutron_recorded.h"
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    return 0;
}

static int setup_waiting(void **state)
{
    *state = fake_agent_new("vif_plugging_timeout = 60\n");
    return 0;
}

static int setup_impatient(void **state)
{
    *state = fake_agent_new("vif_plugging_timeout = 1\n");
    return 0;
}

static int setup_forgiving(void **state)
{
    *state = fake_agent_new("vif_plugging_timeout = 1\nvif_plugging_is_fatal = false\n");
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static void assert_active(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "power_state", "1");
    fake_agent_assert_row(fake, "host", "vm");
    fake_agent_assert_row(fake, "node", "vm");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void boot(FakeAgent *fake)
{
    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
}

static void a_boot_ends_active(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *launched = NULL;

    boot(fake);
    assert_active(fake);
    launched = fake_conductor_field(fake_agent_conductor(fake), UUID, "launched_at");
    assert_true(strlen(launched) > 10);
    fake_agent_assert_row(fake, "root_device_name", "/dev/vda");
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
}

/* A later host, or the same one with other defaults, builds the same machine. */
static void a_boot_records_what_the_host_chose(void **state)
{
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"image_hw_machine_type", "pc"},    {"image_hw_disk_bus", "virtio"},
        {"image_hw_cdrom_bus", "ide"},      {"image_hw_input_bus", "usb"},
        {"image_hw_vif_model", "virtio"},   {"image_hw_pointer_model", "usbtablet"},
        {"image_hw_video_model", "virtio"},
    };
    FakeAgent *fake = *state;
    json_t *instance;
    const json_t *kept;

    boot(fake);
    instance = fake_agent_instance(fake, UUID);
    kept = json_object_get(json_object_get(instance, "nova_object.data"), "system_metadata");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_string_equal(json_string_value(json_object_get(kept, rows[i].key)), rows[i].value);
    json_decref(instance);
}

static void the_task_states_are_those_of_nova(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *states = NULL;

    boot(fake);
    states = fake_conductor_states(fake_agent_conductor(fake));
    assert_string_equal(states, "building/networking\nbuilding/block_device_mapping\n"
                                "building/spawning\nactive/\n");
}

static void a_boot_records_networks_devices_and_its_event(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *cache = NULL;

    boot(fake);
    cache = fake_conductor_last(con, "InstanceInfoCache.save");
    assert_non_null(cache);
    assert_non_null(strstr(cache, FLOW_PORT_A));
    assert_non_null(strstr(cache, FLOW_PORT_B));
    assert_int_equal(fake_conductor_count(con, "VirtualInterface.create"), 2);
    assert_int_equal(fake_conductor_count(con, "BlockDeviceMapping.save"), 1);
    assert_int_equal(fake_conductor_count(con, "InstanceActionEvent.event_start"), 1);
    assert_int_equal(fake_conductor_count(con, "InstanceActionEvent.event_finish_with_failure"), 1);
    assert_int_equal(fake_conductor_count(con, "InstanceFault.create"), 0);
    assert_int_equal(fake_conductor_count(con, "ComputeNode.save"), 2); /* audit, claim */
}

static void a_config_drive_is_made_when_asked_for(void **state)
{
    FakeAgent *fake = *state;
    json_t *request = fake_agent_boot_request();

    json_object_set_new(fake_agent_data(request, "instance"), "config_drive", json_string("True"));
    fake_agent_boot(fake, request);
    fake_agent_wait(fake, UUID);
    assert_active(fake);
    assert_true(fake_agent_has_file(fake, UUID, "disk.config"));
    fake_agent_assert_row(fake, "config_drive", "True");
}

/* After a reschedule, or a delete and a boot: the image is here already. */
static void a_cached_image_is_not_fetched_again(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    boot(fake);
    assert_active(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "GET", FLOW_GLANCE "/file"), 1);
}

/* ---- waiting for the ports ---- */

/* The guest is defined and waits, paused, for neutron. */
static void boot_until_started(FakeAgent *fake)
{
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "start");
    fake_agent_boot(fake, fake_agent_boot_request());
    assert_true(fake_virt_wait_held(virt, "start", 300000));
    fake_virt_release(virt, "start");
}

static void a_boot_waits_for_all_its_ports(void **state)
{
    FakeAgent *fake = *state;

    boot_until_started(fake);
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_A, "completed");
    fake_agent_assert_row(fake, "task_state", "spawning");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "resume"), 0);
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_B, "completed");
    fake_agent_wait(fake, UUID);
    assert_active(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "resume"), 1);
}

static void a_port_that_cannot_be_plugged_ends_the_boot(void **state)
{
    FakeAgent *fake = *state;

    boot_until_started(fake);
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_A, "failed");
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
}

static void a_port_that_is_never_plugged_ends_the_boot(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "build_instances"), 0);
}

static void neutron_has_active_ports(FakeAgent *fake)
{
    g_auto(GStrv) parts = g_strsplit(recorded_ports, "\"DOWN\"", -1);
    g_autofree char *active = g_strjoinv("\"ACTIVE\"", parts);

    assert_true(g_strv_length(parts) > 2);
    http_server_json(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?device_id=" FLOW_UUID "*",
                     200, active);
}

static void an_event_that_was_lost_does_not_end_the_boot(void **state)
{
    FakeAgent *fake = *state;

    neutron_has_active_ports(fake);
    boot(fake);
    assert_active(fake);
}

/* Not after its timeout, which is a minute here. */
static void after_a_loss_of_the_broker_the_ports_are_asked(void **state)
{
    FakeAgent *fake = *state;
    int64_t begin_ms = dv_now_ms();

    boot_until_started(fake);
    neutron_has_active_ports(fake);
    waits_doubt(fake_agent(fake)->waits);
    fake_agent_wait(fake, UUID);
    assert_active(fake);
    assert_true(dv_now_ms() - begin_ms < 50000);
}

static void a_doubt_does_not_plug_what_is_not_active(void **state)
{
    FakeAgent *fake = *state;

    boot_until_started(fake);
    waits_doubt(fake_agent(fake)->waits);
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_A, "completed");
    g_usleep(100000);
    fake_agent_assert_row(fake, "task_state", "spawning");
    fake_agent_port_event(fake, "network-vif-plugged", FLOW_PORT_B, "completed");
    fake_agent_wait(fake, UUID);
    assert_active(fake);
}

static void an_operator_may_go_without_the_ports(void **state)
{
    FakeAgent *fake = *state;

    boot(fake);
    assert_active(fake);
}

#define T(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_boot_ends_active, setup),
        T(a_boot_records_what_the_host_chose, setup),
        T(the_task_states_are_those_of_nova, setup),
        T(a_boot_records_networks_devices_and_its_event, setup),
        T(a_config_drive_is_made_when_asked_for, setup),
        T(a_cached_image_is_not_fetched_again, setup),
        T(a_boot_waits_for_all_its_ports, setup_waiting),
        T(a_port_that_cannot_be_plugged_ends_the_boot, setup_waiting),
        T(a_port_that_is_never_plugged_ends_the_boot, setup_impatient),
        T(an_event_that_was_lost_does_not_end_the_boot, setup_impatient),
        T(after_a_loss_of_the_broker_the_ports_are_asked, setup_waiting),
        T(a_doubt_does_not_plug_what_is_not_active, setup_waiting),
        T(an_operator_may_go_without_the_ports, setup_forgiving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
