/* Glance v2 over REST: records and downloads; see glance.h. What writes is in glance_write.c.
 *
 * A download is hashed while it is written, so that what ends up in the image cache is what glance
 * recorded, whatever a proxy or a broken store did on the way. */
#include "services/glance.h"

#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "services/auth_priv.h"
#include "services/glance_priv.h"
#include "util/log.h"

enum { RETRY_PAUSE_MS = 1000, MAX_PROPERTIES = 2000 };

/* ---- records ---- */

/* Members of an image that are glance's own; all others are properties. */
static const char *const base_members[] = {
    "checksum",
    "container_format",
    "created_at",
    "direct_url",
    "disk_format",
    "file",
    "id",
    "locations",
    "min_disk",
    "min_ram",
    "name",
    "os_hash_algo",
    "os_hash_value",
    "os_hidden",
    "owner",
    "protected",
    "schema",
    "self",
    "size",
    "status",
    "stores",
    "tags",
    "updated_at",
    "virtual_size",
    "visibility",
    NULL,
};

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

static char *text_of(const json_t *object, const char *key)
{
    return g_strdup(json_string_value(json_object_get(object, key)));
}

static int64_t integer_or(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value)
                                                                    : fallback;
}

/* Properties are text; what other types a store may put there is written as Python prints it. */
static char *property_text(const json_t *value)
{
    char *text;
    char *copy;

    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_null(value))
        return NULL;
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "True" : "False");
    text = json_dumps(value, JSON_ENCODE_ANY);
    copy = g_strdup(text);
    free(text); /* jansson's */
    return copy;
}

static void properties_read(GlanceImage *image, const json_t *record)
{
    const char *key;
    json_t *value;

    image->properties = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    json_object_foreach((json_t *)record, key, value)
    {
        char *text;

        if (g_strv_contains(base_members, key) ||
            g_hash_table_size(image->properties) >= MAX_PROPERTIES)
            continue;
        text = property_text(value);
        if (text)
            g_hash_table_replace(image->properties, g_strdup(key), text);
    }
}

GlanceImage *glance_image_read(const json_t *record, GError **err)
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
    image->size_bytes = integer_or(record, "size", -1);
    image->min_disk_gib = integer_or(record, "min_disk", 0);
    image->min_ram_mib = integer_or(record, "min_ram", 0);
    properties_read(image, record);
    return g_steal_pointer(&image);
}

char *glance_path(const char *id, const char *rest)
{
    g_autofree char *escaped = service_escape(id);

    return g_strconcat("/v2/images/", escaped, rest, NULL);
}

char *glance_image_url(Service *glance, const DvCtx *ctx, const char *id)
{
    g_autofree char *path = glance_path(id, "");
    g_autofree char *url = NULL;
    char *version;

    if (!service_url(glance, ctx, AS_USER, path, &url, NULL))
        return NULL;
    version = url + strlen(url) - strlen(path); /* "/v2/images/ID" */
    memmove(version, version + strlen("/v2"), strlen(version + strlen("/v2")) + 1);
    return g_steal_pointer(&url);
}

bool glance_image_get(Service *glance, const DvCtx *ctx, const char *id, GlanceImage **out,
                      GError **err)
{
    static const int absent[] = {404, 0};
    g_autofree char *path = glance_path(id, "");
    json_t *record = NULL;
    GlanceImage *image;
    int status = 0;

    if (!service_call(glance, ctx, AS_USER, "GET", path, NULL, NULL, absent, &status, &record, err))
        return dv_within(err, "image %s", id);
    if (status == 404) {
        json_decref(record);
        return dv_fail(err, DV_E_IMAGE_NOT_FOUND, "image %s could not be found", id);
    }
    image = glance_image_read(record, err);
    json_decref(record);
    if (!image)
        return dv_within(err, "image %s", id);
    *out = image;
    return true;
}

/* ---- data ---- */

typedef struct Download {
    int fd;
    uint64_t written, limit;
    GChecksum *hash;  /* NULL: nothing to compare with */
    const char *want; /* its value, hexadecimal */
} Download;

static const struct {
    const char *name;
    GChecksumType type;
} algorithms[] = {
    {"sha512", G_CHECKSUM_SHA512}, {"sha384", G_CHECKSUM_SHA384}, {"sha256", G_CHECKSUM_SHA256},
    {"sha1", G_CHECKSUM_SHA1},     {"md5", G_CHECKSUM_MD5},
};

