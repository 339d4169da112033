/* Live migrations between two hosts: as they should go, refused by a check, broken off in each
 * phase; where the guest is afterwards, and what is left. */
#include "live.h"

#include "util/metrics.h"
#include "util/thread.h"

/* ---- clouds ---- */

static int setup_shared(void **state)
{
    *state = cloud_new(&(CloudOptions){.shared = true});
    return 0;
}

static int setup_local(void **state)
{
    *state = cloud_new(&(CloudOptions){0});
    return 0;
}

/* ---- as it should go ---- */

static void a_guest_on_shared_storage_moves(void **state)
{
    Cloud *cloud = *state;

    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_migrations(cloud, "preparing\nrunning\ncompleted\n");
    assert_int_equal(requests(cloud, "PUT", BINDING_A "/activate"), 1);
    assert_int_equal(requests(cloud, "PUT", BINDING_B "/activate"), 1);
    assert_int_equal(requests(cloud, "DELETE", ALLOCATIONS "/" MIGRATION), 1);
    assert_int_equal(requests(cloud, "POST", ALLOCATIONS), 0);
    assert_true(fake_agent_has_disks(cloud->source, UUID));
    assert_false(has_live_file(cloud->source));
    assert_int_equal(fake_virt_calls(source_virt(cloud), "unplug"), 1);
    assert_int_equal(
        fake_conductor_count(fake_agent_conductor(cloud->source), "InstanceFault.create"), 0);
}

static void local_disks_are_copied_and_go(void **state)
{
    Cloud *cloud = *state;
    g_autofree char *asked = NULL;

    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    asked = fake_virt_last_migration(source_virt(cloud));
    assert_non_null(strstr(asked, "disks=vda"));
    assert_true(fake_agent_has_disks(cloud->dest, UUID));
    assert_true(fake_agent_has_file(cloud->dest, UUID, "disk.info"));
    assert_false(disks_is_receiving(fake_agent(cloud->dest)->disks, UUID));
    assert_false(fake_agent_has_disks(cloud->source, UUID));
}

static void the_check_leaves_no_file(void **state)
{
    Cloud *cloud = *state;
    g_autoptr(GDir) dir = NULL;
    const char *name;

    assert_true(check(cloud, "null", NULL));
    assert_true(json_is_true(json_object_get(data_of(cloud->data), "is_shared_instance_path")));
    assert_true(json_is_false(json_object_get(data_of(cloud->data), "block_migration")));
    assert_false(json_object_get(data_of(cloud->data), "disk_over_commit"));
    /* a file that an agent's death leaves is found again by its name */
    assert_true(g_str_has_prefix(
        json_string_value(json_object_get(data_of(cloud->data), "filename")), "tmp-" DEST "-"));
    dir = g_dir_open(fake_agent_instances_path(cloud->dest), 0, NULL);
    while ((name = g_dir_read_name(dir)) != NULL)
        assert_false(g_str_has_prefix(name, "tmp"));
}

/* ---- refused ---- */

static void assert_refused(Cloud *cloud, const char *block, DvErrorCode code)
{
    g_autoptr(GError) err = NULL;

    assert_false(check(cloud, block, &err));
    if (!dv_is(err, code))
        fail_msg("%s", err->message);
}

static void copying_shared_disks_is_refused(void **state)
{
    assert_refused(*state, "true", DV_E_LOCAL_STORAGE);
}

static void not_copying_local_disks_is_refused(void **state)
{
    assert_refused(*state, "false", DV_E_SHARED_STORAGE);
}

static int setup_tunnelled(void **state)
{
    *state = cloud_new(&(CloudOptions){.source = "[libvirt]\nlive_migration_tunnelled = true\n"});
    return 0;
}

/* A guest that went without its disks would find empty ones there. */
static void copying_disks_through_a_tunnel_is_refused(void **state)
{
    assert_refused(*state, "null", DV_E_MIGRATION_PRECHECK);
    assert_refused(*state, "true", DV_E_MIGRATION_PRECHECK);
}

/* The same, by a source whose option came after the check. */
static void a_tunnel_takes_no_guest_without_its_disks(void **state)
{
    Cloud *cloud = *state;

    assert_true(check(cloud, "null", NULL));
    bind(cloud, "{}");
    fake_agent(cloud->source)->config.live.tunnelled = true;
    start(cloud);
    await_started(cloud);
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
}

