/* qcow2 (versions 2 and 3) and QED.
 *
 * A qcow2 file can name a backing file and an external data file; both would make a tool open
 * another file of the host. Layout by QEMU's docs/interop/qcow2.txt. */
#include "virt/disk/inspect_priv.h"

#include <string.h>

#define QCOW2_V2_HEADER 72
#define QCOW2_V3_HEADER 104
#define QCOW2_MAX_L1_BYTES (32u * 1024 * 1024) /* QEMU's own limits */
#define QCOW2_MAX_REFTABLE_BYTES (8u * 1024 * 1024)
#define QCOW2_MAX_SNAPSHOTS 65536
#define QCOW2_MAX_EXTENSIONS 64

enum {
    QCOW2_INCOMPAT_DIRTY = 1 << 0,
    QCOW2_INCOMPAT_CORRUPT = 1 << 1,
    QCOW2_INCOMPAT_DATA_FILE = 1 << 2,
    QCOW2_INCOMPAT_COMPRESSION = 1 << 3,
    QCOW2_INCOMPAT_KNOWN = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT |
                           QCOW2_INCOMPAT_DATA_FILE | QCOW2_INCOMPAT_COMPRESSION,
};

enum {
    QCOW2_EXT_END = 0,
    QCOW2_EXT_DATA_FILE = 0x44415441, /* "DATA" */
    QCOW2_EXT_CRYPTO = 0x0537be77,
};

static bool qcow2_matches(const ImageReader *reader)
{
    return memcmp(reader->head, "QFI\xfb", 4) == 0;
}

bool qcow2_header_read(const ImageReader *reader, Qcow2Header *out, GError **err)
{
    const uint8_t *h = reader->head;
    Qcow2Header header;

    if (!qcow2_matches(reader))
        return image_refuse(err, "not a qcow2 header");
    if (reader->head_length < QCOW2_V3_HEADER)
        return image_refuse(err, "truncated header");
    header.version = image_be32(h + 4);
    header.backing_offset = image_be64(h + 8);
    header.backing_length = image_be32(h + 16);
    header.cluster_bits = image_be32(h + 20);
    header.virtual_bytes = image_be64(h + 24);
    if (header.version != 2 && header.version != 3)
        return image_refuse(err, "version %u is not supported", header.version);
    if (header.cluster_bits < 9 || header.cluster_bits > 21)
        return image_refuse(err, "cluster bits %u are out of range", header.cluster_bits);
    if (header.virtual_bytes > INT64_MAX)
        return image_refuse(err, "impossible virtual size");
    *out = header;
    return true;
}

/* The extensions stand between the header and the end of the first cluster. */
static bool qcow2_check_extensions(const ImageReader *reader, uint64_t offset, uint64_t end,
                                   GError **err)
{
    for (unsigned n = 0; offset + 8 <= end; n++) {
        uint8_t ext[8];
        uint32_t magic, length;

        if (n == QCOW2_MAX_EXTENSIONS)
            return image_refuse(err, "too many header extensions");
        if (!image_reader_at(reader, offset, ext, sizeof(ext), err))
            return false;
        magic = image_be32(ext);
        length = image_be32(ext + 4);
        offset += sizeof(ext);
        if (magic == QCOW2_EXT_END)
            return true;
        if (length > end - offset)
            return image_refuse(err, "header extension 0x%08x is longer than the header", magic);
        if (magic == QCOW2_EXT_DATA_FILE)
            return image_refuse(err, "it names an external data file");
        if (magic == QCOW2_EXT_CRYPTO)
            return image_refuse(err, "it is encrypted");
        offset += ((uint64_t)length + 7) & ~(uint64_t)7;
    }
    return true;
}

