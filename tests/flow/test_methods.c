/* Every method of the compute API that concerns one host, with the arguments that each version of
 * the API sends, as messages: each is taken at every version, carried out, and answered as nova's
 * libvirt driver answers it. Sources: docs/wire/compute.md; nova compute/rpcapi.py (Zed to 2026.1).
 */
#include "flow/interfaces.h"
#include "flow/reply.h"
#include "flow/resize.h"
#include "rpc/server.h"

#include <string.h>

#define IMAGE "eaaf13f0-156d-4ed6-afa8-6611def5fe76" /* of a snapshot */
#define NOVA "nova.exception."
#define BUILTIN "builtins."
#define UNAVAILABLE NOVA "ConsoleTypeUnavailable"
#define NO_AGENT NOVA "QemuGuestAgentNotEnabled"
#define NOT_IMPLEMENTED BUILTIN "NotImplementedError"

typedef struct Row {
    const char *method;
    const char *version; /* a version whose arguments these are */
    const char *task;    /* what the API has set; "-": the method has no instance; NULL: none */
    const char *args; /* besides the instance; ' stands for ", @flavor and the like for objects */
    const char *failure; /* the exception that is answered, NULL: none */
    const char *then;    /* vm_state afterwards, without a task; "(gone)"; NULL: not looked at */
} Row;

#define NEW "(new)" /* as a task: there is no server yet */
#define PREP                                                                                     \
    "'image':{'properties':{}},'filter_properties':{},'node':'vm','migration':'@pre-migrating'," \
    "'clean_shutdown':false,'host_list':null"

