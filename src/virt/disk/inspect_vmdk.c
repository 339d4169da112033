/* VMDK: one file with a sparse header and an embedded text descriptor.
 *
 * Descriptors can name other files as extents or as a parent; everything in them must be
 * understood, and only one sparse extent without any path passes. Text descriptors without a
 * sparse header and the older COWD layout are refused. Layout by VMware's Virtual Disk Format 5.0.
 */
#include "virt/disk/inspect_priv.h"

#include <string.h>

#define VMDK_SECTOR 512
#define VMDK_DESCRIPTOR_MAX ((1u << 20) - 1)
#define VMDK_GD_AT_END UINT64_MAX

/* QEMU takes a text for a descriptor when its first line, past comments, is a version. */
static bool vmdk_is_text(const uint8_t *head, size_t length)
{
    static const char *const openings[] = {"version=1", "version=2", "version=3"};
    const char *p = (const char *)head, *end = p + MIN(length, (size_t)4096);

    if (p == end || *p != '#')
        return false;
    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        size_t line = (size_t)((line_end ? line_end : end) - p);

        if (line > 0 && p[0] != '#' && p[0] != ' ' && p[0] != '\r') {
            for (size_t i = 0; i < G_N_ELEMENTS(openings); i++)
                if (line >= strlen(openings[i]) && memcmp(p, openings[i], strlen(openings[i])) == 0)
                    return true;
            return false;
        }
        p += line + 1;
    }
    return false;
}

static bool vmdk_matches(const ImageReader *reader)
{
    return memcmp(reader->head, "KDMV", 4) == 0 || memcmp(reader->head, "COWD", 4) == 0 ||
           vmdk_is_text(reader->head, reader->head_length);
}

/* The descriptor's text: lower case, ASCII, padding cut off. */
static bool vmdk_read_descriptor(const ImageReader *reader, uint64_t sectors, char **out,
                                 GError **err)
{
    size_t length = (size_t)MIN(sectors * VMDK_SECTOR, (uint64_t)VMDK_DESCRIPTOR_MAX);
    g_autofree char *text = g_malloc(length + 1);
    size_t used;

    if (!image_reader_at(reader, VMDK_SECTOR, text, length, err))
        return false;
    text[length] = '\0';
    used = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (i >= used ? text[i] != '\0' : (text[i] & 0x80) != 0)
            return image_refuse(err, "the descriptor is no plain text");
        text[i] = g_ascii_tolower(text[i]);
    }
    *out = g_steal_pointer(&text);
    return true;
}

typedef struct VmdkDescriptor {
    unsigned extents, create_types;
    char create_type[32];
} VmdkDescriptor;

/* Copies the value of key="value"; the quotes are optional. */
static bool vmdk_value(const char *text, char *out, size_t out_size)
{
    g_autofree char *value = g_strstrip(g_strdup(text));
    size_t length = strlen(value);

    if (length >= 2 && value[0] == '"' && value[length - 1] == '"') {
        value[length - 1] = '\0';
        memmove(value, value + 1, length - 1);
    }
    return g_strlcpy(out, value, out_size) < out_size;
}

static bool vmdk_header_line(VmdkDescriptor *desc, const char *key, size_t key_length,
                             const char *value, GError **err)
{
    char buffer[64];

    if (key_length == strlen("createtype") && strncmp(key, "createtype", key_length) == 0) {
        desc->create_types++;
        if (!vmdk_value(value, desc->create_type, sizeof(desc->create_type)))
            return image_refuse(err, "unreadable createType");
    } else if (key_length == strlen("parentcid") && strncmp(key, "parentcid", key_length) == 0) {
        if (!vmdk_value(value, buffer, sizeof(buffer)) || strcmp(buffer, "ffffffff") != 0)
            return image_refuse(err, "it has a parent");
    }
    return true;
}

/* RW 8192 SPARSE "name.vmdk" */
static bool vmdk_extent_line(VmdkDescriptor *desc, const char *line, GError **err)
{
    g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);
    const char *kind = NULL;
    unsigned n = 0;

    desc->extents++;
    for (char **w = words; *w; w++)
        if (**w && n++ == 2)
            kind = *w;
    if (strpbrk(line, "/\\"))
        return image_refuse(err, "an extent names a path");
    if (g_strcmp0(kind, "sparse") != 0)
        return image_refuse(err, "an extent of type %.16s lies outside the file",
                            kind ? kind : "none");
    return true;
}

