/* A key manager for flow tests: keeps secrets, and fails where a test says so. */
#pragma once

#include "fakes/agent.h"
#include "util/thread.h"

#include <string.h>

typedef struct Keys {
    DvMutex lock;
    GHashTable *secrets; /* [lock] uuid -> value */
    char *body;          /* [lock] of the last answer */
    unsigned made;       /* [lock] */
    unsigned reads;      /* [lock] of values */
    int refuse;          /* [lock] status of every answer, or 0 */
} Keys;

static const char keys_path[] = "/v1/secrets/";

static inline void keys_say(Keys *keys, HttpAnswer *out, int status, char *body)
{
    g_free(keys->body);
    keys->body = body;
    out->status = status;
    out->body = keys->body;
}

static inline void keys_store(Keys *keys, const HttpSeen *seen, HttpAnswer *out)
{
    json_t *body = json_loads(seen->body, 0, NULL);
    gsize length = 0;
    guchar *value = g_base64_decode(json_string_value(json_object_get(body, "payload")), &length);
    char *id = g_strdup_printf("00000000-aaaa-4000-8000-%012u", ++keys->made);

    g_hash_table_insert(keys->secrets, id, g_strndup((const char *)value, length));
    keys_say(keys, out, 201, g_strdup_printf("{\"secret_ref\":\"http://k%s%s\"}", keys_path, id));
    g_free(value);
    json_decref(body);
}

static inline void keys_answer(Keys *keys, const HttpSeen *seen, HttpAnswer *out)
{
    g_autofree char *id = g_strndup(seen->target + strlen(keys_path), 36);
    const char *value = g_hash_table_lookup(keys->secrets, id);
    bool payload = g_str_has_suffix(seen->target, "/payload");

    if (keys->refuse) {
        keys_say(keys, out, keys->refuse, g_strdup("{\"title\":\"told to refuse\"}"));
    } else if (strcmp(seen->method, "POST") == 0) {
        keys_store(keys, seen, out);
    } else if (!value) {
        keys_say(keys, out, 404, g_strdup("{\"title\":\"Not Found\"}"));
    } else if (strcmp(seen->method, "DELETE") == 0) {
        g_hash_table_remove(keys->secrets, id);
        keys_say(keys, out, 204, NULL);
    } else {
        keys->reads += payload;
        keys_say(keys, out, 200,
                 g_strdup(payload ? value
                                  : "{\"content_types\":{\"default\":"
                                    "\"application/octet-stream\"}}"));
    }
}

static inline bool keys_hook(void *arg, const HttpSeen *seen, HttpAnswer *out)
{
    Keys *keys = arg;

    if (!g_str_has_prefix(seen->target, keys_path))
        return false;
    dv_lock(&keys->lock);
    keys_answer(keys, seen, out);
    dv_unlock(&keys->lock);
    return true;
}

static inline void keys_init(Keys *keys)
{
    *keys = (Keys){0};
    dv_mutex_init(&keys->lock);
    keys->secrets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

/* When nobody can ask any more. */
static inline void keys_done(Keys *keys)
{
    g_hash_table_unref(keys->secrets);
    g_free(keys->body);
    dv_mutex_done(&keys->lock);
}

static inline void keys_refuse(Keys *keys, int status)
{
    dv_lock(&keys->lock);
    keys->refuse = status;
    dv_unlock(&keys->lock);
}

static inline unsigned keys_count(Keys *keys)
{
    unsigned count;

    dv_lock(&keys->lock);
    count = g_hash_table_size(keys->secrets);
    dv_unlock(&keys->lock);
    return count;
}

static inline unsigned keys_reads(Keys *keys)
{
    unsigned reads;

    dv_lock(&keys->lock);
    reads = keys->reads;
    dv_unlock(&keys->lock);
    return reads;
}

/* Somebody else deletes all of them. */
static inline void keys_lose(Keys *keys)
{
    dv_lock(&keys->lock);
    g_hash_table_remove_all(keys->secrets);
    dv_unlock(&keys->lock);
}