/* clang-format off */
static const Row rows[] = {
    {"build_and_run_instance", "6.5", NEW, "{}", NULL, "active"},
    {"build_and_run_instance", "5.11", NEW, "{}", NULL, "active"},
    {"build_and_run_instance", "5.0", NEW, "{'accel_uuids':'@absent','host_list':null}", NULL, "active"},
    {"rebuild_instance", "6.5", "rebuilding", "{'orig_image_ref':'" FLOW_IMAGE "','image_ref':'" FLOW_IMAGE "','injected_files':[],'new_pass':'x','orig_sys_metadata':{},'bdms':null,'recreate':false,'on_shared_storage':null,'preserve_ephemeral':false,'migration':null,'scheduled_node':null,'limits':null,'request_spec':'@request_spec','accel_uuids':[],'reimage_boot_volume':false,'target_state':null}", NULL, "active"},
    {"rebuild_instance", "6.1", "rebuilding", "{'orig_image_ref':'" FLOW_IMAGE "','image_ref':'" FLOW_IMAGE "','injected_files':[],'new_pass':'x','orig_sys_metadata':{},'bdms':null,'recreate':false,'on_shared_storage':null,'preserve_ephemeral':false,'migration':null,'scheduled_node':null,'limits':null,'request_spec':'@request_spec','accel_uuids':[],'reimage_boot_volume':false}", NULL, "active"},
    {"rebuild_instance", "6.0", "rebuilding", "{'orig_image_ref':'" FLOW_IMAGE "','image_ref':'" FLOW_IMAGE "','injected_files':[],'new_pass':'x','orig_sys_metadata':{},'bdms':null,'recreate':false,'on_shared_storage':null,'preserve_ephemeral':false,'migration':null,'scheduled_node':null,'limits':null,'request_spec':'@request_spec','accel_uuids':[]}", NULL, "active"},
    {"rebuild_instance", "5.11", "rebuilding", "{'orig_image_ref':'" FLOW_IMAGE "','image_ref':'" FLOW_IMAGE "','injected_files':[],'new_pass':'x','orig_sys_metadata':{},'bdms':null,'recreate':false,'on_shared_storage':null,'preserve_ephemeral':false,'migration':null,'scheduled_node':null,'limits':null,'request_spec':'@request_spec'}", NULL, "active"},
    {"unshelve_instance", "6.5", "unshelving", "{'image':'@image','filter_properties':{'limits':{}},'node':'vm','request_spec':'@request_spec','accel_uuids':[]}", NULL, "active"},
    {"unshelve_instance", "5.2", "unshelving", "{'image':'@image','filter_properties':{'limits':{}},'node':'vm','request_spec':'@request_spec'}", NULL, "active"},
    {"unshelve_instance", "5.0", "unshelving", "{'image':'@image','filter_properties':{'limits':{}},'node':'vm'}", NULL, "active"},
    {"prep_resize", "6.5", "resize_prep", "{'flavor':'@flavor','request_spec':'@request_spec'," PREP "}", NULL, "resized"},
    {"prep_resize", "5.1", "resize_prep", "{'instance_type':'@flavor','request_spec':'@request_spec'," PREP "}", NULL, "resized"},
    {"prep_resize", "5.0", "resize_prep", "{'instance_type':'@flavor','request_spec':{'num_instances':1,'image':{}}," PREP "}", NULL, "resized"},
    {"resize_instance", "6.5", "resize_prep", "{'flavor':'@flavor','migration':'@pre-migrating','image':{},'clean_shutdown':false,'request_spec':'@request_spec'}", NULL, "resized"},
    {"resize_instance", "5.2", "resize_prep", "{'instance_type':'@flavor','migration':'@pre-migrating','image':{},'clean_shutdown':false,'request_spec':'@request_spec'}", NULL, "resized"},
    {"resize_instance", "5.0", "resize_prep", "{'instance_type':'@flavor','migration':'@pre-migrating','image':{},'clean_shutdown':false}", NULL, "resized"},
    {"finish_resize", "6.5", "resize_migrated", "{'migration':'@post-migrating','image':{},'disk_info':'','request_spec':'@request_spec'}", NULL, "resized"},
    {"finish_resize", "5.0", "resize_migrated", "{'migration':'@post-migrating','image':{},'disk_info':''}", NULL, "resized"},
    {"confirm_resize", "6.5", NULL, "{'migration':'@confirming'}", NULL, "active"},
    {"revert_resize", "6.5", "resize_reverting", "{'migration':'@reverting','request_spec':'@request_spec'}", NULL, "active"},
    {"revert_resize", "5.0", "resize_reverting", "{'migration':'@reverting'}", NULL, "active"},
    {"finish_revert_resize", "6.5", "resize_reverting", "{'migration':'@reverted','request_spec':'@request_spec'}", NULL, "active"},
    {"finish_revert_resize", "5.0", "resize_reverting", "{'migration':'@reverted'}", NULL, "active"},
    {"attach_interface", "6.5", NULL, "{'network_id':'" NET_B "','port_id':null,'requested_ip':null,'tag':null}", NULL, "active"},
    {"attach_interface", "6.5", NULL, "{'network_id':'00000000-0000-4000-8000-00000000dead','port_id':null,'requested_ip':null,'tag':null}", NOVA "NetworkNotFound", "active"},
    {"add_fixed_ip_to_instance", "6.5", NULL, "{'network_id':'" NET_B "'}", NULL, "active"},
    {"stop_instance", "6.5", "powering-off", "{'clean_shutdown':false}", NULL, "stopped"},
    {"start_instance", "6.5", "powering-on", "{}", NULL, "active"},
    {"reboot_instance", "6.5", "rebooting_hard", "{'block_device_info':null,'reboot_type':'HARD'}", NULL, "active"},
    {"pause_instance", "6.5", "pausing", "{}", NULL, "paused"},
    {"unpause_instance", "6.5", "unpausing", "{}", NULL, "active"},
    {"suspend_instance", "6.5", "suspending", "{}", NULL, "suspended"},
    {"resume_instance", "6.5", "resuming", "{}", NULL, "active"},
    {"soft_delete_instance", "6.5", "soft-deleting", "{}", NULL, "soft-delete"},
    {"restore_instance", "6.5", "restoring", "{}", NULL, "active"},
    {"trigger_crash_dump", "6.5", NULL, "{}", NULL, NULL},
    {"rescue_instance", "6.5", "rescuing", "{'rescue_password':'x','rescue_image_ref':null,'clean_shutdown':false}", NULL, "rescued"},
    {"unrescue_instance", "6.5", "unrescuing", "{}", NULL, "active"},
    {"inject_network_info", "6.5", NULL, "{}", NULL, NULL},
    {"snapshot_instance", "6.5", "image_snapshot_pending", "{'image_id':'" IMAGE "'}", NULL, "active"},
    {"backup_instance", "6.5", "image_backup", "{'image_id':'" IMAGE "','backup_type':'daily','rotation':1}", NULL, "active"},
    {"quiesce_instance", "6.5", NULL, "{}", NO_AGENT, NULL},
    {"unquiesce_instance", "6.0", NULL, "{}", NO_AGENT, NULL},
    {"unquiesce_instance", "6.5", NULL, "{'mapping':[]}", NO_AGENT, NULL},
    {"set_admin_password", "6.5", "updating_password", "{'new_pass':'x'}", NO_AGENT, NULL},
    {"get_diagnostics", "6.5", NULL, "{}", NULL, NULL},
    {"get_instance_diagnostics", "6.5", NULL, "{}", NULL, NULL},
    {"get_console_output", "6.5", NULL, "{'tail_length':null}", NULL, NULL},
    {"get_console_output", "6.5", NULL, "{'tail_length':3}", NULL, NULL},
    {"get_vnc_console", "6.5", NULL, "{'console_type':'novnc'}", NULL, NULL},
    {"get_vnc_console", "6.5", NULL, "{'console_type':'other'}", NOVA "ConsoleTypeInvalid", NULL},
    {"get_spice_console", "6.5", NULL, "{'console_type':'spice-html5'}", UNAVAILABLE, NULL},
    {"get_serial_console", "6.5", NULL, "{'console_type':'serial'}", UNAVAILABLE, NULL},
    {"get_rdp_console", "6.5", NULL, "{'console_type':'rdp-html5'}", UNAVAILABLE, NULL},
    {"get_mks_console", "6.5", NULL, "{'console_type':'webmks'}", UNAVAILABLE, NULL},
    {"validate_console_port", "6.5", NULL, "{'port':'5900','console_type':'novnc'}", NULL, NULL},
    {"get_host_uptime", "6.5", "-", "{}", NULL, NULL},
    {"host_power_action", "6.5", "-", "{'action':'reboot'}", NOT_IMPLEMENTED, NULL},
    {"host_maintenance_mode", "6.5", "-", "{'host':'vm','mode':true}", NOT_IMPLEMENTED, NULL},
    {"set_host_enabled", "6.5", "-", "{'enabled':true}", NULL, NULL},
    {"cache_images", "6.5", "-", "{'image_ids':['" IMAGE "']}", NULL, NULL},
    {"external_instance_event", "6.5", "-", "{'instances':[],'events':[]}", NULL, NULL},
    {"check_instance_shared_storage", "6.5", "-", "{'data':{'filename':'/nowhere/x'}}", NULL, NULL},
    {"check_instance_shared_storage", "5.13", NULL, "{'data':{'filename':'/nowhere/x'}}", NULL, NULL},
    {"detach_interface", "6.5", NULL, "{'port_id':'" IMAGE "'}", NOVA "PortNotFound", NULL},
    {"remove_fixed_ip_from_instance", "6.5", NULL, "{'address':'192.0.2.1'}", NOVA "FixedIpNotFoundForInstance", NULL},
    {"shelve_instance", "6.5", "shelving", "{'image_id':'" IMAGE "','clean_shutdown':false,'accel_uuids':[]}", NULL, "shelved"},
    {"shelve_instance", "5.12", "shelving", "{'image_id':'" IMAGE "','clean_shutdown':false}", NULL, "shelved"},
    {"shelve_offload_instance", "6.5", "shelving_offloading", "{'clean_shutdown':false,'accel_uuids':[]}", NULL, "shelved_offloaded"},
    {"shelve_offload_instance", "5.12", "shelving_offloading", "{'clean_shutdown':false}", NULL, "shelved_offloaded"},
    {"terminate_instance", "6.5", "deleting", "{'bdms':[]}", NULL, "(gone)"},
};
/* clang-format on */

