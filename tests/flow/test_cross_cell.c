/* Resizes between cells by a snapshot: the calls in the order in which conductor makes them, from
 * "vm" to "cmp2", and what each side has when one fails. One conductor stands for both cells. */
#include "flow/resize.h"

#include "../unit/services/neutron_recorded.h"

#define DEST "cmp2"
#define SNAP_ID "eaaf13f0-156d-4ed6-afa8-6611def5fe76"
#define SNAP "/image/v2/images/" SNAP_ID

typedef struct Cells {
    FakeAgent *source, *dest;
} Cells;

static void script_image(HttpServer *server)
{
    static char data[65536];

    http_server_json(server, "GET", SNAP, 200,
                     "{\"id\":\"" SNAP_ID "\",\"status\":\"active\",\"size\":65536,"
                     "\"disk_format\":\"raw\",\"container_format\":\"bare\",\"min_disk\":0,"
                     "\"min_ram\":0}");
    http_server_json(server, "PATCH", SNAP, 200, "{}");
    http_server_json(server, "PUT", SNAP "/file", 204, "");
    http_server_on(server, "GET", SNAP "/file",
                   &(HttpAnswer){.body = data, .length = sizeof(data)});
    http_server_json(server, "DELETE", SNAP, 204, "");
}

/* Two bindings a port, the other host's not active. */
static void script_bindings(HttpServer *server)
{
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=" FLOW_UUID "&tenant_id=*", 200,
                     recorded_ports);
    http_server_json(server, "GET", FLOW_NEUTRON "/ports/" FLOW_PORT_A "/bindings/*", 200,
                     "{\"binding\":{\"host\":\"x\",\"status\":\"INACTIVE\"}}");
    http_server_json(server, "GET", FLOW_NEUTRON "/ports/" FLOW_PORT_B "/bindings/*", 200,
                     "{\"binding\":{\"host\":\"x\",\"status\":\"INACTIVE\"}}");
    http_server_json(server, "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_A "/bindings/*", 200, "{}");
    http_server_json(server, "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_B "/bindings/*", 200, "{}");
}

static int setup(void **state)
{
    Cells *cells = g_new0(Cells, 1);
    HttpServer *server;

    cells->source = fake_agent_new(NULL);
    server = fake_agent_server(cells->source);
    script_allocations(server);
    script_image(server);
    script_bindings(server);
    fake_agent_boot(cells->source, fake_agent_boot_request());
    fake_agent_wait(cells->source, UUID);
    fake_agent_assert_row(cells->source, "vm_state", "active");
    cells->dest = fake_agent_new_beside(cells->source, DEST, NULL);
    *state = cells;
    return 0;
}

static int teardown(void **state)
{
    Cells *cells = *state;

    fake_agent_free(cells->dest);
    fake_agent_free(cells->source);
    g_free(cells);
    return 0;
}

/* ---- conductor's side ---- */

static json_t *migration(const char *status)
{
    return make_migration(status, "vm", DEST);
}

static void must_call(Cells *cells, const char *host, const char *method, json_t *args)
{
    g_autoptr(GError) err = NULL;

    if (!call_host(cells->source, host, method, args, NULL, &err))
        fail_msg("%s: %s", method, err->message);
}

static void task(Cells *cells, const char *name)
{
    fake_conductor_set(fake_agent_conductor(cells->source), UUID, "task_state", name);
}

static json_t *instance(Cells *cells)
{
    return fake_agent_instance(cells->source, UUID);
}

static json_t *prep_dest_args(Cells *cells)
{
    task(cells, "resize_prep");
    return json_pack("{s:o, s:o, s:s, s:o, s:{}}", "instance", instance(cells), "flavor",
                     make_flavor(&larger), "nodename", DEST, "migration",
                     migration("pre-migrating"), "limits");
}

/* What conductor writes into both cells between the two preparations. */
static void remember(Cells *cells)
{
    FakeConductor *conductor = fake_agent_conductor(cells->source);
    g_autoptr(Ovo) row = ovo_take(instance(cells), "Instance", NULL);
    json_t *flavor = make_flavor(&larger);
    g_autoptr(Ovo) new = ovo_take(flavor, "Flavor", NULL);

    ovo_set_child(row, "new_flavor", new);
    ovo_dict_set(row, "system_metadata", "old_vm_state", "active");
    ovo_set_str(row, "task_state", "resize_migrating");
    fake_conductor_put(conductor, row);
}

static json_t *with_snapshot(Cells *cells, const char *status)
{
    return json_pack("{s:o, s:o, s:s}", "instance", instance(cells), "migration", migration(status),
                     "snapshot_id", SNAP_ID);
}

static json_t *plain(Cells *cells, const char *status)
{
    return json_pack("{s:o, s:o}", "instance", instance(cells), "migration", migration(status));
}

static void prepare(Cells *cells)
{
    must_call(cells, DEST, "prep_snapshot_based_resize_at_dest", prep_dest_args(cells));
    remember(cells);
    must_call(cells, "vm", "prep_snapshot_based_resize_at_source",
              with_snapshot(cells, "pre-migrating"));
}

static void arrive(Cells *cells)
{
    prepare(cells);
    must_call(cells, DEST, "finish_snapshot_based_resize_at_dest",
              with_snapshot(cells, "post-migrating"));
}

static void assert_row(Cells *cells, const char *field, const char *text)
{
    fake_agent_assert_row(cells->source, field, text);
}

static unsigned requests(Cells *cells, const char *method, const char *target)
{
    return http_server_count(fake_agent_server(cells->source), method, target);
}

#define BINDINGS(port, rest) FLOW_NEUTRON "/ports/" port "/bindings/" rest

/* ---- as it should go ---- */

static void the_destination_answers_with_the_claim(void **state)
{
    Cells *cells = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) context = NULL;
    json_t *result = NULL;

    if (!call_host(cells->source, DEST, "prep_snapshot_based_resize_at_dest", prep_dest_args(cells),
                   &result, &err))
        fail_msg("%s", err->message);
    context = ovo_take(result, "MigrationContext", &err);
    if (!context)
        fail_msg("%s", err->message);
    assert_string_equal(ovo_str_or(context, "instance_uuid", ""), UUID);
    assert_int_equal(guest(cells->source), GUEST_STATE_RUNNING);
    assert_row(cells, "task_state", "resize_prep");
}

