/* What the start of the agent makes of the instances that an earlier run left in the middle of
 * something. */
#include "../unit/services/neutron_recorded.h"
#include "agent/cleanup.h"
#include "agent/power_sync.h"
#include "agent/recovery.h"
#include "agent/recovery_moves.h"
#include "agent/startup.h"
#include "fakes/agent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define UUID FLOW_UUID
#define PROJECT "3900c7d49ef84784b86607ae092a97bc"

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* The row that the database has of an instance of this host. */
static void left_as(FakeAgent *fake, const char *vm_state, const char *task_state)
{
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *request = fake_agent_boot_request();
    g_autoptr(Ovo) instance = ovo_view(
        json_object_get(json_object_get(request, "args"), "instance"), "Instance", NULL);

    fake_conductor_put(con, instance);
    fake_conductor_set(con, UUID, "host", "vm");
    fake_conductor_set(con, UUID, "node", "vm");
    fake_conductor_set(con, UUID, "vm_state", vm_state);
    fake_conductor_set(con, UUID, "task_state", task_state);
    json_decref(request);
}

static void start(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!recovery_run(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    recovery_moves(fake_agent(fake), fake_agent_ctx(fake));
    fake_agent_wait(fake, UUID);
}

static void assert_states(FakeAgent *fake, const char *vm_state, const char *task_state)
{
    fake_agent_assert_row(fake, "vm_state", vm_state);
    fake_agent_assert_row(fake, "task_state", task_state);
}

typedef struct Left {
    const char *name;
    const char *vm_state, *task_state; /* NULL: null */
    GuestState guest;                  /* GUEST_STATE_NONE: there is none */
    const char *then_vm_state, *then_task_state;
} Left;

/* docs/wire/flows.md, per instance recovery. */
static const Left left[] = {
    {"a boot before its claim", "building", "scheduling", GUEST_STATE_NONE, "error", ""},
    {"a boot without a task", "building", NULL, GUEST_STATE_NONE, "error", ""},
    {"a boot at its networks", "building", "networking", GUEST_STATE_NONE, "error", ""},
    {"a boot at its guest", "building", "spawning", GUEST_STATE_PAUSED, "error", ""},
    {"a rebuild", "active", "rebuild_spawning", GUEST_STATE_NONE, "error", ""},
    {"a snapshot", "active", "image_uploading", GUEST_STATE_RUNNING, "active", ""},
    {"a backup", "active", "image_backup", GUEST_STATE_RUNNING, "active", ""},
    {"a shelve", "active", "shelving_image_uploading", GUEST_STATE_OFF, "active", ""},
    {"an offload", "shelved", "shelving_offloading", GUEST_STATE_OFF, "shelved", ""},
    {"a resize", "active", "resize_prep", GUEST_STATE_RUNNING, "active", ""},
    {"a reboot that was done", "active", "reboot_started_hard", GUEST_STATE_RUNNING, "active", ""},
    {"a pause that had no effect", "active", "pausing", GUEST_STATE_RUNNING, "active", ""},
    {"a pause that was done", "active", "pausing", GUEST_STATE_PAUSED, "active", "pausing"},
    {"an unpause that had no effect", "paused", "unpausing", GUEST_STATE_PAUSED, "active", ""},
    {"a stop that had no effect", "active", "powering-off", GUEST_STATE_RUNNING, "stopped", ""},
    {"a stop that was done", "active", "powering-off", GUEST_STATE_OFF, "stopped", ""},
    {"a soft reboot that was asked for", "active", "reboot_pending", GUEST_STATE_RUNNING, "active",
     ""},
    {"a reboot nobody has begun", "active", "rebooting", GUEST_STATE_RUNNING, "active",
     "rebooting"},
    {"a soft reboot that was done", "active", "reboot_started", GUEST_STATE_RUNNING, "active", ""},
    {"a snapshot that waited", "stopped", "image_snapshot_pending", GUEST_STATE_OFF, "stopped", ""},
    {"a resize at its disks", "active", "resize_migrating", GUEST_STATE_RUNNING, "active", ""},
    {"a live migration", "active", "migrating", GUEST_STATE_RUNNING, "active", ""},
    {"a rebuild of an error", "error", "rebuilding", GUEST_STATE_NONE, "error", "rebuilding"},
    {"an unpause that was done", "paused", "unpausing", GUEST_STATE_RUNNING, "active", ""},
    {"an error", "error", "spawning", GUEST_STATE_NONE, "error", "spawning"},
    {"a soft delete", "soft-delete", "deleting", GUEST_STATE_OFF, "soft-delete", "deleting"},
    {"nothing", "active", NULL, GUEST_STATE_RUNNING, "active", ""},
};

static void one_left(void **state)
{
    const Left *row = *state;
    FakeAgent *fake = fake_agent_new(NULL);

    left_as(fake, row->vm_state, row->task_state);
    if (row->guest != GUEST_STATE_NONE)
        fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", row->guest);
    start(fake);
    assert_states(fake, row->then_vm_state, row->then_task_state);
    fake_agent_free(fake);
}

static void assert_gone(FakeAgent *fake)
{
    g_autofree char *host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");

    assert_null(host);
    assert_int_equal(fake_agent_allocations_deleted(fake), 1);
}

static void a_delete_is_finished(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", "deleting");
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    start(fake);
    assert_gone(fake);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     2);
}

