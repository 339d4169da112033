/* Loading a configuration and reading its values; see config.h.
 *
 * config_ini.c reads the files, config_values.c finds and checks each value, config_text.c prints;
 * here they are put together, and what nobody asked for is turned into warnings. */
#include "util/config_priv.h"

#include "util/fs.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { MAX_FILES = 256 };

char *config_key(const char *group, const char *name)
{
    return g_strconcat(group, "\n", name, NULL);
}

gssize config_row(const DvConfig *config, const char *group, const char *name)
{
    g_autofree char *key = config_key(group, name);

    return (gssize)GPOINTER_TO_SIZE(g_hash_table_lookup(config->rows, key)) - 1;
}

static DvConfig *config_new(const DvOption *table, size_t length)
{
    DvConfig *config = g_new0(DvConfig, 1);

    config->table = table;
    config->length = length;
    config->values = g_new0(ConfValue, length);
    config->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    config->entries = g_ptr_array_new_with_free_func((GDestroyNotify)ini_entry_free);
    config->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                            (GDestroyNotify)g_ptr_array_unref);
    config->warnings = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < length; i++)
        g_hash_table_insert(config->rows, config_key(table[i].group, table[i].name),
                            GSIZE_TO_POINTER(i + 1));
    return config;
}

static void value_done(ConfValue *value)
{
    g_free(value->text);
    g_strfreev(value->list);
    g_free(value->origin);
}

void dv_config_free(DvConfig *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->length; i++)
        value_done(&config->values[i]);
    g_free(config->values);
    g_hash_table_destroy(config->rows);
    g_hash_table_destroy(config->by_name);
    g_ptr_array_free(config->entries, TRUE);
    g_ptr_array_free(config->warnings, TRUE);
    g_free(config);
}

/* ---- warnings ---- */

static void warn(DvConfig *config, const IniEntry *entry, const char *what)
{
    g_ptr_array_add(config->warnings,
                    g_strdup_printf("%s:%u: [%s] %s: %s", entry->file, entry->line, entry->group,
                                    entry->name, what));
}

/* True when the value in force is what the option has anyway. */
static bool is_default(const DvOption *option, const ConfValue *value)
{
    if (!option->fallback || !value->text)
        return !value->text || !*value->text;
    if (option->type == CONF_BOOL)
        return value->boolean == (g_ascii_strcasecmp(option->fallback, "true") == 0);
    if (option->type == CONF_FLOAT)
        return value->real == g_ascii_strtod(option->fallback, NULL);
    return strcmp(option->fallback, value->text) == 0;
}

static bool is_old_name(const DvOption *option, const IniEntry *entry)
{
    g_autofree char *wanted = g_strdup_printf("%s.%s", entry->group, entry->name);
    g_auto(GStrv) old = option->old_names ? g_strsplit(option->old_names, "|", -1) : NULL;

    return old && g_strv_contains((const char *const *)old, wanted);
}

static const DvOption *option_with_old_name(const DvConfig *config, const IniEntry *entry)
{
    for (size_t i = 0; i < config->length; i++)
        if (is_old_name(&config->table[i], entry))
            return &config->table[i];
    return NULL;
}

/* Whole groups of other services stand in the table as one row with the name "*". */
static bool group_is_ignored(const DvConfig *config, const char *group)
{
    return config_row(config, group, "*") >= 0;
}

static bool group_is_known(const DvConfig *config, const char *group)
{
    for (size_t i = 0; i < config->length; i++)
        if (strcmp(config->table[i].group, group) == 0)
            return true;
    return false;
}

static void warn_of_unknown(DvConfig *config, const IniEntry *entry, GHashTable *groups_said)
{
    const DvOption *renamed = option_with_old_name(config, entry);

    if (renamed) {
        g_autofree char *text = g_strdup_printf("an old name; the option is [%s] %s now",
                                                renamed->group, renamed->name);

        warn(config, entry, text);
    } else if (group_is_ignored(config, entry->group)) {
        return;
    } else if (group_is_known(config, entry->group)) {
        warn(config, entry, "an option that drover does not know, it has no effect");
    } else if (g_hash_table_add(groups_said, entry->group)) {
        warn(config, entry, "a group that drover does not know, nothing in it has an effect");
    }
}

static void collect_warnings(DvConfig *config)
{
    g_autoptr(GHashTable) groups_said = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < config->entries->len; i++) {
        const IniEntry *entry = config->entries->pdata[i];
        gssize row = config_row(config, entry->group, entry->name);

        if (row < 0)
            warn_of_unknown(config, entry, groups_said);
    }
    for (size_t i = 0; i < config->length; i++) {
        const DvOption *option = &config->table[i];
        const ConfValue *value = &config->values[i];

        if (!(option->flags & CONF_UNHONOURED) || !value->is_set || is_default(option, value))
            continue;
        g_ptr_array_add(config->warnings,
                        g_strdup_printf("%s: [%s] %s: drover does not honour this option yet",
                                        value->origin, option->group, option->name));
    }
    g_ptr_array_add(config->warnings, NULL);
}

