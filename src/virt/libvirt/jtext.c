/* A writer of JSON text; see jtext.h. */
#include "virt/libvirt/jtext.h"

void jtext_init(JText *text)
{
    text->out = g_string_new(NULL);
    text->first = true;
}

char *jtext_take(JText *text)
{
    return g_string_free(g_steal_pointer(&text->out), FALSE);
}

/* Strings come from libvirt; what is not UTF-8 is replaced, other than ASCII is passed through. */
static void append_quoted(GString *out, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1);

    g_string_append_c(out, '"');
    for (const char *p = valid; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\')
            g_string_append_printf(out, "\\%c", c);
        else if (c < 0x20)
            g_string_append_printf(out, "\\u%04x", c);
        else
            g_string_append_c(out, (char)c);
    }
    g_string_append_c(out, '"');
}

static void start_item(JText *text, const char *key)
{
    if (!text->first)
        g_string_append(text->out, ", ");
    text->first = false;
    if (key) {
        append_quoted(text->out, key);
        g_string_append(text->out, ": ");
    }
}

void jtext_open(JText *text, const char *key, char bracket)
{
    start_item(text, key);
    g_string_append_c(text->out, bracket);
    text->first = true;
}

void jtext_close(JText *text, char bracket)
{
    g_string_append_c(text->out, bracket == '{' || bracket == '}' ? '}' : ']');
    text->first = false;
}

void jtext_null(JText *text, const char *key)
{
    start_item(text, key);
    g_string_append(text->out, "null");
}

void jtext_str(JText *text, const char *key, const char *value)
{
    if (!value) {
        jtext_null(text, key);
        return;
    }
    start_item(text, key);
    append_quoted(text->out, value);
}

void jtext_int(JText *text, const char *key, int64_t value)
{
    start_item(text, key);
    g_string_append_printf(text->out, "%" G_GINT64_FORMAT, value);
}

void jtext_bool(JText *text, const char *key, bool value)
{
    start_item(text, key);
    g_string_append(text->out, value ? "true" : "false");
}