static void a_server_group_refuses(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *conductor = fake_agent_conductor(cloud->source);

    fake_conductor_answer(
        conductor, "InstanceGroup.get_by_instance_uuid",
        fake_agent_object("InstanceGroup", "1.11",
                          json_pack("{s:i, s:s, s:s, s:[s,s], s:[], s:{s:s}}", "id", 1, "uuid",
                                    "group", "policy", "anti-affinity", "members", UUID, "other",
                                    "hosts", "_rules", "max_server_per_host", "1")));
    fake_conductor_answer(conductor, "InstanceList.get_uuids_by_host", json_pack("[s]", "other"));
    assert_refused(cloud, "null", DV_E_MIGRATION_PRECHECK);
}

/* nova-compute, which the guest leaves, stores what it read while neutron had the ports nowhere. */
static void what_the_source_stores_late_is_replaced(void **state)
{
    Cloud *cloud = *state;
    FakeConductor *con = fake_agent_conductor(cloud->source);
    int64_t limit_us = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;
    json_t *object;
    bool done = false;
    g_autofree char *stored = NULL;

    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    stored = fake_conductor_field(con, UUID, "info_cache");
    object = json_loads(stored, 0, NULL);
    json_object_set_new(json_object_get(object, "nova_object.data"), "network_info",
                        json_string("[]"));
    fake_conductor_set_json(con, UUID, "info_cache", object);
    for (; !done && g_get_monotonic_time() < limit_us; g_usleep(5000)) {
        g_autofree char *now = fake_conductor_field(con, UUID, "info_cache");

        done = strstr(now, FLOW_PORT_A) != NULL;
    }
    assert_true(done);
    fake_agent_wait(cloud->dest, UUID);
}

/* ---- broken off ---- */

static void a_failing_destination_is_cleaned_up(void **state)
{
    Cloud *cloud = *state;

    fake_virt_fail(fake_agent_virt(cloud->dest), "plug", DV_E_VIF_PLUG, G_MAXUINT);
    migrate(cloud, "null");
    assert_rolled_back(cloud);
    assert_migrations(cloud, "preparing\nerror\nfailed\n");
    assert_false(fake_agent_has_disks(cloud->dest, UUID));
    assert_int_equal(fake_virt_calls(source_virt(cloud), "migrate"), 0);
}

static void a_destination_that_does_not_answer(void **state)
{
    Cloud *cloud = *state;

    fake_agent_lose_calls(cloud->source, "pre_live_migration", true, 1);
    migrate(cloud, "null");
    assert_rolled_back(cloud);
    assert_migrations(cloud, "preparing\nerror\nfailed\n");
}

/* Only the answer is lost: the destination has prepared everything. */
static void what_a_lost_answer_has_made_goes(void **state)
{
    Cloud *cloud = *state;

    fake_agent_lose_calls(cloud->source, "pre_live_migration", false, 1);
    migrate(cloud, "null");
    assert_rolled_back(cloud);
    fake_agent_wait(cloud->dest, UUID);
    assert_false(fake_agent_has_disks(cloud->dest, UUID));
}

/* What was there before is not what this migration has made. */
static void a_folder_that_was_there_stays(void **state)
{
    Cloud *cloud = *state;
    g_autofree char *dir = disks_instance_dir(fake_agent(cloud->dest)->disks, UUID);
    g_autofree char *file = g_build_filename(dir, "disk", NULL);

    assert_int_equal(g_mkdir_with_parents(dir, 0755), 0);
    assert_true(g_file_set_contents(file, "somebody's", -1, NULL));
    migrate(cloud, "null");
    assert_rolled_back(cloud);
    fake_agent_wait(cloud->dest, UUID);
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
}

static void a_failing_job_is_taken_back(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &(FakeMigration){.end = FAKE_MIGRATION_FAILS});
    migrate(cloud, "null");
    assert_rolled_back(cloud);
    fake_agent_wait(cloud->dest, UUID);
    assert_migrations(cloud, "preparing\nrunning\nfailed\n");
    assert_false(fake_agent_has_disks(cloud->dest, UUID));
    assert_false(has_live_file(cloud->source));
    assert_int_equal(fake_virt_calls(fake_agent_virt(cloud->dest), "unplug"), 1);
}

