/* Glance v2: what changes images - records, uploads, deletes - and the search for backups; see
 * glance.h.
 *
 * Sources    image API v2 reference; nova image/glance.py (Zed): which changes are sent, retries.
 */
#include "services/glance_priv.h"

#include <errno.h>
#include <jansson.h>
#include <sys/stat.h>

#include "services/auth_priv.h"
#include "util/log.h"

enum { RETRY_PAUSE_MS = 1000, PAGE_IMAGES = 200, MAX_PAGES = 100 };

#define PATCH_TYPE "application/openstack-images-v2.1-json-patch"

/* The statuses that mean something else for an image than for services in general. 410: the image
 * was deleted while its data came. 500: nova does not try an upload again after it. */
static const struct {
    int status;
    DvErrorCode code;
    const char *text;
} outcomes[] = {
    {404, DV_E_IMAGE_NOT_FOUND, "could not be found"},
    {410, DV_E_IMAGE_NOT_FOUND, "was deleted meanwhile"},
    {413, DV_E_IMAGE_QUOTA, "exceeds the quota or the space of the image service"},
    {500, DV_E_REMOTE, "was refused: the image service failed"},
};
static const int outcome_statuses[] = {404, 410, 413, 500, 0};

static bool judge(const char *id, int status, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(outcomes); i++) {
        if (outcomes[i].status == status)
            return dv_fail(err, outcomes[i].code, "image %s %s", id, outcomes[i].text);
    }
    return true;
}

/* ---- records ---- */

/* What the record says now; NULL when it does not have that member, or has null there. */
static const char *current_value(const GlanceImage *image, const char *name)
{
    const struct {
        const char *name, *value;
    } members[] = {
        {"name", image->name},
        {"disk_format", image->disk_format},
        {"container_format", image->container_format},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (strcmp(members[i].name, name) == 0)
            return members[i].value ? members[i].value : "";
    }
    return g_hash_table_lookup(image->properties, name);
}

/* Members are always there and replaced; properties are added until they are there. */
static json_t *change_of(const GlanceImage *image, const GlanceSetting *setting)
{
    const char *now = current_value(image, setting->name);
    g_autofree char *path = g_strconcat("/", setting->name, NULL);

    if (!setting->value || !*setting->value || g_strcmp0(now, setting->value) == 0)
        return NULL;
    return json_pack("{ss, ss, ss}", "op", now ? "replace" : "add", "path", path, "value",
                     setting->value);
}

bool glance_image_update(Service *glance, const DvCtx *ctx, const GlanceImage *image,
                         const GlanceSetting *settings, size_t count, GError **err)
{
    g_autofree char *path = glance_path(image->id, "");
    json_t *changes = json_array();
    int status = 0;

    for (size_t i = 0; i < count; i++) {
        json_t *change = change_of(image, &settings[i]);

        if (change)
            json_array_append_new(changes, change);
    }
    if (json_array_size(changes) == 0) {
        json_decref(changes);
        return true;
    }
    if (!service_patch(glance, ctx, AS_USER, path, PATCH_TYPE, changes, outcome_statuses, &status,
                       err))
        return dv_within(err, "image %s", image->id);
    return judge(image->id, status, err);
}

bool glance_image_delete(Service *glance, const DvCtx *ctx, const char *id, GError **err)
{
    g_autofree char *path = glance_path(id, "");
    int status = 0;

    if (!service_call(glance, ctx, AS_USER, "DELETE", path, NULL, NULL, outcome_statuses, &status,
                      NULL, err))
        return dv_within(err, "image %s", id);
    return judge(id, status, err);
}

/* ---- data ---- */

bool glance_upload(Service *glance, const DvCtx *ctx, const char *id, int fd, unsigned retries,
                   GError **err)
{
    g_autofree char *path = glance_path(id, "/file");
    HttpUpload upload = {.fd = fd};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return dv_fail(err, DV_E_IO, "image %s: reading its data: %s", id, g_strerror(errno));
    upload.length = (uint64_t)st.st_size;
    for (unsigned left = retries;; left--) {
        g_autoptr(GError) failure = NULL;
        int status = 0;

        if (service_upload(glance, ctx, AS_USER, path, &upload, outcome_statuses, &status,
                           &failure))
            return judge(id, status, err);
        if (left == 0 || !(dv_is(failure, DV_E_UNAVAILABLE) || dv_is(failure, DV_E_TIMEOUT))) {
            g_propagate_error(err, g_steal_pointer(&failure));
            return dv_within(err, "image %s", id);
        }
        dv_warning(ctx, "image %s: %s; trying again", id, failure->message);
        g_usleep((gulong)RETRY_PAUSE_MS * 1000);
    }
}

/* ---- search ---- */

static char *search_path(const GlanceSetting *properties, size_t count)
{
    GString *path = g_string_new("/v2/images?");

    for (size_t i = 0; i < count; i++) {
        g_autofree char *value = service_escape(properties[i].value);

        g_string_append_printf(path, "%s=%s&", properties[i].name, value);
    }
    g_string_append_printf(path, "limit=%d&sort_key=created_at&sort_dir=desc", PAGE_IMAGES);
    return g_string_free(path, FALSE);
}

static bool page_read(const json_t *page, GPtrArray *images, GError **err)
{
    const json_t *list = json_object_get(page, "images");
    json_t *record;
    size_t i;

    if (!json_is_array(list))
        return dv_fail(err, DV_E_BAD_INPUT, "glance: an answer without images");
    json_array_foreach((json_t *)list, i, record)
    {
        GlanceImage *image = glance_image_read(record, err);

        if (!image)
            return false;
        g_ptr_array_add(images, image);
    }
    return true;
}

bool glance_images_find(Service *glance, const DvCtx *ctx, const GlanceSetting *properties,
                        size_t count, GPtrArray **out, GError **err)
{
    g_autoptr(GPtrArray) images = g_ptr_array_new_with_free_func((GDestroyNotify)glance_image_free);
    g_autofree char *path = search_path(properties, count);

    for (int pages = 0; path; pages++) {
        json_auto_t *page = NULL;

        if (pages == MAX_PAGES)
            return dv_fail(err, DV_E_BAD_INPUT, "glance: more than %d pages of images", MAX_PAGES);
        if (!service_call(glance, ctx, AS_USER, "GET", path, NULL, NULL, NULL, NULL, &page, err) ||
            !page_read(page, images, err))
            return dv_within(err, "listing images");
        g_free(path);
        path = g_strdup(json_string_value(json_object_get(page, "next")));
    }
    *out = g_steal_pointer(&images);
    return true;
}
