/* The neutron client: against the recorded answers of a real neutron, and against failures. */
#include "neutron_fixture.h"

#include <jansson.h>

#define NET_A "97b743f8-44ce-490f-bd22-f802a1fa9333"
#define NET_B "5cf5d9a9-b7e5-48b8-8244-6f0f2ad2aa31"
#define OWN_PORTS V2 "/ports?tenant_id=" PROJECT "&device_id=" VM
#define DEVICE_PORTS V2 "/ports?device_id=" VM

static int setup(void **state)
{
    DvCtx *ctx = dv_ctx_new_blank();

    ctx->request_id = g_strdup("req-1");
    ctx->auth_token = g_strdup("users");
    *state = fixture_new(ctx);
    return 0;
}

/* The whole conversation of the recorded boot, each collection asked for once. */
static void script_boot(Fixture *f)
{
    http_server_json(f->server, "GET", V2 "/networks?id=" NET_A "&id=" NET_B, 200,
                     recorded_networks);
    http_server_json(f->server, "POST", V2 "/ports", 201, recorded_post_1);
    http_server_json(f->server, "POST", V2 "/ports", 201, recorded_post_2);
    http_server_json(f->server, "PUT", V2 "/ports/" PORT_A, 200, recorded_put_1);
    http_server_json(f->server, "PUT", V2 "/ports/" PORT_B, 200, recorded_put_2);
    http_server_json(f->server, "GET", OWN_PORTS, 200, recorded_ports);
    http_server_json(f->server, "GET", DEVICE_PORTS, 200, recorded_ports);
    http_server_json(f->server, "GET", V2 "/subnets?id=*", 200, recorded_subnets);
    http_server_json(f->server, "GET", V2 "/ports?network_id=*", 200, recorded_dhcp_ports);
    http_server_json(f->server, "DELETE", V2 "/ports/*", 204, "");
}

static const NetworkRequest two_networks[] = {{.network_id = NET_A}, {.network_id = NET_B}};

static void assert_token(Fixture *f, const char *method, const char *target, const char *token)
{
    const HttpSeen *seen = http_server_seen(f->server, method, target, 0);
    g_autofree char *sent = NULL;

    assert_non_null(seen);
    sent = http_seen_header(seen, "X-Auth-Token");
    assert_string_equal(sent, token);
}

static void assert_body(Fixture *f, const char *method, const char *target, unsigned n,
                        const char *body)
{
    const HttpSeen *seen = http_server_seen(f->server, method, target, n);

    assert_non_null(seen);
    assert_string_equal(seen->body, body);
}

/* Fails with the path of the first difference: key sets and types count, order of keys does not. */
static void compare_json(const char *path, const json_t *got, const json_t *want)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_typeof(got) != json_typeof(want))
        fail_msg("%s: type %d, nova has %d", path, json_typeof(got), json_typeof(want));
    if (json_is_object(want)) {
        json_object_foreach((json_t *)got, key, value)
        {
            if (!json_object_get(want, key))
                fail_msg("%s: nova has no key %s", path, key);
        }
        json_object_foreach((json_t *)want, key, value)
        {
            g_autofree char *below = g_strdup_printf("%s.%s", path, key);

            if (!json_object_get(got, key))
                fail_msg("%s is missing", below);
            compare_json(below, json_object_get(got, key), value);
        }
    } else if (json_is_array(want)) {
        if (json_array_size(got) != json_array_size(want))
            fail_msg("%s: %zu elements, nova has %zu", path, json_array_size(got),
                     json_array_size(want));
        json_array_foreach(want, i, value)
        {
            g_autofree char *below = g_strdup_printf("%s[%zu]", path, i);

            compare_json(below, json_array_get(got, i), value);
        }
    } else if (!json_equal(got, want)) {
        fail_msg("%s: another value than nova's", path);
    }
}

static void a_boot_gives_novas_network_info_key_by_key(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;
    g_autofree char *text = NULL;
    json_t *got;
    json_t *want = json_loads(recorded_network_info, 0, NULL);

    script_boot(f);
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, NULL));
    text = network_info_text(info);
    got = json_loads(text, 0, NULL);
    compare_json("network_info", got, want);
    json_decref(got);
    json_decref(want);
}