static void a_delete_of_a_boot_is_finished(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "building", "deleting");
    start(fake);
    assert_gone(fake);
}

/* Only the tail is left: the guest and its ports went before the record said so. */
static void a_record_that_says_deleted_goes(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "deleted", NULL);
    start(fake);
    assert_gone(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/*"),
                     0);
}

static void a_delete_that_still_fails_is_an_error_to_try_again(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", "deleting");
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, 1);
    start(fake);
    fake_agent_assert_row(fake, "vm_state", "error");
    start(fake);
    assert_gone(fake);
}

static void another_hosts_instance_is_left_alone(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "building", "spawning");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", "other");
    start(fake);
    assert_states(fake, "building", "spawning");
}

/* Its allocation is here, but the process died before the claim named the host. */
static void a_boot_that_was_never_claimed_is_found_by_its_allocation(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *provider = NULL;
    g_autofree char *target = NULL;

    left_as(fake, "building", "scheduling");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "host", NULL);
    assert_true(tracker_node_identity(fake_agent(fake)->tracker, &provider, &(int64_t){0}));
    target = g_strconcat(FLOW_PLACEMENT "/resource_providers/", provider, "/allocations*", NULL);
    http_server_json(fake_agent_server(fake), "GET", target, 200,
                     "{\"resource_provider_generation\":1,\"allocations\":{\"" UUID
                     "\":{\"resources\":{\"VCPU\":1}}}}");
    startup_recover_unclaimed(fake_agent(fake), fake_agent_ctx(fake));
    assert_states(fake, "error", "");
}

/* ---- guests that are made anew ---- */

/* A server that ran, and whose guest is now as after a boot of the host. */
static FakeAgent *after_host_boot(const char *options)
{
    FakeAgent *fake = fake_agent_new(options);

    fake_agent_boot(fake, fake_agent_boot_request());
    fake_agent_wait(fake, UUID);
    assert_states(fake, "active", "");
    fake_virt_guest_does(fake_agent_virt(fake), UUID, GUEST_EVENT_STOPPED, "shutdown");
    return fake;
}

static int setup_booted(void **state)
{
    *state = after_host_boot(NULL);
    return 0;
}

static int setup_resuming(void **state)
{
    *state = after_host_boot("resume_guests_state_on_host_boot = true\n");
    return 0;
}

static GuestState guest(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;
    GuestState state = GUEST_STATE_NONE;

    assert_true(virt->ops->state(virt->self, UUID, &state, NULL));
    return state;
}

static void left_at(FakeAgent *fake, const char *task_state)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", task_state);
}

static void a_reboot_without_its_guest_is_done_again(void **state)
{
    FakeAgent *fake = *state;

    left_at(fake, "reboot_started");
    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
}

static void a_start_is_done_again(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
    left_at(fake, "powering-on");
    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
}

static void a_start_that_fails_again_leaves_the_server_stopped(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
    left_at(fake, "powering-on");
    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    start(fake);
    assert_states(fake, "stopped", "");
}

