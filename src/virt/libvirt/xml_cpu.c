/* The processor side of a domain: <features>, <cputune>, <clock>, <cpu>.
 *
 * Order and attributes are nova's. Sources: nova virt/libvirt/driver.py _set_features, _set_clock,
 * _update_guest_cputune, _get_guest_cpu_config (Zed). */
#include "virt/libvirt/xml_domain.h"

#include "virt/libvirt/caps.h"

/* Any text that is not Hyper-V's: some drivers refuse to run where they see that. */
#define SPOOFED_VENDOR "1234567890ab"

static bool is_windows(const GuestSpec *spec)
{
    return g_strcmp0(spec->os_type, "windows") == 0;
}

/* --- <features> ------------------------------------------------------------------------------ */

static xmlNode *add_state(xmlNode *parent, const char *name)
{
    xmlNode *node = xml_add(parent, name);

    xml_attr(node, "state", "on");
    return node;
}

static void add_hyperv(xmlNode *features, const GuestSpec *spec)
{
    static const char *const names[] = {"vpindex",  "runtime",     "synic",
                                        "reset",    "frequencies", "reenlightenment",
                                        "tlbflush", "ipi",         "evmcs"};
    xmlNode *hyperv = xml_add(features, "hyperv");

    add_state(hyperv, "relaxed");
    add_state(hyperv, "vapic");
    xml_attr_u64(add_state(hyperv, "spinlocks"), "retries", 8191);
    if (spec->hide_hypervisor)
        xml_attr(add_state(hyperv, "vendor_id"), "value", SPOOFED_VENDOR);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        add_state(hyperv, names[i]);
}

void xml_features_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                      const XmlHost *host, bool smm)
{
    const char *arch = xml_arch(spec, host);
    xmlNode *features = xml_add(domain, "features");

    if (smm)
        add_state(xml_add(features, "smm"), "smm");
    xml_add(features, "acpi");
    if (!config->disable_apic)
        xml_add(features, "apic");
    if (is_windows(spec))
        add_hyperv(features, spec);
    if (xml_is_x86(arch) || g_str_equal(arch, "aarch64"))
        xml_add(features, "vmcoreinfo");
    if (spec->hide_hypervisor)
        add_state(xml_add(features, "kvm"), "hidden");
    if (spec->pmu != SPEC_UNSET)
        xml_attr(xml_add(features, "pmu"), "state", spec->pmu == SPEC_ON ? "on" : "off");
    if (spec->iommu_model)
        xml_attr(xml_add(features, "ioapic"), "driver", "qemu");
}

/* --- <cputune>, <clock> ---------------------------------------------------------------------- */

void xml_cputune_add(xmlNode *domain, const GuestSpec *spec)
{
    xmlNode *tune;

    if (!spec->cpu_shares.set && !spec->cpu_quota.set && !spec->cpu_period.set)
        return;
    tune = xml_add(domain, "cputune");
    xml_add_number(tune, "shares", &spec->cpu_shares);
    xml_add_number(tune, "quota", &spec->cpu_quota);
    xml_add_number(tune, "period", &spec->cpu_period);
}

static void add_timer(xmlNode *clock, const char *name, const char *attribute, const char *value)
{
    xmlNode *timer = xml_add(clock, "timer");

    xml_attr(timer, "name", name);
    xml_attr(timer, attribute, value);
}

void xml_clock_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                   const XmlHost *host)
{
    xmlNode *clock = xml_add(domain, "clock");

    xml_attr(clock, "offset", is_windows(spec) ? "localtime" : "utc");
    if (!g_str_equal(config->virt_type, "kvm"))
        return;
    add_timer(clock, "pit", "tickpolicy", "delay");
    add_timer(clock, "rtc", "tickpolicy", "catchup");
    if (xml_is_x86(xml_arch(spec, host)))
        add_timer(clock, "hpet", "present", spec->hpet ? "yes" : "no");
    if (is_windows(spec))
        add_timer(clock, "hypervclock", "present", "yes");
}

/* --- <cpu> ----------------------------------------------------------------------------------- */

static int compare_flags(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a + 1, *(const char *const *)b + 1);
}

