/* What config.c shares with config_values.c and config_text.c. */
#pragma once

#include "util/config.h"
#include "util/config_ini.h"

/* One row of the table with the value in force. */
typedef struct ConfValue {
    char *text;  /* after substitution; NULL: unset and no default */
    char **list; /* LIST, DICT, MULTI: never NULL once loaded */
    int64_t integer;
    double real;
    bool boolean;
    bool is_set;  /* some file sets it */
    char *origin; /* "file:line", NULL for a default */
    enum { CONF_RAW, CONF_EXPANDING, CONF_READY } state;
} ConfValue;

struct DvConfig {
    const DvOption *table; /* borrowed */
    size_t length;
    ConfValue *values;   /* one per row */
    GHashTable *rows;    /* "group\nname" -> row index + 1 */
    GPtrArray *entries;  /* IniEntry, in the order read */
    GHashTable *by_name; /* "group\nname" -> GPtrArray of IniEntry, borrowed */
    GPtrArray *warnings; /* char *, NULL-terminated after load */
};

/* "group\nname", caller frees. */
char *config_key(const char *group, const char *name);
/* The row of an option, or -1. */
gssize config_row(const DvConfig *config, const char *group, const char *name);

/* Finds, expands and checks the value of a row; done once. */
bool config_evaluate(DvConfig *config, size_t row, GError **err);