/* As a nova-compute stores them that reads them while it hands the guest over. */
static void lose_bridges(Cloud *cloud)
{
    FakeConductor *conductor = fake_agent_conductor(cloud->source);
    g_autofree char *cache = fake_conductor_field(conductor, UUID, "info_cache");
    json_t *object = json_loads(cache, 0, NULL);
    json_t *vifs = json_loads(json_string_value(json_object_get(data_of(object), "network_info")),
                              0, NULL);
    char *text;
    json_t *vif;
    size_t i;

    json_array_foreach(vifs, i, vif)
    {
        json_object_set_new(vif, "type", json_string("unbound"));
        json_object_set_new(json_object_get(vif, "network"), "bridge", json_null());
    }
    text = json_dumps(vifs, 0);
    json_object_set_new(data_of(object), "network_info", json_string(text));
    fake_conductor_set_json(conductor, UUID, "info_cache", object);
    free(text);
    json_decref(vifs);
}

static void ports_that_were_nowhere_are_read_anew(void **state)
{
    Cloud *cloud = *state;
    VirtDriver *there = fake_agent(cloud->dest)->virt;
    g_autofree char *xml = NULL;

    lose_bridges(cloud);
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_true(there->ops->describe(there->self, UUID, &xml, NULL));
    if (!strstr(xml, "brq"))
        fail_msg("no bridge in %s", xml);
}

/* The destination did it, and does it once more without harm. */
static void a_lost_hand_over_is_asked_for_again(void **state)
{
    Cloud *cloud = *state;

    fake_agent_lose_calls(cloud->source, "post_live_migration_at_destination", false, 1);
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_migrations(cloud, "preparing\nrunning\ncompleted\n");
    assert_int_equal(fake_agent_casts(cloud->source, "post_live_migration_at_destination", NULL),
                     2);
}

/* The guest has moved, but the destination does not take it over: the record follows the guest. */
static void the_record_follows_the_guest(void **state)
{
    Cloud *cloud = *state;

    fake_agent_lose_calls(cloud->source, "post_live_migration_at_destination", true, 9);
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_migrations(cloud, "preparing\nrunning\ncompleted\n");
    assert_int_equal(requests(cloud, "DELETE", ALLOCATIONS "/" MIGRATION), 1);
    assert_int_equal(fake_agent_casts(cloud->source, "post_live_migration_at_destination", NULL),
                     2); /* nobody waits for the dead any longer */
}

static void a_failing_activation_is_tried_again(void **state)
{
    Cloud *cloud = *state;
    HttpServer *server = fake_agent_server(cloud->source);

    http_server_json(server, "PUT", BINDING_A "/activ*", 500, "{}");
    http_server_json(server, "PUT", BINDING_A "/activ*", 200, "{}");
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_int_equal(requests(cloud, "PUT", BINDING_A "/activate"), 2);
    assert_int_equal(requests(cloud, "PUT", BINDING_B "/activate"), 1);
}

/* It was activated by whoever came first. */
static void an_active_binding_is_no_failure(void **state)
{
    Cloud *cloud = *state;
    HttpServer *server = fake_agent_server(cloud->source);

    http_server_json(server, "PUT", BINDING_A "/activ*", 409, "{}");
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_int_equal(requests(cloud, "PUT", BINDING_B "/activate"), 1);
}

/* A late message must not take a guest away that has arrived. */
static void a_late_rollback_touches_nothing(void **state)
{
    Cloud *cloud = *state;

    migrate(cloud, "null");
    fake_agent_request(cloud->dest, "rollback_live_migration_at_destination",
                       json_pack("{s:o, s:b, s:O}", "instance",
                                 fake_agent_instance(cloud->dest, UUID), "destroy_disks", 1,
                                 "migrate_data", cloud->data));
    fake_agent_wait(cloud->dest, UUID);
    assert_runs_on(cloud, cloud->dest);
    assert_true(fake_agent_has_disks(cloud->dest, UUID));
}

/* ---- wanted otherwise while it waits, prepares or runs ---- */

