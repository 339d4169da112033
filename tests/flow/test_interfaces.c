/* Ports attached to and detached from an instance: what comes, what goes, in which order, and what
 * stays when something refuses. */
#include "flow/interfaces.h"

#define BOTH FLOW_PORT_A " " FLOW_PORT_B " "

static int setup(void **state)
{
    *state = fake_agent_new(NULL);
    boot_two_ports(*state);
    offer_port_c(*state);
    return 0;
}

static int teardown(void **state)
{
    fake_agent_free(*state);
    return 0;
}

static json_t *attach_args(const char *network, const char *port, const char *ip, const char *tag)
{
    return json_pack("{s:s?, s:s?, s:s?, s:s?}", "network_id", network, "port_id", port,
                     "requested_ip", ip, "tag", tag);
}

static int attach(FakeAgent *fake, const char *network, const char *port)
{
    return run_method(fake, "attach_interface", attach_args(network, port, NULL, NULL), NULL);
}

static int detach(FakeAgent *fake, const char *port)
{
    return run_method(fake, "detach_interface", json_pack("{s:s}", "port_id", port), NULL);
}

static unsigned calls(FakeAgent *fake, const char *call)
{
    return fake_conductor_count(fake_agent_conductor(fake), call);
}

static void attach_by_network_makes_a_port(void **state)
{
    FakeAgent *fake = *state;
    json_t *result = NULL;
    g_autofree char *record = NULL;

    assert_int_equal(
        run_method(fake, "attach_interface", attach_args(NET_B, NULL, NULL, NULL), &result), 0);
    assert_string_equal(json_string_value(json_object_get(result, "id")), PORT_C);
    assert_string_equal(json_string_value(json_object_get(result, "address")), MAC_C);
    assert_true(json_is_false(json_object_get(result, "preserve_on_delete")));
    json_decref(result);
    assert_true(guest_has(fake, MAC_C));
    assert_cached(fake, BOTH PORT_C " ");
    record = fake_conductor_last(fake_agent_conductor(fake), "VirtualInterface.create");
    assert_non_null(strstr(record, MAC_C "/" PORT_C "\""));
    fake_agent_assert_row(fake, "device_metadata", "");
    assert_int_equal(calls(fake, "InstanceActionEvent.event_start"), 2);
    assert_int_equal(calls(fake, "InstanceFault.create"), 0);
}

static void attach_asks_for_the_address(void **state)
{
    FakeAgent *fake = *state;
    unsigned before = sent(fake, "POST", FLOW_NEUTRON "/ports");
    const HttpSeen *seen;

    assert_int_equal(
        run_method(fake, "attach_interface", attach_args(NET_B, NULL, "10.78.0.33", NULL), NULL),
        0);
    seen = http_server_seen(fake_agent_server(fake), "POST", FLOW_NEUTRON "/ports", before);
    assert_non_null(strstr(seen->body, "10.78.0.33"));
}

static void port_of_the_user_is_kept(void **state)
{
    FakeAgent *fake = *state;
    const HttpSeen *seen;

    assert_int_equal(attach(fake, NULL, PORT_C), 0);
    assert_true(guest_has(fake, MAC_C));
    assert_int_equal(detach(fake, PORT_C), 0);
    assert_false(guest_has(fake, MAC_C));
    assert_cached(fake, BOTH);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/*"), 0);
    seen = http_server_seen(fake_agent_server(fake), "PUT", FLOW_NEUTRON "/ports/" PORT_C, 1);
    assert_non_null(strstr(seen->body, "\"device_id\":\"\""));
}

static void port_that_nova_made_is_deleted(void **state)
{
    FakeAgent *fake = *state;

    assert_int_equal(attach(fake, NET_B, NULL), 0);
    assert_int_equal(detach(fake, PORT_C), 0);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/" PORT_C), 1);
    assert_int_equal(calls(fake, "VirtualInterface.destroy"), 1);
    assert_cached(fake, BOTH);
}

static void tag_is_told_and_forgotten(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *told = NULL;

    assert_int_equal(
        run_method(fake, "attach_interface", attach_args(NET_B, NULL, NULL, "backup"), NULL), 0);
    told = fake_conductor_field(fake_agent_conductor(fake), UUID, "device_metadata");
    assert_non_null(strstr(told, "NetworkInterfaceMetadata"));
    assert_non_null(strstr(told, "\"backup\""));
    assert_non_null(strstr(told, MAC_C));
    assert_non_null(strstr(told, "PCIDeviceBus"));
    assert_non_null(strstr(told, "\"0000:00:"));
    assert_null(strstr(told, MAC_A));
    assert_int_equal(detach(fake, PORT_C), 0);
    fake_agent_assert_row(fake, "device_metadata", "");
}

static void assert_as_before(FakeAgent *fake)
{
    assert_false(guest_has(fake, MAC_C));
    assert_cached(fake, BOTH);
    assert_int_equal(calls(fake, "InstanceFault.create"), 1);
    fake_agent_assert_row(fake, "vm_state", "active");
    assert_true(pending_add(fake_agent(fake)->ports, PORT_C)); /* nobody holds it */
}

