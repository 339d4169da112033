/* Rebuilds: the same states as nova, the same ports, new disks; what is refused before the guest is
 * touched, and what is left when a step fails. */
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define UUID FLOW_UUID
#define OTHER_IMAGE "9f0d3a6c-58a4-4c40-a0a7-0d9b6e6f9d11"
#define OTHER "/image/v2/images/" OTHER_IMAGE

static int setup(void **state)
{
    FakeAgent *fake = fake_agent_new(NULL);

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "active");
    *state = fake;
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* As the API has prepared it: the task state is set, new image and metadata are in the row. */
static json_t *rebuild_args(FakeAgent *fake, const char *image_ref)
{
    json_t *args;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "rebuilding");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "image_ref", image_ref);
    args = json_pack("{s:o, s:s, s:[], s:s?, s:s, s:{}, s:n, s:b, s:n, s:b, s:n, s:n, s:n, s:n, "
                     "s:[], s:b}",
                     "instance", fake_agent_instance(fake, UUID), "new_pass", "secret",
                     "injected_files", "image_ref", image_ref, "orig_image_ref", FLOW_IMAGE,
                     "orig_sys_metadata", "bdms", "recreate", 0, "on_shared_storage",
                     "preserve_ephemeral", 0, "migration", "scheduled_node", "limits",
                     "request_spec", "accel_uuids", "reimage_boot_volume", 0);
    assert_non_null(args);
    return args;
}

static void send_and_wait(FakeAgent *fake, json_t *args)
{
    fake_agent_request(fake, "rebuild_instance", args);
    fake_agent_wait(fake, UUID);
}

/* What the guest has written since. */
static void spoil_disk(FakeAgent *fake)
{
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *path = g_build_filename(dir, "written-by-the-guest", NULL);

    assert_true(g_file_set_contents(path, "x", 1, NULL));
}

static void assert_active(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "vm_state", "active");
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "power_state", "1");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 1);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void assert_error(FakeAgent *fake, unsigned guests)
{
    fake_agent_assert_row(fake, "vm_state", "error");
    fake_agent_assert_row(fake, "task_state", "");
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 1);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), guests);
    /* the server still has its place on this host */
    fake_agent_assert_row(fake, "host", "vm");
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
}

static char *states_since(FakeAgent *fake, const char *before)
{
    g_autofree char *all = fake_conductor_states(fake_agent_conductor(fake));

    return g_strdup(all + strlen(before));
}

static void a_rebuild_goes_through_novas_states(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *before = fake_conductor_states(fake_agent_conductor(fake));
    g_autofree char *states = NULL;

    spoil_disk(fake);
    send_and_wait(fake, rebuild_args(fake, FLOW_IMAGE));
    assert_active(fake);
    states = states_since(fake, before);
    assert_string_equal(states, "active/rebuilding\nactive/rebuild_block_device_mapping\n"
                                "active/rebuild_spawning\nactive/\n");
    assert_false(fake_agent_has_file(fake, UUID, "written-by-the-guest"));
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "start"), 2);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 1);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 0);
}

static void the_ports_stay_and_nothing_is_claimed_anew(void **state)
{
    FakeAgent *fake = *state;
    unsigned posts = http_server_count(fake_agent_server(fake), "POST", FLOW_NEUTRON "/ports");
    unsigned nodes = fake_conductor_count(fake_agent_conductor(fake), "ComputeNode.save");

    send_and_wait(fake, rebuild_args(fake, FLOW_IMAGE));
    assert_active(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "POST", FLOW_NEUTRON "/ports"),
                     posts);
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     0);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "ComputeNode.save"), nodes);
    assert_int_equal(fake_agent_allocations_deleted(fake), 0);
}

static void script_other_image(FakeAgent *fake, const char *status)
{
    static char data[65536];
    g_autofree char *record = g_strdup_printf(
        "{\"id\":\"" OTHER_IMAGE "\",\"status\":\"%s\",\"size\":65536,\"disk_format\":\"raw\","
        "\"container_format\":\"bare\",\"min_disk\":0,\"min_ram\":0,\"hw_disk_bus\":\"scsi\"}",
        status);

    http_server_json(fake_agent_server(fake), "GET", OTHER, 200, record);
    http_server_on(fake_agent_server(fake), "GET", OTHER "/file",
                   &(HttpAnswer){.body = data, .length = sizeof(data)});
}

static void a_new_image_brings_its_own_properties(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *xml = NULL;

    script_other_image(fake, "active");
    send_and_wait(fake, rebuild_args(fake, OTHER_IMAGE));
    assert_active(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "GET", OTHER "/file"), 1);
    assert_true(
        fake_agent(fake)->virt->ops->describe(fake_agent(fake)->virt->self, UUID, &xml, NULL));
    assert_non_null(strstr(xml, "scsi"));
}

static void an_image_that_is_not_there_changes_nothing(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", OTHER, 404, "{}");
    send_and_wait(fake, rebuild_args(fake, OTHER_IMAGE));
    assert_active(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "destroy"), 0);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 1);
}

static void an_image_that_is_queued_changes_nothing(void **state)
{
    FakeAgent *fake = *state;

    script_other_image(fake, "queued");
    send_and_wait(fake, rebuild_args(fake, OTHER_IMAGE));
    assert_active(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "destroy"), 0);
}

