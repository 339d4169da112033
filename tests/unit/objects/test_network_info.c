/* The network info model, on texts that a nova-compute (Zed) stored. */
#include "objects/network_info.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>

/* Two ports as nova's cache held them, on a flat and on a vxlan network. */
static const char two_ports[] =
    "[{\"id\": \"73d86ab9-e033-41c0-b279-c17b6e5dfed0\", \"address\": \"fa:16:3e:cb:6b:b7\", "
    "\"network\": {\"id\": \"97b743f8-44ce-490f-bd22-f802a1fa9333\", \"bridge\": "
    "\"brq97b743f8-44\", \"label\": \"provider\", \"subnets\": [{\"cidr\": \"10.77.0.0/24\", "
    "\"dns\": [], \"gateway\": {\"address\": \"10.77.0.1\", \"type\": \"gateway\", \"version\": 4, "
    "\"meta\": {}}, \"ips\": [{\"address\": \"10.77.0.77\", \"type\": \"fixed\", \"version\": 4, "
    "\"meta\": {}, \"floating_ips\": []}], \"routes\": [], \"version\": 4, \"meta\": "
    "{\"dhcp_server\": \"10.77.0.20\"}}], \"meta\": {\"injected\": false, \"tenant_id\": "
    "\"3900c7d49ef84784b86607ae092a97bc\", \"mtu\": 1500, \"physical_network\": \"provider\", "
    "\"tunneled\": false, \"should_create_bridge\": true}}, \"type\": \"bridge\", \"details\": "
    "{\"connectivity\": \"l2\", \"port_filter\": true, \"bound_drivers\": {\"0\": "
    "\"linuxbridge\"}}, \"devname\": \"tap73d86ab9-e0\", \"ovs_interfaceid\": null, "
    "\"qbh_params\": null, \"qbg_params\": null, \"active\": true, \"vnic_type\": \"normal\", "
    "\"profile\": {}, \"preserve_on_delete\": false, \"delegate_create\": true, \"meta\": {}}, "
    "{\"id\": \"4ac04e8f-646f-45fc-a511-16ef311af6c7\", \"address\": \"fa:16:3e:a0:81:47\", "
    "\"network\": {\"id\": \"5cf5d9a9-b7e5-48b8-8244-6f0f2ad2aa31\", \"bridge\": "
    "\"brq5cf5d9a9-b7\", \"label\": \"private\", \"subnets\": [{\"cidr\": \"10.78.0.0/24\", "
    "\"dns\": [], \"gateway\": {\"address\": null, \"type\": \"gateway\", \"version\": null, "
    "\"meta\": {}}, \"ips\": [{\"address\": \"10.78.0.209\", \"type\": \"fixed\", \"version\": 4, "
    "\"meta\": {}, \"floating_ips\": []}], \"routes\": [], \"version\": 4, \"meta\": "
    "{\"dhcp_server\": \"10.78.0.1\"}}], \"meta\": {\"injected\": false, \"tenant_id\": "
    "\"3900c7d49ef84784b86607ae092a97bc\", \"mtu\": 1450, \"physical_network\": null, "
    "\"tunneled\": true, \"should_create_bridge\": true}}, \"type\": \"bridge\", \"details\": "
    "{\"connectivity\": \"l2\", \"port_filter\": true, \"bound_drivers\": {\"0\": "
    "\"linuxbridge\"}}, \"devname\": \"tap4ac04e8f-64\", \"ovs_interfaceid\": null, "
    "\"qbh_params\": null, \"qbg_params\": null, \"active\": false, \"vnic_type\": \"normal\", "
    "\"profile\": {}, \"preserve_on_delete\": true, \"delegate_create\": true, \"meta\": {}}]";

