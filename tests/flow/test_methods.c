/* Every method of the compute API that concerns one host, with the arguments that each version of
 * the API sends, as messages: each is taken at every version, carried out, and answered as nova's
 * libvirt driver answers it. Sources: docs/wire/compute.md; nova compute/rpcapi.py (Zed to 2026.1).
 */
#include "flow/reply.h"
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
    const char *args;    /* besides the instance; ' stands for " */
    const char *failure; /* the exception that is answered, NULL: none */
} Row;

/* clang-format off */
static const Row rows[] = {
    {"stop_instance", "6.5", "powering-off", "{'clean_shutdown':false}", NULL},
    {"start_instance", "6.5", "powering-on", "{}", NULL},
    {"reboot_instance", "6.5", "rebooting_hard", "{'block_device_info':null,'reboot_type':'HARD'}", NULL},
    {"pause_instance", "6.5", "pausing", "{}", NULL},
    {"unpause_instance", "6.5", "unpausing", "{}", NULL},
    {"suspend_instance", "6.5", "suspending", "{}", NULL},
    {"resume_instance", "6.5", "resuming", "{}", NULL},
    {"soft_delete_instance", "6.5", "soft-deleting", "{}", NULL},
    {"restore_instance", "6.5", "restoring", "{}", NULL},
    {"trigger_crash_dump", "6.5", NULL, "{}", NULL},
    {"rescue_instance", "6.5", "rescuing", "{'rescue_password':'x','rescue_image_ref':null,'clean_shutdown':false}", NULL},
    {"unrescue_instance", "6.5", "unrescuing", "{}", NULL},
    {"inject_network_info", "6.5", NULL, "{}", NULL},
    {"snapshot_instance", "6.5", "image_snapshot_pending", "{'image_id':'" IMAGE "'}", NULL},
    {"backup_instance", "6.5", "image_backup", "{'image_id':'" IMAGE "','backup_type':'daily','rotation':1}", NULL},
    {"quiesce_instance", "6.5", NULL, "{}", NO_AGENT},
    {"unquiesce_instance", "6.0", NULL, "{}", NO_AGENT},
    {"unquiesce_instance", "6.5", NULL, "{'mapping':[]}", NO_AGENT},
    {"set_admin_password", "6.5", "updating_password", "{'new_pass':'x'}", NO_AGENT},
    {"get_diagnostics", "6.5", NULL, "{}", NULL},
    {"get_instance_diagnostics", "6.5", NULL, "{}", NULL},
    {"get_console_output", "6.5", NULL, "{'tail_length':null}", NULL},
    {"get_console_output", "6.5", NULL, "{'tail_length':3}", NULL},
    {"get_vnc_console", "6.5", NULL, "{'console_type':'novnc'}", NULL},
    {"get_vnc_console", "6.5", NULL, "{'console_type':'other'}", NOVA "ConsoleTypeInvalid"},
    {"get_spice_console", "6.5", NULL, "{'console_type':'spice-html5'}", UNAVAILABLE},
    {"get_serial_console", "6.5", NULL, "{'console_type':'serial'}", UNAVAILABLE},
    {"get_rdp_console", "6.5", NULL, "{'console_type':'rdp-html5'}", UNAVAILABLE},
    {"get_mks_console", "6.5", NULL, "{'console_type':'webmks'}", UNAVAILABLE},
    {"validate_console_port", "6.5", NULL, "{'port':'5900','console_type':'novnc'}", NULL},
    {"get_host_uptime", "6.5", "-", "{}", NULL},
    {"host_power_action", "6.5", "-", "{'action':'reboot'}", NOT_IMPLEMENTED},
    {"host_maintenance_mode", "6.5", "-", "{'host':'vm','mode':true}", NOT_IMPLEMENTED},
    {"set_host_enabled", "6.5", "-", "{'enabled':true}", NULL},
    {"cache_images", "6.5", "-", "{'image_ids':['" IMAGE "']}", NULL},
    {"external_instance_event", "6.5", "-", "{'instances':[],'events':[]}", NULL},
    {"check_instance_shared_storage", "6.5", "-", "{'data':{'filename':'/nowhere/x'}}", NULL},
    {"check_instance_shared_storage", "5.13", NULL, "{'data':{'filename':'/nowhere/x'}}", NULL},
    {"detach_interface", "6.5", NULL, "{'port_id':'" IMAGE "'}", NOVA "PortNotFound"},
    {"remove_fixed_ip_from_instance", "6.5", NULL, "{'address':'192.0.2.1'}", NOVA "FixedIpNotFoundForInstance"},
    {"shelve_instance", "6.5", "shelving", "{'image_id':'" IMAGE "','clean_shutdown':false,'accel_uuids':[]}", NULL},
    {"shelve_instance", "5.12", "shelving", "{'image_id':'" IMAGE "','clean_shutdown':false}", NULL},
    {"shelve_offload_instance", "6.5", "shelving_offloading", "{'clean_shutdown':false,'accel_uuids':[]}", NULL},
    {"shelve_offload_instance", "5.12", "shelving_offloading", "{'clean_shutdown':false}", NULL},
    {"terminate_instance", "6.5", "deleting", "{'bdms':[]}", NULL},
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

/* ---- asking over the wire ---- */

static json_t *arguments(FakeAgent *fake, const Row *row)
{
    json_t *args = args_from(row->args);

    if (g_strcmp0(row->task, "-") == 0)
        return args;
    fake_conductor_set(fake_agent_conductor(fake), UUID, "task_state", row->task);
    return with(args, "instance", fake_agent_instance(fake, UUID));
}

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

static const struct {
    const char *method, *vm_state;
} prepared[] = {
    {"unpause_instance", "paused"},         {"resume_instance", "suspended"},
    {"start_instance", "stopped"},          {"restore_instance", "soft-delete"},
    {"shelve_offload_instance", "shelved"}, {"unrescue_instance", "rescued"},
};

static void one_row(void **state)
{
    const Row *row = *state;
    const char *version = row->version;
    FakeAgent *fake = booted(
        "shelved_offload_time = -1\n[libvirt]\nwait_soft_reboot_seconds = 0\n");
    const VirtDriver *virt = fake_agent(fake)->virt;
    g_autofree char *failure = NULL;

    script(fake);
    for (size_t i = 0; i < G_N_ELEMENTS(prepared); i++) {
        if (strcmp(prepared[i].method, row->method) != 0)
            continue;
        fake_conductor_set(fake_agent_conductor(fake), UUID, "vm_state", prepared[i].vm_state);
        if (strcmp(row->method, "unpause_instance") == 0)
            assert_true(virt->ops->pause(virt->self, NULL, UUID, NULL));
        else
            assert_true(virt->ops->power_off(virt->self, NULL, UUID, NULL));
    }
    failure = ask_and_wait(fake, row->method, version, arguments(fake, row));
    if (g_strcmp0(failure, row->failure) != 0)
        fail_msg("%s %s: %s, expected %s", row->method, version, failure ? failure : "success",
                 row->failure ? row->failure : "success");
    fake_agent_wait(fake, UUID);
    fake_agent_free(fake);
}

int main(void)
{
    struct CMUnitTest tests[G_N_ELEMENTS(rows) + 1];

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        tests[i] = (struct CMUnitTest){rows[i].method, one_row, NULL, NULL, (void *)&rows[i]};
    tests[G_N_ELEMENTS(rows)] = (struct CMUnitTest)cmocka_unit_test(every_version_is_taken);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