static void a_stopped_server_is_stopped_again(void **state)
{
    FakeAgent *fake = *state;
    GuestState guest = GUEST_STATE_NONE;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
    send_and_wait(fake, rebuild_args(fake, FLOW_IMAGE));
    fake_agent_assert_row(fake, "vm_state", "stopped");
    fake_agent_assert_row(fake, "task_state", "");
    assert_true(
        fake_agent(fake)->virt->ops->state(fake_agent(fake)->virt->self, UUID, &guest, NULL));
    assert_int_equal(guest, GUEST_STATE_OFF);
}

static void a_password_and_files_reach_the_config_drive(void **state)
{
    FakeAgent *fake = *state;
    json_t *args;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "config_drive", "True");
    args = rebuild_args(fake, FLOW_IMAGE);
    json_object_set_new(args, "injected_files", json_pack("[[ss]]", "/etc/motd", "aGVsbG8="));
    send_and_wait(fake, args);
    assert_active(fake);
    assert_true(fake_agent_has_file(fake, UUID, "disk.config"));
}

/* ---- refused ---- */

static void refused_without_touching_the_guest(FakeAgent *fake, json_t *args)
{
    send_and_wait(fake, args);
    assert_error(fake, 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "destroy"), 0);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
}

static void ephemeral_disks_cannot_be_kept(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = rebuild_args(fake, FLOW_IMAGE);
    g_autofree char *fault = NULL;

    json_object_set_new(args, "preserve_ephemeral", json_true());
    refused_without_touching_the_guest(fake, args);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    assert_non_null(strstr(fault, "does not support preserving ephemeral partitions"));
}

static void a_volume_backed_server_is_refused(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = rebuild_args(fake, NULL);

    json_object_set_new(args, "reimage_boot_volume", json_true());
    refused_without_touching_the_guest(fake, args);
}

static void an_attached_volume_is_refused(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = rebuild_args(fake, FLOW_IMAGE);
    json_t *bdm = fake_agent_object("BlockDeviceMapping", "1.20",
                                    json_pack("{s:i, s:s, s:s, s:s, s:i}", "id", 7, "source_type",
                                              "volume", "destination_type", "volume", "device_name",
                                              "/dev/vdb", "volume_size", 1));
    json_t *list = fake_agent_object("BlockDeviceMappingList", "1.18",
                                     json_pack("{s:[o]}", "objects", bdm));

    json_object_set_new(args, "bdms", list);
    refused_without_touching_the_guest(fake, args);
}

/* ---- failures ---- */

static void fails_at(FakeAgent *fake, const char *op, unsigned guests_left)
{
    fake_virt_fail(fake_agent_virt(fake), op, DV_E_HYPERVISOR, 1);
    send_and_wait(fake, rebuild_args(fake, FLOW_IMAGE));
    assert_error(fake, guests_left);
}

/* And the next rebuild, whatever the last one left, makes a server of it again. */
static void a_rebuild_heals_it(FakeAgent *fake)
{
    send_and_wait(fake, rebuild_args(fake, FLOW_IMAGE));
    assert_active(fake);
}

static void a_guest_that_cannot_be_destroyed_keeps_its_disks(void **state)
{
    FakeAgent *fake = *state;

    fails_at(fake, "destroy", 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 0);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    a_rebuild_heals_it(fake);
}

static void a_guest_that_cannot_be_started_leaves_nothing(void **state)
{
    FakeAgent *fake = *state;

    fails_at(fake, "start", 0);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"),
                     2 /* of the old guest and of this one */);
    assert_false(fake_agent_has_disks(fake, UUID));
    a_rebuild_heals_it(fake);
}

static void a_guest_that_cannot_be_resumed_leaves_nothing(void **state)
{
    FakeAgent *fake = *state;

    fails_at(fake, "resume", 0);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "unplug"), 2);
    assert_false(fake_agent_has_disks(fake, UUID));
    a_rebuild_heals_it(fake);
}

static void an_image_that_cannot_be_read_leaves_nothing(void **state)
{
    FakeAgent *fake = *state;

    script_other_image(fake, "active");
    http_server_json(fake_agent_server(fake), "GET", OTHER "/fil*", 404, "");
    send_and_wait(fake, rebuild_args(fake, OTHER_IMAGE));
    fake_agent_assert_row(fake, "vm_state", "error");
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
}

static void somebody_elses_task_wins(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = rebuild_args(fake, FLOW_IMAGE);

    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "powering-off");
    send_and_wait(fake, args);
    fake_agent_assert_row(fake, "task_state", "powering-off");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "destroy"), 0);
}

static void a_delete_in_the_middle_ends_it_quietly(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "destroy");
    fake_agent_request(fake, "rebuild_instance", rebuild_args(fake, FLOW_IMAGE));
    assert_true(fake_virt_wait_held(virt, "destroy", 300000));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    fake_virt_release(virt, "destroy");
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "task_state", "deleting");
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "InstanceFault.create"), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_rebuild_goes_through_novas_states),
        T(the_ports_stay_and_nothing_is_claimed_anew),
        T(a_new_image_brings_its_own_properties),
        T(an_image_that_is_not_there_changes_nothing),
        T(an_image_that_is_queued_changes_nothing),
        T(a_stopped_server_is_stopped_again),
        T(a_password_and_files_reach_the_config_drive),
        T(ephemeral_disks_cannot_be_kept),
        T(a_volume_backed_server_is_refused),
        T(an_attached_volume_is_refused),
        T(a_guest_that_cannot_be_destroyed_keeps_its_disks),
        T(a_guest_that_cannot_be_started_leaves_nothing),
        T(a_guest_that_cannot_be_resumed_leaves_nothing),
        T(an_image_that_cannot_be_read_leaves_nothing),
        T(somebody_elses_task_wins),
        T(a_delete_in_the_middle_ends_it_quietly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
