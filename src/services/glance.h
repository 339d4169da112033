/* Glance v2: image records and their data.
 *
 * Identity   the user's token, as in nova; glance has no credentials of its own there.
 * Errors     DV_E_IMAGE_NOT_FOUND, DV_E_IMAGE_UNACCEPTABLE (checksum, size), DV_E_NO_SPACE,
 * DV_E_DENIED, DV_E_UNAVAILABLE. Whether an image is active is for the caller to judge.
 * Threads    any.
 * Sources    image API v2 reference; nova image/glance.py (Zed). */
#pragma once

#include "services/auth.h"

typedef struct GlanceImage {
    char *id, *name, *status, *disk_format, *container_format;
    char *checksum;               /* md5, or NULL */
    char *hash_algo, *hash_value; /* os_hash_*, or NULL */
    int64_t size_bytes;           /* -1 unknown */
    int64_t min_disk_gib, min_ram_mib;
    GHashTable *properties; /* name -> text */
} GlanceImage;
void glance_image_free(GlanceImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GlanceImage, glance_image_free)

bool glance_image_get(Service *glance, const DvCtx *ctx, const char *id, GlanceImage **out,
                      GError **err);
/* "http://glance:9292/images/ID", by which notifications name an image. NULL: no endpoint is known.
 * Caller frees. */
char *glance_image_url(Service *glance, const DvCtx *ctx, const char *id);
/* Streams the data into fd, verifies os_hash_* (else checksum) and the size; at most max_bytes (0:
 * the record's size). Tries again from the start on connection loss, `retries` times; fd is
 * truncated first. */
bool glance_download(Service *glance, const DvCtx *ctx, const GlanceImage *image, int fd,
                     uint64_t max_bytes, unsigned retries, GError **err);
