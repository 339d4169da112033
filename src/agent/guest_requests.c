/* What flavors and images may ask for and this agent cannot do: refused by name, never ignored.
 *
 * A key that is in no table here is either carried out by guest_spec_*.c, or it is for another
 * service (traits, resources of placement, VMware's quotas), or documentation. Keys of releases
 * after Zed are listed where they change the guest. */
#include "agent/guest_asks.h"

/* clang-format off */
typedef struct RefusedKey {
    const char *key;    /* a trailing '*' matches any rest */
    const char *except; /* value that asks for nothing, or NULL */
    DvErrorCode code;
} RefusedKey;

static const RefusedKey refused_specs[] = {
    {"hw:cpu_policy",                 "shared",   DV_E_NUMA},
    {"hw:cpu_thread_policy",          NULL,       DV_E_NUMA},
    {"hw:cpu_dedicated_mask",         NULL,       DV_E_NUMA},
    {"hw:cpu_realtime",               "no",       DV_E_NUMA},
    {"hw:emulator_threads_policy",    "share",    DV_E_NUMA},
    {"hw:numa_*",                     NULL,       DV_E_NUMA},
    {"hw:mem_page_size",              NULL,       DV_E_NUMA},
    {"resources*:PCPU",               "0",        DV_E_NUMA},
    {"hw:locked_memory",              "false",    DV_E_LOCKED_MEMORY},
    {"hw:mem_encryption",             "false",    DV_E_NO_CAPACITY},
    {"hw:mem_encryption_model",       NULL,       DV_E_NO_CAPACITY},
    {"hw:pmem",                       NULL,       DV_E_NO_CAPACITY},
    {"pci_passthrough:alias",         NULL,       DV_E_NO_CAPACITY},
    {"resources*:VGPU",               "0",        DV_E_NO_CAPACITY},
    {"accel:device_profile",          NULL,       DV_E_UNSUPPORTED},
    {"hw:tpm_secret_security",        NULL,       DV_E_UNSUPPORTED},
    {"hw:ephemeral_encryption",       "false",    DV_E_UNSUPPORTED},
    {"hw:maxphysaddr_*",              NULL,       DV_E_UNSUPPORTED},
    {"hw:virtio_packed_ring",         "false",    DV_E_UNSUPPORTED},
    {"hw:sound_model",                NULL,       DV_E_UNSUPPORTED},
    {"hw:usb_model",                  NULL,       DV_E_UNSUPPORTED},
    {"hw:redirected_usb_ports",       "0",        DV_E_UNSUPPORTED},
};

static const RefusedKey refused_props[] = {
    {"hw_cpu_policy",                 "shared",   DV_E_NUMA},
    {"hw_cpu_thread_policy",          NULL,       DV_E_NUMA},
    {"hw_numa_*",                     NULL,       DV_E_NUMA},
    {"hw_mem_page_size",              NULL,       DV_E_NUMA},
    {"hw_locked_memory",              "false",    DV_E_LOCKED_MEMORY},
    {"hw_mem_encryption",             "false",    DV_E_NO_CAPACITY},
    {"hw_mem_encryption_model",       NULL,       DV_E_NO_CAPACITY},
    {"hw_tpm_secret_security",        NULL,       DV_E_UNSUPPORTED},
    {"hw_ephemeral_encryption",       "false",    DV_E_UNSUPPORTED},
    {"hw_maxphysaddr_*",              NULL,       DV_E_UNSUPPORTED},
    {"hw_virtio_packed_ring",         "false",    DV_E_UNSUPPORTED},
    {"hw_sound_model",                NULL,       DV_E_UNSUPPORTED},
    {"hw_usb_model",                  NULL,       DV_E_UNSUPPORTED},
    {"hw_redirected_usb_ports",       "0",        DV_E_UNSUPPORTED},
    {"img_bdm_v2",                    NULL,       DV_E_UNSUPPORTED},
    {"img_signature",                 NULL,       DV_E_UNSUPPORTED},
};
/* clang-format on */

/* Booleans are written in several ways; any of them that means no asks for nothing. */
static bool asks_for_nothing(const RefusedKey *row, const char *value)
{
    if (!row->except)
        return false;
    if (strcmp(row->except, "false") == 0 || strcmp(row->except, "no") == 0)
        return !guest_asks_is_true(value);
    return g_ascii_strcasecmp(row->except, value) == 0;
}

static bool check_key(const RefusedKey *rows, size_t count, const char *what, const char *key,
                      const char *value, GError **err)
{
    for (size_t i = 0; i < count; i++) {
        if (g_pattern_match_simple(rows[i].key, key) && !asks_for_nothing(&rows[i], value))
            return dv_fail(err, rows[i].code, "%s %s=%s is not supported by this host", what, key,
                           value);
    }
    return true;
}

/* What the API or the scheduler derived from the keys above. */
static bool check_instance(const Ovo *instance, GError **err)
{
    g_autoptr(Ovo) pci = ovo_child(instance, "pci_requests");
    g_autoptr(Ovo) numa = ovo_child(instance, "numa_topology");
    const char *mode = ovo_str_or(instance, "vm_mode", NULL);

    if (pci && ovo_count(pci, "requests") > 0)
        return dv_fail(err, DV_E_NO_CAPACITY, "PCI devices are not supported by this host");
    if (numa)
        return dv_fail(err, DV_E_NUMA, "Host does not support guests with NUMA topology set");
    if (mode && *mode && g_ascii_strcasecmp(mode, "hvm") != 0 &&
        g_ascii_strcasecmp(mode, "hv") != 0)
        return dv_fail(err, DV_E_UNSUPPORTED, "vm_mode %s is not supported by this host", mode);
    return true;
}

bool guest_requests_check(const GuestAsks *asks, GError **err)
{
    g_autoptr(GPtrArray) specs = ovo_dict_keys(asks->flavor, "extra_specs");
    g_autoptr(GPtrArray) props = guest_asks_prop_names(asks);

    for (guint i = 0; i < specs->len; i++) {
        const char *key = g_ptr_array_index(specs, i);
        const char *value = guest_asks_spec(asks, key);

        if (value && !check_key(refused_specs, G_N_ELEMENTS(refused_specs), "flavor extra spec",
                                key, value, err))
            return false;
    }
    for (guint i = 0; i < props->len; i++) {
        const char *key = g_ptr_array_index(props, i);
        const char *value = guest_asks_prop(asks, key);

        if (value && !check_key(refused_props, G_N_ELEMENTS(refused_props), "image property", key,
                                value, err))
            return false;
    }
    return check_instance(asks->source->instance, err);
}
