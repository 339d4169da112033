/* Which traits the root provider carries.
 *
 * A trait is ours when nova-compute would add and remove it: what hypervisor, CPU and configuration
 * decide. Ours that the facts no longer name go away; all others (CUSTOM_ ones, and standard ones
 * that an operator has set) stay. `owned` says which are ours.
 * Sources    nova virt/driver.py CAPABILITY_TRAITS_MAP, virt/libvirt/{driver,utils}.py static
 *            traits, compute/resource_tracker.py _get_traits (Zed and 2026). */
#include "scheduler_hints/hint_priv.h"

#include <string.h>

#define TRAIT_NODE "COMPUTE_NODE"
#define TRAIT_DISABLED "COMPUTE_STATUS_DISABLED"

/* A name that ends in '_' stands for all traits that begin so. */
static const char *const owned[] = {
    /* clang-format off */
    TRAIT_NODE, TRAIT_DISABLED, "OWNER_NOVA",
    "COMPUTE_ACCELERATORS", "COMPUTE_ADDRESS_SPACE_", "COMPUTE_DEVICE_TAGGING",
    "COMPUTE_EPHEMERAL_ENCRYPTION", "COMPUTE_EPHEMERAL_ENCRYPTION_", "COMPUTE_GRAPHICS_MODEL_",
    "COMPUTE_IMAGE_TYPE_", "COMPUTE_MEM_BACKING_FILE", "COMPUTE_NET_ATTACH_INTERFACE",
    "COMPUTE_NET_ATTACH_INTERFACE_WITH_TAG", "COMPUTE_NET_VIF_MODEL_", "COMPUTE_REMOTE_MANAGED_PORTS",
    "COMPUTE_RESCUE_BFV", "COMPUTE_SAME_HOST_COLD_MIGRATE", "COMPUTE_SECURITY_STATELESS_FIRMWARE",
    "COMPUTE_SECURITY_TPM_", "COMPUTE_SECURITY_UEFI_SECURE_BOOT", "COMPUTE_SOCKET_PCI_NUMA_AFFINITY",
    "COMPUTE_SOUND_MODEL_", "COMPUTE_STORAGE_BUS_", "COMPUTE_STORAGE_VIRTIO_FS",
    "COMPUTE_TRUSTED_CERTS", "COMPUTE_USB_MODEL_", "COMPUTE_VIOMMU_MODEL_",
    "COMPUTE_VOLUME_ATTACH_WITH_TAG", "COMPUTE_VOLUME_EXTEND", "COMPUTE_VOLUME_MULTI_ATTACH",
    "HW_CPU_HYPERTHREADING", "HW_CPU_X86_3DNOW", "HW_CPU_X86_ABM", "HW_CPU_X86_AESNI",
    "HW_CPU_X86_AMD_SEV", "HW_CPU_X86_AMD_SVM", "HW_CPU_X86_AVX", "HW_CPU_X86_AVX2",
    "HW_CPU_X86_AVX512BITALG", "HW_CPU_X86_AVX512BW", "HW_CPU_X86_AVX512CD", "HW_CPU_X86_AVX512DQ",
    "HW_CPU_X86_AVX512ER", "HW_CPU_X86_AVX512F", "HW_CPU_X86_AVX512GFNI", "HW_CPU_X86_AVX512IFMA",
    "HW_CPU_X86_AVX512PF", "HW_CPU_X86_AVX512VAES", "HW_CPU_X86_AVX512VBMI", "HW_CPU_X86_AVX512VBMI2",
    "HW_CPU_X86_AVX512VL", "HW_CPU_X86_AVX512VNNI", "HW_CPU_X86_AVX512VPCLMULQDQ",
    "HW_CPU_X86_AVX512VPOPCNTDQ", "HW_CPU_X86_BMI", "HW_CPU_X86_BMI2", "HW_CPU_X86_CLMUL",
    "HW_CPU_X86_F16C", "HW_CPU_X86_FMA3", "HW_CPU_X86_FMA4", "HW_CPU_X86_INTEL_VMX", "HW_CPU_X86_MMX",
    "HW_CPU_X86_MPX", "HW_CPU_X86_SHA", "HW_CPU_X86_SSE", "HW_CPU_X86_SSE2", "HW_CPU_X86_SSE3",
    "HW_CPU_X86_SSE41", "HW_CPU_X86_SSE42", "HW_CPU_X86_SSE4A", "HW_CPU_X86_SSSE3", "HW_CPU_X86_SVM",
    "HW_CPU_X86_TBM", "HW_CPU_X86_VMX", "HW_CPU_X86_XOP",
    /* clang-format on */
};

static bool is_owned(const char *trait)
{
    for (size_t i = 0; i < G_N_ELEMENTS(owned); i++)
        if (g_str_has_suffix(owned[i], "_") ? g_str_has_prefix(trait, owned[i])
                                            : strcmp(trait, owned[i]) == 0)
            return true;
    return false;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *hint_traits(const GPtrArray *facts, const GPtrArray *current, bool disabled)
{
    g_autoptr(GHashTable) set = g_hash_table_new(g_str_hash, g_str_equal);
    GPtrArray *out = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer trait;

    for (guint i = 0; current && i < current->len; i++)
        if (!is_owned(current->pdata[i]))
            g_hash_table_add(set, current->pdata[i]);
    for (guint i = 0; facts && i < facts->len; i++)
        g_hash_table_add(set, facts->pdata[i]);
    g_hash_table_add(set, (gpointer)TRAIT_NODE);
    if (disabled)
        g_hash_table_add(set, (gpointer)TRAIT_DISABLED);
    g_hash_table_iter_init(&iter, set);
    while (g_hash_table_iter_next(&iter, &trait, NULL))
        g_ptr_array_add(out, g_strdup(trait));
    g_ptr_array_sort(out, by_name);
    return out;
}

bool hint_traits_equal(const GPtrArray *a, const GPtrArray *b)
{
    g_autoptr(GHashTable) set = g_hash_table_new(g_str_hash, g_str_equal);

    if (!a || !b || a->len != b->len)
        return false;
    for (guint i = 0; i < a->len; i++)
        g_hash_table_add(set, a->pdata[i]);
    for (guint i = 0; i < b->len; i++)
        if (!g_hash_table_contains(set, b->pdata[i]))
            return false;
    return true;
}
