/* Finds out what an image file is and whether a tool may open it; see inspect.h.
 *
 * All families look at the start of the file; exactly one may claim it. A file that nobody claims
 * is raw. What the families check is in inspect_<family>.c, each by the published layout of its
 * format. */
#include "virt/disk/inspect_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const ImageFamily *const families[] = {
    &image_family_qcow2, &image_family_qed,  &image_family_vmdk, &image_family_vdi,
    &image_family_vhd,   &image_family_vhdx, &image_family_iso,  &image_family_luks,
};

/* Glance's disk_format values that a compute host takes, and the content each must have. The
 * Amazon kinds (ami, aki, ari) are plain disks. */
static const struct {
    const char *disk_format;
    ImageFormat format;
} glance_formats[] = {
    {"raw", IMAGE_RAW}, {"qcow2", IMAGE_QCOW2}, {"vmdk", IMAGE_VMDK}, {"vdi", IMAGE_VDI},
    {"vhd", IMAGE_VHD}, {"vhdx", IMAGE_VHDX},   {"iso", IMAGE_ISO},   {"ami", IMAGE_RAW},
    {"aki", IMAGE_RAW}, {"ari", IMAGE_RAW},
};

static const char *const format_names[] = {
    [IMAGE_RAW] = "raw",   [IMAGE_QCOW2] = "qcow2", [IMAGE_QED] = "qed",
    [IMAGE_VMDK] = "vmdk", [IMAGE_VDI] = "vdi",     [IMAGE_VHD] = "vpc",
    [IMAGE_VHDX] = "vhdx", [IMAGE_ISO] = "raw",     [IMAGE_LUKS] = "luks",
};

/* ---- bytes ---- */

uint16_t image_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t image_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t image_le64(const uint8_t *p)
{
    return (uint64_t)image_le32(p) | (uint64_t)image_le32(p + 4) << 32;
}

uint32_t image_be32(const uint8_t *p)
{
    return (uint32_t)p[3] | (uint32_t)p[2] << 8 | (uint32_t)p[1] << 16 | (uint32_t)p[0] << 24;
}

uint64_t image_be64(const uint8_t *p)
{
    return (uint64_t)image_be32(p) << 32 | image_be32(p + 4);
}

bool image_refuse(GError **err, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE, "%s", text);
}

bool image_reader_has(const ImageReader *reader, uint64_t offset, uint64_t length)
{
    return offset <= reader->file_bytes && length <= reader->file_bytes - offset;
}

bool image_reader_at(const ImageReader *reader, uint64_t offset, void *out, size_t length,
                     GError **err)
{
    size_t done = 0;

    if (length > IMAGE_READ_MAX)
        return image_refuse(err, "a header of %zu bytes is too large", length);
    if (!image_reader_has(reader, offset, length))
        return image_refuse(err, "truncated: %zu bytes at %" G_GUINT64_FORMAT " are not there",
                            length, offset);
    while (done < length) {
        int64_t got = reader->read(reader->arg, (uint8_t *)out + done, length - done,
                                   offset + done);

        if (got < 0)
            return dv_fail(err, DV_E_IO, "reading the image: %s", g_strerror(errno));
        if (got == 0)
            return image_refuse(err, "truncated: it ends at %" G_GUINT64_FORMAT, offset + done);
        done += (size_t)got;
    }
    return true;
}

/* ---- the verdict ---- */

static bool reader_open(ImageReader *reader, ImageReadFn read, void *arg, uint64_t file_bytes,
                        GError **err)
{
    memset(reader, 0, sizeof(*reader));
    reader->read = read;
    reader->arg = arg;
    reader->file_bytes = file_bytes;
    reader->head_length = (size_t)MIN(file_bytes, (uint64_t)IMAGE_HEAD_BYTES);
    return image_reader_at(reader, 0, reader->head, reader->head_length, err);
}

