/* Firmware descriptors; see firmware.h. */
#include "virt/libvirt/firmware.h"

#include "util/fs.h"
#include "virt/libvirt/jread.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTOR_MAX_BYTES (256 * 1024)

typedef struct Target {
    char *arch;
    GPtrArray *machines; /* char *: patterns like "pc-q35-*" */
} Target;

typedef struct Descriptor {
    char *executable, *nvram_template;
    GPtrArray *targets; /* Target * */
    bool secure_boot, requires_smm;
} Descriptor;

struct FirmwareList {
    GPtrArray *descriptors; /* Descriptor *, in order of preference */
};

static void target_free(gpointer data)
{
    Target *target = data;

    g_free(target->arch);
    g_ptr_array_unref(target->machines);
    g_free(target);
}

static void descriptor_free(gpointer data)
{
    Descriptor *descriptor = data;

    g_free(descriptor->executable);
    g_free(descriptor->nvram_template);
    g_ptr_array_unref(descriptor->targets);
    g_free(descriptor);
}

/* Element `index` of the targets; the reader reports them in order, so at most one is missing. */
static Target *target_at(Descriptor *descriptor, unsigned long index)
{
    if (index == descriptor->targets->len) {
        Target *target = g_new0(Target, 1);

        target->machines = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(descriptor->targets, target);
    }
    return index < descriptor->targets->len ? g_ptr_array_index(descriptor->targets, index) : NULL;
}

static void read_target(Descriptor *descriptor, const char *rest, const char *value)
{
    char *end = NULL;
    Target *target = target_at(descriptor, strtoul(rest, &end, 10));

    if (!target)
        return;
    if (strcmp(end, ".architecture") == 0) {
        g_free(target->arch);
        target->arch = g_strdup(value);
    } else if (g_str_has_prefix(end, ".machines.")) {
        g_ptr_array_add(target->machines, g_strdup(value));
    }
}

static void read_leaf(void *arg, const char *path, const char *value)
{
    Descriptor *descriptor = arg;

    if (strcmp(path, "mapping.executable.filename") == 0) {
        g_free(descriptor->executable);
        descriptor->executable = g_strdup(value);
    } else if (strcmp(path, "mapping.nvram-template.filename") == 0) {
        g_free(descriptor->nvram_template);
        descriptor->nvram_template = g_strdup(value);
    } else if (g_str_has_prefix(path, "targets.")) {
        read_target(descriptor, path + strlen("targets."), value);
    } else if (g_str_has_prefix(path, "features.")) {
        descriptor->secure_boot |= strcmp(value, "secure-boot") == 0;
        descriptor->requires_smm |= strcmp(value, "requires-smm") == 0;
    }
}

static bool load_file(FirmwareList *list, const char *path, GError **err)
{
    Descriptor *descriptor = g_new0(Descriptor, 1);
    g_autofree char *text = NULL;

    descriptor->targets = g_ptr_array_new_with_free_func(target_free);
    g_ptr_array_add(list->descriptors, descriptor);
    return (dv_read_file(path, DESCRIPTOR_MAX_BYTES, &text, NULL, err) &&
            jread(text, read_leaf, descriptor, err)) ||
           dv_within(err, "firmware descriptor %s", path);
}

static int compare_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* False with err; *out_found: the folder is there. */
static bool load_dir(FirmwareList *list, const char *dir, bool *out_found, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GDir *handle = g_dir_open(dir, 0, NULL);
    const char *name;

    if (!handle)
        return true;
    *out_found = true;
    while ((name = g_dir_read_name(handle))) {
        if (g_str_has_suffix(name, ".json") && *name != '.')
            g_ptr_array_add(names, g_build_filename(dir, name, NULL));
    }
    g_dir_close(handle);
    g_ptr_array_sort(names, compare_text);
    for (guint i = 0; i < names->len; i++) {
        if (!load_file(list, g_ptr_array_index(names, i), err))
            return false;
    }
    return true;
}

FirmwareList *firmware_load(const char *const *dirs, GError **err)
{
    static const char *const usual[] = {"/usr/share/qemu/firmware", "/etc/qemu/firmware", NULL};
    g_autoptr(FirmwareList) list = g_new0(FirmwareList, 1);
    bool found = false;

    list->descriptors = g_ptr_array_new_with_free_func(descriptor_free);
    for (dirs = dirs ? dirs : usual; *dirs; dirs++) {
        if (!load_dir(list, *dirs, &found, err))
            return NULL;
    }
    if (!found) {
        dv_fail(err, DV_E_HYPERVISOR, "Failed to locate firmware descriptor files");
        return NULL;
    }
    return g_steal_pointer(&list);
}

void firmware_list_free(FirmwareList *list)
{
    if (!list)
        return;
    g_ptr_array_unref(list->descriptors);
    g_free(list);
}

static bool fits(const Descriptor *descriptor, const char *arch, const char *machine)
{
    for (guint i = 0; i < descriptor->targets->len; i++) {
        const Target *target = g_ptr_array_index(descriptor->targets, i);

        if (g_strcmp0(target->arch, arch) != 0)
            continue;
        for (guint m = 0; m < target->machines->len; m++) {
            if (fnmatch(g_ptr_array_index(target->machines, m), machine, 0) == 0)
                return true;
        }
    }
    return false;
}

/* A descriptor without a flash mapping (memory firmware) has no template: not for us. */
bool firmware_find(const FirmwareList *list, const char *arch, const char *machine,
                   bool secure_boot, Firmware *out)
{
    for (guint i = 0; i < list->descriptors->len; i++) {
        const Descriptor *descriptor = g_ptr_array_index(list->descriptors, i);

        if (!descriptor->executable || !descriptor->nvram_template ||
            descriptor->secure_boot != secure_boot || !fits(descriptor, arch, machine))
            continue;
        *out = (Firmware){descriptor->executable, descriptor->nvram_template,
                          descriptor->requires_smm};
        return true;
    }
    return false;
}
