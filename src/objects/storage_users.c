/* The registry of storage users; see storage_users.h. */
#include "objects/storage_users.h"

#include <glib.h>
#include <jansson.h>

#define RECENT_S (24 * 3600)

static json_t *read_registry(const char *text)
{
    json_t *registry = text ? json_loads(text, 0, NULL) : NULL;

    if (json_is_object(registry))
        return registry;
    json_decref(registry);
    return json_object();
}

char *storage_users_note(const char *text, const char *host, int64_t now_wall_ms,
                         char ***out_recent)
{
    json_t *registry = read_registry(text);
    double now_s = (double)now_wall_ms / 1000;
    GPtrArray *recent = g_ptr_array_new();
    const char *name;
    json_t *seen;
    char *dump, *out;

    json_object_set_new(registry, host, json_real(now_s));
    json_object_foreach(registry, name, seen)
    {
        if (json_is_number(seen) && now_s - json_number_value(seen) < RECENT_S)
            g_ptr_array_add(recent, g_strdup(name));
    }
    g_ptr_array_add(recent, NULL);
    *out_recent = (char **)g_ptr_array_free(recent, FALSE);
    dump = json_dumps(registry, JSON_REAL_PRECISION(17));
    out = g_strdup(dump);
    free(dump); /* jansson's */
    json_decref(registry);
    return out;
}