static void the_source_becomes_an_image_and_keeps_its_disks(void **state)
{
    Cells *cells = *state;
    g_autofree char *migrations = NULL;

    prepare(cells);
    assert_row(cells, "task_state", "resize_migrated");
    assert_row(cells, "vm_state", "active");
    assert_row(cells, "host", "vm");
    assert_int_equal(guest(cells->source), GUEST_STATE_NONE);
    assert_true(fake_agent_has_file(cells->source, UUID, "disk"));
    assert_int_equal(requests(cells, "PUT", SNAP "/file"), 1);
    assert_int_equal(requests(cells, "PUT", BINDINGS(FLOW_PORT_A, DEST "/activate")), 1);
    migrations = fake_conductor_migrations(fake_agent_conductor(cells->source));
    assert_true(g_str_has_suffix(migrations, "migrating\npost-migrating\n"));
}

static void the_server_arrives_with_its_new_flavor(void **state)
{
    Cells *cells = *state;
    g_autofree char *image = NULL;

    arrive(cells);
    assert_row(cells, "vm_state", "resized");
    assert_row(cells, "task_state", "");
    assert_row(cells, "host", DEST);
    assert_row(cells, "node", DEST);
    assert_row(cells, "image_ref", FLOW_IMAGE); /* the snapshot stands for it only meanwhile */
    assert_row(cells, "memory_mb", "192");
    assert_int_equal(guest(cells->dest), GUEST_STATE_RUNNING);
    assert_guest_says(cells->dest, "<memory unit='MiB'>192</memory>");
    assert_int_equal(disk_gib(cells->dest), 2);
    assert_int_equal(requests(cells, "DELETE", SNAP), 1);
    assert_int_equal(guest(cells->source), GUEST_STATE_NONE);
}

static void a_stopped_server_arrives_off(void **state)
{
    Cells *cells = *state;
    g_autoptr(Ovo) row = NULL;

    prepare(cells);
    row = ovo_take(instance(cells), "Instance", NULL);
    ovo_dict_set(row, "system_metadata", "old_vm_state", "stopped");
    fake_conductor_put(fake_agent_conductor(cells->source), row);
    must_call(cells, DEST, "finish_snapshot_based_resize_at_dest",
              with_snapshot(cells, "post-migrating"));
    assert_row(cells, "vm_state", "resized");
    assert_int_equal(guest(cells->dest), GUEST_STATE_OFF);
}

