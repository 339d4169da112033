/* Two hosts of one cloud and a guest on the first, for the flow tests of live migrations: what
 * conductor does between the two, and how to look at the outcome. */
#pragma once

#include "flow/moves.h"

#include "../unit/services/neutron_recorded.h"
#include "agent/live_queue.h"
#include "agent/ops/live.h"

#define DEST "vm2"
#define BINDING_A FLOW_NEUTRON "/ports/" FLOW_PORT_A "/bindings/" DEST
#define BINDING_B FLOW_NEUTRON "/ports/" FLOW_PORT_B "/bindings/" DEST

typedef struct Cloud {
    FakeAgent *source, *dest;
    json_t *data;    /* what the check has answered */
    unsigned events; /* action events that had ended before */
} Cloud;

/* conductor has made an inactive binding on the destination for each port. */
static void script_bindings(HttpServer *server)
{
    static const char *const ports[] = {FLOW_PORT_A, FLOW_PORT_B};
    static const char *const hosts[] = {FLOW_NODE, DEST};

    for (size_t i = 0; i < 4; i++) {
        const char *host = hosts[i % 2];
        g_autofree char *path = g_strconcat(FLOW_NEUTRON "/ports/", ports[i / 2], "/bindings/",
                                            host, NULL);
        g_autofree char *activate = g_strconcat(path, "/activate", NULL);
        bool here = i % 2 == 0;

        http_server_json(server, "GET", path, 200,
                         here ? "{\"binding\":{\"status\":\"ACTIVE\"}}"
                              : "{\"binding\":{\"status\":\"INACTIVE\"}}");
        http_server_json(server, "PUT", activate, 200, "{}");
        http_server_json(server, "DELETE", path, 204, "");
    }
    http_server_json(server, "GET",
                     FLOW_NEUTRON "/ports?device_id=" UUID
                                  "&tenant_id=3900c7d49ef84784b86607ae092a97bc&binding:host_id=*",
                     200, recorded_ports);
}

/* ---- the cloud ---- */

typedef struct CloudOptions {
    const char *source, *dest; /* further lines of nova.conf; NULL: none */
    bool shared;               /* one instances_path for both */
} CloudOptions;

static unsigned events_ended(FakeAgent *host)
{
    return fake_conductor_count(fake_agent_conductor(host),
                                "InstanceActionEvent.event_finish_with_failure");
}

static Cloud *cloud_new(const CloudOptions *options)
{
    Cloud *cloud = g_new0(Cloud, 1);
    g_autofree char *path = NULL;
    g_autofree char *dest = NULL;

    cloud->source = booted(options->source);
    path = g_strdup_printf("instances_path = %s\n", fake_agent_instances_path(cloud->source));
    dest = g_strconcat(options->shared ? path : "", options->dest, NULL);
    cloud->dest = fake_agent_new_beside(cloud->source, DEST, dest);
    script_allocations(fake_agent_server(cloud->source));
    script_bindings(fake_agent_server(cloud->source));
    cloud->events = events_ended(cloud->source);
    return cloud;
}

static void cloud_free(Cloud *cloud)
{
    json_decref(cloud->data);
    fake_agent_free(cloud->dest);
    fake_agent_free(cloud->source);
    g_free(cloud);
}

static int teardown(void **state)
{
    cloud_free(*state);
    return 0;
}

static FakeVirt *source_virt(Cloud *cloud)
{
    return fake_agent_virt(cloud->source);
}

/* ---- what API and conductor do ---- */

static json_t *make_migration(const char *status)
{
    return migration_record("live-migration", 1, status, FLOW_NODE, DEST);
}

/* The call to the destination. block: "true", "false" or "null". */
static bool check(Cloud *cloud, const char *block, GError **err)
{
    json_t *args;

    fake_conductor_set(fake_agent_conductor(cloud->source), UUID, "task_state", "migrating");
    args = json_pack("{s:o, s:o, s:n, s:o, s:n}", "instance",
                     fake_agent_instance(cloud->source, UUID), "block_migration",
                     json_loads(block, JSON_DECODE_ANY, NULL), "disk_over_commit", "migration",
                     make_migration("accepted"), "limits");
    json_decref(cloud->data);
    cloud->data = NULL;
    return call_host(cloud->source, DEST, "check_can_live_migrate_destination", args, &cloud->data,
                     err);
}

static json_t *data_of(json_t *primitive)
{
    return json_object_get(primitive, "nova_object.data");
}

/* The bindings that conductor has made. `details`: JSON. */
static void bind(Cloud *cloud, const char *details)
{
    json_t *vif;
    size_t i;

    json_array_foreach(json_object_get(data_of(cloud->data), "vifs"), i, vif)
    {
        json_object_set_new(data_of(vif), "vif_type", json_string("bridge"));
        json_object_set_new(data_of(vif), "vnic_type", json_string("normal"));
        json_object_set_new(data_of(vif), "vif_details_json", json_string(details));
    }
}