static void a_stored_text_is_read(void **state G_GNUC_UNUSED)
{
    g_autoptr(NetworkInfo) info = network_info_parse(two_ports, NULL);
    const Vif *vif;

    assert_non_null(info);
    assert_int_equal(network_info_count(info), 2);
    vif = network_info_at(info, 0);
    assert_string_equal(vif->id, "73d86ab9-e033-41c0-b279-c17b6e5dfed0");
    assert_string_equal(vif->address, "fa:16:3e:cb:6b:b7");
    assert_string_equal(vif->type, "bridge");
    assert_string_equal(vif->devname, "tap73d86ab9-e0");
    assert_null(vif->ovs_interfaceid);
    assert_string_equal(vif->vnic_type, "normal");
    assert_true(vif->active);
    assert_false(vif->preserve_on_delete);
    assert_string_equal(vif->network_id, "97b743f8-44ce-490f-bd22-f802a1fa9333");
    assert_string_equal(vif->bridge, "brq97b743f8-44");
    assert_string_equal(vif->label, "provider");
    assert_string_equal(vif->tenant_id, "3900c7d49ef84784b86607ae092a97bc");
    assert_int_equal(vif->mtu, 1500);
    assert_true(vif->port_filter);
    assert_false(vif->ovs_hybrid_plug);
    assert_int_equal(vif->subnet_count, 1);
    assert_string_equal(vif->subnets[0].cidr, "10.77.0.0/24");
    assert_string_equal(vif->subnets[0].gateway, "10.77.0.1");
    assert_string_equal(vif->subnets[0].dhcp_server, "10.77.0.20");
    assert_int_equal(vif->subnets[0].version, 4);
    assert_string_equal(vif->subnets[0].ips[0], "10.77.0.77");
    assert_null(vif->subnets[0].ips[1]);
    assert_null(vif->subnets[0].dns[0]);
    vif = network_info_at(info, 1);
    assert_null(vif->subnets[0].gateway); /* stored as an IP without an address */
    assert_true(vif->preserve_on_delete);
    assert_false(vif->active);
}

static void the_text_survives_a_round_trip(void **state G_GNUC_UNUSED)
{
    g_autoptr(NetworkInfo) info = network_info_parse(two_ports, NULL);
    g_autofree char *text = network_info_text(info);

    assert_string_equal(text, two_ports); /* key order included */
}

static void unknown_keys_survive(void **state G_GNUC_UNUSED)
{
    static const char text[] = "[{\"id\": \"p\", \"address\": \"m\", \"from_the_future\": [1]}]";
    g_autoptr(NetworkInfo) info = network_info_parse(text, NULL);
    g_autofree char *again = network_info_text(info);

    assert_string_equal(again, text);
}

static void routes_dns_and_ipv6_are_read(void **state G_GNUC_UNUSED)
{
    static const char text[] =
        "[{\"id\":\"p\",\"address\":\"m\",\"network\":{\"subnets\":[{\"cidr\":\"2001:db8::/64\","
        "\"dns\":[{\"address\":\"2001:db8::53\"},{\"address\":\"2001:db8::54\"}],\"ips\":[],"
        "\"routes\":[{\"cidr\":\"2001:db8:1::/48\",\"gateway\":{\"address\":\"2001:db8::2\"},"
        "\"interface\":null,\"meta\":{}}],\"meta\":{\"ipv6_address_mode\":\"slaac\"}}]}}]";
    g_autoptr(NetworkInfo) info = network_info_parse(text, NULL);
    const VifSubnet *s = &network_info_at(info, 0)->subnets[0];

    assert_int_equal(s->version, 6);
    assert_string_equal(s->dns[1], "2001:db8::54");
    assert_null(s->dns[2]);
    assert_string_equal(s->ipv6_address_mode, "slaac");
    assert_int_equal(s->route_count, 1);
    assert_string_equal(s->routes[0].cidr, "2001:db8:1::/48");
    assert_string_equal(s->routes[0].gateway, "2001:db8::2");
}

