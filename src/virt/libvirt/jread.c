/* A JSON reader by recursive descent; see jread.h. */
#include "virt/libvirt/jread.h"

#include <string.h>

#define MAX_DEPTH 32

typedef struct Reader {
    const char *start, *p;
    GString *path;
    int depth;
    JReadFn leaf;
    void *arg;
} Reader;

static bool read_value(Reader *r);

static bool take(Reader *r, char c)
{
    r->p += strspn(r->p, " \t\r\n");
    if (*r->p != c)
        return false;
    r->p++;
    return true;
}

static bool take_hex(Reader *r, gunichar *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(r->p[i]);

        if (digit < 0)
            return false;
        *out = *out << 4 | (gunichar)digit;
    }
    r->p += 4;
    return true;
}

/* Half of a pair beyond the first plane becomes U+FFFD: no name that we look for has one. */
static bool take_escape(Reader *r, GString *out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *found = *r->p ? strchr(letters, *r->p) : NULL;
    gunichar c;

    if (found) {
        g_string_append_c(out, meanings[found - letters]);
        r->p++;
        return true;
    }
    if (*r->p++ != 'u' || !take_hex(r, &c) || c == 0)
        return false;
    g_string_append_unichar(out, c >= 0xD800 && c <= 0xDFFF ? 0xFFFD : c);
    return true;
}

static bool take_string(Reader *r, GString *out)
{
    if (!take(r, '"'))
        return false;
    while (*r->p && *r->p != '"') {
        if ((unsigned char)*r->p < 0x20)
            return false;
        if (*r->p != '\\')
            g_string_append_c(out, *r->p++);
        else if (r->p++, !take_escape(r, out))
            return false;
    }
    return *r->p++ == '"';
}

/* Into a member or element named `name`, and back. */
static bool read_child(Reader *r, const char *name)
{
    gsize length = r->path->len;
    bool ok;

    g_string_append_printf(r->path, "%s%s", length ? "." : "", name);
    ok = read_value(r);
    g_string_truncate(r->path, length);
    return ok;
}

static bool read_object(Reader *r)
{
    g_autoptr(GString) name = g_string_new(NULL);

    if (take(r, '}'))
        return true;
    do {
        g_string_truncate(name, 0);
        if (!take_string(r, name) || !take(r, ':') || !read_child(r, name->str))
            return false;
    } while (take(r, ','));
    return take(r, '}');
}

static bool read_array(Reader *r)
{
    unsigned index = 0;

    if (take(r, ']'))
        return true;
    do {
        g_autofree char *name = g_strdup_printf("%u", index++);

        if (!read_child(r, name))
            return false;
    } while (take(r, ','));
    return take(r, ']');
}

static bool read_scalar(Reader *r)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (*r->p == '"') {
        if (!take_string(r, text))
            return false;
    } else {
        size_t length = strspn(r->p, "+-.0123456789Eaeflnrstu");

        if (length == 0)
            return false;
        g_string_append_len(text, r->p, (gssize)length);
        r->p += length;
    }
    r->leaf(r->arg, r->path->str, text->str);
    return true;
}

static bool read_value(Reader *r)
{
    bool ok;

    if (++r->depth > MAX_DEPTH)
        return false;
    r->p += strspn(r->p, " \t\r\n");
    if (take(r, '{'))
        ok = read_object(r);
    else if (take(r, '['))
        ok = read_array(r);
    else
        ok = read_scalar(r);
    r->depth--;
    return ok;
}

bool jread(const char *text, JReadFn leaf, void *arg, GError **err)
{
    g_autoptr(GString) path = g_string_new(NULL);
    Reader r = {text, text, path, 0, leaf, arg};

    if (read_value(&r)) {
        r.p += strspn(r.p, " \t\r\n");
        if (!*r.p)
            return true;
    }
    return dv_fail(err, DV_E_BAD_INPUT, "not JSON at byte %td", r.p - r.start);
}