/* ---- loading ---- */

static void index_entries(DvConfig *config)
{
    for (guint i = 0; i < config->entries->len; i++) {
        IniEntry *entry = config->entries->pdata[i];
        g_autofree char *key = config_key(entry->group, entry->name);
        GPtrArray *same = g_hash_table_lookup(config->by_name, key);

        if (!same) {
            same = g_ptr_array_new();
            g_hash_table_insert(config->by_name, g_steal_pointer(&key), same);
        }
        g_ptr_array_add(same, entry);
    }
}

static bool config_finish(DvConfig *config, GError **err)
{
    index_entries(config);
    for (size_t i = 0; i < config->length; i++) {
        /* What has no effect here may be wrong without harm: nova checks it where it counts. */
        bool tolerated = config->table[i].flags & (CONF_IGNORED | CONF_UNHONOURED);

        if (!config_evaluate(config, i, tolerated ? NULL : err) && !tolerated)
            return false;
    }
    collect_warnings(config);
    return true;
}

static bool read_one(DvConfig *config, const char *path, unsigned rank, GError **err)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) why = NULL;
    size_t length = 0;

    if (!dv_read_file(path, INI_MAX_BYTES, &text, &length, &why))
        return dv_fail(err, DV_E_BAD_CONFIG, "configuration: %s", why->message);
    return ini_parse(text, length, path, rank, config->entries, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends the *.conf files of a folder in alphabetic order. */
static bool list_folder(const char *path, GPtrArray *files, GError **err)
{
    g_autoptr(GDir) dir = NULL;
    g_autoptr(GError) why = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name = NULL;

    dir = g_dir_open(path, 0, &why);
    if (!dir)
        return dv_fail(err, DV_E_BAD_CONFIG, "configuration folder %s: %s", path, why->message);
    while ((name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".conf") && *name != '.')
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++)
        g_ptr_array_add(files, g_build_filename(path, names->pdata[i], NULL));
    return true;
}

DvConfig *dv_config_load(const char *const *files, const char *const *dirs, const DvOption *table,
                         size_t table_length, GError **err)
{
    g_autoptr(DvConfig) config = config_new(table, table_length);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    for (; files && *files; files++)
        g_ptr_array_add(paths, g_strdup(*files));
    for (; dirs && *dirs; dirs++)
        if (!list_folder(*dirs, paths, err))
            return NULL;
    if (paths->len > MAX_FILES) {
        dv_fail(err, DV_E_BAD_CONFIG, "more than %d configuration files", MAX_FILES);
        return NULL;
    }
    for (guint i = 0; i < paths->len; i++)
        if (!read_one(config, paths->pdata[i], i, err))
            return NULL;
    return config_finish(config, err) ? g_steal_pointer(&config) : NULL;
}

DvConfig *dv_config_parse(const char *text, size_t length, const char *name, const DvOption *table,
                          size_t table_length, GError **err)
{
    g_autoptr(DvConfig) config = config_new(table, table_length);

    if (!ini_parse(text, length, name, 0, config->entries, err) || !config_finish(config, err))
        return NULL;
    return g_steal_pointer(&config);
}

/* ---- values ---- */

static const ConfValue *value_of(const DvConfig *config, const char *group, const char *name,
                                 unsigned types)
{
    gssize row = config_row(config, group, name);

    assert(row >= 0);
    assert(types & 1U << config->table[row].type);
    return &config->values[row];
}

static const unsigned any_type = ~0U;

const char *dv_config_str(const DvConfig *config, const char *group, const char *name)
{
    return value_of(config, group, name, 1U << CONF_STR)->text;
}

int64_t dv_config_int(const DvConfig *config, const char *group, const char *name)
{
    return value_of(config, group, name, 1U << CONF_INT)->integer;
}

double dv_config_float(const DvConfig *config, const char *group, const char *name)
{
    return value_of(config, group, name, 1U << CONF_FLOAT)->real;
}

bool dv_config_bool(const DvConfig *config, const char *group, const char *name)
{
    return value_of(config, group, name, 1U << CONF_BOOL)->boolean;
}

const char *const *dv_config_list(const DvConfig *config, const char *group, const char *name)
{
    unsigned lists = 1U << CONF_LIST | 1U << CONF_DICT | 1U << CONF_MULTI;

    return (const char *const *)value_of(config, group, name, lists)->list;
}

bool dv_config_is_set(const DvConfig *config, const char *group, const char *name)
{
    return value_of(config, group, name, any_type)->is_set;
}

const char *dv_config_origin(const DvConfig *config, const char *group, const char *name)
{
    return value_of(config, group, name, any_type)->origin;
}

const char *const *dv_config_warnings(const DvConfig *config)
{
    return (const char *const *)config->warnings->pdata;
}