static void guest_that_refuses_gets_nothing(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *fault = NULL;

    fake_virt_fail(fake_agent_virt(fake), "attach_nic", DV_E_HYPERVISOR, 1);
    assert_int_equal(attach(fake, NET_B, NULL), DV_E_INTERFACE_ATTACH);
    assert_as_before(fake);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/" PORT_C), 1);
    assert_int_equal(calls(fake, "VirtualInterface.destroy"), 1);
    fault = fake_conductor_last(fake_agent_conductor(fake), "InstanceFault.create");
    assert_non_null(strstr(fault, "Failed to attach network adapter device to " UUID));
}

static void users_port_is_unbound_after_a_failure(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "attach_nic", DV_E_HYPERVISOR, 1);
    assert_int_equal(attach(fake, NULL, PORT_C), DV_E_INTERFACE_ATTACH);
    assert_as_before(fake);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/*"), 0);
    assert_int_equal(sent(fake, "PUT", FLOW_NEUTRON "/ports/" PORT_C), 2);
}

static void metadata_that_cannot_be_saved_takes_the_device_back(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_fail(fake_agent_conductor(fake), "VirtualInterfaceList.get_by_instance_uuid",
                        "DBConnectionError");
    assert_int_equal(attach(fake, NET_B, NULL), DV_E_INTERFACE_ATTACH);
    assert_as_before(fake);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "detach_nic"), 1);
}

static void cache_that_cannot_be_saved_gives_the_port_back(void **state)
{
    FakeAgent *fake = *state;

    fake_conductor_fail(fake_agent_conductor(fake), "InstanceInfoCache.save", "DBConnectionError");
    assert_int_equal(attach(fake, NET_B, NULL), DV_E_INTERFACE_ATTACH);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/" PORT_C), 1);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "attach_nic"), 0);
    assert_as_before(fake);
}

static void what_neutron_refuses_is_told_as_it_is(void **state)
{
    static const struct {
        int status;
        const char *type;
        int code;
    } rows[] = {
        {409, "IpAddressAlreadyAllocated", DV_E_FIXED_IP_IN_USE},
        {409, "OverQuota", DV_E_PORT_LIMIT},
        {409, "IpAddressGenerationFailure", DV_E_NO_FIXED_IPS},
        {500, "InternalServerError", DV_E_UNAVAILABLE},
    };
    FakeAgent *fake = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *body = g_strdup_printf(
            "{\"NeutronError\":{\"type\":\"%s\",\"message\":\"no\",\"detail\":\"\"}}",
            rows[i].type);

        http_server_json(fake_agent_server(fake), "POST", FLOW_NEUTRON "/port*", rows[i].status,
                         body);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        assert_int_equal(attach(fake, NET_B, NULL), rows[i].code);
        assert_false(guest_has(fake, MAC_C));
    }
    assert_cached(fake, BOTH);
}

static void port_that_is_not_there_is_not_found(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "GET", ASKED_C "*", 200, "{\"ports\":[]}");
    assert_int_equal(attach(fake, NULL, PORT_C), DV_E_PORT_NOT_FOUND);
    assert_as_before(fake);
}

static void attached_twice_the_port_is_in_use(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *bound = of_port_c(recorded_put_2);
    g_autofree char *c = port_object(bound);
    g_autofree char *asked = g_strconcat("{\"ports\":[", c, "]}", NULL);

    assert_int_equal(attach(fake, NULL, PORT_C), 0);
    http_server_json(fake_agent_server(fake), "GET", ASKED_C "*", 200, asked);
    assert_int_equal(attach(fake, NULL, PORT_C), DV_E_PORT_IN_USE);
    assert_true(guest_has(fake, MAC_C));
    assert_cached(fake, BOTH PORT_C " ");
}

static void port_that_another_takes_just_now_is_in_use(void **state)
{
    FakeAgent *fake = *state;

    assert_true(pending_add(fake_agent(fake)->ports, PORT_C));
    assert_int_equal(attach(fake, NULL, PORT_C), DV_E_PORT_IN_USE);
    assert_false(pending_add(fake_agent(fake)->ports, PORT_C)); /* still the other's */
    assert_int_equal(sent(fake, "PUT", FLOW_NEUTRON "/ports/" PORT_C), 0);
}