static void a_boot_sends_what_nova_sends_as_whom_nova_does(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;

    script_boot(f);
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, NULL));
    assert_body(f, "POST", V2 "/ports", 0,
                "{\"port\":{\"device_id\":\"" VM "\",\"network_id\":\"" NET_A
                "\",\"admin_state_up\":true,\"tenant_id\":\"" PROJECT "\"}}");
    assert_body(f, "PUT", V2 "/ports/" PORT_A, 0,
                "{\"port\":{\"device_id\":\"" VM
                "\",\"device_owner\":\"compute:az1\",\"binding:host_id\":\"vm\"}}");
    assert_token(f, "POST", V2 "/ports", "users");
    assert_token(f, "PUT", V2 "/ports/" PORT_A, "own");
    assert_token(f, "GET", V2 "/networks?id=*", "users");
    assert_token(f, "GET", OWN_PORTS, "own");
    assert_token(f, "GET", V2 "/subnets?id=*", "own");
    assert_int_equal(http_server_count(f->server, "GET", V2 "/subnets*"), 1);
    assert_int_equal(http_server_count(f->server, "GET", V2 "/ports*"), 2);       /* own, DHCP */
    assert_int_equal(http_server_count(f->server, "GET", V2 "/floatingips*"), 0); /* no router */
}

static char *port_text(const char *id, const char *extra)
{
    return g_strdup_printf("{\"id\":\"%s\",\"network_id\":\"" NET_A "\",\"tenant_id\":\"" PROJECT
                           "\",\"mac_address\":\"fa:16:3e:00:00:01\",\"admin_state_up\":true,"
                           "\"status\":\"DOWN\",\"device_id\":\"\",\"device_owner\":\"\","
                           "\"fixed_ips\":[]%s}",
                           id, extra);
}

static void on_port(Fixture *f, const char *method, const char *target, const char *key,
                    const char *id, const char *extra)
{
    g_autofree char *port = port_text(id, extra);
    bool list = g_str_has_suffix(key, "s");
    g_autofree char *body = g_strdup_printf(list ? "{\"%s\":[%s]}" : "{\"%s\":%s}", key, port);

    http_server_json(f->server, method, target, 200, body);
}

static void a_requested_port_is_bound_and_preserved(void **state)
{
    static const NetworkRequest request = {.port_id = PORT_A};
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;

    on_port(f, "GET", V2 "/ports?id=" PORT_A, "ports", PORT_A,
            ",\"binding:profile\":{\"trusted\":\"true\"}");
    http_server_json(f->server, "GET", V2 "/networks?id=" NET_A, 200, recorded_networks);
    on_port(f, "PUT", V2 "/ports/" PORT_A, "port", PORT_A, ",\"binding:vif_type\":\"ovs\"");
    on_port(f, "GET", OWN_PORTS, "ports", PORT_A,
            ",\"binding:vif_type\":\"ovs\",\"binding:vif_details\":{\"ovs_hybrid_plug\":true,"
            "\"bridge_name\":\"br-very-long-name\"}");
    http_server_json(f->server, "GET", V2 "/ports?network_id=*", 200, "{\"ports\":[]}");
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, &request, 1, &info, NULL));
    assert_token(f, "GET", V2 "/ports?id=" PORT_A, "own");
    assert_int_equal(http_server_count(f->server, "POST", V2 "/ports"), 0);
    assert_body(f, "PUT", V2 "/ports/" PORT_A, 0,
                "{\"port\":{\"device_id\":\"" VM "\",\"device_owner\":\"compute:az1\","
                "\"binding:host_id\":\"vm\",\"binding:profile\":{\"trusted\":\"true\"}}}");
    const Vif *vif = network_info_at(info, 0);

    assert_true(vif->preserve_on_delete);
    assert_string_equal(vif->type, "ovs");
    assert_string_equal(vif->ovs_interfaceid, PORT_A);
    assert_string_equal(vif->bridge, "br-very-long-n");
    assert_true(vif->ovs_hybrid_plug);
}

