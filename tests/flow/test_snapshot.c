/* Snapshots and backups: what glance gets, that the guest is afterwards as it was, and what becomes
 * of image and task when something fails on the way. The guests are in memory, the disks are real.
 */
#include "fakes/agent.h"

#include "agent/methods.h"
#include "agent/recovery.h"
#include "util/fs.h"
#include "util/spawn.h"
#include "virt/disk/inspect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>

#define UUID FLOW_UUID
#define SNAP_ID "bfd5be20-ccec-44d0-a6d9-139cfab9d7fd"
#define IMAGES "/image/v2/images"
#define SNAP IMAGES "/" SNAP_ID
#define DATA SNAP "/file"
#define WAIT_MS 300000
#define COLD "[workarounds]\ndisable_libvirt_livesnapshot = true\n"

static void script_glance(HttpServer *server)
{
    http_server_json(server, "GET", SNAP, 200,
                     "{\"id\":\"" SNAP_ID "\",\"status\":\"queued\",\"name\":\"snap\","
                     "\"disk_format\":null,\"container_format\":null,\"size\":null}");
    http_server_json(server, "PATCH", SNAP, 200, "{}");
    http_server_json(server, "PUT", DATA, 204, "");
    http_server_json(server, "DELETE", SNAP, 204, "");
}

