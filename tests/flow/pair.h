/* Two hosts for cold migrations: "vm", where the server was booted, and "cmp2". Their disks are
 * apart unless a test says otherwise. */
#pragma once

#include "flow/resize.h"

#include "../unit/services/neutron_recorded.h"

#define DEST "cmp2"
#define DEST_IP "198.51.100.2"
#define DEST_URI "qemu+tcp://" DEST_IP "/system"
#define SOURCE_URI "qemu+tcp://vm/system"
#define PEER_OPTIONS "my_ip = " DEST_IP "\n"
#define MARK "what the guest has written"

typedef struct Pair {
    FakeAgent *source, *dest;
} Pair;

G_GNUC_UNUSED static const NewFlavor same = {1, 128, 1, 0, 0};

G_GNUC_UNUSED static void join(Pair *pair)
{
    const char *here = fake_agent_instances_path(pair->source);
    const char *there = fake_agent_instances_path(pair->dest);
    FakeVirt *source = fake_agent_virt(pair->source);
    FakeVirt *dest = fake_agent_virt(pair->dest);

    http_server_json(fake_agent_server(pair->source), "GET",
                     FLOW_NEUTRON "/ports?device_id=" FLOW_UUID "&tenant_id=*", 200,
                     recorded_ports);
    fake_virt_add_host(source, DEST_URI, dest, here, there);
    fake_virt_add_host(dest, SOURCE_URI, source, there, here);
}

/* A second disk, which no base file and no header stand between. */
G_GNUC_UNUSED static void mark_disk(Pair *pair)
{
    g_autofree char *path = instance_path(pair->source, "", "disk.eph0");

    assert_true(g_file_set_contents(path, MARK, -1, NULL));
}

/* With a source where the server runs. shared: both see one folder. */
G_GNUC_UNUSED static Pair *pair_of(FakeAgent *source, const char *dest_options, bool shared)
{
    Pair *pair = g_new0(Pair, 1);
    g_autofree char *options = NULL;

    pair->source = source;
    script_allocations(fake_agent_server(pair->source));
    if (shared)
        options = g_strdup_printf("%sinstances_path = %s\n", dest_options,
                                  fake_agent_instances_path(pair->source));
    pair->dest = fake_agent_new_beside(pair->source, DEST, shared ? options : dest_options);
    join(pair);
    mark_disk(pair);
    return pair;
}

G_GNUC_UNUSED static void pair_free(Pair *pair)
{
    fake_agent_free(pair->dest);
    fake_agent_free(pair->source);
    g_free(pair);
}

/* ---- requests ---- */

G_GNUC_UNUSED static json_t *migration_of(const NewFlavor *flavor, const char *status,
                                          const char *dest)
{
    const char *type = flavor->id == 1 ? "migration" : "resize";
    json_t *migration = migration_record(type, flavor->id, status, "vm", dest);

    if (dest)
        json_object_set_new(json_object_get(migration, "nova_object.data"), "dest_host",
                            json_string(DEST_IP));
    return migration;
}

/* The request, and the casts that follow it from one host to the other. */
G_GNUC_UNUSED static void settle(Pair *pair)
{
    for (int i = 0; i < 3; i++) {
        fake_agent_wait(pair->dest, UUID);
        fake_agent_wait(pair->source, UUID);
    }
}

G_GNUC_UNUSED static void begin(Pair *pair, const NewFlavor *flavor)
{
    json_t *args = prep_args(pair->source, flavor, "vm");

    json_object_set_new(args, "node", json_string(DEST));
    json_object_set_new(args, "migration", migration_of(flavor, "pre-migrating", NULL));
    fake_agent_request(pair->dest, "prep_resize", args);
}

G_GNUC_UNUSED static void move_to(Pair *pair, const NewFlavor *flavor)
{
    begin(pair, flavor);
    settle(pair);
}

G_GNUC_UNUSED static void end_move(Pair *pair, FakeAgent *at, const char *method,
                                   const char *status, const NewFlavor *flavor)
{
    fake_agent_request(at, method,
                       json_pack("{s:o, s:o, s:n}", "instance",
                                 fake_agent_instance(pair->source, UUID), "migration",
                                 migration_of(flavor, status, DEST), "request_spec"));
    settle(pair);
}

G_GNUC_UNUSED static void confirm(Pair *pair, const NewFlavor *flavor)
{
    end_move(pair, pair->source, "confirm_resize", "confirming", flavor);
}

G_GNUC_UNUSED static void revert(Pair *pair, const NewFlavor *flavor)
{
    fake_conductor_set(fake_agent_conductor(pair->source), UUID, "task_state", "resize_reverting");
    end_move(pair, pair->dest, "revert_resize", "reverting", flavor);
}

/* ---- looking ---- */

G_GNUC_UNUSED static void assert_row(Pair *pair, const char *field, const char *text)
{
    fake_agent_assert_row(pair->source, field, text);
}

G_GNUC_UNUSED static bool holds_mark(FakeAgent *fake, const char *suffix)
{
    g_autofree char *path = instance_path(fake, suffix, "disk.eph0");
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) && strcmp(text, MARK) == 0;
}

/* The server runs on one host, and the other has no guest that does. */
G_GNUC_UNUSED static void assert_runs_only(FakeAgent *here, FakeAgent *not_here)
{
    GuestState other = guest(not_here);

    assert_int_equal(guest(here), GUEST_STATE_RUNNING);
    assert_true(other == GUEST_STATE_OFF || other == GUEST_STATE_NONE);
}

G_GNUC_UNUSED static void audit(FakeAgent *fake)
{
    g_autoptr(GError) err = NULL;

    if (!tracker_audit(fake_agent(fake)->tracker, fake_agent_ctx(fake), false, &err))
        fail_msg("%s", err->message);
}

G_GNUC_UNUSED static bool tracks(FakeAgent *fake)
{
    g_auto(GStrv) uuids = tracker_instances(fake_agent(fake)->tracker);

    return g_strv_contains((const char *const *)uuids, UUID);
}
