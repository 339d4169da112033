/* The agent among fakes; see agent.h. It is wired as agent/main.c wires it. */
#include "fakes/agent_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "../unit/services/neutron_recorded.h"
#include "agent/arrivals.h"
#include "agent/lifecycle.h"
#include "agent/live_queue.h"
#include "agent/methods.h"
#include "agent/notify.h"
#include "fakes/keystone.h"
#include "rpc/rpc_priv.h"
#include "util/fs.h"

#define DATA "tests/flow/data/"
#define IMAGE_BYTES 65536
#define WAIT_MS 300000 /* of what takes a second: machines that run tests may be very busy */
#define NET_A "97b743f8-44ce-490f-bd22-f802a1fa9333"
#define NET_B "5cf5d9a9-b7e5-48b8-8244-6f0f2ad2aa31"

/* ---- what the neighbours answer ---- */

static json_t *load(const char *name)
{
    g_autofree char *path = g_strconcat(DATA, name, NULL);
    json_error_t why;
    json_t *json = json_load_file(path, 0, &why);

    if (!json)
        fail_msg("%s: %s", path, why.text);
    return json;
}

static void script_neutron(HttpServer *server)
{
    const char *own = FLOW_NEUTRON
        "/ports?tenant_id=3900c7d49ef84784b86607ae092a97bc&device_id=" FLOW_UUID;

    http_server_json(server, "GET", FLOW_NEUTRON "/extensions", 200, recorded_extensions);
    http_server_json(server, "GET", FLOW_NEUTRON "/networks?id=" NET_A "&id=" NET_B, 200,
                     recorded_networks);
    http_server_json(server, "GET", FLOW_NEUTRON "/networks?id=*", 200, recorded_networks);
    http_server_json(server, "POST", FLOW_NEUTRON "/ports", 201, recorded_post_1);
    http_server_json(server, "POST", FLOW_NEUTRON "/ports", 201, recorded_post_2);
    http_server_json(server, "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_A, 200, recorded_put_1);
    http_server_json(server, "PUT", FLOW_NEUTRON "/ports/" FLOW_PORT_B, 200, recorded_put_2);
    http_server_json(server, "GET", own, 200, recorded_ports);
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=" FLOW_UUID, 200,
                     recorded_ports);
    http_server_json(server, "GET", FLOW_NEUTRON "/subnets?id=*", 200, recorded_subnets);
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?network_id=*", 200, recorded_dhcp_ports);
    http_server_json(server, "DELETE", FLOW_NEUTRON "/ports/*", 204, "");
    http_server_json(server, "GET", FLOW_NEUTRON "/security-groups?id=*", 200,
                     "{\"security_groups\":[{\"id\":\"9d7c8de4-b507-46b7-a9f0-ee95cbea220b\","
                     "\"name\":\"default\"}]}");
}

static void script_glance(HttpServer *server)
{
    g_autofree char *record = g_strdup_printf(
        "{\"id\":\"" FLOW_IMAGE "\",\"status\":\"active\",\"size\":%d,\"disk_format\":\"raw\","
        "\"container_format\":\"bare\",\"min_disk\":0,\"min_ram\":0}",
        IMAGE_BYTES);
    g_autofree char *data = g_malloc0(IMAGE_BYTES);

    http_server_json(server, "GET", FLOW_GLANCE, 200, record);
    http_server_on(server, "GET", FLOW_GLANCE "/file",
                   &(HttpAnswer){.body = data, .length = IMAGE_BYTES});
}

