/* A configuration as text: the values in force with their origin, and the sample file. */
#include "util/config_priv.h"

#include <string.h>

enum { HELP_WIDTH = 90 };

static const char *const type_names[] = {
    [CONF_STR] = "text",
    [CONF_INT] = "whole number",
    [CONF_FLOAT] = "number",
    [CONF_BOOL] = "true or false",
    [CONF_LIST] = "list, comma separated",
    [CONF_DICT] = "key:value pairs, comma separated",
    [CONF_MULTI] = "may be repeated",
};

static bool is_row_of_group(const DvOption *option)
{
    return strcmp(option->name, "*") == 0;
}

/* ---- dump ---- */

static void append_value(GString *out, const DvOption *option, const ConfValue *value,
                         const char *text)
{
    g_autofree char *one_line = g_strdup(option->flags & CONF_SECRET && text ? "***" : text);

    if (one_line)
        g_strdelimit(one_line, "\n\r", ' ');
    g_string_append_printf(out, "%s = %s", option->name, one_line ? one_line : "<unset>");
    g_string_append_printf(out, "  # %s%s\n", value->origin ? value->origin : "default",
                           option->flags & CONF_UNHONOURED ? ", not honoured" : "");
}

static void dump_row(GString *out, const DvOption *option, const ConfValue *value)
{
    if (option->type != CONF_MULTI || !*value->list) {
        append_value(out, option, value, value->text);
        return;
    }
    for (char **item = value->list; *item; item++)
        append_value(out, option, value, *item);
}

/* What has no effect is shown only where somebody set it. */
static bool dump_wants(const DvOption *option, const ConfValue *value)
{
    if (is_row_of_group(option))
        return false;
    return value->is_set || !(option->flags & (CONF_IGNORED | CONF_UNHONOURED));
}

/* Rows of one group stand together in the table. */
char *dv_config_dump(const DvConfig *config)
{
    GString *out = g_string_new(NULL);
    const char *group = NULL;

    for (size_t i = 0; i < config->length; i++) {
        const DvOption *option = &config->table[i];

        if (!dump_wants(option, &config->values[i]))
            continue;
        if (!group || strcmp(group, option->group) != 0)
            g_string_append_printf(out, "%s[%s]\n", group ? "\n" : "", option->group);
        group = option->group;
        dump_row(out, option, &config->values[i]);
    }
    return g_string_free(out, FALSE);
}

/* ---- sample ---- */

/* Appends `text` as comment lines of bounded width. */
static void append_wrapped(GString *out, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    size_t column = 0;

    for (char **word = words; *word; word++) {
        size_t length = strlen(*word);

        if (column > 0 && column + 1 + length > HELP_WIDTH) {
            g_string_append_c(out, '\n');
            column = 0;
        }
        g_string_append(out, column == 0 ? "# " : " ");
        g_string_append(out, *word);
        column += length + (column == 0 ? 2 : 1);
    }
    g_string_append_c(out, '\n');
}

static void append_limits(GString *out, const DvOption *option)
{
    g_string_append_printf(out, " (%s", type_names[option->type]);
    if (option->min != option->max && option->max >= 1e15)
        g_string_append_printf(out, ", at least %g", option->min);
    else if (option->min != option->max)
        g_string_append_printf(out, ", %g to %g", option->min, option->max);
    if (option->choices) {
        g_auto(GStrv) choices = g_strsplit(option->choices, "|", -1);
        g_autofree char *list = NULL;

        for (char **choice = choices; *choice; choice++)
            if (!**choice) {
                g_free(*choice);
                *choice = g_strdup("empty");
            }
        list = g_strjoinv(", ", choices);
        g_string_append_printf(out, ": %s", list);
    }
    if (option->flags & CONF_RELOAD)
        g_string_append(out, "; read again on SIGHUP");
    g_string_append_c(out, ')');
}

static void sample_row(GString *out, const DvOption *option)
{
    g_autoptr(GString) help = g_string_new(option->help);

    append_limits(help, option);
    append_wrapped(out, help->str);
    if (option->fallback)
        g_string_append_printf(out, "#%s = %s\n\n", option->name, option->fallback);
    else
        g_string_append_printf(out, "#%s = <unset>\n\n", option->name);
}

char *dv_config_sample(const DvOption *table, size_t table_length)
{
    GString *out = g_string_new(NULL);
    const char *group = NULL;

    for (size_t i = 0; i < table_length; i++) {
        const DvOption *option = &table[i];

        if (is_row_of_group(option) || option->flags & (CONF_IGNORED | CONF_UNHONOURED))
            continue;
        if (!group || strcmp(group, option->group) != 0)
            g_string_append_printf(out, "[%s]\n\n", option->group);
        group = option->group;
        sample_row(out, option);
    }
    if (out->len)
        g_string_truncate(out, out->len - 1); /* one newline at the end */
    return g_string_free(out, FALSE);
}
