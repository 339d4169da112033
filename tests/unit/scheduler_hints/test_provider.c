/* Inventory, traits and the provider: which values win, whose traits are whose, and conflicts. */
#include "fixture.h"

#define NODE_UUID "99277029-31f8-4475-a67f-8835f13afc70"

static PlacementInventory item(const char *class, int64_t total, double ratio)
{
    PlacementInventory one = {.total = total,
                              .min_unit = 1,
                              .max_unit = total,
                              .step_size = 1,
                              .allocation_ratio = ratio};

    g_strlcpy(one.resource_class, class, sizeof one.resource_class);
    return one;
}

static const PlacementInventory *class_of(const GArray *inventories, const char *name)
{
    for (guint i = 0; i < inventories->len; i++)
        if (g_str_equal(g_array_index(inventories, PlacementInventory, i).resource_class, name))
            return &g_array_index(inventories, PlacementInventory, i);
    return NULL;
}

static double ratio_of(const TrackerConfig *config, const GArray *current)
{
    const HostFacts facts = {.vcpus = 4, .memory_mib = 1000, .disk_gib = 10};
    g_autoptr(GArray) out = hint_inventory(&facts, config, current);

    return class_of(out, "VCPU")->allocation_ratio;
}

static void option_then_placement_then_initial_ratio(void **state G_GNUC_UNUSED)
{
    g_autoptr(GArray) current = g_array_new(FALSE, FALSE, sizeof(PlacementInventory));
    PlacementInventory vcpu = item("VCPU", 4, 3.5);
    TrackerConfig config = {
        .initial_cpu_ratio = 16.0, .initial_ram_ratio = 1.5, .initial_disk_ratio = 1.0};

    assert_true(ratio_of(&config, NULL) == 16.0);
    assert_true(ratio_of(&config, current) == 16.0);
    g_array_append_val(current, vcpu);
    assert_true(ratio_of(&config, current) == 3.5);
    config.cpu_ratio = 2.0;
    assert_true(ratio_of(&config, current) == 2.0);
}

static void reserved_disk_is_rounded_up_and_empty_classes_are_left_out(void **state G_GNUC_UNUSED)
{
    const HostFacts facts = {.vcpus = 4, .disk_gib = 10};
    const TrackerConfig config = {.reserved_host_disk_mib = 1025, .reserved_host_cpus = 1};
    g_autoptr(GArray) out = hint_inventory(&facts, &config, NULL);

    assert_int_equal(out->len, 2);
    assert_null(class_of(out, "MEMORY_MB"));
    assert_int_equal(class_of(out, "DISK_GB")->reserved, 2);
    assert_int_equal(class_of(out, "VCPU")->reserved, 1);
}

static void inventories_compare_by_class(void **state G_GNUC_UNUSED)
{
    g_autoptr(GArray) a = g_array_new(FALSE, FALSE, sizeof(PlacementInventory));
    g_autoptr(GArray) b = g_array_new(FALSE, FALSE, sizeof(PlacementInventory));
    PlacementInventory vcpu = item("VCPU", 4, 16.0), disk = item("DISK_GB", 10, 1.0);

    g_array_append_val(a, vcpu);
    g_array_append_val(a, disk);
    g_array_append_val(b, disk);
    assert_false(hint_inventory_equal(a, b));
    g_array_append_val(b, vcpu);
    assert_true(hint_inventory_equal(a, b));
    g_array_index(b, PlacementInventory, 1).reserved = 1;
    assert_false(hint_inventory_equal(a, b));
    assert_false(hint_inventory_equal(a, NULL));
}

static GPtrArray *names(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    GPtrArray *out = names_new();

    for (size_t i = 0; words[i]; i++)
        g_ptr_array_add(out, g_strdup(words[i]));
    return out;
}

static void ours_come_and_go_foreign_ones_stay(void **state G_GNUC_UNUSED)
{
    g_autoptr(GPtrArray) facts = names("HW_CPU_X86_AVX COMPUTE_STORAGE_BUS_VIRTIO");
    g_autoptr(GPtrArray) current = names(
        "CUSTOM_RACK_7 HW_CPU_X86_AVX2 COMPUTE_STORAGE_BUS_IDE COMPUTE_STATUS_DISABLED "
        "HW_CPU_X86_PDPE1GB STORAGE_DISK_SSD");
    g_autoptr(GPtrArray)
        want = names("COMPUTE_NODE COMPUTE_STORAGE_BUS_VIRTIO CUSTOM_RACK_7 HW_CPU_X86_AVX "
                     "HW_CPU_X86_PDPE1GB STORAGE_DISK_SSD");
    g_autoptr(GPtrArray) out = hint_traits(facts, current, false);
    g_autoptr(GPtrArray) disabled = hint_traits(facts, current, true);

    assert_true(hint_traits_equal(out, want));
    g_ptr_array_add(want, g_strdup("COMPUTE_STATUS_DISABLED"));
    assert_true(hint_traits_equal(disabled, want));
    for (guint i = 1; i < out->len; i++)
        assert_true(strcmp(out->pdata[i - 1], out->pdata[i]) < 0);
}

/* ---- the provider ---- */

static void a_moved_generation_is_read_again(void **state)
{
    Fixture *fx = *state;

    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    fx->facts.vcpus = 8;
    fx->placement.conflicts = 3;
    audit_ok(fx);
    assert_int_equal(class_of(fx->placement.provider->inventories, "VCPU")->total, 8);
    assert_int_equal(fx->placement.conflicts, 0);
}

