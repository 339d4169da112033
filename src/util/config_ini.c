/* The ini dialect of oslo.config; see config_ini.h.
 *
 * Not inih, though it is our ini library by choice: Debian's build of it cuts lines at 200 bytes (a
 * transport_url with three brokers is longer), takes " ;" inside a value for a comment (passwords),
 * and reports a continuation line and a repeated key alike. All three are fixed when the library is
 * compiled, so there is nothing to configure. The dialect is small enough to be read here:
 *
 *   - a line starting with '#' or ';' is a comment; there are no inline comments;
 *   - a line starting with a blank or tab continues the value above; a blank line or a comment ends
 *     it;
 *   - "name = value" or "name: value", whichever sign comes first; one pair of quotes around the
 *     value is taken off;
 *   - everything stands in a [group]. */
#include "util/config_ini.h"

#include <string.h>

typedef struct Parser {
    const char *file;
    unsigned file_rank;
    unsigned line;
    char *group;    /* of the section we are in, NULL before the first */
    IniEntry *open; /* the assignment that continuation lines belong to, or NULL */
    GString *value; /* of `open` */
    GPtrArray *entries;
} Parser;

void ini_entry_free(IniEntry *entry)
{
    if (!entry)
        return;
    g_free(entry->group);
    g_free(entry->name);
    g_free(entry->value);
    g_free(entry->file);
    g_free(entry);
}

static void parser_done(Parser *p)
{
    g_free(p->group);
    ini_entry_free(p->open);
    if (p->value)
        g_string_free(p->value, TRUE);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Parser, parser_done)

/* The line itself is not quoted: it may hold a secret. */
static bool parser_fail(const Parser *p, const char *what, GError **err)
{
    return dv_fail(err, DV_E_BAD_CONFIG, "%s:%u: %s", p->file, p->line, what);
}

static void parser_flush(Parser *p)
{
    if (!p->open)
        return;
    p->open->value = g_strdup(p->value->str);
    g_ptr_array_add(p->entries, g_steal_pointer(&p->open));
}

static bool parse_section(Parser *p, const char *line, GError **err)
{
    size_t length = strlen(line);
    g_autofree char *name = NULL;

    if (line[length - 1] != ']')
        return parser_fail(p, "a group must end with ']', with nothing behind it", err);
    if (length <= 2)
        return parser_fail(p, "the group has no name", err);
    name = g_strndup(line + 1, length - 2);
    g_free(p->group);
    p->group = strcmp(name, "DEFAULT") == 0 ? g_strdup(name) : g_ascii_strdown(name, -1);
    return true;
}

/* Takes one pair of equal quotes off, in place. */
static void unquote(char *value)
{
    size_t length = strlen(value);

    if (length == 0 || (*value != '"' && *value != '\'') || value[length - 1] != *value)
        return;
    if (length == 1) {
        *value = '\0';
        return;
    }
    value[length - 1] = '\0';
    memmove(value, value + 1, length - 1);
}

static bool parse_assignment(Parser *p, const char *line, GError **err)
{
    size_t sign = strcspn(line, "=:");
    g_autofree char *name = NULL;
    g_autofree char *value = NULL;

    if (line[sign] == '\0')
        return parser_fail(p, "want 'name = value', a [group] or a '#' comment", err);
    name = g_strstrip(g_strndup(line, sign));
    if (*name == '\0')
        return parser_fail(p, "the option has no name", err);
    if (!p->group)
        return parser_fail(p, "the option stands before the first [group]", err);
    value = g_strstrip(g_strdup(line + sign + 1));
    unquote(value);
    g_strdelimit(name, "-", '_'); /* both spellings are one option */

    p->open = g_new0(IniEntry, 1);
    p->open->group = g_strdup(p->group);
    p->open->name = g_steal_pointer(&name);
    p->open->file = g_strdup(p->file);
    p->open->file_rank = p->file_rank;
    p->open->line = p->line;
    g_string_assign(p->value, value);
    return true;
}

static bool parse_line(Parser *p, char *line, GError **err)
{
    g_strchomp(line);
    if (*line == ' ' || *line == '\t') {
        if (!p->open)
            return parser_fail(p, "continues nothing: the line starts with white space", err);
        g_string_append_c(p->value, '\n');
        g_string_append(p->value, g_strchug(line));
        return true;
    }
    parser_flush(p);
    if (*line == '\0' || *line == '#' || *line == ';')
        return true;
    return *line == '[' ? parse_section(p, line, err) : parse_assignment(p, line, err);
}

static unsigned line_of(const char *text, const char *where)
{
    unsigned line = 1;

    for (const char *c = text; c < where; c++)
        line += *c == '\n';
    return line;
}

bool ini_parse(const char *text, size_t length, const char *file, unsigned file_rank,
               GPtrArray *entries, GError **err)
{
    g_auto(Parser) p = {.file = file, .file_rank = file_rank, .entries = entries};
    const char *bad = NULL;
    const char *end = text + length;

    if (length > INI_MAX_BYTES)
        return dv_fail(err, DV_E_BAD_CONFIG, "%s: larger than %d bytes", file, INI_MAX_BYTES);
    if (!g_utf8_validate_len(text, length, &bad))
        return dv_fail(err, DV_E_BAD_CONFIG, "%s:%u: not UTF-8 text", file, line_of(text, bad));
    p.value = g_string_new(NULL);
    for (const char *start = text; start < end;) {
        const char *newline = memchr(start, '\n', (size_t)(end - start));
        g_autofree char *line = g_strndup(start, (size_t)((newline ? newline : end) - start));

        p.line++;
        if (!parse_line(&p, line, err))
            return false;
        start = newline ? newline + 1 : end;
    }
    parser_flush(&p);
    return true;
}
