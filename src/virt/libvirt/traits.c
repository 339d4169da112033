/* Placement traits of this host: from CPU features, from domain capabilities, and of the driver.
 *
 * The sets must equal what nova-compute reports on the same host, or guests would be scheduled
 * otherwise on a mixed fleet: rows are nova's, also where they surprise (the VIF models are those
 * the driver accepts, not those QEMU has). COMPUTE_TRUSTED_CERTS is missing: images are not checked
 * against certificates, and a server whose user wants that is refused (agent/ops/spawn.h).
 * Sources    nova virt/libvirt/{utils,driver,vif}.py, virt/driver.py (Zed); os-traits 2.9. */
#include "virt/libvirt/caps.h"

struct TraitSet {
    GHashTable *names;
};

/* clang-format off */
static const struct {
    const char *feature, *trait;
} cpu_rows[] = {
    {"3dnow",            "HW_CPU_X86_3DNOW"},
    {"abm",              "HW_CPU_X86_ABM"},
    {"aes",              "HW_CPU_X86_AESNI"},
    {"avx",              "HW_CPU_X86_AVX"},
    {"avx2",             "HW_CPU_X86_AVX2"},
    {"avx512-vpopcntdq", "HW_CPU_X86_AVX512VPOPCNTDQ"},
    {"avx512bitalg",     "HW_CPU_X86_AVX512BITALG"},
    {"avx512bw",         "HW_CPU_X86_AVX512BW"},
    {"avx512cd",         "HW_CPU_X86_AVX512CD"},
    {"avx512dq",         "HW_CPU_X86_AVX512DQ"},
    {"avx512er",         "HW_CPU_X86_AVX512ER"},
    {"avx512f",          "HW_CPU_X86_AVX512F"},
    {"avx512ifma",       "HW_CPU_X86_AVX512IFMA"},
    {"avx512pf",         "HW_CPU_X86_AVX512PF"},
    {"avx512vbmi",       "HW_CPU_X86_AVX512VBMI"},
    {"avx512vbmi2",      "HW_CPU_X86_AVX512VBMI2"},
    {"avx512vl",         "HW_CPU_X86_AVX512VL"},
    {"avx512vnni",       "HW_CPU_X86_AVX512VNNI"},
    {"bmi1",             "HW_CPU_X86_BMI"},
    {"bmi2",             "HW_CPU_X86_BMI2"},
    {"f16c",             "HW_CPU_X86_F16C"},
    {"fma",              "HW_CPU_X86_FMA3"},
    {"fma4",             "HW_CPU_X86_FMA4"},
    {"gfni",             "HW_CPU_X86_AVX512GFNI"},
    {"mmx",              "HW_CPU_X86_MMX"},
    {"mpx",              "HW_CPU_X86_MPX"},
    {"pclmuldq",         "HW_CPU_X86_CLMUL"},
    {"sha-ni",           "HW_CPU_X86_SHA"},
    {"sse",              "HW_CPU_X86_SSE"},
    {"sse2",             "HW_CPU_X86_SSE2"},
    {"sse3",             "HW_CPU_X86_SSE3"},
    {"sse4.1",           "HW_CPU_X86_SSE41"},
    {"sse4.2",           "HW_CPU_X86_SSE42"},
    {"sse4a",            "HW_CPU_X86_SSE4A"},
    {"ssse3",            "HW_CPU_X86_SSSE3"},
    {"svm",              "HW_CPU_X86_AMD_SVM"},
    {"svm",              "HW_CPU_X86_SVM"},
    {"tbm",              "HW_CPU_X86_TBM"},
    {"vaes",             "HW_CPU_X86_AVX512VAES"},
    {"vmx",              "HW_CPU_X86_INTEL_VMX"},
    {"vmx",              "HW_CPU_X86_VMX"},
    {"vpclmulqdq",       "HW_CPU_X86_AVX512VPCLMULQDQ"},
    {"xop",              "HW_CPU_X86_XOP"},
};

static const char *const driver_traits[] = {
    "COMPUTE_ACCELERATORS",
    "COMPUTE_DEVICE_TAGGING",
    "COMPUTE_NET_ATTACH_INTERFACE",
    "COMPUTE_NET_ATTACH_INTERFACE_WITH_TAG",
    "COMPUTE_RESCUE_BFV",
    "COMPUTE_SOCKET_PCI_NUMA_AFFINITY",
    "COMPUTE_VIOMMU_MODEL_AUTO",
    "COMPUTE_VOLUME_ATTACH_WITH_TAG",
    "COMPUTE_VOLUME_EXTEND",
    "COMPUTE_VOLUME_MULTI_ATTACH",
};

static const char *const storage_buses[] = {"fdc", "ide", "sata", "scsi", "usb", "virtio"};
static const char *const video_models[] = {"bochs", "cirrus", "gop", "none", "qxl",
                                           "vga", "virtio", "vmvga", "xen"};
static const char *const image_types[] = {"aki", "ami", "ari", "iso", "qcow2", "raw"};
/* lan9118 is nova's for qemu only. */
static const char *const vif_models[] = {"e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139",
                                         "spapr-vlan", "virtio", "vmxnet3"};
/* clang-format on */

#define LIBVIRT_WITH_VIRTIO_IOMMU 8003000UL

TraitSet *traits_new(void)
{
    TraitSet *set = g_new0(TraitSet, 1);

    set->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return set;
}

void traits_free(TraitSet *set)
{
    if (!set)
        return;
    g_hash_table_unref(set->names);
    g_free(set);
}

