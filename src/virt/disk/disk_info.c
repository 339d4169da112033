/* disk.info: one JSON object, disk path -> format, beside the disks it describes.
 *
 * It is what says a disk's format, because a guest can write any header into a raw disk. The file
 * is nova's; virt has no JSON library, and a flat object of strings needs none. */
#include "virt/disk/disks_priv.h"

#include "util/fs.h"

#include <string.h>

#define DISK_INFO_MAX_ENTRIES 256

static const char *const format_names[] = {
    [DISK_FORMAT_RAW] = "raw",
    [DISK_FORMAT_QCOW2] = "qcow2",
};

const char *disk_format_name(DiskFormat format)
{
    g_assert((size_t)format < G_N_ELEMENTS(format_names));
    return format_names[format];
}

bool disk_format_parse(const char *name, DiskFormat *out)
{
    for (size_t i = 0; i < G_N_ELEMENTS(format_names); i++) {
        if (g_strcmp0(name, format_names[i]) == 0) {
            *out = (DiskFormat)i;
            return true;
        }
    }
    return false;
}

static void skip_space(const char **p)
{
    *p += strspn(*p, " \t\r\n");
}

static bool take(const char **p, char c)
{
    skip_space(p);
    if (**p != c)
        return false;
    (*p)++;
    return true;
}

static bool take_hex4(const char **p, uint32_t *out)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value((*p)[i]);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *p += 4;
    *out = value;
    return true;
}

/* After the backslash and its 'u': one code point, by two escapes beyond the first plane. */
static bool take_unicode(const char **p, GString *out)
{
    uint32_t first = 0, second = 0;

    if (!take_hex4(p, &first))
        return false;
    if (first >= 0xd800 && first < 0xdc00) {
        if ((*p)[0] != '\\' || (*p)[1] != 'u')
            return false;
        *p += 2;
        if (!take_hex4(p, &second) || second < 0xdc00 || second > 0xdfff)
            return false;
        first = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    }
    if (first == 0 || (first >= 0xdc00 && first <= 0xdfff))
        return false;
    g_string_append_unichar(out, first);
    return true;
}

static bool take_escape(const char **p, GString *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = **p;
    const char *at = c ? strchr(from, c) : NULL;

    if (c == 'u') {
        (*p)++;
        return take_unicode(p, out);
    }
    if (!at)
        return false;
    g_string_append_c(out, to[at - from]);
    (*p)++;
    return true;
}

static bool take_string(const char **p, char **out)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (!take(p, '"'))
        return false;
    while (**p && **p != '"') {
        if ((unsigned char)**p < 0x20)
            return false;
        if (**p != '\\') {
            g_string_append_c(text, *(*p)++);
            continue;
        }
        (*p)++;
        if (!take_escape(p, text))
            return false;
    }
    if (!take(p, '"') || !g_utf8_validate(text->str, (gssize)text->len, NULL))
        return false;
    *out = g_strdup(text->str);
    return true;
}

static bool take_object(const char **p, GHashTable *table)
{
    if (!take(p, '{'))
        return false;
    if (take(p, '}'))
        return true;
    do {
        g_autofree char *key = NULL, *value = NULL;

        if (!take_string(p, &key) || !take(p, ':') || !take_string(p, &value) ||
            g_hash_table_size(table) >= DISK_INFO_MAX_ENTRIES)
            return false;
        g_hash_table_replace(table, g_steal_pointer(&key), g_steal_pointer(&value));
    } while (take(p, ','));
    return take(p, '}');
}

bool disk_info_parse(const char *text, GHashTable **out, GError **err)
{
    g_autoptr(GHashTable) table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const char *p = text;

    skip_space(&p);
    if (*p && !take_object(&p, table))
        return dv_fail(err, DV_E_INVALID_DISK, "disk.info: no object of strings");
    skip_space(&p);
    if (*p)
        return dv_fail(err, DV_E_INVALID_DISK, "disk.info: text after the object");
    *out = g_steal_pointer(&table);
    return true;
}

bool disk_info_read(const char *instance_dir, GHashTable **out, GError **err)
{
    g_autofree char *path = g_build_filename(instance_dir, "disk.info", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) reason = NULL;

    if (!dv_read_file(path, DISK_INFO_MAX_BYTES, &text, NULL, &reason)) {
        if (!dv_is(reason, DV_E_NOT_FOUND)) {
            g_propagate_error(err, g_steal_pointer(&reason));
            return false;
        }
        text = g_strdup("");
    }
    return disk_info_parse(text, out, err) || dv_within(err, "%s", path);
}

static void append_string(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            g_string_append_printf(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            g_string_append_printf(out, "\\u%04x", (unsigned)*p);
        else
            g_string_append_c(out, *p);
    }
    g_string_append_c(out, '"');
}

bool disk_info_write(const char *instance_dir, GHashTable *formats, GError **err)
{
    g_autofree char *path = g_build_filename(instance_dir, "disk.info", NULL);
    g_autoptr(GString) text = g_string_new("{");
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(formats), (GCompareFunc)strcmp);

    for (const GList *k = keys; k; k = k->next) {
        if (k != keys)
            g_string_append(text, ", ");
        append_string(text, k->data);
        g_string_append(text, ": ");
        append_string(text, g_hash_table_lookup(formats, k->data));
    }
    g_string_append(text, "}\n");
    return dv_write_file(path, text->str, text->len, DISK_FILE_MODE, err);
}