static void unusable_ports_are_refused_before_anything_is_made(void **state)
{
    static const struct {
        const char *extra;
        DvErrorCode code;
    } cases[] = {
        {",\"device_id\":\"another-vm\"", DV_E_PORT_IN_USE},
        {",\"tenant_id\":\"another-project\"", DV_E_PORT_NOT_USABLE},
        {",\"dns_name\":\"another-name\"", DV_E_PORT_NOT_USABLE_DNS},
        {",\"resource_request\":{\"required\":[\"X\"]}", DV_E_INTERFACE_RESOURCES},
        {",\"binding:vif_type\":\"binding_failed\"", DV_E_PORT_BINDING_FAILED},
        {NULL, DV_E_PORT_NOT_FOUND},
    };
    static const NetworkRequest requests[] = {{.network_id = NET_B}, {.port_id = PORT_A}};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        NetworkInfo *info = NULL;

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        if (cases[i].extra)
            on_port(f, "GET", V2 "/ports?id=" PORT_A, "ports", PORT_A, cases[i].extra);
        else
            http_server_json(f->server, "GET", V2 "/ports?id=*", 200, "{\"ports\":[]}");
        assert_false(neutron_allocate(f->s, f->ctx, &f->vm, requests, 2, &info, &err));
        assert_int_equal(dv_code(err), cases[i].code);
        assert_int_equal(http_server_count(f->server, "POST", V2 "/ports"), 0);
        assert_int_equal(http_server_count(f->server, "PUT", "*"), 0);
    }
}

static void without_a_request_the_only_network_serves(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) none = NULL;
    g_autoptr(GError) err = NULL;
    NetworkInfo *info = NULL;

    http_server_json(f->server, "GET", V2 "/networks?tenant_id=" PROJECT "&shared=False", 200,
                     "{\"networks\":[]}");
    http_server_json(f->server, "GET", V2 "/networks?shared=True", 200, "{\"networks\":[]}");
    http_server_json(f->server, "GET", V2 "/networks?shared=True", 200, recorded_networks);
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, NULL, 0, &none, NULL));
    assert_int_equal(network_info_count(none), 0);
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, NULL, 0, &info, &err));
    assert_true(dv_is(err, DV_E_NETWORK_AMBIGUOUS));
}

static void auto_takes_the_one_network_or_makes_a_topology(void **state)
{
    static const NetworkRequest request = {.network_id = "auto"};
    static const char one[] = "{\"networks\":[{\"id\":\"" NET_A
                              "\",\"name\":\"n\",\"tenant_id\":\"" PROJECT
                              "\",\"subnets\":[\"s\"],\"mtu\":1450}]}";
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;

    http_server_json(f->server, "GET",
                     V2 "/networks?tenant_id=" PROJECT "&shared=False&admin_state_up=True", 200,
                     "{\"networks\":[]}");
    http_server_json(f->server, "GET", V2 "/networks?shared=True", 200, "{\"networks\":[]}");
    http_server_json(f->server, "GET", V2 "/auto-allocated-topology/" PROJECT, 200,
                     "{\"auto_allocated_topology\":{\"id\":\"" NET_A "\"}}");
    http_server_json(f->server, "GET", V2 "/networks?id=" NET_A, 200, one);
    on_port(f, "POST", V2 "/ports", "port", PORT_A, "");
    on_port(f, "PUT", V2 "/ports/" PORT_A, "port", PORT_A, "");
    on_port(f, "GET", OWN_PORTS, "ports", PORT_A, "");
    http_server_json(f->server, "GET", V2 "/ports?network_id=*", 200, "{\"ports\":[]}");
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, &request, 1, &info, NULL));
    assert_int_equal(network_info_count(info), 1);
    assert_false(network_info_at(info, 0)->preserve_on_delete);
    assert_int_equal(network_info_at(info, 0)->mtu, 1450);
}

static void a_named_network_must_be_there(void **state)
{
    static const NetworkRequest request = {.network_id = "nowhere"};
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    NetworkInfo *info = NULL;

    http_server_json(f->server, "GET", V2 "/networks?id=nowhere", 200, "{\"networks\":[]}");
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, &request, 1, &info, &err));
    assert_true(dv_is(err, DV_E_NETWORK_NOT_FOUND));
}

static void an_external_network_is_for_admins(void **state)
{
    static const NetworkRequest request = {.network_id = NET_A};
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    NetworkInfo *info = NULL;

    http_server_json(f->server, "GET", V2 "/networks?id=*", 200,
                     "{\"networks\":[{\"id\":\"" NET_A
                     "\",\"router:external\":true,\"shared\":false,\"subnets\":[]}]}");
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, &request, 1, &info, &err));
    assert_true(dv_is(err, DV_E_NETWORK_EXTERNAL));
    g_clear_error(&err);
    f->ctx->is_admin = true;
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, &request, 1, &info, &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT)); /* no subnet: that is another matter */
}

