/* From assignments to typed values: which one is in force, substitution of $names, types, limits.
 *
 * Substitution comes before the type check, also in defaults, as in oslo.config: "$name" is looked
 * up in the option's own group, then in DEFAULT; "$group.name" in that group. Names that are not in
 * our table (nova has many that do not concern a compute agent) are taken from the files. */
#include "util/config_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
    MAX_DEPTH = 8,
    MAX_VALUE_BYTES = 256 * 1024,
    MAX_SUBSTITUTIONS = 1000, /* of one option, nested ones included */
};

typedef struct Expansion {
    DvConfig *config;
    const char *group; /* of the option being expanded */
    unsigned depth;
    unsigned *count;
} Expansion;

/* ---- which assignment is in force ---- */

static const GPtrArray *entries_of(const DvConfig *config, const char *group, const char *name)
{
    g_autofree char *key = config_key(group, name);

    return g_hash_table_lookup(config->by_name, key);
}

static const IniEntry *last_entry(const DvConfig *config, const char *group, const char *name)
{
    const GPtrArray *found = entries_of(config, group, name);

    return found ? found->pdata[found->len - 1] : NULL;
}

static bool beats(const IniEntry *a, const IniEntry *b)
{
    return a && (!b || a->file_rank > b->file_rank);
}

/* Calls `visit` for the present name and each deprecated one. */
static void each_name(const DvOption *option,
                      void (*visit)(const char *group, const char *name, void *arg), void *arg)
{
    g_auto(GStrv) old = option->old_names ? g_strsplit(option->old_names, "|", -1) : NULL;

    visit(option->group, option->name, arg);
    for (char **o = old; o && *o; o++) {
        char *dot = strchr(*o, '.');

        if (dot) {
            *dot = '\0';
            visit(*o, dot + 1, arg);
        }
    }
}

typedef struct Search {
    const DvConfig *config;
    const IniEntry *best;
    GPtrArray *all; /* for MULTI: IniEntry in order, or NULL */
} Search;

static void search_visit(const char *group, const char *name, void *arg)
{
    Search *search = arg;
    const IniEntry *entry = last_entry(search->config, group, name);
    const GPtrArray *all = search->all ? entries_of(search->config, group, name) : NULL;

    if (beats(entry, search->best))
        search->best = entry; /* a later file wins; in one file the present name does */
    for (guint i = 0; all && i < all->len; i++)
        g_ptr_array_add(search->all, all->pdata[i]);
}

/* ---- substitution ---- */

static bool expand(const Expansion *x, const char *text, GString *out, GError **err);

static bool name_start(char c)
{
    return c == '_' || g_ascii_isalpha(c);
}

static size_t name_length(const char *p)
{
    size_t n = 0;

    if (!name_start(*p))
        return 0;
    while (name_start(p[n]) || g_ascii_isdigit(p[n]) || p[n] == '.')
        n++;
    return n;
}

static bool append_checked(GString *out, const char *text, GError **err)
{
    if (out->len + strlen(text) > MAX_VALUE_BYTES)
        return dv_fail(err, DV_E_BAD_CONFIG, "longer than %d bytes after substitution",
                       MAX_VALUE_BYTES);
    g_string_append(out, text);
    return true;
}

/* Appends the value of group.name. *out_found false: there is no such option. */
static bool append_option(const Expansion *x, const char *group, const char *name, GString *out,
                          bool *out_found, GError **err)
{
    gssize row = config_row(x->config, group, name);
    const IniEntry *entry = NULL;
    Expansion inner = *x;

    *out_found = true;
    if (row >= 0) {
        const ConfValue *value = &x->config->values[row];

        if (!config_evaluate(x->config, (size_t)row, err))
            return false;
        return !value->text || append_checked(out, value->text, err);
    }
    entry = last_entry(x->config, group, name);
    *out_found = entry != NULL;
    inner.group = group;
    inner.depth++;
    return !entry || expand(&inner, entry->value, out, err);
}

static bool append_reference(const Expansion *x, const char *name, GString *out, GError **err)
{
    const char *dot = strchr(name, '.');
    bool found = false;

    if (x->depth >= MAX_DEPTH || ++*x->count > MAX_SUBSTITUTIONS)
        return dv_fail(err, DV_E_BAD_CONFIG, "too many nested references, the last to $%s", name);
    if (dot) {
        g_autofree char *group = g_strndup(name, (size_t)(dot - name));

        if (!append_option(x, group, dot + 1, out, &found, err))
            return false;
    } else {
        if (!append_option(x, x->group, name, out, &found, err))
            return false;
        if (!found && !append_option(x, "DEFAULT", name, out, &found, err))
            return false;
    }
    if (!found)
        return dv_fail(err, DV_E_BAD_CONFIG,
                       "refers to $%s, and there is no such option (a literal '$' is written $$)",
                       name);
    return true;
}

/* A reference starts at p ('$'): expands it and returns its end, or NULL with err. Text that is no
 * reference stays as it is. */