void traits_add(TraitSet *set, const char *trait)
{
    g_hash_table_add(set->names, g_strdup(trait));
}

static void add_named(TraitSet *set, const char *prefix, const char *name)
{
    g_autofree char *trait = g_strdup_printf("%s%s", prefix, name);

    for (char *p = trait; *p; p++)
        *p = *p == '-' ? '_' : g_ascii_toupper(*p);
    traits_add(set, trait);
}

static bool is_listed(const GPtrArray *names, const char *name)
{
    for (guint i = 0; names && i < names->len; i++) {
        if (g_str_equal(g_ptr_array_index(names, i), name))
            return true;
    }
    return false;
}

static void add_known(TraitSet *set, xmlDoc *doc, const char *xpath, const char *prefix,
                      const char *const *known, size_t count)
{
    g_autoptr(GPtrArray) offered = caps_values(doc, xpath);

    for (size_t i = 0; i < count; i++) {
        if (is_listed(offered, known[i]))
            add_named(set, prefix, known[i]);
    }
}

/* The kernel's word on SEV comes first: libvirt tells what QEMU could do. */
static bool kernel_has_sev(void)
{
    g_autofree char *text = NULL;

    return g_file_get_contents("/sys/module/kvm_amd/parameters/sev", &text, NULL, NULL) &&
           strchr("1Yy", *text) != NULL && *text != '\0';
}

void traits_add_domain_caps(TraitSet *set, xmlDoc *doc, const char *arch, const char *host_arch)
{
    g_autofree char *secure_boot = xml_find(
        doc, "/domainCapabilities/os/loader/enum[@name='secure']/value[.='yes']");
    g_autofree char *sev = xml_find(
        doc, "/domainCapabilities/features/sev[@supported='yes']/@supported");

    add_known(set, doc,
              "/domainCapabilities/devices/disk[@supported='yes']/enum[@name='bus']/value",
              "COMPUTE_STORAGE_BUS_", storage_buses, G_N_ELEMENTS(storage_buses));
    add_known(set, doc,
              "/domainCapabilities/devices/video[@supported='yes']/enum[@name='modelType']/value",
              "COMPUTE_GRAPHICS_MODEL_", video_models, G_N_ELEMENTS(video_models));
    if (secure_boot && g_str_equal(arch, host_arch))
        traits_add(set, "COMPUTE_SECURITY_UEFI_SECURE_BOOT");
    if (sev && g_str_equal(host_arch, "x86_64") && kernel_has_sev())
        traits_add(set, "HW_CPU_X86_AMD_SEV");
    if (g_str_equal(arch, "x86_64"))
        traits_add(set, "COMPUTE_VIOMMU_MODEL_INTEL");
    if (g_str_equal(arch, "aarch64"))
        traits_add(set, "COMPUTE_VIOMMU_MODEL_SMMUV3");
}

static bool is_excluded(const char *const *excluded, const char *type)
{
    for (; excluded && *excluded; excluded++) {
        if (g_ascii_strcasecmp(*excluded, type) == 0)
            return true;
    }
    return false;
}

/* rbd and LVM hold raw data only, and raw is made of anything only when images are converted. */
static bool takes_only_raw(const VirtConfig *config)
{
    return !config->force_raw_images && (g_strcmp0(config->images_type, "rbd") == 0 ||
                                         g_strcmp0(config->images_type, "lvm") == 0);
}

void traits_add_driver(TraitSet *set, const VirtConfig *config, unsigned long libvirt_version)
{
    for (size_t i = 0; i < G_N_ELEMENTS(driver_traits); i++)
        traits_add(set, driver_traits[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(vif_models); i++)
        add_named(set, "COMPUTE_NET_VIF_MODEL_", vif_models[i]);
    if (g_str_equal(config->virt_type, "qemu"))
        traits_add(set, "COMPUTE_NET_VIF_MODEL_LAN9118");
    for (size_t i = 0; i < G_N_ELEMENTS(image_types); i++) {
        if (!is_excluded(config->image_type_exclude_list, image_types[i]) &&
            !(takes_only_raw(config) && g_str_equal(image_types[i], "qcow2")))
            add_named(set, "COMPUTE_IMAGE_TYPE_", image_types[i]);
    }
    if (config->swtpm_enabled) {
        traits_add(set, "COMPUTE_SECURITY_TPM_1_2");
        traits_add(set, "COMPUTE_SECURITY_TPM_2_0");
    }
    if (libvirt_version >= LIBVIRT_WITH_VIRTIO_IOMMU)
        traits_add(set, "COMPUTE_VIOMMU_MODEL_VIRTIO");
}

void traits_add_cpu(TraitSet *set, const GPtrArray *features)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cpu_rows); i++) {
        if (is_listed(features, cpu_rows[i].feature))
            traits_add(set, cpu_rows[i].trait);
    }
}

/* svm and vmx stand for two traits each, and nova chooses no CPU model by those. */
const char *traits_cpu_feature(const char *trait)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cpu_rows); i++) {
        if (g_str_equal(cpu_rows[i].trait, trait) && !g_str_equal(cpu_rows[i].feature, "svm") &&
            !g_str_equal(cpu_rows[i].feature, "vmx"))
            return cpu_rows[i].feature;
    }
    return NULL;
}

static int compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *traits_take(TraitSet *set)
{
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer name;

    g_hash_table_iter_init(&iter, set->names);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        g_ptr_array_add(out, g_strdup(name));
    g_ptr_array_sort(out, compare_text);
    traits_free(set);
    return out;
}