static void script_placement(HttpServer *server, const char *uuid)
{
    static const struct {
        const char *method, *rest, *body;
    } rows[] = {
        {"GET", "", "{\"uuid\":\"%s\",\"name\":\"" FLOW_NODE "\",\"generation\":1}"},
        {"GET", "/inventories", "{\"resource_provider_generation\":1,\"inventories\":{}}"},
        {"PUT", "/inventories", "{\"resource_provider_generation\":1,\"inventories\":{}}"},
        {"GET", "/traits", "{\"resource_provider_generation\":1,\"traits\":[]}"},
        {"PUT", "/traits", "{\"resource_provider_generation\":1,\"traits\":[]}"},
        {"GET", "/allocations", "{\"resource_provider_generation\":1,\"allocations\":{}}"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *target = g_strconcat(FLOW_PLACEMENT "/resource_providers/", uuid,
                                              rows[i].rest, NULL);
        g_auto(GStrv) parts = g_strsplit(rows[i].body, "%s", -1);
        g_autofree char *body = g_strjoinv(uuid, parts);

        http_server_json(server, rows[i].method, target, 200, body);
    }
    http_server_json(server, "GET", FLOW_PLACEMENT "/traits?name=*", 200,
                     "{\"traits\":[\"COMPUTE_NODE\",\"HW_CPU_X86_SSE\",\"HW_CPU_X86_SSE2\","
                     "\"COMPUTE_IMAGE_TYPE_QCOW2\"]}");
    http_server_json(server, "DELETE", FLOW_PLACEMENT "/allocations/*", 204, "");
}

/* ---- wiring ---- */

static DvConfig *make_options(FakeAgent *fake, const char *more)
{
    const char *files[] = {NULL, NULL};
    g_autofree char *path = g_build_filename(fake->folder, "nova.conf", NULL);
    g_autofree char *text = g_strdup_printf(
        "[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\nhost = %s\nmy_ip = 127.0.0.1\n"
        "state_path = %s\ninstances_path = %s/instances\n"
        "vif_plugging_timeout = 0\n"
        "[filter_scheduler]\ntrack_instance_changes = false\n"
        "[libvirt]\nvirt_type = qemu\n"
        "[DEFAULT]\n%s",
        fake->host, fake->folder, fake->folder, more ? more : "");
    g_autofree char *instances = g_build_filename(fake->folder, "instances", NULL);
    g_autoptr(GError) err = NULL;
    DvConfig *options;

    files[0] = path;
    assert_true(dv_mkdirs(instances, 0755, NULL));
    assert_true(dv_write_file(path, text, strlen(text), 0600, NULL));
    options = options_load(files, NULL, &err);
    if (!options)
        fail_msg("%s", err->message);
    return options;
}

static bool host_facts(void *arg, HostFacts **out, GError **err)
{
    const Agent *agent = arg;

    return agent->virt->ops->host_facts(agent->virt->self, out, err);
}

static void name_host(Agent *agent, const char *name)
{
    HostFacts *facts = NULL;

    assert_true(host_facts(agent, &facts, NULL));
    g_free(facts->hypervisor_hostname);
    facts->hypervisor_hostname = g_strdup(name);
    fake_virt_set_facts(fake_virt(agent->virt), facts);
    host_facts_free(facts);
}

static Service *service(FakeAgent *fake, const char *name, const char *type)
{
    ServiceConfig config = keystone_config(fake->server, name, type);
    Service *made = service_new(fake->agent.http, &config, NULL);

    assert_non_null(made);
    return made;
}

static void wire_services(FakeAgent *fake)
{
    Agent *agent = &fake->agent;
    ConductorTransport transport = fake_conductor_transport(fake->conductor);

    keystone_grant(fake->server, "own", 3600);
    agent->http = http_client_new();
    agent->con = conductor_new_with(&transport, NOVA_ZED);
    agent->placement = service(fake, "placement", "placement");
    agent->neutron = service(fake, "neutron", "network");
    agent->glance = service(fake, "glance", "image");
    fake->barbican_config.endpoint_override = http_server_url(fake->server);
    agent->barbican = service_new(agent->http, &fake->barbican_config, NULL);
    assert_non_null(agent->barbican);
    agent->vendordata = vendordata_new(agent->http, &fake->vendordata_config, NULL);
    assert_non_null(agent->vendordata);
}

static void wire_rpc(FakeAgent *fake)
{
    const RpcConfig config = {
        .transport_url = "rabbit://u:p@localhost/",
        .control_exchange = "nova",
        .transient_queues_ttl_s = 1800,
        .missing_consumer_retry_s = 60,
        .response_timeout_ms = 60000,
    };
    const PeerTransport transport = fake_peers_transport(fake);
    size_t count = 0;
    const RpcEndpoint *endpoints = methods_endpoints(false, &count);

    fake->agent.rpc = rpc_new(&config, fake->agent.timer, NULL);
    fake->agent.peers = peers_new_with(&transport, &(PeerTimes){60000, 1800000});
    fake->rpc_server = rpc_serve(fake->agent.rpc, "compute", fake->host, endpoints, count,
                                 dispatch_request, &fake->agent, NULL);
    assert_non_null(fake->rpc_server);
    assert_true(notifier_new(&fake->agent.config.notify, NULL, fake->agent.rpc, fake->agent.timer,
                             &fake->agent.notifier, NULL));
}

static void wire(FakeAgent *fake)
{
    enum { FAKE_WORKERS = 4 };
    static const char *const names[POOL_COUNT] = {"general", "build",    "snapshot",
                                                  "migrate", "periodic", "beat"};
    Agent *agent = &fake->agent;

    agent->timer = dv_timer_new();
    agent->lanes = dv_lanes_new();
    agent->gate = gate_new();
    agent->waits = waits_new();
    agent->refreshes = pending_new();
    agent->ports = pending_new();
    agent->saves = pending_new();
    agent->live = live_queue_new(FAKE_WORKERS);
    agent->arrivals = arrivals_new(dv_clock_real());
    for (size_t i = 0; i < POOL_COUNT; i++)
        agent->pools[i] = dv_pool_new(names[i], FAKE_WORKERS);
    agent->disks = disks_new(&agent->disks_config);
    agent->virt_config.disks = agent->disks;
    agent->virt = virt_fake_new(&agent->virt_config);
    agent->virt->ops->set_event_sink(agent->virt->self, lifecycle_event, agent);
    name_host(agent, fake->host);
    wire_services(fake);
    wire_rpc(fake);
    agent->tracker = tracker_new(&fake->tracker_config, agent->con, agent->placement, host_facts,
                                 agent);
}

static void first_audit(FakeAgent *fake)
{
    json_t *answers = load("conductor.json");
    json_t *list = json_object_get(answers, "ComputeNodeList.get_all_by_host");
    json_t *nodes = json_object_get(json_object_get(list, "nova_object.data"), "objects");
    json_t *node = json_object_get(json_array_get(nodes, 0), "nova_object.data");
    g_autoptr(GError) err = NULL;
    const char *call;
    json_t *answer;

    json_object_set_new(node, "host", json_string(fake->host));
    json_object_set_new(node, "hypervisor_hostname", json_string(fake->host));
    if (!fake->guest_of)
        script_placement(fake->server, json_string_value(json_object_get(node, "uuid")));
    json_object_foreach(answers, call, answer)
    {
        fake_conductor_answer(fake->conductor, call, json_incref(answer));
    }
    json_decref(answers);
    if (!tracker_audit(fake->agent.tracker, fake->ctx, true, &err))
        fail_msg("the first audit: %s", err->message);
}

/* Its conductor and HTTP server are there. */
static void make(FakeAgent *fake, const char *options)
{
    Agent *agent = &fake->agent;
    g_autoptr(GError) err = NULL;

    fake->folder = g_dir_make_tmp("flow-XXXXXX", NULL);
    fake_peers_init(&fake->peers);
    dv_mutex_init(&fake->rpc_lock);
    fake->ctx = dv_ctx_new_admin();
    fake->options = make_options(fake, options);
    options_tracker(fake->options, &fake->tracker_config);
    if (!options_agent(fake->options, &agent->config, &err) ||
        !options_virt(fake->options, &agent->virt_config, &err) ||
        !options_disks(fake->options, &agent->disks_config, &err) ||
        !options_barbican(fake->options, &fake->barbican_user, &fake->barbican_config, &err) ||
        !options_vendordata(fake->options, &fake->vendordata_config, &err))
        fail_msg("%s", err->message);
    agent->pointer_model = dv_config_str(fake->options, "DEFAULT", "pointer_model");
    wire(fake);
}

FakeAgent *fake_agent_new_unstarted(const char *options)
{
    FakeAgent *fake = g_new0(FakeAgent, 1);

    fake->host = FLOW_NODE;
    fake->conductor = fake_conductor_new();
    fake->server = http_server_new();
    make(fake, options);
    script_neutron(fake->server);
    script_glance(fake->server);
    return fake;
}

FakeAgent *fake_agent_new(const char *options)
{
    FakeAgent *fake = fake_agent_new_unstarted(options);

    first_audit(fake);
    gate_open(fake->agent.gate);
    return fake;
}

/* What conductor answers about compute nodes is those of the host that asked first. */
FakeAgent *fake_agent_new_beside(FakeAgent *first, const char *host, const char *options)
{
    FakeAgent *fake = g_new0(FakeAgent, 1);

    fake->host = host;
    fake->guest_of = true;
    fake->conductor = first->conductor;
    fake->server = first->server;
    make(fake, options);
    first_audit(fake);
    first_audit(first);
    fake->other = first;
    first->other = fake;
    fake_virt_add_peer(fake_virt(fake->agent.virt), first->host, fake_virt(first->agent.virt));
    fake_virt_add_peer(fake_virt(first->agent.virt), host, fake_virt(fake->agent.virt));
    gate_open(fake->agent.gate);
    return fake;
}

void fake_agent_free(FakeAgent *fake)
{
    Agent *agent = &fake->agent;

    waits_cancel(agent->waits, NULL);
    for (size_t i = 0; i < POOL_COUNT; i++)
        assert_true(dv_pool_stop(agent->pools[i], dv_now_ms() + WAIT_MS));
    virt_driver_free(agent->virt);
    tracker_free(agent->tracker);
    vendordata_free(agent->vendordata);
    service_free(agent->barbican);
    service_free(agent->glance);
    service_free(agent->neutron);
    service_free(agent->placement);
    conductor_free(agent->con);
    dv_lanes_free(agent->lanes);
    for (size_t i = 0; i < POOL_COUNT; i++)
        dv_pool_free(agent->pools[i]);
    dv_timer_free(agent->timer);
    peers_free(agent->peers);
    notifier_free(agent->notifier);
    rpc_free(agent->rpc);
    disks_free(agent->disks);
    http_client_free(agent->http);
    live_queue_free(agent->live);
    arrivals_free(agent->arrivals);
    pending_free(agent->saves);
    pending_free(agent->ports);
    pending_free(agent->refreshes);
    waits_free(agent->waits);
    gate_free(agent->gate);
    dv_config_free(fake->options);
    if (!fake->guest_of) {
        http_server_free(fake->server);
        fake_conductor_free(fake->conductor);
    }
    dv_ctx_unref(fake->ctx);
    fake_peers_done(&fake->peers);
    dv_mutex_done(&fake->rpc_lock);
    dv_remove_tree(fake->folder, NULL);
    g_free(fake->folder);
    g_free(fake);
}

Agent *fake_agent(FakeAgent *fake)
{
    return &fake->agent;
}

FakeConductor *fake_agent_conductor(FakeAgent *fake)
{
    return fake->conductor;
}

HttpServer *fake_agent_server(FakeAgent *fake)
{
    return fake->server;
}

FakeVirt *fake_agent_virt(FakeAgent *fake)
{
    return fake_virt(fake->agent.virt);
}

const DvCtx *fake_agent_ctx(FakeAgent *fake)
{
    return fake->ctx;
}

/* ---- requests ---- */

json_t *fake_agent_boot_request(void)
{
    return load("boot.json");
}

json_t *fake_agent_data(json_t *request, const char *object)
{
    json_t *member = json_object_get(json_object_get(request, "args"), object);
    json_t *data = json_object_get(member, "nova_object.data");

    return data ? data : member;
}

/* As rpc-listen does with a message. */
static void deliver(FakeAgent *fake, json_t *message)
{
    g_autofree char *unique = NULL;
    size_t length = 0;
    RpcLinkEvent event = {.type = RPC_LINK_DELIVERY};

    dv_lock(&fake->rpc_lock);
    unique = g_strdup_printf("u%u", ++fake->sent);
    json_object_set_new(message, "_unique_id", json_string(unique));
    event.body = rpc_envelope_write(message, &length);
    event.length = length;
    rpc_server_message(fake->rpc_server, &event);
    rpc_link_event_done(&event);
    json_decref(message);
    dv_unlock(&fake->rpc_lock);
}

json_t *fake_agent_instance(FakeAgent *fake, const char *uuid)
{
    static const char *const attrs[] = {NULL};
    g_autoptr(Ovo) instance = NULL;

    assert_true(conductor_instance_get(fake->agent.con, fake->ctx, uuid, attrs, &instance, NULL));
    return ovo_json(instance);
}

json_t *fake_agent_object(const char *name, const char *version, json_t *data)
{
    return json_pack("{s:s, s:s, s:s, s:o}", "nova_object.name", name, "nova_object.namespace",
                     "nova", "nova_object.version", version, "nova_object.data", data);
}

void fake_agent_request(FakeAgent *fake, const char *method, json_t *args)
{
    json_t *message = load("boot.json");

    json_object_set_new(message, "method", json_string(method));
    json_object_set_new(message, "args", args);
    deliver(fake, message);
}

void fake_agent_boot(FakeAgent *fake, json_t *request)
{
    json_t *instance = json_object_get(json_object_get(request, "args"), "instance");
    g_autoptr(Ovo) row = ovo_view(instance, "Instance", NULL);

    assert_non_null(row);
    fake_conductor_put(fake->conductor, row);
    deliver(fake, request);
}

void fake_agent_terminate(FakeAgent *fake, const char *uuid)
{
    static const char *const attrs[] = {NULL};
    g_autoptr(Ovo) instance = NULL;
    json_t *message = load("boot.json");

    fake_conductor_set(fake->conductor, uuid, "task_state", "deleting");
    assert_true(conductor_instance_get(fake->agent.con, fake->ctx, uuid, attrs, &instance, NULL));
    json_object_set_new(message, "method", json_string("terminate_instance"));
    json_object_set_new(message, "args",
                        json_pack("{s:o, s:[]}", "instance", ovo_json(instance), "bdms"));
    deliver(fake, message);
}

void fake_agent_port_event(FakeAgent *fake, const char *name, const char *port, const char *status)
{
    json_t *message = load("boot.json");
    json_t *event = json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "nova_object.name",
                              "InstanceExternalEvent", "nova_object.namespace", "nova",
                              "nova_object.version", "1.5", "nova_object.data", "instance_uuid",
                              FLOW_UUID, "name", name, "tag", port, "status", status);

    json_object_set_new(message, "method", json_string("external_instance_event"));
    json_object_set_new(message, "args", json_pack("{s:[], s:[o]}", "instances", "events", event));
    deliver(fake, message);
}