static void a_running_migration_is_cancelled(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    abort_it(cloud, "running");
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
    assert_migrations(cloud, "preparing\nrunning\ncancelled\n");
}

/* libvirt says of some that they failed: the operator who cancelled it is told what he did. */
static void a_cancelled_migration_that_fails_is_cancelled(void **state)
{
    Cloud *cloud = *state;
    FakeMigration plan = busy_guest;

    plan.cancel_fails = true;
    fake_virt_plan_migration(source_virt(cloud), &plan);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    abort_it(cloud, "running");
    fake_agent_wait_live(cloud->source, UUID);
    assert_migrations(cloud, "preparing\nrunning\ncancelled\n");
}

static void a_prepared_migration_is_cancelled(void **state)
{
    Cloud *cloud = *state;
    FakeVirt *dest = fake_agent_virt(cloud->dest);

    fake_virt_hold(dest, "plug");
    check_and_start(cloud, "null");
    assert_true(fake_virt_wait_held(dest, "plug", 60000));
    abort_it(cloud, "preparing");
    /* of the two checks, of live_migration, and of the abort */
    await_events(cloud, 4);
    fake_virt_release(dest, "plug");
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
    assert_int_equal(fake_virt_calls(source_virt(cloud), "migrate"), 0);
    assert_migrations(cloud, "preparing\ncancelled\n");
}

static void block_pool_job(void *arg)
{
    DvMutex *lock = arg;

    dv_lock(lock);
    dv_unlock(lock);
}

/* All workers are busy with others. */
static void a_queued_migration_is_cancelled(void **state)
{
    Cloud *cloud = *state;
    Agent *agent = fake_agent(cloud->source);
    LiveTicket *others[4];
    DvMutex lock;

    dv_mutex_init(&lock);
    dv_lock(&lock);
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *uuid = g_uuid_string_random();

        others[i] = live_queue_enter(agent->live, uuid, DEST, NULL, NULL);
        dv_pool_submit(agent->pools[POOL_MIGRATE], block_pool_job, &lock, NULL);
    }
    check_and_start(cloud, "null");
    await_events(cloud, 3);
    abort_it(cloud, "queued");
    await_events(cloud, 4);
    assert_rolled_back(cloud);
    assert_migrations(cloud, "queued\ncancelled\n");
    assert_int_equal(fake_agent_casts(cloud->source, "pre_live_migration", NULL), 0);
    dv_unlock(&lock);
    fake_agent_wait_live(cloud->source, UUID);
    assert_migrations(cloud, "queued\ncancelled\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++)
        live_ticket_leave(others[i]);
    while (dv_pool_running(agent->pools[POOL_MIGRATE]))
        g_usleep(1000);
    dv_mutex_done(&lock);
}

static void what_is_over_is_not_cancelled(void **state)
{
    Cloud *cloud = *state;
    g_autofree char *fault = NULL;

    abort_it(cloud, "completed");
    await_events(cloud, 1);
    fault = fake_conductor_last(fake_agent_conductor(cloud->source), "InstanceFault.create");
    assert_non_null(fault);
    assert_non_null(strstr(fault, "Cannot abort live migration"));
    assert_int_equal(fake_virt_calls(source_virt(cloud), "abort_job"), 0);
}

static void a_forced_guest_is_paused_until_it_is_there(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    force_it(cloud);
    fake_agent_wait_live(cloud->source, UUID);
    assert_int_equal(fake_virt_calls(source_virt(cloud), "pause"), 1);
    assert_migrations(cloud, "preparing\nrunning\ncompleted\n");
    fake_agent_assert_row(cloud->source, "host", DEST);
}

static void a_forced_guest_that_stays_runs_on(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    fake_virt_fail(source_virt(cloud), "switch", DV_E_HYPERVISOR, 1);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    force_it(cloud);
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
    assert_int_equal(guest(cloud->source), GUEST_STATE_RUNNING);
}

static void nothing_to_force_is_a_fault(void **state)
{
    Cloud *cloud = *state;
    g_autofree char *fault = NULL;

    force_it(cloud);
    await_events(cloud, 1);
    fault = fake_conductor_last(fake_agent_conductor(cloud->source), "InstanceFault.create");
    assert_non_null(fault);
    assert_non_null(strstr(fault, "not found"));
}

