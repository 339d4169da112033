/* cache_images: images of an aggregate are fetched before anybody boots from them.
 *
 * Sources    nova compute/manager.py cache_images, virt/libvirt/driver.py cache_image (Zed). */
#include "agent/ops/ops.h"

#include "util/log.h"

typedef struct Fetch {
    const OpCall *call;
    const GlanceImage *image;
} Fetch;

static bool fetch(void *arg, int fd, GError **err)
{
    const Fetch *wanted = arg;
    Agent *agent = wanted->call->agent;

    return glance_download(agent->glance, wanted->call->ctx, wanted->image, fd, 0,
                           agent->config.glance_retries, err);
}

static bool cache_one(const OpCall *call, const char *id, GError **err)
{
    Agent *agent = call->agent;
    g_autoptr(GlanceImage) image = NULL;
    Fetch wanted = {.call = call};
    ImageSource source = {.id = id, .fetch = fetch, .arg = &wanted};

    if (!glance_image_get(agent->glance, call->ctx, id, &image, err))
        return false;
    if (strcmp(image->status, "active") != 0)
        return dv_fail(err, DV_E_IMAGE_NOT_ACTIVE, "Image %s is not active.", id);
    wanted.image = image;
    source.disk_format = image->disk_format;
    source.size_bytes = (uint64_t)MAX(image->size_bytes, 0);
    return disks_cache_image(agent->disks, call->ctx, &source, NULL, NULL, err);
}

/* nova's words; "unsupported" is for drivers that have no cache. */
static const char *outcome_of(const OpCall *call, const char *id)
{
    g_autoptr(GError) err = NULL;

    if (disks_cache_has(call->agent->disks, id))
        return "existing";
    if (cache_one(call, id, &err))
        return "cached";
    dv_error(call->ctx, "image %s not cached: %s", id, err->message);
    return "error";
}

/* Never fails for an image: each has its outcome. */
bool op_cache_images(const OpCall *call, json_t **out_result, GError **err)
{
    g_autoptr(Ovo) outcomes = ovo_new_dict();
    size_t count = ovo_count(call->args, "image_ids");

    if (!ovo_has_value(call->args, "image_ids"))
        return dv_fail(err, DV_E_BAD_INPUT, "cache_images: no image_ids");
    dv_info(call->ctx, "caching %zu images by request", count);
    for (size_t i = 0; i < count; i++) {
        const char *id = ovo_str_at(call->args, "image_ids", i);

        if (!id)
            return dv_fail(err, DV_E_BAD_INPUT, "cache_images: an image id that is no text");
        ovo_set_str(outcomes, id, outcome_of(call, id));
    }
    *out_result = ovo_json(outcomes);
    return true;
}