static bool find_family(const ImageReader *reader, const ImageFamily **out, GError **err)
{
    const ImageFamily *found = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(families); i++) {
        if (!families[i]->matches(reader))
            continue;
        if (found)
            return image_refuse(err, "ambiguous: it is a %s and a %s image at once", found->name,
                                families[i]->name);
        found = families[i];
    }
    *out = found;
    return true;
}

static bool inspect(const ImageReader *reader, ImageFacts *out, GError **err)
{
    const ImageFamily *family = NULL;
    ImageFacts facts = {.format = IMAGE_RAW, .virtual_bytes = reader->file_bytes};
    const char *foreign = image_foreign_format(reader);

    if (foreign)
        return image_refuse(err, "it is a %s image, which is not supported", foreign);
    if (!find_family(reader, &family, err))
        return false;
    if (family) {
        facts.format = family->format;
        if (!family->check(reader, &facts, err))
            return dv_within(err, "%s image", family->name);
    } else {
        (void)image_has_partitions(reader, &facts.gpt);
    }
    *out = facts;
    return true;
}

bool image_inspect_with(ImageReadFn read, void *arg, uint64_t file_bytes, ImageFacts *out,
                        GError **err)
{
    g_autofree ImageReader *reader = g_new(ImageReader, 1);

    return reader_open(reader, read, arg, file_bytes, err) && inspect(reader, out, err);
}

static int64_t read_fd(void *arg, void *buffer, size_t length, uint64_t offset)
{
    ssize_t got;

    if (offset > INT64_MAX)
        return 0;
    do
        got = pread(*(int *)arg, buffer, length, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got;
}

static bool fd_size(int fd, uint64_t *out, GError **err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return dv_fail(err, DV_E_IO, "image file: %s", g_strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dv_fail(err, DV_E_IO, "image file: not a regular file");
    *out = (uint64_t)st.st_size;
    return true;
}

bool image_inspect(int fd, ImageFacts *out, GError **err)
{
    uint64_t size = 0;

    return fd_size(fd, &size, err) && image_inspect_with(read_fd, &fd, size, out, err);
}

bool qcow2_header_of(int fd, Qcow2Header *out, GError **err)
{
    g_autofree ImageReader *reader = g_new(ImageReader, 1);
    uint64_t size = 0;

    return fd_size(fd, &size, err) && reader_open(reader, read_fd, &fd, size, err) &&
           qcow2_header_read(reader, out, err);
}

static bool wanted_format(const char *disk_format, ImageFormat *out, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(glance_formats); i++) {
        if (g_strcmp0(disk_format, glance_formats[i].disk_format) == 0) {
            *out = glance_formats[i].format;
            return true;
        }
    }
    return image_refuse(err, "disk_format %s is not supported", disk_format ? disk_format : "null");
}

bool image_inspect_as(int fd, const char *disk_format, const char *const *vmdk_allowed_types,
                      ImageFacts *out, GError **err)
{
    ImageFormat wanted = IMAGE_RAW;
    ImageFacts facts;

    if (!wanted_format(disk_format, &wanted, err) || !image_inspect(fd, &facts, err))
        return false;
    if (facts.format != wanted)
        return image_refuse(err, "the content is %s, not disk_format %s",
                            facts.format == IMAGE_ISO ? "iso" : image_format_name(facts.format),
                            disk_format);
    if (!image_vmdk_allowed(&facts, vmdk_allowed_types, err))
        return false;
    *out = facts;
    return true;
}

bool image_vmdk_allowed(const ImageFacts *facts, const char *const *vmdk_allowed_types,
                        GError **err)
{
    if (facts->format != IMAGE_VMDK)
        return true;
    for (size_t i = 0; vmdk_allowed_types && vmdk_allowed_types[i]; i++)
        /* descriptors are case-insensitive; the parser has lowered this one */
        if (g_ascii_strcasecmp(vmdk_allowed_types[i], facts->vmdk_type) == 0)
            return true;
    return image_refuse(err, "vmdk createType %s is not in vmdk_allowed_types", facts->vmdk_type);
}

const char *image_format_name(ImageFormat format)
{
    g_assert((size_t)format < G_N_ELEMENTS(format_names));
    return format_names[format];
}