static FakeAgent *booted(const char *options)
{
    FakeAgent *fake = fake_agent_new(options);

    script_glance(fake_agent_server(fake));
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

static int setup_cold(void **state)
{
    *state = booted(COLD);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

/* ---- requests ---- */

static json_t *args_of(FakeAgent *fake, const char *task)
{
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", task);
    return json_pack("{s:s, s:o}", "image_id", SNAP_ID, "instance",
                     fake_agent_instance(fake, UUID));
}

static void ask_snapshot(FakeAgent *fake)
{
    fake_agent_request(fake, "snapshot_instance", args_of(fake, "image_snapshot_pending"));
}

static void ask_backup(FakeAgent *fake, int rotation)
{
    json_t *args = args_of(fake, "image_backup");

    json_object_set_new(args, "backup_type", json_string("daily"));
    json_object_set_new(args, "rotation", json_integer(rotation));
    fake_agent_request(fake, "backup_instance", args);
}

/* Snapshots run beside the lanes, in a pool of their own. */
static void wait_done(FakeAgent *fake)
{
    DvPool *pool = fake_agent(fake)->pools[POOL_SNAPSHOT];
    int64_t end_ms = dv_now_ms() + WAIT_MS;

    while (dv_pool_queued(pool) + dv_pool_running(pool) > 0) {
        if (dv_now_ms() > end_ms)
            fail_msg("a snapshot does not end");
        g_usleep(2000);
    }
}

static void snapshot(FakeAgent *fake)
{
    ask_snapshot(fake);
    wait_done(fake);
}

/* What the image of an instance says about its guest. */
static void set_property(json_t *args, const char *name, const char *value)
{
    json_t *data = json_object_get(json_object_get(args, "instance"), "nova_object.data");

    json_object_set_new(json_object_get(data, "system_metadata"), name, json_string(value));
}

static json_t *args_with_agent(FakeAgent *fake, bool required)
{
    json_t *args = args_of(fake, "image_snapshot_pending");

    set_property(args, "image_hw_qemu_guest_agent", "Yes");
    if (required)
        set_property(args, "image_os_require_quiesce", "true");
    return args;
}

/* ---- what must be true afterwards ---- */

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

/* No folder of a snapshot, no copy under way. */
static void assert_nothing_left(FakeAgent *fake)
{
    g_autofree char *path = g_strdup(fake_agent(fake)->disks_config.snapshots_directory);
    g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);

    assert_true(!entries || !g_dir_read_name(entries));
    assert_false(fake_virt_is_copied(fake_agent_virt(fake), UUID));
    assert_false(fake_virt_is_frozen(fake_agent_virt(fake), UUID));
}

static void assert_idle(FakeAgent *fake, const char *vm_state)
{
    fake_agent_assert_row(fake, "vm_state", vm_state);
    fake_agent_assert_row(fake, "task_state", "");
    assert_nothing_left(fake);
}

static void assert_failed(FakeAgent *fake)
{
    assert_idle(fake, "active");
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_int_equal(deletes(fake), 1);
    assert_int_equal(faults(fake), 1);
}

static void tool(const char *const *argv)
{
    g_autoptr(GError) err = NULL;

    if (!dv_spawn(&(DvSpawn){.argv = argv}, NULL, &err))
        fail_msg("%s", err->message);
}

/* What was uploaded is the whole disk, and stands on nothing. */
static void assert_uploaded_disk(FakeAgent *fake)
{
    const HttpSeen *seen = http_server_seen(fake_agent_server(fake), "PUT", DATA, 0);
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *disk = g_build_filename(dir, "disk", NULL);
    g_autofree char *got = g_build_filename(dir, "uploaded", NULL);
    dv_autofd int fd = -1;
    ImageFacts facts;

    assert_non_null(seen);
    assert_true(dv_write_file(got, seen->body, seen->body_length, 0644, NULL));
    fd = open(got, O_RDONLY | O_CLOEXEC);
    assert_true(image_inspect(fd, &facts, NULL)); /* which refuses backing files */
    assert_int_equal(facts.format, IMAGE_QCOW2);
    tool((const char *const[]){"qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", disk, got,
                               NULL});
}

static char *states_since_boot(FakeAgent *fake)
{
    g_autofree char *all = fake_conductor_states(fake_agent_conductor(fake));
    const char *boot = strstr(all, "active/\n");

    assert_non_null(boot);
    return g_strdup(boot + strlen("active/\n"));
}

/* ---- snapshots that work ---- */

static void a_live_snapshot_leaves_the_guest_alone(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    g_autofree char *states = NULL;

    snapshot(fake);
    assert_idle(fake, "active");
    states = states_since_boot(fake);
    assert_string_equal(states, "active/image_snapshot\nactive/image_pending_upload\n"
                                "active/image_uploading\nactive/\n");
    assert_uploaded_disk(fake);
    assert_int_equal(fake_virt_calls(virt, "block_copy"), 1);
    assert_int_equal(fake_virt_calls(virt, "block_copy_end"), 1);
    assert_int_equal(fake_virt_calls(virt, "save"), 0);
    assert_int_equal(fake_virt_calls(virt, "freeze"), 0);
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_int_equal(faults(fake), 0);
    assert_int_equal(deletes(fake), 0);
}

/* nova's request (its capture): what is empty is not sent. */
static void the_image_says_what_it_is(void **state)
{
    FakeAgent *fake = *state;
    const HttpSeen *seen;

    snapshot(fake);
    seen = http_server_seen(fake_agent_server(fake), "PATCH", SNAP, 0);
    assert_non_null(seen);
    assert_non_null(strstr(seen->body, "{\"op\":\"add\",\"path\":\"/image_location\",\"value\":"
                                       "\"snapshot\"}"));
    assert_non_null(strstr(seen->body, "\"/image_state\",\"value\":\"available\""));
    assert_non_null(strstr(seen->body, "\"/owner_id\",\"value\":\""
                                       "3900c7d49ef84784b86607ae092a97bc\""));
    assert_non_null(strstr(seen->body, "{\"op\":\"replace\",\"path\":\"/disk_format\",\"value\":"
                                       "\"qcow2\"}"));
    assert_non_null(strstr(seen->body, "\"/container_format\",\"value\":\"bare\""));
    assert_null(strstr(seen->body, "kernel_id"));
    assert_null(strstr(seen->body, "\"/name\""));
}

static void a_paused_guest_stays_paused(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "paused");
    snapshot(fake);
    assert_idle(fake, "paused");
    assert_int_equal(guest_state(fake), GUEST_STATE_PAUSED);
    assert_uploaded_disk(fake);
}

static void a_guest_that_is_off_is_read_where_it_lies(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->power_off(virt->self, NULL, UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "stopped");
    snapshot(fake);
    assert_idle(fake, "stopped");
    fake_agent_assert_row(fake, "power_state", "4");
    assert_int_equal(guest_state(fake), GUEST_STATE_OFF);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "block_copy"), 0);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "save"), 0);
    assert_uploaded_disk(fake);
}

static void without_live_snapshots_the_guest_is_saved_and_comes_back(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    snapshot(fake);
    assert_idle(fake, "active");
    assert_uploaded_disk(fake);
    assert_int_equal(fake_virt_calls(virt, "save"), 1);
    assert_int_equal(fake_virt_calls(virt, "launch"), 1);
    assert_int_equal(fake_virt_calls(virt, "block_copy"), 0);
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
}

