/* Reading of extra specs and image properties; see guest_asks.h. */
#include "agent/guest_asks.h"

/* ---- names and words ---- */

/* Properties that images may still carry under an older name; today's name wins. */
static const struct {
    const char *name, *older;
} older_names[] = {
    {"hw_architecture", "architecture"},
    {"hw_vm_mode", "vm_mode"},
    {"os_distro", "vmware_ostype"},
};

/* clang-format off */
static const struct {
    const char *name;
    const char *words; /* NULL: free text with old spellings */
    bool fold;         /* the case does not matter */
} word_rows[] = {
    {"hw_disk_bus",               "fdc|ide|sata|scsi|usb|virtio|xen|lxc|uml", false},
    {"hw_cdrom_bus",              "fdc|ide|sata|scsi|usb|virtio|xen|lxc|uml", false},
    {"hw_floppy_bus",             "fdc|ide|sata|scsi|usb|virtio|xen|lxc|uml", false},
    {"hw_rescue_bus",             "fdc|ide|sata|scsi|usb|virtio|xen|lxc|uml", false},
    {"hw_scsi_model",             "buslogic|ibmvscsi|lsilogic|lsisas1068|lsisas1078|virtio-scsi|"
                                  "vmpvscsi",                                 true},
    {"hw_vif_model",              "virtio|ne2k_pci|pcnet|rtl8139|e1000|e1000e|netfront|spapr-vlan|"
                                  "lan9118|sriov|vmxnet|vmxnet3",             true},
    {"hw_video_model",            "cirrus|qxl|vga|vmvga|xen|virtio|gop|none|bochs", false},
    {"hw_rng_model",              "virtio",                                   false},
    {"hw_watchdog_action",        "none|pause|poweroff|reset|disabled",       false},
    {"hw_pointer_model",          "usbtablet",                                false},
    {"hw_input_bus",              "usb|virtio",                               false},
    {"hw_firmware_type",          "uefi|bios",                                false},
    {"os_secure_boot",            "required|disabled|optional",               false},
    {"hw_tpm_model",              "tpm-tis|tpm-crb",                          false},
    {"hw_tpm_version",            "1.2|2.0",                                  false},
    {"hw_viommu_model",           "intel|smmuv3|virtio|auto",                 false},
    {"hw_cpu_policy",             "dedicated|shared|mixed",                   false},
    {"hw_cpu_thread_policy",      "prefer|isolate|require",                   false},
    {"img_config_drive",          "optional|mandatory",                       false},
    {"os_type",                   "linux|windows",                            true},
    {"hw_architecture",           NULL,                                       true},
    {"hw_emulation_architecture", NULL,                                       true},
};

static const struct {
    const char *name, *old, *word;
} old_words[] = {
    {"hw_scsi_model", "lsilogicsas",              "lsisas1068"},
    {"hw_scsi_model", "paravirtual",              "vmpvscsi"},
    {"hw_vif_model",  "virtuale1000",             "e1000"},
    {"hw_vif_model",  "virtuale1000e",            "e1000e"},
    {"hw_vif_model",  "virtualpcnet32",           "pcnet"},
    {"hw_vif_model",  "virtualsriovethernetcard", "sriov"},
    {"hw_vif_model",  "virtualvmxnet",            "vmxnet"},
    {"hw_vif_model",  "virtualvmxnet3",           "vmxnet3"},
    {"hw_architecture", "i386",    "i686"},
    {"hw_architecture", "i486",    "i686"},
    {"hw_architecture", "i586",    "i686"},
    {"hw_architecture", "x86_32",  "i686"},
    {"hw_architecture", "x86_32p", "i686"},
    {"hw_architecture", "amd64",   "x86_64"},
};
/* clang-format on */

static const char *stored_prop(const GuestSource *source, const char *name)
{
    g_autofree char *key = NULL;

    if (source->image && ovo_has_value(source->image, "properties"))
        return ovo_dict_str(source->image, "properties", name);
    key = g_strconcat("image_", name, NULL);
    return ovo_dict_str(source->instance, "system_metadata", key);
}

/* VMware's property names the SCSI controller, or IDE disks. */
static const char *vmware_prop(const GuestSource *source, const char *name)
{
    const char *adapter = stored_prop(source, "vmware_adaptertype");
    bool ide = g_strcmp0(adapter, "ide") == 0;

    if (!adapter || !*adapter)
        return NULL;
    if (strcmp(name, "hw_disk_bus") == 0)
        return ide ? "ide" : "scsi";
    return !ide && strcmp(name, "hw_scsi_model") == 0 ? adapter : NULL;
}

const char *guest_image_prop(const GuestSource *source, const char *name)
{
    const char *value = stored_prop(source, name);

    for (size_t i = 0; !value && i < G_N_ELEMENTS(older_names); i++) {
        if (strcmp(older_names[i].name, name) == 0)
            value = stored_prop(source, older_names[i].older);
    }
    return value ? value : vmware_prop(source, name);
}

const char *guest_asks_spec(const GuestAsks *asks, const char *key)
{
    return ovo_dict_str(asks->flavor, "extra_specs", key);
}

const char *guest_asks_prop(const GuestAsks *asks, const char *name)
{
    return guest_image_prop(asks->source, name);
}