static bool qcow2_check_tables(const ImageReader *reader, const Qcow2Header *header, GError **err)
{
    const uint8_t *h = reader->head;
    uint64_t cluster = (uint64_t)1 << header->cluster_bits;
    uint64_t l1_entries = image_be32(h + 36), l1_offset = image_be64(h + 40);
    uint64_t reftable_offset = image_be64(h + 48);
    uint64_t reftable_bytes = (uint64_t)image_be32(h + 56) * cluster;
    uint64_t per_l1 = cluster * (cluster / 8); /* bytes of the disk behind one L1 entry */
    uint64_t want_l1 = header->virtual_bytes / per_l1 + (header->virtual_bytes % per_l1 ? 1 : 0);

    if (l1_entries * 8 > QCOW2_MAX_L1_BYTES || l1_entries < want_l1)
        return image_refuse(
            err, "an L1 table of %" G_GUINT64_FORMAT " entries does not fit its size", l1_entries);
    if (l1_offset % cluster || !image_reader_has(reader, l1_offset, l1_entries * 8))
        return image_refuse(err, "truncated: the L1 table is not in the file");
    if (reftable_bytes == 0 || reftable_bytes > QCOW2_MAX_REFTABLE_BYTES)
        return image_refuse(err, "impossible refcount table size");
    if (reftable_offset == 0 || reftable_offset % cluster ||
        !image_reader_has(reader, reftable_offset, 8))
        return image_refuse(err, "truncated: the refcount table is not in the file");
    if (image_be32(h + 60) > QCOW2_MAX_SNAPSHOTS)
        return image_refuse(err, "too many snapshots");
    if (image_be32(h + 60) && !image_reader_has(reader, image_be64(h + 64), 8))
        return image_refuse(err, "truncated: the snapshot table is not in the file");
    return true;
}

static bool qcow2_check_features(const ImageReader *reader, const Qcow2Header *header,
                                 uint32_t *out_header_length, GError **err)
{
    const uint8_t *h = reader->head;
    uint64_t incompatible;
    uint32_t length, refcount_order;

    if (header->version == 2) {
        *out_header_length = QCOW2_V2_HEADER;
        return true;
    }
    incompatible = image_be64(h + 72);
    refcount_order = image_be32(h + 96);
    length = image_be32(h + 100);
    if (incompatible & QCOW2_INCOMPAT_DATA_FILE)
        return image_refuse(err, "it keeps its data in another file");
    if (incompatible & ~(uint64_t)QCOW2_INCOMPAT_KNOWN)
        return image_refuse(err, "unknown incompatible features 0x%" G_GINT64_MODIFIER "x",
                            incompatible);
    if (length < QCOW2_V3_HEADER || length % 8 || length > (1u << header->cluster_bits) ||
        length > reader->head_length)
        return image_refuse(err, "impossible header length %u", length);
    if (refcount_order > 6)
        return image_refuse(err, "impossible refcount width");
    if (incompatible & QCOW2_INCOMPAT_COMPRESSION && (length < 112 || h[104] != 1))
        return image_refuse(err, "unknown compression type");
    *out_header_length = length;
    return true;
}

static bool qcow2_check(const ImageReader *reader, ImageFacts *out, GError **err)
{
    Qcow2Header header;
    uint32_t header_length = 0;

    if (!qcow2_header_read(reader, &header, err))
        return false;
    if (header.backing_offset || header.backing_length)
        return image_refuse(err, "it has a backing file");
    if (image_be32(reader->head + 32) != 0)
        return image_refuse(err, "it is encrypted");
    if (!qcow2_check_features(reader, &header, &header_length, err) ||
        !qcow2_check_extensions(reader, header_length, (uint64_t)1 << header.cluster_bits, err) ||
        !qcow2_check_tables(reader, &header, err))
        return false;
    out->virtual_bytes = header.virtual_bytes;
    out->cluster_bytes = 1u << header.cluster_bits;
    return true;
}

const ImageFamily image_family_qcow2 = {IMAGE_QCOW2, "qcow2", qcow2_matches, qcow2_check};

static bool qed_matches(const ImageReader *reader)
{
    return memcmp(reader->head, "QED", 4) == 0;
}

/* Nobody makes QED images any more, and they can have backing files. */
static bool qed_check(const ImageReader *reader G_GNUC_UNUSED, ImageFacts *out G_GNUC_UNUSED,
                      GError **err)
{
    return image_refuse(err, "QED is not supported");
}

const ImageFamily image_family_qed = {IMAGE_QED, "qed", qed_matches, qed_check};