static void a_confirm_forgets_the_source(void **state)
{
    Cells *cells = *state;

    arrive(cells);
    must_call(cells, "vm", "confirm_snapshot_based_resize_at_source", plain(cells, "confirming"));
    assert_false(fake_agent_has_disks(cells->source, UUID));
    assert_true(fake_agent_has_disks(cells->dest, UUID));
    assert_int_equal(guest(cells->dest), GUEST_STATE_RUNNING);
    assert_int_equal(migration_allocations_deleted(cells->source), 1);
    assert_int_equal(requests(cells, "DELETE", BINDINGS(FLOW_PORT_A, "vm")), 1);
    assert_row(cells, "migration_context", "");
}

static void revert(Cells *cells)
{
    task(cells, "resize_reverting");
    must_call(cells, DEST, "revert_snapshot_based_resize_at_dest", plain(cells, "reverting"));
    must_call(cells, "vm", "finish_revert_snapshot_based_resize_at_source",
              plain(cells, "reverting"));
}

static void a_revert_brings_the_old_server_back(void **state)
{
    Cells *cells = *state;
    g_autofree char *migrations = NULL;

    arrive(cells);
    revert(cells);
    assert_row(cells, "vm_state", "active");
    assert_row(cells, "task_state", "");
    assert_row(cells, "host", "vm");
    assert_row(cells, "memory_mb", "128");
    assert_row(cells, "old_flavor", "");
    assert_int_equal(guest(cells->source), GUEST_STATE_RUNNING);
    assert_int_equal(disk_gib(cells->source), 1);
    assert_int_equal(guest(cells->dest), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(cells->dest, UUID));
    assert_int_equal(allocations_moved(cells->source), 1);
    assert_int_equal(requests(cells, "PUT", BINDINGS(FLOW_PORT_A, "vm/activate")), 1);
    assert_int_equal(requests(cells, "DELETE", BINDINGS(FLOW_PORT_A, DEST)), 1);
    migrations = fake_conductor_migrations(fake_agent_conductor(cells->source));
    assert_true(g_str_has_suffix(migrations, "reverted\n"));
}

static void allocations_that_stay_do_not_keep_the_server_away(void **state)
{
    Cells *cells = *state;

    arrive(cells);
    http_server_json(fake_agent_server(cells->source), "POST", ALLOCATIONS "*", 409,
                     "{\"errors\":[{\"code\":\"placement.concurrent_update\",\"detail\":"
                     "\"consumer generation conflict\"}]}");
    revert(cells);
    assert_row(cells, "vm_state", "active");
    assert_row(cells, "host", "vm");
}

/* ---- failures ---- */

static void a_host_that_cannot_make_the_guest_says_so_in_novas_words(void **state)
{
    Cells *cells = *state;
    json_t *args = prep_dest_args(cells);
    json_t *flavor = json_object_get(json_object_get(args, "flavor"), "nova_object.data");
    g_autoptr(GError) err = NULL;

    json_object_set_new(flavor, "extra_specs", json_pack("{s:s}", "hw:cpu_policy", "dedicated"));
    assert_false(
        call_host(cells->source, DEST, "prep_snapshot_based_resize_at_dest", args, NULL, &err));
    assert_int_equal(err->code, DV_E_MIGRATION_PRECHECK);
    assert_non_null(strstr(err->message, "Pre-checks failed on host '" DEST "'"));
    /* conductor goes on to the next host: nothing is decided here */
    assert_row(cells, "vm_state", "active");
    assert_row(cells, "task_state", "resize_prep");
}

static void a_server_with_volumes_is_refused(void **state)
{
    Cells *cells = *state;
    g_autoptr(GError) err = NULL;
    json_t *args;

    must_call(cells, DEST, "prep_snapshot_based_resize_at_dest", prep_dest_args(cells));
    remember(cells);
    args = with_snapshot(cells, "pre-migrating");
    json_object_set_new(args, "snapshot_id", json_null());
    assert_false(
        call_host(cells->source, "vm", "prep_snapshot_based_resize_at_source", args, NULL, &err));
    assert_int_equal(guest(cells->source), GUEST_STATE_RUNNING);
    assert_row(cells, "vm_state", "active");
}

