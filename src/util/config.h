/* Operator configuration in oslo.config's dialect of ini, driven by an option table.
 *
 * Several files, the later one wins per option (multi-valued options collect); `--config-dir` reads
 * *.conf in alphabetic order after the files. Values may refer to others as $name, ${name} or
 * $group.name. Continuation lines start with white space. There are no inline comments.
 * Errors     DV_E_BAD_CONFIG names file, line, group, option and what was expected.
 * Ownership  strings are borrowed from the DvConfig.
 * Threads    read-only after load: any thread.
 * Sources    oslo.config 9.0 (Zed): cfg.ConfigParser, types.*. */
#pragma once

#include "util/error.h"

#include <stdint.h>

typedef enum {
    CONF_STR,
    CONF_INT,   /* min..max when they differ */
    CONF_FLOAT, /* likewise */
    CONF_BOOL,
    CONF_LIST,  /* comma separated, optional [] around (bounded lists), items stripped */
    CONF_DICT,  /* "key:value,key:value" or key=value */
    CONF_MULTI, /* the option may be repeated */
} DvConfType;

typedef enum {
    CONF_SECRET = 1 << 0, /* never printed */
    CONF_RELOAD = 1 << 1, /* mutable: re-read on SIGHUP */
    CONF_UNHONOURED =
        1 << 2, /* known, changes behaviour in nova, not here: warn when set to a non-default */
    CONF_IGNORED =
        1 << 3, /* known and rightly without effect here (another service's, or internal) */
    CONF_KEYSTONE = 1 << 4, /* a keystoneauth option, present in each service group */
} DvConfFlags;

typedef struct DvOption {
    const char *group; /* "DEFAULT" or lower case name */
    const char *name;
    DvConfType type;
    const char *fallback; /* text of the default, NULL for none */
    double min, max;      /* for INT and FLOAT; both 0: no limit */
    const char *choices;  /* "a|b|c" or NULL */
    unsigned flags;
    const char *help;      /* one sentence */
    const char *old_names; /* "group.name|group.name" deprecated spellings, or NULL */
} DvOption;

typedef struct DvConfig DvConfig;

/* Reads files and dirs (NULL-terminated, may be NULL) against `table`. Every known option is
 * checked now. Unknown options and groups are kept for dv_config_warnings, never an error
 * (nova.conf is shared). */
DvConfig *dv_config_load(const char *const *files, const char *const *dirs, const DvOption *table,
                         size_t table_length, GError **err);
/* The same from text, for tests and fuzzing; `name` stands for the file name. */
DvConfig *dv_config_parse(const char *text, size_t length, const char *name, const DvOption *table,
                          size_t table_length, GError **err);
void dv_config_free(DvConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DvConfig, dv_config_free)

/* Typed values of options in the table (asking for another is a bug and asserts). NULL string:
 * unset and no default. */
const char *dv_config_str(const DvConfig *config, const char *group, const char *name);
int64_t dv_config_int(const DvConfig *config, const char *group, const char *name);
double dv_config_float(const DvConfig *config, const char *group, const char *name);
bool dv_config_bool(const DvConfig *config, const char *group, const char *name);
/* NULL-terminated, never NULL. For CONF_DICT: "key=value" items. */
const char *const *dv_config_list(const DvConfig *config, const char *group, const char *name);
/* True when some file sets it. */
bool dv_config_is_set(const DvConfig *config, const char *group, const char *name);
/* "file:line" where the value in force was set, NULL for a default. */
const char *dv_config_origin(const DvConfig *config, const char *group, const char *name);

/* One sentence each: options set that drover does not honour. NULL-terminated, borrowed. */
const char *const *dv_config_warnings(const DvConfig *config);
/* All values in force, by group, with their origin; secrets masked. Caller frees. */
char *dv_config_dump(const DvConfig *config);
/* The sample file for a table. Caller frees. */
char *dv_config_sample(const DvOption *table, size_t table_length);