static void security_groups_are_sent_by_id(void **state)
{
    static const char *const groups[] = {"web", "id-db", NULL};
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;

    script_boot(f);
    f->vm.security_groups = groups;
    http_server_json(f->server, "GET",
                     V2 "/security-groups?fields=id&fields=name&tenant_id=" PROJECT, 200,
                     "{\"security_groups\":[{\"id\":\"id-web\",\"name\":\"web\"},"
                     "{\"id\":\"id-db\",\"name\":\"db\"}]}");
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, NULL));
    assert_non_null(strstr(http_server_seen(f->server, "POST", V2 "/ports", 1)->body,
                           "\"security_groups\":[\"id-web\",\"id-db\"]"));
    assert_token(f, "GET", V2 "/security-groups*", "users");
}

static void the_default_group_is_left_to_neutron(void **state)
{
    static const char *const groups[] = {"default", NULL};
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;

    script_boot(f);
    f->vm.security_groups = groups;
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, NULL));
    assert_int_equal(http_server_count(f->server, "GET", V2 "/security-groups*"), 0);
}

static void unknown_and_doubtful_groups_are_refused(void **state)
{
    static const char *const bodies[] = {
        "{\"security_groups\":[]}",
        "{\"security_groups\":[{\"id\":\"1\",\"name\":\"web\"},{\"id\":\"2\",\"name\":\"web\"}]}"};
    static const DvErrorCode codes[] = {DV_E_NOT_FOUND, DV_E_BAD_INPUT};
    static const char *const groups[] = {"web", NULL};
    Fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        g_autoptr(GError) err = NULL;
        NetworkInfo *info = NULL;

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        script_boot(f);
        f->vm.security_groups = groups;
        http_server_json(f->server, "GET", V2 "/security-groups*", 200, bodies[i]);
        assert_false(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, &err));
        assert_int_equal(dv_code(err), codes[i]);
        assert_int_equal(http_server_count(f->server, "POST", V2 "/ports"), 0);
    }
}

static void the_error_types_of_create_are_told_apart(void **state)
{
    static const struct {
        int status;
        const char *type;
        DvErrorCode code;
    } cases[] = {
        {409, "IpAddressGenerationFailure", DV_E_NO_FIXED_IPS},
        {409, "IpAddressInUse", DV_E_FIXED_IP_IN_USE},
        {409, "IpAddressAlreadyAllocated", DV_E_FIXED_IP_IN_USE},
        {400, "InvalidIpForNetwork", DV_E_BAD_INPUT},
        {409, "OverQuota", DV_E_PORT_LIMIT},
        {409, "MacAddressInUse", DV_E_PORT_IN_USE},
        {404, "NetworkNotFound", DV_E_NETWORK_NOT_FOUND},
        {409, "SomethingNew", DV_E_CONFLICT},
    };
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *body = g_strdup_printf(
            "{\"NeutronError\":{\"type\":\"%s\",\"message\":\"because\",\"detail\":\"\"}}",
            cases[i].type);
        g_autoptr(GError) err = NULL;
        NetworkInfo *info = NULL;

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        http_server_json(f->server, "GET", V2 "/networks?id=*", 200, recorded_networks);
        http_server_json(f->server, "POST", V2 "/ports", cases[i].status, body);
        assert_false(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, &err));
        assert_int_equal(dv_code(err), cases[i].code);
        assert_non_null(strstr(err->message, "because"));
    }
}

static void a_failed_create_gives_the_first_port_back(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    NetworkInfo *info = NULL;

    http_server_json(f->server, "GET", V2 "/networks?id=*", 200, recorded_networks);
    http_server_json(f->server, "POST", V2 "/ports", 201, recorded_post_1);
    http_server_json(f->server, "POST", V2 "/ports", 409,
                     "{\"NeutronError\":{\"type\":\"OverQuota\",\"message\":\"quota\"}}");
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_A, 204, "");
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, &err));
    assert_true(dv_is(err, DV_E_PORT_LIMIT));
    assert_int_equal(http_server_count(f->server, "DELETE", V2 "/ports/" PORT_A), 1);
    assert_token(f, "DELETE", V2 "/ports/" PORT_A, "users");
}