void fake_agent_deliver(FakeAgent *fake, json_t *message)
{
    json_t *with_context = load("boot.json");

    json_object_update(with_context, message);
    json_decref(message);
    deliver(fake, with_context);
}

/* ---- looking at it ---- */

void fake_agent_wait(FakeAgent *fake, const char *uuid)
{
    int64_t end_ms = dv_now_ms() + WAIT_MS;

    while (dv_lanes_depth(fake->agent.lanes, uuid) > 0) {
        if (dv_now_ms() > end_ms)
            fail_msg("instance %s is still busy", uuid);
        g_usleep(2000);
    }
}

void fake_agent_wait_live(FakeAgent *fake, const char *uuid)
{
    fake_agent_wait(fake, uuid);
    if (!live_queue_wait_gone(fake->agent.live, uuid, WAIT_MS))
        fail_msg("instance %s is still migrating", uuid);
    if (fake->other)
        fake_agent_wait(fake->other, uuid);
}

const char *fake_agent_instances_path(FakeAgent *fake)
{
    return fake->agent.config.instances_path;
}

bool fake_agent_has_disks(FakeAgent *fake, const char *uuid)
{
    return fake_agent_has_file(fake, uuid, "");
}

bool fake_agent_has_file(FakeAgent *fake, const char *uuid, const char *name)
{
    g_autofree char *folder = disks_instance_dir(fake->agent.disks, uuid);
    g_autofree char *path = g_build_filename(folder, name, NULL);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

unsigned fake_agent_allocations_deleted(FakeAgent *fake)
{
    return http_server_count(fake->server, "DELETE", FLOW_PLACEMENT "/allocations/*");
}

void fake_agent_assert_row(FakeAgent *fake, const char *field, const char *text)
{
    g_autofree char *is = fake_conductor_field(fake->conductor, FLOW_UUID, field);

    if (!is)
        fail_msg("the instance is gone");
    if (strcmp(is, text) != 0)
        fail_msg("%s is '%s', not '%s'", field, is, text);
}