static const char *const newer[] = {"6.0", "6.1", "6.2", "6.3", "6.4", "6.5"};
static const char *const older[] = {"5.0", "5.4", "5.13"};
static const char *const others[] = {"4.0", "5.14", "6.6", "7.0"};

static RpcMatch match(const char *version, const char *method)
{
    size_t count = 0;
    const RpcEndpoint *endpoints = methods_endpoints(false, &count);
    const RpcEndpoint *endpoint = NULL;
    const RpcMethod *found = NULL;
    RpcMatch is = rpc_endpoint_match(endpoints, count, NULL, version, method, &endpoint, &found);

    if (is == RPC_MATCH_FOUND)
        assert_ptr_equal(found->row, methods_find(method));
    return is;
}

static void every_version_is_taken(void **state G_GNUC_UNUSED)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        for (size_t v = 0; v < G_N_ELEMENTS(newer); v++)
            assert_int_equal(match(newer[v], rows[i].method), RPC_MATCH_FOUND);
        for (size_t v = 0; v < G_N_ELEMENTS(older); v++)
            assert_int_equal(match(older[v], rows[i].method), RPC_MATCH_FOUND);
        for (size_t v = 0; v < G_N_ELEMENTS(others); v++)
            assert_int_equal(match(others[v], rows[i].method), RPC_MATCH_NO_VERSION);
    }
    assert_int_equal(match("6.0", "no_such_method"), RPC_MATCH_NO_METHOD);
}