static const char *expand_one(const Expansion *x, const char *p, GString *out, GError **err)
{
    bool braces = p[1] == '{';
    const char *start = p + (braces ? 2 : 1);
    size_t n = name_length(start);
    g_autofree char *name = NULL;

    if (p[1] == '$') {
        g_string_append_c(out, '$');
        return p + 2;
    }
    if (n == 0 || (braces && start[n] != '}')) {
        g_string_append_c(out, '$');
        return p + 1;
    }
    name = g_strndup(start, n);
    return append_reference(x, name, out, err) ? start + n + (braces ? 1 : 0) : NULL;
}

static bool expand(const Expansion *x, const char *text, GString *out, GError **err)
{
    for (const char *p = text; *p;) {
        size_t plain = strcspn(p, "$\\");

        if (out->len + plain > MAX_VALUE_BYTES)
            return append_checked(out, p, err);
        g_string_append_len(out, p, (gssize)plain);
        p += plain;
        if (*p == '\\') { /* "\$" is a literal '$', any other backslash is itself */
            g_string_append_c(out, p[1] == '$' ? '$' : '\\');
            p += p[1] == '$' ? 2 : 1;
        } else if (*p == '$') {
            p = expand_one(x, p, out, err);
            if (!p)
                return false;
        }
    }
    return true;
}

static char *expanded(DvConfig *config, const DvOption *option, const char *text, GError **err)
{
    unsigned count = 0;
    Expansion x = {config, option->group, 0, &count};
    GString *out = g_string_new(NULL);

    if (expand(&x, text, out, err))
        return g_string_free(out, FALSE);
    g_string_free(out, TRUE);
    return NULL;
}

/* ---- types ---- */

static bool check_range(const DvOption *option, double number, GError **err)
{
    if (option->min == option->max || (number >= option->min && number <= option->max))
        return true;
    if (option->max >= 1e15)
        return dv_fail(err, DV_E_BAD_CONFIG, "want at least %g", option->min);
    return dv_fail(err, DV_E_BAD_CONFIG, "want %g to %g", option->min, option->max);
}

static bool take_int(const DvOption *option, ConfValue *value, GError **err)
{
    const char *digits = value->text + (*value->text == '+');

    if (!g_ascii_string_to_signed(digits, 10, G_MININT64, G_MAXINT64, &value->integer, NULL))
        return dv_fail(err, DV_E_BAD_CONFIG, "want a whole number");
    return check_range(option, (double)value->integer, err);
}

static bool take_float(const DvOption *option, ConfValue *value, GError **err)
{
    char *end = NULL;

    errno = 0;
    value->real = g_ascii_strtod(value->text, &end);
    if (end == value->text || *end || errno || !isfinite(value->real))
        return dv_fail(err, DV_E_BAD_CONFIG, "want a number");
    return check_range(option, value->real, err);
}

static bool one_of(const char *const *words, const char *text)
{
    for (; *words; words++)
        if (g_ascii_strcasecmp(*words, text) == 0)
            return true;
    return false;
}

static bool take_bool(const DvOption *option G_GNUC_UNUSED, ConfValue *value, GError **err)
{
    static const char *const yes[] = {"true", "1", "on", "yes", NULL};
    static const char *const no[] = {"false", "0", "off", "no", NULL};

    value->boolean = one_of(yes, value->text);
    if (!value->boolean && !one_of(no, value->text))
        return dv_fail(err, DV_E_BAD_CONFIG, "want true or false");
    return true;
}

static bool take_str(const DvOption *option, ConfValue *value, GError **err)
{
    g_auto(GStrv) choices = NULL;
    g_autofree char *list = NULL;

    if (!option->choices)
        return true;
    choices = g_strsplit(option->choices, "|", -1);
    if (g_strv_contains((const char *const *)choices, value->text))
        return true;
    list = g_strjoinv(", ", choices);
    return dv_fail(err, DV_E_BAD_CONFIG, "want one of %s", list);
}

static GPtrArray *split_items(const char *text)
{
    g_autofree char *copy = g_strstrip(g_strdup(text));
    size_t length = strlen(copy);
    const char *start = copy;
    g_auto(GStrv) parts = NULL;
    GPtrArray *items = g_ptr_array_new();

    if (length >= 2 &&
        ((*copy == '[' && copy[length - 1] == ']') || (*copy == '{' && copy[length - 1] == '}'))) {
        copy[length - 1] = '\0';
        start++;
    }
    parts = g_strsplit(start, ",", -1);
    for (char **part = parts; *part; part++) {
        const char *item = g_strstrip(*part);

        if (*item)
            g_ptr_array_add(items, g_strdup(item));
    }
    return items;
}

static void set_list(ConfValue *value, GPtrArray *items)
{
    g_ptr_array_add(items, NULL);
    g_strfreev(value->list);
    value->list = (char **)g_ptr_array_free(items, FALSE);
}