char *guest_asks_word(const GuestAsks *asks, const char *name)
{
    const char *value = guest_asks_prop(asks, name);
    g_autofree char *word = g_strdup(value);

    for (size_t i = 0; value && i < G_N_ELEMENTS(word_rows); i++) {
        if (word_rows[i].fold && strcmp(word_rows[i].name, name) == 0) {
            g_free(word);
            word = g_ascii_strdown(value, -1);
        }
    }
    for (size_t i = 0; word && i < G_N_ELEMENTS(old_words); i++) {
        if (strcmp(old_words[i].name, name) == 0 && strcmp(old_words[i].old, word) == 0)
            return g_strdup(old_words[i].word);
    }
    return g_steal_pointer(&word);
}

GPtrArray *guest_asks_prop_names(const GuestAsks *asks)
{
    const GuestSource *source = asks->source;
    GPtrArray *names;
    guint kept = 0;

    if (source->image && ovo_has_value(source->image, "properties"))
        return ovo_dict_keys(source->image, "properties");
    names = ovo_dict_keys(source->instance, "system_metadata");
    for (guint i = 0; i < names->len; i++) {
        const char *key = g_ptr_array_index(names, i);

        if (g_str_has_prefix(key, "image_"))
            g_ptr_array_index(names, kept++) = (void *)(key + strlen("image_"));
    }
    g_ptr_array_set_size(names, (int)kept);
    return names;
}

/* ---- values ---- */

bool guest_asks_is_true(const char *text)
{
    static const char *const words[] = {"1", "t", "true", "on", "y", "yes"};
    g_autofree char *word = text ? g_strstrip(g_strdup(text)) : NULL;

    for (size_t i = 0; word && i < G_N_ELEMENTS(words); i++) {
        if (g_ascii_strcasecmp(words[i], word) == 0)
            return true;
    }
    return false;
}

static bool conflict(const GuestAsks *asks, const char *prefix, const char *name,
                     const char *flavor_value, const char *image_value, GError **err)
{
    return dv_fail(err, DV_E_FLAVOR_IMAGE_CONFLICT,
                   "Flavor %s has %s:%s extra spec explicitly set to %s, conflicting with image %s"
                   " which has %s_%s explicitly set to %s.",
                   ovo_str_or(asks->flavor, "name", ""), prefix, name, flavor_value,
                   asks->source->image ? ovo_str_or(asks->source->image, "name", "") : "", prefix,
                   name, image_value);
}

bool guest_asks_flag(const GuestAsks *asks, const char *name, SpecFlag *out, GError **err)
{
    g_autofree char *key = g_strconcat("hw:", name, NULL);
    g_autofree char *prop = g_strconcat("hw_", name, NULL);
    const char *flavor_value = guest_asks_spec(asks, key);
    const char *image_value = guest_asks_prop(asks, prop);
    bool flavor_on = guest_asks_is_true(flavor_value);
    bool image_on = guest_asks_is_true(image_value);

    if (flavor_value && image_value && flavor_on != image_on)
        return conflict(asks, "hw", name, flavor_value, image_value, err);
    if (!flavor_value && !image_value)
        *out = SPEC_UNSET;
    else
        *out = flavor_on || image_on ? SPEC_ON : SPEC_OFF;
    return true;
}

bool guest_asks_text(const GuestAsks *asks, const char *prefix, const char *name, const char **out,
                     GError **err)
{
    g_autofree char *key = g_strdup_printf("%s:%s", prefix, name);
    g_autofree char *prop = g_strdup_printf("%s_%s", prefix, name);
    const char *flavor_value = guest_asks_spec(asks, key);
    const char *image_value = guest_asks_prop(asks, prop);
    bool in_flavor = flavor_value && *flavor_value;
    bool in_image = image_value && *image_value;

    if (in_flavor && in_image && strcmp(flavor_value, image_value) != 0)
        return conflict(asks, prefix, name, flavor_value, image_value, err);
    *out = in_flavor ? flavor_value : in_image ? image_value : NULL;
    return true;
}

static bool parse_number(const char *what, const char *name, const char *text, int64_t *out,
                         GError **err)
{
    g_autofree char *digits = g_strstrip(g_strdup(text));

    if (g_ascii_string_to_signed(digits, 10, G_MININT64, G_MAXINT64, out, NULL))
        return true;
    return dv_fail(err, DV_E_BAD_INPUT, "%s %s=%s: want a whole number", what, name, text);
}

bool guest_asks_number(const GuestAsks *asks, const char *key, SpecNumber *out, GError **err)
{
    const char *text = guest_asks_spec(asks, key);
    SpecNumber number = {.set = text != NULL};

    if (text && !parse_number("flavor extra spec", key, text, &number.value, err))
        return false;
    *out = number;
    return true;
}

bool guest_asks_prop_number(const GuestAsks *asks, const char *name, int64_t *out, GError **err)
{
    const char *text = guest_asks_prop(asks, name);

    *out = 0;
    return !text || parse_number("image property", name, text, out, err);
}

static bool is_word(const char *words, const char *word)
{
    g_auto(GStrv) list = g_strsplit(words, "|", -1);

    return g_strv_contains((const char *const *)list, word);
}

bool guest_asks_check(const GuestAsks *asks, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(word_rows); i++) {
        g_autofree char *word = guest_asks_word(asks, word_rows[i].name);

        if (word && word_rows[i].words && !is_word(word_rows[i].words, word))
            return dv_fail(err, DV_E_BAD_INPUT, "image property %s=%s: want one of %s",
                           word_rows[i].name, word, word_rows[i].words);
    }
    return true;
}