static void four_conflicts_are_enough(void **state)
{
    Fixture *fx = *state;
    g_autoptr(GError) err = NULL;

    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    fx->facts.vcpus = 8;
    fx->placement.conflicts = 4;
    assert_false(tracker_audit(fx->tracker, fx->ctx, false, &err));
    assert_int_equal(err->code, DV_E_CONFLICT);
    assert_int_equal(class_of(fx->placement.provider->inventories, "VCPU")->total, 2);
    audit_ok(fx);
    assert_int_equal(class_of(fx->placement.provider->inventories, "VCPU")->total, 8);
}

static void an_operators_ratio_and_trait_survive(void **state)
{
    Fixture *fx = *state;
    PlacementInventory *vcpu;

    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    vcpu = (PlacementInventory *)class_of(fx->placement.provider->inventories, "VCPU");
    vcpu->allocation_ratio = 8.0;
    g_ptr_array_add(fx->placement.provider->traits, g_strdup("CUSTOM_GOLD"));
    fx->placement.provider->generation++;
    fx->clock.now_ms += 300 * 1000;
    fx->facts.memory_mib += 1024;
    g_ptr_array_add(fx->facts.traits, g_strdup("HW_CPU_X86_AVX"));
    audit_ok(fx);
    assert_true(class_of(fx->placement.provider->inventories, "VCPU")->allocation_ratio == 8.0);
    assert_int_equal(class_of(fx->placement.provider->inventories, "MEMORY_MB")->total,
                     fx->facts.memory_mib);
    assert_true(g_ptr_array_find_with_equal_func(fx->placement.provider->traits, "CUSTOM_GOLD",
                                                 g_str_equal, NULL));
    assert_true(g_ptr_array_find_with_equal_func(fx->placement.provider->traits, "HW_CPU_X86_AVX",
                                                 g_str_equal, NULL));
}

static void a_forgotten_provider_is_read_again_once(void **state)
{
    Fixture *fx = *state;
    unsigned gets;

    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    gets = fx->placement.gets;
    audit_ok(fx);
    assert_int_equal(fx->placement.gets, gets);
    tracker_forget_provider(fx->tracker);
    audit_ok(fx);
    audit_ok(fx);
    assert_int_equal(fx->placement.gets, gets + 1);
}

static void a_trait_that_placement_does_not_know_is_asked_for_once(void **state)
{
    Fixture *fx = *state;

    fx->placement.unknown_trait = "COMPUTE_VIOMMU_MODEL_VIRTIO";
    fixture_scene(fx, "startup_empty");
    audit_ok(fx);
    audit_ok(fx);
    audit_ok(fx);
    assert_int_equal(fx->placement.ensures, 1);
    assert_int_equal(fx->placement.trait_puts, 1);
}

/* ---- COMPUTE_STATUS_DISABLED ---- */

static void assert_traits(const Fixture *fx, const char *golden)
{
    json_t *want = json_object_get(json_object_get(fx->golden, "placement"), golden);
    g_autoptr(GPtrArray) expected = names_new();

    fixture_trait(expected, want);
    assert_true(hint_traits_equal(fx->placement.provider->traits, expected));
}

static void disabling_writes_what_nova_compute_writes(void **state)
{
    Fixture *fx = *state;

    fixture_scene(fx, "startup_with_instance");
    audit_ok(fx);
    assert_true(tracker_set_disabled(fx->tracker, fx->ctx, true, NULL));
    assert_traits(fx, "disable_put");
    assert_true(tracker_set_disabled(fx->tracker, fx->ctx, true, NULL)); /* nothing to do */
    assert_int_equal(fx->placement.trait_puts, 2);
    fx->placement.conflicts = 2;
    assert_true(tracker_set_disabled(fx->tracker, fx->ctx, false, NULL));
    assert_traits(fx, "enable_put");
}

static void the_audit_follows_the_service_record(void **state)
{
    Fixture *fx = *state;
    json_t *service;

    fixture_scene(fx, "startup_with_instance");
    audit_ok(fx);
    service = g_hash_table_lookup(fx->conductor.answers, "Service.get_by_host_and_binary");
    json_object_set_new(json_object_get(service, "nova_object.data"), "disabled", json_true());
    audit_ok(fx);
    assert_traits(fx, "disable_put");
    json_object_set_new(json_object_get(service, "nova_object.data"), "disabled", json_false());
    audit_ok(fx);
    assert_traits(fx, "enable_put");
}

static void before_the_first_audit_there_is_nothing_to_disable(void **state)
{
    Fixture *fx = *state;
    g_autoptr(GError) err = NULL;

    assert_false(tracker_set_disabled(fixture_tracker(fx), fx->ctx, true, &err));
    assert_int_equal(err->code, DV_E_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(option_then_placement_then_initial_ratio),
        cmocka_unit_test(reserved_disk_is_rounded_up_and_empty_classes_are_left_out),
        cmocka_unit_test(inventories_compare_by_class),
        cmocka_unit_test(ours_come_and_go_foreign_ones_stay),
        fixture_test(a_moved_generation_is_read_again),
        fixture_test(four_conflicts_are_enough),
        fixture_test(an_operators_ratio_and_trait_survive),
        fixture_test(a_forgotten_provider_is_read_again_once),
        fixture_test(a_trait_that_placement_does_not_know_is_asked_for_once),
        fixture_test(disabling_writes_what_nova_compute_writes),
        fixture_test(the_audit_follows_the_service_record),
        fixture_test(before_the_first_audit_there_is_nothing_to_disable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