static void an_upload_that_fails_leaves_the_guest_off_and_no_image(void **state)
{
    Cells *cells = *state;
    g_autoptr(GError) err = NULL;
    g_autofree char *migrations = NULL;

    must_call(cells, DEST, "prep_snapshot_based_resize_at_dest", prep_dest_args(cells));
    remember(cells);
    http_server_json(fake_agent_server(cells->source), "PUT", SNAP "/fil*", 413, "");
    assert_false(call_host(cells->source, "vm", "prep_snapshot_based_resize_at_source",
                           with_snapshot(cells, "pre-migrating"), NULL, &err));
    assert_int_equal(guest(cells->source), GUEST_STATE_OFF);
    assert_true(fake_agent_has_file(cells->source, UUID, "disk"));
    assert_int_equal(requests(cells, "DELETE", SNAP), 1);
    assert_row(cells, "vm_state", "active");
    assert_row(cells, "task_state", "");
    migrations = fake_conductor_migrations(fake_agent_conductor(cells->source));
    assert_true(g_str_has_suffix(migrations, "error\n"));
}

static void a_guest_that_is_not_powered_off_is_told_by_its_class(void **state)
{
    Cells *cells = *state;
    g_autoptr(GError) err = NULL;

    must_call(cells, DEST, "prep_snapshot_based_resize_at_dest", prep_dest_args(cells));
    remember(cells);
    fake_virt_fail(fake_agent_virt(cells->source), "shutdown", DV_E_HYPERVISOR, G_MAXUINT);
    fake_virt_fail(fake_agent_virt(cells->source), "power_off", DV_E_HYPERVISOR, G_MAXUINT);
    assert_false(call_host(cells->source, "vm", "prep_snapshot_based_resize_at_source",
                           with_snapshot(cells, "pre-migrating"), NULL, &err));
    assert_non_null(strstr(err->message, "Failed to power off instance"));
    assert_int_equal(guest(cells->source), GUEST_STATE_RUNNING);
    assert_int_equal(requests(cells, "PUT", SNAP "/file"), 0);
}

static void a_guest_that_does_not_start_there_leaves_nothing(void **state)
{
    Cells *cells = *state;
    g_autoptr(GError) err = NULL;

    prepare(cells);
    fake_virt_fail(fake_agent_virt(cells->dest), "start", DV_E_HYPERVISOR, 1);
    assert_false(call_host(cells->source, DEST, "finish_snapshot_based_resize_at_dest",
                           with_snapshot(cells, "post-migrating"), NULL, &err));
    assert_row(cells, "vm_state", "error");
    assert_row(cells, "host", "vm");
    assert_row(cells, "image_ref", FLOW_IMAGE);
    assert_int_equal(guest(cells->dest), GUEST_STATE_NONE);
    assert_false(fake_agent_has_disks(cells->dest, UUID));
    assert_true(fake_agent_has_file(cells->source, UUID, "disk"));
    assert_int_equal(requests(cells, "PUT", BINDINGS(FLOW_PORT_A, "vm/activate")), 1);
    assert_int_equal(requests(cells, "DELETE", SNAP), 0); /* conductor's */
}

static void a_source_that_cannot_clean_up_holds_no_room_all_the_same(void **state)
{
    Cells *cells = *state;
    g_autoptr(GError) err = NULL;

    arrive(cells);
    fake_virt_fail(fake_agent_virt(cells->source), "destroy", DV_E_POWER_OFF, 1);
    assert_false(call_host(cells->source, "vm", "confirm_snapshot_based_resize_at_source",
                           plain(cells, "confirming"), NULL, &err));
    assert_row(cells, "vm_state", "error");
    assert_int_equal(migration_allocations_deleted(cells->source), 1);
    assert_true(fake_agent_has_file(cells->source, UUID, "disk"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_destination_answers_with_the_claim),
        T(the_source_becomes_an_image_and_keeps_its_disks),
        T(the_server_arrives_with_its_new_flavor),
        T(a_stopped_server_arrives_off),
        T(a_confirm_forgets_the_source),
        T(a_revert_brings_the_old_server_back),
        T(allocations_that_stay_do_not_keep_the_server_away),
        T(a_host_that_cannot_make_the_guest_says_so_in_novas_words),
        T(a_server_with_volumes_is_refused),
        T(an_upload_that_fails_leaves_the_guest_off_and_no_image),
        T(a_guest_that_is_not_powered_off_is_told_by_its_class),
        T(a_guest_that_does_not_start_there_leaves_nothing),
        T(a_source_that_cannot_clean_up_holds_no_room_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
