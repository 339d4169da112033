/* Image records as dicts; see image_meta.h. Sources: nova objects/image_meta.py, image/glance.py
 * (Zed). */
#include "agent/image_meta.h"

#include <string.h>

bool image_meta_get(Agent *agent, const DvCtx *ctx, const char *id, Ovo **out, GError **err)
{
    g_autoptr(GlanceImage) image = NULL;
    g_autoptr(Ovo) dict = ovo_new_dict();
    g_autoptr(Ovo) properties = ovo_new_dict();
    GHashTableIter iter;
    gpointer key, value;

    if (!glance_image_get(agent->glance, ctx, id, &image, err))
        return false;
    if (strcmp(image->status, "active") != 0)
        return dv_fail(err, DV_E_IMAGE_NOT_ACTIVE, "Image %s is not active.", id);
    ovo_set_str(dict, "id", image->id);
    ovo_set_str(dict, "name", image->name);
    ovo_set_str(dict, "disk_format", image->disk_format);
    ovo_set_str(dict, "container_format", image->container_format);
    ovo_set_i64(dict, "size", MAX(image->size_bytes, 0));
    ovo_set_i64(dict, "min_disk", image->min_disk_gib);
    ovo_set_i64(dict, "min_ram", image->min_ram_mib);
    if (image->properties) {
        g_hash_table_iter_init(&iter, image->properties);
        while (g_hash_table_iter_next(&iter, &key, &value))
            ovo_set_str(properties, key, value);
    }
    ovo_set_child(dict, "properties", properties);
    *out = g_steal_pointer(&dict);
    return true;
}
