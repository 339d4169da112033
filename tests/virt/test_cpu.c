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

static int compare(VirtDriver *driver, const VirtCpu *cpu)
{
    g_autoptr(GError) err = NULL;

    if (driver->ops->compare_cpu(driver->self, NULL, cpu, &err))
        return 0;
    assert_non_null(strstr(err->message, "Unacceptable CPU info"));
    return err->code;
}

static VirtCpu *cpu_of(const HostFacts *facts)
{
    VirtCpu *cpu = virt_cpu_new();

    cpu->arch = g_strdup(facts->cpu_arch);
    cpu->model = g_strdup(facts->cpu_model);
    cpu->vendor = g_strdup(facts->cpu_vendor);
    return cpu;
}

static void own_cpu_is_fit(void **state)
{
    VirtDriver *driver = *state;
    g_autoptr(HostFacts) facts = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(VirtCpu) cpu = NULL;

    must(driver->ops->host_facts(driver->self, &facts, &err), err);
    cpu = cpu_of(facts);
    cpu->sockets = cpu->cores = cpu->threads = 1;
    assert_int_equal(compare(driver, cpu), 0);
    for (guint i = 0; i < facts->cpu_features->len; i++)
        virt_cpu_add_feature(cpu, g_ptr_array_index(facts->cpu_features, i), NULL);
    assert_int_equal(compare(driver, cpu), 0);
}

static void unknown_cpu_and_foreign_features_are_not(void **state)
{
    static const char *const foreign[] = {"3dnow", "fma4", "amx-tile"};
    VirtDriver *driver = *state;
    g_autoptr(HostFacts) facts = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(VirtCpu) unknown = virt_cpu_new();
    g_autoptr(VirtCpu) cpu = NULL;

    unknown->arch = g_strdup("x86_64");
    unknown->model = g_strdup("no-such-model");
    assert_int_equal(compare(driver, unknown), DV_E_CPU_MODEL);
    must(driver->ops->host_facts(driver->self, &facts, &err), err);
    cpu = cpu_of(facts);
    cpu->mode = g_strdup("custom");
    cpu->match = g_strdup("exact");
    for (size_t i = 0; i < G_N_ELEMENTS(foreign); i++)
        virt_cpu_add_feature(cpu, foreign[i], "require");
    assert_int_equal(compare(driver, cpu), DV_E_CPU_MODEL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_cpu_is_fit),
        cmocka_unit_test(unknown_cpu_and_foreign_features_are_not),
    };

    return cmocka_run_group_tests(tests, open_kvm, virt_close);
}
