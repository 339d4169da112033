/* objects/migrate_data, on what two nova-computes (Zed) told each other of a block migration. */
#include "objects/migrate_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>

#define RECORDED "tests/unit/objects/data/migrate_data.json"

static Ovo *recorded(void)
{
    Ovo *data = ovo_take(json_load_file(RECORDED, 0, NULL), "LibvirtLiveMigrateData", NULL);

    assert_non_null(data);
    return data;
}

static void a_port_is_bound_on_the_destination(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) data = recorded();
    g_autoptr(NetworkInfo) here = migrate_data_dest_network(data, NULL);
    g_autoptr(NetworkInfo) there = migrate_data_source_network(data, NULL);
    const Vif *vif;

    assert_true(migrate_data_has_vifs(data));
    assert_int_equal(network_info_count(here), network_info_count(there));
    vif = network_info_at(here, 0);
    assert_string_equal(vif->type, "bridge");
    assert_string_equal(vif->vnic_type, "normal");
    assert_true(vif->delegate_create);
    assert_true(vif->port_filter);
    assert_string_equal(vif->address, network_info_at(there, 0)->address);
    assert_string_equal(vif->devname, network_info_at(there, 0)->devname);
}

/* The destination's kind of binding counts, not the source's. */
static void the_kind_of_the_binding_is_the_destinations(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) data = recorded();
    g_autoptr(Ovo) vif = ovo_at(data, "vifs", 0);
    g_autoptr(NetworkInfo) here = NULL;

    ovo_set_str(vif, "vif_type", "ovs");
    ovo_set_str(vif, "vif_details_json", "{\"ovs_hybrid_plug\": true}");
    ovo_set_str(vif, "profile_json", "{}");
    here = migrate_data_dest_network(data, NULL);
    assert_string_equal(network_info_at(here, 0)->type, "ovs");
    assert_true(network_info_at(here, 0)->ovs_hybrid_plug);
    assert_false(network_info_at(here, 0)->port_filter);
    assert_false(network_info_at(here, 0)->delegate_create);
}

/* A port that was nowhere for a moment has no bridge. */
static void what_a_port_is_on_the_source_can_be_said_anew(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) data = recorded();
    g_autoptr(NetworkInfo) now = migrate_data_source_network(data, NULL);
    g_autoptr(Ovo) vif = ovo_at(data, "vifs", 0);
    g_autofree char *other = g_strdup_printf("{\"id\": \"%s\", \"type\": \"unbound\"}",
                                             network_info_at(now, 0)->id);
    g_autoptr(NetworkInfo) there = NULL;

    ovo_set_str(vif, "source_vif", other);
    migrate_data_renew_vifs(data, now);
    there = migrate_data_dest_network(data, NULL);
    assert_string_equal(network_info_at(there, 0)->bridge, network_info_at(now, 0)->bridge);
    assert_string_equal(network_info_at(there, 0)->type, "bridge");
    ovo_set_str(vif, "port_id", "another");
    ovo_set_str(vif, "source_vif", other);
    migrate_data_renew_vifs(data, now);
    assert_string_equal(ovo_str_or(vif, "source_vif", NULL), other);
}

static void a_port_without_a_binding_is_refused(void **state G_GNUC_UNUSED)
{
    static const char *const needed[] = {"vif_type", "vnic_type", "source_vif"};
    static const char *const texts[] = {"vif_details_json", "profile_json", "source_vif"};

    for (size_t i = 0; i < G_N_ELEMENTS(needed); i++) {
        g_autoptr(Ovo) data = recorded();
        g_autoptr(Ovo) vif = ovo_at(data, "vifs", 0);
        g_autoptr(GError) err = NULL;

        ovo_unset(vif, needed[i]);
        assert_null(migrate_data_dest_network(data, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Ovo) data = recorded();
        g_autoptr(Ovo) vif = ovo_at(data, "vifs", 0);
        g_autoptr(GError) err = NULL;

        ovo_set_str(vif, texts[i], "[1");
        assert_null(migrate_data_dest_network(data, &err));
        assert_int_equal(dv_code(err), DV_E_BAD_INPUT);
    }
}

static void a_destination_begins_with_the_sources_ports(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) old = recorded();
    g_autoptr(NetworkInfo) there = migrate_data_source_network(old, NULL);
    g_autoptr(Ovo) data = migrate_data_new(NOVA_2025_1);
    g_autoptr(Ovo) vif = NULL;
    g_autoptr(NetworkInfo) again = NULL;

    assert_string_equal(ovo_version(data), "1.13");
    assert_false(migrate_data_has_vifs(data));
    migrate_data_set_vifs(data, NOVA_2025_1, there);
    vif = ovo_at(data, "vifs", 0);
    assert_string_equal(ovo_str_or(vif, "port_id", ""), network_info_at(there, 0)->id);
    assert_string_equal(ovo_str_or(vif, "profile_json", ""), "{\"os_vif_delegation\": true}");
    assert_true(ovo_changed(vif, "source_vif"));
    assert_true(ovo_changed(data, "vifs"));
    again = migrate_data_source_network(data, NULL);
    assert_string_equal(network_info_at(again, 0)->address, network_info_at(there, 0)->address);
}

static void serial_ports_are_a_list_of_numbers(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) data = migrate_data_new(NOVA_ZED);
    const int ports[] = {10000, 10001};
    int read[2] = {0};
    g_autofree char *text = NULL;

    assert_int_equal(migrate_data_ints(data, "serial_listen_ports", read, 2), 0);
    migrate_data_set_ints(data, "serial_listen_ports", ports, 2);
    text = ovo_text(data);
    assert_non_null(strstr(text, "\"serial_listen_ports\":[10000,10001]"));
    assert_int_equal(migrate_data_ints(data, "serial_listen_ports", read, 1), 2);
    assert_int_equal(read[0], 10000);
    assert_int_equal(read[1], 0);
    migrate_data_ints(data, "serial_listen_ports", read, 2);
    assert_int_equal(read[1], 10001);
}

static void either_sharing_is_sharing(void **state G_GNUC_UNUSED)
{
    g_autoptr(Ovo) data = recorded();

    assert_false(migrate_data_is_shared(data));
    ovo_set_bool(data, "is_shared_block_storage", true);
    assert_true(migrate_data_is_shared(data));
    ovo_set_bool(data, "is_shared_block_storage", false);
    ovo_set_bool(data, "is_shared_instance_path", true);
    assert_true(migrate_data_is_shared(data));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_is_bound_on_the_destination),
        cmocka_unit_test(the_kind_of_the_binding_is_the_destinations),
        cmocka_unit_test(what_a_port_is_on_the_source_can_be_said_anew),
        cmocka_unit_test(a_port_without_a_binding_is_refused),
        cmocka_unit_test(a_destination_begins_with_the_sources_ports),
        cmocka_unit_test(serial_ports_are_a_list_of_numbers),
        cmocka_unit_test(either_sharing_is_sharing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