/* ---- the objects of requests ---- */

static json_t *flavor_object(const char *name G_GNUC_UNUSED)
{
    return make_flavor(&larger);
}

static json_t *spec_object(const char *name G_GNUC_UNUSED)
{
    return request_spec();
}

static json_t *image_object(const char *name G_GNUC_UNUSED)
{
    return json_pack("{s:s, s:s, s:i, s:{}}", "id", FLOW_IMAGE, "disk_format", "raw", "size", 65536,
                     "properties");
}

/* Of that status. */
static json_t *migration_object(const char *status)
{
    return make_migration(status, "vm", "vm");
}

static const struct {
    const char *name;
    json_t *(*make)(const char *name); /* NULL: the argument is not sent at all */
} objects[] = {
    {"flavor", flavor_object},
    {"request_spec", spec_object},
    {"image", image_object},
    {"absent", NULL},
    {"pre-migrating", migration_object},
    {"post-migrating", migration_object},
    {"confirming", migration_object},
    {"reverting", migration_object},
    {"reverted", migration_object},
};

static void put_object(json_t *args, const char *arg, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(objects); i++) {
        if (strcmp(objects[i].name, name) != 0)
            continue;
        if (objects[i].make)
            json_object_set_new(args, arg, objects[i].make(name));
        else
            json_object_del(args, arg);
        return;
    }
    fail_msg("there is no object @%s", name);
}

/* In place of "@flavor" and the like. */
static json_t *with_objects(json_t *args)
{
    const char *arg;
    json_t *value;
    void *next;

    json_object_foreach_safe(args, next, arg, value)
    {
        g_autofree char *text = g_strdup(json_string_value(value));

        if (text && *text == '@')
            put_object(args, arg, text + 1);
    }
    return args;
}