static bool take_list(const DvOption *option G_GNUC_UNUSED, ConfValue *value,
                      GError **err G_GNUC_UNUSED)
{
    set_list(value, split_items(value->text));
    return true;
}

static bool take_dict(const DvOption *option G_GNUC_UNUSED, ConfValue *value, GError **err)
{
    set_list(value, split_items(value->text));
    for (char **item = value->list; *item; item++) {
        size_t sign = strcspn(*item, ":=");
        g_autofree char *key = g_strstrip(g_strndup(*item, sign));
        char *pair = NULL;

        if ((*item)[sign] == '\0' || *key == '\0')
            return dv_fail(err, DV_E_BAD_CONFIG, "want key:value pairs separated by ','");
        pair = g_strdup_printf("%s=%s", key, g_strchug(*item + sign + 1));
        g_free(*item);
        *item = pair;
    }
    return true;
}

static bool take_multi(const DvOption *option G_GNUC_UNUSED, ConfValue *value,
                       GError **err G_GNUC_UNUSED)
{
    GPtrArray *items = g_ptr_array_new();

    if (*value->text) /* of the default: one item */
        g_ptr_array_add(items, g_strdup(value->text));
    set_list(value, items);
    return true;
}

static bool (*const take[])(const DvOption *, ConfValue *, GError **) = {
    [CONF_STR] = take_str,     [CONF_INT] = take_int,   [CONF_FLOAT] = take_float,
    [CONF_BOOL] = take_bool,   [CONF_LIST] = take_list, [CONF_DICT] = take_dict,
    [CONF_MULTI] = take_multi,
};

/* An empty number is no number: oslo gives None. */
static bool means_unset(const DvOption *option, const char *text)
{
    return !*text && (option->type == CONF_INT || option->type == CONF_FLOAT);
}

/* ---- a row ---- */

static bool evaluate_multi(DvConfig *config, const DvOption *option, ConfValue *value,
                           const GPtrArray *all, GError **err)
{
    GPtrArray *items = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < all->len; i++) {
        const IniEntry *entry = all->pdata[i];
        char *text = expanded(config, option, entry->value, err);

        if (!text) {
            g_ptr_array_free(items, TRUE);
            return false;
        }
        g_ptr_array_add(items, text);
    }
    g_free(value->text);
    value->text = g_strdup(items->len ? items->pdata[items->len - 1] : "");
    g_ptr_array_set_free_func(items, NULL);
    set_list(value, items);
    return true;
}

static bool evaluate_text(DvConfig *config, const DvOption *option, ConfValue *value,
                          const char *text, GError **err)
{
    if (text && means_unset(option, text))
        text = option->fallback;
    if (!text)
        return true;
    value->text = expanded(config, option, text, err);
    if (!value->text)
        return false;
    if (means_unset(option, value->text)) { /* "$other" that is unset */
        g_clear_pointer(&value->text, g_free);
        return true;
    }
    return take[option->type](option, value, err);
}

static bool fail_at(const DvOption *option, const ConfValue *value, const IniEntry *entry,
                    GError **err)
{
    g_autofree char *reason = g_strdup((*err)->message);
    const char *shown = entry ? entry->value : option->fallback;

    g_clear_error(err);
    if (option->flags & CONF_SECRET) {
        if (strchr(shown, '$')) { /* the reason names what stands behind the '$' */
            g_free(reason);
            reason = g_strdup(
                "refers to an option that there is not (a literal '$' is written $$)");
        }
        shown = "***";
    }
    return dv_fail(err, DV_E_BAD_CONFIG, "%s: [%s] %s = %s: %s",
                   value->origin ? value->origin : "default", option->group, option->name, shown,
                   reason);
}

bool config_evaluate(DvConfig *config, size_t row, GError **err)
{
    const DvOption *option = &config->table[row];
    ConfValue *value = &config->values[row];
    g_autoptr(GPtrArray) all = option->type == CONF_MULTI ? g_ptr_array_new() : NULL;
    Search search = {.config = config, .all = all};
    g_autoptr(GError) why = NULL;
    bool ok;

    if (value->state == CONF_READY)
        return true;
    if (value->state == CONF_EXPANDING)
        return dv_fail(err, DV_E_BAD_CONFIG, "[%s] %s refers to itself", option->group,
                       option->name);
    value->state = CONF_EXPANDING;
    if (option->type == CONF_LIST || option->type == CONF_DICT || option->type == CONF_MULTI)
        value->list = g_new0(char *, 1);
    each_name(option, search_visit, &search);
    if (search.best) {
        value->is_set = true;
        value->origin = g_strdup_printf("%s:%u", search.best->file, search.best->line);
    }
    if (all && all->len)
        ok = evaluate_multi(config, option, value, all, &why);
    else
        ok = evaluate_text(config, option, value,
                           search.best ? search.best->value : option->fallback, &why);
    value->state = CONF_READY;
    if (ok)
        return true;
    fail_at(option, value, search.best, &why);
    g_propagate_error(err, g_steal_pointer(&why));
    return false;
}
