/* VHD (QEMU's "vpc", dynamic disks) and VHDX.
 *
 * Both can be differencing disks, which name a parent file: refused. A fixed VHD has its footer
 * only at the end, looks like a raw disk from the start, and passes as nothing but raw. Layouts by
 * Microsoft's VHD 1.0 specification and [MS-VHDX]. */
#include "virt/disk/inspect_priv.h"

#include <string.h>

/* ---- VHD ---- */

#define VHD_FOOTER 512
#define VHD_DYNAMIC_HEADER 1024
#define VHD_TYPE_DYNAMIC 3
#define VHD_MAX_BYTES ((uint64_t)2040 * 1024 * 1024 * 1024)

static bool vhd_matches(const ImageReader *reader)
{
    return memcmp(reader->head, "conectix", 8) == 0;
}

/* One's complement of the byte sum, the checksum field itself left out. */
static bool vhd_checksum_ok(const uint8_t *p, size_t length, size_t at)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i++)
        if (i < at || i >= at + 4)
            sum += p[i];
    return ~sum == image_be32(p + at);
}

static bool vhd_check_dynamic(const ImageReader *reader, uint64_t offset, uint64_t virtual_bytes,
                              GError **err)
{
    uint8_t h[VHD_DYNAMIC_HEADER];
    uint64_t table, block;
    uint32_t entries;

    if (!image_reader_at(reader, offset, h, sizeof(h), err))
        return false;
    if (memcmp(h, "cxsparse", 8) != 0 || !vhd_checksum_ok(h, sizeof(h), 36))
        return image_refuse(err, "the dynamic header is damaged");
    table = image_be64(h + 16);
    entries = image_be32(h + 28);
    block = image_be32(h + 32);
    if (block < 512 || (block & (block - 1)))
        return image_refuse(err, "impossible block size");
    if ((uint64_t)entries * block < virtual_bytes)
        return image_refuse(err, "the allocation table does not cover the disk");
    if (!image_reader_has(reader, table, (uint64_t)entries * 4))
        return image_refuse(err, "truncated: the allocation table is not in the file");
    for (size_t i = 40; i < 768; i++) /* parent id, time, name and locators */
        if (h[i] != 0 && (i < 56 || i >= 60))
            return image_refuse(err, "it names a parent");
    return true;
}

static bool vhd_check(const ImageReader *reader, ImageFacts *out, GError **err)
{
    const uint8_t *h = reader->head;
    uint64_t size = image_be64(h + 48);

    if (reader->head_length < VHD_FOOTER)
        return image_refuse(err, "truncated header");
    if (!vhd_checksum_ok(h, VHD_FOOTER, 64))
        return image_refuse(err, "the footer's checksum is wrong");
    if (image_be32(h + 60) != VHD_TYPE_DYNAMIC)
        return image_refuse(err, "disk type %u is not supported", image_be32(h + 60));
    if (size == 0 || size > VHD_MAX_BYTES)
        return image_refuse(err, "impossible size");
    if (!vhd_check_dynamic(reader, image_be64(h + 16), size, err))
        return false;
    out->virtual_bytes = size;
    return true;
}

const ImageFamily image_family_vhd = {IMAGE_VHD, "vhd", vhd_matches, vhd_check};

/* ---- VHDX ---- */

#define VHDX_REGION_TABLE (192 * 1024)
#define VHDX_TABLE_BYTES (64 * 1024)
#define VHDX_MAX_ENTRIES 2047
#define VHDX_MAX_BYTES ((uint64_t)64 * 1024 * 1024 * 1024 * 1024)

