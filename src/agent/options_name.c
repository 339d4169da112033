/* The guest's name from [DEFAULT] instance_name_template: the part of Python's % formatting that
 * such templates use. */
#include "agent/options.h"

#include <string.h>

enum { MAX_WIDTH = 32 };

typedef struct Conversion {
    char key[16]; /* of %(key)s; empty: positional, which is the id */
    bool zeros;
    unsigned width;
    char type;
} Conversion;

/* Reads a conversion behind its '%'; NULL when it is none that we know. */
static const char *read_conversion(const char *p, Conversion *out)
{
    *out = (Conversion){.key = ""};
    if (*p == '(') {
        size_t n = strcspn(p + 1, ")");

        if (p[1 + n] != ')' || n == 0 || n >= sizeof out->key)
            return NULL;
        memcpy(out->key, p + 1, n);
        p += n + 2;
    }
    if (*p == '0') {
        out->zeros = true;
        p++;
    }
    for (; g_ascii_isdigit(*p); p++) {
        out->width = out->width * 10 + (unsigned)(*p - '0');
        if (out->width > MAX_WIDTH)
            return NULL;
    }
    out->type = *p;
    return *p ? p + 1 : NULL;
}

static bool append_padded(GString *out, const Conversion *c, const char *text)
{
    for (size_t n = strlen(text); n < c->width; n++)
        g_string_append_c(out, c->zeros ? '0' : ' ');
    g_string_append(out, text);
    return true;
}

static bool append_id(GString *out, const Conversion *c, int64_t id)
{
    char text[32];

    switch (c->type) {
    case 'd':
    case 'i':
    case 'u':
    case 's':
        g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, id);
        break;
    case 'x':
        g_snprintf(text, sizeof text, "%" G_GINT64_MODIFIER "x", (guint64)id);
        break;
    case 'X':
        g_snprintf(text, sizeof text, "%" G_GINT64_MODIFIER "X", (guint64)id);
        break;
    case 'o':
        g_snprintf(text, sizeof text, "%" G_GINT64_MODIFIER "o", (guint64)id);
        break;
    default:
        return false;
    }
    return append_padded(out, c, text);
}

static bool append_conversion(GString *out, const Conversion *c, int64_t id, const char *uuid)
{
    if (strcmp(c->key, "uuid") == 0)
        return c->type == 's' && append_padded(out, c, uuid);
    return (!*c->key || strcmp(c->key, "id") == 0) && append_id(out, c, id);
}

char *options_instance_name(const AgentConfig *config, int64_t id, const char *uuid)
{
    g_autoptr(GString) out = g_string_new(NULL);
    bool varies = false;

    for (const char *p = config->instance_name_template; *p;) {
        Conversion c;

        if (*p != '%' || p[1] == '%') {
            g_string_append_c(out, *p);
            p += *p == '%' ? 2 : 1;
            continue;
        }
        p = read_conversion(p + 1, &c);
        if (!p || !append_conversion(out, &c, id, uuid))
            return NULL;
        varies = true;
    }
    return varies ? g_string_free(g_steal_pointer(&out), FALSE) : NULL;
}