/* ---- limits ---- */

static int setup_post_copy(void **state)
{
    *state = cloud_new(&(CloudOptions){
        .shared = true, .source = "[libvirt]\nlive_migration_permit_post_copy = true\n"});
    return 0;
}

static int setup_short(void **state)
{
    *state = cloud_new(&(CloudOptions){
        .shared = true, .source = "[libvirt]\nlive_migration_completion_timeout = 10\n"});
    return 0;
}

static int setup_short_force(void **state)
{
    *state = cloud_new(
        &(CloudOptions){.shared = true,
                        .source = "[libvirt]\nlive_migration_completion_timeout = 10\n"
                                  "live_migration_timeout_action = force_complete\n"});
    return 0;
}

static void assert_metric(const char *line)
{
    g_autofree char *text = dv_metrics_text();

    if (!strstr(text, line))
        fail_msg("no %s in\n%s", line, text);
}

static void a_guest_that_writes_too_fast_is_fetched_afterwards(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
    assert_int_equal(fake_virt_calls(source_virt(cloud), "post_copy"), 1);
    /* the allowed downtime was raised before */
    assert_true(fake_virt_calls(source_virt(cloud), "set_max_downtime") > 1);
    assert_migrations(cloud, "preparing\nrunning\nrunning (post-copy)\ncompleted\n");
    assert_metric("drover_live_migration_steps_total{step=\"post_copy\"} 1");
    assert_metric("drover_live_migration_dirty_bytes_per_second 41943040");
    assert_metric("drover_live_migration_eta_seconds -1");
}

/* There is no way back: nobody may start or remove anything. */
static void a_broken_post_copy_is_left_to_the_operator(void **state)
{
    Cloud *cloud = *state;
    FakeMigration plan = busy_guest;

    plan.end = FAKE_MIGRATION_BREAKS;
    fake_virt_plan_migration(source_virt(cloud), &plan);
    migrate(cloud, "null");
    fake_agent_assert_row(cloud->source, "vm_state", "error");
    fake_agent_assert_row(cloud->source, "task_state", "");
    assert_migrations(cloud, "preparing\nrunning\nrunning (post-copy)\nerror\n");
    assert_int_equal(
        fake_agent_casts(cloud->source, "rollback_live_migration_at_destination", NULL), 0);
    assert_true(has_live_file(cloud->source));
}

static void a_migration_that_takes_too_long_is_cancelled(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    migrate(cloud, "null");
    assert_rolled_back(cloud);
    assert_migrations(cloud, "preparing\nrunning\ncancelled\n");
}

static void or_it_is_forced(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    migrate(cloud, "null");
    assert_int_equal(fake_virt_calls(source_virt(cloud), "pause"), 1);
    fake_agent_assert_row(cloud->source, "host", DEST);
}

/* ---- ports that neutron reports as plugged at the destination ---- */

/* The ports are of the kind whose plug is reported at once. */
static void plug_hybrid(Cloud *cloud)
{
    FakeConductor *conductor = fake_agent_conductor(cloud->source);
    g_autofree char *cache = fake_conductor_field(conductor, UUID, "info_cache");
    json_t *object = json_loads(cache, 0, NULL);
    g_auto(GStrv)
        parts = g_strsplit(json_string_value(json_object_get(data_of(object), "network_info")),
                           "\"port_filter\": true", -1);
    g_autofree char *text = g_strjoinv("\"port_filter\": true, \"ovs_hybrid_plug\": true", parts);

    fake_agent(cloud->source)->config.vif_plugging_timeout_s = 300;
    json_object_set_new(data_of(object), "network_info", json_string(text));
    fake_conductor_set_json(conductor, UUID, "info_cache", object);
}

static void await_prepared(Cloud *cloud)
{
    while (fake_virt_calls(fake_agent_virt(cloud->dest), "plug") == 0)
        g_usleep(1000);
    fake_agent_wait(cloud->dest, UUID);
}