/* As the recorded boot, but for what the row says. */
static json_t *boot_arguments(FakeAgent *fake, const Row *row)
{
    json_t *message = fake_agent_boot_request();
    json_t *args = json_incref(json_object_get(message, "args"));
    json_t *more = args_from(row->args);
    g_autoptr(Ovo) instance = ovo_view(json_object_get(args, "instance"), "Instance", NULL);

    fake_conductor_put(fake_agent_conductor(fake), instance);
    json_object_update(args, more);
    json_decref(more);
    json_decref(message);
    return with_objects(args);
}

static json_t *arguments(FakeAgent *fake, const Row *row)
{
    json_t *args;

    if (g_strcmp0(row->task, NEW) == 0)
        return boot_arguments(fake, row);
    args = with_objects(args_from(row->args));
    if (g_strcmp0(row->task, "-") == 0)
        return args;
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", row->task);
    return with(args, "instance", fake_agent_instance(fake, UUID));
}

/* ---- what a request begins with ---- */

static void script(FakeAgent *fake)
{
    HttpServer *server = fake_agent_server(fake);

    http_server_json(server, "GET", "/image/v2/images/" IMAGE, 200,
                     "{\"id\":\"" IMAGE "\",\"status\":\"queued\",\"name\":\"s\"}");
    http_server_json(server, "GET", "/image/v2/images?*", 200, "{\"images\":[]}");
    http_server_json(server, "PATCH", "/image/v2/images/" IMAGE, 200, "{}");
    http_server_json(server, "PUT", "/image/v2/images/" IMAGE "/file", 204, "");
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=" UUID "&device_owner=*", 200,
                     "{\"ports\":[]}");
    fake_conductor_answer_action(fake_agent_conductor(fake), "ConsoleAuthToken.authorize",
                                 json_string("token"));
}

static void be_resized(FakeAgent *fake)
{
    send_and_wait(fake, "prep_resize", prep_args(fake, &larger, "vm"));
    fake_agent_assert_row(fake, "vm_state", "resized");
}

/* As prep_resize leaves it to the source. */
static void be_prepared(FakeAgent *fake)
{
    fake_conductor_set_json(fake_agent_conductor(fake), UUID, "new_flavor", make_flavor(&larger));
}

/* As the source leaves it to the destination. */
static void be_moved(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    be_resized(fake);
    assert_true(virt->ops->destroy(virt->self, NULL, UUID, NULL));
    fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", "active");
}

/* As the destination leaves it to the source. */
static void be_sent_back(FakeAgent *fake)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    be_resized(fake);
    assert_true(virt->ops->destroy(virt->self, NULL, UUID, NULL));
}

static void be_offloaded(FakeAgent *fake)
{
    send(fake, "shelve_offload_instance",
         with(args_of(fake, "shelving_offloading"), "clean_shutdown", json_false()));
    fake_agent_wait(fake, UUID);
    fake_agent_assert_row(fake, "vm_state", "shelved_offloaded");
}

/* Has a port on a network that has another address for it. */
static void be_on_network(FakeAgent *fake)
{
    HttpServer *server = fake_agent_server(fake);
    g_autofree char *bound = of_port_c(recorded_put_2);
    g_autofree char *port = port_object(bound);
    g_autofree char *list = g_strconcat("{\"ports\":[", port, "]}", NULL);

    offer_port_c(fake);
    http_server_json(server, "GET", FLOW_NEUTRON "/subnets?network_id=*", 200, recorded_subnets);
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=*", 200, list);
}

static const struct {
    const char *method;
    void (*run)(FakeAgent *fake);
} arranged[] = {
    {"confirm_resize", be_resized},         {"revert_resize", be_resized},
    {"resize_instance", be_prepared},       {"finish_resize", be_moved},
    {"finish_revert_resize", be_sent_back}, {"unshelve_instance", be_offloaded},
    {"attach_interface", offer_port_c},     {"add_fixed_ip_to_instance", be_on_network},
};