static void a_paused_guest_comes_back_paused(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
    snapshot(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "save"), 1);
    assert_int_equal(guest_state(fake), GUEST_STATE_PAUSED);
}

/* ---- frozen file systems ---- */

static void file_systems_are_frozen_only_while_the_copy_ends(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_set_agent(virt, UUID, true);
    fake_virt_hold(virt, "block_copy");
    fake_virt_hold(virt, "block_copy_end");
    fake_agent_request(fake, "snapshot_instance", args_with_agent(fake, false));
    assert_true(fake_virt_wait_held(virt, "block_copy", WAIT_MS));
    assert_false(fake_virt_is_frozen(virt, UUID));
    fake_virt_release(virt, "block_copy");
    assert_true(fake_virt_wait_held(virt, "block_copy_end", WAIT_MS));
    assert_true(fake_virt_is_frozen(virt, UUID));
    fake_virt_release(virt, "block_copy_end");
    wait_done(fake);
    assert_idle(fake, "active");
    assert_int_equal(fake_virt_calls(virt, "thaw"), 1);
    assert_int_equal(faults(fake), 0);
}

static void an_agent_that_does_not_answer_is_no_reason_to_fail(void **state)
{
    FakeAgent *fake = *state;

    fake_agent_request(fake, "snapshot_instance", args_with_agent(fake, false));
    wait_done(fake);
    assert_idle(fake, "active");
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "freeze"), 1);
    assert_uploaded_disk(fake);
}

static void unless_the_image_requires_it(void **state)
{
    FakeAgent *fake = *state;

    fake_agent_request(fake, "snapshot_instance", args_with_agent(fake, true));
    wait_done(fake);
    assert_failed(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "PUT", DATA), 0);
}

static void a_requirement_without_an_agent_is_refused_at_once(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = args_of(fake, "image_snapshot_pending");

    set_property(args, "image_os_require_quiesce", "yes");
    fake_agent_request(fake, "snapshot_instance", args);
    wait_done(fake);
    assert_failed(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "block_copy"), 0);
}

static void a_copy_that_does_not_end_well_leaves_no_frozen_guest(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_set_agent(virt, UUID, true);
    fake_virt_fail(virt, "block_copy_end", DV_E_HYPERVISOR, 1);
    fake_agent_request(fake, "snapshot_instance", args_with_agent(fake, false));
    wait_done(fake);
    assert_false(fake_virt_is_frozen(virt, UUID));
    assert_int_equal(deletes(fake), 1);
    assert_int_equal(faults(fake), 1);
}

/* quiesce_instance and unquiesce_instance as operations of their own. */
static bool run_method(FakeAgent *fake, const char *method, bool with_property, GError **err)
{
    json_t *message = json_pack("{s:o}", "instance", fake_agent_instance(fake, UUID));
    g_autoptr(Ovo) args = NULL;
    json_t *result = NULL;

    if (with_property)
        set_property(message, "image_hw_qemu_guest_agent", "yes");
    args = ovo_view_dict(message, NULL);
    json_decref(message);
    return dispatch_run(fake_agent(fake), methods_find(method), fake_agent_ctx(fake), args, false,
                        &result, err);
}

static void the_api_can_freeze_and_thaw(void **state)
{
    FakeAgent *fake = *state;
    g_autoptr(GError) err = NULL;

    fake_virt_set_agent(fake_agent_virt(fake), UUID, true);
    assert_true(run_method(fake, "quiesce_instance", true, NULL));
    assert_true(fake_virt_is_frozen(fake_agent_virt(fake), UUID));
    assert_true(run_method(fake, "unquiesce_instance", true, NULL));
    assert_false(fake_virt_is_frozen(fake_agent_virt(fake), UUID));
    assert_false(run_method(fake, "quiesce_instance", false, &err));
    assert_int_equal(err->code, DV_E_GUEST_AGENT_DISABLED);
}

/* ---- failures ---- */

static void an_upload_that_glance_refuses_deletes_the_image(void **state)
{
    static const int statuses[] = {500, 413, 409, 403};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        FakeAgent *fake = booted(NULL);

        http_server_json(fake_agent_server(fake), "PUT", DATA "*", statuses[i], "{}");
        snapshot(fake);
        assert_failed(fake);
        assert_int_equal(http_server_count(fake_agent_server(fake), "PUT", DATA), 1);
        fake_agent_free(fake);
    }
}

