/* The list of an instance's disks as text; see disk_list.h. */
#include "agent/disk_list.h"

#include "objects/ovo.h"

#include <string.h>

static const struct {
    DiskFormat format;
    const char *name;
} formats[] = {
    {DISK_FORMAT_QCOW2, "qcow2"},
    {DISK_FORMAT_RAW, "raw"},
};

static const char *format_name(DiskFormat format)
{
    size_t i = 0;

    while (formats[i].format != format)
        i++;
    return formats[i].name;
}

char *disk_list_write(const GPtrArray *facts)
{
    g_autoptr(GString) text = g_string_new("[");

    for (guint i = 0; i < facts->len; i++) {
        const DiskFacts *disk = facts->pdata[i];
        int64_t more = (int64_t)disk->virtual_bytes - (int64_t)disk->allocated_bytes;
        g_autoptr(Ovo) entry = ovo_new_dict();
        g_autofree char *one = NULL;

        ovo_set_str(entry, "type", format_name(disk->format));
        ovo_set_str(entry, "path", disk->path);
        ovo_set_i64(entry, "virt_disk_size", (int64_t)disk->virtual_bytes);
        ovo_set_str(entry, "backing_file", disk->backing_file ? disk->backing_file : "");
        ovo_set_i64(entry, "disk_size", (int64_t)disk->allocated_bytes);
        ovo_set_i64(entry, "over_committed_disk_size", MAX(more, 0));
        one = ovo_text(entry);
        g_string_append_printf(text, "%s%s", i ? ", " : "", one);
    }
    g_string_append_c(text, ']');
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void facts_destroy(gpointer facts)
{
    disk_facts_free(facts);
}

static bool read_entry(const Ovo *entry, GPtrArray *out, GError **err)
{
    const char *backing, *type, *path;

    if (!entry)
        return dv_fail(err, DV_E_BAD_INPUT, "an entry that is no dict");
    if (!ovo_str(entry, "type", &type, err) || !ovo_str(entry, "path", &path, err))
        return false;
    backing = ovo_str_or(entry, "backing_file", "");
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        DiskFacts *disk;

        if (strcmp(type, formats[i].name) != 0)
            continue;
        disk = g_new0(DiskFacts, 1);
        disk->path = g_strdup(path);
        disk->format = formats[i].format;
        disk->backing_file = *backing ? g_strdup(backing) : NULL;
        disk->virtual_bytes = (uint64_t)MAX(ovo_i64_or(entry, "virt_disk_size", 0), 0);
        disk->allocated_bytes = (uint64_t)MAX(ovo_i64_or(entry, "disk_size", 0), 0);
        g_ptr_array_add(out, disk);
    }
    return true;
}

GPtrArray *disk_list_read(const char *text, GError **err)
{
    g_autofree char *dict = g_strdup_printf("{\"disks\": %s}", text);
    g_autoptr(Ovo) list = ovo_parse_dict(dict, err);
    g_autoptr(GPtrArray) facts = g_ptr_array_new_with_free_func(facts_destroy);

    if (!list) {
        dv_within(err, "disk list");
        return NULL;
    }
    for (size_t i = 0; i < ovo_count(list, "disks"); i++) {
        g_autoptr(Ovo) entry = ovo_at(list, "disks", i);

        if (!read_entry(entry, facts, err)) {
            dv_within(err, "disk list");
            return NULL;
        }
    }
    return g_steal_pointer(&facts);
}
