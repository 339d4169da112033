/* Glance over REST; see glance.h.
 *
 * A download is hashed while it streams; what does not match the record is refused after the last
 * byte, so a caller must not use the file before the call has succeeded. */
#include "services/glance.h"

#include "services/auth_priv.h"
#include "util/fs.h"
#include "util/log.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#define RETRY_PAUSE_MS 1000

/* ---- records ---- */

void glance_image_free(GlanceImage *image)
{
    if (!image)
        return;
    g_free(image->id);
    g_free(image->name);
    g_free(image->status);
    g_free(image->disk_format);
    g_free(image->container_format);
    g_free(image->checksum);
    g_free(image->hash_algo);
    g_free(image->hash_value);
    g_clear_pointer(&image->properties, g_hash_table_unref);
    g_free(image);
}

static char *text_of(const json_t *record, const char *key)
{
    return g_strdup(json_string_value(json_object_get(record, key)));
}

static int64_t number_of(const json_t *record, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(record, key);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

/* Everything textual of the record: the v2 API keeps properties beside the fixed fields. */
static GHashTable *texts_of(const json_t *record)
{
    GHashTable *texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)record, key, value)
    {
        if (json_is_string(value))
            g_hash_table_insert(texts, g_strdup(key), g_strdup(json_string_value(value)));
    }
    return texts;
}

static GlanceImage *image_read(const json_t *record, GError **err)
{
    g_autoptr(GlanceImage) image = g_new0(GlanceImage, 1);

    image->id = text_of(record, "id");
    image->status = text_of(record, "status");
    if (!image->id || !image->status) {
        dv_fail(err, DV_E_BAD_INPUT, "glance: an image record without id or status");
        return NULL;
    }
    image->name = text_of(record, "name");
    image->disk_format = text_of(record, "disk_format");
    image->container_format = text_of(record, "container_format");
    image->checksum = text_of(record, "checksum");
    image->hash_algo = text_of(record, "os_hash_algo");
    image->hash_value = text_of(record, "os_hash_value");
    image->size_bytes = number_of(record, "size", -1);
    image->min_disk_gib = number_of(record, "min_disk", 0);
    image->min_ram_mib = number_of(record, "min_ram", 0);
    image->properties = texts_of(record);
    return g_steal_pointer(&image);
}

static char *image_path(const char *id, const char *rest)
{
    g_autofree char *escaped = service_escape(id);

    return g_strconcat("/v2/images/", escaped, rest, NULL);
}

/* 404 and 403 both mean, to nova's users, that there is no such image for them. */
static bool image_missing(GError **err, const char *id)
{
    if (!dv_is(*err, DV_E_NOT_FOUND) && !dv_is(*err, DV_E_DENIED))
        return false;
    g_clear_error(err);
    return !dv_fail(err, DV_E_IMAGE_NOT_FOUND, "Image %s could not be found.", id);
}

bool glance_image_get(Service *glance, const DvCtx *ctx, const char *id, GlanceImage **out,
                      GError **err)
{
    g_autofree char *path = image_path(id, "");
    g_autoptr(GError) cause = NULL;
    json_auto_t *record = NULL;
    GlanceImage *image;

    if (!service_call(glance, ctx, AS_USER, "GET", path, NULL, NULL, NULL, NULL, &record, &cause)) {
        image_missing(&cause, id);
        g_propagate_error(err, g_steal_pointer(&cause));
        return false;
    }
    if (!json_is_object(record))
        return dv_fail(err, DV_E_BAD_INPUT, "glance: image %s: want an object", id);
    image = image_read(record, err);
    if (image)
        *out = image;
    return image != NULL;
}

/* ---- data ---- */

typedef struct Download {
    int fd;
    uint64_t received, limit;
    GChecksum *hash; /* NULL: the record has none that we can compute */
} Download;

static bool hash_type(const char *algo, GChecksumType *out)
{
    static const struct {
        const char *name;
        GChecksumType type;
    } rows[] = {
        {"sha512", G_CHECKSUM_SHA512}, {"sha384", G_CHECKSUM_SHA384}, {"sha256", G_CHECKSUM_SHA256},
        {"sha1", G_CHECKSUM_SHA1},     {"md5", G_CHECKSUM_MD5},
    };

    for (size_t i = 0; algo && i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].name, algo) == 0) {
            *out = rows[i].type;
            return true;
        }
    }
    return false;
}

static bool download_sink(void *arg, const void *data, size_t length, GError **err)
{
    Download *d = arg;

    if (length > d->limit - d->received)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE,
                       "the image is larger than the %" G_GUINT64_FORMAT " bytes its record says",
                       d->limit);
    d->received += length;
    if (d->hash)
        g_checksum_update(d->hash, data, (gssize)length);
    return dv_write_all(d->fd, data, length, err);
}

static bool verify(const GlanceImage *image, const Download *d, GError **err)
{
    bool multihash = image->hash_value && d->hash;
    const char *want = image->hash_value ? image->hash_value : image->checksum;

    if (image->size_bytes >= 0 && d->received != (uint64_t)image->size_bytes)
        return dv_fail(err, DV_E_UNAVAILABLE,
                       "image %s: %" G_GUINT64_FORMAT " of %" G_GINT64_FORMAT " bytes came",
                       image->id, d->received, image->size_bytes);
    if (d->hash && g_ascii_strcasecmp(g_checksum_get_string(d->hash), want) != 0)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE,
                       "image %s: the %s of the data is not the record's", image->id,
                       multihash ? image->hash_algo : "md5");
    return true;
}

static bool download_once(Service *glance, const DvCtx *ctx, const GlanceImage *image, int fd,
                          uint64_t limit, GError **err)
{
    g_autofree char *path = image_path(image->id, "/file");
    g_autoptr(GChecksum) hash = NULL;
    GChecksumType type = G_CHECKSUM_MD5;
    Download d = {.fd = fd, .limit = limit};

    if (image->hash_value ? hash_type(image->hash_algo, &type) : image->checksum != NULL)
        hash = g_checksum_new(type);
    else
        dv_warning(ctx, "image %s has no checksum that can be verified", image->id);
    d.hash = hash;
    if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return dv_fail_errno(err, errno, "truncating", "the download");
    return service_download(glance, ctx, AS_USER, path, download_sink, &d, err) &&
           verify(image, &d, err);
}

bool glance_download(Service *glance, const DvCtx *ctx, const GlanceImage *image, int fd,
                     uint64_t max_bytes, unsigned retries, GError **err)
{
    uint64_t limit = max_bytes ? max_bytes : (uint64_t)MAX(image->size_bytes, 0);

    for (unsigned tried = 0;; tried++) {
        g_autoptr(GError) cause = NULL;

        if (download_once(glance, ctx, image, fd, limit, &cause))
            return true;
        if (tried >= retries || (!dv_is(cause, DV_E_UNAVAILABLE) && !dv_is(cause, DV_E_TIMEOUT))) {
            image_missing(&cause, image->id);
            g_propagate_prefixed_error(err, g_steal_pointer(&cause), "downloading: ");
            return false;
        }
        dv_warning(ctx, "downloading image %s: %s; trying again", image->id, cause->message);
        g_usleep(RETRY_PAUSE_MS * 1000UL);
    }
}