/* By name, each once; "+" or nothing adds, "-" removes. */
static void choose_flags(VirtCpu *cpu, const VirtConfig *config)
{
    g_autoptr(GPtrArray) flags = g_ptr_array_new_with_free_func(g_free);

    for (const char *const *item = config->cpu_model_extra_flags; item && *item; item++) {
        bool has_sign = **item == '+' || **item == '-';
        g_autofree char *lower = g_ascii_strdown(has_sign ? *item + 1 : *item, -1);

        g_ptr_array_add(flags, g_strconcat(**item == '-' ? "-" : "+", lower, NULL));
    }
    g_ptr_array_sort(flags, compare_flags);
    for (guint i = 0; i < flags->len; i++) {
        const char *flag = g_ptr_array_index(flags, i);

        if (i == 0 || !g_str_equal(flag, (char *)g_ptr_array_index(flags, i - 1)))
            virt_cpu_add_feature(cpu, flag + 1, *flag == '-' ? "disable" : "require");
    }
}

static bool has_traits(const CapsModel *model, const GPtrArray *traits)
{
    for (guint i = 0; traits && i < traits->len; i++) {
        const char *feature = traits_cpu_feature(g_ptr_array_index(traits, i));

        if (feature && (!model->features || !g_ptr_array_find_with_equal_func(
                                                model->features, feature, g_str_equal, NULL)))
            return false;
    }
    return true;
}

/* The first of [libvirt] cpu_models that has what the flavor requires. */
static bool choose_model(const GuestSpec *spec, const XmlHost *host, const char **out, GError **err)
{
    for (guint i = 0; host->cpu_models && i < host->cpu_models->len; i++) {
        const CapsModel *model = g_ptr_array_index(host->cpu_models, i);

        if (has_traits(model, spec->cpu_traits)) {
            *out = model->name;
            return true;
        }
    }
    return dv_fail(err, DV_E_CPU_MODEL,
                   "none of [libvirt] cpu_models has the CPU features that the flavor requires");
}

static const char *cpu_mode(const VirtConfig *config, const XmlHost *host)
{
    if (config->cpu_mode)
        return config->cpu_mode;
    return g_str_equal(host->arch, "aarch64") ? "host-passthrough" : "host-model";
}

bool xml_cpu_choose(const GuestSpec *spec, const VirtConfig *config, const XmlHost *host,
                    VirtCpu **out, GError **err)
{
    const char *mode = cpu_mode(config, host);
    bool has_mode = !g_str_equal(mode, "none");
    bool emulated = !g_str_equal(xml_arch(spec, host), host->arch);
    const char *model = NULL;
    VirtCpu *cpu;

    if (g_str_equal(mode, "custom") && !choose_model(spec, host, &model, err))
        return false;
    cpu = virt_cpu_new();
    cpu->mode = has_mode && !emulated ? g_strdup(mode) : NULL;
    cpu->model = g_strdup(model);
    cpu->match = g_strdup("exact");
    cpu->sockets = spec->cpu_sockets ? spec->cpu_sockets : spec->vcpus;
    cpu->cores = spec->cpu_cores ? spec->cpu_cores : 1;
    cpu->threads = spec->cpu_threads ? spec->cpu_threads : 1;
    if (has_mode)
        choose_flags(cpu, config);
    *out = cpu;
    return true;
}

static void add_topology(xmlNode *cpu, const VirtCpu *of)
{
    xmlNode *topology;

    if (of->sockets == 0 || of->cores == 0 || of->threads == 0)
        return;
    topology = xml_add(cpu, "topology");
    xml_attr_u64(topology, "sockets", of->sockets);
    xml_attr_u64(topology, "cores", of->cores);
    xml_attr_u64(topology, "threads", of->threads);
}

static void fill_cpu(xmlNode *cpu, const VirtCpu *of)
{
    xml_attr(cpu, "mode", of->mode);
    xml_attr(cpu, "match", of->match);
    xml_add_text(cpu, "arch", of->arch);
    xml_add_text(cpu, "model", of->model);
    xml_add_text(cpu, "vendor", of->vendor);
    add_topology(cpu, of);
    for (guint i = 0; i < of->features->len; i++) {
        const VirtCpuFeature *item = g_ptr_array_index(of->features, i);
        xmlNode *feature = xml_add(cpu, "feature");

        xml_attr(feature, "name", item->name);
        xml_attr(feature, "policy", item->policy);
    }
}

char *xml_cpu_text(const VirtCpu *cpu)
{
    xmlNode *node = NULL;
    g_autoptr(xmlDoc) doc = xml_new("cpu", &node);

    fill_cpu(node, cpu);
    return xml_text(doc);
}

bool xml_cpu_add(xmlNode *domain, const GuestSpec *spec, const VirtConfig *config,
                 const XmlHost *host, GError **err)
{
    g_autoptr(VirtCpu) chosen = NULL;

    if (!xml_cpu_choose(spec, config, host, &chosen, err))
        return false;
    fill_cpu(xml_add(domain, "cpu"), chosen);
    return true;
}
