/* CPUs of other hosts held against this one's, as libvirt does it for KVM guests. No guest runs:
 * that needs no KVM. */
#include "virt/guest.h"

static int open_kvm(void **state)
{
    static VirtConfig config;
    g_autoptr(GError) err = NULL;

    config = (VirtConfig){.virt_type = "kvm",
                          .connection_uri = virt_uri(),
                          .instances_path = virt_path(""),
                          .cpu_mode = "host-model",
                          .call_limit_ms = VIRT_CALL_LIMIT_MS};
    if (!dv_mkdirs(config.instances_path, 0755, &err))
        return -1;
    *state = virt_libvirt_new(&config, &err);
    return *state ? 0 : -1;
}

static int compare(VirtDriver *driver, const VirtPeerCpu *cpu)
{
    g_autoptr(GError) err = NULL;

    if (driver->ops->compare_cpu(driver->self, NULL, cpu, &err))
        return 0;
    assert_non_null(strstr(err->message, "Unacceptable CPU info"));
    return err->code;
}

static void own_cpu_is_fit(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(HostFacts) facts = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree VirtPeerCpuFeature *features = NULL;
    VirtPeerCpu cpu = {0};

    must(driver->ops->host_facts(driver->self, &facts, &err), err);
    features = g_new0(VirtPeerCpuFeature, facts->cpu_features->len);
    cpu = (VirtPeerCpu){.arch = facts->cpu_arch,
                        .model = facts->cpu_model,
                        .vendor = facts->cpu_vendor,
                        .sockets = 1,
                        .cores = 1,
                        .threads = 1};
    assert_int_equal(compare(driver, &cpu), 0);
    for (guint i = 0; i < facts->cpu_features->len; i++)
        features[i].name = g_ptr_array_index(facts->cpu_features, i);
    cpu.features = features;
    cpu.feature_count = facts->cpu_features->len;
    assert_int_equal(compare(driver, &cpu), 0);
}

static void unknown_cpu_and_foreign_features_are_not(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(HostFacts) facts = NULL;
    g_autoptr(GError) err = NULL;
    static const VirtPeerCpuFeature foreign[] = {
        {"3dnow", "require"}, {"fma4", "require"}, {"amx-tile", "require"}};
    VirtPeerCpu cpu = {.arch = "x86_64", .model = "no-such-model"};

    assert_int_equal(compare(driver, &cpu), DV_E_CPU_MODEL);
    must(driver->ops->host_facts(driver->self, &facts, &err), err);
    cpu = (VirtPeerCpu){.arch = facts->cpu_arch,
                        .model = facts->cpu_model,
                        .vendor = facts->cpu_vendor,
                        .mode = "custom",
                        .match = "exact",
                        .features = foreign,
                        .feature_count = G_N_ELEMENTS(foreign)};
    assert_int_equal(compare(driver, &cpu), DV_E_CPU_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_cpu_is_fit),
        cmocka_unit_test(unknown_cpu_and_foreign_features_are_not),
    };

    return cmocka_run_group_tests(tests, open_kvm, virt_close);
}