/* By the time its turn comes, the API's own request has done it. */
static void what_was_done_meanwhile_is_not_done_again(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    unsigned starts = fake_virt_calls(virt, "start");

    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
    left_at(fake, "powering-on");
    fake_virt_hold(virt, "pause"); /* the lane is busy with something */
    fake_agent_request(fake, "pause_instance",
                       json_pack("{s:o}", "instance", fake_agent_instance(fake, UUID)));
    assert_true(fake_virt_wait_held(virt, "pause", 300000));
    assert_true(recovery_run(fake_agent(fake), fake_agent_ctx(fake), NULL));
    left_at(fake, NULL);
    fake_virt_release(virt, "pause");
    fake_agent_wait(fake, UUID);
    assert_int_equal(fake_virt_calls(virt, "start"), starts);
}

static void guests_that_ran_are_started_when_told_to(void **state)
{
    FakeAgent *fake = *state;

    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
}

static void a_guest_that_does_not_start_is_an_error(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "start", DV_E_HYPERVISOR, 1);
    start(fake);
    assert_states(fake, "error", "");
}

static void guests_that_ran_stay_off_when_not(void **state)
{
    FakeAgent *fake = *state;

    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
}

/* Off before the host went down: the database says so. */
static void guests_that_were_off_stay_off(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_set_json(fake_agent_conductor(fake), UUID, "power_state",
                            json_integer(GUEST_STATE_OFF));
    start(fake);
    assert_int_equal(guest(fake), GUEST_STATE_OFF);
}

/* The disks had been moved aside, for another host. */
static void a_resize_that_had_moved_the_disks_is_taken_back(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *aside = g_strconcat(dir, "_resize", NULL);

    assert_int_equal(rename(dir, aside), 0);
    left_at(fake, "resize_migrating");
    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(guest(fake), GUEST_STATE_RUNNING);
    assert_true(fake_agent_has_file(fake, UUID, "disk"));
    assert_false(g_file_test(aside, G_FILE_TEST_EXISTS));
}

/* ---- live migration, ports ---- */

static void a_live_migration_is_ended_and_recorded(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);
    g_autofree char *saved = NULL;

    left_as(fake, "active", "migrating");
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    fake_conductor_put_migration(con, json_pack("{s:i, s:s, s:s, s:s, s:s}", "id", 7,
                                                "instance_uuid", UUID, "status", "running",
                                                "source_compute", "vm", "dest_compute", "cmp2"));
    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "abort_job"), 1);
    saved = fake_conductor_last(con, "Migration.save");
    assert_non_null(strstr(saved, "\"status\": \"error\""));
}

static void ports_of(FakeAgent *fake, const char *vif_type)
{
    g_autofree char *text = g_strdup_printf(
        "[{\"id\": \"" FLOW_PORT_A "\", \"address\": \"fa:16:3e:00:00:01\", \"type\": \"%s\", "
        "\"network\": {\"id\": \"n\", \"bridge\": \"br\", \"label\": \"l\", \"subnets\": [], "
        "\"meta\": {}}, \"details\": {}, \"active\": true}]",
        vif_type);

    fake_conductor_set_json(
        fake_agent_conductor(fake), UUID, "info_cache",
        fake_agent_object("InstanceInfoCache", "1.5",
                          json_pack("{s:s, s:s}", "instance_uuid", UUID, "network_info", text)));
}

/* What neutron answers for the ports of the server. */
static void neutron_has_ports(FakeAgent *fake, const char *vif_type)
{
    const NetworkInstance who = {.uuid = UUID, .project_id = PROJECT, .host = "vm"};
    g_autofree char *quoted = g_strdup_printf("\"binding:vif_type\":\"%s\"", vif_type);
    g_auto(GStrv) parts = g_strsplit(recorded_ports, "\"binding:vif_type\":\"bridge\"", -1);
    g_autofree char *ports = g_strjoinv(quoted, parts);

    assert_true(g_strv_length(parts) > 1);
    http_server_json(fake_agent_server(fake), "GET",
                     FLOW_NEUTRON "/ports?tenant_id=" PROJECT "&device_id=" UUID, 200, ports);
    /* what was scripted before is answered once more */
    assert_true(
        neutron_bind_host(fake_agent(fake)->neutron, fake_agent_ctx(fake), &who, NULL, NULL));
}

static void a_port_that_is_not_bound_is_an_error(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", NULL);
    ports_of(fake, "binding_failed");
    neutron_has_ports(fake, "binding_failed");
    start(fake);
    assert_states(fake, "error", "");
}