static bool vmdk_check_line(VmdkDescriptor *desc, const char *line, GError **err)
{
    static const char *const access[] = {"rw", "rdonly", "noaccess"};
    const char *equals = strchr(line, '=');
    size_t word = strcspn(line, " \t");

    if (*line == '\0' || *line == '#' || g_str_has_prefix(line, "ddb"))
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(access); i++)
        if (word == strlen(access[i]) && strncmp(line, access[i], word) == 0)
            return vmdk_extent_line(desc, line, err);
    if (equals && (size_t)(equals - line) <= word)
        return vmdk_header_line(desc, line, (size_t)(equals - line), equals + 1, err);
    return image_refuse(err, "the descriptor has a line that is not understood");
}

static bool vmdk_check_descriptor(char *text, VmdkDescriptor *desc, GError **err)
{
    const char *first = strstr(text, "createtype");
    char *save = NULL;

    /* QEMU searches the text for these words, so that a comment counts as well. */
    if (strstr(text, "parentfilenamehint"))
        return image_refuse(err, "it has a parent");
    if (!first || strstr(first + 1, "createtype"))
        return image_refuse(err, "the descriptor needs one createType");
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (!vmdk_check_line(desc, g_strstrip(line), err))
            return false;
    if (desc->create_types != 1)
        return image_refuse(err, "the descriptor needs one createType");
    if (desc->extents != 1)
        return image_refuse(err, "the descriptor has %u extents", desc->extents);
    return true;
}

static bool vmdk_check_header(const ImageReader *reader, uint64_t *out_descriptor, GError **err)
{
    const uint8_t *h = reader->head;
    uint32_t version = image_le32(h + 4);
    uint64_t capacity = image_le64(h + 12), grain = image_le64(h + 20);
    uint64_t gd_offset = image_le64(h + 56);

    if (memcmp(h, "KDMV", 4) != 0)
        return image_refuse(err, "only the hosted sparse layout is supported");
    if (reader->head_length < VMDK_SECTOR)
        return image_refuse(err, "truncated header");
    if (version < 1 || version > 3)
        return image_refuse(err, "version %u is not supported", version);
    if (gd_offset == VMDK_GD_AT_END)
        return image_refuse(err, "its header stands at the end, which is not supported");
    if (image_le64(h + 28) != 1)
        return image_refuse(err, "the descriptor is not where it belongs");
    /* capacity 0 makes QEMU read the file as a mere descriptor */
    if (capacity == 0 || capacity > INT64_MAX / VMDK_SECTOR)
        return image_refuse(err, "impossible capacity");
    if (grain == 0 || grain > 65536 || (grain & (grain - 1)))
        return image_refuse(err, "impossible grain size");
    if (image_le32(h + 44) == 0 || image_le32(h + 44) > 512)
        return image_refuse(err, "impossible grain table size");
    if (gd_offset > INT64_MAX / VMDK_SECTOR ||
        !image_reader_has(reader, gd_offset * VMDK_SECTOR, 4))
        return image_refuse(err, "truncated: the grain directory is not in the file");
    *out_descriptor = image_le64(h + 36);
    if (*out_descriptor == 0 || *out_descriptor > INT64_MAX / VMDK_SECTOR)
        return image_refuse(err, "impossible descriptor size");
    return true;
}

static bool vmdk_check(const ImageReader *reader, ImageFacts *out, GError **err)
{
    g_autofree char *text = NULL;
    VmdkDescriptor desc = {0};
    uint64_t sectors = 0;

    if (!vmdk_check_header(reader, &sectors, err) ||
        !vmdk_read_descriptor(reader, sectors, &text, err) ||
        !vmdk_check_descriptor(text, &desc, err))
        return false;
    /* the kinds that keep all data in this file, whatever the operator allows */
    if (strcmp(desc.create_type, "monolithicsparse") != 0 &&
        strcmp(desc.create_type, "streamoptimized") != 0)
        return image_refuse(err, "createType %s is not supported", desc.create_type);
    out->virtual_bytes = image_le64(reader->head + 12) * VMDK_SECTOR;
    (void)g_strlcpy(out->vmdk_type, desc.create_type, sizeof(out->vmdk_type));
    return true;
}

const ImageFamily image_family_vmdk = {IMAGE_VMDK, "vmdk", vmdk_matches, vmdk_check};
