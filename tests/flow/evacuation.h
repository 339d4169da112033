/* Servers of a lost host for the flow tests of evacuations: what the scheduler, the database and
 * the storage have of them. */
#pragma once

#include "server.h"

#include "../unit/services/neutron_recorded.h"

#define MIGRATION 25
#define LOST "cmp1"
#define ALLOCATIONS FLOW_PLACEMENT "/allocations/" UUID

G_GNUC_UNUSED static const char *provider(void)
{
    return "\"resources\":{\"VCPU\":1}";
}

/* The scheduler has put the server on both hosts. */
G_GNUC_UNUSED static void script_allocations(FakeAgent *fake)
{
    g_autofree char *here = NULL;
    g_autofree char *body = NULL;

    assert_true(tracker_node_identity(fake_agent(fake)->tracker, &here, NULL));
    body = g_strdup_printf(
        "{\"allocations\":{\"%s\":{%s},\"11111111-1111-1111-1111-111111111111\":"
        "{%s}},\"project_id\":\"p\",\"user_id\":\"u\",\"consumer_generation\":3}",
        here, provider(), provider());
    http_server_json(fake_agent_server(fake), "GET", ALLOCATIONS, 200, body);
    http_server_json(fake_agent_server(fake), "PUT", ALLOCATIONS, 204, "");
}

G_GNUC_UNUSED static unsigned allocations_written(FakeAgent *fake)
{
    return http_server_count(fake_agent_server(fake), "PUT", ALLOCATIONS);
}

/* The database's row of a server on another host, which an evacuation has been asked for. */
G_GNUC_UNUSED static void put_lost(FakeAgent *fake, const char *vm_state)
{
    FakeConductor *con = fake_agent_conductor(fake);
    json_t *request = fake_agent_boot_request();
    g_autoptr(Ovo) instance = ovo_view(
        json_object_get(json_object_get(request, "args"), "instance"), "Instance", NULL);

    fake_conductor_put(con, instance);
    fake_conductor_set(con, UUID, "host", LOST);
    fake_conductor_set(con, UUID, "node", LOST);
    fake_conductor_set(con, UUID, "vm_state", vm_state);
    fake_conductor_set(con, UUID, "task_state", "rebuilding");
    json_decref(request);
    script_allocations(fake);
}

G_GNUC_UNUSED static json_t *migration(const char *status, const char *source, const char *dest)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:i, s:i}", "id", MIGRATION,
                     "uuid", "f9b5bdb6-86e5-463e-b5b2-9b076ed75d08", "instance_uuid", UUID,
                     "status", status, "migration_type", "evacuation", "source_compute", source,
                     "source_node", source, "dest_compute", dest, "dest_node", dest,
                     "old_instance_type_id", 3, "new_instance_type_id", 3);
}

G_GNUC_UNUSED static json_t *evacuate_args(FakeAgent *fake, const char *vm_state)
{
    json_t *record = migration("accepted", LOST, NULL);

    put_lost(fake, vm_state);
    fake_conductor_put_migration(fake_agent_conductor(fake), json_deep_copy(record));
    return json_pack("{s:o, s:s, s:n, s:n, s:n, s:n, s:n, s:b, s:n, s:b, s:o, s:s, s:{}, s:n, "
                     "s:[], s:n}",
                     "instance", fake_agent_instance(fake, UUID), "new_pass", "secret",
                     "injected_files", "image_ref", "orig_image_ref", "orig_sys_metadata", "bdms",
                     "recreate", 1, "on_shared_storage", "preserve_ephemeral", 0, "migration",
                     fake_agent_object("Migration", "1.7", record), "scheduled_node", FLOW_NODE,
                     "limits", "request_spec", "accel_uuids", "reimage_boot_volume");
}

G_GNUC_UNUSED static void evacuate(FakeAgent *fake, json_t *args)
{
    fake_agent_request(fake, "rebuild_instance", args);
    fake_agent_wait(fake, UUID);
}

G_GNUC_UNUSED static void assert_status(FakeAgent *fake, const char *wanted)
{
    g_autofree char *status = fake_conductor_migration_status(fake_agent_conductor(fake),
                                                              MIGRATION);

    assert_string_equal(status, wanted);
}

/* What the lost host has left on storage that this one sees, too. */
G_GNUC_UNUSED static char *share_disks(FakeAgent *fake)
{
    g_autofree char *dir = disks_instance_dir(fake_agent(fake)->disks, UUID);
    g_autofree char *info = g_strdup_printf("{\"%s/disk\": \"raw\"}", dir);
    g_autofree char *path = g_build_filename(dir, "disk.info", NULL);
    char *disk = g_build_filename(dir, "disk", NULL);

    assert_int_equal(g_mkdir_with_parents(dir, 0755), 0);
    assert_true(g_file_set_contents(path, info, -1, NULL));
    assert_true(g_file_set_contents(disk, "what the guest wrote", -1, NULL));
    return disk;
}

G_GNUC_UNUSED static void assert_written(const char *disk)
{
    g_autofree char *text = NULL;

    assert_true(g_file_get_contents(disk, &text, NULL, NULL));
    assert_string_equal(text, "what the guest wrote");
}

G_GNUC_UNUSED static void assert_evacuated(FakeAgent *fake)
{
    fake_agent_assert_row(fake, "host", "vm");
    fake_agent_assert_row(fake, "node", FLOW_NODE);
    fake_agent_assert_row(fake, "migration_context", "");
    assert_status(fake, "done");
    assert_int_equal(faults(fake), 0);
    assert_int_equal(allocations_written(fake), 0);
}

G_GNUC_UNUSED static void assert_failed(FakeAgent *fake, const char *vm_state)
{
    fake_agent_assert_row(fake, "vm_state", vm_state);
    fake_agent_assert_row(fake, "task_state", "");
    fake_agent_assert_row(fake, "host", LOST);
    fake_agent_assert_row(fake, "node", LOST);
    fake_agent_assert_row(fake, "migration_context", "");
    assert_status(fake, "failed");
    assert_int_equal(faults(fake), 1);
    assert_int_equal(allocations_written(fake), 1);
    assert_int_equal(fake_virt_guest_count(fake_agent_virt(fake)), 0);
}