static void port_of_a_pci_device_is_refused(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *bound = of_port_c(recorded_put_2);
    g_autofree char *c = port_object(bound);
    g_autofree char *direct = with_text(c, "\"binding:vnic_type\":\"normal\"",
                                        "\"binding:vnic_type\":\"direct\"");
    g_autofree char *own = g_strconcat("{\"ports\":[", direct, "]}", NULL);

    http_server_json(fake_agent_server(fake), "GET", FLOW_NEUTRON "/ports?tenant_id=*", 200, own);
    assert_int_equal(attach(fake, NET_B, NULL), DV_E_INTERFACE_PCI_CLAIM);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/" PORT_C), 1);
    assert_as_before(fake);
}

static void port_with_a_guarantee_is_refused(void **state)
{
    FakeAgent *fake = *state;
    g_autofree char *made = of_port_c(recorded_post_2);
    g_autofree char *c = port_object(made);
    g_autofree char *free_c = with_text(c, "\"device_id\":\"" UUID "\"", "\"device_id\":\"\"");
    g_autofree char *qos = with_text(free_c, "\"name\":\"\"",
                                     "\"name\":\"\",\"resource_request\":{\"required\":[\"X\"]}");
    g_autofree char *asked = g_strconcat("{\"ports\":[", qos, "]}", NULL);

    http_server_json(fake_agent_server(fake), "GET", ASKED_C "*", 200, asked);
    assert_int_equal(attach(fake, NULL, PORT_C), DV_E_INTERFACE_RESOURCES);
    assert_int_equal(sent(fake, "PUT", FLOW_NEUTRON "/ports/" PORT_C), 0);
    assert_as_before(fake);
}

static void instance_deleted_meanwhile_is_not_found(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = attach_args(NET_B, NULL, NULL, NULL);
    const AgentMethod *method = methods_find("attach_interface");
    g_autoptr(GError) err = NULL;
    g_autoptr(Ovo) dict = NULL;

    json_object_set_new(args, "instance", fake_agent_instance(fake, UUID));
    dict = ovo_view_dict(args, NULL);
    fake_conductor_remove(fake_agent_conductor(fake), UUID);
    assert_false(
        dispatch_run(fake_agent(fake), method, fake_agent_ctx(fake), dict, false, NULL, &err));
    assert_int_equal(err->code, DV_E_INSTANCE_NOT_FOUND);
    assert_int_equal(sent(fake, "POST", FLOW_NEUTRON "/ports"), 2); /* those of the boot */
    json_decref(args);
}

static void detach_of_an_unknown_port_is_not_found(void **state)
{
    FakeAgent *fake = *state;

    assert_int_equal(detach(fake, PORT_C), DV_E_PORT_NOT_FOUND);
    assert_int_equal(fake_virt_calls(fake_agent_virt(fake), "detach_nic"), 0);
    assert_cached(fake, BOTH);
}

static void guest_that_does_not_let_go_keeps_its_port(void **state)
{
    FakeAgent *fake = *state;

    fake_virt_fail(fake_agent_virt(fake), "detach_nic", DV_E_DEVICE_DETACH, 1);
    assert_int_equal(detach(fake, FLOW_PORT_B), DV_E_INTERFACE_DETACH);
    assert_true(guest_has(fake, MAC_B));
    assert_cached(fake, BOTH);
    assert_int_equal(sent(fake, "DELETE", FLOW_NEUTRON "/ports/*"), 0);
    assert_int_equal(detach(fake, FLOW_PORT_B), 0); /* and can be asked again */
    assert_cached(fake, FLOW_PORT_A " ");
}

