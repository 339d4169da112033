/* Glance v2: image records and their data.
 *
 * Identity   the user's token, as in nova; glance has no credentials of its own there.
 * Errors     DV_E_IMAGE_NOT_FOUND, DV_E_IMAGE_UNACCEPTABLE (checksum, size), DV_E_NO_SPACE,
 * DV_E_DENIED, DV_E_UNAVAILABLE, DV_E_CONFLICT (the image's status does not allow it),
 * DV_E_IMAGE_QUOTA. Whether an image is active is for the caller to judge.
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

/* ---- writing (glance_write.c) ---- */

/* A member or property of an image; a value NULL or "" is left as it is. */
typedef struct GlanceSetting {
    const char *name, *value;
} GlanceSetting;

/* Sets what differs from `image`, the record as read before: one PATCH, or none. */
bool glance_image_update(Service *glance, const DvCtx *ctx, const GlanceImage *image,
                         const GlanceSetting *settings, size_t count, GError **err);
/* Sends the file `fd` from its start to its end as the image's data: it becomes active. Read piece
 * by piece, tried again from the start when the connection was lost, `retries` times. */
bool glance_upload(Service *glance, const DvCtx *ctx, const char *id, int fd, unsigned retries,
                   GError **err);
/* Deletes the record and the data. */
bool glance_image_delete(Service *glance, const DvCtx *ctx, const char *id, GError **err);
/* Images whose properties have these values, the newest first: GPtrArray of GlanceImage. */
bool glance_images_find(Service *glance, const DvCtx *ctx, const GlanceSetting *properties,
                        size_t count, GPtrArray **out, GError **err);
