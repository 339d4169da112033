/* Shared by the families of inspect.c: a bounded reader and what each family offers.
 *
 * Every number that comes from the file is held against the file's size before it is used as an
 * offset or a length; reads are at most IMAGE_READ_MAX bytes each.
 * Threads    pure functions on the caller's reader. */
#pragma once

#include "virt/disk/inspect.h"

#include <stddef.h>

#define IMAGE_HEAD_BYTES (34 * 1024) /* up to the end of the ISO volume descriptor */
#define IMAGE_READ_MAX (1024 * 1024)

typedef struct ImageReader {
    ImageReadFn read;
    void *arg;
    uint64_t file_bytes;
    uint8_t head[IMAGE_HEAD_BYTES]; /* the file's start, zeroes past its end */
    size_t head_length;             /* bytes of it that the file really has */
} ImageReader;

/* Reads exactly `length` bytes; a range past the end of the file is DV_E_IMAGE_UNACCEPTABLE. */
bool image_reader_at(const ImageReader *reader, uint64_t offset, void *out, size_t length,
                     GError **err);
/* True when [offset, offset + length) lies inside the file, without overflow. */
bool image_reader_has(const ImageReader *reader, uint64_t offset, uint64_t length);
/* False with DV_E_IMAGE_UNACCEPTABLE, for the one-line refusals of the families. */
bool image_refuse(GError **err, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

uint16_t image_le16(const uint8_t *p);
uint32_t image_le32(const uint8_t *p);
uint64_t image_le64(const uint8_t *p);
uint32_t image_be32(const uint8_t *p);
uint64_t image_be64(const uint8_t *p);

/* One family: does the start look like it, and is the header acceptable. `check` may rely on
 * `matches`; it fills virtual_bytes and what else it learns. */
typedef struct ImageFamily {
    ImageFormat format;
    const char *name;
    bool (*matches)(const ImageReader *reader);
    bool (*check)(const ImageReader *reader, ImageFacts *out, GError **err);
} ImageFamily;

extern const ImageFamily image_family_qcow2, image_family_qed, image_family_vmdk, image_family_vdi,
    image_family_vhd, image_family_vhdx, image_family_iso, image_family_luks;

/* Formats that QEMU would recognise and nobody supports (parallels, bochs, dmg ...): the name, or
 * NULL. */
const char *image_foreign_format(const ImageReader *reader);
/* A GPT header, or an MBR partition table that makes sense. */
bool image_has_partitions(const ImageReader *reader, bool *out_gpt);

/* The qcow2 header fields that disks need of their own files; a backing file is no refusal here. */
typedef struct Qcow2Header {
    uint32_t version;
    uint32_t cluster_bits;
    uint64_t virtual_bytes;
    uint64_t backing_offset;
    uint32_t backing_length;
} Qcow2Header;
bool qcow2_header_read(const ImageReader *reader, Qcow2Header *out, GError **err);
bool qcow2_header_of(int fd, Qcow2Header *out, GError **err);