static void a_failed_binding_gives_everything_back(void **state)
{
    static const NetworkRequest requests[] = {{.port_id = PORT_A}, {.network_id = NET_B}};
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    NetworkInfo *info = NULL;

    on_port(f, "GET", V2 "/ports?id=" PORT_A, "ports", PORT_A,
            ",\"binding:profile\":{\"pci_slot\":\"0\",\"trusted\":\"true\"}");
    http_server_json(f->server, "GET", V2 "/networks?id=*", 200, recorded_networks);
    http_server_json(f->server, "POST", V2 "/ports", 201, recorded_post_2);
    on_port(f, "PUT", V2 "/ports/" PORT_A, "port", PORT_A, ",\"binding:vif_type\":\"ovs\"");
    on_port(f, "PUT", V2 "/ports/" PORT_B, "port", PORT_B,
            ",\"binding:vif_type\":\"binding_failed\"");
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_B, 204, "");
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, requests, 2, &info, &err));
    assert_true(dv_is(err, DV_E_PORT_BINDING_FAILED));
    assert_int_equal(http_server_count(f->server, "DELETE", V2 "/ports/" PORT_B), 1);
    assert_int_equal(http_server_count(f->server, "DELETE", V2 "/ports/" PORT_A), 0);
    assert_body(f, "PUT", V2 "/ports/" PORT_A, 1,
                "{\"port\":{\"device_id\":\"\",\"device_owner\":\"\",\"binding:host_id\":null,"
                "\"binding:profile\":{\"trusted\":\"true\"}}}");
}

static void a_refused_update_leaves_the_given_port_alone(void **state)
{
    static const NetworkRequest request = {.port_id = PORT_A};
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    NetworkInfo *info = NULL;

    on_port(f, "GET", V2 "/ports?id=" PORT_A, "ports", PORT_A, "");
    http_server_json(f->server, "GET", V2 "/networks?id=*", 200, recorded_networks);
    http_server_json(f->server, "PUT", V2 "/ports/" PORT_A, 409,
                     "{\"NeutronError\":{\"type\":\"MacAddressInUse\",\"message\":\"mac\"}}");
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, &request, 1, &info, &err));
    assert_true(dv_is(err, DV_E_PORT_IN_USE));
    assert_int_equal(http_server_count(f->server, "PUT", "*"), 1);
}

static void dns_names_go_with_the_extension(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = NULL;
    static const char *const extensions[] = {"dns-integration", "router", NULL};

    service_remember(f->s, "extensions", extensions);
    script_boot(f);
    http_server_json(f->server, "GET", V2 "/floatingips?port_id=" PORT_A "&port_id=" PORT_B, 200,
                     "{\"floatingips\":[{\"port_id\":\"" PORT_A
                     "\",\"fixed_ip_address\":\"10.77.0.77\",\"floating_ip_address\":\"192.0.2.9\"}"
                     "]}");
    assert_true(neutron_allocate(f->s, f->ctx, &f->vm, two_networks, 2, &info, NULL));
    assert_body(f, "PUT", V2 "/ports/" PORT_A, 0,
                "{\"port\":{\"device_id\":\"" VM "\",\"device_owner\":\"compute:az1\","
                "\"binding:host_id\":\"vm\",\"dns_name\":\"vm-1\"}}");
    g_autofree char *text = network_info_text(info);

    assert_non_null(strstr(text, "\"floating_ips\": [{\"address\": \"192.0.2.9\", \"type\": "
                                 "\"floating\", \"version\": 4, \"meta\": {}}]"));
}

static NetworkInfo *recorded_info(bool preserve_first)
{
    json_t *list = json_loads(recorded_network_info, 0, NULL);

    if (preserve_first)
        json_object_set_new(json_array_get(list, 0), "preserve_on_delete", json_true());
    return network_info_take(list, NULL);
}

static void deallocate_deletes_ours_and_unbinds_theirs(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) info = recorded_info(true);

    script_boot(f);
    assert_true(neutron_deallocate(f->s, f->ctx, &f->vm, info, NULL, NULL));
    assert_int_equal(http_server_count(f->server, "DELETE", "*"), 1);
    assert_int_equal(http_server_count(f->server, "DELETE", V2 "/ports/" PORT_B), 1);
    assert_body(f, "PUT", V2 "/ports/" PORT_A, 0,
                "{\"port\":{\"device_id\":\"\",\"device_owner\":\"\",\"binding:host_id\":null,"
                "\"binding:profile\":{}}}");
    assert_token(f, "PUT", V2 "/ports/" PORT_A, "own");
}