/* The cache is of a moment in which the port changed over to this host. */
static void a_port_that_was_not_bound_for_a_moment_is_none(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", NULL);
    ports_of(fake, "unbound");
    start(fake);
    assert_states(fake, "active", "");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "plug"), 1);
}

/* Another agent could plug it: the guest runs, and goes on. */
static void a_port_of_a_kind_we_do_not_know_is_left_alone(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", NULL);
    ports_of(fake, "vhostuser");
    start(fake);
    assert_states(fake, "active", "");
}

static void ports_are_plugged_again(void **state)
{
    FakeAgent *fake = *state;

    left_as(fake, "active", NULL);
    ports_of(fake, "bridge");
    start(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "plug"), 1);
}

/* ---- what a guest's host has chosen ---- */

static const struct {
    const char *key, *value;
} defaults[] = {
    {"image_hw_machine_type", "pc"},
    {"image_hw_cdrom_bus", "ide"},
    {"image_hw_disk_bus", "virtio"},
    {"image_hw_video_model", "virtio"},
};

static char *default_of(FakeAgent *fake, const char *key)
{
    g_autofree char *text = fake_conductor_field(fake_agent_conductor(fake), UUID,
                                                 "system_metadata");
    json_auto_t *metadata = json_loads(text, 0, NULL);

    return g_strdup(json_string_value(json_object_get(metadata, key)));
}

static void defaults_of_an_older_guest_are_registered(void **state)
{
    FakeAgent *fake = *state;
    unsigned saves;

    left_as(fake, "active", NULL);
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    start(fake);
    for (size_t i = 0; i < G_N_ELEMENTS(defaults); i++) {
        g_autofree char *value = default_of(fake, defaults[i].key);

        assert_non_null(value);
        assert_string_equal(value, defaults[i].value);
    }
    saves = fake_conductor_count(fake_agent_conductor(fake), "Instance.save");
    start(fake); /* once */
    assert_int_equal(fake_conductor_count(fake_agent_conductor(fake), "Instance.save"), saves);
}

static void defaults_that_cannot_be_found_out_keep_nobody_from_starting(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *machine = NULL;

    left_as(fake, "active", "image_uploading");
    fake_virt_add_guest(fake_agent_virt(fake), UUID, "instance-00000012", GUEST_STATE_RUNNING);
    fake_conductor_fail(fake_agent_conductor(fake), "BlockDeviceMappingList.get_by_instance_uuid",
                        "DBError");
    start(fake);
    assert_states(fake, "active", "");
    machine = default_of(fake, "image_hw_machine_type");
    assert_null(machine);
}

static void defaults_of_a_guest_that_is_not_there_are_not_guessed(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *machine = NULL;

    left_as(fake, "active", NULL);
    start(fake);
    machine = default_of(fake, "image_hw_machine_type");
    assert_null(machine);
}

/* ---- many ---- */

static void add_running(FakeAgent *fake, unsigned number)
{
    json_t *request = fake_agent_boot_request();
    json_t *data = fake_agent_data(request, "instance");
    g_autofree char *uuid = g_strdup_printf("00000000-0000-4000-8000-%012u", number);
    g_autoptr(Ovo) instance = NULL;

    json_object_set_new(data, "uuid", json_string(uuid));
    json_object_set_new(data, "host", json_string("vm"));
    json_object_set_new(data, "node", json_string("vm"));
    json_object_set_new(data, "vm_state", json_string("active"));
    json_object_set_new(data, "task_state", json_null());
    json_object_set_new(data, "power_state", json_integer(GUEST_STATE_RUNNING));
    for (size_t i = 0; i < G_N_ELEMENTS(defaults); i++)
        json_object_set_new(json_object_get(data, "system_metadata"), defaults[i].key,
                            json_string(defaults[i].value));
    instance = ovo_view(json_object_get(json_object_get(request, "args"), "instance"), "Instance",
                        NULL);
    fake_conductor_put(fake_agent_conductor(fake), instance);
    fake_virt_add_guest(fake_agent_virt(fake), uuid, uuid, GUEST_STATE_RUNNING);
    json_decref(request);
}

/* Until nothing that the start has queued is left. */
static void wait_idle(const Agent *agent)
{
    for (size_t i = 0; i < POOL_COUNT; i++) {
        while (dv_pool_queued(agent->pools[i]) + dv_pool_running(agent->pools[i]) > 0)
            g_usleep(2000);
    }
}