static void the_source_waits_until_all_are_plugged(void **state)
{
    Cloud *cloud = *state;

    plug_hybrid(cloud);
    check_and_start(cloud, "null");
    await_prepared(cloud);
    fake_agent_port_event(cloud->source, "network-vif-plugged", FLOW_PORT_A, "completed");
    g_usleep(50000);
    assert_int_equal(fake_virt_calls(source_virt(cloud), "migrate"), 0);
    fake_agent_port_event(cloud->source, "network-vif-plugged", FLOW_PORT_B, "completed");
    fake_agent_wait_live(cloud->source, UUID);
    assert_runs_on(cloud, cloud->dest);
}

/* The events may still come; what neutron says of a port that is active at the source tells nothing
 * of the destination. */
static void a_loss_of_the_broker_does_not_end_the_wait(void **state)
{
    Cloud *cloud = *state;

    plug_hybrid(cloud);
    check_and_start(cloud, "null");
    await_prepared(cloud);
    waits_doubt(fake_agent(cloud->source)->waits);
    g_usleep(50000);
    assert_int_equal(fake_virt_calls(source_virt(cloud), "migrate"), 0);
    fake_agent_port_event(cloud->source, "network-vif-plugged", FLOW_PORT_A, "completed");
    fake_agent_port_event(cloud->source, "network-vif-plugged", FLOW_PORT_B, "completed");
    fake_agent_wait_live(cloud->source, UUID);
    assert_runs_on(cloud, cloud->dest);
}

static void a_port_that_fails_ends_it(void **state)
{
    Cloud *cloud = *state;

    plug_hybrid(cloud);
    check_and_start(cloud, "null");
    await_prepared(cloud);
    fake_agent_port_event(cloud->source, "network-vif-plugged", FLOW_PORT_A, "failed");
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
    assert_int_equal(fake_virt_calls(source_virt(cloud), "migrate"), 0);
}

static void a_wait_ends_when_it_is_cancelled(void **state)
{
    Cloud *cloud = *state;

    plug_hybrid(cloud);
    check_and_start(cloud, "null");
    await_prepared(cloud);
    abort_it(cloud, "preparing");
    fake_agent_wait_live(cloud->source, UUID);
    assert_rolled_back(cloud);
    assert_migrations(cloud, "preparing\ncancelled\n");
}

static void a_destination_may_wish_no_wait(void **state)
{
    Cloud *cloud = *state;

    plug_hybrid(cloud);
    fake_agent(cloud->dest)->config.live.wait_for_vif_plug = false;
    migrate(cloud, "null");
    assert_runs_on(cloud, cloud->dest);
}

/* ---- an earlier process of the source began it ---- */

static LiveOutcome adopt(Cloud *cloud, Live *live, GError **why)
{
    static const char *const none[] = {NULL};
    Agent *agent = fake_agent(cloud->source);
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(Ovo) migration = ovo_take(make_migration("running"), "Migration", NULL);
    bool cancelled = false;

    assert_true(conductor_instance_get(agent->con, fake_agent_ctx(cloud->source), UUID, none,
                                       &instance, NULL));
    assert_true(live_load(live, agent, fake_agent_ctx(cloud->source), instance, migration, NULL));
    return live_job(live, true, &cancelled, why);
}

/* What that process had kept. */
static void keep(Cloud *cloud)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) instance = NULL;
    g_autoptr(Ovo) migration = ovo_take(make_migration("running"), "Migration", NULL);
    g_autoptr(Ovo) data = NULL;
    Live live = {0};

    if (!check(cloud, "null", &err))
        fail_msg("%s", err->message);
    bind(cloud, "{}");
    instance = ovo_take(fake_agent_instance(cloud->source, UUID), "Instance", NULL);
    data = ovo_take(json_incref(cloud->data), "LibvirtLiveMigrateData", NULL);
    live_init(&live, fake_agent(cloud->source), fake_agent_ctx(cloud->source), instance, migration,
              data, DEST);
    assert_true(live_file_write(&live, NULL));
    live_done(&live);
}

static void the_next_process_finishes_it(void **state)
{
    Cloud *cloud = *state;
    Live live = {0};

    keep(cloud);
    fake_virt_begin_migration(source_virt(cloud), UUID,
                              &(VirtMigration){.dest_uri = "qemu+tcp://" DEST "/system"});
    assert_int_equal(adopt(cloud, &live, NULL), LIVE_MOVED);
    assert_true(migrate_data_has_vifs(live.data));
    assert_true(live_finish(&live, NULL));
    assert_runs_on(cloud, cloud->dest);
    assert_false(has_live_file(cloud->source));
    /* and once more, as by a process that died in between */
    assert_true(live_finish(&live, NULL));
    assert_runs_on(cloud, cloud->dest);
    live_done(&live);
}