static void detach_that_neutron_refuses_can_be_repeated(void **state)
{
    FakeAgent *fake = *state;

    http_server_json(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_B, 500,
                     "{}");
    assert_int_equal(detach(fake, FLOW_PORT_B), DV_E_UNAVAILABLE);
    assert_false(guest_has(fake, MAC_B));
    assert_cached(fake, BOTH);
    http_server_json(fake_agent_server(fake), "DELETE", FLOW_NEUTRON "/ports/" FLOW_PORT_B "*", 204,
                     "");
    assert_int_equal(detach(fake, FLOW_PORT_B), 0);
    assert_cached(fake, FLOW_PORT_A " ");
}

/* What the API sent with the request may be older than the operation before it in the lane. */
static void stale_cache_of_the_request_does_not_matter(void **state)
{
    FakeAgent *fake = *state;
    json_t *args = json_pack("{s:s, s:o}", "port_id", FLOW_PORT_B, "instance",
                             fake_agent_instance(fake, UUID));

    assert_int_equal(attach(fake, NET_B, NULL), 0);
    fake_agent_request(fake, "detach_interface", args);
    fake_agent_wait(fake, UUID);
    assert_cached(fake, FLOW_PORT_A " " PORT_C " ");
}

static void addresses_are_added_and_removed(void **state)
{
    FakeAgent *fake = *state;
    HttpServer *server = fake_agent_server(fake);
    g_autofree char *bound = of_port_c(recorded_put_2);
    g_autofree char *c = port_object(bound);
    g_autofree char *list = g_strconcat("{\"ports\":[", c, "]}", NULL);
    const HttpSeen *seen;

    http_server_json(server, "GET", FLOW_NEUTRON "/subnets?network_id=*", 200, recorded_subnets);
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=*", 200, list);
    assert_int_equal(
        run_method(fake, "add_fixed_ip_to_instance", json_pack("{s:s}", "network_id", NET_B), NULL),
        0);
    seen = http_server_seen(server, "PUT", FLOW_NEUTRON "/ports/" PORT_C, 0);
    assert_non_null(strstr(seen->body, "10.78.0.33"));
    assert_non_null(strstr(seen->body, "a708b613-58af-4cd9-996a-77e39fdfb511"));
    assert_int_equal(run_method(fake, "remove_fixed_ip_from_instance",
                                json_pack("{s:s}", "address", "10.78.0.33"), NULL),
                     0);
    seen = http_server_seen(server, "PUT", FLOW_NEUTRON "/ports/" PORT_C, 1);
    assert_non_null(strstr(seen->body, "\"fixed_ips\":[]"));
}

static void address_that_is_not_there_is_not_found(void **state)
{
    FakeAgent *fake = *state;
    HttpServer *server = fake_agent_server(fake);

    http_server_json(server, "GET", FLOW_NEUTRON "/subnets?network_id=*", 200, "{\"subnets\":[]}");
    http_server_json(server, "GET", FLOW_NEUTRON "/ports?device_id=*", 200, "{\"ports\":[]}");
    assert_int_equal(run_method(fake, "remove_fixed_ip_from_instance",
                                json_pack("{s:s}", "address", "10.78.0.99"), NULL),
                     DV_E_FIXED_IP_NOT_FOUND);
    assert_int_equal(
        run_method(fake, "add_fixed_ip_to_instance", json_pack("{s:s}", "network_id", NET_B), NULL),
        DV_E_INSTANCE_NETWORK_NOT_FOUND);
    assert_int_equal(calls(fake, "InstanceFault.create"), 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(attach_by_network_makes_a_port),
        T(attach_asks_for_the_address),
        T(port_of_the_user_is_kept),
        T(port_that_nova_made_is_deleted),
        T(tag_is_told_and_forgotten),
        T(guest_that_refuses_gets_nothing),
        T(users_port_is_unbound_after_a_failure),
        T(metadata_that_cannot_be_saved_takes_the_device_back),
        T(cache_that_cannot_be_saved_gives_the_port_back),
        T(what_neutron_refuses_is_told_as_it_is),
        T(port_that_is_not_there_is_not_found),
        T(attached_twice_the_port_is_in_use),
        T(port_that_another_takes_just_now_is_in_use),
        T(port_of_a_pci_device_is_refused),
        T(port_with_a_guarantee_is_refused),
        T(instance_deleted_meanwhile_is_not_found),
        T(detach_of_an_unknown_port_is_not_found),
        T(guest_that_does_not_let_go_keeps_its_port),
        T(detach_that_neutron_refuses_can_be_repeated),
        T(stale_cache_of_the_request_does_not_matter),
        T(addresses_are_added_and_removed),
        T(address_that_is_not_there_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
