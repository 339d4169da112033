/* Capabilities, traits and the JSON of the compute node record: from captured answers of libvirt to
 * what nova-compute reported on that host. */
#include "virt/libvirt/caps.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DATA "tests/unit/virt/data/"

static char *read_text(const char *path)
{
    char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        fail_msg("%s is not there", path);
    return text;
}

static xmlDoc *read_doc(const char *path)
{
    g_autofree char *text = read_text(path);
    xmlDoc *doc = xml_parse(text, path, NULL);

    assert_non_null(doc);
    return doc;
}

static HostCaps *captured_caps(void)
{
    g_autoptr(xmlDoc) doc = read_doc(DATA "capabilities.xml");
    HostCaps *caps = caps_new();

    assert_true(caps_parse_host(caps, doc, NULL));
    return caps;
}

static void reads_the_host(void **state G_GNUC_UNUSED)
{
    g_autoptr(HostCaps) caps = captured_caps();
    const CapsCell *cell = g_ptr_array_index(caps->cells, 0);

    assert_string_equal(caps->arch, "x86_64");
    assert_string_equal(caps->cpu_model, "Cascadelake-Server-noTSX");
    assert_string_equal(caps->cpu_vendor, "Intel");
    assert_string_equal(caps->host_uuid, "fda9532b-8cce-4f47-bd04-7dad451d8f76");
    assert_int_equal(caps->cores, 2);
    assert_int_equal(caps->cells->len, 1);
    assert_int_equal(cell->memory_kib, 9398488);
    assert_int_equal(cell->page_count, 3);
    assert_int_equal(cpuset_count(&cell->cpus), 2);
    assert_int_equal(cell->socket, 0);
    assert_false(caps->hyperthreading);
}

static void lists_specs_in_libvirts_order(void **state G_GNUC_UNUSED)
{
    static const char *const want[][2] = {
        {"i686", "qemu"}, {"i686", "kvm"}, {"x86_64", "qemu"}, {"x86_64", "kvm"}};
    g_autoptr(HostCaps) caps = captured_caps();

    assert_int_equal(caps->specs->len, G_N_ELEMENTS(want));
    for (guint i = 0; i < caps->specs->len; i++) {
        const HostSpecTriple *triple = g_ptr_array_index(caps->specs, i);

        assert_string_equal(triple->arch, want[i][0]);
        assert_string_equal(triple->hv_type, want[i][1]);
        assert_string_equal(triple->vm_mode, "hvm");
    }
}

/* Sets have no order in nova's JSON: arrays of strings are sorted before comparing. */
static int by_text(const void *a, const void *b)
{
    return strcmp(json_string_value(*(json_t *const *)a), json_string_value(*(json_t *const *)b));
}

static void sort_sets(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_object(value)) {
        json_object_foreach(value, key, item) sort_sets(item);
    } else if (json_is_array(value) && json_is_string(json_array_get(value, 0))) {
        size_t count = json_array_size(value);
        g_autofree json_t **items = g_new0(json_t *, count);

        for (i = 0; i < count; i++)
            items[i] = json_incref(json_array_get(value, i));
        qsort(items, count, sizeof(*items), by_text);
        json_array_clear(value);
        for (i = 0; i < count; i++)
            json_array_append_new(value, items[i]);
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) sort_sets(item);
    }
}

static char *canonical_json(const char *text)
{
    json_auto_t *value = json_loads(text, 0, NULL);
    char *dump;
    char *out;

    assert_non_null(value);
    sort_sets(value);
    dump = json_dumps(value, JSON_SORT_KEYS | JSON_INDENT(1));
    out = g_strdup(dump);
    free(dump);
    return out;
}

static void assert_same_json(const char *ours, const char *file)
{
    g_autofree char *golden = read_text(file);
    g_autofree char *left = canonical_json(ours);
    g_autofree char *right = canonical_json(golden);

    assert_string_equal(left, right);
}

static void numa_topology_is_novas(void **state G_GNUC_UNUSED)
{
    g_autoptr(HostCaps) caps = captured_caps();
    g_autofree char *text = NULL;
    CpuSet online = {0};

    cpuset_add(&online, 0);
    cpuset_add(&online, 1);
    text = host_write_numa(caps, &online);
    assert_same_json(text, DATA "numa_topology.json");
}

static void cpu_info_is_novas(void **state G_GNUC_UNUSED)
{
    g_autoptr(HostCaps) caps = captured_caps();
    g_autofree char *golden = read_text(DATA "cpu_info.json");
    json_auto_t *value = json_loads(golden, 0, NULL);
    g_autofree char *text = NULL;
    json_t *feature;
    size_t i;

    /* The features that libvirt's baseline adds come from libvirt: here, from the capture. */
    g_ptr_array_set_size(caps->features, 0);
    json_array_foreach(json_object_get(value, "features"), i, feature)
        g_ptr_array_add(caps->features, g_strdup(json_string_value(feature)));
    text = host_write_cpu_info(caps);
    assert_same_json(text, DATA "cpu_info.json");
}

static void shared_set_takes_cpus_from_pinning(void **state G_GNUC_UNUSED)
{
    g_autoptr(HostCaps) caps = captured_caps();
    g_autofree char *text = NULL;
    json_auto_t *value = NULL;
    json_t *cell;
    CpuSet shared = {0};

    caps->cpuset = g_strdup("1");
    cpuset_add(&shared, 1);
    text = host_write_numa(caps, &shared);
    value = json_loads(text, 0, NULL);
    cell = json_object_get(
        json_array_get(json_object_get(json_object_get(value, "nova_object.data"), "cells"), 0),
        "nova_object.data");
    assert_int_equal(json_array_size(json_object_get(cell, "cpuset")), 1);
    assert_int_equal(json_array_size(json_object_get(cell, "pcpuset")), 0);
    assert_int_equal(json_array_size(json_object_get(cell, "siblings")), 1);
}