/* os_hash_* when we know the algorithm, else the old md5. */
static void hash_choose(const DvCtx *ctx, const GlanceImage *image, Download *d)
{
    for (size_t i = 0; image->hash_value && i < G_N_ELEMENTS(algorithms); i++) {
        if (g_strcmp0(image->hash_algo, algorithms[i].name) == 0) {
            d->hash = g_checksum_new(algorithms[i].type);
            d->want = image->hash_value;
            return;
        }
    }
    if (image->checksum) {
        d->hash = g_checksum_new(G_CHECKSUM_MD5);
        d->want = image->checksum;
        return;
    }
    dv_warning(ctx, "image %s has no checksum that can be verified", image->id);
}

static bool write_all(int fd, const char *data, size_t length, GError **err)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dv_fail(err, errno == ENOSPC || errno == EDQUOT ? DV_E_NO_SPACE : DV_E_IO,
                           "writing image data: %s", g_strerror(errno));
        data += n;
        length -= (size_t)n;
    }
    return true;
}

static bool on_data(void *arg, const void *data, size_t length, GError **err)
{
    Download *d = arg;

    if (length > d->limit - d->written)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE,
                       "more than the %" G_GUINT64_FORMAT " bytes expected", d->limit);
    if (d->hash)
        g_checksum_update(d->hash, data, (gssize)length);
    d->written += length;
    return write_all(d->fd, data, length, err);
}

static bool check_result(const GlanceImage *image, Download *d, GError **err)
{
    if (image->size_bytes >= 0 && d->written != (uint64_t)image->size_bytes)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE,
                       "%" G_GUINT64_FORMAT " bytes came, the record says %" G_GINT64_FORMAT,
                       d->written, image->size_bytes);
    if (d->hash && g_ascii_strcasecmp(g_checksum_get_string(d->hash), d->want) != 0)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE, "the data does not have the checksum %s",
                       d->want);
    if (fdatasync(d->fd) < 0 && errno != EINVAL && errno != EROFS) /* EINVAL: a pipe or the like */
        return dv_fail(err, errno == ENOSPC || errno == EDQUOT ? DV_E_NO_SPACE : DV_E_IO,
                       "syncing image data: %s", g_strerror(errno));
    return true;
}

static bool rewind_file(int fd, GError **err)
{
    if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return dv_fail(err, DV_E_IO, "emptying the download file: %s", g_strerror(errno));
    return true;
}

static bool download_once(Service *glance, const DvCtx *ctx, const GlanceImage *image, Download *d,
                          GError **err)
{
    g_autofree char *path = glance_path(image->id, "/file");
    bool ok;

    d->written = 0;
    d->hash = NULL;
    hash_choose(ctx, image, d);
    ok = rewind_file(d->fd, err) &&
         service_download(glance, ctx, AS_USER, path, "*/*", on_data, d, err) &&
         check_result(image, d, err);
    g_clear_pointer(&d->hash, g_checksum_free);
    return ok;
}

static uint64_t limit_of(const GlanceImage *image, uint64_t max_bytes)
{
    uint64_t size = image->size_bytes >= 0 ? (uint64_t)image->size_bytes : UINT64_MAX;

    return max_bytes ? MIN(size, max_bytes) : size;
}

bool glance_download(Service *glance, const DvCtx *ctx, const GlanceImage *image, int fd,
                     uint64_t max_bytes, unsigned retries, GError **err)
{
    Download d = {.fd = fd, .limit = limit_of(image, max_bytes)};

    if (max_bytes && image->size_bytes >= 0 && (uint64_t)image->size_bytes > max_bytes)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE,
                       "image %s: its %" G_GINT64_FORMAT
                       " bytes are more than the %" G_GUINT64_FORMAT " allowed",
                       image->id, image->size_bytes, max_bytes);
    if (!max_bytes && image->size_bytes < 0)
        return dv_fail(err, DV_E_IMAGE_UNACCEPTABLE, "image %s: its record holds no size",
                       image->id);
    for (unsigned left = retries;; left--) {
        g_autoptr(GError) failure = NULL;

        if (download_once(glance, ctx, image, &d, &failure))
            return true;
        if (dv_is(failure, DV_E_NOT_FOUND)) /* deleted since its record was read */
            return dv_fail(err, DV_E_IMAGE_NOT_FOUND, "image %s: %s", image->id, failure->message);
        if (left == 0 || !(dv_is(failure, DV_E_UNAVAILABLE) || dv_is(failure, DV_E_TIMEOUT))) {
            g_propagate_error(err, g_steal_pointer(&failure));
            return dv_within(err, "image %s", image->id);
        }
        dv_warning(ctx, "image %s: %s; trying again", image->id, failure->message);
        g_usleep((gulong)RETRY_PAUSE_MS * 1000);
    }
}