static void deallocate_spares_requested_ports_and_ignores_what_is_gone(void **state)
{
    static const char *const requested[] = {PORT_B, "held-by-another-instance", NULL};
    Fixture *f = *state;

    script_boot(f);
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_A, 404,
                     "{\"NeutronError\":{\"type\":\"PortNotFound\",\"message\":\"gone\"}}");
    assert_true(neutron_deallocate(f->s, f->ctx, &f->vm, NULL, requested, NULL));
    assert_int_equal(http_server_count(f->server, "PUT", "*"), 1);
    assert_int_equal(http_server_count(f->server, "PUT", V2 "/ports/" PORT_B), 1);
}

static void deallocate_goes_on_after_a_failure_and_reports_it(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;

    script_boot(f);
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_B, 500, "{}");
    assert_false(neutron_deallocate(f->s, f->ctx, &f->vm, NULL, NULL, &err));
    assert_true(dv_is(err, DV_E_UNAVAILABLE));
    assert_int_equal(http_server_count(f->server, "DELETE", "*"), 2);
}

static void an_expired_users_token_does_not_leak_ports(void **state)
{
    Fixture *f = *state;

    script_boot(f);
    http_server_reset(f->server);
    keystone_grant(f->server, "own", 3600);
    http_server_json(f->server, "GET", DEVICE_PORTS, 200, recorded_ports);
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_A, 401, "{}");
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_A, 204, "");
    http_server_json(f->server, "DELETE", V2 "/ports/" PORT_B, 204, "");
    assert_true(neutron_deallocate(f->s, f->ctx, &f->vm, NULL, NULL, NULL));
    g_autofree char *token = http_seen_header(
        http_server_seen(f->server, "DELETE", V2 "/ports/" PORT_A, 1), "X-Auth-Token");

    assert_string_equal(token, "own");
}

static void a_full_refresh_keeps_order_and_marks(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) old = recorded_info(true);
    g_autoptr(NetworkInfo) fresh = NULL;

    script_boot(f);
    http_server_json(f->server, "GET", V2 "/networks*", 200, recorded_networks);
    assert_true(neutron_refresh(f->s, f->ctx, &f->vm, old, NULL, &fresh, NULL));
    assert_int_equal(network_info_count(fresh), 2);
    assert_string_equal(network_info_at(fresh, 0)->id, PORT_A); /* neutron lists B first */
    assert_true(network_info_at(fresh, 0)->preserve_on_delete);
    assert_false(network_info_at(fresh, 1)->preserve_on_delete);
}

static void a_refresh_drops_ports_that_are_gone(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) old = recorded_info(false);
    g_autoptr(NetworkInfo) all = NULL;
    g_autoptr(NetworkInfo) one = NULL;

    http_server_json(f->server, "GET", OWN_PORTS, 200, "{\"ports\":[]}");
    assert_true(neutron_refresh(f->s, f->ctx, &f->vm, old, NULL, &all, NULL));
    assert_int_equal(network_info_count(all), 0);
    assert_true(neutron_refresh(f->s, f->ctx, &f->vm, old, PORT_A, &one, NULL));
    assert_int_equal(network_info_count(one), 1);
    assert_string_equal(network_info_at(one, 0)->id, PORT_B);
}

static void one_port_is_refreshed_without_touching_the_others(void **state)
{
    Fixture *f = *state;
    g_autoptr(NetworkInfo) old = recorded_info(true);
    g_autoptr(NetworkInfo) fresh = NULL;
    g_autofree char *active = g_strdup(recorded_ports);

    for (char *p = active; (p = strstr(p, "\"DOWN\""));)
        memcpy(p, "\"BOOM\"", 6); /* no state that neutron has: not active */
    script_boot(f);
    http_server_json(f->server, "GET", V2 "/networks?id=" NET_A, 200, recorded_networks);
    http_server_json(f->server, "GET", OWN_PORTS "*", 200, active);
    json_object_set_new(network_info_json_at(old, 1), "marker", json_true());
    assert_true(neutron_refresh(f->s, f->ctx, &f->vm, old, PORT_A, &fresh, NULL));
    assert_int_equal(network_info_count(fresh), 2);
    assert_true(network_info_at(fresh, 0)->preserve_on_delete);
    assert_non_null(json_object_get(network_info_json_at(fresh, 1), "marker"));
    assert_int_equal(http_server_count(f->server, "GET", V2 "/networks*"), 1);
}

