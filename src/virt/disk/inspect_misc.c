/* VDI, ISO 9660, LUKS, partition tables, and the formats that are only recognised to be refused.
 *
 * Layouts by VirtualBox's VDICore.h as QEMU documents it, ECMA-119, the LUKS on-disk format, the
 * UEFI specification. */
#include "virt/disk/inspect_priv.h"

#include <string.h>

/* ---- VDI ---- */

#define VDI_HEADER 512
#define VDI_SIGNATURE 0xbeda107fu
#define VDI_MAX_BLOCKS 0x3fffffffu

static bool vdi_matches(const ImageReader *reader)
{
    return image_le32(reader->head + 0x40) == VDI_SIGNATURE;
}

static bool vdi_check(const ImageReader *reader, ImageFacts *out, GError **err)
{
    static const uint8_t no_uuid[16];
    const uint8_t *h = reader->head;
    uint32_t type = image_le32(h + 0x4c), map = image_le32(h + 0x154), data = image_le32(h + 0x158);
    uint64_t size = image_le64(h + 0x170), block = image_le32(h + 0x178);
    uint64_t blocks = image_le32(h + 0x180);

    if (reader->head_length < VDI_HEADER)
        return image_refuse(err, "truncated header");
    if (image_le32(h + 0x44) != 0x00010001)
        return image_refuse(err, "unknown version");
    if (type != 1 && type != 2) /* dynamic, static; undo and differencing have parents */
        return image_refuse(err, "image type %u is not supported", type);
    if (memcmp(h + 0x1a8, no_uuid, 16) != 0 || memcmp(h + 0x1b8, no_uuid, 16) != 0)
        return image_refuse(err, "it has a parent");
    if (image_le32(h + 0x168) != 512 || block == 0 || blocks > VDI_MAX_BLOCKS ||
        size > blocks * block || map % 512 || data % 512)
        return image_refuse(err, "the header contradicts itself");
    if (!image_reader_has(reader, map, blocks * 4) || data > reader->file_bytes)
        return image_refuse(err, "truncated: the block map is not in the file");
    out->virtual_bytes = size;
    return true;
}

const ImageFamily image_family_vdi = {IMAGE_VDI, "vdi", vdi_matches, vdi_check};

/* ---- ISO 9660 and UDF ---- */

#define ISO_DESCRIPTOR (32 * 1024)

static bool iso_matches(const ImageReader *reader)
{
    const uint8_t *id = reader->head + ISO_DESCRIPTOR + 1;

    return reader->head_length == IMAGE_HEAD_BYTES &&
           (memcmp(id, "CD001", 5) == 0 || memcmp(id, "NSR02", 5) == 0 ||
            memcmp(id, "NSR03", 5) == 0);
}

/* To a hypervisor a CD image is a raw disk: nothing in it is interpreted, and its size is the
 * file's. */
static bool iso_check(const ImageReader *reader G_GNUC_UNUSED, ImageFacts *out G_GNUC_UNUSED,
                      GError **err G_GNUC_UNUSED)
{
    return true;
}

const ImageFamily image_family_iso = {IMAGE_ISO, "iso", iso_matches, iso_check};

/* ---- LUKS ---- */

static bool luks_matches(const ImageReader *reader)
{
    return memcmp(reader->head, "LUKS\xba\xbe", 6) == 0;
}

static bool luks_check(const ImageReader *reader, ImageFacts *out G_GNUC_UNUSED, GError **err)
{
    unsigned version = (unsigned)(reader->head[6] << 8 | reader->head[7]);

    if (reader->head_length < 592)
        return image_refuse(err, "truncated header");
    return version == 1 || version == 2 ? true
                                        : image_refuse(err, "version %u is unknown", version);
}

const ImageFamily image_family_luks = {IMAGE_LUKS, "luks", luks_matches, luks_check};

/* ---- not supported ---- */

static bool is_dmg(const ImageReader *reader)
{
    uint8_t trailer[4];

    return reader->file_bytes >= 512 &&
           image_reader_at(reader, reader->file_bytes - 512, trailer, sizeof(trailer), NULL) &&
           memcmp(trailer, "koly", 4) == 0;
}

const char *image_foreign_format(const ImageReader *reader)
{
    static const struct {
        const char *name, *magic;
    } known[] = {
        {"parallels", "WithoutFreeSpace"},
        {"parallels", "WithouFreSpacExt"},
        {"bochs", "Bochs Virtual HD Image"},
        {"cloop",
         "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop"},
        {"qcow", "QFI\xfb\x00\x00\x00\x01"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
        size_t length = strcmp(known[i].name, "qcow") == 0 ? 8 : strlen(known[i].magic);

        if (memcmp(reader->head, known[i].magic, length) == 0)
            return known[i].name;
    }
    return is_dmg(reader) ? "dmg" : NULL;
}

/* ---- partition tables ---- */

bool image_has_partitions(const ImageReader *reader, bool *out_gpt)
{
    const uint8_t *h = reader->head;

    *out_gpt = reader->head_length >= 520 && memcmp(h + 512, "EFI PART", 8) == 0;
    if (*out_gpt)
        return true;
    if (reader->head_length < 512 || h[510] != 0x55 || h[511] != 0xaa)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *entry = h + 446 + i * 16;

        if ((entry[0] & 0x7f) == 0 && entry[4] != 0 && image_le32(entry + 12) != 0)
            return true;
    }
    return false;
}