static void an_image_deleted_before_is_no_failure(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", SNAP "*", 404, "{}");
    snapshot(fake);
    assert_idle(fake, "active");
    assert_int_equal(faults(fake), 0);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "block_copy"), 0);
}

static void an_image_deleted_during_the_upload_is_no_failure(void **state)
{
    static const int statuses[] = {404, 410};

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        FakeAgent *fake = booted(NULL);

        http_server_json(fake_agent_server(fake), "PUT", DATA "*", statuses[i], "{}");
        snapshot(fake);
        assert_idle(fake, "active");
        assert_int_equal(faults(fake), 0);
        fake_agent_free(fake);
    }
}

static void a_copy_that_fails_deletes_the_image(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "block_copy", DV_E_HYPERVISOR, 1);
    snapshot(fake);
    assert_failed(fake);
    assert_int_equal(http_server_count(fake_agent_server(fake), "PUT", DATA), 0);
}

static void a_guest_that_cannot_be_saved_runs_on(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "save", DV_E_HYPERVISOR, 1);
    snapshot(fake);
    assert_failed(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "launch"), 0);
}

/* A program of the same name before it in PATH says what a full disk makes qemu-img say. */
static void with_full_disk(FakeAgent *fake, void (*run)(FakeAgent *fake))
{
    static const char script[] =
        "#!/bin/sh\necho 'qemu-img: x: No space left on device' >&2\nexit 1\n";
    g_autofree char *dir = g_dir_make_tmp("path-XXXXXX", NULL);
    g_autofree char *program = g_build_filename(dir, "qemu-img", NULL);
    g_autofree char *before = g_strdup(g_getenv("PATH"));
    g_autofree char *path = g_strconcat(dir, ":", before, NULL);

    assert_true(dv_write_file(program, script, strlen(script), 0755, NULL));
    g_setenv("PATH", path, TRUE);
    run(fake);
    g_setenv("PATH", before, TRUE);
    dv_remove_tree(dir, NULL);
}

static void a_full_disk_deletes_the_image(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *fault = NULL;

    with_full_disk(fake, snapshot);
    assert_failed(fake);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    assert_non_null(strstr(fault, "No space left on device"));
}

static void a_saved_guest_comes_back_when_its_disk_cannot_be_read(void **state)
{
    FakeAgent *fake = *state;

    with_full_disk(fake, snapshot);
    assert_failed(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "save"), 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "launch"), 1);
}

static void a_guest_that_is_not_here_keeps_no_task(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->destroy(virt->self, NULL, UUID, NULL));
    snapshot(fake);
    assert_idle(fake, "active");
    assert_int_equal(deletes(fake), 1);
    assert_int_equal(faults(fake), 0);
}

/* The next start takes the task away, as from every snapshot that was interrupted. */
static void the_end_of_the_agent_ends_a_copy(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_hold(fake_agent_virt(fake), "block_copy");
    ask_snapshot(fake);
    assert_true(fake_virt_wait_held(fake_agent_virt(fake), "block_copy", WAIT_MS));
    atomic_store(&fake_agent(fake)->stopping, true);
    fake_virt_release(fake_agent_virt(fake), "block_copy");
    wait_done(fake);
    assert_nothing_left(fake);
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_int_equal(deletes(fake), 1);
    fake_agent_assert_row(fake, "task_state", "image_pending_upload");
}

/* ---- a delete meanwhile ---- */

static void a_delete_that_came_first_is_left_alone(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = args_of(fake, "image_snapshot_pending");

    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    fake_agent_request(fake, "snapshot_instance", args);
    wait_done(fake);
    fake_agent_assert_row(fake, "task_state", "deleting");
    assert_int_equal(faults(fake), 0);
    assert_int_equal(deletes(fake), 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "block_copy"), 0);
}

