/* What an image file really is, read from its header by our own bounded code before any tool opens
 * it.
 *
 * Refused (DV_E_IMAGE_UNACCEPTABLE): backing files, external data files, unknown incompatible
 * features, VMDK with descriptors that name other files, content that is another format than
 * declared, truncated or self-contradicting headers, more than one format matching where that is
 * ambiguous. Threads    any; reads at most a few MiB of the descriptor's file. Sources    QEMU
 * docs/interop/qcow2.txt, VMDK, VDI, VHD, VHDX specifications; oslo.utils
 *            imageutils.format_inspector; CVE-2024-32498 and CVE-2024-40767. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef enum {
    IMAGE_RAW, /* nothing recognised, or an MBR/GPT disk */
    IMAGE_QCOW2,
    IMAGE_QED,
    IMAGE_VMDK,
    IMAGE_VDI,
    IMAGE_VHD,
    IMAGE_VHDX,
    IMAGE_ISO,
    IMAGE_LUKS,
} ImageFormat;

typedef struct ImageFacts {
    ImageFormat format;
    uint64_t virtual_bytes;
    bool gpt;               /* raw with a GUID partition table */
    uint32_t cluster_bytes; /* of qcow2, else 0 */
    char vmdk_type[32];     /* createType in lower case, else "" */
} ImageFacts;

const char *image_format_name(ImageFormat format); /* qemu-img's name: "qcow2", "vpc" ... */
/* Reads the header of `fd` (positions untouched). */
bool image_inspect(int fd, ImageFacts *out, GError **err);
/* image_inspect plus: the content must be what glance's disk_format says. */
bool image_inspect_as(int fd, const char *disk_format, const char *const *vmdk_allowed_types,
                      ImageFacts *out, GError **err);
/* True unless it is a VMDK whose createType is not in the list (NULL or empty: none is). */
bool image_vmdk_allowed(const ImageFacts *facts, const char *const *vmdk_allowed_types,
                        GError **err);
/* image_inspect on bytes, for fuzzing: `read` is as pread. */
typedef int64_t (*ImageReadFn)(void *arg, void *buffer, size_t length, uint64_t offset);
bool image_inspect_with(ImageReadFn read, void *arg, uint64_t file_bytes, ImageFacts *out,
                        GError **err);
