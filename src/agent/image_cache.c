/* The image cache's upkeep; see image_cache.h. */
#include "agent/image_cache.h"

#include "objects/storage_users.h"
#include "util/log.h"

typedef struct Users {
    const char *host;
    char **recent; /* of this folder; the answer */
} Users;

static char *note_user(void *arg, const char *text)
{
    Users *users = arg;

    return storage_users_note(text, users->host, dv_clock_wall_ms(dv_clock_real()), &users->recent);
}

/* Instances that are only marked as deleted still have their disks. */
static bool list_instances(Agent *agent, const DvCtx *ctx, const char *const *hosts, Ovo **out,
                           GError **err)
{
    static const char *const no_attrs[] = {NULL};
    g_autoptr(Ovo) filters = ovo_new_dict();

    ovo_set_bool(filters, "deleted", false);
    ovo_set_bool(filters, "soft_deleted", true);
    ovo_set_strv(filters, "host", hosts);
    return conductor_instances_by_filters(agent->con, ctx, filters, no_attrs, out, err);
}

/* Ids of the images that the instances were made from. */
static char **images_of(const Ovo *instances)
{
    static const char *const fields[] = {"image_ref", "kernel_id", "ramdisk_id"};
    g_autoptr(GHashTable) images = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer id;

    for (size_t i = 0; i < ovo_count(instances, NULL); i++) {
        g_autoptr(Ovo) instance = ovo_at(instances, NULL, i);

        for (size_t j = 0; instance && j < G_N_ELEMENTS(fields); j++) {
            const char *image = ovo_str_or(instance, fields[j], "");

            if (*image)
                g_hash_table_add(images, g_strdup(image));
        }
    }
    g_hash_table_iter_init(&iter, images);
    while (g_hash_table_iter_next(&iter, &id, NULL)) {
        g_ptr_array_add(list, id);
        g_hash_table_iter_steal(&iter);
    }
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_steal(list, NULL);
}

bool image_cache_pass(Agent *agent, const DvCtx *ctx, GError **err)
{
    Users users = {.host = agent->config.host};
    g_autoptr(Ovo) instances = NULL;
    g_auto(GStrv) hosts = NULL;
    g_auto(GStrv) images = NULL;
    CacheCleaning done = {0};

    if (!disks_registry_edit(agent->disks, note_user, &users, err)) {
        g_strfreev(users.recent);
        return false;
    }
    hosts = users.recent;
    if (!list_instances(agent, ctx, (const char *const *)hosts, &instances, err))
        return false;
    images = images_of(instances);
    if (!disks_cache_clean(agent->disks, ctx, (const char *const *)images, &done, err))
        return false;
    dv_debug(ctx, "image cache: %u base files in use, %u not, %u removed", done.in_use, done.unused,
             done.removed);
    return true;
}