/* GUIDs as they lie on disk: the first three groups little-endian. */
static const uint8_t guid_bat[16] = {0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                     0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
static const uint8_t guid_metadata[16] = {0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                          0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
static const uint8_t guid_file_parameters[16] = {0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                                 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
static const uint8_t guid_disk_size[16] = {0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                           0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
static const uint8_t guid_parent_locator[16] = {0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45,
                                                0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c};

#define VHDX_PARAMETER_HAS_PARENT 2

static bool vhdx_matches(const ImageReader *reader)
{
    return memcmp(reader->head, "vhdxfile", 8) == 0;
}

static bool vhdx_find_metadata(const ImageReader *reader, uint64_t *out_offset,
                               uint32_t *out_length, GError **err)
{
    g_autofree uint8_t *table = g_malloc(VHDX_TABLE_BYTES);
    uint64_t metadata = 0;
    uint32_t count, metadata_length = 0;

    if (!image_reader_at(reader, VHDX_REGION_TABLE, table, VHDX_TABLE_BYTES, err))
        return false;
    count = image_le32(table + 8);
    if (memcmp(table, "regi", 4) != 0 || count > VHDX_MAX_ENTRIES)
        return image_refuse(err, "the region table is damaged");
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *entry = table + 16 + i * 32;
        uint64_t offset = image_le64(entry + 16);
        uint32_t length = image_le32(entry + 24);

        if (memcmp(entry, guid_metadata, 16) == 0) {
            if (metadata)
                return image_refuse(err, "it has two metadata regions");
            metadata = offset;
            metadata_length = length;
        } else if (memcmp(entry, guid_bat, 16) != 0 && image_le32(entry + 28) & 1) {
            return image_refuse(err, "it requires an unknown region");
        }
        if (!image_reader_has(reader, offset, length))
            return image_refuse(err, "truncated: a region is not in the file");
    }
    if (!metadata || metadata_length < VHDX_TABLE_BYTES)
        return image_refuse(err, "it has no metadata region");
    *out_offset = metadata;
    *out_length = metadata_length;
    return true;
}

/* An item's first bytes; the item lies inside the metadata region. */
static bool vhdx_item(const ImageReader *reader, uint64_t region, uint32_t region_length,
                      const uint8_t *entry, void *out, uint32_t want, GError **err)
{
    uint32_t offset = image_le32(entry + 16), length = image_le32(entry + 20);

    if (length < want || offset > region_length || length > region_length - offset)
        return image_refuse(err, "a metadata item is damaged");
    return image_reader_at(reader, region + offset, out, want, err);
}

static bool vhdx_metadata(const ImageReader *reader, uint64_t region, uint32_t region_length,
                          uint64_t *out_size, GError **err)
{
    g_autofree uint8_t *table = g_malloc(VHDX_TABLE_BYTES);
    bool have_size = false, have_parameters = false;
    uint16_t count;

    if (!image_reader_at(reader, region, table, VHDX_TABLE_BYTES, err))
        return false;
    count = image_le16(table + 10);
    if (memcmp(table, "metadata", 8) != 0 || count > VHDX_MAX_ENTRIES)
        return image_refuse(err, "the metadata table is damaged");
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *entry = table + 32 + i * 32;
        uint8_t value[8];

        if (memcmp(entry, guid_parent_locator, 16) == 0)
            return image_refuse(err, "it names a parent");
        if (memcmp(entry, guid_file_parameters, 16) == 0) {
            if (!vhdx_item(reader, region, region_length, entry, value, 8, err))
                return false;
            if (image_le32(value + 4) & VHDX_PARAMETER_HAS_PARENT)
                return image_refuse(err, "it has a parent");
            have_parameters = true;
        } else if (memcmp(entry, guid_disk_size, 16) == 0) {
            if (have_size)
                return image_refuse(err, "it has two sizes");
            if (!vhdx_item(reader, region, region_length, entry, value, 8, err))
                return false;
            *out_size = image_le64(value);
            have_size = true;
        }
    }
    return have_size && have_parameters ? true : image_refuse(err, "it does not say its size");
}

static bool vhdx_check(const ImageReader *reader, ImageFacts *out, GError **err)
{
    uint64_t region = 0, size = 0;
    uint32_t region_length = 0;

    if (!vhdx_find_metadata(reader, &region, &region_length, err) ||
        !vhdx_metadata(reader, region, region_length, &size, err))
        return false;
    if (size == 0 || size > VHDX_MAX_BYTES)
        return image_refuse(err, "impossible size");
    out->virtual_bytes = size;
    return true;
}

const ImageFamily image_family_vhdx = {IMAGE_VHDX, "vhdx", vhdx_matches, vhdx_check};