/* nova's, but for what is refused here and so is not promised. */
static char *wanted_traits(void)
{
    g_autofree char *golden = read_text(DATA "traits.txt");
    g_auto(GStrv) parts = g_strsplit(golden, "COMPUTE_TRUSTED_CERTS\n", -1);

    assert_int_equal(g_strv_length(parts), 2);
    return g_strjoinv("", parts);
}

static void traits_are_novas(void **state G_GNUC_UNUSED)
{
    static const char *const files[][2] = {{"i686", DATA "domcaps_i686_pc.xml"},
                                           {"i686", DATA "domcaps_i686_q35.xml"},
                                           {"x86_64", DATA "domcaps_x86_64_pc.xml"},
                                           {"x86_64", DATA "domcaps_x86_64_q35.xml"}};
    static const char *const qemu64[] = {"svm", "mmx", "sse", "sse2", "nx"};
    VirtConfig config = {.virt_type = "qemu", .images_type = "default", .force_raw_images = true};
    g_autoptr(GPtrArray) features = g_ptr_array_new();
    g_autoptr(GPtrArray) traits = NULL;
    g_autofree char *wanted = wanted_traits();
    GString *ours = g_string_new(NULL);
    TraitSet *set = traits_new();

    for (size_t i = 0; i < G_N_ELEMENTS(qemu64); i++)
        g_ptr_array_add(features, (gpointer)qemu64[i]);
    traits_add_driver(set, &config, 9000000);
    traits_add_cpu(set, features);
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autoptr(xmlDoc) doc = read_doc(files[i][1]);

        traits_add_domain_caps(set, doc, files[i][0], "x86_64");
    }
    traits = traits_take(set);
    for (guint i = 0; i < traits->len; i++)
        g_string_append_printf(ours, "%s\n", (const char *)g_ptr_array_index(traits, i));
    assert_string_equal(ours->str, wanted);
    g_string_free(ours, TRUE);
}

static bool has(const GPtrArray *traits, const char *name)
{
    return g_ptr_array_find_with_equal_func((GPtrArray *)traits, name, g_str_equal, NULL);
}

static void traits_follow_the_options(void **state G_GNUC_UNUSED)
{
    static const char *const excluded[] = {"iso", NULL};
    VirtConfig config = {.virt_type = "kvm",
                         .images_type = "rbd",
                         .force_raw_images = false,
                         .image_type_exclude_list = excluded,
                         .swtpm_enabled = true};
    g_autoptr(GPtrArray) traits = NULL;
    TraitSet *set = traits_new();

    traits_add_driver(set, &config, 8002000);
    traits = traits_take(set);
    assert_false(has(traits, "COMPUTE_IMAGE_TYPE_ISO"));
    assert_false(has(traits, "COMPUTE_IMAGE_TYPE_QCOW2"));
    assert_true(has(traits, "COMPUTE_IMAGE_TYPE_RAW"));
    assert_false(has(traits, "COMPUTE_NET_VIF_MODEL_LAN9118"));
    assert_true(has(traits, "COMPUTE_SECURITY_TPM_2_0"));
    assert_false(has(traits, "COMPUTE_VIOMMU_MODEL_VIRTIO"));
}

static void refuses_capabilities_without_cpu(void **state G_GNUC_UNUSED)
{
    g_autoptr(xmlDoc) doc = xml_parse("<capabilities><host/></capabilities>", "test", NULL);
    g_autoptr(HostCaps) caps = caps_new();
    g_autoptr(GError) err = NULL;

    assert_false(caps_parse_host(caps, doc, &err));
    assert_int_equal(err->code, DV_E_HYPERVISOR);
}

static void survives_strange_capabilities(void **state G_GNUC_UNUSED)
{
    static const char text[] =
        "<capabilities><host><cpu><arch>x86_64</arch><topology sockets='-1' cores='x'/></cpu>"
        "<topology><cells><cell id='99999999999999999999'><memory>-5</memory>"
        "<pages size='4'>many</pages><cpus><cpu id='8192' siblings='0-99999'/><cpu/>"
        "<cpu id='1' socket_id='0' siblings='1'/><cpu id='2' socket_id='1' siblings='1'/>"
        "</cpus></cell></cells></topology></host><guest><arch><domain/></arch></guest>"
        "</capabilities>";
    g_autoptr(xmlDoc) doc = xml_parse(text, "test", NULL);
    g_autoptr(HostCaps) caps = caps_new();
    const CapsCell *cell;

    assert_true(caps_parse_host(caps, doc, NULL));
    cell = g_ptr_array_index(caps->cells, 0);
    assert_int_equal(cpuset_count(&cell->cpus), 2);
    assert_int_equal(cell->siblings->len, 1);
    assert_int_equal(cell->socket, -1);
    assert_int_equal(cell->page_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_host),
        cmocka_unit_test(lists_specs_in_libvirts_order),
        cmocka_unit_test(numa_topology_is_novas),
        cmocka_unit_test(cpu_info_is_novas),
        cmocka_unit_test(shared_set_takes_cpus_from_pinning),
        cmocka_unit_test(traits_are_novas),
        cmocka_unit_test(traits_follow_the_options),
        cmocka_unit_test(refuses_capabilities_without_cpu),
        cmocka_unit_test(survives_strange_capabilities),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