static void find_and_remove_go_by_port(void **state G_GNUC_UNUSED)
{
    g_autoptr(NetworkInfo) info = network_info_parse(two_ports, NULL);
    const char *second = "4ac04e8f-646f-45fc-a511-16ef311af6c7";
    const Vif *kept;

    assert_non_null(network_info_find(info, second));
    assert_false(network_info_remove(info, "nobody"));
    assert_true(network_info_remove(info, "73d86ab9-e033-41c0-b279-c17b6e5dfed0"));
    assert_int_equal(network_info_count(info), 1);
    kept = network_info_at(info, 0);
    assert_string_equal(kept->id, second);
    assert_string_equal(kept->subnets[0].ips[0], "10.78.0.209");
    assert_string_equal(json_string_value(json_object_get(network_info_json_at(info, 0), "id")),
                        second);
    assert_null(network_info_at(info, 1));
}

static void an_empty_list_is_fine(void **state G_GNUC_UNUSED)
{
    g_autoptr(NetworkInfo) info = network_info_new();
    g_autofree char *text = network_info_text(info);

    assert_int_equal(network_info_count(info), 0);
    assert_string_equal(text, "[]");
}

static void other_shapes_are_refused(void **state G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "",     "{}",          "null",
        "[1]",  "[{}]",        "[{\"id\":\"p\"}]",
        "[[]]", "[{\"id\":1}", "[{\"id\":\"p\",\"address\":\"m\",\"network\":{\"subnets\":[7]}}]",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(network_info_parse(texts[i], &err));
        assert_true(dv_is(err, DV_E_BAD_INPUT));
    }
}

static void odd_values_of_members_are_tolerated(void **state G_GNUC_UNUSED)
{
    static const char text[] =
        "[{\"id\":\"p\",\"address\":\"m\",\"network\":{\"subnets\":[{\"ips\":{},\"dns\":[1,null],"
        "\"routes\":[{}],\"version\":\"x\",\"gateway\":null}],\"meta\":{\"mtu\":-5}},\"details\":"
        "null,\"active\":\"yes\"}]";
    g_autoptr(NetworkInfo) info = network_info_parse(text, NULL);
    const Vif *vif = network_info_at(info, 0);

    assert_int_equal(vif->mtu, 0);
    assert_false(vif->active);
    assert_null(vif->subnets[0].ips[0]);
    assert_null(vif->subnets[0].dns[0]);
    assert_int_equal(vif->subnets[0].route_count, 0);
}

static void too_many_vifs_are_refused(void **state G_GNUC_UNUSED)
{
    json_t *list = json_array();
    g_autoptr(GError) err = NULL;

    for (int i = 0; i < 513; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "id", "p", "address", "m"));
    assert_null(network_info_take(list, &err));
    assert_true(dv_is(err, DV_E_BAD_INPUT));
}

static void put_appends_and_replaces(void **state G_GNUC_UNUSED)
{
    g_autoptr(NetworkInfo)
        all = network_info_take(json_pack("[{s:s, s:s}, {s:s, s:s}]", "id", "p1", "address", "m1",
                                          "id", "p2", "address", "m2"),
                                NULL);
    g_autoptr(NetworkInfo) more = network_info_take(
        json_pack("[{s:s, s:s, s:s}]", "id", "p1", "address", "m3", "new", "key"), NULL);
    g_autofree char *text = NULL;
    json_t *value;

    assert_true(network_info_put(all, more, 0, NULL));
    assert_int_equal(network_info_count(all), 2);
    assert_string_equal(network_info_at(all, 0)->id, "p2");
    assert_string_equal(network_info_find(all, "p1")->address, "m3");
    text = network_info_text(all);
    assert_non_null(strstr(text, "\"new\": \"key\""));
    assert_null(strstr(text, "m1"));
    value = network_info_value_at(all, 1);
    assert_true(json_equal(value, network_info_json_at(more, 0)));
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stored_text_is_read),
        cmocka_unit_test(the_text_survives_a_round_trip),
        cmocka_unit_test(unknown_keys_survive),
        cmocka_unit_test(routes_dns_and_ipv6_are_read),
        cmocka_unit_test(find_and_remove_go_by_port),
        cmocka_unit_test(put_appends_and_replaces),
        cmocka_unit_test(an_empty_list_is_fine),
        cmocka_unit_test(other_shapes_are_refused),
        cmocka_unit_test(odd_values_of_members_are_tolerated),
        cmocka_unit_test(too_many_vifs_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
