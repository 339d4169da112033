/* Is an instance's root disk a volume? Then its flavor's root_gb is not this host's disk.
 *
 * The answer never changes while an instance lives here, so it is asked once, for all instances of
 * an audit in one call.
 * Sources    nova compute/utils.py is_volume_backed_instance (Zed). */
#include "scheduler_hints/hint_priv.h"

#include <string.h>

static TrackerRoot known_root(Tracker *tracker, const char *uuid)
{
    TrackerRoot root;

    dv_lock(&tracker->lock);
    root = GPOINTER_TO_INT(g_hash_table_lookup(tracker->roots, uuid));
    dv_unlock(&tracker->lock);
    return root;
}

/* A very old instance without a root mapping: no image means a volume. */
static TrackerRoot root_by_image(const Ovo *instance)
{
    return *ovo_str_or(instance, "image_ref", "") ? ROOT_LOCAL : ROOT_VOLUME;
}

static bool ask(Tracker *tracker, const DvCtx *ctx, GPtrArray *uuids, GHashTable *answer,
                GError **err)
{
    g_autoptr(Ovo) kwargs = ovo_new_dict();
    g_autoptr(Ovo) list = NULL;
    json_t *result = NULL;

    g_ptr_array_add(uuids, NULL);
    ovo_set_strv(kwargs, "instance_uuids", (const char *const *)uuids->pdata);
    if (!conductor_class_action(tracker->con, ctx, "BlockDeviceMappingList",
                                "get_by_instance_uuids", NULL, ovo_json(kwargs), &result, err))
        return false;
    list = ovo_take(result, "BlockDeviceMappingList", err);
    if (!list)
        return false;
    for (size_t i = 0; i < ovo_count(list, NULL); i++) {
        g_autoptr(Ovo) bdm = ovo_at(list, NULL, i);
        const char *uuid = bdm ? ovo_str_or(bdm, "instance_uuid", NULL) : NULL;
        bool volume;

        if (!uuid || ovo_i64_or(bdm, "boot_index", -1) != 0 || !g_hash_table_contains(answer, uuid))
            continue;
        volume = strcmp(ovo_str_or(bdm, "destination_type", ""), "volume") == 0;
        g_hash_table_replace(answer, g_strdup(uuid),
                             GINT_TO_POINTER(volume ? ROOT_VOLUME : ROOT_LOCAL));
    }
    return true;
}

bool hint_roots(Tracker *tracker, const DvCtx *ctx, const GPtrArray *instances, GHashTable **out,
                GError **err)
{
    g_autoptr(GHashTable) answer = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) unknown = g_ptr_array_new();
    GHashTableIter iter;
    gpointer uuid, root;

    for (guint i = 0; i < instances->len; i++) {
        const Ovo *instance = instances->pdata[i];
        const char *name;
        TrackerRoot known;

        if (!ovo_str(instance, "uuid", &name, err))
            return false;
        known = known_root(tracker, name);
        if (known == ROOT_UNKNOWN) {
            g_ptr_array_add(unknown, (gpointer)name);
            known = root_by_image(instance);
        }
        g_hash_table_insert(answer, g_strdup(name), GINT_TO_POINTER(known));
    }
    if (unknown->len > 0 && !ask(tracker, ctx, unknown, answer, err))
        return dv_within(err, "block device mappings");
    dv_lock(&tracker->lock);
    g_hash_table_iter_init(&iter, answer);
    while (g_hash_table_iter_next(&iter, &uuid, &root))
        g_hash_table_insert(tracker->roots, g_strdup(uuid), root);
    dv_unlock(&tracker->lock);
    *out = g_steal_pointer(&answer);
    return true;
}