/* The delete does not wait for the copy; the copy finds nothing any more. */
static void a_delete_does_not_wait_for_a_snapshot(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);
    g_autofree char *host = NULL;

    fake_virt_hold(virt, "block_copy");
    ask_snapshot(fake);
    assert_true(fake_virt_wait_held(virt, "block_copy", WAIT_MS));
    fake_agent_terminate(fake, UUID);
    fake_agent_wait(fake, UUID);
    host = fake_conductor_field(fake_agent_conductor(fake), UUID, "host");
    assert_null(host);
    fake_virt_release(virt, "block_copy");
    wait_done(fake);
    assert_int_equal(fake_virt_guest_count(virt), 0);
    assert_false(fake_agent_has_disks(fake, UUID));
    assert_nothing_left(fake);
    assert_int_equal(deletes(fake), 1);
    assert_int_equal(faults(fake), 0);
}

/* Between its end and its removal a guest must not be started again. */
static void a_saved_guest_is_not_brought_back_into_a_delete(void **state)
{
    FakeAgent *fake = *state;
    FakeVirt *virt = fake_agent_virt(fake);

    fake_virt_hold(virt, "save");
    fake_virt_hold(virt, "destroy");
    ask_snapshot(fake);
    assert_true(fake_virt_wait_held(virt, "save", WAIT_MS));
    fake_agent_terminate(fake, UUID);
    assert_true(fake_virt_wait_held(virt, "destroy", WAIT_MS));
    fake_virt_release(virt, "save");
    wait_done(fake);
    assert_int_equal(fake_virt_calls(virt, "launch"), 0);
    fake_virt_release(virt, "destroy");
    fake_agent_wait(fake, UUID);
    assert_int_equal(fake_virt_guest_count(virt), 0);
    assert_int_equal(deletes(fake), 1);
    assert_int_equal(faults(fake), 0);
}

/* The image of an instance that went after its upload is whole: it stays the user's. */
static void an_image_that_is_whole_survives_its_instance(void **state)
{
    FakeAgent *fake = *state;

    http_server_on(fake_agent_server(fake), "PUT", DATA "*",
                   &(HttpAnswer){.status = 204, .stall_ms = 1000});
    ask_snapshot(fake);
    while (http_server_count(fake_agent_server(fake), "PUT", DATA) == 0)
        g_usleep(2000);
    http_server_json(fake_agent_server(fake), "GET", SNAP "*", 200,
                     "{\"id\":\"" SNAP_ID "\",\"status\":\"active\"}");
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "deleting");
    wait_done(fake);
    fake_agent_assert_row(fake, "task_state", "deleting");
    assert_int_equal(deletes(fake), 0);
    assert_int_equal(faults(fake), 0);
}

/* ---- a crash of the agent meanwhile ---- */

static void start_again(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!recovery_run(fake_agent(fake), fake_agent_ctx(fake), &err))
        fail_msg("%s", err->message);
    fake_agent_wait(fake, UUID);
}