static void ports_bound_elsewhere_are_bound_here(void **state)
{
    Fixture *f = *state;
    bool changed = true;

    script_boot(f);
    assert_true(neutron_bind_host(f->s, f->ctx, &f->vm, &changed, NULL));
    assert_false(changed);
    assert_int_equal(http_server_count(f->server, "PUT", "*"), 0);
    f->vm.host = "other";
    assert_true(neutron_bind_host(f->s, f->ctx, &f->vm, &changed, NULL));
    assert_true(changed);
    assert_int_equal(http_server_count(f->server, "PUT", "*"), 2);
    assert_body(f, "PUT", V2 "/ports/" PORT_B, 0,
                "{\"port\":{\"binding:host_id\":\"other\",\"device_owner\":\"compute:az1\"}}");
}

static void an_instance_without_project_is_refused(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) err2 = NULL;
    NetworkInfo *info = NULL;

    f->vm.project_id = NULL; /* an empty filter would name all ports of the cloud */
    assert_false(neutron_allocate(f->s, f->ctx, &f->vm, NULL, 0, &info, &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT));
    assert_false(neutron_deallocate(f->s, f->ctx, &f->vm, NULL, NULL, &err2));
    assert_true(dv_is(err2, DV_E_BAD_INPUT));
    assert_int_equal(http_server_count(f->server, NULL, "*"), 0);
}

static void strange_lists_are_errors(void **state)
{
    static const char *const bodies[] = {"{}", "[]", "{\"ports\":{}}", "{\"ports\":[1]}",
                                         "{\"ports\":[{\"id\":7}]}"};
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(bodies); i++) {
        g_autoptr(GError) err = NULL;
        NetworkInfo *info = NULL;

        http_server_reset(f->server);
        keystone_grant(f->server, "own", 3600);
        http_server_json(f->server, "GET", V2 "/extensions", 200, recorded_extensions);
        http_server_json(f->server, "GET", V2 "/networks*", 200, "{\"networks\":[{}]}");
        http_server_json(f->server, "GET", V2 "/ports?network_id=*", 200, "{\"ports\":[null]}");
        http_server_json(f->server, "GET", OWN_PORTS, 200, bodies[i]);
        if (neutron_refresh(f->s, f->ctx, &f->vm, NULL, NULL, &info, &err)) {
            assert_int_equal(network_info_count(info), 0); /* what is no port is left out */
            network_info_free(info);
        } else {
            assert_true(dv_is(err, DV_E_BAD_INPUT));
        }
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_boot_gives_novas_network_info_key_by_key),
        T(a_boot_sends_what_nova_sends_as_whom_nova_does),
        T(a_requested_port_is_bound_and_preserved),
        T(unusable_ports_are_refused_before_anything_is_made),
        T(without_a_request_the_only_network_serves),
        T(auto_takes_the_one_network_or_makes_a_topology),
        T(a_named_network_must_be_there),
        T(an_external_network_is_for_admins),
        T(security_groups_are_sent_by_id),
        T(the_default_group_is_left_to_neutron),
        T(unknown_and_doubtful_groups_are_refused),
        T(the_error_types_of_create_are_told_apart),
        T(a_failed_create_gives_the_first_port_back),
        T(a_failed_binding_gives_everything_back),
        T(a_refused_update_leaves_the_given_port_alone),
        T(dns_names_go_with_the_extension),
        T(deallocate_deletes_ours_and_unbinds_theirs),
        T(deallocate_spares_requested_ports_and_ignores_what_is_gone),
        T(deallocate_goes_on_after_a_failure_and_reports_it),
        T(an_expired_users_token_does_not_leak_ports),
        T(a_full_refresh_keeps_order_and_marks),
        T(a_refresh_drops_ports_that_are_gone),
        T(one_port_is_refreshed_without_touching_the_others),
        T(ports_bound_elsewhere_are_bound_here),
        T(an_instance_without_project_is_refused),
        T(strange_lists_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