static const struct {
    const char *method, *vm_state;
} prepared[] = {
    {"unpause_instance", "paused"},         {"resume_instance", "suspended"},
    {"start_instance", "stopped"},          {"restore_instance", "soft-delete"},
    {"shelve_offload_instance", "shelved"}, {"unrescue_instance", "rescued"},
};

static void prepare(FakeAgent *fake, const char *method)
{
    const VirtDriver *virt = fake_agent(fake)->virt;

    for (size_t i = 0; i < G_N_ELEMENTS(arranged); i++)
        if (strcmp(arranged[i].method, method) == 0)
            arranged[i].run(fake);
    for (size_t i = 0; i < G_N_ELEMENTS(prepared); i++) {
        if (strcmp(prepared[i].method, method) != 0)
            continue;
        fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", prepared[i].vm_state);
        if (strcmp(method, "unpause_instance") == 0)
            assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
        else
            assert_true(virt->ops->power_off(virt->self, NULL, UUID, NULL));
    }
}

static void assert_then(FakeAgent *fake, const char *vm_state)
{
    g_autofree char *is = fake_conductor_field(fake_agent_conductor(fake), UUID, "vm_state");

    if (strcmp(vm_state, "(gone)") == 0) {
        assert_null(is);
        return;
    }
    fake_agent_assert_row(fake, "vm_state", vm_state);
    fake_agent_assert_row(fake, "task_state", "");
}

static void one_row(void **state)
{
    static const char options[] = "shelved_offload_time = -1\nreclaim_instance_interval = 60\n"
                                  "[libvirt]\nwait_soft_reboot_seconds = 0\n";
    const Row *row = *state;
    bool is_new = g_strcmp0(row->task, NEW) == 0;
    FakeAgent *fake = is_new ? fake_agent_new(options) : booted(options);
    g_autofree char *failure = NULL;

    script(fake);
    script_allocations(fake_agent_server(fake));
    prepare(fake, row->method);
    failure = ask_and_wait(fake, row->method, row->version, arguments(fake, row));
    if (g_strcmp0(failure, row->failure) != 0)
        fail_msg("%s %s: %s, expected %s", row->method, row->version, failure ? failure : "success",
                 row->failure ? row->failure : "success");
    fake_agent_wait(fake, UUID);
    if (row->then)
        assert_then(fake, row->then);
    fake_agent_free(fake);
}

/* Of moves between hosts, which have tests of their own. */
static const char *const elsewhere[] = {
    "check_can_live_migrate_destination",
    "check_can_live_migrate_source",
    "live_migration",
    "pre_live_migration",
    "post_live_migration_at_destination",
    "rollback_live_migration_at_destination",
    "drop_move_claim_at_destination",
    "live_migration_force_complete",
    "live_migration_abort",
    "prep_snapshot_based_resize_at_dest",
    "prep_snapshot_based_resize_at_source",
    "finish_snapshot_based_resize_at_dest",
    "confirm_snapshot_based_resize_at_source",
    "revert_snapshot_based_resize_at_dest",
    "finish_revert_snapshot_based_resize_at_source",
    NULL,
};

static bool has_row(const char *method)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].method, method) == 0)
            return true;
    return false;
}

static void every_method_has_a_row(void **state G_GNUC_UNUSED)
{
    size_t count = 0;
    const RpcEndpoint *endpoint = methods_endpoints(false, &count);

    for (size_t i = 0; i < endpoint->method_count; i++)
        if (has_row(endpoint->methods[i].name) ==
            g_strv_contains(elsewhere, endpoint->methods[i].name))
            fail_msg("%s: one row, here or elsewhere", endpoint->methods[i].name);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[G_N_ELEMENTS(rows) + 2];
    size_t count = G_N_ELEMENTS(rows);

    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){rows[i].method, one_row, NULL, NULL, (void *)&rows[i]};
    tests[count] = (struct CMUnitTest)cmocka_unit_test(every_version_is_taken);
    tests[count + 1] = (struct CMUnitTest)cmocka_unit_test(every_method_has_a_row);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
