/* What a service says went wrong, in one safe line; see auth_priv.h.
 *
 * Each service words its errors differently: keystone {"error": {"message"}}, placement {"errors":
 * [{"title", "detail"}]}, neutron {"NeutronError": {"type", "message"}}, cinder {"itemNotFound":
 * {"message"}}, glance an HTML page or plain text. */
#include "services/auth_priv.h"

#include <jansson.h>

#include "util/log.h"

enum { MAX_TEXT = 300, MAX_LOOK = 16 * 1024 };

/* "message" or "detail" of an object, else of its first object or list element; two levels down. */
static const char *json_message(const json_t *value, int depth)
{
    static const char *const keys[] = {"message", "detail", "title", "description"};
    const char *text;
    const char *key;
    json_t *child;

    if (json_is_string(value))
        return depth < 2 ? json_string_value(value) : NULL;
    if (depth == 0)
        return NULL;
    if (json_is_array(value))
        return json_message(json_array_get(value, 0), depth - 1);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        text = json_string_value(json_object_get(value, keys[i]));
        if (text && *text)
            return text;
    }
    json_object_foreach((json_t *)value, key, child)
    {
        text = json_message(child, depth - 1);
        if (text && *text)
            return text;
    }
    return NULL;
}

/* Plain words of a page: tags, head and repeated blanks go. */
static char *plain_words(const char *page, size_t length)
{
    GString *out = g_string_new(NULL);
    bool tag = false;

    for (size_t i = 0; i < length && out->len < MAX_LOOK; i++) {
        char c = page[i];

        if (c == '<')
            tag = true;
        if (tag || (unsigned char)c <= ' ' || c == 0x7f) {
            if (out->len > 0 && out->str[out->len - 1] != ' ')
                g_string_append_c(out, ' ');
        } else {
            g_string_append_c(out, c);
        }
        if (c == '>')
            tag = false;
    }
    return g_strstrip(g_string_free(out, FALSE));
}

/* Cuts at a character's border. */
static void shorten(char *text, size_t most)
{
    size_t length = strlen(text);

    if (length <= most)
        return;
    most -= 3;
    while (most > 0 && ((unsigned char)text[most] & 0xC0) == 0x80)
        most--;
    memcpy(text + most, "...", 4);
}

char *service_error_text(const HttpResponse *response)
{
    size_t length = MIN(response->body_length, (size_t)MAX_LOOK);
    json_t *json = response->body_length <= MAX_LOOK * 4
                       ? json_loadb(response->body, response->body_length, 0, NULL)
                       : NULL;
    const char *message = json ? json_message(json, 3) : NULL;
    g_autofree char *valid = g_utf8_make_valid(message ? message : response->body,
                                               message ? (gssize)strlen(message) : (gssize)length);
    g_autofree char *words = plain_words(valid, strlen(valid));
    char *clean = dv_redact(words);

    json_decref(json);
    shorten(clean, MAX_TEXT);
    if (!*clean) {
        g_free(clean);
        return g_strdup("no reason given");
    }
    return clean;
}

DvErrorCode service_error_code(int status)
{
    switch (status) {
    case 401:
    case 403:
        return DV_E_DENIED;
    case 404:
        return DV_E_NOT_FOUND;
    case 409:
        return DV_E_CONFLICT;
    default:
        return status >= 500 ? DV_E_UNAVAILABLE : DV_E_BAD_INPUT;
    }
}

char *service_escape(const char *text)
{
    return g_uri_escape_string(text, NULL, FALSE);
}