static void what_a_crash_left_of_a_live_snapshot_goes(void **state)
{
    FakeAgent *fake = *state;
    Agent *agent = fake_agent(fake);
    const VirtDriver *virt = agent->virt;
    DiskSnapshot left = {0};

    assert_true(disks_snapshot_open(agent->disks, UUID, &left, NULL));
    assert_true(disks_snapshot_delta(&left, NULL));
    assert_true(virt->ops->block_copy(
        virt->self, NULL, UUID,
        &(VirtBlockCopy){.disk_path = left.disk_path, .copy_path = left.delta_path}, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "image_pending_upload");
    start_again(fake);
    assert_idle(fake, "active");
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
    assert_false(dv_exists(left.folder));
    disks_snapshot_close(NULL, &left);
}

static void a_guest_that_a_crash_left_saved_comes_back(void **state)
{
    FakeAgent *fake = *state;
    const VirtDriver *virt = fake_agent(fake)->virt;

    assert_true(virt->ops->save(virt->self, NULL, UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", "image_pending_upload");
    start_again(fake);
    assert_idle(fake, "active");
    assert_int_equal(guest_state(fake), GUEST_STATE_RUNNING);
}

/* ---- backups ---- */

#define BACKUPS                                                       \
    IMAGES "?image_type=backup&backup_type=daily&instance_uuid=" UUID \
           "&limit=200&sort_key=created_at&sort_dir=desc"

static void script_backups(FakeAgent *fake)
{
    http_server_json(fake_agent_server(fake), "GET", BACKUPS, 200,
                     "{\"images\":[{\"id\":\"" SNAP_ID "\",\"status\":\"active\"},"
                     "{\"id\":\"young\",\"status\":\"active\"},"
                     "{\"id\":\"old\",\"status\":\"active\"},"
                     "{\"id\":\"oldest\",\"status\":\"active\"}]}");
    http_server_json(fake_agent_server(fake), "DELETE", IMAGES "/old", 403, "{}");
    http_server_json(fake_agent_server(fake), "DELETE", IMAGES "/oldest", 204, "");
}

static unsigned deleted(FakeAgent *fake, const char *target)
{
    return http_server_count(fake_agent_server(fake), "DELETE", target);
}

static void a_backup_rotates_the_oldest_out(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *states = NULL;

    script_backups(fake);
    ask_backup(fake, 2);
    wait_done(fake);
    assert_idle(fake, "active");
    states = states_since_boot(fake);
    assert_string_equal(states, "active/image_backup\nactive/image_pending_upload\n"
                                "active/image_uploading\nactive/\n");
    assert_uploaded_disk(fake);
    assert_int_equal(deleted(fake, IMAGES "/oldest"), 1);
    assert_int_equal(deleted(fake, IMAGES "/old"), 1); /* refused: no reason to fail */
    assert_int_equal(deleted(fake, IMAGES "/young"), 0);
    assert_int_equal(deletes(fake), 0);
    assert_int_equal(faults(fake), 0);
}

static void few_backups_all_stay(void **state)
{
    FakeAgent *fake = *state;

    script_backups(fake);
    ask_backup(fake, 4);
    wait_done(fake);
    assert_int_equal(deleted(fake, IMAGES "*"), 0);
}

static void a_backup_that_fails_rotates_nothing(void **state)
{
    FakeAgent *fake = *state;

    script_backups(fake);
    http_server_json(fake_agent_server(fake), "PUT", DATA "*", 500, "{}");
    ask_backup(fake, 1);
    wait_done(fake);
    assert_failed(fake);
    assert_int_equal(deleted(fake, IMAGES "*"), 1); /* its own image */
}

static void a_rotation_that_fails_keeps_the_backup(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", BACKUPS, 400, "{}");
    ask_backup(fake, 1);
    wait_done(fake);
    assert_idle(fake, "active");
    assert_int_equal(faults(fake), 1);
    assert_int_equal(deletes(fake), 0);
}

#define T(name, start) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_live_snapshot_leaves_the_guest_alone, setup),
        T(the_image_says_what_it_is, setup),
        T(a_paused_guest_stays_paused, setup),
        T(a_guest_that_is_off_is_read_where_it_lies, setup),
        T(without_live_snapshots_the_guest_is_saved_and_comes_back, setup_cold),
        T(a_paused_guest_comes_back_paused, setup_cold),
        T(file_systems_are_frozen_only_while_the_copy_ends, setup),
        T(an_agent_that_does_not_answer_is_no_reason_to_fail, setup),
        T(unless_the_image_requires_it, setup),
        T(a_requirement_without_an_agent_is_refused_at_once, setup),
        T(a_copy_that_does_not_end_well_leaves_no_frozen_guest, setup),
        T(the_api_can_freeze_and_thaw, setup),
        cmocka_unit_test(an_upload_that_glance_refuses_deletes_the_image),
        T(an_image_deleted_before_is_no_failure, setup),
        cmocka_unit_test(an_image_deleted_during_the_upload_is_no_failure),
        T(a_copy_that_fails_deletes_the_image, setup),
        T(a_guest_that_cannot_be_saved_runs_on, setup_cold),
        T(a_full_disk_deletes_the_image, setup),
        T(a_saved_guest_comes_back_when_its_disk_cannot_be_read, setup_cold),
        T(a_guest_that_is_not_here_keeps_no_task, setup),
        T(the_end_of_the_agent_ends_a_copy, setup),
        T(a_delete_that_came_first_is_left_alone, setup),
        T(a_delete_does_not_wait_for_a_snapshot, setup),
        T(a_saved_guest_is_not_brought_back_into_a_delete, setup_cold),
        T(an_image_that_is_whole_survives_its_instance, setup),
        T(what_a_crash_left_of_a_live_snapshot_goes, setup),
        T(a_guest_that_a_crash_left_saved_comes_back, setup_cold),
        T(a_backup_rotates_the_oldest_out, setup),
        T(few_backups_all_stay, setup),
        T(a_backup_that_fails_rotates_nothing, setup),
        T(a_rotation_that_fails_keeps_the_backup, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