/* The cast to the source; returns at once. */
static void start(Cloud *cloud)
{
    fake_agent_request(cloud->source, "live_migration",
                       json_pack("{s:s, s:o, s:n, s:o, s:o}", "dest", DEST, "instance",
                                 fake_agent_instance(cloud->source, UUID), "block_migration",
                                 "migration", make_migration("accepted"), "migrate_data",
                                 json_deep_copy(cloud->data)));
}

/* The request has come that far; then it only waits for its end. */
static void await_started(Cloud *cloud)
{
    while (fake_conductor_count(fake_agent_conductor(cloud->source), "Migration.save") == 0)
        g_usleep(1000);
}

static void check_and_start(Cloud *cloud, const char *block)
{
    g_autoptr(GError) err = NULL;

    if (!check(cloud, block, &err))
        fail_msg("the check: %s", err->message);
    bind(cloud, "{\"port_filter\": true}");
    start(cloud);
    await_started(cloud);
}

G_GNUC_UNUSED static void migrate(Cloud *cloud, const char *block)
{
    check_and_start(cloud, block);
    fake_agent_wait_live(cloud->source, UUID);
}

/* ---- looking at the outcome ---- */

static void assert_runs_on(Cloud *cloud, FakeAgent *host)
{
    FakeAgent *other = host == cloud->source ? cloud->dest : cloud->source;

    assert_int_equal(guest(host), GUEST_STATE_RUNNING);
    assert_int_equal(guest(other), GUEST_STATE_NONE);
    fake_agent_assert_row(cloud->source, "host", host == cloud->source ? FLOW_NODE : DEST);
    fake_agent_assert_row(cloud->source, "node", host == cloud->source ? FLOW_NODE : DEST);
    fake_agent_assert_row(cloud->source, "task_state", "");
    fake_agent_assert_row(cloud->source, "vm_state", "active");
}

G_GNUC_UNUSED static void assert_migrations(Cloud *cloud, const char *want)
{
    g_autofree char *is = fake_conductor_migrations(fake_agent_conductor(cloud->source));

    assert_string_equal(is, want);
}

static unsigned requests(Cloud *cloud, const char *method, const char *target)
{
    return http_server_count(fake_agent_server(cloud->source), method, target);
}

static void assert_rolled_back(Cloud *cloud)
{
    assert_runs_on(cloud, cloud->source);
    /* the instance has its allocation again, and the bindings are gone */
    assert_int_equal(requests(cloud, "POST", ALLOCATIONS), 1);
    assert_int_equal(requests(cloud, "DELETE", ALLOCATIONS "/" MIGRATION), 0);
    assert_true(requests(cloud, "DELETE", BINDING_A) > 0);
    assert_true(requests(cloud, "DELETE", BINDING_B) > 0);
    assert_true(fake_agent_has_disks(cloud->source, UUID));
}

static bool has_live_file(FakeAgent *host)
{
    g_autofree char *path = g_build_filename(fake_agent(host)->config.state_path, "live_migrations",
                                             UUID ".json", NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* ---- what others want of it ---- */

/* Two passes that shrink, and then one that stays as it is. */
static const VirtJob busy_jobs[] = {
    {.memory_total = 128 << 20,
     .memory_remaining = 128 << 20,
     .bandwidth = 32 << 20,
     .dirty_rate = 40 << 20,
     .downtime_ms = 4000},
    {.memory_total = 128 << 20,
     .memory_remaining = 64 << 20,
     .bandwidth = 32 << 20,
     .dirty_rate = 40 << 20,
     .downtime_ms = 2000},
};
G_GNUC_UNUSED static const FakeMigration busy_guest = {
    .jobs = busy_jobs,
    .job_count = G_N_ELEMENTS(busy_jobs),
    .pass_ms = 1000,
    .end = FAKE_MIGRATION_STAYS,
};

G_GNUC_UNUSED static json_t *id_args(Cloud *cloud)
{
    return json_pack("{s:o, s:i}", "instance", fake_agent_instance(cloud->source, UUID),
                     "migration_id", 3);
}

G_GNUC_UNUSED static void abort_it(Cloud *cloud, const char *status)
{
    fake_conductor_answer(fake_agent_conductor(cloud->source), "Migration.get_by_id",
                          make_migration(status));
    fake_agent_request(cloud->source, "live_migration_abort", id_args(cloud));
}

G_GNUC_UNUSED static void await_phase(Cloud *cloud, LivePhase phase)
{
    while (live_queue_phase(fake_agent(cloud->source)->live, UUID) != phase)
        g_usleep(1000);
}

/* That many more than before the first request. */
G_GNUC_UNUSED static void await_events(Cloud *cloud, unsigned count)
{
    while (events_ended(cloud->source) < cloud->events + count)
        g_usleep(1000);
}

G_GNUC_UNUSED static void force_it(Cloud *cloud)
{
    fake_agent_request(cloud->source, "live_migration_force_complete",
                       json_pack("{s:o}", "instance", fake_agent_instance(cloud->source, UUID)));
}