/* What a start asks of conductor and hypervisor for so many guests that run as they should. */
static void count_calls(unsigned guests, unsigned *out_rpc, unsigned *out_virt)
{
    FakeAgent *fake = fake_agent_new(NULL);
    Agent *agent = fake_agent(fake);
    const DvCtx *ctx = fake_agent_ctx(fake);
    FakeVirt *virt = fake_agent_virt(fake);
    unsigned before;

    for (unsigned i = 1; i <= guests; i++)
        add_running(fake, i);
    before = fake_conductor_total(fake_agent_conductor(fake));
    assert_true(startup_open(agent, ctx, NULL));
    wait_idle(agent);
    assert_true(power_sync_all(agent, ctx, NULL));
    assert_true(cleanup_running_deleted(agent, ctx, NULL));
    *out_rpc = fake_conductor_total(fake_agent_conductor(fake)) - before;
    *out_virt = fake_virt_calls(virt, "list") + fake_virt_calls(virt, "state");
    fake_agent_free(fake);
}

static void a_start_asks_as_often_for_thirty_guests_as_for_three(void **state G_GNUC_UNUSED)
{
    unsigned rpc_3, virt_3, rpc_30, virt_30;

    count_calls(3, &rpc_3, &virt_3);
    count_calls(30, &rpc_30, &virt_30);
    assert_int_equal(rpc_30, rpc_3);
    assert_int_equal(virt_30, virt_3);
    assert_in_range(virt_3, 1, 4);
}

static void one_that_cannot_be_recovered_does_not_stop_the_others(void **state)
{
    FakeAgent *fake = *state;
    FakeConductor *con = fake_agent_conductor(fake);

    add_running(fake, 1);
    fake_conductor_set(con, "00000000-0000-4000-8000-000000000001", "task_state", "deleting");
    fake_virt_fail(fake_agent_virt(fake), "destroy", DV_E_HYPERVISOR, G_MAXUINT);
    left_as(fake, "building", "spawning");
    start(fake);
    assert_states(fake, "error", "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define B(name) cmocka_unit_test_setup_teardown(name, setup_booted, teardown)
#define R(name) cmocka_unit_test_setup_teardown(name, setup_resuming, teardown)

int main(void)
{
    static const struct CMUnitTest others[] = {
        T(a_delete_is_finished),
        T(a_delete_of_a_boot_is_finished),
        T(a_record_that_says_deleted_goes),
        T(a_delete_that_still_fails_is_an_error_to_try_again),
        T(another_hosts_instance_is_left_alone),
        T(a_boot_that_was_never_claimed_is_found_by_its_allocation),
        B(a_reboot_without_its_guest_is_done_again),
        B(a_start_is_done_again),
        B(a_start_that_fails_again_leaves_the_server_stopped),
        B(what_was_done_meanwhile_is_not_done_again),
        R(guests_that_ran_are_started_when_told_to),
        R(a_guest_that_does_not_start_is_an_error),
        B(guests_that_ran_stay_off_when_not),
        R(guests_that_were_off_stay_off),
        B(a_resize_that_had_moved_the_disks_is_taken_back),
        T(a_live_migration_is_ended_and_recorded),
        T(a_port_that_is_not_bound_is_an_error),
        T(a_port_of_a_kind_we_do_not_know_is_left_alone),
        T(a_port_that_was_not_bound_for_a_moment_is_none),
        T(ports_are_plugged_again),
        T(defaults_of_an_older_guest_are_registered),
        T(defaults_that_cannot_be_found_out_keep_nobody_from_starting),
        T(defaults_of_a_guest_that_is_not_there_are_not_guessed),
        cmocka_unit_test(a_start_asks_as_often_for_thirty_guests_as_for_three),
        T(one_that_cannot_be_recovered_does_not_stop_the_others),
    };
    struct CMUnitTest tests[G_N_ELEMENTS(left) + G_N_ELEMENTS(others)];

    memcpy(tests, others, sizeof others);
    for (size_t i = 0; i < G_N_ELEMENTS(left); i++)
        tests[G_N_ELEMENTS(others) + i] = (struct CMUnitTest){left[i].name, one_left, NULL, NULL,
                                                              (void *)&left[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
