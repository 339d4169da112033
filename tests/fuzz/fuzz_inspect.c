/* Image headers.
 *
 * Formats keep their tables far apart (VHDX at 192 KiB and beyond 1 MiB), so an input is a sparse
 * file: its size (8 bytes, little-endian), then pieces of offset (4), length (2) and bytes. What is
 * accepted must really be harmless: the invariants below are checked on the bytes once more. Seeds
 * are made by tests/fuzz/seeds_inspect. */
#include "virt/disk/inspect_priv.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Sparse {
    uint8_t *bytes; /* the first FILE_MAX of the file */
    uint64_t size;
} Sparse;

static int64_t sparse_read(void *arg, void *buffer, size_t length, uint64_t offset)
{
    const Sparse *s = arg;
    size_t n;

    if (offset >= s->size)
        return 0;
    n = (size_t)MIN((uint64_t)length, s->size - offset);
    memset(buffer, 0, n);
    if (offset < FILE_MAX)
        memcpy(buffer, s->bytes + offset, MIN(n, FILE_MAX - (size_t)offset));
    return (int64_t)n;
}

static void must(bool truth)
{
    if (!truth)
        abort();
}

/* Writes the pieces, or zeroes where they went. */
static bool place(const uint8_t *data, size_t size, Sparse *out, bool clear)
{
    size_t at = 8;

    if (size < 8)
        return false;
    out->size = image_le64(data);
    while (at + 6 <= size) {
        size_t offset = image_le32(data + at), length = image_le16(data + at + 4);

        at += 6;
        length = MIN(length, size - at);
        if (offset < FILE_MAX && clear)
            memset(out->bytes + offset, 0, MIN(length, FILE_MAX - offset));
        else if (offset < FILE_MAX)
            memcpy(out->bytes + offset, data + at, MIN(length, FILE_MAX - offset));
        at += length;
    }
    return true;
}

static void check_accepted(const Sparse *s, const ImageFacts *facts)
{
    static const char *const all_types[] = {"monolithicSparse", "streamOptimized", NULL};
    uint8_t head[1024] = {0};

    memcpy(head, s->bytes, MIN(sizeof(head), s->size)); /* what is behind the end is not there */
    must(facts->format != IMAGE_QED);
    if (facts->format == IMAGE_RAW || facts->format == IMAGE_ISO)
        must(facts->virtual_bytes == s->size && memcmp(head, "QFI\xfb", 4) != 0);
    if (facts->format == IMAGE_QCOW2) {
        must(image_be64(head + 8) == 0 && image_be32(head + 16) == 0 && image_be32(head + 32) == 0);
        must(image_be32(head + 4) == 2 || (image_be64(head + 72) & ~(uint64_t)0xb) == 0);
        must(facts->virtual_bytes <= INT64_MAX && facts->cluster_bytes >= 512);
    }
    if (facts->format == IMAGE_VMDK)
        must(image_vmdk_allowed(facts, all_types, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[FILE_MAX]; /* kept zero between runs */
    Sparse sparse = {bytes, 0};
    g_autoptr(GError) err = NULL;
    ImageFacts facts;

    if (!place(data, size, &sparse, false))
        return 0;
    if (image_inspect_with(sparse_read, &sparse, sparse.size, &facts, &err))
        check_accepted(&sparse, &facts);
    else
        must(err && err->message && dv_code(err) == DV_E_IMAGE_UNACCEPTABLE);
    (void)place(data, size, &sparse, true);
    return 0;
}