static void what_never_began_is_taken_back(void **state)
{
    Cloud *cloud = *state;
    Live live = {0};
    g_autoptr(GError) why = NULL;

    keep(cloud);
    assert_int_equal(adopt(cloud, &live, &why), LIVE_STAYED);
    assert_true(live_rollback(&live, "failed", NULL));
    live_done(&live);
    fake_agent_wait(cloud->dest, UUID);
    assert_rolled_back(cloud);
    assert_false(has_live_file(cloud->source));
}

/* ---- deletes ---- */

static void a_delete_ends_the_migration_first(void **state)
{
    Cloud *cloud = *state;

    fake_virt_plan_migration(source_virt(cloud), &busy_guest);
    check_and_start(cloud, "null");
    await_phase(cloud, LIVE_RUNNING);
    fake_agent_terminate(cloud->source, UUID);
    fake_agent_wait_live(cloud->source, UUID);
    fake_agent_wait(cloud->source, UUID);
    assert_int_equal(guest(cloud->source), GUEST_STATE_NONE);
    assert_int_equal(guest(cloud->dest), GUEST_STATE_NONE);
    assert_int_equal(fake_conductor_count(fake_agent_conductor(cloud->source), "Instance.destroy"),
                     1);
}

#define CASE(test, kind) cmocka_unit_test_setup_teardown(test, setup_##kind, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_guest_on_shared_storage_moves, shared),
        CASE(local_disks_are_copied_and_go, local),
        CASE(the_check_leaves_no_file, shared),
        CASE(copying_shared_disks_is_refused, shared),
        CASE(not_copying_local_disks_is_refused, local),
        CASE(copying_disks_through_a_tunnel_is_refused, tunnelled),
        CASE(a_tunnel_takes_no_guest_without_its_disks, local),
        CASE(a_server_group_refuses, shared),
        CASE(what_the_source_stores_late_is_replaced, shared),
        CASE(a_failing_destination_is_cleaned_up, local),
        CASE(a_destination_that_does_not_answer, shared),
        CASE(what_a_lost_answer_has_made_goes, local),
        CASE(a_folder_that_was_there_stays, local),
        CASE(a_failing_job_is_taken_back, local),
        CASE(ports_that_were_nowhere_are_read_anew, shared),
        CASE(a_lost_hand_over_is_asked_for_again, shared),
        CASE(the_record_follows_the_guest, shared),
        CASE(a_failing_activation_is_tried_again, shared),
        CASE(an_active_binding_is_no_failure, shared),
        CASE(a_late_rollback_touches_nothing, shared),
        CASE(a_running_migration_is_cancelled, shared),
        CASE(a_cancelled_migration_that_fails_is_cancelled, shared),
        CASE(a_prepared_migration_is_cancelled, shared),
        CASE(a_queued_migration_is_cancelled, shared),
        CASE(what_is_over_is_not_cancelled, shared),
        CASE(a_forced_guest_is_paused_until_it_is_there, shared),
        CASE(a_forced_guest_that_stays_runs_on, shared),
        CASE(nothing_to_force_is_a_fault, shared),
        CASE(a_guest_that_writes_too_fast_is_fetched_afterwards, post_copy),
        CASE(a_broken_post_copy_is_left_to_the_operator, post_copy),
        CASE(a_migration_that_takes_too_long_is_cancelled, short),
        CASE(or_it_is_forced, short_force),
        CASE(the_source_waits_until_all_are_plugged, shared),
        CASE(a_loss_of_the_broker_does_not_end_the_wait, shared),
        CASE(a_port_that_fails_ends_it, shared),
        CASE(a_wait_ends_when_it_is_cancelled, shared),
        CASE(a_destination_may_wish_no_wait, shared),
        CASE(the_next_process_finishes_it, shared),
        CASE(what_never_began_is_taken_back, shared),
        CASE(a_delete_ends_the_migration_first, shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
